# Everything a developer or user types. All of it works in .venv/ inside the checkout, which sets itself up.
#
#   make demo      the example network, on this machine and on an emulated Cortex-M4
#   make test      all tests, in parallel
#
# Needs Python 3.11 or newer with venv, a C and a C++ compiler. CMake and Ninja are taken from PyPI where they are missing.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
ARGS   ?=
export PATH := $(abspath $(BIN)):$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help demo test build tools lint misra docs bench sanitize wheel clean

help: ## list what make can do
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F '\t' '{ printf "  make %-10s %s\n", $$1, $$2 }'

demo: build ## compile the digits network and run it here and on an emulated Cortex-M4
	@scripts/install-tools demo || true
	@$(BIN)/python examples/digits/demo.py $(ARGS)

test: build $(VENV)/test-ready ## run all tests in parallel; ARGS="-k plan" and the like go to pytest
	@$(BIN)/python -m pytest -n auto $(ARGS)

build: $(VENV)/ready ## set up .venv and build the host library in place (fast when nothing changed)
	@test -f build/dev/build.ninja || echo "building the host library"
	@mkdir -p build
	@cmake --preset dev -DPython_EXECUTABLE=$(abspath $(BIN)/python) >build/log 2>&1 || { cat build/log; exit 1; }
	@cmake --build --preset dev >build/log 2>&1 || { cat build/log; exit 1; }

# What changes seldom: the environment. The stamp is remade when pyproject.toml changes.
$(VENV)/ready: pyproject.toml
	@echo "setting up $(VENV) with packages from PyPI (once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "Python has no venv. On Debian type:  sudo apt-get install -y python3-venv"; exit 1; }
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "edgec needs Python 3.11 or newer; make PYTHON=python3.11"; exit 1; }
	@command -v cmake >/dev/null || $(BIN)/python -m pip install -q cmake
	@command -v ninja >/dev/null || $(BIN)/python -m pip install -q ninja
	@$(BIN)/python -m pip install -q $$($(BIN)/python -c 'import tomllib; print(*(r.replace(" ", "") for r in tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"]))')
	@$(BIN)/python -m pip install -q --no-build-isolation --config-settings=wheel.cmake=false --config-settings=editable.mode=inplace -e .
	@touch $@

# What only the tests need; the demo does without.
$(VENV)/test-ready: $(VENV)/ready
	@$(BIN)/python -m pip install -q $$($(BIN)/python -c 'import tomllib; print(*(r.replace(" ", "") for r in tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["test"]))')
	@touch $@

tools: ## install cross compilers and emulators (apt), so that make test leaves out nothing
	@scripts/install-tools all

lint: $(VENV)/ready ## ruff on Python, cppcheck on the device C
	@$(BIN)/python -m pip install -q ruff
	@$(BIN)/ruff check edgec tests examples bench scripts
	@cppcheck --quiet --std=c99 --error-exitcode=1 --enable=warning,portability,performance --suppress=duplicateAssignExpression \
		--inline-suppr --file-filter='*.c' -I csrc csrc/runtime csrc/kernels

misra: build ## cppcheck's MISRA checks against docs/misra.md
	@$(BIN)/python scripts/misra.py

docs: build ## write the generated tables of docs/ and README again (a test compares the operators)
	@$(BIN)/python scripts/operator_table.py
	@$(BIN)/python scripts/readme_figures.py

bench: build $(VENV)/test-ready ## measure accuracy, compile cost, and sizes and instructions on emulated devices
	@$(BIN)/python bench/accuracy.py
	@$(BIN)/python bench/compile_cost.py
	@$(BIN)/python bench/size.py --diff

peers: build $(VENV)/test-ready ## install the peers (pip) and time this machine's kernels beside theirs
	@$(BIN)/python -m pip install -q -e '.[bench]' --no-build-isolation --config-settings=wheel.cmake=false --config-settings=editable.mode=inplace
	@$(BIN)/python bench/kernels.py
	@$(BIN)/python bench/models.py

sanitize: build ## build with the address and undefined-behaviour sanitizers into build/sanitize
	@cmake --preset sanitize -DPython_EXECUTABLE=$(abspath $(BIN)/python) && cmake --build --preset sanitize

wheel: build ## build a wheel into dist/
	@$(BIN)/python -m pip wheel -q --no-deps -w dist .

clean: ## remove everything that make has made
	rm -rf $(VENV) build dist edgec/*.so edgec/compress/*.so
