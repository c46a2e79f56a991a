package update

import (
	"encoding/json"
	"fmt"

	"addons/server/amo"
	"addons/server/catalog"
)

// Reference answers a check the plain way: catalog.ChooseFor over all versions, then
// JSON. A Service's answer is the same bytes. known: there is a public add-on; slug
// and versions are its.
func Reference(baseURL string, r Request, known bool, slug string, versions []*catalog.Version) ([]byte, error) {
	if !known {
		return nothing.body, nil
	}
	offers := []offer{}
	if v := catalog.ChooseFor(r.Client, versions, r.App, r.AppVersion, r.Mode); v != nil {
		s := Service{links: amo.Links{Base: baseURL}}
		offers = append(offers, s.offer(v, r.App, slug))
	}
	body, err := json.Marshal(manifest{map[string]updates{r.GUID: {offers}}})
	if err != nil {
		return nil, fmt.Errorf("update of %q: %w", r.GUID, err)
	}
	return body, nil
}
