# One command per chore.  `make` alone lists them; `make PYTHON=python3.12 ...` picks the interpreter for .venv.
# All paths are relative: this directory's own path may hold spaces.

PYTHON ?=
export PYTHON

RUN := .venv/installed-run
DEV := .venv/installed-dev
PEERS := .venv-bench/installed
LOCKED := pyproject.toml requirements/build.txt scripts/setup
PY := .venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help demo test lint docs bench bench-quick clean

help:  ## List the chores
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 13

demo: $(RUN)  ## Load the sample call logs into an embedded PostgreSQL and show what came of it
	@$(PY) examples/demo.py

test: lint  ## Lint, types and all tests, against real servers of their own
	$(PY) -m pytest --numprocesses auto

lint: $(DEV)  ## Style and types
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

docs: $(DEV)  ## Build the documentation into site/, with strict links
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict

bench: $(DEV) $(PEERS)  ## Measure all goals and the peers, and write docs/benchmarks.md; BENCH_ARGS="--help" for less
	$(PY) -m benchmarks $(BENCH_ARGS)

bench-quick: $(DEV) $(PEERS)  ## Measure the main goals on a smaller file, in two minutes
	$(PY) -m benchmarks --quick $(BENCH_ARGS)

clean:  ## Remove .venv, .venv-bench and everything made here, the data of the demo included
	rm -rf .venv .venv-bench build dist site src/*.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(RUN): requirements/run.txt $(LOCKED)
	@scripts/setup run
	@touch $@

# What development needs includes what running needs.
$(DEV): requirements/dev.txt $(LOCKED)
	@scripts/setup dev
	@touch $@ $(RUN)

# What the benchmarks compare with stays apart.
$(PEERS): requirements/bench.txt scripts/setup
	@scripts/setup bench
	@touch $@
