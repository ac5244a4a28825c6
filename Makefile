# `make demo` and `make test` need nothing but Python 3.11 to 3.13; `make help` lists the rest.

VENV ?= .venv
BIN := $(VENV)/bin
FITS := import sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c '$(FITS)' 2>/dev/null && { echo $$p; break; }; done)
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq

# Twice as many as there are cores, for some tests wait for a process; each collects all tests anew, which takes
# half as long where what was compiled is kept. Some tests take a hundred times as long as others.
PYTEST := env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest \
	-n $(shell $(PYTHON) -c 'import os; print(2 * (os.cpu_count() or 1))') --dist worksteal

# What `make coverage` holds to all of its lines and branches.
COVERED := batch_share/leadsquared/protocol.py,batch_share/leadsquared/pacing.py,batch_share/ledger/*,batch_share/sending/*,batch_share/planning/*,batch_share/jobs/*

.DEFAULT_GOAL := help
.PHONY: help demo test browser coverage crash cluster faults soak fuzz mutants bench figures lint format samples pictures reference lock clean

help:  ## Show what there is to make
	@sed -n 's/^\([a-z]*\):.*## /  make \1	/p' $(MAKEFILE_LIST)

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 (with venv) is needed: make PYTHON=/path/to/python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml requirements.lock | $(BIN)/python
	@echo "Installing batch_share and what it needs in $(VENV) ..."
	@$(PIP) install --constraint requirements.lock --editable .
	@touch $@

$(VENV)/.tested: $(VENV)/.installed
	@echo "Installing what its tests need ..."
	@$(PIP) install --constraint requirements.lock --editable '.[dev]'
	@touch $@

demo: $(VENV)/.installed  ## Run the sample sheets against an imitation LeadSquared here; KEEP=1 leaves it up, to try
	@$(BIN)/batch-share demo samples/leads.csv samples/leads.xlsx $(if $(KEEP),--keep)

test: $(VENV)/.tested  ## Run the tests
	@$(PYTEST)

coverage: export EVERY ?= 1
coverage: $(VENV)/.tested  ## Run the tests of this process; fail if they leave a line or branch of the core out
	@$(PYTEST) --cov --cov-report= tests/unit tests/integration
	@$(BIN)/python -m coverage report --include='$(COVERED)' --fail-under=100

# axe-core is for these tests alone, and in no wheel: its licence (MPL-2.0) lies beside it.
AXE := tests/browser/axe
$(VENV)/.browsed: $(VENV)/.tested
	@echo "Installing what drives a browser ..."
	@$(PIP) install --constraint requirements.lock --editable '.[browser]'
	@touch $@

$(AXE)/axe.min.js:
	@command -v npm >/dev/null || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
		&& apt-get update -qq && apt-get install -y -qq --no-install-recommends npm >/dev/null; } \
		|| { echo "axe-core comes from npm, which is not there: install it, or put axe.min.js into $(AXE)"; exit 1; }
	@mkdir -p $(AXE) && cd $(AXE) && npm pack --silent axe-core@4 >/dev/null && tar -xzf axe-core-4*.tgz --strip-components=1 \
		package/axe.min.js package/LICENSE package/LICENSE-3RD-PARTY.txt && rm axe-core-4*.tgz

# PATIENCE=5 lets all take five times as long as it should; SHORT chooses tests.
browser: PATIENCE ?= 1
browser: $(VENV)/.browsed $(AXE)/axe.min.js  ## Use the page in a real browser, and leave pictures of it in tests/browser/pictures
	@test -n "$$CHROMIUM" || command -v chromium >/dev/null || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
		&& apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null; } \
		|| { echo "Chromium is needed: install it, or name one: make browser CHROMIUM=/path/to/chromium"; exit 1; }
	@env -u PYTHONDONTWRITEBYTECODE PATIENCE=$(PATIENCE) $(BIN)/python -m pytest tests/browser $(if $(SHORT),-k '$(SHORT)')

crash: export KILLS ?= 2000
crash: $(VENV)/.tested  ## Kill runs at every point and at random, KILLS of them (2000)
	@$(PYTEST) tests/crash --ignore tests/crash/test_workers.py

cluster: export CLUSTER_KILLS ?= 100
cluster: export CLUSTER_FREEZES ?= 20
cluster: export CLUSTER_RESTARTS ?= 3
cluster: $(VENV)/.tested  ## Kill and freeze workers on several hosts, CLUSTER_KILLS times (100) and CLUSTER_FREEZES times (20)
	@KILLS=1 env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest -s tests/crash/test_workers.py

faults: export EVERY ?= 1
faults: $(VENV)/.tested  ## Let every call go wrong in every way, or in every EVERYth (1)
	@$(PYTEST) tests/integration

soak: export SOAK ?= 20
soak: $(VENV)/.tested  ## Run 10,000 rows through mixed faults in virtual time, SOAK times (20)
	@$(PYTEST) tests/crash/test_soak.py

fuzz: export FUZZ ?= 50000
fuzz: $(VENV)/.tested  ## Try the parser and the ledger with FUZZ examples a test (50000)
	@$(PYTEST) -o faulthandler_timeout=0 tests/fuzz

$(VENV)/.mutable: $(VENV)/.tested
	@echo "Installing what changes the code to see whether a test notices ..."
	@$(PIP) install --constraint requirements.lock --editable '.[mutants]'
	@touch $@

mutants: $(VENV)/.mutable  ## Change the code in small ways and count what the tests notice
	@$(BIN)/python tests/mutants.py

$(VENV)/.measurable: $(VENV)/.tested
	@echo "Installing what it is measured beside ..."
	@$(PIP) install --constraint requirements.lock --editable '.[bench]'
	@touch $@

# ONLY=ac measures those alone.
bench: BENCH ?= long
bench: $(VENV)/.measurable  ## Measure it beside what else could be used: half an hour, or two minutes with BENCH=short
	@$(PYTEST) --quiet tests/benchmarks
	@PYTHONPATH=tests $(BIN)/python -m benchmarks --size $(BENCH) --only '$(ONLY)'

figures: $(VENV)/.tested  ## Count how the code is cut, what imports what, and what one row enters
	@$(BIN)/python tests/figures.py

lint: $(VENV)/.tested  ## Check style and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(VENV)/.tested  ## Format the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

samples: $(VENV)/.installed  ## Make the sample sheets again
	@$(BIN)/python tests/make_samples.py samples

pictures: $(VENV)/.tested  ## Make the README's pictures again (with LibreOffice, Chromium and poppler)
	@$(BIN)/python tests/make_pictures.py samples

reference: $(VENV)/.tested  ## Write anew what README and manual take from the program: lists and screens
	@$(BIN)/python tests/readme_reference.py

lock: $(VENV)/.tested  ## Pin what is installed anew (requirements.lock)
	@$(PIP) install uv
	@$(BIN)/uv pip compile pyproject.toml --universal --all-extras --python-version 3.11 --upgrade \
		--no-header --no-annotate --no-emit-index-url --quiet --output-file requirements.lock

clean:  ## Remove the virtual environment, the demo's files and caches
	rm -rf $(VENV) demo demo-[0-9]* .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage mutants benchmarks.json build dist ./*.egg-info
