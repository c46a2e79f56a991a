// Package xpi reads and makes WebExtension packages: .xpi and .zip archives and
// unpacked folders, manifest versions 2 and 3, of extensions, themes,
// dictionaries and language packs.
//
// What it reads is hostile until proven otherwise: every size, count and depth
// is bounded, no name may leave the package, and nothing of a package is ever
// written to disk or run. What it makes is deterministic: the same Spec or
// folder gives the same bytes, so that the same content has the same hash.
package xpi

import (
	"fmt"
	"io"
	"io/fs"

	"addons/server/catalog"
)

// The limits of what is read. A package beyond one is refused, never cut.
const (
	// MaxArchive is AMO's limit for an upload.
	MaxArchive = 200 << 20
	// MaxEntries is about four times what the largest packages on AMO hold.
	MaxEntries = 50_000
	// MaxUnpacked bounds the sum of what the entries say they inflate to, and
	// what a folder holds.
	MaxUnpacked = 1 << 30
	// MaxManifest bounds manifest.json.
	MaxManifest = 1 << 20
	// MaxMessages bounds one _locales/*/messages.json.
	MaxMessages = 2 << 20
	// MaxLocales bounds how many of them are read.
	MaxLocales = 200
	// MaxIcon bounds the icon.
	MaxIcon = 512 << 10
	// maxRead bounds the sum of everything that is inflated to read one package.
	maxRead = 64 << 20
	// maxName bounds an entry's name, as file systems do.
	maxName = 1024
	// maxDepth bounds how deep folders nest.
	maxDepth = 32
)

// Package is what a package says about itself.
type Package struct {
	ManifestVersion int // 2 or 3
	GUID            string
	Version         string
	Type            catalog.Type
	DefaultLocale   string
	// TargetLocale is the locale that a dictionary or language pack is for.
	TargetLocale string
	// Name and Summary have every locale that the package has messages for; the
	// default locale is always among them.
	Name     catalog.Text
	Summary  catalog.Text
	Homepage string
	// Author is the developer's or author's name as written, "" if not given.
	Author string
	// AuthorURL is the developer's own page, "" if not given.
	AuthorURL string

	// Compatibility has the ranges of the applications that the package is for.
	// Where the manifest names no minimum it is the one that AMO assumes.
	Compatibility []catalog.Compat
	// Strict: the maximum binds. Firefox refuses a package whose
	// strict_max_version is below its own version, so a stated maximum is strict,
	// and a language pack is always.
	Strict bool
	// UpdateURL is where the package wants to be updated from, "" for the site.
	UpdateURL string

	Permissions         []string // API permissions
	OptionalPermissions []string // API and host permissions that are asked for later
	HostPermissions     []string // match patterns: host permissions and content scripts

	Icon Icon // the largest up to 128 pixels; zero if there is none
}

// Icon is an image of the package.
type Icon struct {
	Name string // in the package
	Type string // "image/png" or "image/svg+xml"
	Body []byte
}

// Read reads an archive. Every error wraps catalog.ErrInvalid and says what is
// wrong with the package, but for those of r itself.
func Read(r io.ReaderAt, size int64) (*Package, error) {
	src, err := openZip(r, size)
	if err != nil {
		return nil, err
	}
	return read(src)
}

// ReadFolder reads an unpacked package, as Read does.
func ReadFolder(folder fs.FS) (*Package, error) {
	src, err := openFolder(folder)
	if err != nil {
		return nil, err
	}
	return read(src)
}

// read reads a package from wherever its files are.
func read(src *source) (*Package, error) {
	m, err := readManifest(src)
	if err != nil {
		return nil, err
	}
	p, err := m.basics()
	if err != nil {
		return nil, err
	}
	if err := m.localized(src, p); err != nil {
		return nil, err
	}
	if err := m.compatibility(p); err != nil {
		return nil, err
	}
	m.permissions(p)
	p.Icon = m.icon(src)
	return p, nil
}

// invalid is a refusal: why, wrapping catalog.ErrInvalid.
func invalid(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, catalog.ErrInvalid)...)
}
