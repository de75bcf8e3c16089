# `make demo` and `make test` do all of their own set-up; see docs/install.md.
#   TORCH=cpu|cuda   insist on that build of torch (default: what pip is offered)
#   PYTHON=...       the CPython (3.11 or newer) to build .venv with
#   ARGS="..."       more arguments for demo or test

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo test check sample clean

TORCH ?=
PYTHON ?=
ARGS ?=
BIN := .venv/bin
export TORCH PYTHON
# One thread a network: streaming work on few cores is slower with more.
export OMP_NUM_THREADS ?= 1

help:
	@echo 'make demo    run the bundled conversation through everything, then stop'
	@echo 'make test    run every test'
	@echo 'make setup   prepare .venv (demo and test do it by themselves)'
	@echo 'make check   lint, formatting, types: what CI checks beside the tests'
	@echo 'make sample  make the bundled conversation again (needs espeak-ng)'
	@echo 'make clean   remove .venv and every cache'
	@echo
	@echo 'Options: TORCH=cpu|cuda  PYTHON=python3.12  ARGS="..."; more in docs/install.md.'

setup:
	@scripts/setup demo

setup-dev:
	@scripts/setup dev

demo: setup
	@$(BIN)/lmam demo $(ARGS)

test: setup-dev
	@$(BIN)/python -m pytest $(ARGS)

check: setup-dev
	@scripts/check

sample: setup-dev
	@$(BIN)/python scripts/make_sample.py

clean:
	rm -rf .venv .venv.lock .demo .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis dist build
	find models streamer tests benchmarks scripts -name __pycache__ -type d -prune -exec rm -rf {} +
