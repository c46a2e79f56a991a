# The commands of this repository. `make test` is what CI runs.
GO ?= go
COMMIT := $(shell git rev-parse --short HEAD 2>/dev/null)
LDFLAGS := -X main.commit=$(COMMIT)

.PHONY: run test soak-relay soak-update weather quick lint fuzz bench-relay bench-rum bench-update generate build

run: ## the whole platform on http://localhost:8000
	$(GO) run -ldflags "$(LDFLAGS)" ./cmd/addons

test: ## everything, with -race, on the real engines (Debian: installs them)
	.ci/install
	$(MAKE) lint
	$(GO) run ./cmd/engines -- $(GO) test -race -timeout 15m ./...

# Minutes of outages on purpose: too long for every change, for before a release.
weather: ## every backend down, frozen and back again, under the running platform
	.ci/install
	$(GO) run ./cmd/engines -- $(GO) test -tags weather -run Weather -v -timeout 15m ./cmd/addons ./server/site

OUTAGE ?= 5m
soak-relay: ## a real carbon stopped for OUTAGE under load, the relay killed meanwhile (Debian: installs it)
	.ci/install
	OUTAGE=$(OUTAGE) $(GO) test -tags soak -run Soak -v -timeout 1h ./cmd/statsd-relay

FOR ?= 10m
RATE ?= 8000
soak-update: ## update checks at RATE for FOR, their MariaDB killed meanwhile (Debian: installs it)
	.ci/install
	FOR=$(FOR) RATE=$(RATE) $(GO) run ./cmd/engines -only mysql -- $(GO) test -tags soak -run Soak -v -timeout 2h ./cmd/addons

quick: ## what needs nothing installed
	$(GO) test ./...

# With -race, so that vet and the tests share what they compile.
lint: ## formatting and vet
	@test -z "$$(gofmt -l . | tee /dev/stderr)" || { echo "run gofmt -w on these"; exit 1; }
	$(GO) vet -race ./...

FUZZTIME ?= 1m
fuzz: ## every fuzz target in turn, FUZZTIME each
	.ci/fuzz $(FUZZTIME)

# About an hour with all peers; BENCH="-only ours -quick cpu" is a look at a part.
bench-relay: ## statsd-relay side by side with statsd, statsd_exporter, gostatsd
	@mkdir -p bin
	$(GO) run ./cmd/relaybench -json bin/bench-relay.json $(BENCH)

bench-rum: ## what a beacon costs, and statsd-relay side by side with django-statsd
	$(GO) test ./rum -run '^$$' -bench . -benchtime 5s
	$(GO) run ./cmd/rumbench $(BENCH)

# BENCH="--database mysql://… --cache memcache://…" measures these, else SQLite and memory.
bench-update: ## the talk's table on this machine, and what the instruments cost
	@mkdir -p bin
	$(GO) build -ldflags "$(LDFLAGS)" -o bin/addons ./cmd/addons
	$(GO) build -tags uninstrumented -o bin/addons-uninstrumented ./cmd/addons
	bin/addons bench update --without bin/addons-uninstrumented --json bin/bench-update.json $(BENCH)

generate: ## METRICS.md, the built browser script, golden files
	$(GO) generate ./...

build: ## both programs into bin/
	$(GO) build -trimpath -ldflags "-s -w $(LDFLAGS)" -o bin/ ./cmd/addons ./cmd/statsd-relay
