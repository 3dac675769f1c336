# Two commands are enough: `make demo` and `make test`. Both install what they need into the checkout.
PYTHON ?= python3.11
UV_VERSION := 0.13.8
export UV_PROJECT_ENVIRONMENT := .venv

.DEFAULT_GOAL := help
.PHONY: help install demo test browser lint docs bench bench-console chaos lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

.uv/bin/uv:
	@echo "Installing uv $(UV_VERSION) into .uv"
	@$(PYTHON) -m venv .uv
	@.uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

.venv/.installed: requirements.lock pyproject.toml | .uv/bin/uv
	@test -d .venv || .uv/bin/uv venv --quiet --python $(PYTHON) .venv
	@echo "Installing the locked packages into .venv"
	@.uv/bin/uv pip sync --quiet --require-hashes --python .venv/bin/python requirements.lock
	@.uv/bin/uv pip install --quiet --no-deps --no-build-isolation --python .venv/bin/python --editable .
	@touch $@

install: .venv/.installed ## everything into the checkout; the command is then .venv/bin/khaywe

demo: install ## the product at work on real records (KEEP=1 leaves it running)
	@.venv/bin/khaywe demo $(if $(KEEP),--keep)

test: install browser ## all tests, against real Kafka and PostgreSQL, and a browser
	@.venv/bin/python -m pytest

# The console's tests drive it; playwright brings none of Debian's.
browser:
	@command -v chromium > /dev/null || { \
		echo "Installing Debian's chromium, which tests of the console drive"; \
		root=$$(test "$$(id -u)" = 0 || echo sudo); \
		$$root apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$root apt-get install -y -qq \
			--no-install-recommends chromium fonts-noto-core > /dev/null; }

lint: install ## style, types, the table of rooms
	@.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy && .venv/bin/lint-imports

docs: install ## the documentation, into site/; reference pages are made anew from the code
	@.venv/bin/python -m docs.made
	@NO_MKDOCS_2_WARNING=1 .venv/bin/python -m mkdocs build --strict

bench: install ## the figures of docs/performance.md
	@.venv/bin/python -m bench

bench-console: install ## how fast pages of the console come with a million customers (CUSTOMERS=50000)
	@.venv/bin/python -m bench.console $(CUSTOMERS)

chaos: install ## faults under load, and a count of what is lost: none (SEED=1 CYCLES=200)
	@.venv/bin/python -m tests.chaos --seed $(or $(SEED),1) --cycles $(or $(CYCLES),200)

lock: | .uv/bin/uv ## renew requirements.lock from pyproject.toml
	@.uv/bin/uv pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url --python-version 3.11 \
		--extra dev --extra train pyproject.toml --output-file requirements.lock

clean: ## remove what was installed
	rm -rf .uv .venv
