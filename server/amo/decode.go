package amo

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"addons/server/catalog"
)

// maxAddon bounds one add-on's JSON, in bytes; AMO's largest have about 300 kB.
const maxAddon = 8 << 20

// Decode reads add-ons and hands them over one by one, however long r is: an add-on,
// a page of results, a list of add-ons, or any number of these after one another
// (JSON lines). An add-on that is JSON but not in an add-on's form is handed over
// too, and refused by its Catalog, so that one of them doesn't hide those after it.
//
// The error is each's, or says at which byte the JSON is broken (it then wraps
// catalog.ErrInvalid), or is r's.
func Decode(r io.Reader, each func(Addon) error) error {
	in := &bounded{r: withoutMark(r)}
	d := decoder{json.NewDecoder(in), in, each}
	for {
		err := d.value()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// withoutMark skips the byte order mark that some tools write.
func withoutMark(r io.Reader) io.Reader {
	b := bufio.NewReader(r)
	if head, _ := b.Peek(3); string(head) == "\ufeff" {
		b.Discard(3)
	}
	return b
}

// bounded lets maxAddon bytes pass, until it is told that an add-on is complete.
type bounded struct {
	r    io.Reader
	n    int
	fail error // of r
}

var errTooLarge = fmt.Errorf("more than %d bytes for one add-on: %w", maxAddon, catalog.ErrInvalid)

func (b *bounded) Read(p []byte) (int, error) {
	if b.n >= maxAddon {
		b.fail = errTooLarge
		return 0, b.fail
	}
	n, err := b.r.Read(p[:min(len(p), maxAddon-b.n)])
	b.n += n
	if err != nil && err != io.EOF {
		b.fail = err
	}
	return n, err
}

type decoder struct {
	*json.Decoder
	in   *bounded
	each func(Addon) error
}

// value reads what is at the top: an object or a list. io.EOF: nothing is left.
func (d *decoder) value() error {
	token, err := d.Token()
	switch {
	case errors.Is(err, io.EOF) && d.in.fail == nil:
		return io.EOF
	case err != nil:
		return d.broken(err)
	case token == json.Delim('['):
		return d.list()
	case token == json.Delim('{'):
		return d.object()
	}
	return d.broken(errors.New("neither an add-on nor a list of them"))
}

// list reads add-ons up to the end of the list.
func (d *decoder) list() error {
	for d.More() {
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return d.broken(err)
		}
		if err := d.addon(raw); err != nil {
			return err
		}
	}
	return d.end()
}

// object reads a page, whose results it hands over as they come, or an add-on.
func (d *decoder) object() error {
	members, page := map[string]json.RawMessage{}, false
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return d.broken(err)
		}
		if name == "results" {
			page = true
			if err := d.results(); err != nil {
				return err
			}
			continue
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return d.broken(err)
		}
		members[name.(string)] = raw
	}
	if err := d.end(); err != nil || page {
		return err
	}
	raw, err := json.Marshal(members)
	if err != nil {
		return d.broken(err)
	}
	return d.addon(raw)
}

func (d *decoder) results() error {
	token, err := d.Token()
	if err == nil && token != json.Delim('[') {
		err = errors.New("results isn't a list")
	}
	if err != nil {
		return d.broken(err)
	}
	return d.list()
}

func (d *decoder) end() error {
	if _, err := d.Token(); err != nil {
		return d.broken(err)
	}
	return nil
}

// addon hands one add-on over.
func (d *decoder) addon(raw json.RawMessage) error {
	d.in.n = 0
	var a Addon
	if err := json.Unmarshal(raw, &a); err != nil {
		a.refusal = err
	}
	return d.each(a)
}

// broken says where, or why nothing more could be read.
func (d *decoder) broken(err error) error {
	if d.in.fail != nil {
		return fmt.Errorf("add-ons, at byte %d: %w", d.InputOffset(), d.in.fail)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("the JSON ends too early")
	}
	return fmt.Errorf("add-ons, at byte %d: %v: %w", d.InputOffset(), err, catalog.ErrInvalid)
}
