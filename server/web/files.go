package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"addons/server/catalog"
	"addons/server/store"
)

// packageType is what makes Firefox install instead of save.
// https://extensionworkshop.com/documentation/publish/self-distribution/
const packageType = "application/x-xpinstall"

// attachment in a download's path asks to save the package instead, as on AMO.
const attachment = "type:attachment"

// filePath is the download path of a file.
func filePath(f *catalog.File) string {
	return "/firefox/downloads/file/" + strconv.FormatInt(f.ID, 10) + "/" + url.PathEscape(path.Base("/"+f.Name))
}

// download sends a package: whole or in ranges, 304 to who has it.
func (w *Web) download(c *gin.Context) error {
	id, err := strconv.ParseInt(c.Param("file"), 10, 64)
	if err != nil {
		return fmt.Errorf("file %q: %w", c.Param("file"), catalog.ErrNotFound)
	}
	d, err := w.Site.Download(c.Request.Context(), id)
	if err != nil {
		return err
	}
	h := c.Writer.Header()
	// A day: an id's bytes never change, but an add-on may be taken down.
	h.Set("Cache-Control", "public, max-age=86400")
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("X-Target-Digest", d.File.Hash)
	if d.Body == nil {
		return w.downloadElsewhere(c, d.File.URL)
	}
	defer d.Body.Close()
	h.Set("Content-Type", packageType)
	if strings.HasPrefix(c.Param("name"), "/"+attachment) {
		h.Set("Content-Disposition", `attachment; filename*=UTF-8''`+url.PathEscape(path.Base("/"+d.File.Name)))
	}
	if d.File.Hash != "" {
		h.Set("ETag", `"`+d.File.Hash+`"`)
	}
	http.ServeContent(c.Writer, c.Request, d.File.Name, d.Modified, d.Body)
	// A part is not a download: whoever fetches in parts fetches the first one too, as a range.
	if c.Request.Method == http.MethodGet && c.Writer.Status() == http.StatusOK {
		d.Count()
	}
	return nil
}

// downloadElsewhere sends the visitor to where an imported add-on's bytes are;
// those of a generated catalogue are nowhere.
func (w *Web) downloadElsewhere(c *gin.Context, target string) error {
	if target == "" {
		return errNotStored
	}
	u, err := url.Parse(target)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") {
		return fmt.Errorf("file's address %q: %w", target, catalog.ErrNotFound)
	}
	c.Redirect(http.StatusFound, u.String())
	return nil
}

// latest sends the visitor to the newest package of an add-on.
func (w *Web) latest(c *gin.Context) error {
	a, err := w.Site.Addon(c.Request.Context(), c.Param("addon"))
	if err != nil {
		return err
	}
	target := filePath(&a.Current.File)
	if strings.Contains(c.Param("name"), attachment) {
		dir, name := path.Split(target)
		target = dir + attachment + "/" + name
	}
	c.Header("Cache-Control", "public, max-age=60")
	c.Header("Access-Control-Allow-Origin", "*")
	w.redirect(c, http.StatusFound, unescape(target))
	return nil
}

// unescape undoes the escaping of a path that this package built.
func unescape(escaped string) string {
	p, err := url.PathUnescape(escaped)
	if err != nil {
		return escaped
	}
	return p
}

// media serves an icon or a preview. The key is made of the content's hash, so
// that it may be kept for ever; anything but an image is not given out here.
func (w *Web) media(c *gin.Context) error {
	body, modified, err := w.Site.Image(c.Request.Context(), strings.TrimPrefix(c.Param("key"), "/"))
	if err != nil {
		return err
	}
	defer body.Close()
	kind, err := imageType(body)
	if err != nil {
		return err
	}
	h := c.Writer.Header()
	h.Set("Content-Type", kind)
	h.Set("Cache-Control", forever)
	h.Set("Access-Control-Allow-Origin", "*")
	// Opened by itself, an SVG is a document: it may draw and do nothing else.
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox")
	http.ServeContent(c.Writer, c.Request, "", modified, body)
	return nil
}

// drawingWithin (bytes) is where an SVG has to begin, licence and all: as far as
// xpi.ImageType looks for it when the icon is taken.
const drawingWithin = 4096

// imageType sniffs what an image is; catalog.ErrNotFound if it is none that the site shows.
func imageType(body io.ReadSeeker) (string, error) {
	var start [drawingWithin]byte
	n, err := io.ReadFull(body, start[:])
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("image: %w", err)
	}
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return "", fmt.Errorf("image: %w", err)
	}
	switch kind := http.DetectContentType(start[:n]); {
	case kind == "image/png", kind == "image/jpeg", kind == "image/webp":
		return kind, nil
	case strings.HasPrefix(kind, "text/") && bytes.Contains(start[:n], []byte("<svg")):
		return "image/svg+xml", nil
	default:
		return "", fmt.Errorf("%s is no image: %w", kind, catalog.ErrNotFound)
	}
}

// version is Dockerflow's: what is running.
func (w *Web) version(c *gin.Context) error {
	c.Header("Cache-Control", "no-store")
	c.JSON(http.StatusOK, w.Version)
	return nil
}

// heartbeat is Dockerflow's: whether what the site stands on works. It names the
// checks but not their errors, which would draw the inside for everybody.
func (w *Web) heartbeat(c *gin.Context) error {
	c.Header("Cache-Control", "no-store")
	ok, checks := w.check(c.Request.Context())
	status, word := http.StatusOK, "ok"
	if !ok {
		status, word = http.StatusServiceUnavailable, "error"
	}
	c.JSON(status, map[string]any{"status": word, "checks": checks})
	return nil
}

func (w *Web) check(ctx context.Context) (ok bool, checks map[string]string) {
	checks = map[string]string{}
	if w.Health == nil {
		return true, checks
	}
	report := w.Health.Run(ctx)
	for _, r := range report.Checks {
		switch {
		case r.Error == "":
			checks[r.Name] = "ok"
		case r.Essential:
			checks[r.Name] = "error"
		default:
			checks[r.Name] = "warning"
		}
	}
	return report.OK, checks
}

// alive is Dockerflow's: whether this process answers; it asks nothing else.
func (w *Web) alive(c *gin.Context) error {
	c.Header("Cache-Control", "no-store")
	c.String(http.StatusOK, "ok\n")
	return nil
}

// beacon hands on what a browser measured.
func (w *Web) beacon(c *gin.Context) error {
	if w.Beacon == nil {
		return fmt.Errorf("beacons: %w", catalog.ErrNotFound)
	}
	w.Beacon.ServeHTTP(c.Writer, c.Request)
	return nil
}

// drill breaks as a programmer's mistake would.
func (w *Web) drill(*gin.Context) error { panic("a drill") }

// drillQueries asks for each add-on of a list by itself, as a programmer would who
// doesn't know what lists are for.
func (w *Web) drillQueries(c *gin.Context) error {
	f, err := w.look(c, store.Browse{}, "users")
	if err != nil {
		return err
	}
	for _, a := range f.Addons {
		if _, a.Current, err = w.Site.Version(c.Request.Context(), a.Slug, "v"+a.Current.Number); err != nil {
			return err
		}
	}
	return w.showList(c, w.page(c, ""), f, list{Heading: "A drill: a query for each add-on"})
}
