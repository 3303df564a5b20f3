# What one types; CI types the same.
#
#   make run          the portal for yourself, at https://localhost:8443/   (PORT=, STATE=)
#   make test         all tests, with what they need
#   make acceptance   the long ones, each by name   (LIST=1, ONLY=name, BROWSER=firefox or webkit)
#   make lint         ruff, mypy --strict, import-linter
#   make update       newer releases of what the portal is made of: look at what changed, and at requirements/advisories.toml
#   make bench        speed and memory, side by side with peers   (ONLY=name)

SHELL := /bin/bash
VENV ?= .venv
PORT ?= 8443
# Tests start programs as other accounts: an interpreter under somebody's home would be closed to them.
PYTHON ?= $(shell for python in /usr/bin/python3 python3; do \
	"$$python" -c 'import sys, ensurepip; assert sys.version_info >= (3, 11)' 2>/dev/null && echo $$python && break; done)
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check --quiet
# What is installed is named with its hash, down to what builds the package.
LOCKED := $(PIP) install --require-hashes --requirement
PROJECT := $(PIP) install --no-deps --no-build-isolation --config-settings editable_mode=compat --editable .
LOCK := $(BIN)/uv pip compile setup.py --native-tls --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	--custom-compile-command 'make update'

.PHONY: run test acceptance lint bench update clean

run: $(VENV)/.run
	exec $(BIN)/twistd --nodaemon --pidfile= supercloud-portal --port $(PORT) $(if $(STATE),--state $(STATE))

test: $(VENV)/.test
	.ci/packages test
	$(BIN)/pytest -n 2 tests/unit tests/property tests/scenario
	$(BIN)/pytest tests/integration

acceptance: $(VENV)/.test
	.ci/packages acceptance
	$(BIN)/python -m tests.acceptance $(if $(LIST),--list) $(if $(ONLY),--only $(ONLY)) $(if $(BROWSER),--browser $(BROWSER))

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.test
	.ci/packages bench
	$(BIN)/python -m bench $(if $(ONLY),--only $(ONLY))

$(VENV)/bin/pip:
	@test -n "$(PYTHON)" || { [ "$$(id -u)" = 0 ] && .ci/packages python; } || { echo "needs Python 3.11 or newer with venv (Debian: apt-get install python3-venv)"; exit 1; }
	$${PYTHON:-$(or $(PYTHON),/usr/bin/python3)} -m venv $(VENV)

$(VENV)/.run: setup.py requirements/run.txt | $(VENV)/bin/pip
	$(LOCKED) requirements/run.txt
	$(PROJECT)
	@touch $@

$(VENV)/.test: setup.py requirements/test.txt | $(VENV)/bin/pip
	$(LOCKED) requirements/test.txt
	$(PROJECT)
	@touch $@ $(VENV)/.run

update: | $(VENV)/bin/pip
	$(PIP) install uv
	$(LOCK) --extra build --output-file requirements/run.txt
	$(LOCK) --extra build --extra test --extra lint --output-file requirements/test.txt
	@grep '^as_of' requirements/advisories.toml
	@echo 'Look at the public databases for what came since, before you commit.'

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
