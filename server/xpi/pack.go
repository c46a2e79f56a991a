package xpi

import (
	"archive/zip"
	"bytes"
	"cmp"
	"compress/flate"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// FromFolder packs an unpacked package. What is no part of it is left out, as
// web-ext does: hidden files, node_modules, web-ext-artifacts, archives.
//
// A symbolic link is followed if it leads to a file or folder within dir or
// within one of roots, and packed as what it leads to; any other link is
// refused, since it would publish a file that its owner did not put into the
// package. Debian's packages need "/usr/share" as a root: their extensions link
// to fonts and scripts that the system has once for all.
func FromFolder(dir string, roots ...string) ([]byte, error) {
	p := &packer{files: map[string][]byte{}}
	for _, root := range append([]string{dir}, roots...) {
		real, err := filepath.EvalSymlinks(root)
		if errors.Is(err, fs.ErrNotExist) && root != dir {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("pack folder: %w", err)
		}
		if real, err = filepath.Abs(real); err != nil {
			return nil, fmt.Errorf("pack folder: %w", err)
		}
		p.roots = append(p.roots, real)
	}
	if err := p.folder(p.roots[0], "", 0); err != nil {
		return nil, err
	}
	return pack(p.files, time.Time{})
}

// packer collects the files of a folder.
type packer struct {
	roots []string // real paths; the first is the folder itself
	files map[string][]byte
	size  int64
}

// folder adds what is in the real path dir under the name prefix.
func (p *packer) folder(dir, prefix string, depth int) error {
	if depth > maxDepth {
		return invalid("the folder %s is more than %d folders deep", prefix, maxDepth)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("pack folder: %w", err)
	}
	for _, e := range entries {
		if leftOut(e.Name()) {
			continue
		}
		if err := p.entry(filepath.Join(dir, e.Name()), path.Join(prefix, e.Name()), depth); err != nil {
			return err
		}
	}
	return nil
}

// entry adds one file or folder.
func (p *packer) entry(file, name string, depth int) error {
	if err := checkName(name); err != nil {
		return err
	}
	real, err := filepath.EvalSymlinks(file)
	if err != nil {
		return invalid("%s is a link that leads nowhere: %v", name, err)
	}
	root, rel, ok := p.within(real)
	if !ok {
		return invalid("%s is a link to %s, outside the folder: copy the file into the folder instead", name, real)
	}
	info, err := os.Lstat(real)
	if err != nil {
		return fmt.Errorf("pack folder: %w", err)
	}
	switch {
	case info.IsDir():
		return p.folder(real, name, depth+1)
	case !info.Mode().IsRegular():
		return invalid("%s is neither a file nor a folder", name)
	case len(p.files) == MaxEntries:
		return invalid("the folder has more than %d files", MaxEntries)
	}
	return p.file(root, rel, name)
}

// within returns the root that holds the real path, and the path from there.
func (p *packer) within(real string) (root, rel string, ok bool) {
	for _, root := range p.roots {
		if rel, err := filepath.Rel(root, real); err == nil && filepath.IsLocal(rel) {
			return root, rel, true
		}
	}
	return "", "", false
}

// file adds a file. It is opened within its root, so that a link that is put
// there meanwhile leads no further out than any other.
func (p *packer) file(root, rel, name string) error {
	f, err := os.OpenInRoot(root, rel)
	if err != nil {
		return fmt.Errorf("pack folder: %w", err)
	}
	defer f.Close()
	body, err := io.ReadAll(io.LimitReader(f, MaxArchive-p.size+1))
	if err != nil {
		return fmt.Errorf("pack folder: %w", err)
	}
	// A folder larger than this is packed in memory by nobody.
	if p.size += int64(len(body)); p.size > MaxArchive {
		return invalid("the folder holds more than %d bytes", int64(MaxArchive))
	}
	p.files[name] = body
	return nil
}

// leftOut tells whether a file is no part of a package.
func leftOut(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".xpi", ".zip":
		return true
	}
	return strings.HasPrefix(name, ".") || name == "node_modules" || name == "web-ext-artifacts"
}

// firstDay of the zip format's clock.
var firstDay = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// pack writes a zip archive that depends on names, contents and modified alone:
// entries sorted with the manifest first, sizes ahead of the data, no owner and no mode.
func pack(files map[string][]byte, modified time.Time) ([]byte, error) {
	if modified.Before(firstDay) {
		modified = firstDay
	}
	names := slices.SortedFunc(maps.Keys(files), manifestFirst)
	var out, squeezed bytes.Buffer
	w := zip.NewWriter(&out)
	deflate, err := flate.NewWriter(&squeezed, flate.DefaultCompression)
	if err != nil {
		return nil, fmt.Errorf("pack: %w", err)
	}
	for _, name := range names {
		squeezed.Reset()
		deflate.Reset(&squeezed)
		deflate.Write(files[name]) // into memory: can't fail
		deflate.Close()
		if err := writeEntry(w, name, files[name], squeezed.Bytes(), modified); err != nil {
			return nil, fmt.Errorf("pack %s: %w", name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("pack: %w", err)
	}
	if out.Len() > MaxArchive {
		return nil, invalid("the archive would have more than %d bytes", int64(MaxArchive))
	}
	return out.Bytes(), nil
}

// writeEntry stores an entry as it is if compressing made it no smaller.
func writeEntry(w *zip.Writer, name string, body, squeezed []byte, modified time.Time) error {
	h := &zip.FileHeader{
		Name:               name,
		Method:             zip.Deflate,
		CRC32:              crc32.ChecksumIEEE(body),
		UncompressedSize64: uint64(len(body)),
	}
	if len(squeezed) >= len(body) {
		h.Method, squeezed = zip.Store, body
	}
	h.CompressedSize64 = uint64(len(squeezed))
	// CreateRaw takes the clock from the old fields alone.
	h.ModifiedDate = uint16(modified.Day() + int(modified.Month())<<5 + (modified.Year()-1980)<<9)
	h.ModifiedTime = uint16(modified.Second()/2 + modified.Minute()<<5 + modified.Hour()<<11)
	raw, err := w.CreateRaw(h)
	if err != nil {
		return err
	}
	_, err = raw.Write(squeezed)
	return err
}

func manifestFirst(a, b string) int {
	rank := func(name string) int {
		if name == "manifest.json" {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b))
}
