package xpi

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
)

// source is where the files of one package are. It reads a bounded sum of bytes
// and is then spent, so that no package costs more than maxRead to read.
type source struct {
	sizes map[string]int64 // regular files, as they claim to be
	open  func(name string) (io.ReadCloser, error)
	left  int64
}

// openZip lists an archive, refusing what no honest package has.
func openZip(r io.ReaderAt, size int64) (*source, error) {
	if size > MaxArchive {
		return nil, invalid("the archive has %d bytes, the limit is %d", size, int64(MaxArchive))
	}
	metered := &meteredReader{ReaderAt: r, left: maxDirectory}
	archive, err := zip.NewReader(metered, size)
	if errors.Is(err, zip.ErrFormat) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, errDirectory) {
		return nil, invalid("this is no zip archive: %v", err)
	}
	if err != nil {
		return nil, fmt.Errorf("read archive: %w", err)
	}
	metered.left = -1
	files, err := zipFiles(archive.File)
	if err != nil {
		return nil, err
	}
	src := &source{sizes: make(map[string]int64, len(files)), left: maxRead}
	for name, f := range files {
		src.sizes[name] = int64(f.UncompressedSize64)
	}
	src.open = func(name string) (io.ReadCloser, error) {
		f := files[name]
		// Bit 0: encrypted. APPNOTE.TXT 4.4.4.
		if f.Flags&1 != 0 {
			return nil, errors.New("it is encrypted")
		}
		return f.Open()
	}
	return src, nil
}

// zipFiles returns the regular files by name.
func zipFiles(entries []*zip.File) (map[string]*zip.File, error) {
	if len(entries) > MaxEntries {
		return nil, invalid("the archive has %d entries, the limit is %d", len(entries), MaxEntries)
	}
	files := make(map[string]*zip.File, len(entries))
	var unpacked uint64
	for _, f := range entries {
		folder := strings.HasSuffix(f.Name, "/")
		if err := checkName(strings.TrimSuffix(f.Name, "/")); err != nil {
			return nil, err
		}
		if folder {
			continue
		}
		if files[f.Name] != nil {
			return nil, invalid("the archive has two entries named %q", f.Name)
		}
		if unpacked += min(f.UncompressedSize64, MaxUnpacked+1); unpacked > MaxUnpacked {
			return nil, invalid("the archive unpacks to more than %d bytes", int64(MaxUnpacked))
		}
		files[f.Name] = f
	}
	return files, nil
}

// checkName refuses names that could lead out of the package or mean two things.
func checkName(name string) error {
	switch {
	case len(name) > maxName:
		return invalid("the name of an entry has %d bytes, the limit is %d", len(name), maxName)
	case !fs.ValidPath(name) || name == "." || strings.ContainsAny(name, "\\\x00"):
		return invalid("the name %q of an entry is not a plain relative path", name)
	case strings.Count(name, "/") > maxDepth:
		return invalid("the entry %q is more than %d folders deep", name, maxDepth)
	}
	return nil
}

// maxDirectory bounds what is read of an archive's table of contents: an entry
// takes 46 bytes and its name, so that this is more than MaxEntries need.
const maxDirectory = 16 << 20

var errDirectory = errors.New("its table of contents is too long")

// meteredReader reads at most left bytes; a negative left is no limit. archive/zip
// reads the table of contents to its end, whatever it says about its length.
type meteredReader struct {
	io.ReaderAt
	left int
}

func (m *meteredReader) ReadAt(p []byte, off int64) (int, error) {
	if m.left >= 0 {
		if m.left < len(p) {
			return 0, errDirectory
		}
		m.left -= len(p)
	}
	return m.ReaderAt.ReadAt(p, off)
}

// openFolder lists a folder.
func openFolder(folder fs.FS) (*source, error) {
	src := &source{sizes: map[string]int64{}, left: maxRead}
	src.open = func(name string) (io.ReadCloser, error) { return folder.Open(name) }
	err := fs.WalkDir(folder, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == "." || d.IsDir() {
			return err
		}
		if len(src.sizes) == MaxEntries {
			return invalid("the folder has more than %d files", MaxEntries)
		}
		info, err := fs.Stat(folder, name) // follows what folder lets be followed
		if err != nil || !info.Mode().IsRegular() {
			return err
		}
		src.sizes[name] = info.Size()
		return checkName(name)
	})
	return src, err
}

// has tells whether there is a file of that name.
func (s *source) has(name string) bool { _, ok := s.sizes[name]; return ok }

// read returns a file of at most limit bytes.
func (s *source) read(name string, limit int64) ([]byte, error) {
	if !s.has(name) {
		return nil, invalid("the package has no %s", name)
	}
	f, err := s.open(name)
	if err != nil {
		return nil, invalid("%s: %v", name, err)
	}
	defer f.Close()
	body, err := io.ReadAll(io.LimitReader(f, min(limit, s.left)+1))
	if err != nil {
		return nil, invalid("%s: %v", name, err)
	}
	n := int64(len(body))
	if n > limit {
		return nil, invalid("%s has more than %d bytes", name, limit)
	}
	if s.left -= n; s.left < 0 {
		return nil, invalid("reading the package takes more than %d bytes", int64(maxRead))
	}
	return body, nil
}

// locales returns the folders of _locales that have messages, sorted.
func (s *source) locales() []string {
	var found []string
	for name := range s.sizes {
		parts := strings.Split(name, "/")
		if len(parts) == 3 && parts[0] == "_locales" && parts[2] == "messages.json" {
			found = append(found, parts[1])
		}
	}
	slices.Sort(found)
	return found
}

// nested returns a folder that has a manifest.json where the package itself has
// none: the usual mistake of those who zip the folder, not what is in it.
func (s *source) nested() string {
	for name := range s.sizes {
		if folder, ok := strings.CutSuffix(name, "/manifest.json"); ok && !strings.Contains(folder, "/") {
			return folder
		}
	}
	return ""
}
