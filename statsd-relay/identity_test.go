package relay

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
)

// knottyKey is a key of what is special in names, so that many make the same name.
func knottyKey(random *rand.Rand) string {
	parts := []string{"a", "a", "b", "9", ".", "-", "-", "_", "total", "sum", "count", "bucket", "_total", ".sum", "-count", "aaaaaaaa"}
	var key strings.Builder
	for range 1 + random.IntN(5) {
		key.WriteString(parts[random.IntN(len(parts))])
	}
	return key.String()
}

// knottyID is a metric's id, of such a key and perhaps a label or two.
func knottyID(random *rand.Rand) string {
	var labels []label
	for _, name := range []string{"x", "xy"} {
		if random.IntN(3) == 0 {
			labels = append(labels, label{name, []string{"1", ";", "12"}[random.IntN(3)]})
		}
	}
	return identify(knottyKey(random), labels)
}

func TestNamesAreComparedAsMangleMakesThem(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 1))
	for range 200_000 {
		a, b := knottyID(random), knottyID(random)
		if random.IntN(2) == 0 { // begin alike
			n := random.IntN(len(a) + 1)
			b = a[:n] + knottyKey(random)
		}
		order, restA, restB := compareNames(a, b)
		want := strings.Compare(mangle(a), mangle(b))
		_, tagsA := splitKey(a)
		_, tagsB := splitKey(b)
		if order != want || want == 0 && (restA != tagsA || restB != tagsB) {
			t.Fatalf("%q and %q compare as %d, %q, %q, want %d, %q, %q", a, b, order, restA, restB, want, tagsA, tagsB)
		}
	}
}

// claims are the names that a family takes, by their definition.
func claims(name string, kind dto.MetricType) []string {
	all := []string{name}
	switch kind {
	case dto.MetricType_COUNTER:
		all = append(all, strings.TrimSuffix(name, "_total"))
	case dto.MetricType_HISTOGRAM:
		all = append(all, name+"_bucket", name+"_sum", name+"_count")
	}
	return all
}

func TestAFamilyIsRefusedExactlyIfAnotherHasOneOfItsNames(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 2))
		cfg, err := Config{}.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		e := newExposition(cfg.Prometheus.rules)
		type entered struct {
			key    string
			class  class
			metric *metric
		}
		var all []entered
		for range 300 {
			if len(all) > 0 && random.IntN(3) == 0 {
				i := random.IntN(len(all))
				e.leave(all[i].metric)
				all = slices.Delete(all, i, i+1)
				continue
			}
			one := entered{key: knottyKey(random) + []string{"", ";x=1"}[random.IntN(2)], class: class(random.IntN(int(classes)))}
			name, kind := mangle(one.key), kinds[one.class]
			want := true
			for _, o := range all {
				if o.metric == nil {
					continue
				}
				if mangle(o.key) == name {
					want = o.class == one.class
					break
				}
				if slices.ContainsFunc(claims(mangle(o.key), kinds[o.class]), func(n string) bool { return slices.Contains(claims(name, kind), n) }) {
					want = false
				}
			}
			one.metric = e.enter(one.key, one.class, false)
			if got := one.metric != nil; got != want {
				t.Fatalf("seed %d: %s %q is taken in: %t, want %t, beside %v", seed, one.class, one.key, got, want, all)
			}
			all = append(all, one)
		}
	}
}
