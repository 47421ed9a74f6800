# The only thing a newcomer types. Everything a developer does is a target here.

SHELL := /bin/bash
JOBS ?= $(shell nproc)
# Relative paths in the cache: a clone elsewhere hits it too.
export CCACHE_BASEDIR := $(CURDIR)
export CCACHE_NOHASHDIR := 1

.DEFAULT_GOAL := build
.PHONY: build demo test check lint tidy format unit integration interop-vllm interop-gpu kube-binaries test-asan test-tsan load-asan load-tsan fuzz bench bench-chain bench-controller bench-engine bench-epp bench-pd bench-sidecar soak chart clean help

help: ## this list
	@grep -hE '^[a-z0-9 -]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 22

build: ## the release binary, build/baton
	@tools/install-deps build
	@cmake --preset release >/dev/null
	@cmake --build build/release -j $(JOBS) --target baton
	@ln -sf release/apps/baton/baton build/baton

demo: build ## two chat turns through prefill, KV transfer and decode, with the proof
	@tools/demo

test: ## lint, unit, golden, corpora, integration, real Envoy, a real Kubernetes control plane
	@tools/install-deps build test
	@tools/preflight
	@python3 tests/e2e/kube/binaries.py --begin
	@tools/check
	@$(MAKE) --no-print-directory unit integration e2e-envoy e2e-kube

check: ## the everyday check: lint and unit tests
	@tools/install-deps build test
	@tools/check
	@$(MAKE) --no-print-directory unit

lint: ## formatting, layers, forbidden tokens, file length, folder READMEs, clang-tidy of changed files
	@tools/check

tidy: ## clang-tidy over everything (tools/check reads only changed files)
	@tools/install-deps build test
	@cmake --preset dev >/dev/null
	@tools/tidy --all

format: ## rewrites sources with clang-format
	@git ls-files '*.cpp' '*.hpp' | xargs clang-format-19 -i

dev-build:
	@cmake --preset dev >/dev/null
	@cmake --build build/dev -j $(JOBS)

unit: dev-build ## unit and golden tests, fuzz corpora
	@ctest --test-dir build/dev --output-on-failure --no-tests=error -LE kube -j $(JOBS)

integration: build ## real processes: serve, faults, clients
	@tools/install-deps test
	@BATON=$(CURDIR)/build/baton tools/integration
	@BATON=$(CURDIR)/build/baton tools/interop

interop-vllm: build ## the interop suite on two real vLLM engines on CPUs: 3 GB of download once, 8 GB of memory, minutes
	@tools/install-deps test
	@bin=$$(python3 tests/interop/install_vllm.py) && PATH=$$bin:$$PATH ENGINE=vllm BATON=$(CURDIR)/build/baton tools/interop

interop-gpu: build ## the same with the `vllm` in PATH, on a machine with GPUs
	@tools/install-deps test
	@ENGINE=vllm BATON=$(CURDIR)/build/baton tools/interop

e2e-envoy: build ## real Envoy before `baton epp`, sidecars and engines
	@tools/install-deps test
	@BATON=$(CURDIR)/build/baton tools/e2e-envoy

kube-binaries: ## etcd, kube-apiserver and the rest for e2e-kube, into the user's cache folder
	@tools/install-deps test
	@python3 tests/e2e/kube/binaries.py

e2e-kube: build dev-build ## a real Kubernetes control plane: C++ tests against it, serving end to end
	@tools/install-deps test
	@BATON=$(CURDIR)/build/baton tools/e2e-kube

test-asan test-tsan: test-%: ## unit tests under address+undefined or thread sanitizers
	@tools/install-deps build test
	@cmake --preset $* >/dev/null
	@cmake --build build/$* -j $(JOBS)
	@ctest --test-dir build/$* --output-on-failure --no-tests=error -LE kube -j $(JOBS)

load-asan load-tsan: load-%: ## real processes under load in builds of those sanitizers: the picker, the integration suite; SECONDS_EACH, ONLY
	@tools/install-deps build test
	@cmake --preset $* >/dev/null
	@cmake --build build/$* -j $(JOBS) --target baton epp_bench scrape_bench
	@tools/load-sanitized $*

FUZZ_SECONDS ?= 30
fuzz: ## every fuzz target for FUZZ_SECONDS
	@tools/install-deps build test
	@cmake --preset fuzz >/dev/null
	@cmake --build build/fuzz -j $(JOBS) --target fuzzers
	@tools/fuzz $(FUZZ_SECONDS)

bench-chain: ## Envoy, picker and sidecar, CPU by process and request; PEER_EPP and PEER_SIDECAR name llm-d's; RUNS, ONLY
	@tools/install-deps build test
	@cmake --preset bench >/dev/null
	@cmake --build build/bench -j $(JOBS) --target chain_bench
	@tools/bench-chain

bench-controller: build kube-binaries ## the controller on a real API server; SERVICES=100
	@BATON=$(abspath build/baton) tests/e2e/kube/in_namespace $$(tools/test-python) bench/controller/burst.py $(or $(SERVICES),100)

bench-epp: ## the endpoint picker beside an echo; PEER_EPP, BATON, BATON_TRACE name what else is run (tools/bench-epp)
	@tools/install-deps build test
	@cmake --preset bench >/dev/null
	@cmake --build build/bench -j $(JOBS) --target epp_bench pick_bench scrape_bench routing_bench kv_events_bench tokenize_bench
	@tools/bench-epp

bench-sidecar: ## the sidecar's CPU beside HAProxy and nginx; PEER_SIDECAR names another sidecar; RUNS, ONLY
	@tools/install-deps build test bench
	@cmake --preset bench >/dev/null
	@cmake --build build/bench -j $(JOBS) --target proxy_bench
	@tools/bench-sidecar

bench-engine: ## the engine beside llama.cpp, same weights and prompts; NODE_LLAMA names the folder of node-llama-cpp
	@tools/install-deps build test
	@cmake --preset bench >/dev/null
	@cmake --build build/bench -j $(JOBS) --target engine_bench
	@tools/bench-engine

bench-pd: ## prefill and decode split beside a standard stack, equal cores; MOONCAKE_TRACE and AZURE_TRACE name the traces
	@tools/install-deps build test
	@cmake --preset bench >/dev/null
	@cmake --build build/bench -j $(JOBS) --target baton random_model
	@tools/bench-pd

MINUTES ?= 30
soak: build ## the quickstart for MINUTES at 70 % load while processes die, stop and clients leave: nothing may grow or stay pinned
	@BATON=$(abspath build/baton) bench/serving/soak --minutes $(MINUTES)

bench: build ## figures as a table and JSON; PEER_… name peers to run beside
	@tools/install-deps build test
	@cmake --preset bench >/dev/null
	@cmake --build build/bench -j $(JOBS)
	@tools/bench

chart: build ## the Helm chart with this binary's definitions, in build/chart/baton
	@tools/chart

clean: ## removes build/
	@rm -rf build
