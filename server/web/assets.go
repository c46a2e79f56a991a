package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"net/http"
	"path"
	"strconv"
	"strings"

	"github.com/andybalholm/brotli"
	"github.com/evanw/esbuild/pkg/api"
	"github.com/gin-gonic/gin"
	"github.com/klauspost/compress/gzip"

	"addons/rum"
	"addons/server/catalog"
)

//go:embed assets/*
var assetFiles embed.FS

// forever: the name changes with the bytes.
const forever = "public, max-age=31536000, immutable"

// assets are the files that pages need, minified, compressed and named by their
// content once, at the start.
type assets struct {
	byName map[string]*asset // hashed name
	urls   map[string]string // plain name → URL
}

type asset struct {
	kind   string // content type
	plain  []byte
	brotli []byte // nil when it is no smaller
	gzip   []byte
}

// buildAssets prepares what is embedded, and the builds of the browser's measuring
// script if there are any: they keep their own names, which their integrity hashes go with.
func buildAssets(scripts []rum.Asset) (*assets, error) {
	a := &assets{byName: map[string]*asset{}, urls: map[string]string{}}
	files, err := assetFiles.ReadDir("assets")
	if err != nil {
		return nil, fmt.Errorf("assets: %w", err)
	}
	for _, f := range files {
		body, err := assetFiles.ReadFile("assets/" + f.Name())
		if err == nil {
			body, err = minify(f.Name(), body)
		}
		if err != nil {
			return nil, fmt.Errorf("asset %s: %w", f.Name(), err)
		}
		ext := path.Ext(f.Name())
		sum := sha256.Sum256(body)
		if err := a.add(f.Name(), strings.TrimSuffix(f.Name(), ext)+"-"+hex.EncodeToString(sum[:6])+ext, body); err != nil {
			return nil, err
		}
	}
	for _, s := range scripts {
		if err := a.add(s.Plain, s.Name, s.Body); err != nil {
			return nil, err
		}
	}
	return a, nil
}

func (a *assets) add(plain, hashed string, body []byte) error {
	made := &asset{kind: assetKinds[path.Ext(hashed)], plain: body}
	if made.kind == "" {
		return fmt.Errorf("asset %s: no content type is known for it", hashed)
	}
	var err error
	if made.brotli, made.gzip, err = compressed(body); err != nil {
		return fmt.Errorf("asset %s: %w", hashed, err)
	}
	a.byName[hashed], a.urls[plain] = made, "/static/"+hashed
	return nil
}

var assetKinds = map[string]string{
	".css": "text/css; charset=utf-8",
	".js":  "text/javascript; charset=utf-8",
	".mjs": "text/javascript; charset=utf-8", // of no other type would a browser run a module
	".svg": "image/svg+xml",
}

// url of an asset by its plain name; a name that is not embedded is a mistake
// in a template, and its page's test fails.
func (a *assets) url(name string) string {
	u, ok := a.urls[name]
	if !ok {
		panic("web: no asset " + name)
	}
	return u
}

// minify shortens CSS and scripts; other files are as they are.
func minify(name string, body []byte) ([]byte, error) {
	loaders := map[string]api.Loader{".css": api.LoaderCSS, ".js": api.LoaderJS}
	loader, ok := loaders[path.Ext(name)]
	if !ok {
		return body, nil
	}
	result := api.Transform(string(body), api.TransformOptions{
		Loader: loader, MinifyWhitespace: true, MinifySyntax: true, MinifyIdentifiers: true,
		// Firefox 115 is the oldest that add-ons still support.
		Engines: []api.Engine{{Name: api.EngineFirefox, Version: "115"}, {Name: api.EngineChrome, Version: "110"}, {Name: api.EngineSafari, Version: "16"}},
	})
	if len(result.Errors) > 0 {
		return nil, fmt.Errorf("%s", result.Errors[0].Text)
	}
	return result.Code, nil
}

// brotliLevel: two more save two percent and make each start a tenth of a second longer.
const brotliLevel = 9

// compressed returns the body both ways, nil where that saves nothing.
func compressed(body []byte) (br, gz []byte, err error) {
	if len(body) < compressFrom {
		return nil, nil, nil
	}
	var b, g bytes.Buffer
	bw := brotli.NewWriterLevel(&b, brotliLevel)
	gw, err := gzip.NewWriterLevel(&g, gzip.BestCompression)
	if err != nil {
		return nil, nil, err
	}
	for _, w := range []interface {
		Write([]byte) (int, error)
		Close() error
	}{bw, gw} {
		if _, err := w.Write(body); err != nil {
			return nil, nil, err
		}
		if err := w.Close(); err != nil {
			return nil, nil, err
		}
	}
	if b.Len() < len(body) {
		br = b.Bytes()
	}
	if g.Len() < len(body) {
		gz = g.Bytes()
	}
	return br, gz, nil
}

// static serves an asset in the best coding that the browser takes.
func (w *Web) static(c *gin.Context) error {
	a, ok := w.assets.byName[c.Param("name")]
	if !ok {
		return fmt.Errorf("asset: %w", catalog.ErrNotFound)
	}
	body, coding := a.plain, ""
	accepted := c.GetHeader("Accept-Encoding")
	switch {
	case a.brotli != nil && accepts(accepted, "br"):
		body, coding = a.brotli, "br"
	case a.gzip != nil && accepts(accepted, "gzip"):
		body, coding = a.gzip, "gzip"
	}
	h := c.Writer.Header()
	h.Set("Cache-Control", forever)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if coding != "" {
		h.Set("Content-Encoding", coding)
	}
	c.Data(http.StatusOK, a.kind, body)
	return nil
}

// accepts reads an Accept-Encoding header. A coding given q=0 is not wanted.
func accepts(header, coding string) bool {
	for part := range strings.SplitSeq(header, ",") {
		name, quality, _ := strings.Cut(part, ";")
		if strings.TrimSpace(name) == coding {
			q, given := strings.CutPrefix(strings.ReplaceAll(quality, " ", ""), "q=")
			value, err := strconv.ParseFloat(q, 64)
			return !given || err == nil && value > 0
		}
	}
	return false
}

// favicon is where browsers look when they show something that is not a page.
func (w *Web) favicon(c *gin.Context) error {
	w.redirect(c, http.StatusFound, w.assets.url("mark.svg"))
	return nil
}

// robots keeps crawlers off the endless.
func (w *Web) robots(c *gin.Context) error {
	c.Header("Cache-Control", "public, max-age=86400")
	c.String(http.StatusOK, "User-agent: *\nDisallow: /api/\nDisallow: /*/search/\nDisallow: /*/downloads/\nDisallow: /*/reviews/\n")
	return nil
}
