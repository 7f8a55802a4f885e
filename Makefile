# Two commands matter: `make demo` (lean runtime, pairs from the shipped bundle) and `make test` (everything).
PYTHON ?= python3
DEMO := .venv-demo
TEST := .venv-test

.PHONY: demo test check clean

demo: $(DEMO)/.installed
	rm -rf wetgen-out
	$(DEMO)/bin/wetgen run --prompts examples/prompts.txt --out wetgen-out

$(DEMO)/.installed: pyproject.toml
	$(PYTHON) -m venv $(DEMO)
	$(DEMO)/bin/python -m pip install --quiet --no-compile .
	touch $@

test: check
	$(TEST)/bin/python -m pytest

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
