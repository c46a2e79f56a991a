package rum

import (
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// list is an array of a beacon's. What has more than maxValues is refused where it has: an
// object of two bytes may be two hundred in memory.
type list[T any] []T

// UnmarshalJSONFrom reads an array, or null.
func (l *list[T]) UnmarshalJSONFrom(in *jsontext.Decoder) error {
	*l = nil // of the same name before
	switch kind := in.PeekKind(); kind {
	case jsontext.KindBeginArray, jsontext.KindNull:
		if _, err := in.ReadToken(); err != nil || kind == jsontext.KindNull {
			return err
		}
	default:
		if err := in.SkipValue(); err != nil {
			return err
		}
		return errors.New("a list is missing")
	}
	for {
		if kind := in.PeekKind(); kind == jsontext.KindEndArray || kind == jsontext.KindInvalid {
			_, err := in.ReadToken()
			return err
		}
		if len(*l) == maxValues {
			return fmt.Errorf("a list of more than %d in one beacon", maxValues)
		}
		var one T
		if err := json.UnmarshalDecode(in, &one); err != nil {
			return err
		}
		*l = append(*l, one)
	}
}
