# make demo: the whole pipeline on the built-in data set. make test: linters, types, documentation and tests.
# make results ROOT=folder NAME=frontier: what is behind figures of the documentation, and its tables; NAME=all: everything.
# make docs: the documentation site, in site/.
# make oldest, make newest: the tests with the oldest versions that pyproject.toml allows, and with the newest.
# All others make .venv when it is missing or when pyproject.toml or constraints.txt have changed.
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
NAME ?= all

# make oldest TORCH=2.13.0: with another PyTorch than the oldest, for example the one that a machine has.
TORCH ?= $(shell sed -n 's/^torch==//p' constraints-oldest.txt)
TESTED := boed data hardattn supervision tests --ignore=tests/test_docs.py
TRY := -m pytest -n 2 --dist loadfile -o filterwarnings=default -p no:cacheprovider

.PHONY: demo test lint docs install table results oldest newest clean

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

results: $(READY)
	@$(BIN)/python -m benchmarks.results $(NAME) --data $(ROOT) --tables

install: $(READY)

# Not with warnings as errors: old packages warn of one another. The documentation is built by `make test`.
oldest:
	@$(PYTHON) -m venv --clear .venv-oldest
	@sed 's/^torch==.*/torch==$(TORCH)/' constraints-oldest.txt > .venv-oldest/constraints.txt
	@.venv-oldest/bin/python -m pip install --quiet --disable-pip-version-check -c .venv-oldest/constraints.txt \
		--config-settings editable_mode=compat -e '.[onnx]' hypothesis pytest pytest-xdist
	@.venv-oldest/bin/python $(TRY) $(TESTED)

newest:
	@$(PYTHON) -m venv --clear .venv-newest
	@.venv-newest/bin/python -m pip install --quiet --disable-pip-version-check --upgrade \
		--config-settings editable_mode=compat -e '.[dev]'
	@.venv-newest/bin/python $(TRY) $(TESTED)

$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo 'error: expected Python 3.11 or newer, found none; install it or set PYTHON' >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
		--config-settings editable_mode=compat -e '.[dev,docs]'
	@touch $@

clean:
	rm -rf .venv .venv-oldest .venv-newest build site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis runs/demo
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
