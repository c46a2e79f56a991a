package catalog

import "strings"

// maxGUID is the longest id, as on AMO (Firefox itself stops at 80).
const maxGUID = 255

// ValidGUID says whether s can be the id of an add-on: a UUID in braces, or
// something like an e-mail address. Firefox refuses to install anything else.
// https://searchfox.org/mozilla-central/source/toolkit/mozapps/extensions/internal/XPIInstall.sys.mjs (gIDTest)
func ValidGUID(s string) bool {
	if len(s) > maxGUID {
		return false
	}
	if strings.HasPrefix(s, "{") {
		return braced(s)
	}
	name, host, ok := strings.Cut(s, "@")
	return ok && host != "" && address(name) && address(host)
}

// braced says whether s is {8-4-4-4-12} hex digits.
func braced(s string) bool {
	const shape = "{xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx}"
	if len(s) != len(shape) {
		return false
	}
	for i := range len(s) {
		if shape[i] == 'x' && !isHex(s[i]) || shape[i] != 'x' && s[i] != shape[i] {
			return false
		}
	}
	return true
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// address says whether s has only the characters [A-Za-z0-9-._].
func address(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '.' && c != '_' {
			return false
		}
	}
	return true
}
