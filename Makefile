# Needs Go and a C compiler. Everything lands in build/.

GO ?= go

.PHONY: all build man demo test check bench bench-compare bench-values stress soak fuzz clean

all: build

## build: programs in build/bin, test and example packages in build/tdl_packages
build:
	$(GO) run ./internal/tasktest/stage build

## man: the manual pages, in build/man/man1
man: build
	build/bin/spider man build/man/man1

## demo: builds all and runs tasks: a number, a search over a large file, a crash
demo: build
	@sh examples/demo.sh build

## test: all tests, with the race detector
test:
	$(GO) test -race ./...

## check: formatting, go.mod, vet and lint; fails if there is anything to change
check:
	@test -z "$$(gofmt -l .)" || { echo "not gofmt-ed:"; gofmt -l .; exit 1; }
	$(GO) mod tidy -diff
	$(GO) mod verify
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

## bench: the report, build/bench/report.md, against the executors in AGAINST; docs/PERFORMANCE.md explains it
AGAINST ?=
bench: build
	build/bin/spider bench --package-dir build/tdl_packages $(AGAINST:%=--against %)

## bench-compare: has the working tree become slower than the revision OLD? Fails if so
OLD ?= main
bench-compare:
	$(GO) build -o build/bin/bench-compare ./internal/bench/compare
	build/bin/bench-compare -old $(OLD)

## bench-values: encoding and decoding of values beside other msgpack libraries, as a table
bench-values:
	cd internal/msgpack/compare && $(GO) test -run '^$$' -bench . -benchmem -count 5 -benchtime 100ms | $(GO) run ./table

## stress: several Go runtimes and C in one process, for STRESS
STRESS ?= 5m
stress:
	SPIDER_STRESS=$(STRESS) $(GO) test -count 1 -timeout 0 -v -run '^TestStress$$' ./cmd/spider-task-executor

## soak: a pool under faults, for SOAK; prints calls, faults, outcomes, leaks
SOAK ?= 5m
soak:
	SPIDER_SOAK=$(SOAK) $(GO) test -count 1 -timeout 0 -v -run '^TestSoak$$' ./pool

## fuzz: every fuzz target for FUZZTIME each
FUZZTIME ?= 30s
fuzz:
	@set -e; for package in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
			echo "$$package $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$package; \
		done; \
	done

clean:
	rm -rf build
