package rum

import (
	"encoding/hex"
	"maps"
	"slices"
)

// origin is where values come from: but for the trace, words from closed sets.
type origin struct {
	page, device, connection, browser, country string
	trace                                      string // of the page's response, "" if it is not known
}

// key is where a value of the page goes in Graphite. Those of programs are apart.
func (o *origin) key(page, name string) string {
	if o.device == bot {
		return "rum.bot." + page + "." + name
	}
	return "rum." + page + "." + name
}

// packed is an origin as numbers of its words in a vocabulary.
type packed struct {
	page                                 uint32
	device, connection, browser, country uint8
	trace                                [16]byte // all 0: it is not known
}

// vocabulary has all words of the closed sets that an origin's are from.
type vocabulary struct {
	page                                             map[string]uint32
	pages, devices, connections, families, countries []string
}

func newVocabulary(c Config) *vocabulary {
	v := &vocabulary{
		page: map[string]uint32{}, pages: slices.Sorted(maps.Keys(c.pages())), devices: deviceClasses,
		connections: append(slices.Clone(connections), unknown), countries: append(slices.Clone(c.Countries), other, unknown),
	}
	for i, p := range v.pages {
		v.page[p] = uint32(i)
	}
	for _, b := range browsers {
		v.families = append(v.families, b.family)
	}
	return v
}

func (v *vocabulary) pack(o *origin) packed {
	number := func(words []string, word string) uint8 { return uint8(slices.Index(words, word)) }
	p := packed{
		page: v.page[o.page], device: number(v.devices, o.device), connection: number(v.connections, o.connection),
		browser: number(v.families, o.browser), country: number(v.countries, o.country),
	}
	hex.Decode(p.trace[:], []byte(o.trace)) // of 32 digits, or none
	return p
}

func (v *vocabulary) unpack(p packed) *origin {
	o := &origin{
		page: v.pages[p.page], device: v.devices[p.device], connection: v.connections[p.connection],
		browser: v.families[p.browser], country: v.countries[p.country],
	}
	if p.trace != [16]byte{} {
		o.trace = hex.EncodeToString(p.trace[:])
	}
	return o
}

// sampleKinds are all that a sample can be of.
var sampleKinds = []Sample{
	{Vital: "lcp"}, {Vital: "fcp"}, {Vital: "ttfb"}, {Vital: "inp"}, {Vital: "cls"},
	{Phase: "redirect"}, {Phase: "worker"}, {Phase: "dns"}, {Phase: "tcp"}, {Phase: "tls"}, {Phase: "request"}, {Phase: "response"},
	{Phase: "dom_interactive"}, {Phase: "dom_content_loaded"}, {Phase: "dom_processing"}, {Phase: "load_event"}, {Phase: "page_load"},
}

// kind is the sample's number among them.
func (s Sample) kind() uint8 {
	return uint8(slices.IndexFunc(sampleKinds, func(k Sample) bool { return k.Vital == s.Vital && k.Phase == s.Phase }))
}
