// Package client is the browser's part of RUM: ES modules in this folder, built into
// scripts that pages serve. The built files are committed, so that a server that serves
// them links no bundler; a test rebuilds and compares them.
package client

import (
	"crypto/sha512"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"path"
	"strings"
)

//go:generate go test -run TestTheBuiltScriptsAreFresh -update .

//go:embed dist
var dist embed.FS

// Asset is a built script as a page names and serves it.
type Asset struct {
	Plain     string // its name in dist
	Name      string // "rum-<hash>.js": new bytes have a new name, so that it may be cached for ever
	Body      []byte
	Integrity string // for the script element's integrity attribute
}

// Script returns the classic script with all parts.
func Script() Asset { return asset("rum.js") }

// Scripts returns all builds: Script, the same as an ES module, and two with fewer parts.
func Scripts() []Asset {
	return []Asset{Script(), asset("rum.mjs"), asset("rum-vitals.js"), asset("rum-nav.js")}
}

func asset(name string) Asset {
	body, err := dist.ReadFile("dist/" + name)
	if err != nil {
		panic(err) // it is embedded
	}
	sum := sha512.Sum384(body)
	ext := path.Ext(name)
	return Asset{
		Plain:     name,
		Name:      strings.TrimSuffix(name, ext) + "-" + hex.EncodeToString(sum[:6]) + ext,
		Body:      body,
		Integrity: "sha384-" + base64.StdEncoding.EncodeToString(sum[:]),
	}
}
