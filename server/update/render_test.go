package update

import (
	"encoding/json"
	"testing"
)

func FuzzAManifestIsTheBytesThatJSONMakes(f *testing.F) {
	f.Add("a@b", "1.0", "https://x.example/a.xpi", "100", "*", "sha256:00", "https://x.example/%APP_LOCALE%/")
	f.Add(`"quoted"\`, "<&>", "é\u2028", "", "", "", "")
	f.Add("{ec8030f7-c20a-464f-9b0e-13a3a9e97384}", "\x00\x7f\xff", "", "", "1", "", "x")
	f.Fuzz(func(t *testing.T, guid, version, link, lower, upper, hash, info string) {
		o := offer{Version: version, Link: link, Hash: hash, Info: info}
		o.Applications.Gecko.Min, o.Applications.Gecko.Max = lower, upper
		for _, offers := range [][]offer{{}, {o}, {o, o}} {
			want, err := json.Marshal(manifest{map[string]updates{guid: {offers}}})
			if err != nil {
				t.Fatal(err)
			}
			if got := appendManifest(nil, guid, offers...); string(got) != string(want) {
				t.Errorf("%s, want %s", got, want)
			}
		}
	})
}
