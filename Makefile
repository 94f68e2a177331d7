# Everything a newcomer or CI runs. `make` alone lists it.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= $(shell .ci/python)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Real clusters and real builds wait more than they compute: a few more workers than cores.
WORKERS ?= 4
PYTEST_ARGS ?=

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(READY): requirements/build.txt requirements/dev.txt pyproject.toml
	@echo "setting up $(VENV) with $(PYTHON) (once, about half a minute)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes \
	  -r requirements/build.txt
	@$(BIN)/uv pip install -q --python $(BIN)/python --require-hashes -r requirements/dev.txt
	@$(BIN)/uv pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $(READY)

.PHONY: setup
setup: $(READY) ## Make the development environment in .venv

.PHONY: demo
demo: $(READY) ## Show the main job on real input, from nothing (KEEP=1 leaves it up)
	@$(BIN)/python -m tests.demo $(if $(KEEP),--keep)

.PHONY: test
test: check controlplane helm verdicts ## Run everything that CI runs
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(PYTEST_ARGS)

.PHONY: check
check: $(READY) ## Format, lint, types, layers, generated files
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache | grep -E 'Contracts|BROKEN|kept' || $(BIN)/lint-imports --no-cache
	@$(BIN)/python -m tests.generated --check

.PHONY: format
format: $(READY) ## Format the code and mend what the linter can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

.PHONY: generate
generate: $(READY) ## Write the generated files anew (CRD, OpenAPI, schemas)
	@$(BIN)/python -m tests.generated

.PHONY: controlplane
controlplane: $(READY) ## Find or build the API server for tests (11 minutes the first time)
	@$(BIN)/python -m tests.cluster.controlplane assets > /dev/null

.PHONY: verdicts
verdicts: $(READY) ## Find or build what judges objects as Argo CD and Flux do (2 minutes the first time)
	@$(BIN)/python -m tests.gitops.verdicts > /dev/null

.PHONY: helm
helm: $(READY) ## Find or build Helm for tests of the chart (some minutes the first time)
	@$(BIN)/python -m tests.cluster.helm > /dev/null

.PHONY: bench
bench: $(READY) controlplane ## Run the benchmarks; they print ratios against baselines
	@$(BIN)/python -m tests.bench

.PHONY: soak
soak: $(READY) controlplane ## Kill the operator 200 times at random moments, then look for what is wrong
	@$(BIN)/python -m tests.soak --kills 200

# PYTHON is the interpreter of the development environment as well: only what is said here counts.
image: export PYTHON := $(if $(filter command%,$(origin PYTHON)),$(PYTHON))

.PHONY: image
image: ## Build the operator's image (IMAGE, PYTHON=3.13, BASE, COMPILER=1, PACKAGES)
	@IMAGE="$(IMAGE)" BASE="$(BASE)" COMPILER="$(COMPILER)" PACKAGES="$(PACKAGES)" \
	  deploy/image/build.sh

.PHONY: e2e
e2e: $(READY) ## Use the operator's image on a whole node: Linux, root (5 minutes more the first time)
	@$(BIN)/python -m tests.e2e

.PHONY: lock
lock: $(READY) ## Lock the dependencies anew, with hashes
	@for lock in operator: dev:--group=dev; do \
	  $(BIN)/uv pip compile -q pyproject.toml $${lock#*:} --universal --python-version 3.11 \
	    --upgrade --generate-hashes --no-emit-index-url --custom-compile-command "make lock" \
	    -o requirements/$${lock%%:*}.txt; \
	done
	@$(BIN)/uv pip compile -q requirements/build.in --universal --python-version 3.11 \
	  --upgrade --generate-hashes --no-emit-index-url --custom-compile-command "make lock" \
	  -c requirements/dev.txt -o requirements/build.txt

.PHONY: clean
clean: ## Remove the development environment and what tools left
	@rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .demo
