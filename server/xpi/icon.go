package xpi

import (
	"bytes"
	"cmp"
	"image/png"
	"path"
	"slices"
	"strconv"
	"strings"
)

// The icon that is wanted: what AMO shows at the largest.
const wantedIcon = 128

// maxPixels bounds an icon's sides.
const maxPixels = 4096

// icon returns the largest icon up to wantedIcon, else the smallest above it;
// one that is missing, too large or of another kind is passed over, because an
// add-on without an icon is still an add-on.
func (m *manifest) icon(src *source) Icon {
	icons := m.object.object("icons")
	type choice struct {
		size int
		name string
	}
	var choices []choice
	for key := range icons {
		size, err := strconv.Atoi(key)
		if err == nil && size > 0 {
			choices = append(choices, choice{size, inPackage(icons.text(key))})
		}
	}
	slices.SortFunc(choices, func(a, b choice) int { return cmp.Compare(unfit(a.size), unfit(b.size)) })
	for _, c := range choices {
		if !src.has(c.name) {
			continue
		}
		body, err := src.read(c.name, MaxIcon)
		if kind := ImageType(body); err == nil && kind != "" {
			return Icon{Name: c.name, Type: kind, Body: body}
		}
	}
	return Icon{}
}

// unfit is how far an icon is from the wanted size; any that is larger comes
// after all that are not.
func unfit(size int) int {
	if size <= wantedIcon {
		return wantedIcon - size
	}
	return size
}

// inPackage resolves a manifest's path against the package's top.
func inPackage(name string) string {
	return strings.TrimPrefix(path.Clean("/"+name), "/")
}

// ImageType returns "image/png" or "image/svg+xml" by what the image is, not
// what it is called; "" for anything else.
func ImageType(body []byte) string {
	if c, err := png.DecodeConfig(bytes.NewReader(body)); err == nil && c.Width <= maxPixels && c.Height <= maxPixels {
		return "image/png"
	}
	head := bytes.ToLower(body[:min(len(body), 4096)])
	text := bytes.TrimSpace(bytes.TrimPrefix(head, []byte("\ufeff")))
	if (bytes.HasPrefix(text, []byte("<?xml")) || bytes.HasPrefix(text, []byte("<svg")) || bytes.HasPrefix(text, []byte("<!"))) && bytes.Contains(text, []byte("<svg")) {
		return "image/svg+xml"
	}
	return ""
}
