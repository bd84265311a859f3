# Every target does its own set-up: a machine needs Python >= 3.11 and make, nothing else.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SCENE ?= spheres
WORKERS ?= 2

.PHONY: demo test test-all sanitize kernels lint types check bench gpu-check build clean

demo: $(VENV)/.base
	$(BIN)/compdistort demo --scene $(SCENE)

test: $(VENV)/.test
	$(BIN)/python -m pytest -q -n $(WORKERS) -m "not slow"
	$(BIN)/python tests/cudahost/sanitize.py

# The CUDA kernels on the CPU under AddressSanitizer and UBSan; part of `make test`.
sanitize: $(VENV)/.test
	$(BIN)/python tests/cudahost/sanitize.py

# Registers, spills and shared memory of every kernel for every architecture; needs no device.
kernels: $(VENV)/.test
	$(BIN)/python tests/cudahost/compile_check.py

test-all: $(VENV)/.test
	$(BIN)/python -m pytest -q -n $(WORKERS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell compdistort tests bench README.md CHANGELOG.md
	$(BIN)/lint-imports

types: $(VENV)/.dev
	$(BIN)/mypy

check: lint types

# Peers in turns in one process, after every result is proved; about an hour. `make bench BENCH=--quick` is shorter.
BENCH ?=
bench: $(VENV)/.peers
	$(BIN)/python -m pytest -q --benchmark-enable --benchmark-only --benchmark-columns=min,median,rounds bench
	$(BIN)/python bench/cpu.py $(BENCH)

# On a machine with a GPU: device tests, compute-sanitizer, benchmark; no network, nothing is installed.
GPU_PYTHON ?= python3
gpu-check:
	PYTHONPATH=. $(GPU_PYTHON) bench/gpu_check.py

build: $(VENV)/.dev
	$(BIN)/python -m build

clean:
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python >= 3.11 is needed, this is " + sys.version.split()[0] + "; try: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.base: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.test: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@ $(VENV)/.base

$(VENV)/.peers: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[peers]'
	touch $@ $(VENV)/.base $(VENV)/.test

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@ $(VENV)/.base $(VENV)/.test
