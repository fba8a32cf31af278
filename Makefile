# Every command of the project. `make demo` needs nothing; the others say what they lack.
PYTHON ?= python3
BIN := .venv/bin
PY := $(BIN)/python
DBT_VARS ?= $(shell sed -nE "s/^DBT_VARS=['\"]?(.*[^'\"])['\"]?$$/\1/p" .env 2>/dev/null)
DBT = $(BIN)/dbt --quiet
VARS = $(if $(DBT_VARS),--vars '$(DBT_VARS)')
export DBT_VARS
export DBT_PROJECT_DIR := $(CURDIR)/dbt_project
export DBT_SEND_ANONYMOUS_USAGE_STATS := false
.PHONY: help setup demo ingest features train live replay sql docs bench check test

help: ## this list
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

setup: .venv/.ready ## the virtual environment with exact versions
.venv/.ready: constraints.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]' && touch $@

demo: setup ## the whole path on a simulated market, to live signals (SIGNALS=1 ends after one)
	@$(PY) -m live.demo
ingest: setup ## what the coming session needs from the provider, and no more
	$(PY) -m ingest calendar
	$(PY) -m ingest universe
	$(PY) -m ingest profiles
	$(PY) -m ingest splits
	$(DBT) run --select +daily_requests $(VARS)
	$(PY) -m ingest daily
	$(DBT) run --select +watchlist +minute_requests $(VARS)
	$(PY) -m ingest minute

features: setup ## dbt build, a new published snapshot, exports
	$(PY) -m ingest calendar
	$(DBT) build --exclude-resource-type unit_test $(VARS)
	$(PY) -m ingest export
train: setup ## models from the published snapshot
	$(PY) -m ml.train
live: setup ## the live service
	$(PY) -m live serve
replay: setup ## a recorded session through the live loop, held against batch (DATE=2025-11-04 DIFF='rvol_min=3')
	@$(PY) -m live replay $(DATE) $(addprefix --diff ,$(DIFF))
bench: setup ## what the warehouse costs, against peers beside it (PARTS='build live')
	$(PY) -m tests.bench.warehouse $(PARTS)

sql: setup .venv-sql/.ready ## a SQL prompt on the newest snapshot (Q='select 1' answers one query)
	@snapshot=$$($(PY) -m ingest snapshot) && exec .venv-sql/bin/$(if $(Q),hsql --command "$$Q",harlequin) --read-only "$$snapshot"
.venv-sql/.ready: constraints-sql.txt
	$(PYTHON) -m venv .venv-sql && .venv-sql/bin/pip install --quiet --disable-pip-version-check -c $< harlequin duckdb && touch $@

docs: setup ## every table, column and term explained, as one page of HTML
	@$(PY) -m ingest snapshot >/dev/null && $(DBT) docs generate --static $(VARS) && echo dbt_project/target/static_index.html

check: setup ## ruff, mypy, sqlfluff
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/mypy
	cd dbt_project && ../$(BIN)/sqlfluff lint models

test: check .venv-sql/.ready ## all tests, from nothing
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder
