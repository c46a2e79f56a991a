package server

import (
	"cmp"
	"os"
	"runtime/debug"
	"strconv"
)

// build is an id of what runs: the commit or, where that is not known or not all, the
// time at which the program was written.
func (c Config) build() string {
	settings := map[string]string{}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			settings[s.Key] = s.Value
		}
	}
	id := cmp.Or(c.Version.Commit, settings["vcs.revision"])
	id = id[:min(len(id), 12)]
	if id == "" || settings["vcs.modified"] == "true" {
		id += written()
	}
	return id
}

// written is when this program was, "" if it can't be found.
func written() string {
	path, err := os.Executable()
	if err != nil {
		return ""
	}
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	return strconv.FormatInt(info.ModTime().UnixNano(), 36)
}
