package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"addons/server/catalog"
)

// Candidates returns what the update check needs to know of an add-on for an
// application (App.Slug): whether it is known, which is to say neither disabled nor
// deleted, its slug, and, newest first, the versions that catalog.Choose can
// choose for some version of the application, with what Choose and the answer read
// of them (ID, Number, Channel, Strict, Compatibility, File, and the locales of the
// ReleaseNotes without their texts). One row by its key; callers at the same time share
// a statement.
func (db *DB) Candidates(ctx context.Context, guid, app string) (known bool, versions []*catalog.Version, slug string, err error) {
	o, shared, err := db.offer(ctx, offerKey{guid, app})
	if shared > 0 {
		db.timers[qCandidates][outcomeOK].Share(ctx, shared)
	}
	if errors.Is(err, catalog.ErrNotFound) {
		return false, nil, "", nil
	}
	if err != nil {
		return false, nil, "", err
	}
	var offers []offer
	if err := json.Unmarshal(o.versions, &offers); err != nil {
		return false, nil, "", fmt.Errorf("offers of %q for %s: %w", guid, app, err)
	}
	versions = make([]*catalog.Version, len(offers))
	for i, o := range offers {
		versions[i] = o.version(app)
	}
	return true, versions, o.slug, nil
}

// offer reads one row, together with others' where it makes no difference whose reads they are.
func (d *driver) offer(ctx context.Context, key offerKey) (o offerRow, shared time.Duration, err error) {
	if !ownReads(ctx) {
		return d.offers.one(ctx, key)
	}
	rows, err := d.readOffers(ctx, []offerKey{key})
	o, found := rows[key]
	if err == nil && !found {
		err = catalog.ErrNotFound
	}
	return o, 0, err
}

// offerKey is the key of a row of offers, and offerRow what else it has.
type offerKey struct{ guid, app string }

type offerRow struct {
	slug     string
	versions []byte // JSON
}

// readOffers reads the rows that there are by one statement, which is what an update
// check may make: for keys of several applications it brings rows that nobody asked for too.
func (d *driver) readOffers(ctx context.Context, keys []offerKey) (map[offerKey]offerRow, error) {
	var apps, guids []any
	for _, k := range keys {
		guids = append(guids, k.guid)
		if !slices.Contains(apps, any(k.app)) {
			apps = append(apps, k.app)
		}
	}
	rows := make(map[offerKey]offerRow, len(keys))
	err := d.reads().rows(ctx, qCandidates, "SELECT guid, app, slug, versions FROM offers WHERE app IN "+in(len(apps))+" AND guid IN "+in(len(guids)), append(apps, guids...), func(r row) error {
		var key offerKey
		var o offerRow
		if err := r.Scan(&key.guid, &key.app, &o.slug, &o.versions); err != nil {
			return err
		}
		rows[key] = o
		return nil
	})
	if errors.Is(err, catalog.ErrNotFound) {
		err = nil
	}
	return rows, err
}

// offer is a version in the JSON column of offers. Names are short because there
// are as many of them as update checks.
type offer struct {
	ID     int64  `json:"i"`
	Number string `json:"n"`
	Strict bool   `json:"s,omitempty"`
	Min    string `json:"a,omitempty"`
	Max    string `json:"z,omitempty"`
	FileID int64  `json:"f"`
	Name   string `json:"fn"`
	Key    string `json:"k,omitempty"`
	URL    string `json:"u,omitempty"`
	Hash   string `json:"h"`
	Size   int64  `json:"b,omitempty"`
	// Notes are the locales that have release notes.
	Notes []string `json:"r,omitempty"`
	// Held is catalog.Version's HeldBack.
	Held int `json:"p,omitempty"`
}

func newOffer(v *catalog.Version, c catalog.Compat) offer {
	return offer{
		ID: v.ID, Number: v.Number, Strict: v.Strict, Min: c.Min, Max: c.Max,
		FileID: v.File.ID, Name: v.File.Name, Key: v.File.Key, URL: v.File.URL, Hash: v.File.Hash, Size: v.File.Size,
		Notes: v.ReleaseNotes.Locales(), Held: v.HeldBack,
	}
}

func (o offer) version(app string) *catalog.Version {
	notes := catalog.Text{}
	for _, locale := range o.Notes {
		notes[locale] = ""
	}
	return &catalog.Version{
		ID: o.ID, Number: o.Number, Channel: catalog.Listed, Strict: o.Strict, ReleaseNotes: notes, HeldBack: o.Held,
		Compatibility: []catalog.Compat{{App: app, Min: o.Min, Max: o.Max}},
		File: catalog.File{
			ID: o.FileID, VersionID: o.ID, Name: o.Name, Key: o.Key, URL: o.URL,
			Hash: o.Hash, Size: o.Size, Status: catalog.Public,
		},
	}
}

// choosable are the offers of what catalog.Choose can choose. Few, which keeps the
// row short for an add-on with a thousand versions.
func choosable(versions []*catalog.Version, app catalog.App) []offer {
	offers := []offer{}
	for _, v := range catalog.Choosable(versions, app) {
		bounds, _ := v.For(app)
		offers = append(offers, newOffer(v, bounds))
	}
	return offers
}

// offered reads what choosable needs of an add-on's offered versions, and Created.
func (h handle) offered(ctx context.Context, addonID int64) ([]*catalog.Version, error) {
	versions, err := list(ctx, h, qSaveOffers, `SELECT v.id, v.number, v.strict, v.notes, v.created, f.id, f.name, f.content, f.url, f.hash, f.size,
		COALESCE(r.held_back, 0) FROM versions v JOIN files f ON f.version_id = v.id LEFT JOIN rollouts r ON r.version_id = v.id WHERE v.addon_id = ? AND v.offered = 1`+newestFirst, []any{addonID},
		func(r row, to **catalog.Version) error {
			v := &catalog.Version{Channel: catalog.Listed, File: catalog.File{Status: catalog.Public}}
			*to = v
			return r.Scan(&v.ID, &v.Number, &v.Strict, fromJSON(&v.ReleaseNotes), fromSeconds(&v.Created),
				&v.File.ID, &v.File.Name, &v.File.Key, &v.File.URL, &v.File.Hash, &v.File.Size, &v.HeldBack)
		})
	if err != nil {
		return nil, err
	}
	return versions, attach(ctx, h, versions, versionParts()...)
}

// saveOffers writes what Candidates reads.
func (h handle) saveOffers(ctx context.Context, a *catalog.Addon, versions []*catalog.Version) error {
	if _, err := h.exec(ctx, qSaveOffers, "DELETE FROM offers WHERE guid = ?", a.GUID); err != nil {
		return err
	}
	return h.insertRows(ctx, qSaveOffers, offersTable, offerRows(a, versions), "")
}

func offerRows(a *catalog.Addon, versions []*catalog.Version) (rows [][]any) {
	switch a.Status {
	case catalog.Disabled, catalog.Deleted:
		return nil
	case catalog.Public:
	default:
		versions = nil // in review: known, but nothing is offered
	}
	for _, app := range catalog.Apps() {
		rows = append(rows, []any{a.GUID, app.Slug, a.Slug, asJSON(choosable(versions, app))})
	}
	return rows
}
