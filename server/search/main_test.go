package search

import (
	"testing"

	"go.uber.org/goleak"
)

// bleve starts its analysis workers when it is linked in; all that tests start must end.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) }
