# Every target does its own set-up, with nothing but python3 (3.11 or newer), git and make on the machine.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test lint vectors bench lock clean

PYTHON ?= python3
# Most tests wait for other processes more than for this machine's cores.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(min(6, 2 * (os.cpu_count() or 1)))')
HEADLESS ?=
VENV := .venv
BIN := $(VENV)/bin

help:  ## show this
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  (PYTHON=python3.12 chooses the Python, WORKERS=4 the number of test processes)"

setup: $(VENV)/dev.stamp  ## make .venv with everything for development, from requirements/lock.txt

demo: $(VENV)/demo.stamp  ## the whole story on this machine; HEADLESS=1 plays the person's part too
	@$(BIN)/aauthkit demo $(if $(filter-out 0 no false,$(HEADLESS)),--headless)

test: lint  ## lint, then every test
	@$(BIN)/python -m tests.chromium
	@$(BIN)/python -m tests.node
	$(BIN)/pytest -n $(WORKERS)

lint: $(VENV)/dev.stamp  ## ruff, mypy --strict and the arrows between rooms
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

vectors: $(VENV)/dev.stamp  ## the test vectors: made as they stand, obeyed here, and noticing every check that is missing
	$(BIN)/python -m scripts.vectors --check
	$(BIN)/aauthkit vectors run
	$(BIN)/python -m scripts.vectors.mutate

bench: $(VENV)/dev.stamp  ## measure: a table, and bench/results.json; every figure a ratio
	@$(BIN)/python -m bench

lock: $(VENV)/dev.stamp  ## renew requirements/*.txt from pyproject.toml, to the newest versions its ranges allow
	@$(COMPILE) --upgrade --all-extras --group dev --output-file requirements/lock.txt
	@$(COMPILE) --upgrade --extra demo --group build --constraint requirements/lock.txt --output-file requirements/demo.txt

COMPILE = $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --custom-compile-command "make lock"

clean:  ## remove what the other targets made
	rm -rf $(VENV) build dist tests/interop/node/node_modules .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find src tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +

# What development needs includes what the demonstration needs, in the same versions.
$(VENV)/dev.stamp: requirements/lock.txt pyproject.toml scripts/environment.sh
	@PYTHON=$(PYTHON) scripts/environment.sh $(VENV) requirements/lock.txt
	@touch $(VENV)/demo.stamp $@

$(VENV)/demo.stamp: requirements/demo.txt pyproject.toml scripts/environment.sh
	@PYTHON=$(PYTHON) scripts/environment.sh $(VENV) requirements/demo.txt
	@touch $@
