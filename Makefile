# Everything runs in a virtual environment, .venv, which is created on first use.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# How many processes run the tests; with 0, all tests run in one process, one after the other.
TEST_PROCESSES ?= 2
INSTALLED := $(VENV)/.installed

.PHONY: demo test lint format bench bench-scale gpu-wheels simulate claims clean

demo: $(INSTALLED)  ## trains experiments/quickstart.yaml and prints its table
	$(BIN)/attnbench run experiments/quickstart.yaml

test: $(INSTALLED) lint  ## the linters, the types and all tests
	$(BIN)/python -m pytest --numprocesses $(TEST_PROCESSES)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(INSTALLED)  ## measures how fast it is, for results/speed.md; two hours on an idle machine
	$(BIN)/python benchmarks/speed.py

bench-scale: $(INSTALLED)  ## measures grids of up to a million cells, Ray and MLflow, for results/scale.md; an hour
	$(BIN)/python benchmarks/scale.py
	$(BIN)/python benchmarks/scale_made_up.py
	$(BIN)/python benchmarks/scale_ray.py
	$(BIN)/python benchmarks/scale_mlflow.py

claims: $(INSTALLED)  ## the verdicts on the claims of experiments/claims/, from the results in results/claims/
	$(BIN)/python benchmarks/peers/reverse_data.py experiments/claims/joey_reverse
	# Exit status 3 says that a claim is contradicted, which is a result.
	$(BIN)/attnbench verify experiments/claims/*.yaml --cells results/claims || test $$? -eq 3

# For a machine with PyTorch and Python 3.12 but no package registry. There: pip install --no-index --no-deps --target DIR
# .wheels/*.whl, and PYTHONPATH=DIR python benchmarks/gpu.py.
gpu-wheels: $(INSTALLED)  ## the packages that benchmarks/gpu.py needs beside PyTorch, into .wheels/
	rm -rf .wheels
	$(BIN)/python -m pip download --quiet --disable-pip-version-check --only-binary=:all: --python-version 3.12 \
		--platform manylinux2014_x86_64 --platform manylinux_2_17_x86_64 --dest .wheels typer rich pydantic filelock

simulate: $(INSTALLED)  ## simulates the verdicts, decide, claims and the gate, for docs/ and results/; some hours
	$(BIN)/python benchmarks/simulate_statistics.py
	$(BIN)/python benchmarks/decide_simulation.py
	$(BIN)/python benchmarks/claims_simulation.py
	$(BIN)/python benchmarks/gate_simulation.py

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# torch comes first, and in its pinned version: the CPU build where one is offered, and nothing newer by accident.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null || { \
		found=$$($(PYTHON) --version 2> /dev/null || echo "not found"); \
		echo "Python 3.11, 3.12 or 3.13 is needed; $(PYTHON): $$found."; \
		echo "Name another one: make PYTHON=python3.12 $(or $(MAKECMDGOALS),demo)"; exit 1; } >&2
	@echo "Installing into $(VENV): about 2 GB, one to three minutes."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache
