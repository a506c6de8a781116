# `make help` lists what there is. The two commands of the README are `make demo` and `make test`.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= $(shell for p in python3.12 python3.11 python3; do command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' 2>/dev/null && { command -v $$p; break; }; done)
# uv does not read pip's find-links, and a folder of wheels named there is the only way to torch on a closed network.
PIP_FIND_LINKS ?= $(shell $(PYTHON) -m pip config get global.find-links 2>/dev/null | tr '\n ' ',,' | sed 's/,*$$//')
ifneq ($(strip $(PIP_FIND_LINKS)),)
export UV_FIND_LINKS := $(PIP_FIND_LINKS)
else
export UV_TORCH_BACKEND ?= cpu
endif
export PATH := $(CURDIR)/.venv/bin:$(CURDIR)/node_modules/.bin:$(PATH)
export APE_DATA_FOLDER := $(CURDIR)/.refi/ape
UV := .venv/bin/uv
UV_VERSION := 0.13.8

.PHONY: help setup build demo test check bench gas prove chaos up clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1|/' | column -t -s '|'

setup: .venv/.ok contracts/.venv/.ok node_modules/.ok ## install what is missing (Python, Ape and npm environments)

build: .refi/forge/.ok .refi/zk/.ok ## compile the contracts and circuits, make the development proving key

demo: setup build ## run the main job to its end: login, train, vote, trade, anchor, prove, verify
	.venv/bin/refi demo

test: setup build ## pass every test
	.venv/bin/pytest -q
	forge test -q

check: setup build ## run every linter and static check
	.venv/bin/ruff check --quiet .
	.venv/bin/ruff format --check --quiet .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-logo
	forge fmt --check
	solhint --quiet --max-warnings 0 'contracts/**/*.sol'
	.venv/bin/slither . --config-file slither.config.json 2>&1 | grep -v running
	forge build -q
	.venv/bin/python -m circuits.prover inspect

bench: setup build ## measure against named peers, in one run
	.venv/bin/python -m tests.benchmarks
	.venv/bin/python -m tests.backend.transparency.bundles

gas: setup build ## print what anchors, inclusion on chain, the L1 proof and the gates cost
	.venv/bin/python -m scripts.gas
	.venv/bin/python -m scripts.gate_gas

# halmos brings SMT solvers, some 200 MB: an environment of its own, made when asked for.
prove: export FOUNDRY_SRC = tests/contracts/halmos
prove: export FOUNDRY_TEST = tests/contracts/halmos
prove: export FOUNDRY_OUT = .refi/prove/out
prove: export FOUNDRY_CACHE_PATH = .refi/prove/cache
prove: setup ## prove by symbolic execution that permits are used once and caps never fall
	@test -x .refi/halmos/bin/python || $(PYTHON) -m venv .refi/halmos
	@test -x .refi/halmos/bin/halmos || $(UV) pip install -q --python .refi/halmos/bin/python halmos==0.3.3
	.refi/halmos/bin/halmos --forge-build-out .refi/prove/out --loop 5 --solver z3 --solver-timeout-assertion 120s

chaos: setup build ## forge packs and proofs, kill and cut the power of the log, reorganise the chain, kill the main job
	.venv/bin/python -m scripts.chaos.packs
	.venv/bin/python -m scripts.chaos.merkle
	.venv/bin/python -m scripts.chaos.attestor
	.venv/bin/python -m scripts.chaos.keys
	.venv/bin/python -m scripts.chaos.log
	.venv/bin/python -m scripts.chaos.anchors
	.venv/bin/python -m scripts.chaos.demo

up: setup build ## start the local network and the platform, and leave them running
	.venv/bin/refi up

.venv/.ok: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "refi needs Python 3.11 or 3.12 on the PATH; get one from https://www.python.org/downloads/" >&2; exit 3; }
	@test -x .venv/bin/python || $(PYTHON) -m venv .venv
	@test -x $(UV) || .venv/bin/pip install -q uv==$(UV_VERSION)
	$(UV) pip install -q --python .venv/bin/python -e '.[dev,prover,bench]' -c constraints.txt
	@touch $@

contracts/.venv/.ok: contracts/pyproject.toml contracts/constraints.txt | .venv/.ok
	@test -x contracts/.venv/bin/python || $(PYTHON) -m venv contracts/.venv
	$(UV) pip install -q --python contracts/.venv/bin/python -r contracts/pyproject.toml -c contracts/constraints.txt
	@touch $@

node_modules/.ok: package.json package-lock.json
	@command -v node >/dev/null && node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' || { echo "refi needs Node 20 or newer with npm on the PATH; get it from https://nodejs.org/" >&2; exit 3; }
	npm ci --no-audit --no-fund --loglevel=error
	@touch $@

.refi/forge/.ok: foundry.toml $(shell find contracts tests/contracts -name '*.sol' -not -path '*/.venv/*' 2>/dev/null) | node_modules/.ok
	forge build -q
	@touch $@

.refi/zk/.ok: circuits/circuits.json $(wildcard circuits/main/var_16_90_es.circom circuits/lib/*.circom circuits/prover/*.py) | .venv/.ok node_modules/.ok
	.venv/bin/python -m circuits.prover setup var_16_90_es --folder .refi/zk >/dev/null
	.venv/bin/python -m circuits.prover count var_16_90_es --folder .refi/zk >/dev/null
	@touch $@

clean: ## remove everything that the other targets made
	-.venv/bin/refi down
	rm -rf .refi .venv contracts/.venv node_modules deployments/local
