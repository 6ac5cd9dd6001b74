# What a person (or CI) does with a checkout. Needs Python 3.11 or later; everything else goes into .venv.
# Another Python: make PYTHON=python3.12 …   More for pytest: make test PYTEST_ARGS='-k claims -x'

PYTHON ?= python3
PYTEST_ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
JOBS ?= 4

.DEFAULT_GOAL := help
.PHONY: help demo test check lint venv bench clean

help:
	@echo 'make demo    a make-believe sequencer writes a run, the service turns it into a report, in .demo/'
	@echo 'make test    every test there is; as root, installs the Debian packages that some of them need'
	@echo 'make check   style, types, layers and the fast tests'
	@echo 'make venv    the program and what its development needs, in .venv/'
	@echo 'make bench   the measurements of docs/benchmarks.md'
	@echo 'make clean   removes everything that these made'

# A stamp is newer than what it was made from, so that a second call does nothing.
$(VENV)/stamp-made:
	.ci/make-venv '$(PYTHON)' '$(VENV)'
	touch $@

$(VENV)/stamp-program: $(VENV)/stamp-made pyproject.toml hesiod_watch/__init__.py hesiod_watch/fastq/coder.c $(wildcard bin/*)
	$(PIP) install --editable .
	touch $@

$(VENV)/stamp-development: $(VENV)/stamp-program
	$(PIP) install --upgrade 'pip>=25.1'  # the first that knows --group
	$(PIP) install --group dev
	touch $@

venv: $(VENV)/stamp-development

demo: $(VENV)/stamp-program
	$(BIN)/hesiod-watch demo .demo

test: venv
	.ci/test-packages
	ls hesiod_watch/fastq/_coder* >/dev/null 2>&1 || $(PIP) install --editable .  # there may be a compiler by now
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(PYTEST_ARGS)

check: lint
	$(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal -m 'not slow and not system' $(PYTEST_ARGS)

lint: venv
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo >/dev/null || $(BIN)/lint-imports --no-logo

bench: venv
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) .demo .bench build dist *.egg-info hesiod_watch/fastq/_coder* .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
