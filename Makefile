# One entry point: `make run` and `make test` do all set-up themselves.
PYTHON  ?= python3
PY      := .venv/bin/python
KERNELS := $(shell find wimtui -name '*.pyx' -o -name '*.pxd')
CLI     := $(PY) -m wimtui

.PHONY: help run test test-fast test-kills hunt test-asan build lint format types stubs snapshots screenshots sample bench dist clean
.DEFAULT_GOAL := help

help:            ## this list
	@grep -hE '^[a-z-]+: .*##|^[a-z-]+:  *##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 16

.venv/.ready-run: pyproject.toml tools/setup.sh
	@PYTHON="$(PYTHON)" tools/setup.sh run
.venv/.ready-test: pyproject.toml tools/setup.sh
	@PYTHON="$(PYTHON)" tools/setup.sh test

build/.kernels: $(KERNELS) pyproject.toml
	@CFLAGS="$(CFLAGS) -Wno-sign-compare" PYTHONWARNINGS='ignore:`[tool.setuptools.ext-modules]`' \
		$(PY) -c "from setuptools import setup; setup()" -q build_ext --inplace -j 2
	@mkdir -p $(@D) && touch $@

build: .venv/.ready-run build/.kernels  ## compile the kernels that changed

run: build       ## open the app (WIM=path to choose a file); a headless tour without a terminal
	@PY="$(PY)" tools/run.sh $(WIM)

test: .venv/.ready-test build/.kernels  ## everything (ARGS=... goes to pytest)
	@$(PY) -m pytest $(ARGS)

test-fast: .venv/.ready-test build/.kernels  ## no mounts, nothing slow
	@$(PY) -m pytest -m "not fuse and not slow" $(ARGS)

test-kills: .venv/.ready-test build/.kernels  ## kill the daemon at 200 moments, and 50 times during commits
	@WIMTUI_KILLS=200 $(PY) -m pytest -s tests/readwrite/test_kills.py
	@WIMTUI_KILLS=50 $(PY) -m pytest -s tests/readwrite/test_commit.py -k killed

hunt: .venv/.ready-test build/.kernels  ## tests that throw dice, with fresh ones, ROUNDS times over or until one fails
	@for round in $$(seq $(or $(ROUNDS),10)); do $(PY) -m pytest -q -x -n 2 --dist loadgroup -m "dice or hypothesis" $(ARGS) || exit 1; done

test-asan: .venv/.ready-test  ## codec, container and image tests under AddressSanitizer
	tools/asan.sh $(ARGS)

lint: .venv/.ready-test  ## style and layers
	$(PY) -m ruff format --check . && $(PY) -m ruff check . && .venv/bin/lint-imports --no-cache
	PATH="$(CURDIR)/.venv/bin:$$PATH" cython-lint $(filter %.pyx %.pxd,$(KERNELS))

format: .venv/.ready-test  ## fix what can be fixed
	$(PY) -m ruff format . && $(PY) -m ruff check --fix .

types: .venv/.ready-test build/.kernels  ## mypy --strict, and the stubs against the kernels
	$(PY) -m mypy
	$(PY) -m mypy.stubtest $(subst /,.,$(basename $(filter %.pyx,$(KERNELS)))) --allowlist tools/stubtest.allow --ignore-unused-allowlist

snapshots: .venv/.ready-test build/.kernels  ## accept the current look of the app
	$(PY) -m pytest tests/tui --snapshot-update

screenshots: .venv/.ready-test build/.kernels  ## pictures of the app, from a real run on the sample
	@$(PY) -m pip install -q --disable-pip-version-check --group pictures
	$(PY) tools/screenshots.py

sample: .venv/.ready-test build/.kernels  ## make build/sample.wim anew
	$(PY) tools/make_sample.py

bench: .venv/.ready-test build/.kernels  ## ours and wimlib's in one run, as ratios
	$(PY) -m benchmarks $(ARGS)

dist: .venv/.ready-test  ## sdist and wheel
	$(PY) -m pip install -q build && $(PY) -m build

clean:           ## remove what was built, not the .venv
	rm -rf build dist *.egg-info
	find wimtui \( -name '*.so' -o -name '*.c' \) -delete
