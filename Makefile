# Everything a developer needs. Each target works alone, on a machine with Python 3.10 or newer and make:
# the tools come into .tools/ and .venv/ by themselves.
#
#   make demo       run examples/digits, the handwritten-digit flow
#   make test       the tests, on the Python of .venv
#   make test-all   the tests on every installed Python from 3.10 to 3.13
#   make soak       the tests that take an amount with large ones, for about half an hour; narrow with SOAK_PARTS
#   make check      lint, formatting and types
#   make bench      measure side by side with Metaflow and Prefect; narrow with BENCH_CASES and BENCH_REPS
#   make dist       a wheel of every package, into dist/
#   make docs       the documentation, into site/

PYTHON ?= python3
PYTEST_ARGS ?= -n 2 --dist worksteal
DIST ?= dist
MINORS := 3.10 3.11 3.12 3.13

# Python comes from the machine, never from a download.
export UV_PYTHON_DOWNLOADS := never
# Trust what the machine trusts, as behind a proxy of its own; uv brings its own roots for a machine without any.
ifneq ($(wildcard /etc/ssl/certs/ca-certificates.crt),)
export UV_SYSTEM_CERTS := 1
export UV_NATIVE_TLS := 1
endif
UV := .tools/bin/uv
BIN := .venv/bin
PROJECTS := pyproject.toml $(wildcard core/pyproject.toml plugins/*/pyproject.toml)

.DELETE_ON_ERROR:
.PHONY: demo test test-all soak check bench dist docs setup clean

setup: .venv/.synced

$(UV):
	@PYTHON="$(PYTHON)" scripts/bootstrap

.venv/.synced: $(PROJECTS) | $(UV)
	@$(UV) sync --quiet $(if $(wildcard .venv/bin/python),,--python "$(PYTHON)")
	@touch $@

demo: setup
	@$(BIN)/dovetail run examples/digits/flow.py
	@command -v dovetail >/dev/null || echo "The command dovetail is in $(BIN): . $(BIN)/activate"

test: setup
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

# pyenv keeps its interpreters out of reach of PATH; look there too.
test-all: setup
	@PATH="$$PATH:$$(ls -d "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/*/bin 2>/dev/null | paste -sd: -)"; export PATH; \
	failed=; ran=; \
	for minor in $(MINORS); do \
	    python=$$($(UV) python find --no-project --system $$minor 2>/dev/null) || { echo "== Python $$minor is not installed"; continue; }; \
	    echo "== Python $$minor: $$python"; \
	    export UV_PROJECT_ENVIRONMENT=".venvs/$$minor"; \
	    $(UV) sync --quiet --python "$$python" && ".venvs/$$minor/bin/python" -m pytest $(PYTEST_ARGS) || failed="$$failed $$minor"; \
	    ran="$$ran $$minor"; \
	done; \
	echo "== ran on:$$ran; failed on:$${failed:- none}"; \
	test -z "$$failed"

soak: setup
	@$(BIN)/python scripts/soak.py

# All of them, also when one finds something.
check: setup
	@status=0; \
	$(BIN)/ruff check . || status=1; \
	$(BIN)/ruff format --check --quiet . || { $(BIN)/ruff format --check . || status=1; }; \
	$(BIN)/mypy || status=1; \
	$(BIN)/pyright || status=1; \
	exit $$status

bench: setup
	@$(BIN)/python benchmarks/run.py

dist: $(UV)
	@$(UV) build --quiet --all-packages --wheel --out-dir "$(DIST)"

docs: setup
	@$(BIN)/python -m pytest -q $(PYTEST_ARGS) core/tests/conformance --dovetail-report=docs/reference/reports/dovetail.json
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

clean:
	rm -rf .venv .venvs .tools dist site .mypy_cache .ruff_cache .pytest_cache
