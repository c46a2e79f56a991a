//go:build uninstrumented

package metrics

// On: see on.go.
const On = false
