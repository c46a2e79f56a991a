package views

import (
	"bytes"
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"time"

	"addons/dashboards/console"
	"addons/rum"
)

var (
	//go:embed views.html
	templates string
	//go:embed views.css
	style []byte
)

// Handler shows a Store's page views.
type Handler struct {
	store   *Store
	console *console.Console
	style   console.Asset
	pages   *template.Template
	mux     *http.ServeMux
}

// New returns the pages below the console's base.
func New(s *Store, c *console.Console) *Handler {
	h := &Handler{store: s, console: c, style: console.NewAsset(c.Base()+"assets/", "views.css", style), mux: http.NewServeMux()}
	h.pages = template.Must(template.New("").Funcs(template.FuncMap{
		"ms":    number,
		"ago":   func(t time.Time) string { return time.Since(t).Round(time.Second).String() + " ago" },
		"at":    func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"span":  millis,
		"vital": vital,
	}).Parse(templates))
	h.mux.HandleFunc("GET "+c.Base()+"{$}", h.list)
	h.mux.HandleFunc("GET "+c.Base()+"{number}", h.one)
	h.mux.HandleFunc("GET "+c.Base()+"trace/{trace}", h.trace)
	h.mux.Handle("GET "+h.style.Path, h.style)
	for _, a := range c.Files() {
		h.mux.Handle("GET "+a.Path, a)
	}
	return h
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

// number is milliseconds for people: below ten with a tenth.
func number(ms float64) string {
	if ms < 9.95 {
		return strconv.FormatFloat(ms, 'f', 1, 64)
	}
	return strconv.FormatFloat(ms, 'f', 0, 64)
}

// shown is a vital of a view as the pages show it: its text, and a badge's class.
type shown struct{ Text, Class string }

// vital shows one; "–" if it was not measured.
func vital(v *view, name string) shown {
	value, ok := v.Vital(name)
	if !ok {
		return shown{"–", "dim"}
	}
	s := shown{Class: "badge ok", Text: fmt.Sprintf("%.0f ms", value)}
	if name == "cls" {
		s.Text = fmt.Sprintf("%.2f", value)
	}
	if slices.ContainsFunc(v.NotGood(), func(bad rum.Sample) bool { return bad.Vital == name }) {
		s.Class = "badge bad"
	}
	return s
}

func (h *Handler) list(w http.ResponseWriter, r *http.Request) {
	page := r.URL.Query().Get("page")
	var pages []string
	for _, v := range h.store.newest("") {
		if !slices.Contains(pages, v.Page) {
			pages = append(pages, v.Page)
		}
	}
	slices.Sort(pages)
	h.write(w, "list", "Page views", struct {
		Base, Page string
		Pages      []string
		Views      []*view
	}{h.console.Base(), page, pages, h.store.newest(page)})
}

func (h *Handler) one(w http.ResponseWriter, r *http.Request) {
	number, err := strconv.Atoi(r.PathValue("number"))
	h.show(w, r, number, "", err == nil)
}

// trace is where an exemplar's trace id leads.
func (h *Handler) trace(w http.ResponseWriter, r *http.Request) {
	h.show(w, r, -1, r.PathValue("trace"), true)
}

func (h *Handler) show(w http.ResponseWriter, r *http.Request, number int, trace string, ok bool) {
	v := h.store.find(number, trace)
	if v == nil || !ok {
		http.Error(w, "this page view is not kept, or not any more", http.StatusNotFound)
		return
	}
	works := slices.Clone(v.Request.Works)
	slices.SortStableFunc(works, func(a, b work) int { return cmp.Compare(b.Total, a.Total) })
	bars := v.waterfall()
	end := 1.0
	for _, b := range bars {
		end = max(end, b.End)
	}
	var drawn []drawnBar
	for _, b := range bars {
		drawn = append(drawn, drawnBar{b, int(b.Start / end * chartWidth), max(2, int(b.Length()/end*chartWidth))})
	}
	h.write(w, "one", fmt.Sprintf("A view of %s", v.Page), struct {
		Base  string
		View  *view
		Why   string
		Bars  []drawnBar
		Wide  int
		Works []work
	}{h.console.Base(), v, v.why(), drawn, chartWidth, works})
}

// chartWidth is a waterfall's, in the units of its pictures.
const chartWidth = 600

// drawnBar is a bar in its place.
type drawnBar struct {
	bar
	X, Width int
}

func (h *Handler) write(w http.ResponseWriter, name, title string, data any) {
	var b bytes.Buffer
	if err := h.pages.ExecuteTemplate(&b, name, data); err != nil {
		http.Error(w, "this page is broken: "+err.Error(), http.StatusInternalServerError)
		return
	}
	h.console.Write(w, http.StatusOK, console.Page{Title: title, Here: h.console.Base(), Styles: []string{h.style.Path}, Body: template.HTML(b.String())}) // made by html/template above
}
