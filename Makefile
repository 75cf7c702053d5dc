# Everything a person or CI runs, one target each. Python with venv is all it needs.

PYTHON ?= python3
VENV := .venv
CHECKOV := .venv-checkov
BIN := $(CURDIR)/$(VENV)/bin
# Our own python, node and tools first, whatever else is installed
export PATH := $(BIN):$(CURDIR)/node_modules/.bin:$(PATH)
export CDK_DISABLE_CLI_TELEMETRY := true
BASH_FILES = $(shell find userdata localaws ci -name "*.sh") userdata/lib/gpustation-jupyter-url .ci/run

.DEFAULT_GOAL := help
.PHONY: help setup demo diff quick test test-all boot-test check format bench lock clean

help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

setup: $(VENV)/.installed node_modules/.installed ## Python packages, Node.js and the CDK CLI, into this folder
	@echo 'ready: `. $(VENV)/bin/activate` puts the pinned cdk and everything else on your PATH'

$(VENV)/.installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys, venv; sys.exit(sys.version_info < (3, 10) and "gpustation needs Python 3.10 or later, this is " + sys.version.split()[0] + ": make PYTHON=/path/to/python3 ...")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary :all: --require-hashes -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary :all: --no-deps --no-build-isolation -e .
	@ln -sf ../../node_modules/.bin/cdk $(VENV)/bin/cdk
	@touch $@

node_modules/.installed: package-lock.json $(VENV)/.installed
	npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

demo: setup ## The main job on an embedded AWS: no account, no cost
	@$(BIN)/python -m localaws.demo

# make has one status for every failure, so what changes is none here: scripts call the module
diff: setup ## What a deploy would do to the machine; ARGS="-c instance_type=g5.xlarge"
	@$(BIN)/python -m gpustation.plan $(ARGS) || [ $$? -ge 10 ]

PYTEST = $(BIN)/python -m pytest -n auto

# Which test is in which tier: tests/tiers.py
quick: setup ## The code and the templates, under a minute: the loop while writing
	@$(PYTEST) --tier quick

test: setup ## Every promise, with the CDK CLI against the embedded AWS and machines that boot
	@$(PYTEST) --tier test

test-all: setup ## All matrices, all boots, the embedded AWS's own tests, quick on a newer Python
	@$(PYTEST) --tier all

boot-test: setup ## All that boots machines: root on Linux, Debian's mmdebstrap and slirp4netns
	@$(PYTEST) tests/boot

$(CHECKOV)/.installed: requirements-checkov.txt
	$(PYTHON) -m venv --clear $(CHECKOV)
	$(CHECKOV)/bin/python -m pip install --quiet --disable-pip-version-check --only-binary :all: --require-hashes -r requirements-checkov.txt
	@touch $@

check: setup $(CHECKOV)/.installed ## Format, lint, types, import rules, bash, workflows, templates
	@ci/check.sh $(BASH_FILES)

format: setup ## Formats Python and bash
	ruff format .
	ruff check --fix .
	shfmt -w -i 2 -ci $(BASH_FILES)

bench: setup ## Speed, as ratios measured in one run
	@$(BIN)/python -m bench

lock: setup ## Compiles the requirements, with their hashes
	$(BIN)/python -m pip install --quiet --only-binary :all: uv==0.13.9
	$(BIN)/uv pip compile requirements.in --quiet --universal --python-version 3.10 --fork-strategy fewest --generate-hashes --no-header -o requirements.txt
	$(BIN)/uv pip compile requirements-checkov.in --quiet --universal --python-version 3.10 --fork-strategy fewest --generate-hashes --no-header -o requirements-checkov.txt

clean: ## Removes what setup and synth made
	rm -rf $(VENV) $(CHECKOV) node_modules cdk.out build constructs/*.egg-info
