// Package dashboards holds the dashboards, as Grafana's classic JSON, and draws
// them without Grafana: the same files serve both. The viewer runs the panels'
// queries against a Prometheus (package prom) and answers pages of HTML and SVG
// made on the server, which need no script; with one, panels refresh in place.
//
// It draws a subset of Grafana: see Supports. Package lint holds the files to
// it; a panel outside it is a visible box that says so, never a blank.
package dashboards

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

//go:embed *.json
var files embed.FS

// Files holds the dashboards shipped, <uid>.json.
func Files() fs.FS { return files }

// supported are the panel types that the viewer draws.
var supported = []string{"timeseries", "stat", "table", "row"}

// Supports says whether the viewer draws panels of the type.
func Supports(panelType string) bool { return slices.Contains(supported, panelType) }

// Dashboard is what the viewer reads of a dashboard's JSON.
// https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/
type Dashboard struct {
	UID           string   `json:"uid"`
	Title         string   `json:"title"`
	Description   string   `json:"description"`
	Tags          []string `json:"tags"`
	SchemaVersion int      `json:"schemaVersion"`
	Editable      bool     `json:"editable"`
	Refresh       string   `json:"refresh"`
	Time          struct {
		From string `json:"from"`
		To   string `json:"to"`
	} `json:"time"`
	Templating struct {
		List []Variable `json:"list"`
	} `json:"templating"`
	Panels []Panel `json:"panels"`

	// File is the name of the file that it was read from.
	File string `json:"-"`
}

// Variable is a choice that the queries contain as $name.
type Variable struct {
	Name       string `json:"name"`
	Label      string `json:"label"`
	Type       string `json:"type"`       // datasource, query, custom, interval
	Definition string `json:"definition"` // of a query: label_values(metric, label)
	Query      any    `json:"query"`      // of custom and interval: the values, separated by commas
	Refresh    int    `json:"refresh"`    // 2: whenever the time range changes
	Multi      bool   `json:"multi"`
	IncludeAll bool   `json:"includeAll"`
	AllValue   string `json:"allValue"`
	Current    struct {
		Value any `json:"value"`
	} `json:"current"`
}

// Panel is one box of a dashboard.
type Panel struct {
	ID          int        `json:"id"`
	Type        string     `json:"type"`
	Title       string     `json:"title"`
	Description string     `json:"description"`
	GridPos     GridPos    `json:"gridPos"`
	Datasource  Datasource `json:"datasource"`
	Targets     []Target   `json:"targets"`
	FieldConfig struct {
		Defaults  Field      `json:"defaults"`
		Overrides []Override `json:"overrides"`
	} `json:"fieldConfig"`
	Options struct {
		GraphMode string `json:"graphMode"` // of a stat panel: area or none
		SortBy    []struct {
			DisplayName string `json:"displayName"`
			Desc        bool   `json:"desc"`
		} `json:"sortBy"` // of a table
	} `json:"options"`
	Transformations []Transformation `json:"transformations"`
}

// GridPos places a panel on a grid of 24 columns; a row is 30 px and a gap.
type GridPos struct{ X, Y, W, H int }

// Datasource names where a query goes.
type Datasource struct {
	Type string `json:"type"`
	UID  string `json:"uid"`
}

// Target is one query of a panel.
type Target struct {
	RefID        string     `json:"refId"`
	Expr         string     `json:"expr"`
	LegendFormat string     `json:"legendFormat"`
	Instant      bool       `json:"instant"`
	Exemplar     bool       `json:"exemplar"` // show single measurements with their traces
	Datasource   Datasource `json:"datasource"`
}

// Field says how values are shown.
type Field struct {
	DisplayName string   `json:"displayName"`
	Unit        string   `json:"unit"`
	Decimals    *int     `json:"decimals"`
	Min         *float64 `json:"min"`
	Max         *float64 `json:"max"`
	NoValue     string   `json:"noValue"`
	Color       Color    `json:"color"`
	Thresholds  struct {
		Steps []Step `json:"steps"`
	} `json:"thresholds"`
	Custom struct {
		FillOpacity int `json:"fillOpacity"`
		Stacking    struct {
			Mode string `json:"mode"` // normal or none
		} `json:"stacking"`
		ThresholdsStyle struct {
			Mode string `json:"mode"` // line, dashed or off
		} `json:"thresholdsStyle"`
	} `json:"custom"`
}

// Color is a fixed colour, if Mode says so.
type Color struct {
	Mode       string `json:"mode"`
	FixedColor string `json:"fixedColor"`
}

// Step is a threshold: its colour counts from Value upwards; the first has none.
type Step struct {
	Color string   `json:"color"`
	Value *float64 `json:"value"`
}

// Override changes the Field of the series or columns that it matches by name.
type Override struct {
	Matcher struct {
		ID      string `json:"id"` // byName
		Options any    `json:"options"`
	} `json:"matcher"`
	Properties []struct {
		ID    string          `json:"id"` // unit, color, decimals, thresholds
		Value json.RawMessage `json:"value"`
	} `json:"properties"`
}

// Transformation reshapes a table: merge (always done) or organize.
type Transformation struct {
	ID      string `json:"id"`
	Options struct {
		ExcludeByName map[string]bool   `json:"excludeByName"`
		RenameByName  map[string]string `json:"renameByName"`
		IndexByName   map[string]int    `json:"indexByName"`
	} `json:"options"`
}

// Load reads every *.json of fsys, in the order of their names.
func Load(fsys fs.FS) ([]*Dashboard, error) {
	names, err := fs.Glob(fsys, "*.json")
	if err != nil {
		return nil, fmt.Errorf("dashboards: %w", err)
	}
	var all []*Dashboard
	for _, name := range names {
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, fmt.Errorf("dashboard %s: %w", name, err)
		}
		d := &Dashboard{File: path.Base(name)}
		if err := json.Unmarshal(text, d); err != nil {
			return nil, fmt.Errorf("dashboard %s: %w", name, err)
		}
		all = append(all, d)
	}
	slices.SortStableFunc(all, func(a, b *Dashboard) int { return strings.Compare(a.Title, b.Title) })
	return all, nil
}

// choices are the values that a custom or interval variable lists.
func (v Variable) choices() []string {
	text, _ := v.Query.(string)
	var out []string
	for c := range strings.SplitSeq(text, ",") {
		if c = strings.TrimSpace(c); c != "" {
			out = append(out, c)
		}
	}
	return out
}
