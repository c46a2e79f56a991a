//go:build !linux

package host

import "errors"

const supported = false

func statfs(string) (space, error) { return space{}, errors.ErrUnsupported }
