package rum

import "addons/rum/client"

// Asset is the browser's script as a page names and serves it.
type Asset = client.Asset

// Script returns the browser's script, built from the modules in folder client.
func Script() Asset { return client.Script() }
