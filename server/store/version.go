package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"addons/server/catalog"
)

// newestFirst orders versions v as pages list them: by number, so that a fix for
// an old series doesn't come before the newest series.
const newestFirst = " ORDER BY v.sort_key DESC, v.id DESC"

// Versions returns the versions that are offered (catalog.Version.Offered), newest
// first, and how many there are.
func (db *DB) Versions(ctx context.Context, addonID int64, limit, offset int) ([]*catalog.Version, int, error) {
	h := db.reads()
	var total int
	err := h.one(ctx, qVersionsTotal, "SELECT COUNT(*) FROM versions WHERE addon_id = ? AND offered = 1", into{&total}, addonID)
	if err != nil || total <= offset {
		return nil, total, err
	}
	versions, err := h.versionsWhere(ctx, qVersions, "v.addon_id = ? AND v.offered = 1"+newestFirst+" LIMIT ? OFFSET ?", []any{addonID, limit, offset})
	return versions, total, err
}

// Version returns the offered version with the id or number. Digits are an id
// first; "v" before a number makes it a number: "v12".
func (db *DB) Version(ctx context.Context, addonID int64, ref string) (*catalog.Version, error) {
	where, args := "v.number = ?", []any{addonID, ref}
	if number, forced := strings.CutPrefix(ref, "v"); forced {
		where, args = "v.number IN (?, ?)", []any{addonID, number, ref}
	} else if id, err := strconv.ParseInt(ref, 10, 64); err == nil {
		where, args = "(v.id = ? OR v.number = ?)", []any{addonID, id, ref}
	}
	versions, err := db.reads().versionsWhere(ctx, qVersion, "v.addon_id = ? AND v.offered = 1 AND "+where, args)
	if err != nil {
		return nil, fmt.Errorf("version %q of add-on %d: %w", ref, addonID, err)
	}
	best := versions[0]
	for _, v := range versions {
		if strconv.FormatInt(v.ID, 10) == ref || "v"+v.Number == ref {
			best = v
		}
	}
	return best, nil
}

// versionColumns are those of versions v, files f and licenses l.
const versionColumns = `v.id, v.addon_id, v.number, v.channel, v.deleted, v.strict, v.notes, v.created, v.reviewed,
	l.slug, l.name, l.url, l.text, ` + fileColumns

const fileColumns = "f.id, f.version_id, f.name, f.content, f.url, f.hash, f.size, f.status, f.created, f.permissions, f.signed"

// permissions is the JSON column of files.
type permissions struct {
	Required []string `json:"required,omitempty"`
	Optional []string `json:"optional,omitempty"`
	Host     []string `json:"host,omitempty"`
}

// fileInto is where fileColumns go.
func fileInto(f *catalog.File, p *permissions) into {
	return into{&f.ID, &f.VersionID, &f.Name, &f.Key, &f.URL, &f.Hash, &f.Size, &f.Status, fromSeconds(&f.Created), fromJSON(p), &f.Signed}
}

func (p permissions) give(f *catalog.File) {
	f.Permissions, f.OptionalPermissions, f.HostPermissions = p.Required, p.Optional, p.Host
}

// versionRow is a version as a query brings it.
type versionRow struct {
	catalog.Version
	permissions permissions
}

// versionInto is where versionColumns go.
func versionInto(v *versionRow) into {
	return append(into{&v.ID, &v.AddonID, &v.Number, &v.Channel, &v.Deleted, &v.Strict, fromJSON(&v.ReleaseNotes),
		fromSeconds(&v.Created), fromSeconds(&v.Reviewed),
		&v.License.Slug, fromJSON(&v.License.Name), &v.License.URL, &v.License.Text}, fileInto(&v.File, &v.permissions)...)
}

func (v versionRow) version() *catalog.Version {
	v.permissions.give(&v.File)
	return &v.Version
}

// versionsWhere reads whole versions: two queries, however many.
func (h handle) versionsWhere(ctx context.Context, q query, where string, args []any) ([]*catalog.Version, error) {
	versions, err := list(ctx, h, q, "SELECT "+versionColumns+` FROM versions v
		JOIN files f ON f.version_id = v.id JOIN licenses l ON l.id = v.license_id WHERE `+where, args,
		func(r row, to **catalog.Version) error {
			var v versionRow
			err := r.Scan(versionInto(&v)...)
			*to = v.version()
			return err
		})
	if err != nil {
		return nil, err
	}
	return versions, attach(ctx, h, versions, versionParts()...)
}

