# One command each, the same for people and CI. Environments are made on first need and
# remade when pyproject.toml changes.

PYTHON ?= python3
RUNTIME := .venv
TRAIN := .venv-train

.PHONY: demo test test-runtime lint bench wheel clean

demo: $(RUNTIME)/.ready  ## answer on the shipped samples, in a runtime-only environment
	$(RUNTIME)/bin/trml-rt infer --text samples/glad.txt --video samples/smiling.mp4
	$(RUNTIME)/bin/trml-rt infer --video samples/upset.mp4

test: $(TRAIN)/.ready  ## all tests, the training side included
	$(TRAIN)/bin/python -m pytest

test-runtime: $(RUNTIME)/.ready  ## the runtime's own tests, without torch
	$(RUNTIME)/bin/pip install --quiet --disable-pip-version-check pytest
	$(RUNTIME)/bin/python -m pytest tests/trml_rt

lint: $(TRAIN)/.ready
	$(TRAIN)/bin/ruff check .
	$(TRAIN)/bin/ruff format --check .
	$(TRAIN)/bin/mypy

bench: $(TRAIN)/.ready  ## time of everything outside the engines
	$(TRAIN)/bin/python benchmarks/overhead.py --out benchmarks/results/overhead.json

wheel: $(RUNTIME)/.ready
	rm -rf dist
	$(RUNTIME)/bin/pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .

clean:
	rm -rf $(RUNTIME) $(TRAIN) dist build

$(RUNTIME)/.ready: pyproject.toml
	$(PYTHON) -m venv --clear $(RUNTIME)
	$(RUNTIME)/bin/pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(TRAIN)/.ready: pyproject.toml
	$(PYTHON) -m venv --clear $(TRAIN)
	$(TRAIN)/bin/pip install --quiet --disable-pip-version-check --editable '.[train,dev]'
	touch $@
