//go:build !uninstrumented

package metrics

// On says whether this build measures at all. `go build -tags uninstrumented` makes
// one whose instruments are compiled to nothing, for one purpose: to measure what
// they cost (addons bench update --without).
const On = true
