package store

import (
	"context"
	"database/sql"
	"errors"
	"sync"
)

// prepared is a pool that keeps the statements it has parsed: parsing is two
// thirds of the time of a short query in SQLite. MySQL has no need of it, which
// parses quickly and far away.
type prepared struct {
	*sql.DB
	mu    sync.RWMutex
	stmts map[string]*sql.Stmt
}

// What is kept: the texts of queries for one thing, which are few. Lists have a
// text for each length.
const (
	preparedMax  = 256
	preparedArgs = 4
)

func newPrepared(db *sql.DB) *prepared {
	return &prepared{DB: db, stmts: map[string]*sql.Stmt{}}
}

// QueryContext is sql.DB's.
func (p *prepared) QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	if len(args) > preparedArgs {
		return p.DB.QueryContext(ctx, text, args...)
	}
	stmt, err := p.stmt(ctx, text)
	if err != nil {
		return nil, err
	}
	if stmt == nil {
		return p.DB.QueryContext(ctx, text, args...)
	}
	return stmt.QueryContext(ctx, args...)
}

// stmt is nil when there is no room for another.
func (p *prepared) stmt(ctx context.Context, text string) (*sql.Stmt, error) {
	p.mu.RLock()
	stmt, full := p.stmts[text], len(p.stmts) >= preparedMax
	p.mu.RUnlock()
	if stmt != nil || full {
		return stmt, nil
	}
	made, err := p.DB.PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if stmt := p.stmts[text]; stmt != nil { // another was quicker
		return stmt, made.Close()
	}
	p.stmts[text] = made
	return made, nil
}

func (p *prepared) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, stmt := range p.stmts {
		errs = append(errs, stmt.Close())
	}
	clear(p.stmts)
	return errors.Join(errs...)
}

// keptTx is a transaction that keeps the statements it has parsed.
type keptTx struct {
	*sql.Tx
	stmts map[string]*sql.Stmt
}

// keptMax bounds them: a bulk load has one for each table, and one for its last rows.
const keptMax = 64

// ExecContext is sql.Tx's.
func (k *keptTx) ExecContext(ctx context.Context, text string, args ...any) (sql.Result, error) {
	stmt := k.stmts[text]
	if stmt == nil && len(k.stmts) >= keptMax {
		return k.Tx.ExecContext(ctx, text, args...)
	}
	if stmt == nil {
		var err error
		if stmt, err = k.Tx.PrepareContext(ctx, text); err != nil {
			return nil, err
		}
		k.stmts[text] = stmt
	}
	return stmt.ExecContext(ctx, args...)
}

func (k *keptTx) close() error {
	var errs []error
	for _, stmt := range k.stmts {
		errs = append(errs, stmt.Close())
	}
	return errors.Join(errs...)
}
