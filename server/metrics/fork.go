package metrics

import "context"

// Fork returns ctx with a Ledger of its own for a part of a request: what is added to
// it is added to the one in ctx too, whose trace it shares.
func Fork(ctx context.Context) (context.Context, *Ledger) {
	whole := From(ctx)
	if whole == nil {
		return Begin(ctx, "")
	}
	part := &Ledger{TraceID: whole.TraceID, exemplar: whole.exemplar, whole: whole}
	return context.WithValue(ctx, ledgerKey{}, part), part
}
