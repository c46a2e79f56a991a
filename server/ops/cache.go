package ops

import (
	"encoding/json"
	"net/http"

	"addons/dashboards/console"
	"addons/server/cache"
)

// recentEvents are shown of those that the cache keeps.
const recentEvents = 50

// cachePage is what the page of the cache shows.
type cachePage struct {
	Reports []cache.Report
	Asked   string // NAME:KEY, "" for none
	Wrong   string // what is wrong with it
	Found   *cache.Explanation
	Events  []cache.Event
}

// cache shows what each named cache has earned, and explains one key.
func (h *handler) cache(w http.ResponseWriter, r *http.Request) {
	p := cachePage{Reports: h.Cache.Report(), Asked: r.FormValue("key"), Events: h.Cache.Events()}
	p.Events = p.Events[:min(len(p.Events), recentEvents)]
	status := http.StatusOK
	if p.Asked != "" {
		found, err := h.Cache.Explain(r.Context(), p.Asked)
		if err != nil {
			status, p.Wrong = http.StatusBadRequest, err.Error()
		} else {
			p.Found = &found
		}
	}
	h.page(w, status, "cache", console.Page{Title: "Cache", Here: "/cache"}, p)
}

func (h *handler) cacheReport(w http.ResponseWriter, _ *http.Request) { answer(w, h.Cache.Report()) }

func (h *handler) cacheExplain(w http.ResponseWriter, r *http.Request) {
	found, err := h.Cache.Explain(r.Context(), r.FormValue("key"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer(w, found)
}

// answer sends JSON for `addons cache`.
func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	json.NewEncoder(w).Encode(v)
}
