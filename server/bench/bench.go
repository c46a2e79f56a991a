// Package bench measures the site on the reader's own machine: what an update check
// costs in each of the ways of answering it that the talk about addons.mozilla.org of
// 2012 told of, side by side in one run (Update), and what a platform holds at a given
// rate of requests (Load). It serves nothing but to be measured, and is the only
// package beside those of the site that may open a database by itself: the ways to
// compare with are those without the site's own care.
package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"os"
	"runtime"
	"strconv"
	"strings"

	"addons/server/catalog"
	"addons/server/metrics"
	"addons/server/store"
	"addons/server/update"
)

// BaseURL is what every way of answering says that the site is called.
const BaseURL = "http://addons.invalid"

// seed makes two runs ask the same.
const seed = 2012

// questions are update checks that are drawn before the measure.
type questions struct {
	guids []string // by rank: how often one is asked for
	zipf  *rand.Zipf
	rng   *rand.Rand
}

// exponent of the popularity of add-ons. 1 is what is told of most catalogues;
// math/rand takes none that isn't above it.
const exponent = 1.01

// newQuestions reads the ids of all add-ons. Which of them is popular is drawn.
func newQuestions(ctx context.Context, db *store.DB) (*questions, error) {
	var guids []string
	for after := ""; ; {
		more, err := db.GUIDs(ctx, after, 10_000)
		if err != nil {
			return nil, err
		}
		if len(more) == 0 {
			break
		}
		guids, after = append(guids, more...), more[len(more)-1]
	}
	if len(guids) == 0 {
		return nil, errors.New("no add-ons in the database: load some, as by addons load --sample 1000")
	}
	q := &questions{guids: guids, rng: rand.New(rand.NewPCG(seed, seed))}
	q.rng.Shuffle(len(guids), func(i, j int) { guids[i], guids[j] = guids[j], guids[i] })
	q.zipf = rand.NewZipf(q.rng, exponent, 1, uint64(len(guids)-1))
	return q, nil
}

// appVersions are Firefox's of one autumn, the two supported long and those before.
func appVersions() []string { return []string{"153.0", "153.0", "153.0", "152.0.1", "140.5.0"} }

// popular draws a check of an add-on by its popularity.
func (q *questions) popular() string { return q.check(q.guids[q.zipf.Uint64()]) }

// any draws a check of one of all add-ons, each as likely.
func (q *questions) any() string { return q.check(q.guids[q.rng.IntN(len(q.guids))]) }

// unknown draws a check of an add-on that there isn't.
func (q *questions) unknown() string {
	return q.check("unknown-" + strconv.FormatUint(q.rng.Uint64(), 36) + "@addons.invalid")
}

// check is what Firefox 153 asks, as the query of a URL. It escapes no id.
func (q *questions) check(guid string) string {
	versions := appVersions()
	version := versions[q.rng.IntN(len(versions))]
	return "reqVersion=2&id=" + guid + "&version=1.0&maxAppVersion=null&status=userEnabled&appID=" +
		catalog.Firefox.GUID + "&appVersion=" + version + "&appOS=Linux&appABI=x86_64-gcc3&locale=en-US&currentAppVersion=" +
		version + "&updateType=97&compatMode=normal"
}

// request is a check on the wire, with the header that Firefox sends.
func request(host, query string) []byte {
	return []byte("GET " + path + "?" + query + " HTTP/1.1\r\nHost: " + host +
		"\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0\r\n" +
		"Accept: */*\r\nAccept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nConnection: keep-alive\r\n" +
		"Sec-Fetch-Dest: empty\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Site: none\r\nPragma: no-cache\r\nCache-Control: no-cache\r\n\r\n")
}

const path = "/update/VersionCheck.php"

// reference is the answer that every way has to give.
func reference(ctx context.Context, db *store.DB, query string) (string, error) {
	r, err := update.Parse(query)
	if err != nil {
		return "", err
	}
	known, versions, slug, err := db.Candidates(ctx, r.GUID, r.App.Slug)
	if err != nil {
		return "", err
	}
	body, err := update.Reference(BaseURL, r, known, slug, versions)
	return string(body), err
}

// openStore opens the database by the store, which brings its tables up to date.
func openStore(ctx context.Context, rawURL string) (*store.DB, error) {
	db, err := store.Open(ctx, rawURL, metrics.New(nil), slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, fmt.Errorf("--database: %w", err)
	}
	return db, nil
}

// Machine says what the figures were taken on.
type Machine struct {
	CPU        string `json:"cpu"`
	Processors int    `json:"processors"`
	MemoryGiB  int    `json:"memory_gib"`
	Kernel     string `json:"kernel"`
	Go         string `json:"go"`
	Database   string `json:"database"`
	Addons     int    `json:"addons"`
	Load       string `json:"load_before"` // of the last minute
	Command    string `json:"command"`
}

func machine() Machine {
	m := Machine{Processors: runtime.NumCPU(), Go: runtime.Version(), CPU: runtime.GOARCH, Command: strings.Join(append([]string{"addons"}, os.Args[1:]...), " ")}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, after, ok := strings.Cut(string(text), "model name\t: "); ok {
			m.CPU, _, _ = strings.Cut(after, "\n")
		}
	}
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		kib, _ := strconv.Atoi(strings.Fields(string(text))[1])
		m.MemoryGiB = (kib + 1<<19) >> 20
	}
	if text, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = strings.TrimSpace(string(text))
	}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.Load = strings.Fields(string(text))[0]
	}
	return m
}

func (m Machine) String() string {
	return fmt.Sprintf("%s, %d processors shared with database and generator, %d GiB, Linux %s, %s, %s, %d add-ons; load average before: %s.\n\n    %s\n",
		m.CPU, m.Processors, m.MemoryGiB, m.Kernel, m.Go, m.Database, m.Addons, m.Load, redacted(m.Command))
}

// redacted hides passwords in the command's URLs.
func redacted(command string) string {
	words := strings.Fields(command)
	for i, word := range words {
		flag, value, _ := strings.Cut(word, "=")
		if value == "" {
			flag, value = "", word
		}
		if u, err := url.Parse(value); err == nil && u.User != nil {
			words[i] = strings.TrimPrefix(flag+"="+u.Redacted(), "=")
		}
	}
	return strings.Join(words, " ")
}
