# Each target sets up .venv from requirements-dev.txt if it is not there. PYTHON chooses the interpreter (3.11 or newer),
# LOCK=locks/py312.txt the version of every package in it. .venv/buckets and .venv/trackers cannot follow LOCK: their packages
# ask for older ones than the locks have (botocore for python-dateutil below 3; requirements-trackers.txt says the others).
PYTHON ?= python3
BIN := .venv/bin
WORKERS ?= 2
CONFIG ?= vit_digits

.PHONY: train test test-browser test-parity test-buckets test-trackers lint smoke bench locks clean

train: .venv/ready  ## the main job: a ViT on the digits of scikit-learn, into runs/vit_digits; CONFIG=upernet_digits and so on: another
	$(BIN)/python train.py --config=configs/$(CONFIG).py $(ARGS)

test: .venv/ready
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --max-worker-restart=0 tests --ignore=tests/parity $(ARGS)

test-browser: .venv/browser  ## the page of a run in a headless browser: apt-get install chromium, or .venv/bin/playwright install chromium
	$(BIN)/python -m pytest -n 0 -rs tests/analysis/test_page_in_browser.py $(ARGS)

test-buckets: .venv/buckets/ready  ## runs in buckets, on servers of moto and gcp-storage-emulator
	.venv/buckets/bin/python -m pytest -n 0 -rs tests/test_buckets.py $(ARGS)

test-trackers: .venv/trackers/ready  ## the hooks of Weights & Biases, MLflow and Trackio, with their libraries and without a network
	.venv/trackers/bin/python -m pytest -n 0 -rs tests/training/test_hooks.py $(ARGS)

test-parity: .venv/parity  ## published code and ours, the same weights: PyTorch's here, Google's and DiT's where VISION_TRANSFORMER, BIG_VISION, BIG_TRANSFER, DIT say
	$(BIN)/python -m pytest -n 0 tests/parity --record $(ARGS)

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .

smoke: .venv/ready  ## slow evidence: accuracy over three seeds, storms of kills, damages and lost hosts; records in results/
	$(BIN)/python results/digits_seeds.py
	$(BIN)/python results/translation.py dates reverse
	$(BIN)/python results/self_supervision.py
	$(BIN)/python results/transfer.py
	$(BIN)/python results/kill_storm.py
	$(BIN)/python results/kill_storms.py
	$(BIN)/python results/damage_drill.py
	$(BIN)/python results/hosts_drill.py

bench: .venv/ready  ## speed, starts and memory beside what others use (make .venv/bench/ready); records in results/
	$(BIN)/python results/mesh_memory.py
	$(BIN)/python results/bench $(ARGS)

clean:
	rm -rf .venv

.venv/browser: .venv/ready requirements-browser.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-browser.txt
	touch $@

.venv/parity: .venv/ready requirements-parity.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-parity.txt
	touch $@

.venv/buckets/ready: requirements-dev.txt requirements-buckets.txt
	$(PYTHON) -m venv .venv/buckets
	.venv/buckets/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-buckets.txt
	touch $@

.venv/trackers/ready: requirements-dev.txt requirements-trackers.txt
	$(PYTHON) -m venv .venv/trackers
	.venv/trackers/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	.venv/trackers/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-trackers.txt
	touch $@

.venv/bench/ready: requirements-bench.txt
	$(PYTHON) -m venv .venv/bench
	.venv/bench/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-bench.txt
	touch $@

.venv/ready: requirements.txt requirements-dev.txt
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Attend needs Python 3.11 or newer: make PYTHON=python3.12 ...')"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	$(if $(LOCK),$(BIN)/python -m pip install --quiet --disable-pip-version-check -r $(LOCK))
	touch $@

LOCKED = uv pip compile --universal --quiet --no-annotate --no-header

locks:  ## the versions of every package, anew: needs uv
	for version in 11 12 13; do \
	  echo "# All packages of requirements.txt for Python 3.$$version: make locks" > locks/py3$$version.txt; \
	  $(LOCKED) --python-version 3.$$version requirements.txt >> locks/py3$$version.txt; \
	done
	echo "# The same with the newest JAX, Flax, Optax and Orbax, for Python 3.13: make locks" > locks/newest.txt
	sed -E 's/^(jax|flax|optax|orbax-checkpoint)==.*/\1/' requirements.txt \
	  | $(LOCKED) --python-version 3.13 - >> locks/newest.txt
