package load

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"addons/server/amo"
	"addons/server/catalog"
	"addons/server/store"
	"addons/server/xpi"
)

// The limits of a walk through folders.
const (
	maxItems = 100_000
	maxDepth = 16
)

// Paths loads packages (.xpi, .zip), unpacked folders and API JSON (.json,
// .jsonl). A folder without a manifest.json is searched for all of these; what
// else lies there is passed over, as is JSON that is no add-on's. Versions of one
// add-on may come in any order and from any of the paths. progress (may be nil) is
// told after each item how many of how many are done, from one goroutine.
//
// The listing of an add-on that the site has already stays as it is, as on AMO:
// its packages only add versions, and fill in what the listing lacks. API JSON, in
// contrast, is a listing, and replaces it.
//
// The error is of the platform or of ctx; what was loaded until then is in the Report.
func (l *Loader) Paths(ctx context.Context, paths []string, progress func(done, total int, name string)) (Report, error) {
	w := &walk{seen: map[string]bool{}}
	for _, path := range paths {
		w.given(path)
	}
	run := &run{Loader: l, tell: tracker(progress, len(w.items)), groups: map[string]*group{}, report: Report{Refused: w.refused}}
	err := run.all(ctx, w.items)
	return run.report, err
}

// item is one thing to load.
type item struct {
	path  string
	kind  kind
	given bool // named by the caller, not found on the way
}

type kind int

const (
	archive kind = iota
	folder
	listing // API JSON
)

// walk finds items.
type walk struct {
	items   []item
	refused []Refusal
	seen    map[string]bool // real paths, against loops and repetitions
}

func (w *walk) refuse(path string, why error) {
	w.refused = append(w.refused, Refusal{path, plain(why)})
}

// given takes a path that the caller named: it must be something.
func (w *walk) given(path string) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		w.refuse(path, err)
	case info.IsDir():
		before, refused := len(w.items), len(w.refused)
		w.folder(path, 0, true)
		if before == len(w.items) && refused == len(w.refused) {
			w.refuse(path, fmt.Errorf("no add-ons in this folder: it holds no .xpi, .zip, manifest.json or API JSON: %w", catalog.ErrInvalid))
		}
	case filepath.Base(path) == "manifest.json":
		w.add(item{filepath.Dir(path), folder, true})
	default:
		k, ok := kindOf(path)
		if !ok || !info.Mode().IsRegular() {
			w.refuse(path, fmt.Errorf("neither a package (.xpi, .zip) nor API JSON (.json, .jsonl): %w", catalog.ErrInvalid))
			return
		}
		w.add(item{path, k, true})
	}
}

// folder takes a folder as an add-on if it has a manifest, else what is in it.
func (w *walk) folder(path string, depth int, given bool) {
	if info, err := os.Stat(filepath.Join(path, "manifest.json")); err == nil && info.Mode().IsRegular() {
		w.add(item{path, folder, given})
		return
	}
	if depth > maxDepth {
		w.refuse(path, fmt.Errorf("more than %d folders deep: %w", maxDepth, catalog.ErrInvalid))
		return
	}
	entries, err := os.ReadDir(path) // sorted by name
	if err != nil {
		w.refuse(path, err)
		return
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || len(w.items) == maxItems {
			continue
		}
		w.entry(filepath.Join(path, e.Name()), depth)
	}
}

// entry takes what lies in a folder, links included: Debian links its add-ons
// into the folder of each application.
func (w *walk) entry(path string, depth int) {
	info, err := os.Stat(path)
	if err != nil {
		return // a link that leads nowhere
	}
	if info.IsDir() {
		if w.first(path) {
			w.folder(path, depth+1, false)
		}
		return
	}
	if k, ok := kindOf(path); ok && info.Mode().IsRegular() {
		w.add(item{path, k, false})
	}
}

