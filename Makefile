# `make` alone says what there is.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Processes that share the tests, and who gets which: tests/support/workers.py.
WORKERS ?= logical
PYTEST := $(BIN)/pytest -n $(WORKERS) --maxprocesses 8

.DEFAULT_GOAL := help
.PHONY: help install check fix test test-all rewrite bench demo demo-postgres reference grammar clean

help:
	@echo "make demo      a shop's changes joined and windowed into Iceberg, killed once, then compared"
	@echo "make demo-postgres  the same out of a real PostgreSQL that it starts"
	@echo "make test      install what the tests need into $(VENV) and run them"
	@echo "make test-all  the same with every slow test: more kills, more generated queries"
	@echo "make check     format, lint, types, layer contracts"
	@echo "make fix       let the formatter and the linter mend what they can"
	@echo "make rewrite   write actual output into the script tests; review the diff"
	@echo "make bench     every benchmark, one line each (minutes)"
	@echo "make reference  write docs/reference from the code's own tables"
	@echo "make grammar   write the statement parser's tables from flowsql/sql/statements.lark"
	@echo "make clean     remove build products and caches"

install: $(INSTALLED)

$(INSTALLED): pyproject.toml
	@test -n "$(PYTHON)" || { echo "flowsql needs Python 3.11 or newer"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing what it needs into $(VENV), a minute or two the first time"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) -e '.[dev]'
	@touch $@

check: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: $(INSTALLED)
	$(PYTEST) -m "not slow" $(ARGS)

test-all: $(INSTALLED)
	FLOWSQL_TEST_ALL=1 $(PYTEST) $(ARGS)

rewrite: $(INSTALLED)
	$(BIN)/pytest tests/scripts --rewrite $(ARGS)

bench: $(INSTALLED)
	@for question in benchmarks/[a-z]*.py; do \
		OMP_NUM_THREADS=1 taskset -c 0 $(BIN)/python $$question || exit 1; done

reference: $(INSTALLED)
	$(BIN)/python docs/generate_reference.py

grammar: $(INSTALLED)
	$(BIN)/python -m flowsql.sql.make_tables

demo: $(INSTALLED)
	$(BIN)/python sql_examples/demo/run.py

demo-postgres: $(INSTALLED)
	$(BIN)/python sql_examples/demo/run.py --postgres

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +
