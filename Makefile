# taylorfit from a fresh clone: `make run`, `make test`, `make bench`; `make help` says more.
# Needs Python >= 3.10; .ci/setup gets gfortran and the venv module by apt where it can.

EXAMPLE = build/water-cluster
ARGS =
VENV = .venv
SOURCES := pyproject.toml meson.build meson.options \
	$(shell find fortran python -type f -not -path '*/__pycache__/*' -not -path 'python/docs/*' 2>/dev/null)

.PHONY: help install run test sanitize lint bench docs wheels clean

help:
	@echo "make run      set up, run the example and compare five ways of training (about three minutes)"
	@echo "              files in $(EXAMPLE)/; a second run keeps the input files there and replaces the results"
	@echo "make test     set up and run all tests (options for pytest: make test ARGS='-k xsf')"
	@echo "make sanitize tests of the engine with all checks and sanitizers of the compiler (ARGS: other tests for pytest)"
	@echo "make lint     set up and check the sources: ruff (rules and format), mypy, fortitude"
	@echo "make bench    set up and run the benchmarks in tests/bench/, under three minutes; one table beside the limits of"
	@echo "              this core (compare with a stored run: make bench ARGS='--compare FILE.json')"
	@echo "make docs     set up and build the manual into build/manual/, with its internal links checked"
	@echo "make wheels   build wheels into dist/ for the Pythons found here; needs gfortran, g++ and network"
	@echo "make install  set up only: gfortran if missing, $(VENV)/, taylorfit inside"
	@echo "make clean    remove $(VENV)/ and build/, results of the example included"

install: $(VENV)/taylorfit.stamp

$(VENV)/taylorfit.stamp: $(SOURCES) .ci/setup
	@.ci/setup $(VENV)
	@touch $@

$(VENV)/test.stamp: $(VENV)/taylorfit.stamp
	@.ci/setup $(VENV) test
	@touch $@

$(VENV)/lint.stamp: $(VENV)/taylorfit.stamp
	@.ci/setup $(VENV) lint
	@touch $@

$(VENV)/docs.stamp: $(VENV)/taylorfit.stamp
	@.ci/setup $(VENV) docs
	@touch $@

run: $(VENV)/taylorfit.stamp
	@$(VENV)/bin/python -m taylorfit example water-cluster $(EXAMPLE) --run
	@echo "Try more: edit train-taylor.in or generate.in in $(EXAMPLE)/ and make run again; README.md there says what else"

test: $(VENV)/test.stamp
	@$(VENV)/bin/python -m pytest $(ARGS)

sanitize:
	@.ci/sanitize build/sanitize $(ARGS)

lint: $(VENV)/lint.stamp
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/fortitude check

bench: $(VENV)/test.stamp
	@$(VENV)/bin/python tests/bench/run.py $(ARGS)

docs: $(VENV)/docs.stamp
	@NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --quiet --config-file python/docs/mkdocs.yml
	@echo "The manual: build/manual/index.html"

wheels:
	@.ci/wheels

clean:
	rm -rf $(VENV) build
