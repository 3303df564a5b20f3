# What one types; CI types the same.
#
#   make run          the portal for yourself, at https://localhost:8443/   (PORT=, STATE=)
#   make test         all tests, with what they need
#   make acceptance   the long ones, each by name   (LIST=1, ONLY=name, BROWSER=firefox or webkit)
#   make lint         ruff, mypy --strict, import-linter
#   make bench        speed and memory, side by side with peers   (ONLY=name)

SHELL := /bin/bash
VENV ?= .venv
PORT ?= 8443
# Tests start programs as other accounts: an interpreter under somebody's home would be closed to them.
PYTHON ?= $(shell for python in /usr/bin/python3 python3; do \
	"$$python" -c 'import sys, ensurepip; assert sys.version_info >= (3, 11)' 2>/dev/null && echo $$python && break; done)
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check --quiet
INSTALL := $(PIP) install --config-settings editable_mode=compat --editable

.PHONY: run test acceptance lint bench clean

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

$(VENV)/.run: setup.py | $(VENV)/bin/pip
	$(INSTALL) .
	@touch $@

$(VENV)/.test: setup.py | $(VENV)/bin/pip
	$(INSTALL) '.[test,lint]'
	@touch $@ $(VENV)/.run

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
