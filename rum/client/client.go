// Package client is the browser's part of RUM: ES modules in this folder, built
// into one classic script that pages serve. The built file is committed, so that
// a server that serves it links no bundler; a test rebuilds and compares it.
package client

import (
	"crypto/sha512"
	_ "embed"
	"encoding/base64"
	"encoding/hex"
)

//go:generate go test -run TestTheBuiltScriptIsFresh -update .

//go:embed dist/rum.js
var built []byte

// Asset is the built script as a page names and serves it.
type Asset struct {
	Name      string // "rum-<hash>.js": new bytes have a new name, so that it may be cached for ever
	Body      []byte
	Integrity string // for the script element's integrity attribute
}

// Script returns the built script.
func Script() Asset {
	sum := sha512.Sum384(built)
	return Asset{
		Name:      "rum-" + hex.EncodeToString(sum[:6]) + ".js",
		Body:      built,
		Integrity: "sha384-" + base64.StdEncoding.EncodeToString(sum[:]),
	}
}
