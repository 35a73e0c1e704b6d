# The front door: the same words for ever. Each command first sets up what it needs.

.PHONY: all run test bench bench-serve bench-rooms check fuzz dist help clean
.DEFAULT_GOAL := all

all: ## build build/tenon
	@tools/setup --for run --quiet
	@tools/build build -- tenon

run: ## set up, build, serve real models and show their answers (Ctrl-C ends it)
	@tools/setup --for run
	@tools/build build -- tenon
	@tools/run-demo

test: ## set up, build, run every test; ends with "N passed, N failed, N skipped"
	@tools/setup --for test
	@tools/run-tests

bench: bench-rooms bench-serve ## run every benchmark, with its peers

bench-serve: ## the model server against grpc++, grpc-go and Python services
	@tools/setup --for bench
	@PATH="$(CURDIR)/.deps/go/bin:$$PATH" bench/run serve

bench-rooms: ## memory, channels, codecs, metrics, the rpc server by itself
	@tools/setup --for bench
	@bench/run rooms

check: ## rooms, lengths, format, lint, both compilers, sanitizers, seconds of fuzzing
	@tools/setup --for dev
	@tools/check

fuzz: ## a bounded round of fuzzing: SECONDS_EACH=60 a target
	@tools/setup --for dev
	@tools/fuzz $(or $(SECONDS_EACH),60)

dist: ## the installable bundle: build/dist/tenon-VERSION-MACHINE.tar.gz
	@tools/setup --for run
	@tools/make-dist

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

clean: ## remove what was built (.deps/ stays)
	@rm -rf build build-*
