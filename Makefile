# What people and CI call. `make` alone lists it.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# Downloads and build output stay outside of the clone, so that a second clone starts quickly.
ifndef HOLDFAST_CACHE
ifeq ($(shell id -u),0)
HOLDFAST_CACHE := /var/cache/holdfast
else
HOLDFAST_CACHE := $(HOME)/.cache/holdfast
endif
endif
export HOLDFAST_CACHE
CARGO_TARGET_DIR ?= $(HOLDFAST_CACHE)/target
export CARGO_TARGET_DIR
export PATH := $(PATH):$(HOME)/.cargo/bin

LOCAL := .local
STACK := $(LOCAL)/bin/holdfast-stack
TEST_ROOT := $(LOCAL)/test
CHAOS_ROOT := $(LOCAL)/chaos
DURATION ?= 120

.PHONY: help demo test lint up down bench chaos catalogue clean fetch toolchain testing binaries

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: up ## Send 6,919 real purchases through everything and check the books
	. $(LOCAL)/stack.env; $(LOCAL)/bin/holdfast demo

up: fetch binaries ## Start the servers, run the migrations, start the services
	$(STACK) up --services

down: ## Stop the services, then the servers
	@if [ -e $(LOCAL)/stack.env ]; then $(STACK) down; fi

test: fetch toolchain testing ## Run all tests, on a stack of their own
	stack/test.sh $(TEST_ROOT)

lint: toolchain ## Check formatting, clippy, and licences where cargo-deny is there
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	@if cargo deny --version >/dev/null 2>&1 && [ -e deny.toml ]; then \
		cargo deny --offline check bans licenses sources; \
	else echo 'cargo-deny is not installed: bans, licences and sources were not checked'; fi

bench: up ## Measure throughput and latency; writes bench/report.md
	. $(LOCAL)/stack.env; $(CARGO_TARGET_DIR)/release/holdfast-bench

catalogue: fetch toolchain testing ## Run the catalogue of faults alone and at full length
	CHAOS_FULL=1 stack/test.sh $(TEST_ROOT) --test chaos -- --nocapture

chaos: fetch testing binaries ## Break everything at random under load, then check the books (DURATION=120 SEED=n)
	stack/install.sh $(CARGO_TARGET_DIR)/release $(CHAOS_ROOT)
	$(CARGO_TARGET_DIR)/release/holdfast-chaos --root $(CHAOS_ROOT) --report $(LOCAL)/chaos-report.json \
		--seconds $(DURATION) $(if $(SEED),--seed $(SEED))

clean: ## Stop everything, and remove the stacks with their data
	@for root in $(TEST_ROOT) $(CHAOS_ROOT) $(LOCAL); do \
		if [ -e $$root/stack.env ]; then $$root/bin/holdfast-stack --root $$root wipe; fi; \
	done
	rm -rf $(LOCAL)

fetch:
	@stack/fetch/all.sh

toolchain:
	@stack/fetch/packages.sh build

testing:
	@stack/fetch/packages.sh testing

binaries: toolchain
	cargo build --release --locked --workspace --bins
	stack/install.sh $(CARGO_TARGET_DIR)/release $(LOCAL)
