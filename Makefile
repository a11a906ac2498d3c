# redline: `make demo` shows it, `make test` proves it. `make help` lists the rest.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check
STAMPS := .cache/env
SOURCES := pyproject.toml constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test check bench bench-streams format services train-env clean

help: ## list the commands
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 24

demo: $(STAMPS)/demo ## judge the sample conversations and serve the review desk on 127.0.0.1:8000
	@$(BIN)/redline up

test: $(STAMPS)/dev services ## everything: lint, types, layering, rules, unit and integration tests against real services
	@$(MAKE) --no-print-directory check
	$(BIN)/python -m pytest $(PYTEST_ARGS)

check: $(STAMPS)/dev ## format, lint, types, layering, rule examples (no services needed)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/redline rules lint
	$(BIN)/redline rules test

bench: $(STAMPS)/dev ## measure throughput and memory; prints ratios from one run
	$(BIN)/python -m tests.benchmarks

bench-streams: $(STAMPS)/dev services ## measure worker, latency and recovery on a real broker (several minutes)
	$(BIN)/python -m tests.benchmarks.streams

format: $(STAMPS)/dev ## format and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

services: ## install what the integration tests start: ClickHouse, PostgreSQL, Chromium, Java, Maven
	@deploy/dev/install_services.sh

train-env: $(STAMPS)/dev ## the environment for training (torch: a CPU wheel where one is at hand)

clean: ## remove environments, caches and local data
	rm -rf $(VENV) .cache .redline .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'redline needs Python 3.11 or newer: make PYTHON=python3.12 …'; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(STAMPS)/demo: $(BIN)/python $(SOURCES)
	@echo 'installing redline …'
	@$(PIP) install --quiet --constraint constraints.txt --editable '.[demo]'
	@mkdir -p $(@D) && touch $@

$(STAMPS)/dev: $(BIN)/python $(SOURCES)
	@deploy/dev/install_torch.sh $(BIN)
	@$(PIP) install --quiet --constraint constraints.txt --editable '.[dev]'
	@mkdir -p $(@D) && touch $@ $(STAMPS)/demo
