package tsdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/util/strutil"
)

// prepareRules makes the rules' manager and loads the rules once, so that a bad
// one is refused at the start.
func (db *DB) prepareRules(external *url.URL) error {
	db.rules = rules.NewManager(&rules.ManagerOptions{
		Context: context.Background(), ExternalURL: external, Logger: quiet(db.log),
		Appendable: db.store, Queryable: db.store,
		QueryFunc:  rules.EngineQueryFunc(db.engine, db.store),
		NotifyFunc: db.notify,
		Registerer: db.registry, FeatureRegistry: db.features, Parser: db.parser,
		GroupLoader: loader{db.config.Rules, db.parser},
		// Prometheus's own defaults: a for: clock survives a restart of up to an
		// hour, and what fires is said again every minute.
		OutageTolerance: time.Hour, ForGracePeriod: 10 * time.Minute, ResendDelay: time.Minute,
		DefaultRuleQueryOffset: func() time.Duration { return 0 },
	})
	files, err := db.ruleFiles()
	if err != nil {
		return err
	}
	if _, errs := db.rules.LoadGroups(db.config.Interval, db.externalLabels(), db.config.ExternalURL, nil, false, files...); errs != nil {
		return fmt.Errorf("rules: %w", errors.Join(errs...))
	}
	return nil
}

func (db *DB) startRules() error {
	files, err := db.ruleFiles()
	if err != nil {
		return err
	}
	if err := db.rules.Update(db.config.Interval, files, db.externalLabels(), db.config.ExternalURL, nil); err != nil {
		return fmt.Errorf("rules: %w", err)
	}
	return nil
}

func (db *DB) ruleFiles() ([]string, error) {
	if db.config.Rules == nil {
		return nil, nil
	}
	files, err := fs.Glob(db.config.Rules, "*.rules.yml")
	if err != nil {
		return nil, fmt.Errorf("rules: %w", err)
	}
	return files, nil
}

// loader reads rule files from a file system.
type loader struct {
	files  fs.FS
	parser parser.Parser
}

func (l loader) Load(name string, ignoreUnknown bool, scheme model.ValidationScheme) (*rulefmt.RuleGroups, []error) {
	content, err := fs.ReadFile(l.files, name)
	if err != nil {
		return nil, []error{err}
	}
	groups, errs := rulefmt.Parse(content, ignoreUnknown, scheme, l.parser, slog.New(slog.DiscardHandler))
	for i := range errs {
		errs[i] = fmt.Errorf("%s: %w", name, errs[i])
	}
	return groups, errs
}

func (l loader) Parse(query string) (parser.Expr, error) { return l.parser.ParseExpr(query) }

// notify hands alerts on in the neutral type.
func (db *DB) notify(_ context.Context, expr string, alerts ...*rules.Alert) {
	if db.config.Notify == nil || len(alerts) == 0 {
		return
	}
	out := make([]*model.Alert, len(alerts))
	for i, a := range alerts {
		out[i] = &model.Alert{
			Labels: labelSet(a.Labels), Annotations: labelSet(a.Annotations),
			StartsAt: a.FiredAt, EndsAt: a.ValidUntil,
			GeneratorURL: db.config.ExternalURL + strutil.TableLinkForExpression(expr),
		}
		if !a.ResolvedAt.IsZero() {
			out[i].EndsAt = a.ResolvedAt
		}
	}
	db.config.Notify(out)
}

func labelSet(ls labels.Labels) model.LabelSet {
	set := model.LabelSet{}
	ls.Range(func(l labels.Label) { set[model.LabelName(l.Name)] = model.LabelValue(l.Value) })
	return set
}

// quiet passes warnings and errors: Prometheus's own Info is a diary.
func quiet(log *slog.Logger) *slog.Logger { return slog.New(warnings{log.Handler()}) }

type warnings struct{ slog.Handler }

func (w warnings) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && w.Handler.Enabled(ctx, l)
}
func (w warnings) WithAttrs(a []slog.Attr) slog.Handler { return warnings{w.Handler.WithAttrs(a)} }
func (w warnings) WithGroup(name string) slog.Handler   { return warnings{w.Handler.WithGroup(name)} }
