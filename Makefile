# The two commands of the README are `make train` and `make test`; each makes the environment first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help train test check fix ui bench simulate slow soak

help:  ## what there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

train: $(VENV)/.installed  ## the main job: four models on synthetic landslides, compared
	$(BIN)/python train.py -m arch=unet,linknet,pspnet,fpn

test: $(VENV)/.installed-dev  ## the tests, in three processes, since many of them wait; the longest files first
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

check: $(VENV)/.installed-dev  ## format, lint and types; only looks
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

fix: $(VENV)/.installed-dev  ## format, and mend what a linter can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

ui: $(VENV)/.installed  ## the MLflow page with every run
	$(BIN)/landslide ui

bench: $(VENV)/.installed  ## a training step through the whole program, against a bare PyTorch loop
	$(BIN)/python benchmarks/training_step.py

simulate: $(VENV)/.installed  ## how often a comparison is wrong, on simulated trainings, into docs/statistics.md; minutes
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/comparison_simulation.py --write

slow: $(VENV)/.installed-dev  ## tests of a minute each: trainings and jobs of launchers that are killed, databases that are away
	$(BIN)/python -m pytest -m slow

soak: $(VENV)/.installed-dev  ## kill sweeps a thousand times and see whether anything is lost; an hour
	$(BIN)/python -m tests.sweep.soak

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	  || { echo "landslide needs Python 3.11, 3.12 or 3.13; $$($(PYTHON) --version) is here. Try: make PYTHON=python3.12 ..."; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@