// add takes an item, unless it was found before by another way.
func (w *walk) add(i item) {
	if len(w.items) == maxItems {
		w.refuse(i.path, fmt.Errorf("more than %d items in one load: %w", maxItems, catalog.ErrInvalid))
		return
	}
	if i.kind == folder || w.first(i.path) {
		w.items = append(w.items, i)
	}
}

// first tells whether this file or folder is seen for the first time.
func (w *walk) first(path string) bool {
	real, err := filepath.EvalSymlinks(path)
	if err != nil || w.seen[real] {
		return false
	}
	w.seen[real] = true
	return true
}

func kindOf(path string) (kind, bool) {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".xpi", ".zip":
		return archive, true
	case ".json", ".jsonl", ".ndjson":
		return listing, true
	}
	return 0, false
}

// run is one call of Paths.
type run struct {
	*Loader
	tell   func(name string)
	report Report
	groups map[string]*group // by GUID
	order  []*group
}

// group is what was found of one add-on in packages.
type group struct {
	guid     string
	packages []*packed
	saved    bool // with a listing
}

// packed is a package whose bytes are stored.
type packed struct {
	path    string
	meta    *xpi.Package
	version *catalog.Version
	icon    string // file.Store key
}

// all reads every package; then each add-on is saved with all of its versions at
// once, and with its listing if there is one.
func (r *run) all(ctx context.Context, items []item) error {
	for _, i := range items {
		if i.kind == listing {
			continue
		}
		if err := r.read(ctx, i); err != nil {
			return err
		}
	}
	for _, i := range items {
		if i.kind != listing {
			continue
		}
		if err := r.listing(ctx, i); err != nil {
			return err
		}
		r.tell(i.path)
	}
	for _, g := range r.order {
		if g.saved {
			continue
		}
		if err := r.unlisted(ctx, g); err != nil {
			return err
		}
	}
	return nil
}

// refuse notes why an item is not loaded; it returns the error if there is no
// point in going on.
func (r *run) refuse(ctx context.Context, path string, why error) error {
	if fatal(ctx, why) {
		return fmt.Errorf("load %s: %w", path, why)
	}
	r.report.refuse(path, plain(why))
	return nil
}

// read reads a package and stores its bytes. They are stored before the add-on is
// saved, so that no row ever names bytes that are not there; what is refused
// later leaves bytes behind that nothing names.
func (r *run) read(ctx context.Context, i item) error {
	p, err := r.packed(ctx, i)
	if err != nil {
		r.tell(i.path)
		return r.refuse(ctx, i.path, err)
	}
	g := r.groups[p.meta.GUID]
	if g == nil {
		g = &group{guid: p.meta.GUID}
		r.groups[g.guid] = g
		r.order = append(r.order, g)
	}
	g.packages = append(g.packages, p)
	return nil
}

func (r *run) packed(ctx context.Context, i item) (*packed, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	body, info, err := packageBytes(i)
	if err != nil {
		return nil, err
	}
	meta, err := xpi.Read(bytes.NewReader(body), int64(len(body)))
	if err != nil {
		return nil, err
	}
	p := &packed{path: i.path, meta: meta}
	blob, err := r.put(ctx, body)
	if err != nil {
		return nil, err
	}
	if meta.Icon.Body != nil {
		icon, err := r.put(ctx, meta.Icon.Body)
		if err != nil {
			return nil, err
		}
		p.icon, meta.Icon.Body = icon.Key, nil
	}
	p.version = newVersion(meta, blob, info.ModTime())
	if meta.UpdateURL != "" {
		r.log.Warn("package has an update_url: browsers will ask there for updates, never here", "path", i.path, "guid", meta.GUID, "url", meta.UpdateURL)
	}
	return p, nil
}

