# make demo      the small network from ONNX to simulated Verilog
# make test      lint, types and all tests (about 20 minutes on two cores)
# make nightly   the tests that take longer, a file at a time; stopped, it goes on with those that have not passed
#                at this commit, and ends with a table
# make lowest    the tests of `make test` with the oldest packages that pyproject.toml allows, in .venv-lowest
# make lint      ruff and mypy alone
# make prove     what is proven of the RTL, as a table and in benchmarks/results/proofs.json
# make registers the description of a core's registers, and what PeakRDL makes of it, in rtl_templates/ip/
# make docs      the documentation as a site, in site/
#
# Each sets up .venv with what it needs, once. Variables: PYTHON (3.11 or newer), VENV, JOBS.

PYTHON ?= python3
VENV ?= .venv
JOBS ?= 2
BIN := $(VENV)/bin
TYPES := $(VENV)/types
NIGHT ?= .nightly/$(shell git describe --always --dirty 2>/dev/null || echo here)

.PHONY: demo test nightly lowest lint prove registers docs clean

demo: $(VENV)/demo.stamp
	$(BIN)/hwquant demo

test: lint
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m "not nightly"

nightly: $(VENV)/dev.stamp
	mkdir -p $(NIGHT)
	$(BIN)/python -m pytest -m nightly --collect-only -q > $(NIGHT)/tests.txt || { cat $(NIGHT)/tests.txt; exit 1; }
	$(MAKE) --keep-going --jobs=$(JOBS) \
	  $$(sed -n 's,^tests/\(.*\)[.]py::.*,$(NIGHT)/\1.xml,p' $(NIGHT)/tests.txt | sort -ur); \
	  status=$$?; $(BIN)/python benchmarks/nightly.py $(NIGHT); exit $$status

$(NIGHT)/%.xml: tests/%.py
	mkdir -p $(@D)
	$(BIN)/python -m pytest -m nightly -o timeout=14400 -q --junit-xml=$@.part $< > $(@:.xml=.log) 2>&1
	mv $@.part $@

lowest: $(VENV)-lowest/lowest.stamp
	$(VENV)-lowest/bin/python -m pytest -n $(JOBS) --dist worksteal -m "not nightly"

docs: $(VENV)/docs.stamp
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# mypy does not follow an editable install into folders of other names, so it reads an installed copy.
lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	rm -rf $(TYPES) .build
	$(BIN)/python -m pip install --quiet --no-deps --target $(TYPES) .
	cd $(TYPES) && MYPYPATH=. $(CURDIR)/$(BIN)/mypy --config-file $(CURDIR)/pyproject.toml \
	  --cache-dir $(CURDIR)/.mypy_cache -p hwquant

prove: $(VENV)/dev.stamp
	$(BIN)/python benchmarks/proofs.py

registers: $(VENV)/dev.stamp
	$(BIN)/python -c 'from hwquant.rtl_templates import register_map as r; print(r.register_map(), end="")' \
	  > rtl_templates/ip/registers.rdl
	cd rtl_templates/ip && $(abspath $(BIN))/peakrdl c-header --std gnu99 registers.rdl -o registers.h
	cd rtl_templates/ip && $(abspath $(BIN))/peakrdl markdown registers.rdl -o registers.md

$(VENV)/demo.stamp: pyproject.toml | $(VENV)/bin/pip
	$(BIN)/python -m pip install --quiet --editable '.[onnx,sim]'
	touch $@

$(VENV)/dev.stamp: pyproject.toml | $(VENV)/bin/pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@ $(VENV)/demo.stamp $(VENV)/docs.stamp

$(VENV)-lowest/lowest.stamp: pyproject.toml
	$(PYTHON) -m venv --clear $(VENV)-lowest
	$(VENV)-lowest/bin/python -m pip install --quiet uv
	$(VENV)-lowest/bin/uv pip install --quiet --python $(VENV)-lowest/bin/python --resolution lowest-direct \
	  --editable '.[dev]'
	touch $@

$(VENV)/docs.stamp: pyproject.toml | $(VENV)/bin/pip
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@

$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is older than Python 3.11; name a newer one: make PYTHON=python3.12"; exit 2; }
	$(PYTHON) -m venv $(VENV)

clean:
	rm -rf $(VENV) $(VENV)-lowest .build .nightly site demo hwquant.egg-info .mypy_cache .pytest_cache .ruff_cache
