//go:build weather

package site_test

import (
	"testing"
	"time"
)

func TestWeatherNoReaderOfAnyProcessSeesAValueOlderThanTheBound(t *testing.T) {
	history(t, time.Minute)
}
