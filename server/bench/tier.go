package bench

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
	"github.com/gin-gonic/gin"
	"github.com/go-sql-driver/mysql"
	_ "modernc.org/sqlite"

	"addons/server/catalog"
	"addons/server/metrics"
	"addons/server/store"
	"addons/server/update"
)

// Tier is one way of answering update checks, which a process of its own serves.
type Tier struct {
	Name string
	What string
	Talk string // its figure of 2012
	// serve makes the handler; nil for the platform itself.
	serve func(context.Context, *backends) (http.Handler, error)
	cache bool // it needs memcached
}

// Tiers in the order of the table. The talk's figures are those of the whole fleet of
// some 24 machines.
func Tiers() []Tier {
	return []Tier{
		{Name: "connect", What: "framework, a connection for each check, three queries", Talk: "150 (stock Django)", serve: connecting},
		{Name: "pool", What: "framework, pooled connections, three queries", Talk: "200 (pooled)", serve: pooling},
		{Name: "raw", What: "no framework, pooled, one join", Talk: "", serve: joining},
		{Name: "optimised", What: "no framework, pooled, one denormalised row", Talk: "700 (no framework, pooled, optimised)", serve: optimised},
		{Name: "memcached", What: "no framework, answers in memcached", Talk: "", serve: cached, cache: true},
		{Name: "in-process", What: "no framework, answers in a map", Talk: "", serve: inProcess},
		{Name: "gin", What: "framework, answers in a map", Talk: "", serve: ginFromMemory},
		{Name: "bare", What: "net/http alone, one constant answer of the same bytes, header and all", Talk: "", serve: bare},
		{Name: "thin", What: "net/http alone, its body without the header", Talk: "", serve: thin},
		{Name: Platform, What: "all of it, every instrument on", Talk: ""},
		{Name: Mix, What: "the same, a fifth of the checks for any add-on, most of them a query each", Talk: "8,000 (6,400 of them from the cache)"},
	}
}

// Platform is the name of the tier that is the platform itself, and Mix of the one
// that is asked what the talk's fleet was asked: four of five from the cache.
const (
	Platform = "platform"
	Mix      = "platform-mix"
)

// backends are what a tier may use.
type backends struct {
	Backends
	store *store.DB
	db    *sql.DB
}

// Backends are where a tier finds what it needs.
type Backends struct {
	Database, Cache string
	Search          string // an index that is filled; "" is an empty one
	Constant        string // body that the tier "bare" sends
}

// maxConns of pooled tiers: more only queue in the database, on a few processors.
const maxConns = 16

// queryTimeout of one check.
const queryTimeout = 5 * time.Second

// Serve serves a tier on listener until ctx is done.
func Serve(ctx context.Context, name string, b Backends, listener net.Listener) error {
	for _, tier := range Tiers() {
		if tier.Name != name || tier.serve == nil {
			continue
		}
		s, err := openStore(ctx, b.Database)
		if err != nil {
			return err
		}
		defer s.Close()
		db, err := openSQL(b.Database)
		if err != nil {
			return err
		}
		defer db.Close()
		handler, err := tier.serve(ctx, &backends{b, s, db})
		if err != nil {
			return err
		}
		server := &http.Server{Handler: handler}
		context.AfterFunc(ctx, func() { server.Close() })
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	}
	return fmt.Errorf("no tier %q", name)
}

// openSQL opens the database of a URL of the store's, without the store.
func openSQL(rawURL string) (*sql.DB, error) {
	if path, ok := strings.CutPrefix(rawURL, "sqlite:"); ok {
		path, _, _ = strings.Cut(path, "?")
		return sql.Open("sqlite", "file:"+path+"?mode=ro&_pragma=busy_timeout(5000)")
	}
	u, err := url.Parse(rawURL)
	if err != nil || u.Scheme != "mysql" {
		return nil, errors.New("--database: want sqlite:PATH or mysql://user:password@host:port/name")
	}
	c := mysql.NewConfig()
	c.User, c.Net, c.Addr, c.DBName = u.User.Username(), "tcp", u.Host, strings.TrimPrefix(u.Path, "/")
	c.Passwd, _ = u.User.Password()
	c.InterpolateParams = true
	c.Timeout, c.ReadTimeout, c.WriteTimeout = queryTimeout, queryTimeout, queryTimeout
	return sql.Open("mysql", c.FormatDSN())
}

