# The developer's menu. `make` alone prints it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Stage components are built beside the host's own build, with whatever can build for wasm on this machine.
TARGET := $(or $(CARGO_TARGET_DIR),target)
HOST := $(TARGET)/debug/ilab-host

.PHONY: help
help: ## Print this menu
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | column -t -s "$$(printf '\t')"

.PHONY: setup
setup: ## Install what the system lacks (as root on Debian), or say how
	@tests/tools/setup

.PHONY: host
host: setup ## Build the host
	cargo build -p ilab-host

.PHONY: plugins
plugins: host ## Build the stage components into plugins/
	@tests/tools/components "$(abspath $(HOST))"

.PHONY: demo
demo: setup ## Run the whole workflow on this machine, with the miniature
	@trap 'kill $$(jobs -p) 2>/dev/null || true' EXIT; \
	examples/miniature/prepare & \
	$(MAKE) --no-print-directory plugins; wait
	examples/miniature/demo

.PHONY: test
test: setup ## Run every test; NODE=1 adds the workflow on a real node, FRESH=1 runs again what passed with the same files
	tests/run

.PHONY: e2e
e2e: setup ## The whole workflow on a real node with the real training operator, compared with the demo; as root
	tests/e2e

.PHONY: cluster
cluster: setup ## Start a real Kubernetes with the training operator, to try things on; as root with pods that run
	cargo run -q -p ilab-test-cluster -- --training-operator $(if $(filter 0,$(shell id -u)),--node)

.PHONY: images-check
images-check: ## Build the Containerfiles with buildah and try what comes out; as root on Debian, IMAGES="host miniature"
	tests/tools/containerfiles $(IMAGES)

.PHONY: interop
interop: plugins ## Sign and move components with cosign and wkg themselves, which are built from their sources (some 20 minutes, once)
	cargo test -p ilab-host --test cosign --test wkg -- --ignored

.PHONY: fuzz
fuzz: setup ## Fuzz the readers of foreign input with libFuzzer; EXECUTIONS=N a target, TARGETS="guard plan" for some
	tests/tools/fuzz $(or $(EXECUTIONS),10000000) $(TARGETS)

.PHONY: lint
lint: ## Formatting, lints, licences and bans
	tests/lint

.PHONY: fmt
fmt: ## Format the Rust and Python sources
	cargo fmt --all
	tests/tools/python ruff format plugins examples/miniature tests/end_to_end

.PHONY: bless
bless: ## Accept what the golden tests see now
	BLESS=1 INSTA_UPDATE=always cargo test --workspace

.PHONY: bench
bench: plugins ## Benchmarks; docs/performance.md says how to read them
	cargo bench --workspace

.PHONY: dist
dist: setup ## The binary as it is shipped
	cargo build -p ilab-host --profile dist
