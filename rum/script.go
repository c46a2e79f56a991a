package rum

import "addons/rum/client"

// Asset is a browser's script as a page names and serves it.
type Asset = client.Asset

// Script returns the browser's script, built from the modules in folder client.
func Script() Asset { return client.Script() }

// Scripts returns all builds of it.
func Scripts() []Asset { return client.Scripts() }
