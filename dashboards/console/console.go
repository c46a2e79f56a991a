// Package console is the look of the operators' pages: one frame, one
// stylesheet and one navigation for dashboards, alerts and whatever else an
// operator opens. It works without script, in light and dark, on a phone, and
// under the strict content policy that it sends.
package console

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"net/http"
	"path"
	"strings"
)

// Link is an entry of the navigation.
type Link struct{ Name, Path string }

//go:embed console.css
var style []byte

//go:embed frame.html
var frameText string

var frame = template.Must(template.New("frame").Parse(frameText))

// policy: nothing but our own files, no inline style or script.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// Console renders pages within the frame.
type Console struct {
	base  string
	nav   []Link
	style Asset
}

// New returns a Console for pages below base, such as "/alerts/", as it is in the
// URL. The navigation shows nav in its order.
func New(base string, nav []Link) *Console {
	return &Console{base: base, nav: nav, style: NewAsset(base, "console.css", style)}
}

// Base is the path below which the pages lie.
func (c *Console) Base() string { return c.base }

// Files are what the pages link to; their handler mounts each at its Path.
func (c *Console) Files() []Asset { return []Asset{c.style} }

// Page is one page.
type Page struct {
	Title string
	// Here is the Path of the navigation's entry that the page belongs to.
	Here string
	// Styles and Scripts are the page's own, besides the frame's.
	Styles, Scripts []string
	Body            template.HTML
}

// Write sends the page.
func (c *Console) Write(w http.ResponseWriter, status int, p Page) error {
	var b bytes.Buffer
	err := frame.Execute(&b, struct {
		Page
		Nav   []Link
		Style string
	}{p, c.nav, c.style.Path})
	if err != nil {
		return fmt.Errorf("page %q: %w", p.Title, err)
	}
	Guard(w.Header())
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, err = w.Write(b.Bytes())
	return err
}

// Guard sets the headers that every page and fragment has: no cache, and a
// browser that takes them for nothing else.
func Guard(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// Asset is a file whose path contains its content's hash, so that browsers may
// keep it for ever.
type Asset struct {
	Path       string
	kind       string
	body, gzip []byte
}

var kinds = map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}

// NewAsset returns the asset of a .css or .js file under base.
func NewAsset(base, name string, body []byte) Asset {
	sum := sha256.Sum256(body)
	ext := path.Ext(name)
	return Asset{
		Path: base + strings.TrimSuffix(name, ext) + "-" + hex.EncodeToString(sum[:6]) + ext,
		kind: kinds[ext], body: body, gzip: squeeze(body),
	}
}

func squeeze(body []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write(body) // into memory: neither call can fail
	z.Close()
	return b.Bytes()
}

func (a Asset) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", a.kind)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Vary", "Accept-Encoding")
	body := a.body
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		body = a.gzip
	}
	w.Write(body)
}
