# `make demo` and `make test` do all set-up themselves; the second run starts at once.

PYTHON_ENV := .venv/bin/python
KERNEL := $(wildcard loaders/native/*.cpp loaders/native/*/*.cpp loaders/native/*.h loaders/native/*/*.h)
SANITIZED := build/sanitize
DATA ?= .demo/photos/train
RESULTS ?= .demo/results
BENCH ?=
# From four processors on, two for each process that runs tests, because the loaders under test have threads of their own.
WORKERS := $(shell n=$$(nproc); echo $$((n < 4 ? n : n / 2)))
PARALLEL := $(shell [ $(WORKERS) -gt 1 ] && printf -- '-n %s --dist loadfile' $(WORKERS))

.PHONY: help demo test test-fast check check-native check-threads wheel wheel-aarch64 check-wheel fuzz faults bench clean

help:
	@echo 'make demo          set up, make a small JPEG data set, convert, measure, train through the curriculum, draw'
	@echo 'make test          set up, run the tests'
	@echo 'make test-fast     the tests near the files that differ from main, without the slow ones'
	@echo 'make check         lint, types, tests with warnings as errors'
	@echo 'make wheel         dist/*.whl for x86-64 Linux and any Python from 3.10 on'
	@echo 'make wheel-aarch64 the same for arm64 Linux, cross-built'
	@echo 'make check-wheel   the wheel, tested in empty environments'
	@echo 'make check-native  the kernel'\''s tests under AddressSanitizer and UndefinedBehaviorSanitizer'
	@echo 'make check-threads the thread pool under ThreadSanitizer'
	@echo 'make fuzz          the kernel on mutated input for a minute, under both other sanitizers; then what reads betons'
	@echo 'make faults        damage, kills, failing disks and crowds, and how many tries were lost: a table'
	@echo 'make bench         throughput and fidelity, on DATA=$(DATA) (which make demo makes)'
	@echo 'make clean         remove what was built and made (.venv stays)'

demo: .venv/.kernel
	@$(PYTHON_ENV) -m tools demo

test: .venv/.kernel
	@$(PYTHON_ENV) -m pytest -q $(PARALLEL)

test-fast: .venv/.kernel
	@$(PYTHON_ENV) -m pytest -q $(PARALLEL) -m 'not slow' $$($(PYTHON_ENV) -m tools neighbours)

check: .venv/.kernel
	$(PYTHON_ENV) -m ruff check .
	$(PYTHON_ENV) -m mypy
	$(PYTHON_ENV) -m pytest -q $(PARALLEL) -W error

# The sanitizers' libraries must come before all others; Python itself leaks by design, so leaks are not checked.
check-native: .venv/.kernel
	ETL_SANITIZE=1 $(PYTHON_ENV) setup.py --quiet build_ext --build-temp $(SANITIZED)/objects --build-lib $(SANITIZED)
	ETL_KERNEL=$$(echo $(CURDIR)/$(SANITIZED)/loaders/native/_kernel*.so) \
	LD_PRELOAD="$$(c++ -print-file-name=libasan.so) $$(c++ -print-file-name=libubsan.so)" \
	ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 \
	$(PYTHON_ENV) -m pytest -q tests/loaders/native

check-threads: .venv/.kernel
	PYTHON=$(CURDIR)/$(PYTHON_ENV) bash tests/robustness/fuzz/run.sh threads 30

wheel:
	bash tools/wheel.sh

# Needs Debian's g++-aarch64-linux-gnu.
wheel-aarch64:
	bash tools/wheel.sh aarch64

check-wheel: .venv/.kernel wheel
	$(PYTHON_ENV) -m pytest -q tests/test_wheel.py

fuzz: .venv/.kernel
	PYTHON=$(CURDIR)/$(PYTHON_ENV) bash tests/robustness/fuzz/run.sh fuzz 60
	PYTHON=$(CURDIR)/$(PYTHON_ENV) bash tests/robustness/fuzz/run.sh betons 60

faults: .venv/.kernel
	@mkdir -p $(RESULTS)
	$(PYTHON_ENV) -m tests.robustness --json $(RESULTS)/faults.json

# BENCH adds flags to both, for example BENCH='--limit 5000'.
bench: .venv/.kernel
	@mkdir -p $(RESULTS)
	$(PYTHON_ENV) -m efficienttrain benchmark throughput --data $(DATA) $(BENCH) --json $(RESULTS)/throughput.json --png $(RESULTS)/throughput.png
	$(PYTHON_ENV) -m efficienttrain benchmark fidelity --data $(DATA) $(BENCH) --json $(RESULTS)/fidelity.json --png $(RESULTS)/fidelity.png

clean:
	rm -rf build dist .demo .mypy_cache .pytest_cache .ruff_cache *.egg-info .venv/.ready .venv/.kernel
	rm -f loaders/native/_kernel*.so
	find loaders efficienttrain benchmarks tools tests -name __pycache__ -type d -exec rm -rf {} +

# Set-up is done again when what it depends on changes; the kernel alone is rebuilt when only its sources change.
.venv/.ready: setup.py pyproject.toml tools/bootstrap.sh
	@bash tools/bootstrap.sh
	@touch $@

.venv/.kernel: .venv/.ready $(KERNEL)
	@$(PYTHON_ENV) setup.py --quiet build_ext --inplace
	@touch $@
