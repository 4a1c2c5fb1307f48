# Optim Studio. Everything is reached by these targets; CI runs the same ones.
#
#   make app      environment, install, start: http://localhost:8501
#   make workshop open it to the local network for a workshop: prints address, QR code, room code
#   make test     the tests, about 20 minutes on two cores
#   make fuzz     damaged files of every format, a quarter of an hour
#   make check    format, lint, types
#
# TORCH=cpu (default) takes torch without GPU support, a tenth of the download; TORCH=cuda takes
# the build for NVIDIA GPUs.

PYTHON ?= python3
TORCH ?= cpu
PORT ?= 8501

SHARED_OUT := -n logical --maxprocesses 8 --dist loadfile

FUZZ_CASES ?= 20004
FUZZ_SEED ?= 0

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
TORCH_PIN := $(shell sed -n 's/^\(torch==[^ ]*\).*/\1/p' requirements.txt)
TORCH_CPU := https://download.pytorch.org/whl/cpu

BENCHES := default_pair devices evaluate interactive startup runs one_click train cluster real_size \
	probe memory sensitivity prune_weights drop_blocks

.PHONY: app workshop test test-all fuzz check style bench recover browser ray clean

app: $(VENV)/app
	$(BIN)/streamlit run app.py --server.port $(PORT)

workshop: $(VENV)/app
	$(BIN)/python -m optim workshop --port $(PORT)

# Every test uses one core, so files are shared out over all of them. What measures time, by killing
# processes or by looking at a browser, follows alone.
test: $(VENV)/dev browser
	$(BIN)/python -m pytest -q $(SHARED_OUT) -m "not (slow or browser or chaos)"
	$(BIN)/python -m pytest -q -m "(browser or chaos) and not slow"

test-all: test ray
	$(BIN)/python -m pytest -q -m slow

# What does harm is shown as base64 and kept; FUZZ_SEED gives the same files again.
fuzz: $(VENV)/dev
	OPTIM_FUZZ_CASES=$(FUZZ_CASES) OPTIM_FUZZ_SEED=$(FUZZ_SEED) \
	  $(BIN)/python -m pytest -q -s tests/fuzz

check: $(VENV)/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

style: $(VENV)/dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/dev browser ray
	for name in $(BENCHES); do $(BIN)/python bench/$$name.py || exit 1; done
	$(BIN)/python bench/readme_table.py

# Hours of training. What was done before is kept; what was stopped goes on.
recover: $(VENV)/dev
	$(BIN)/python bench/recover.py --run
	$(BIN)/python bench/readme_table.py

# Browser tests use a Chromium that is there; failing that, one is fetched where that is possible.
# Without any they are skipped, and say so.
browser: $(VENV)/dev
	@$(BIN)/python tests/browser/chromium.py || { \
	  [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null; } \
	  || $(BIN)/playwright install chromium || true

# For runs on several machines. Where it cannot be installed, its tests are skipped and say so.
ray: $(VENV)/app
	@$(PIP) install -q -r requirements-ray.txt || echo "ray is not installed: its tests are skipped"

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# torch comes first and alone: left to the resolver, it may bring gigabytes of CUDA libraries.
$(VENV)/torch: $(VENV)/bin/python requirements.txt
	@$(PIP) show -q torch 2>/dev/null || \
	  { [ "$(TORCH)" = cpu ] && $(PIP) install -q --retries 0 --timeout 10 --index-url $(TORCH_CPU) $(TORCH_PIN) 2>/dev/null; } || \
	  $(PIP) install -q $(TORCH_PIN)
	@touch $@

$(VENV)/app: $(VENV)/torch requirements.txt
	$(PIP) install -q -r requirements.txt
	$(BIN)/python -m optim prepare
	@touch $@

$(VENV)/dev: $(VENV)/torch requirements.txt requirements-dev.txt
	$(PIP) install -q -r requirements-dev.txt
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
