# The two commands: make book, make test. `make help` lists the rest.

# A release must have been out for some days before the lock takes it: mirrors lag behind, and a
# bad release is usually withdrawn by then.
LOCK_DATE ?= 2026-11-10
TORCH_INDEX := https://download.pytorch.org/whl/cpu
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8000

# Tests run side by side, each with one thread.
JOBS ?= 2
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadgroup

# The versions that the tests know come first. Each is tried, as a name on the PATH may be a
# launcher with nothing behind it, and Debian splits off what makes environments.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3.14 python3 python; do \
  $$p -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
  && echo $$p && break; done)

.PHONY: help book test test-all serve lab bench lint format lock vendor runtime cases clean site \
  browser always
.DEFAULT_GOAL := help

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1#/' | \
	  awk -F '#' '{ printf "%-16s%s\n", $$1, $$2 }'

book: site ## build the site and say where it is
	@echo
	@echo "The book is in _build/html. A double click opens it, on $(CURDIR)/_build/html/index.html"
	@echo "Or run: make serve"

test: $(VENV)/.dev browser site ## build the site and test it
	$(PYTEST) -m "not thorough"

test-all: $(VENV)/.dev browser site ## the same, with every variant of every page
	$(PYTEST)

serve: site ## build the site and serve it on this machine (PORT=8000)
	@echo "http://127.0.0.1:$(PORT)/ (Ctrl-C ends it)"
	@$(BIN)/python -m http.server $(PORT) --bind 127.0.0.1 --directory _build/html

lab: $(VENV)/.installed ## open the notebooks in JupyterLab
	$(BIN)/python -m jupyterlab --ServerApp.root_dir=notebooks

bench: $(VENV)/.bench ## run every benchmark there is
	@ran=no; for file in $$(grep -l __main__ benchmarks/*.py); do \
	  ran=yes; echo "== $$file"; $(BIN)/python "$$file" || exit 1; done; \
	  test $$ran = yes || echo "benchmarks/ holds no benchmark yet."

lint: $(VENV)/.dev ## check style, types, spelling, and that notebooks are stripped
	@PATH="$(CURDIR)/$(BIN):$$PATH" pre-commit run --all-files

format: $(VENV)/.dev ## format the code and strip the notebooks
	$(BIN)/ruff check --fix src tests benchmarks
	$(BIN)/ruff format src tests benchmarks
	$(BIN)/nbstripout --keep-id notebooks/*.ipynb

vendor: $(VENV)/.dev ## renew the vendored KaTeX style and the font of the figures
	$(BIN)/python -m booksite.vendor
	$(BIN)/python -m livefigure.font

runtime: $(VENV)/.dev ## renew and verify the Python and the editor that pages load
	$(BIN)/python -m pagepython.renew

cases: $(VENV)/.installed ## renew PyTorch's answers, by which the drills are graded
	$(BIN)/python -m dlbook.drills.oracles

clean: ## remove everything that these commands make
	rm -rf $(VENV) _build .pytest_cache .hypothesis .mypy_cache .ruff_cache src/*.egg-info
	find src tests -name __pycache__ -prune -exec rm -rf {} +

# --- what the commands stand on ---

# What the site is made of; the list itself, too, as a file that is gone leaves no newer one behind.
SOURCES := _config.yml _toc.yml $(sort $(shell find book notebooks src -type f \
  ! -path '*/__pycache__/*' ! -path '*.egg-info/*' ! -path '*/.ipynb_checkpoints/*'))

site: _build/.built

# The stamp has the time at which the build began: what was edited meanwhile is newer.
_build/.built: $(VENV)/.installed _build/.sources $(SOURCES) $(if $(wildcard _build/html/index.html),,always)
	@touch _build/.began
	$(BIN)/jupyter-book build . -W --keep-going
	@mv _build/.began $@

_build/.sources: always
	@mkdir -p _build
	@echo '$(SOURCES)' | cmp -s - $@ || echo '$(SOURCES)' > $@

# The browsers of the tests: Chromium, Firefox, WebKit. Installs what is not there.
browser: $(VENV)/.dev
	@PYTHONPATH=tests $(BIN)/python -m support.install

# Calls pip with arguments (2) to install what (1) names: a dot for each package that it finds.
# Its own words stay in a file, and are shown if it fails.
define pip
@printf '%s ' "Installing $(1)"; \
{ PYTHONUNBUFFERED=1 $(BIN)/python -m pip --disable-pip-version-check install $(2) 2>&1; \
  echo "exit $$?"; } | while IFS= read -r line; do \
    case "$$line" in \
      Collecting*|Processing*) printf . ;; \
      "exit 0") echo " done" ;; \
      "exit "*) echo " failed"; cat $(VENV)/pip.log; exit 1 ;; \
    esac; \
    printf '%s\n' "$$line" >&3; \
  done 3> $(VENV)/pip.log
endef

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed, with its venv module" \
	  "(Debian: apt install python3-venv). None was found; PYTHON=... names one."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; $(PYTHON) is older."; exit 1; }
	@echo "Making $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv $(VENV)

# PyTorch first and alone: from its own index Linux gets the CPU build instead of several
# gigabytes of CUDA. Where that index cannot be reached, pip moves on after five seconds.
$(VENV)/.installed: $(BIN)/python requirements.txt pyproject.toml
	$(call pip,PyTorch (about 200 MB),--no-deps --retries 0 --timeout 5 \
	  --extra-index-url $(TORCH_INDEX) \
	  "$$(sed -n 's/^\(torch==[^ ;]*\).*/\1/p' requirements.txt)")
	$(call pip,what the book needs,-r requirements.txt)
	@touch $@

$(VENV)/.dev: $(VENV)/.installed requirements-dev.txt
	$(call pip,what the tests need,-r requirements-dev.txt)
	@touch $@

# What the figures are measured against; neither readers nor tests need it.
$(VENV)/.bench: $(VENV)/.dev requirements-bench.txt
	$(call pip,what the benchmarks compare with,-r requirements-bench.txt)
	@touch $@

lock: ## renew the three requirements files from pyproject.toml
	@set -e; tmp=$$(mktemp -d); trap 'rm -rf "$$tmp"' EXIT; \
	$(PYTHON) -m venv "$$tmp/venv"; "$$tmp/venv/bin/pip" install --quiet uv; \
	compile() { "$$tmp/venv/bin/uv" pip compile $(LOCK_FLAGS) "$$@" > /dev/null; }; \
	echo "-e ." | compile -o requirements.txt -; \
	grep -v '^-e' requirements.txt > "$$tmp/constraints.txt"; \
	compile --group pyproject.toml:dev -c "$$tmp/constraints.txt" -o requirements-dev.txt; \
	compile --group pyproject.toml:bench -c "$$tmp/constraints.txt" -o requirements-bench.txt

LOCK_FLAGS := --universal --fork-strategy fewest --python-version 3.11 --no-annotate \
  --no-emit-index-url --quiet --upgrade --exclude-newer $(LOCK_DATE) \
  --custom-compile-command "make lock"
