# PBM Logistics 360. `make` or `make help` lists what can be done.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# the first Python 3.11 that there is
PYTHON ?= $(shell for p in python3.11 python3 python; do \
	$$p -c 'import sys, venv; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null \
	&& echo $$p && break; done)
DEMO_ORDERS ?= 2000

.PHONY: help setup demo dashboard live airflow composer-bundle test test-long browser lint format generate bench docs screenshots lock clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  \033[1mmake %-15s\033[0m %s\n", $$1, $$2}'

setup: $(READY) ## Install everything into .venv; quick when nothing changed

$(READY): requirements/dev.txt requirements/uv.txt pyproject.toml
	@if [ -z "$(PYTHON)" ]; then echo "Python 3.11 with venv is needed, and none was found." \
	  "Install it (Debian: apt-get install python3.11-venv) or run make PYTHON=/path/to/python3.11." >&2; exit 5; fi
	@echo "setup: installing the locked environment into $(VENV) (a few minutes the first time)"
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements/dev.txt requirements/uv.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $(READY)

demo: setup ## Show the whole platform at work on 2,000 orders (DEMO_ORDERS=N for another number)
	@$(BIN)/pbm demo --orders $(DEMO_ORDERS)

dashboard: setup ## Open the dashboards on the local stack
	@$(BIN)/pbm dashboard

live: setup ## Run the whole twin in one terminal: generator, ingestion, dbt, dashboards
	@$(BIN)/pbm live

airflow: setup ## Run Airflow on the local stack until Ctrl-C; prints how to log in
	@$(BIN)/pbm airflow standalone

composer-bundle: setup ## Build what a managed Airflow is given: DAGs, dbt project and manifest
	@$(BIN)/pbm airflow bundle

test: setup browser ## Run every check and test; the fast ones first
	@tests/lint
	@$(BIN)/pytest --numprocesses logical --maxprocesses 4 --no-loadscope-reorder

# The dashboards are tested in a real browser.
browser:
	@if ! command -v chromium >/dev/null; then \
	  if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
	    echo "The tests look at the dashboards in Chromium, which is not installed." \
	      "Install it (Debian: sudo apt-get install chromium) and run make again." >&2; exit 5; fi; \
	  echo "setup: installing Chromium, in which the dashboards are tested"; \
	  apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y chromium >/dev/null; fi

test-long: setup ## Run the test that takes many minutes: tasks killed under Airflow's scheduler
	@$(BIN)/pytest --override-ini addopts="--import-mode=importlib -p no:bqemulator" \
	  tests/orchestration/test_pipelines.py -k killed_tasks

lint: setup ## Check style and types: ruff, mypy, sqlfluff on both dialects, dbt parse
	@tests/lint

format: setup ## Put Python into its standard form
	@$(BIN)/ruff check --fix --quiet . && $(BIN)/ruff format --quiet .

generate: setup ## Write anew every file that is made from others: contract, privacy, tables in docs/
	@$(BIN)/pbm contract write && $(BIN)/pbm privacy write && $(BIN)/pbm dictionary write
	@$(BIN)/python -m tests.infra.access_table
	@$(BIN)/python -m tests.infra.licences
	@$(BIN)/python -m tests.infra.cost

bench: setup browser ## Measure speed against baselines of the same run; writes docs/benchmarks.md
	@$(BIN)/python -m benchmarks

docs: setup ## Build the dbt docs site into target/static_index.html
	@$(BIN)/pbm docs
	@echo "docs: open target/static_index.html"

screenshots: setup browser ## Take the pictures of the dashboards and the lineage in docs/images/ anew
	@$(BIN)/pbm screenshots

lock: setup ## Compile requirements/ anew from pyproject.toml
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  --all-extras --upgrade --output-file requirements/dev.txt pyproject.toml
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  --extra ingestion --constraint requirements/dev.txt --output-file requirements/dataflow.txt \
	  pyproject.toml
	@for pair in dashboards:dashboard transform:dbt; do \
	  $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	    --extra $${pair%:*} --constraint requirements/dev.txt \
	    --output-file requirements/$${pair#*:}.txt pyproject.toml; done
	@echo uv | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-header --upgrade --output-file requirements/uv.txt -

clean: ## Stop the local stack; remove its state, what was built, and .venv
	@if [ -x $(BIN)/pbm ]; then $(BIN)/pbm down || true; fi
	rm -rf .pbm target logs $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info profiles.yml