// connecting has no pool: database/sql closes each connection after its check.
func connecting(_ context.Context, b *backends) (http.Handler, error) {
	b.db.SetMaxIdleConns(0)
	return framework(b, threeQueries), nil
}

func pooling(_ context.Context, b *backends) (http.Handler, error) {
	b.pooled()
	return framework(b, threeQueries), nil
}

func (b *backends) pooled() {
	b.db.SetMaxOpenConns(maxConns)
	b.db.SetMaxIdleConns(maxConns)
}

// framework is the check as one writes it with gin.
func framework(b *backends, find finder) http.Handler {
	gin.SetMode(gin.ReleaseMode)
	e := gin.New()
	e.Use(gin.Recovery())
	e.GET(path, func(c *gin.Context) {
		app, known := catalog.AppBy(c.Query("appID"))
		r := update.Request{GUID: c.Query("id"), App: app, AppVersion: c.Query("appVersion"), Mode: catalog.ModeOf(c.Query("compatMode"))}
		if !known || r.GUID == "" || r.AppVersion == "" {
			c.Data(http.StatusBadRequest, "application/json", []byte("{}"))
			return
		}
		body, err := b.answer(c.Request.Context(), r, find)
		if err != nil {
			c.String(http.StatusInternalServerError, "%v", err)
			return
		}
		c.Data(http.StatusOK, "application/json", body)
	})
	return e
}

// finder finds the add-on that is asked for, and those of its versions that are offered.
type finder func(context.Context, *sql.Conn, update.Request) (known bool, slug string, versions []*catalog.Version, err error)

// answer uses one connection for a check, as a request of Django's does.
func (b *backends) answer(ctx context.Context, r update.Request, find finder) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	conn, err := b.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	known, slug, versions, err := find(ctx, conn, r)
	if err != nil {
		return nil, err
	}
	return update.Reference(BaseURL, r, known, slug, versions)
}

// threeQueries asks as an ORM does: for the add-on, its versions, their ranges.
func threeQueries(ctx context.Context, db *sql.Conn, r update.Request) (known bool, slug string, versions []*catalog.Version, err error) {
	var id int64
	var status catalog.Status
	err = db.QueryRowContext(ctx, "SELECT id, slug, status FROM addons WHERE guid = ?", r.GUID).Scan(&id, &slug, &status)
	if errors.Is(err, sql.ErrNoRows) || err == nil && (status == catalog.Disabled || status == catalog.Deleted) {
		return false, "", nil, nil
	}
	if err != nil || status != catalog.Public {
		return true, slug, nil, err
	}
	rows, err := db.QueryContext(ctx, `SELECT v.id, v.number, v.strict, v.notes, f.id, f.name, f.content, f.url, f.hash
		FROM versions v JOIN files f ON f.version_id = v.id WHERE v.addon_id = ? AND v.offered = 1`, id)
	if err != nil {
		return false, "", nil, err
	}
	byID := map[int64]*catalog.Version{}
	for rows.Next() {
		v := &catalog.Version{Channel: catalog.Listed, File: catalog.File{Status: catalog.Public}}
		var notes []byte
		if err := rows.Scan(&v.ID, &v.Number, &v.Strict, &notes, &v.File.ID, &v.File.Name, &v.File.Key, &v.File.URL, &v.File.Hash); err != nil {
			return false, "", nil, err
		}
		if err := json.Unmarshal(notes, &v.ReleaseNotes); err != nil {
			return false, "", nil, err
		}
		byID[v.ID] = v
		versions = append(versions, v)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil || len(versions) == 0 {
		return true, slug, nil, err
	}
	var ids []any
	for _, v := range versions {
		ids = append(ids, v.ID)
	}
	rows, err = db.QueryContext(ctx, "SELECT version_id, app, min_version, max_version FROM compat WHERE version_id IN (?"+
		strings.Repeat(",?", len(ids)-1)+")", ids...)
	if err != nil {
		return false, "", nil, err
	}
	for rows.Next() {
		var of int64
		var c catalog.Compat
		if err := rows.Scan(&of, &c.App, &c.Min, &c.Max); err != nil {
			return false, "", nil, err
		}
		byID[of].Compatibility = append(byID[of].Compatibility, c)
	}
	return true, slug, versions, errors.Join(rows.Err(), rows.Close())
}

// oneJoin asks for what the check needs at once.
func oneJoin(ctx context.Context, db *sql.Conn, r update.Request) (known bool, slug string, versions []*catalog.Version, err error) {
	rows, err := db.QueryContext(ctx, `SELECT a.slug, a.status, v.id, v.number, v.strict, v.notes, f.id, f.name, f.content, f.url, f.hash, c.min_version, c.max_version
		FROM addons a LEFT JOIN versions v ON v.addon_id = a.id AND v.offered = 1 LEFT JOIN files f ON f.version_id = v.id
		LEFT JOIN compat c ON c.version_id = v.id AND c.app = ? WHERE a.guid = ?`, r.App.Slug, r.GUID)
	if err != nil {
		return false, "", nil, err
	}
	for rows.Next() {
		var status catalog.Status
		var id, file sql.NullInt64
		var strict sql.NullBool
		var number, name, content, link, hash, lower, upper sql.NullString
		var notes []byte
		if err := rows.Scan(&slug, &status, &id, &number, &strict, &notes, &file, &name, &content, &link, &hash, &lower, &upper); err != nil {
			return false, "", nil, err
		}
		known = status != catalog.Disabled && status != catalog.Deleted
		if status != catalog.Public || !lower.Valid {
			continue
		}
		v := &catalog.Version{
			ID: id.Int64, Number: number.String, Strict: strict.Bool, Channel: catalog.Listed,
			Compatibility: []catalog.Compat{{App: r.App.Slug, Min: lower.String, Max: upper.String}},
			File:          catalog.File{ID: file.Int64, Name: name.String, Key: content.String, URL: link.String, Hash: hash.String, Status: catalog.Public},
		}
		if err := json.Unmarshal(notes, &v.ReleaseNotes); err != nil {
			return false, "", nil, err
		}
		versions = append(versions, v)
	}
	return known, slug, versions, errors.Join(rows.Err(), rows.Close())
}

func joining(_ context.Context, b *backends) (http.Handler, error) {
	b.pooled()
	return plain(func(ctx context.Context, r update.Request) ([]byte, error) { return b.answer(ctx, r, oneJoin) }), nil
}

// optimised reads the row that the platform reads on a miss, by the platform's own store.
func optimised(_ context.Context, b *backends) (http.Handler, error) {
	return plain(b.fromStore), nil
}

func (b *backends) fromStore(ctx context.Context, r update.Request) ([]byte, error) {
	known, versions, slug, err := b.store.Candidates(ctx, r.GUID, r.App.Slug)
	if err != nil {
		return nil, err
	}
	return update.Reference(BaseURL, r, known, slug, versions)
}

// plain is net/http alone.
func plain(answer func(context.Context, update.Request) ([]byte, error)) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		h := rw.Header()
		h["Content-Type"] = jsonType
		question, err := update.Parse(r.URL.RawQuery)
		if err != nil {
			rw.WriteHeader(http.StatusBadRequest)
			return
		}
		body, err := answer(r.Context(), question)
		if err != nil {
			http.Error(rw, err.Error(), http.StatusInternalServerError)
			return
		}
		h["Cache-Control"] = hourCache
		rw.Write(body)
	})
}

