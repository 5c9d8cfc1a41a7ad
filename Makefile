# The two commands of the README are `make demo` and `make test`; each makes .venv if it is missing and installs what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
OUT ?= build/demo
# A file at a time to each core; files as tests/conftest.py orders them.
PARALLEL ?= -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

HTTP_PORT ?= 8000
GRPC_PORT ?= 8001
METRICS_PORT ?= 8002
DEMO_PORT ?= 8080

FUZZ ?=

.PHONY: demo serve-demo test sweep sweep-reference fuzz test-sweep lint bench image train clean

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[all]'
	touch $@

demo: $(STAMP)
	mkdir -p $(OUT)
	$(BIN)/attnexport examples/digits_stn_cbam.pt --trt --samples examples/digits_samples.npz --force --out $(OUT)/digits_stn_cbam.attn
	$(BIN)/attnexport check $(OUT)/digits_stn_cbam.attn

# Runs until Ctrl-C. The line that begins with `try` is the one to type, in another terminal.
serve-demo: $(STAMP)
	mkdir -p $(OUT)/served
	test -d $(OUT)/served/digits_stn_cbam.attn || $(BIN)/attnexport examples/digits_stn_cbam.pt --precision fp32 --samples examples/digits_samples.npz --out $(OUT)/served/digits_stn_cbam.attn
	$(BIN)/attnexport serve $(OUT)/served/digits_stn_cbam.attn --demo --demo-port $(DEMO_PORT) --http-port $(HTTP_PORT) --grpc-port $(GRPC_PORT) --metrics-port $(METRICS_PORT)

test: $(STAMP)
	$(BIN)/python -m pytest $(PARALLEL) -m 'not sweep'

sweep: $(STAMP)
	$(BIN)/python -m pytest -m sweep
	$(BIN)/python benchmarks/systems.py --table

# Each operator: the FP64 reference of ONNX files against ONNX Runtime; writes benchmarks/reference_sweep.csv.
sweep-reference: $(STAMP)
	$(BIN)/python -W ignore -m attnexport.benchmarks.reference_sweep

# Random graphs through the whole pipeline, 20,000 unless FUZZ says otherwise ('--onnx 500 --torch 0 --first 9000 --workers 2'); a run that
# was stopped goes on where build/fuzz.jsonl ends.
fuzz: $(STAMP)
	PYTHONPATH=tests $(BIN)/python -m sweep.fuzz $(FUZZ)

test-sweep: $(STAMP)
	$(BIN)/python -m pytest

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	mkdir -p build/typed && ln -sfn $(CURDIR) build/typed/attnexport
	cd build/typed && $(CURDIR)/$(BIN)/mypy --config-file $(CURDIR)/pyproject.toml -p attnexport --exclude '/(tests|build|\.venv)/'

bench: $(STAMP)
	mkdir -p build/benchmarks
	$(BIN)/python benchmarks/plain_export.py --out build/benchmarks
	$(BIN)/python benchmarks/local_attention.py --json build/benchmarks/local_attention.json --png build/benchmarks/local_attention.png
	$(BIN)/python benchmarks/sampling.py --out build/benchmarks

# The CPU image, built, started and asked: with docker or podman, or as root with buildah where no container engine answers.
image: $(STAMP)
	$(BIN)/python docker/image.py

train: $(STAMP)
	$(BIN)/python examples/train_digits.py --model all

clean:
	rm -rf build .mypy_cache .ruff_cache .pytest_cache
