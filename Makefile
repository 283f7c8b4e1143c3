# Every target creates what it needs: `make demo` and `make test` work in a fresh clone.
PYTHON ?= $(firstword $(shell command -v python3.11 python3.12 python3.13 python3 2>/dev/null))
# The index that torch comes from. PyPI's Linux wheel carries CUDA; for the small CPU build:
#   make demo TORCH_INDEX="--index-url https://download.pytorch.org/whl/cpu"
TORCH_INDEX ?=
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
SOURCES := pyproject.toml constraints.txt
BENCHMARKS := startup data_generation coverage patching path_patching transcoder_step meta_step deeponet_step throughput throughput_gpu replicas grok_time aqc_objective generation generative_logic abc_evaluations spice_simulations

.DEFAULT_GOAL := help
.PHONY: help demo test faults fuzz lint format docs site results bench clean

help:  ## this list
	@grep -hE '^[a-z]+:.*##' Makefile | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 18

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "wheatstone needs Python 3.11 or newer: make demo PYTHON=/path/to/python3.11" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is older than Python 3.11: make demo PYTHON=/path/to/python3.11" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

# torch goes first and alone: it is most of the download, and this is where its index may be another one.
$(VENV)/.torch: constraints.txt | $(BIN)/python
	$(PIP) install --quiet $(TORCH_INDEX) "$$(grep '^torch==' constraints.txt)" -c constraints.txt
	@touch $@

$(VENV)/.demo: $(SOURCES) $(VENV)/.torch
	$(PIP) install --quiet -c constraints.txt -e .
	@touch $@

$(VENV)/.dev: $(SOURCES) $(VENV)/.torch
	$(PIP) install --quiet -c constraints.txt -e '.[dev]'
	@touch $(VENV)/.demo $@

demo: $(VENV)/.demo  ## grok a small real knowledge graph, ask it, see its circuit
	$(BIN)/wheatstone grok countries --out runs/demo
	$(BIN)/wheatstone ask runs/demo "France | smallest_neighbour | currency"
	$(BIN)/wheatstone circuit runs/demo

# A file is one worker's, which makes its fixtures once.
WORKERS ?= 2
test: $(VENV)/.dev  ## all tests with coverage, WORKERS=2 at a time; warnings are errors
	$(BIN)/python -m pytest --cov --cov-report=term --numprocesses $(WORKERS) --dist loadfile $(ARGS)

faults: $(VENV)/.dev  ## a hundred kill -9 over the life of a run, none of which may change a finding
	$(BIN)/python -m tests.faults.campaign $(ARGS)

SECONDS ?= 30
fuzz: $(VENV)/.dev  ## libFuzzer on every reader of files and words, SECONDS=30 each
	$(PIP) install --quiet -c constraints.txt -e '.[dev,fuzz]'
	$(BIN)/python -m tests.fuzz.campaign --seconds $(SECONDS) $(ARGS)

lint: $(VENV)/.dev  ## ruff, pyright, import layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

format: $(VENV)/.dev  ## put the sources into the house format
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

docs: $(VENV)/.demo  ## fail when a generated page differs from the studies and the recorded results
	$(BIN)/wheatstone docs --check

site: $(VENV)/.dev  ## the documentation as a site, in site/; fails on a link that leads nowhere
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

results: $(VENV)/.demo  ## record a finished run: make results RUN=runs/NAME
	$(BIN)/wheatstone docs --record $(RUN)

bench: $(VENV)/.dev  ## speed beside named peers (40 minutes of a quiet machine), written to docs/BENCHMARKS.md
	@failed=0; for name in $(BENCHMARKS); do $(BIN)/python -m benchmarks.$$name $(ARGS) || failed=1; done; \
	  $(BIN)/wheatstone docs && exit $$failed

clean:  ## remove the environment and caches; runs/ is kept
	rm -rf $(VENV) dist build site .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage .coverage.* htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