// packageBytes reads an archive or packs a folder; the FileInfo tells its age.
func packageBytes(i item) ([]byte, fs.FileInfo, error) {
	if i.kind == folder {
		info, err := os.Stat(filepath.Join(i.path, "manifest.json"))
		if err != nil {
			return nil, nil, err
		}
		body, err := xpi.FromFolder(i.path, systemRoots(i.path)...)
		return body, info, err
	}
	f, err := os.Open(i.path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	body, err := io.ReadAll(io.LimitReader(f, xpi.MaxArchive+1))
	if err == nil && len(body) > xpi.MaxArchive {
		err = fmt.Errorf("the archive has more than %d bytes: %w", xpi.MaxArchive, catalog.ErrInvalid)
	}
	return body, info, err
}

// systemRoots are where the links of a package may lead. The distribution's own
// packages, below /usr, link to fonts and scripts in /usr/share, which are
// everybody's to read; links of any other folder stay in that folder.
func systemRoots(path string) []string {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil
	}
	if real, err = filepath.Abs(real); err != nil || !strings.HasPrefix(real, "/usr/") || strings.HasPrefix(real, "/usr/local/") {
		return nil
	}
	return []string{"/usr/share", "/usr/lib"}
}

// unlisted saves an add-on of which there are only packages.
func (r *run) unlisted(ctx context.Context, g *group) error {
	defer r.done(g)
	existing, err := r.existing(ctx, g.guid)
	if err != nil {
		return r.refuse(ctx, g.packages[0].path, err)
	}
	in := store.Import{}
	newest, err := r.join(ctx, g, existing, &in)
	switch {
	case err != nil || newest == nil:
		return err
	case existing == nil:
		in.Addon = newAddon(newest)
	case len(in.Versions) == 0:
		r.report.Unchanged++
		return nil
	default:
		in.Addon = known(existing)
		complete(in.Addon, newest)
	}
	return r.keep(ctx, newest.path, in)
}

// done tells that a group's packages are through.
func (r *run) done(g *group) {
	g.saved = true
	for _, p := range g.packages {
		r.tell(p.path)
	}
}

// existing returns the add-on as the site has it, nil if it doesn't.
func (r *run) existing(ctx context.Context, guid string) (*catalog.Addon, error) {
	a, err := r.db.Addon(ctx, guid)
	if errors.Is(err, catalog.ErrNotFound) {
		return nil, nil
	}
	return a, err
}

// keep saves and counts.
func (r *run) keep(ctx context.Context, path string, in store.Import) error {
	saved, err := r.save(ctx, in)
	if err != nil {
		return r.refuse(ctx, path, err)
	}
	r.report.count(saved)
	return nil
}

// join adds the versions of a group's packages to the import, and returns the
// newest package that was not refused.
func (r *run) join(ctx context.Context, g *group, existing *catalog.Addon, in *store.Import) (newest *packed, err error) {
	g.sort()
	for _, p := range g.packages {
		is := p.meta.Type
		switch {
		case in.Addon != nil:
			is = in.Addon.Type
		case existing != nil:
			is = existing.Type
		case newest != nil:
			is = newest.meta.Type
		}
		why := fmt.Errorf("%s is a %s, and can't become a %s: %w", p.meta.GUID, is, p.meta.Type, catalog.ErrInvalid)
		if is == p.meta.Type {
			why = r.add(ctx, existing, in, p)
		}
		if why == nil {
			newest = p
		} else if err := r.refuse(ctx, p.path, why); err != nil {
			return nil, err
		}
	}
	return newest, nil
}

// sort puts the oldest version first, so that ids grow with the numbers: the
// update check offers the version that came last.
func (g *group) sort() {
	slices.SortStableFunc(g.packages, func(a, b *packed) int {
		return cmp.Or(catalog.Compare(a.meta.Version, b.meta.Version), cmp.Compare(a.path, b.path))
	})
}

