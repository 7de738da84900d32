# Needs only make and Python 3.11 or newer; everything else is installed into .venv.
#   make demo    a demo study from the sample data, its summary, and how to open it
#   make test    every check: style, types, architecture, tests
PYTHON ?= python3
UV ?= uv
STUDY ?= demo-study

BIN = .venv/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check --quiet
PACKAGES = analysis importers sample_data store tui

# A PYTHONPATH of the caller would put other packages in front of the locked ones.
unexport PYTHONPATH
unexport PYTHONHOME

.PHONY: help demo app test test-slow soak fuzz bench lock clean

help:
	@echo 'make demo       build a demo study from the sample data in ./$(STUDY) and print its summary'
	@echo 'make app        open the demo study in the full-screen app'
	@echo 'make test       style, types, architecture and tests'
	@echo 'make test-slow  the tests that make test leaves out because they take long'
	@echo 'make soak       a simulated year of nightly imports'
	@echo 'make fuzz       thousands of damaged files of every format'
	@echo 'make bench      import speed as ratios to plain readers of the same files'
	@echo 'make lock       pin the newest allowed versions again (needs uv)'
	@echo 'make clean      remove .venv, the demo study and caches'

# ---- installation: stamps, so that a demo does not wait for test tools

$(BIN)/python:
	@command -v "$(PYTHON)" >/dev/null 2>&1 || { \
	    echo "No '$(PYTHON)' found. Install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3.11"; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "$$("$(PYTHON)" --version) is too old. Name Python 3.11 or newer: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo 'Creating .venv'
	@"$(PYTHON)" -m venv .venv || { rm -rf .venv; \
	    echo 'Python could not create .venv; on Debian and Ubuntu its part for this is the package python3-venv.'; exit 1; }

.venv/program.stamp: requirements.lock pyproject.toml | $(BIN)/python
	@echo 'Installing dosetrail and what it needs (about a minute, once)'
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-index --no-build-isolation --editable .
	@touch $@

.venv/tools.stamp: requirements-dev.lock .venv/program.stamp
	@echo 'Installing the test tools (about a minute, once)'
	@$(PIP) install --no-build-isolation --use-pep517 --require-hashes -r requirements-dev.lock
	@touch $@

# DuckDB 1.4 beside DuckDB 2, in an environment of its own: tests open the same release file with both.
.venv/duckdb14.stamp: requirements-duckdb14.lock | $(BIN)/python
	@"$(PYTHON)" -m venv .venv/duckdb14
	@.venv/duckdb14/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes -r requirements-duckdb14.lock
	@touch $@

# ---- use

demo: .venv/program.stamp
	@$(BIN)/dosetrail demo $(STUDY)
	@echo 'In this folder: make app, or $(BIN)/dosetrail --study $(STUDY)'

app: .venv/program.stamp
	@test -d $(STUDY) || $(BIN)/dosetrail demo $(STUDY)
	@$(BIN)/dosetrail --study $(STUDY)

# ---- proof (a test file stays with one worker, so that the studies its tests share are made once)

test: .venv/tools.stamp .venv/duckdb14.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/pytest -n 2 --dist loadfile -m 'not slow'

test-slow: .venv/tools.stamp .venv/duckdb14.stamp
	DOSETRAIL_ALL_EXAMPLES=1 $(BIN)/pytest -m 'slow or examples'

soak: .venv/tools.stamp
	$(BIN)/pytest -m slow tests/test_nights.py

fuzz: .venv/tools.stamp
	DOSETRAIL_FUZZ=$(or $(TRIES),300) $(BIN)/pytest -n 2 tests/test_fuzz.py

bench: .venv/tools.stamp
	$(BIN)/python tests/bench/run.py
	$(BIN)/python tests/bench/formats.py
	$(BIN)/python tests/bench/overlapping.py

# ---- upkeep

# One version of each package for every Python ('fewest'), so that numbers do not depend on the interpreter;
# pinned versions stay until they no longer fit or the lock files are deleted.
LOCK = $(UV) pip compile --universal --python-version 3.11 --fork-strategy fewest --generate-hashes \
    --no-emit-index-url --no-emit-find-links --no-annotate --no-header --quiet

lock:
	@command -v $(UV) >/dev/null 2>&1 || { echo 'uv is needed to lock: pip install uv'; exit 1; }
	$(LOCK) pyproject.toml --group build --output-file requirements.lock
	$(LOCK) pyproject.toml --group dev --constraints requirements.lock --output-file requirements-dev.lock
	$(LOCK) --group duckdb14 --output-file requirements-duckdb14.lock

clean:
	rm -rf .venv $(STUDY) build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find $(PACKAGES) tests -name __pycache__ -type d -prune -exec rm -rf {} +
