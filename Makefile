# `make help` lists the targets. PYTHON picks the interpreter (3.11 or later).
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
RUN    := $(VENV)/.installed
DEV    := $(VENV)/.installed-dev
ENGINES := $(BIN)/python scripts/engines
# two workers: a module stays in one, for its server and its database
PARALLEL := -n 2 --dist loadfile
# a shape of deployment stays in one worker, so that its stories share what is started
BY_SHAPE := -n 2 --dist loadgroup
# unit tests over real sockets, processes and terminals: right, but too slow for every save
SOCKETS := tests/unit/app tests/unit/bench tests/unit/cli tests/unit/rpc tests/unit/scripts tests/unit/sdk

.DEFAULT_GOAL := help
.PHONY: help run cluster test test-fast check contract scenarios fuzz bench simulate docs clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(VENV)/bin/python:
	@scripts/python_check $(PYTHON)
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(RUN): pyproject.toml | $(VENV)/bin/python
	@echo "installing xinyu into $(VENV) (the first time takes a minute)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(DEV): pyproject.toml | $(VENV)/bin/python
	@echo "installing xinyu and what its tests need into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@ $(RUN)

run: $(RUN)  ## install and start the whole server in one process (config/monolith.yaml)
	@exec $(BIN)/xinyu run --config config/monolith.yaml

cluster: $(RUN)  ## start stage 4 (every domain a process, two gateways), start again what dies, until Ctrl-C
	@exec scripts/gateways_run.sh start 4 --watch

check: $(DEV)  ## ruff, mypy strict, architecture and quick unit tests: for every save
	@$(BIN)/ruff check xinyu tests scripts
	@$(BIN)/ruff format --check -q xinyu tests scripts
	@$(BIN)/mypy
	@$(BIN)/python -m pytest $(PARALLEL) -m "not whole" $(SOCKETS:%=--ignore=%) tests/architecture tests/unit

contract: $(DEV)  ## one suite per interface over every adapter (starts MySQL when needed)
	@$(ENGINES) run -- $(BIN)/python -m pytest $(PARALLEL) tests/contract

scenarios: $(DEV)  ## black-box stories against real processes: the monolith and the stages 1 to 4 (starts engines)
	@$(ENGINES) run -- $(BIN)/python -m pytest $(BY_SHAPE) tests/scenarios

fuzz: $(DEV)  ## throw garbage at every port, SECONDS (60) for each fuzzer; SEED continues where a failure was
	@XINYU_TEST_FUZZ_SECONDS=$(or $(SECONDS),60) XINYU_TEST_FUZZ_SEED=$(or $(SEED),0) $(BIN)/python -m pytest -v tests/fuzz

test: check  ## everything, engines included
	@$(ENGINES) run -- $(BIN)/python -m pytest $(PARALLEL) tests/contract tests/property
	@$(BIN)/python -m pytest $(PARALLEL) $(SOCKETS)
	@$(BIN)/python -m pytest $(PARALLEL) -m whole tests/unit
	@$(BIN)/python -m pytest tests/fuzz
	@$(BIN)/python -m pytest -n 2 tests/simulation
	@$(ENGINES) run -- $(BIN)/python -m pytest $(BY_SHAPE) tests/scenarios

test-fast: check  ## without engines and processes
	@$(BIN)/python -m pytest $(PARALLEL) $(SOCKETS) tests/property
	@$(BIN)/python -m pytest $(PARALLEL) -m whole tests/unit

bench: $(DEV)  ## measure WORKLOADS W1 to W7 and a storm, on the monolith and on stage 4, and the RPC (some 45 minutes)
	@$(BIN)/python scripts/bench/run.py

simulate: $(RUN)  ## a whole cluster under faults in made-up time: SEEDS runs (200), or one SEED again with its trace
	@$(BIN)/xinyu simulate $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),200)) $(FAULTS)

docs: $(DEV)  ## write the generated references in docs/reference
	@$(BIN)/python scripts/generate_docs.py

clean:  ## remove the environment, local stages and the private engines' data (never the server's data folder)
	@[ ! -d .run/cluster ] || [ ! -x $(BIN)/python ] || scripts/gateways_run.sh stop
	@[ ! -d .run/engines ] || $(PYTHON) scripts/engines stop --force
	@rm -rf $(VENV) .run .mypy_cache .ruff_cache .pytest_cache
