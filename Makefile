# viseme: everything that a person or CI runs. `make help` lists it.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= $(shell for p in python3.11 python3.12; do command -v $$p >/dev/null && $$p -c '' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
TRITON := .triton
DEMO_OUT := .demo/hello.mp4

.PHONY: help setup demo test test-page test-wan test-luck test-chaos fuzz check check-deploy sbom audit protos bench clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "viseme needs Python 3.11 or 3.12; install one (Debian: apt install python3.11-venv) or name it: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# The programs alone: enough for `make demo`.
$(VENV)/.programs: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[all]'
	@touch $@

# What tests and checks need on top.
$(VENV)/.tools: pyproject.toml $(VENV)/.programs
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

# Triton lives in an environment of its own (inference_node/triton/environment.py says why).
$(TRITON)/.ready: inference_node/triton/environment.py $(VENV)/.programs
	$(BIN)/python -m inference_node.triton.environment --target $(TRITON)
	@touch $@

setup: $(VENV)/.tools $(TRITON)/.ready ## Install everything: programs, tools, Triton

demo: $(VENV)/.programs $(TRITON)/.ready ## Make the portrait in deploy/demo speak
	@mkdir -p $(dir $(DEMO_OUT))
	$(BIN)/viseme dub deploy/demo/portrait.jpg deploy/demo/speech.wav -o $(DEMO_OUT)
	@echo "Look at it: $(DEMO_OUT)"

test: setup check ## Run the checks and the tests
	$(BIN)/python -m pytest

test-page: setup ## Run all tests of the page in a real browser (minutes; Debian: apt install chromium)
	$(BIN)/python -m pytest -m "page or stack" tests/page

test-wan: setup ## Run the tests over emulated links (root, /dev/net/tun)
	$(BIN)/python -m pytest -m wan tests/wan

test-luck: setup ## Run the tests in which things go wrong in the middle of a job, and the slow ones (15 minutes)
	$(BIN)/python -m pytest -m 'luck or slow' tests

test-chaos: setup ## Kill programs and cut links while uploads and jobs run, and see that the promise holds (20 minutes)
	$(BIN)/python -m pytest -s -m chaos tests/chaos

fuzz: setup ## Open 10,000 damaged files in the sandbox
	$(BIN)/python -m tests.security.fuzz --keep tests/security/seeds

sbom: $(VENV)/.tools ## Write what edge and node are made of (CycloneDX) into dist/
	$(BIN)/python deploy/supply.py

audit: $(VENV)/.tools ## The same, held against what is known to be wrong with packages (needs https://pypi.org)
	$(BIN)/python deploy/supply.py --audit

check: $(VENV)/.tools check-deploy ## Lint, types, layers, protos
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python protos/generate.py --check
	$(BIN)/buf lint protos

check-deploy: $(VENV)/.tools ## Check what operators deploy: images, compose, Kubernetes, Envoy, systemd, rules
	$(BIN)/hadolint deploy/images/*.Dockerfile
	@if command -v npx >/dev/null; then npx --yes dclint@3.1.0 deploy/compose/*.yaml; else echo "dclint skipped: npx is not installed"; fi
	$(BIN)/python -m pytest --quiet tests/unit/deploy

protos: $(VENV)/.tools ## Generate shared/pb from protos/
	$(BIN)/python protos/generate.py

bench: setup ## Print the figures of BENCHMARKS.md (about 2 hours; needs ../shared/media, for links also root)
	$(BIN)/python -m tests.bench.job
	$(BIN)/python -m tests.bench.transfer
	$(BIN)/python -m tests.bench.page
	$(BIN)/python -m tests.bench.profiles
	$(BIN)/python -m tests.bench.lips
	$(BIN)/python -m tests.bench.sync
	$(BIN)/python -m tests.bench.outside
	$(BIN)/python -m tests.bench.clips
	$(BIN)/python -m tests.bench.watching
	$(BIN)/python -m tests.bench.job --memory
	$(BIN)/python -m tests.bench.sessions
	$(BIN)/python -m tests.bench.batch
	$(BIN)/python -m tests.bench.boards

clean: ## Remove what make made
	rm -rf $(VENV) $(TRITON) .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
