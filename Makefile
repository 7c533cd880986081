# Three commands matter: `make demo`, `make test` and `make up`. Each does its own set-up.
SHELL := /bin/bash
PYTHON ?= python3
UV := $(shell command -v uv 2>/dev/null || echo .venv/bin/uv)
RUN := $(UV) run --frozen --no-sync
export UV_PROJECT_ENVIRONMENT := .venv
export UV_PYTHON ?= .venv/bin/python

# They start whole systems, and look at what the machine does.
ALONE := tests/deployments tests/machine tests/flows/test_ray.py
BESIDE := $(foreach path,$(ALONE),--ignore $(path))

# What `make test-quick` leaves out: whole systems, real services, and what takes more than five seconds.
QUICK := not slow and not service

.PHONY: help install demo up down status check test test-quick coverage test-services format docs

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.venv/bin/python:
	@$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python pyproject.toml uv.lock
	@command -v uv >/dev/null 2>&1 || test -x .venv/bin/uv || .venv/bin/python -m pip install --quiet "uv>=0.7"
	@echo "Installing Lightbox and its packages: about 3.8 GB to download on Linux (most of it torch's CUDA), 8 GB on disk"
	@$(UV) sync --quiet --frozen --inexact --compile-bytecode --all-groups --extra demo
	@touch $@

install: .venv/installed ## make .venv from uv.lock

demo: install ## train, evaluate and report on simulated lesions, end to end
	@$(RUN) lightbox demo

up: install ## start everything on this machine, and say where it is (docs/one-machine.md)
	@infra/azurite/install
	@UV=$(UV) $(RUN) python -m deployments.machine up

down: install ## stop all of it
	@$(RUN) python -m deployments.machine down

status: install ## say of each part whether it is well
	@$(RUN) python -m deployments.machine status

check: install ## lint, types, import rules
	$(RUN) ruff format --check .
	$(RUN) ruff check .
	$(RUN) mypy
	cd tests && MYPYPATH=.. ../.venv/bin/mypy --config-file ../pyproject.toml --explicit-package-bases .
	$(RUN) lint-imports

test-services: ## install what the tests need beside Python
	@infra/azurite/install
	@UV=$(UV) infra/label_studio/install || echo "Label Studio cannot be had: its tests are skipped"
	@UV=$(UV) infra/checks/install || echo "checkov cannot be had: tests of the templates are skipped"
	@tests/install_system_tools

test: check test-services ## all checks and all tests
	$(RUN) pytest -n 2 --dist loadfile $(BESIDE)
	$(RUN) pytest $(ALONE)

test-quick: install ## the tests that need no service and little time: for every change
	$(RUN) pytest -n 2 --dist loadfile -m "$(QUICK)" $(BESIDE)

coverage: test-services ## all tests, and which lines they reach: takes up to half as long again as make test
	$(RUN) pytest -n 2 --dist loadfile --cov --cov-report= $(BESIDE)
	$(RUN) pytest --cov --cov-report= --cov-append $(ALONE)
	@$(RUN) coverage report | awk 'NR <= 12; END { print }'

format: install ## rewrite the code in the project's style
	$(RUN) ruff format .
	$(RUN) ruff check --fix .

docs: install ## draw the picture of docs/architecture.md again
	$(RUN) python docs/dependency_picture.py
