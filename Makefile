# make demo: the whole pipeline on the built-in data set. make test: linters, types, documentation and tests.
# make docs: the documentation site, in site/.
# All of them make .venv when it is missing or when pyproject.toml or constraints.txt have changed.
# Installed by its path (editable_mode=compat), so that Python takes its data before a user's plain folder data/.
SHELL := /bin/bash
PYTHON ?= $(shell for p in python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
READY := .venv/.installed

# For the tables of results: make table DATA=celebahq ROOT=folder ARGS='--attribute Male --epochs 40'
DATA ?= celebahq
ROOT ?= data-root
ARGS ?=

.PHONY: demo test lint docs install table clean

demo: $(READY)
	@$(BIN)/python -m benchmarks.demo

test: lint docs
	@$(BIN)/python -m pytest -n 2 --dist loadfile --durations=15

lint: $(READY)
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

docs: $(READY)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

table: $(READY)
	@$(BIN)/python -m benchmarks.table $(DATA) --data-root $(ROOT) $(ARGS)

install: $(READY)

$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo 'error: expected Python 3.11 or newer, found none; install it or set PYTHON' >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
		--config-settings editable_mode=compat -e '.[dev,docs]'
	@touch $@

clean:
	rm -rf .venv build site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis runs/demo
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