// versionParts are what a version is made of besides the rows that there is one of.
func versionParts() []loader[*catalog.Version] {
	return []loader[*catalog.Version]{relation[*catalog.Version, catalog.Compat]{
		qVersionCompat, "SELECT version_id, app, min_version, max_version FROM compat WHERE version_id IN %s ORDER BY version_id, place",
		func(v *catalog.Version) int64 { return v.ID },
		func(c *catalog.Compat) into { return into{&c.App, &c.Min, &c.Max} },
		func(v *catalog.Version, c catalog.Compat) { v.Compatibility = append(v.Compatibility, c) },
	}}
}

// File returns the file of a listed version that isn't deleted, whatever its
// status, and of its add-on ID, GUID, Slug, Type, Status and DefaultLocale.
func (db *DB) File(ctx context.Context, id int64) (*catalog.File, *catalog.Addon, error) {
	var f catalog.File
	var a catalog.Addon
	var p permissions
	err := db.reads().one(ctx, qFile, "SELECT "+fileColumns+`, a.id, a.guid, a.slug, a.type, a.status, a.default_locale
		FROM files f JOIN versions v ON v.id = f.version_id JOIN addons a ON a.id = f.addon_id
		WHERE f.id = ? AND v.deleted = 0 AND v.channel = ?`,
		append(fileInto(&f, &p), &a.ID, &a.GUID, &a.Slug, &a.Type, &a.Status, &a.DefaultLocale), id, catalog.Listed)
	if err != nil {
		return nil, nil, fmt.Errorf("file %d: %w", id, err)
	}
	p.give(&f)
	return &f, &a, nil
}

// savingVersion is a version of an import and what tells whether it is new.
type savingVersion struct {
	catalog.Version
	digest  string
	license string // digest of the license
	known   bool   // a version with the number is stored
}

// newSavingVersion fills in what an import left out; ids don't count.
func newSavingVersion(v catalog.Version, now time.Time) savingVersion {
	if v.Channel == "" {
		v.Channel = catalog.Listed
	}
	same := v
	same.ID, same.AddonID, same.File.ID, same.File.VersionID, same.HeldBack = 0, 0, 0, 0, 0
	for _, t := range []*time.Time{&same.Created, &same.Reviewed, &same.File.Created} {
		*t = t.UTC().Truncate(time.Second)
	}
	s := savingVersion{Version: v, digest: digest(same), license: digest(v.License)}
	if s.Created.IsZero() {
		s.Created = now
	}
	if s.File.Created.IsZero() {
		s.File.Created = s.Created
	}
	return s
}

// newVersions are those that differ from what is stored.
func (s *saving) newVersions(stored storedAddon) []savingVersion {
	var versions []savingVersion
	for _, v := range s.versions {
		var digest string
		if digest, v.known = stored.versions[v.Number]; digest != v.digest {
			versions = append(versions, v)
		}
	}
	return versions
}

// saveVersions writes versions with their licenses, files and ranges: as many
// statements for one as for a hundred.
func (h handle) saveVersions(ctx context.Context, addonID int64, versions []savingVersion) error {
	for chunk := range slices.Chunk(versions, rowsMax) {
		licenses, err := h.saveLicenses(ctx, chunk)
		if err != nil {
			return err
		}
		if err := h.saveVersionRows(ctx, addonID, chunk, licenses); err != nil {
			return err
		}
		if err := h.takeVersionIDs(ctx, addonID, chunk); err != nil {
			return err
		}
		if err := h.saveFiles(ctx, addonID, chunk); err != nil {
			return err
		}
		if err := h.saveCompat(ctx, chunk); err != nil {
			return err
		}
	}
	return nil
}

// saveLicenses writes each license once and returns their ids by digest.
func (h handle) saveLicenses(ctx context.Context, versions []savingVersion) (map[string]int64, error) {
	texts := map[string]catalog.License{}
	for _, v := range versions {
		texts[v.license] = v.License
	}
	digests := slices.Sorted(maps.Keys(texts))
	known, err := h.licenseIDs(ctx, digests)
	if err != nil {
		return nil, err
	}
	var missing [][]any
	for _, d := range digests {
		if known[d] == 0 {
			l := texts[d]
			missing = append(missing, licenseRow(nil, d, l))
		}
	}
	if len(missing) == 0 {
		return known, nil
	}
	err = h.insertRows(ctx, qSaveLicense, licensesTable, missing, h.d.onConflict("digest"))
	if err != nil {
		return nil, err
	}
	return h.licenseIDs(ctx, digests)
}

