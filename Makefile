# Everything a developer types. Only Python and make are needed: the rest is installed into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PARALLEL := -n 2 --dist loadfile  # much of the time is waiting; the tests of a file run in one process, in their order
# The modules that people import from, for the API reference
DOCUMENTED := cozeloop_lite $(addprefix cozeloop_lite.,decorator entities.prompt entities.stream entities.trace \
	prompt.execute query.search query.filters feedback spec.tracespec masking testing local integration.aws_lambda \
	integration.http integration.logs integration.otel integration.wrapper integration.wsgi)

.PHONY: help demo test lint docs matrix integrations bench chaos fuzz simulate load clean

help:  ## say what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## */  make \1\t/' | expand -t 20

demo: $(VENV)/package  ## see a real trace in a browser, without an account
	@$(BIN)/python -m examples.demo

test: $(VENV)/tests  ## all tests, on python3 or PYTHON=...; takes some minutes; THOROUGH=1 makes up more inputs
	$(BIN)/python -m pytest $(PARALLEL)

lint: $(VENV)/lint  ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy --strict tests/typing/user_program.py

docs: $(VENV)/docs  ## the API reference, from the docstrings: docs/api/index.html
	$(BIN)/python -W error::UserWarning -m pdoc --docformat google --no-show-source --output-directory docs/api $(DOCUMENTED)

matrix:  ## the tests on every CPython from 3.7 up that is on this machine, with urllib3 1.26 and 2.x
	$(PYTHON) tests/matrix.py

integrations:  ## the tests beside other libraries, with their newest and their oldest releases
	$(PYTHON) tests/matrix_integrations.py

bench: $(BIN)/python  ## what everything costs, beside the official client and OpenTelemetry: benchmarks/RESULTS.md
	$(BIN)/python -m benchmarks

chaos: $(VENV)/package  ## what becomes of spans when things fail, beside two others: tests/chaos/RESULTS.md
	PYTHONPATH=tests $(BIN)/python -m chaos

fuzz: $(VENV)/tests  ## hostile bytes for everything that reads from outside: INPUTS=1000000 for each reader
	$(BIN)/python -m tests.fuzz --inputs $(or $(INPUTS),1000000)

simulate: $(VENV)/tests  ## 10,000 random schedules of faults, in virtual time
	SIMULATIONS=10000 $(BIN)/python -m pytest tests/unit/test_simulation.py

load: $(VENV)/package  ## the stand-in server under 2,000 spans a second, and how long its pages wait
	$(BIN)/python tests/local_load.py --seconds $(or $(SECONDS_OF_LOAD),60)

clean:  ## remove what was installed and built
	rm -rf $(VENV) .venvs build dist docs/api *.egg-info .mypy_cache .ruff_cache .pytest_cache

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/package: setup.py pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/tests: $(VENV)/package tests/requirements.txt
	$(BIN)/python -m pip install --quiet -r tests/requirements.txt
	@touch $@

$(VENV)/lint: $(VENV)/package tests/requirements-lint.txt
	$(BIN)/python -m pip install --quiet -r tests/requirements-lint.txt
	@touch $@

$(VENV)/docs: $(VENV)/package tests/requirements-docs.txt
	$(BIN)/python -m pip install --quiet -r tests/requirements-docs.txt
	@touch $@
