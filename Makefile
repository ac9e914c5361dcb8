# The two commands: make book, make test. `make help` lists the rest.

# A release must have been out for some days before the lock takes it: mirrors lag behind, and a
# bad release is usually withdrawn by then.
LOCK_DATE ?= 2026-11-10
TORCH_INDEX := https://download.pytorch.org/whl/cpu
VENV := .venv
BIN := $(VENV)/bin
SITE := _build/html/index.html
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
  $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$p && break; done)
PIP := $(BIN)/python -m pip --disable-pip-version-check
PORT ?= 8000

.PHONY: help book test test-all serve lab lint format lock vendor browser clean site
.DEFAULT_GOAL := help

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

book: site ## build the site and say where it is
	@echo
	@echo "The book is in _build/html. Open $(CURDIR)/$(SITE) in a browser, or run: make serve"

test: $(VENV)/.dev browser site ## build the site and run every test
	$(BIN)/python -m pytest

serve: site ## build the site and serve it on this machine
	@echo "http://127.0.0.1:$(PORT)/"
	@$(BIN)/python -m http.server $(PORT) --bind 127.0.0.1 --directory _build/html

lab: $(VENV)/.installed ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab --ServerApp.root_dir=notebooks

lint: $(VENV)/.dev ## check style, types, spelling, and that notebooks are stripped
	$(BIN)/pre-commit run --all-files

format: $(VENV)/.dev ## format the code and strip the notebooks
	$(BIN)/ruff check --fix src tests
	$(BIN)/ruff format src tests
	$(BIN)/nbstripout notebooks/*.ipynb

vendor: $(VENV)/.dev ## renew the vendored KaTeX style and the font of the figures
	$(BIN)/python -m booksite.vendor
	$(BIN)/python -m livefigure.font

clean: ## remove everything that these commands make
	rm -rf $(VENV) _build .pytest_cache .hypothesis .mypy_cache .ruff_cache src/*.egg-info
	find src tests -name __pycache__ -prune -exec rm -rf {} +

# --- what the commands stand on ---

site: $(VENV)/.installed
	$(BIN)/jupyter-book build . -W --keep-going
	@touch _build/.built

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed, and none was found."; exit 1; }
	$(PYTHON) -m venv $(VENV)

# PyTorch first and alone: from its own index Linux gets the CPU build instead of several
# gigabytes of CUDA. Where that index cannot be reached, pip moves on after five seconds.
$(VENV)/.installed: $(VENV)/bin/python requirements.txt pyproject.toml
	$(PIP) install --quiet --no-deps --retries 0 --timeout 5 --extra-index-url $(TORCH_INDEX) \
	  "$$(sed -n 's/^\(torch==[^ ;]*\).*/\1/p' requirements.txt)"
	$(PIP) install --quiet -r requirements.txt
	@touch $@

$(VENV)/.dev: $(VENV)/.installed requirements-dev.txt
	$(PIP) install --quiet -r requirements-dev.txt
	@touch $@

# Chromium for the tests: the one on the PATH, else Playwright's, else install one.
browser: $(VENV)/.dev
	@$(BIN)/python tests/support/browser.py

lock: ## renew requirements.txt and requirements-dev.txt from pyproject.toml
	python3 -m venv .lock && .lock/bin/pip install --quiet uv
	echo "-e ." | .lock/bin/uv pip compile $(LOCK_FLAGS) -o requirements.txt - > /dev/null
	grep -v '^-e' requirements.txt > .lock/constraints.txt
	.lock/bin/uv pip compile $(LOCK_FLAGS) --group pyproject.toml:dev -c .lock/constraints.txt \
	  -o requirements-dev.txt > /dev/null
	rm -rf .lock

LOCK_FLAGS := --universal --fork-strategy fewest --python-version 3.11 --no-annotate \
  --no-emit-index-url --quiet --upgrade --exclude-newer $(LOCK_DATE) \
  --custom-compile-command "make lock"