func licenseRow(id any, digest string, l catalog.License) []any {
	return []any{id, digest, l.Slug, asJSON(l.Name), l.URL, l.Text}
}

func (h handle) licenseIDs(ctx context.Context, digests []string) (map[string]int64, error) {
	known := map[string]int64{}
	err := h.rows(ctx, qSaveLicense, "SELECT digest, id FROM licenses WHERE digest IN "+in(len(digests)), anys(digests), func(r row) error {
		var d string
		var id int64
		err := r.Scan(&d, &id)
		known[d] = id
		return err
	})
	return known, err
}

func (h handle) saveVersionRows(ctx context.Context, addonID int64, versions []savingVersion, licenses map[string]int64) error {
	wanted := make([]int64, len(versions))
	for i, v := range versions {
		wanted[i] = v.ID
	}
	taken, err := h.freeIDs(ctx, "versions", wanted)
	if err != nil {
		return err
	}
	rows := make([][]any, len(versions))
	for i, v := range versions {
		rows[i] = v.row(taken.orNull(v.ID), addonID, licenses[v.license])
	}
	return h.upsertRows(ctx, qSaveVersion, versionsTable, "addon_id, number", rows, func(i int) bool { return !versions[i].known })
}

func (v *savingVersion) row(id any, addonID, license int64) []any {
	return []any{
		id, addonID, v.Number, sortKey(v.Number),
		v.Channel, v.Deleted, v.Offered(), v.Strict, asJSON(v.ReleaseNotes), license,
		seconds(v.Created), seconds(v.Reviewed), v.digest,
	}
}

// sortKey is what versions are sorted by.
func sortKey(number string) string { return cut(catalog.VersionKey(number), maxShort) }

// takeVersionIDs sets the versions' ids to those that they have now.
func (h handle) takeVersionIDs(ctx context.Context, addonID int64, versions []savingVersion) error {
	byNumber := map[string]*savingVersion{}
	args := []any{addonID}
	for i := range versions {
		byNumber[versions[i].Number] = &versions[i]
		args = append(args, versions[i].Number)
	}
	return h.rows(ctx, qSaveVersion, "SELECT id, number FROM versions WHERE addon_id = ? AND number IN "+in(len(versions)), args, func(r row) error {
		var id int64
		var number string
		err := r.Scan(&id, &number)
		if err == nil {
			byNumber[number].ID = id
		}
		return err
	})
}

func (h handle) saveFiles(ctx context.Context, addonID int64, versions []savingVersion) error {
	wanted := make([]int64, len(versions))
	for i, v := range versions {
		wanted[i] = v.File.ID
	}
	taken, err := h.freeIDs(ctx, "files", wanted)
	if err != nil {
		return err
	}
	rows := make([][]any, len(versions))
	for i, v := range versions {
		rows[i] = v.fileRow(taken.orNull(v.File.ID), addonID)
	}
	return h.upsertRows(ctx, qSaveFile, filesTable, "version_id", rows, func(i int) bool { return !versions[i].known })
}

func (v *savingVersion) fileRow(id any, addonID int64) []any {
	f := v.File
	return []any{
		id, v.ID, addonID, f.Name, f.Key, f.URL, f.Hash, f.Size, f.Status, seconds(f.Created),
		asJSON(permissions{f.Permissions, f.OptionalPermissions, f.HostPermissions}), f.Signed,
	}
}

func (h handle) saveCompat(ctx context.Context, versions []savingVersion) error {
	ids := make([]any, len(versions))
	var rows [][]any
	for i, v := range versions {
		ids[i] = v.ID
		rows = append(rows, v.compatRows()...)
	}
	if _, err := h.exec(ctx, qSaveCompat, "DELETE FROM compat WHERE version_id IN "+in(len(ids)), ids...); err != nil {
		return err
	}
	return h.insertRows(ctx, qSaveCompat, compatTable, rows, "")
}

func (v *savingVersion) compatRows() (rows [][]any) {
	for place, c := range v.Compatibility {
		rows = append(rows, []any{v.ID, c.App, place, c.Min, c.Max})
	}
	return rows
}
