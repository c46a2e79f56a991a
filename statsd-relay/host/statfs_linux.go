package host

import "golang.org/x/sys/unix"

const supported = true

func statfs(path string) (space, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return space{}, err
	}
	block := float64(s.Bsize)
	return space{block * float64(s.Blocks), block * float64(s.Bfree), block * float64(s.Bavail), float64(s.Files), float64(s.Ffree)}, nil
}
