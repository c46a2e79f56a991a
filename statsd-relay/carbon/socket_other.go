//go:build unix && !linux

package carbon

import "net"

// unacknowledged is not told here: what is written counts as sent.
func unacknowledged(net.Conn) (int, error) { return 0, nil }