var (
	jsonType  = []string{"application/json"}
	hourCache = []string{"public, max-age=3600"}
)

// keyOf is what an answer is kept under.
func keyOf(r update.Request) string { return r.Key() + "/" + r.AppVersion + "/" + string(r.Mode) }

// cached asks memcached, and fills it from the optimised statement.
func cached(_ context.Context, b *backends) (http.Handler, error) {
	u, err := url.Parse(b.Cache)
	if err != nil || u.Scheme != "memcache" {
		return nil, errors.New("--cache: want memcache://host:port")
	}
	client := memcache.New(u.Host)
	client.Timeout, client.MaxIdleConns = queryTimeout, 64
	return plain(func(ctx context.Context, r update.Request) ([]byte, error) {
		key := "bench/" + keyOf(r)
		if item, err := client.Get(key); err == nil {
			return item.Value, nil
		} else if !errors.Is(err, memcache.ErrCacheMiss) {
			return nil, err
		}
		body, err := b.fromStore(ctx, r)
		if err == nil {
			err = client.Set(&memcache.Item{Key: key, Value: body, Expiration: 3600})
		}
		return body, err
	}), nil
}

// inProcess keeps answers in a map: of the questions of one run, thus no more than these.
func inProcess(_ context.Context, b *backends) (http.Handler, error) {
	return plain(b.remembering()), nil
}

func (b *backends) remembering() func(context.Context, update.Request) ([]byte, error) {
	var answers sync.Map
	return func(ctx context.Context, r update.Request) ([]byte, error) {
		key := keyOf(r)
		if body, ok := answers.Load(key); ok {
			return body.([]byte), nil
		}
		body, err := b.fromStore(ctx, r)
		if err == nil {
			answers.Store(key, body)
		}
		return body, err
	}
}

// ginFromMemory is gin as its documentation shows it, with the answers in a map.
func ginFromMemory(_ context.Context, b *backends) (http.Handler, error) {
	remembered := b.remembering()
	gin.SetMode(gin.ReleaseMode)
	e := gin.New()
	e.GET(path, func(c *gin.Context) {
		app, _ := catalog.AppBy(c.Query("appID"))
		body, err := remembered(c.Request.Context(), update.Request{
			GUID: c.Query("id"), App: app, AppVersion: c.Query("appVersion"), Mode: catalog.ModeOf(c.Query("compatMode")),
		})
		if err != nil {
			c.String(http.StatusInternalServerError, "%v", err)
			return
		}
		c.Header("Cache-Control", "public, max-age=3600")
		c.Data(http.StatusOK, "application/json", body)
	})
	return e, nil
}

// bare answers everything by the same bytes, and with as much in the header as the
// platform's answer has: what net/http costs whoever answers.
func bare(_ context.Context, b *backends) (http.Handler, error) {
	body := []byte(b.Constant)
	etag := []string{`"0123456789abcdef"`}
	cacheControl := []string{"public, max-age=3600, stale-while-revalidate=3600, stale-if-error=86400"}
	timing := []string{string(metrics.AppendServerTiming(nil, time.Millisecond, metrics.NewTraceID("")))}
	sniff := []string{"nosniff"}
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		h := rw.Header()
		h["Content-Type"], h["Cache-Control"], h["Etag"], h["Server-Timing"], h["X-Content-Type-Options"] = jsonType, cacheControl, etag, timing, sniff
		rw.Write(body)
	}), nil
}

// thin is bare without what the platform's header says.
func thin(_ context.Context, b *backends) (http.Handler, error) {
	body := []byte(b.Constant)
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header()["Content-Type"] = jsonType
		rw.Write(body)
	}), nil
}
