package cache

import (
	"testing"
	"time"
)

func TestAnOpenCircuitLetsOneTryAtATimeHoweverLongThatTakes(t *testing.T) {
	var c circuit
	const timeout = 2 * time.Second
	at := func(seconds float64) time.Time {
		return time.Unix(1000, 0).Add(time.Duration(seconds * float64(time.Second)))
	}
	for i := range tolerance {
		if !c.try(at(0), timeout) {
			t.Fatalf("open after %d failures", i)
		}
		c.failed(at(0))
	}
	if c.try(at(.9), timeout) {
		t.Error("tried within a second")
	}
	if !c.try(at(1), timeout) || c.try(at(2.9), timeout) {
		t.Error("want one try after a second, and no other while that may last")
	}
	c.failed(at(3))
	if c.try(at(3.9), timeout) || !c.try(at(4), timeout) {
		t.Error("want another try a second after the last one failed")
	}
	c.worked()
	if !c.try(at(4), timeout) || !c.try(at(4), timeout) {
		t.Error("open after an answer")
	}
}
