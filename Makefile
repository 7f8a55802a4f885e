# `make demo`: the lean runtime, pairs from the shipped bundle. `make quick`: the checks and the quick tests, in a minute
# or so. `make test`: the checks and all tests that need no heavy package. `make test-all`: those too, group by group.
PYTHON ?= python3
DEMO := .venv-demo
TEST := .venv-test

# Every test process computes in one thread, so that two of them keep two cores busy and no more.
WORKERS ?= 2
PYTEST = $(TEST)/bin/python -m pytest -n $(WORKERS) --dist loadfile

.PHONY: demo quick test test-all test-wheel test-openvino check clean

demo: $(DEMO)/.installed
	rm -rf wetgen-out
	$(DEMO)/bin/wetgen run --prompts examples/prompts.txt --out wetgen-out

$(DEMO)/.installed: pyproject.toml
	$(PYTHON) -m venv $(DEMO)
	$(DEMO)/bin/python -m pip install --quiet --no-compile .
	touch $@

quick: check
	$(PYTEST) tests/runtime tests/guards -m "not slow and not wheel and not openvino"

test: check
	$(PYTEST)

# A group of tests is a marker in pyproject.toml, a target here that brings what it needs, and a word in this line.
test-all: test test-wheel test-openvino

test-wheel: $(TEST)/.installed
	$(TEST)/bin/python -m pytest -m wheel

test-openvino: $(TEST)/.installed
	$(TEST)/bin/python -m pip install --quiet openvino==2026.4.1
	$(TEST)/bin/python -m pytest -m openvino

check: $(TEST)/.installed
	mkdir -p .types && ln -sfn .. .types/wetgen
	$(TEST)/bin/ruff check .
	$(TEST)/bin/ruff format --check .
	$(TEST)/bin/mypy
	MYPYPATH=tests/typings/tensorrt-10.3 $(TEST)/bin/mypy --cache-dir .mypy_cache/tensorrt-10.3

# torch is pinned and named first: unpinned, pip brings the newest build with gigabytes of CUDA.
$(TEST)/.installed: pyproject.toml
	$(PYTHON) -m venv $(TEST)
	$(TEST)/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	$(TEST)/bin/python -m pip install --quiet torch==2.13.0
	$(TEST)/bin/python -m pip install --quiet --group dev --editable ".[train,export,scenes,bench,eval]"
	touch $@

clean:
	rm -rf $(DEMO) $(TEST) .types build *.egg-info wetgen-out