// add adds a package's version to the import if it is new, or its bytes to the
// version that a listing knows, and says why it may not be there: what was
// published under a number never changes, or browsers that have it would never
// hear of it.
func (r *run) add(ctx context.Context, existing *catalog.Addon, in *store.Import, p *packed) error {
	for _, v := range in.Versions {
		if v.Number == p.meta.Version {
			return fillFile(v, p, "comes twice, with different contents: give one of them another number")
		}
	}
	if existing == nil {
		in.Versions = append(in.Versions, p.version)
		return nil
	}
	have, err := r.db.Version(ctx, existing.ID, "v"+p.meta.Version)
	if errors.Is(err, catalog.ErrNotFound) {
		in.Versions = append(in.Versions, p.version)
		return nil
	}
	if err != nil {
		return err
	}
	missing := have.File.Key == ""
	if err := fillFile(have, p, "is here already with other contents: raise its number"); err != nil {
		return err
	}
	if missing {
		in.Versions = append(in.Versions, have)
	}
	return nil
}

// fillFile gives a version that is known from JSON alone its bytes; otherwise
// says that they are other ones.
func fillFile(v *catalog.Version, p *packed, otherwise string) error {
	if v.File.Hash != "" && v.File.Hash != p.version.File.Hash {
		return fmt.Errorf("version %s %s: %w", v.Number, otherwise, catalog.ErrInvalid)
	}
	v.File.Key, v.File.Hash, v.File.Size = p.version.File.Key, p.version.File.Hash, p.version.File.Size
	return nil
}

// listing loads API JSON, each of its add-ons in its own transaction.
func (r *run) listing(ctx context.Context, i item) error {
	f, err := os.Open(i.path)
	if err != nil {
		return r.refuse(ctx, i.path, err)
	}
	defer f.Close()
	n := 0
	err = amo.Decode(f, func(a amo.Addon) error {
		n++
		if err := ctx.Err(); err != nil {
			return err
		}
		if a.GUID == "" && a.Slug == "" && !i.given {
			return errForeign
		}
		return r.listed(ctx, fmt.Sprintf("%s, add-on %d", i.path, n), a)
	})
	if errors.Is(err, errForeign) || (err != nil && n == 0 && !i.given) {
		return nil // some other program's JSON that lies in the folder
	}
	if err != nil {
		return r.refuse(ctx, i.path, err)
	}
	if n == 0 && i.given {
		return r.refuse(ctx, i.path, fmt.Errorf("no add-ons in this file: %w", catalog.ErrInvalid))
	}
	return nil
}

// errForeign ends the reading of JSON that is no add-on's.
var errForeign = errors.New("not an add-on")

// listed saves one add-on of a listing, with the packages of this load. Bytes
// and pictures that the site has already stay.
func (r *run) listed(ctx context.Context, path string, a amo.Addon) error {
	addon, versions, err := a.Catalog()
	if err != nil {
		return r.refuse(ctx, path, err)
	}
	in := store.Import{Addon: addon, Versions: versions}
	existing, err := r.existing(ctx, addon.GUID)
	if err == nil && existing != nil {
		addon.Icon, addon.Previews = cmp.Or(addon.Icon, existing.Icon), existing.Previews
		in.Versions, err = r.withoutBytes(ctx, existing, versions)
	}
	if err != nil {
		return r.refuse(ctx, path, err)
	}
	if g := r.groups[addon.GUID]; g != nil && !g.saved {
		defer r.done(g)
		newest, err := r.join(ctx, g, existing, &in)
		if err != nil {
			return err
		}
		if newest != nil {
			complete(addon, newest)
		}
	}
	return r.keep(ctx, path, in)
}

// withoutBytes leaves out the versions whose bytes are here.
func (r *run) withoutBytes(ctx context.Context, existing *catalog.Addon, versions []*catalog.Version) ([]*catalog.Version, error) {
	var without []*catalog.Version
	for _, v := range versions {
		have, err := r.db.Version(ctx, existing.ID, "v"+v.Number)
		if err != nil && !errors.Is(err, catalog.ErrNotFound) {
			return nil, err
		}
		if err != nil || have.File.Key == "" {
			without = append(without, v)
		}
	}
	return without, nil
}
