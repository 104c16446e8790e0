# One word per task; each does its own set-up, and the second call installs nothing.
.DEFAULT_GOAL := help
SHELL := /bin/bash

PYTHON ?= python3
BIN := .venv/bin
export PERENNIAL_HOME ?= $(CURDIR)/.perennial

# Telemetry of the libraries, off: the same switches as perennial/settings.py (a test compares them).
export DO_NOT_TRACK := true
export MLFLOW_DISABLE_TELEMETRY := true
export GX_ANALYTICS_ENABLED := false
export ITERATIVE_DO_NOT_TRACK := true
export DAGSTER_DISABLE_TELEMETRY := yes

# Set-up is done when the lock with this content has been installed.
STAMP := .venv/.installed-$(shell git hash-object requirements.lock)
# Each file of tests stays with one worker, for its fixtures; long ones begin (tests/conftest.py), not those of many tests.
TWO_WORKERS := -n 2 --dist loadfile --no-loadscope-reorder
PACKAGES := $(wildcard perennial serving assets sensors resources pipelines cli world benchmarks)

.PHONY: help setup demo test test-slow up bench check clean-state clean lock

help:  ## list the tasks
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(STAMP)  ## make .venv and install the lock

$(STAMP):
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else "perennial: found Python %d.%d, expected 3.11 to 3.13. Hint: make PYTHON=python3.12 ..." % sys.version_info[:2])'
	@echo "perennial: installing requirements.lock into .venv (once, about two minutes)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@log=$$(mktemp); \
	{ $(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock \
	  && $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable . \
	  && $(BIN)/python -m pip check; } >$$log 2>&1 || { cat $$log; rm -f $$log; exit 1; }; rm -f $$log
	@rm -f .venv/.installed-*; touch $@

demo: $(STAMP)  ## the whole loop in a few minutes: simulate, train, serve, drift, retrain
	@$(BIN)/perennial demo

up: $(STAMP)  ## web UI, daemon, MLflow UI and model server; Ctrl-C stops all
	@$(BIN)/perennial up

test: $(STAMP)  ## every test but the slow ones
	@$(BIN)/python -m pytest $(TWO_WORKERS) -m "not slow" $(ARGS)

test-slow: $(STAMP)  ## the slow tests, and the property tests at length
	@$(BIN)/python -m pytest $(TWO_WORKERS) -m "slow or hypothesis" --hypothesis-profile thorough $(ARGS)

bench: $(STAMP)  ## the ratios of speed and memory; writes build/bench.jsonl
	@mkdir -p build && $(BIN)/python -m benchmarks $(ARGS)

check: $(STAMP)  ## lint, format, types, architecture, definitions, deprecations
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy $(PACKAGES) tests
	@$(BIN)/lint-imports --no-logo
	@VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/dg check defs
	@$(BIN)/python -m pytest -q tests/architecture

lock: $(STAMP)  ## resolve requirements.in again into requirements.lock
	@set -euo pipefail; home=$$(mktemp -d); trap 'rm -rf "$$home"' EXIT; $(PYTHON) -m venv "$$home/venv"; \
	"$$home/venv/bin/pip" install --quiet --disable-pip-version-check -r requirements.in 2>"$$home/log" || { cat "$$home/log"; exit 1; }; \
	{ echo "# Exact versions of everything \`make setup\` installs. Made by \`make lock\` from requirements.in; do not edit."; \
	"$$home/venv/bin/pip" freeze --all 2>/dev/null | grep -vE '^pip==' | sed -E 's/\+[a-z0-9.]+$$//' | sort -f; } >requirements.lock

clean-state:  ## forget all state: remove PERENNIAL_HOME
	@rm -rf "$(PERENNIAL_HOME)"

clean:  ## remove .venv and build products too
	@rm -rf .venv build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
