# Everything a clone needs: `make help` lists it. pip's own variables (PIP_INDEX_URL, PIP_NO_CACHE_DIR, ...) are honoured.
.DELETE_ON_ERROR:
.NOTPARALLEL:
.SUFFIXES:
.PHONY: help setup demo test lint docs clean

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
PYTHONS := $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11 python)

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-6s  %s\n", $$1, $$2 }' Makefile
	@echo 'PYTHON=python3.12 make setup  takes that interpreter for $(VENV); else the first of 3.11 or newer'

setup: $(VENV)/.dev ## make .venv with the package (editable) and what tests and checks need

demo: $(VENV)/.runtime ## train, measure and draw on the embedded images; the last line is the path of the page
	@$(BIN)/landscape demo

test: $(VENV)/.dev lint ## run the checks of `lint`, then all tests, on all cores with a thread each
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python -m pytest -n auto

lint: $(VENV)/.dev ## ruff (rules and format) and mypy
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

docs: $(VENV)/.docs ## build the manual into docs/_build; a warning is an error
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build

clean: ## remove build products and caches; results, data and .venv stay
	rm -rf build dist docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find . \( -path ./$(VENV) -o -path ./.git -o -path ./data \) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.made:
	@found=; for python in $(PYTHONS); do \
	  if "$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    found=$$python; break; \
	  fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo 'landscape needs Python 3.11 or newer with its venv module; tried: $(PYTHONS).' >&2; \
	  echo 'Install one (on Debian: apt-get install python3 python3-venv), or name one: make setup PYTHON=/path/to/python3' >&2; \
	  exit 1; \
	fi; \
	echo "$$found -m venv $(VENV)"; "$$found" -m venv $(VENV)
	@touch $@

# The dev install contains the runtime one, so it stamps both and `make demo` after `make setup` installs nothing.
$(VENV)/.dev: setup.cfg pyproject.toml | $(VENV)/.made
	$(PIP) install -e '.[dev]'
	@touch $(VENV)/.runtime $@

$(VENV)/.runtime: setup.cfg pyproject.toml | $(VENV)/.made
	$(PIP) install -e .
	@touch $@

$(VENV)/.docs: setup.cfg pyproject.toml | $(VENV)/.made
	$(PIP) install -e '.[docs]'
	@touch $(VENV)/.runtime $@
