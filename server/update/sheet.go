package update

import (
	"encoding/binary"
	"errors"
	"strings"

	"addons/server/catalog"
)

// A sheet is every answer that one add-on has for one application, as it is cached:
//
//	kind (1 byte: sheetUnknown, sheetKnown) · number of the last change before it was
//	read (uvarint) · entries … · the answer "no update"
//
// An entry is a version that some question chooses, the highest first:
//
//	flags (1 byte) · minimum's key · maximum's key ("" if open) · only if it is held
//	back: the version's id and from how many percent of the clients (uvarints) · answer
//
// and an answer is its ETag and its body. Every text is its length as a uvarint and
// its bytes. The first entry that fits a question, and that its asker gets, is the answer.
// Sheets of other builds, whose kinds are u, k, U and K, are not read.
const (
	sheetUnknown = 'N'
	sheetKnown   = 'A'

	flagLast   = 1 << 0 // no entry, but the answer "no update"
	flagStrict = 1 << 1 // the maximum binds in mode normal too
	flagHeld   = 1 << 2 // held back from some clients
)

func unknownSheet(seq int64) []byte {
	return binary.AppendUvarint([]byte{sheetUnknown}, uint64(seq))
}

// errSheet: what was just made can't be read.
var errSheet = errors.New("update sheet is damaged")

// reader reads a sheet without copying.
type reader struct {
	rest    []byte
	damaged bool
}

func (in *reader) flags() byte {
	if len(in.rest) == 0 {
		in.damaged = true
		return flagLast
	}
	flags := in.rest[0]
	in.rest = in.rest[1:]
	return flags
}

func (in *reader) number() uint64 {
	n, size := binary.Uvarint(in.rest)
	if size <= 0 {
		in.damaged, in.rest = true, nil
		return 0
	}
	in.rest = in.rest[size:]
	return n
}

func (in *reader) text() []byte {
	n := in.number()
	if n > uint64(len(in.rest)) {
		in.damaged, in.rest = true, nil
		return nil
	}
	text := in.rest[:n:n]
	in.rest = in.rest[n:]
	return text
}

// newSheet writes the sheet of a known add-on.
func (s *Service) newSheet(seq int64, guid string, app catalog.App, slug string, versions []*catalog.Version) []byte {
	page := binary.AppendUvarint([]byte{sheetKnown}, uint64(seq))
	var body []byte
	for _, v := range catalog.Choosable(versions, app) {
		body = appendManifest(body[:0], guid, s.offer(v, app, slug))
		var flags byte
		if v.Strict {
			flags = flagStrict
		}
		if v.HeldBack > 0 {
			flags |= flagHeld
		}
		bounds, upper := rangeOf(v, app), ""
		if !bounds.Open() {
			upper = catalog.VersionKey(bounds.Max)
		}
		page = appendText(append(page, flags), catalog.VersionKey(bounds.Min), upper)
		if v.HeldBack > 0 {
			page = binary.AppendUvarint(binary.AppendUvarint(page, uint64(v.ID)), uint64(v.HeldBack))
		}
		page = appendText(appendText(page, etag(body)), body)
	}
	body = appendManifest(body[:0], guid)
	return appendText(appendText(append(page, flagLast), etag(body)), body)
}

func appendText[T string | []byte](page []byte, texts ...T) []byte {
	for _, t := range texts {
		page = append(binary.AppendUvarint(page, uint64(len(t))), t...)
	}
	return page
}

// manifest is the answer's JSON.
// https://extensionworkshop.com/documentation/manage/updating-your-extension/
type manifest struct {
	Addons map[string]updates `json:"addons"`
}

type updates struct {
	Updates []offer `json:"updates"`
}

type offer struct {
	Version      string       `json:"version"`
	Link         string       `json:"update_link"`
	Applications applications `json:"applications"`
	Hash         string       `json:"update_hash,omitempty"`
	Info         string       `json:"update_info_url,omitempty"`
}

// applications names gecko for Firefox and Firefox for Android alike: Firefox skips
// an offer that doesn't.
type applications struct {
	Gecko struct {
		Min string `json:"strict_min_version,omitempty"`
		Max string `json:"strict_max_version,omitempty"`
	} `json:"gecko"`
}

func (s *Service) offer(v *catalog.Version, app catalog.App, slug string) offer {
	o := offer{Version: v.Number, Link: s.links.Download(app.Slug, &v.File)}
	bounds := rangeOf(v, app)
	o.Applications.Gecko.Min = bounds.Min
	if v.Strict { // Firefox lets any maximum bind
		o.Applications.Gecko.Max = bounds.Max
	}
	if strings.HasPrefix(v.File.Hash, "sha256:") { // over http, Firefox takes nothing without it
		o.Hash = v.File.Hash
	}
	if len(v.ReleaseNotes) > 0 {
		o.Info = s.links.UpdateInfo(app.Slug, slug, v.Number)
	}
	return o
}

// rangeOf is v's range for app, which v is known to have.
func rangeOf(v *catalog.Version, app catalog.App) catalog.Compat {
	bounds, _ := v.For(app)
	return bounds
}
