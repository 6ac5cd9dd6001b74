# Tasks of a developer and of CI. Needs Python 3.11 or later; installs everything else in .venv.
# Another Python: make PYTHON=python3.12 …
# One package or module: make mutants PACKAGE=rules.retention MUTANTS_ARGS=--show
# More options for pytest: make test PYTEST_ARGS='-k claims -x'

PYTHON ?= python3
PYTEST_ARGS ?=
PACKAGE ?=
MUTANTS_ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
JOBS ?= 4
SCHEDULES ?= 10000

.DEFAULT_GOAL := help
.PHONY: help demo test nightly mutants check lint venv bench clean

help:
	@echo 'make demo    a simulated sequencer writes runs, the service makes reports, in .demo/'
	@echo 'make test    all tests; as root, installs the Debian packages that some of them need'
	@echo 'make nightly 10,000 random schedules of a facility (docs/reliability.md); takes hours'
	@echo 'make mutants see which small faults no test notices (docs/reliability.md); takes hours'
	@echo 'make check   check style, types and layers; run the fast tests; as root, installs rsync'
	@echo 'make venv    install the program and its development tools in .venv/'
	@echo 'make bench   run the measurements of docs/benchmarks.md'
	@echo 'make clean   remove everything that these commands made'

# A stamp is newer than its sources, so that a second call does nothing.
$(VENV)/stamp-made:
	.ci/make-venv '$(PYTHON)' '$(VENV)'
	touch $@

$(VENV)/stamp-program: $(VENV)/stamp-made pyproject.toml hesiod_watch/__init__.py \
		$(wildcard hesiod_watch/fastq/*.c bin/*)
	$(PIP) install --editable .
	touch $@

$(VENV)/stamp-development: $(VENV)/stamp-program
	$(PIP) install --upgrade 'pip>=25.1'  # the first version with --group
	$(PIP) install --group dev
	touch $@

venv: $(VENV)/stamp-development

demo: $(VENV)/stamp-program
	$(BIN)/hesiod-watch demo .demo

test: venv
	.ci/test-packages
# A compiler may have been installed since the last build.
	ls hesiod_watch/fastq/_coder* >/dev/null 2>&1 || $(PIP) install --editable .
	$(BIN)/python .ci/all_tests.py -n $(JOBS) --dist worksteal $(PYTEST_ARGS)

nightly: venv
	$(BIN)/python -m tests.world nightly $(SCHEDULES) --jobs $(JOBS)

mutants: venv
	$(PIP) install --group mutants
	$(BIN)/python .ci/mutants.py --jobs $(JOBS) $(MUTANTS_ARGS) $(PACKAGE)

check: lint
	.ci/test-packages rsync procps samtools
	$(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal -m 'not slow and not system' $(PYTEST_ARGS)

lint: venv
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo >/dev/null || $(BIN)/lint-imports --no-logo
	$(BIN)/python .ci/check_prose.py
	$(BIN)/python .ci/flag_meanings.py --check
	$(BIN)/python .ci/attention_kinds.py --check
	$(BIN)/python .ci/man_pages.py --check

bench: venv
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) .demo .bench .mutants build dist *.egg-info hesiod_watch/fastq/_coder*
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
