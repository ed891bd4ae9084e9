# make quickstart   see it work, on any machine: draws heads, trains briefly, writes only under runs/quickstart/
# make demo         the shipped weights on a drawn image, or on yours: make demo IMAGE=me.jpg
# make test         style (ruff), types (mypy) and the tests that are not slow, in their own virtual environment
# make test-slow    the slow tests alone: whole runs that are killed, resumed and compared
# make test-all     both, as CI does
# make check        style and types alone; make lint mends what of the style can be mended
# make figures      the figures of readme/ that need no data
# make clean        remove the virtual environment and what the quickstart made

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
QUICK := runs/quickstart

.PHONY: quickstart demo test test-slow test-all check lint figures clean
.DELETE_ON_ERROR:

# TensorFlow leaves oneDNN off on processors without AVX-512; small networks train nearly twice as fast with it there.
quickstart: export TF_ENABLE_ONEDNN_OPTS := 1
quickstart: $(VENV)/.runtime
	rm -rf $(QUICK)
	$(BIN)/python -m data.synthetic --out $(QUICK)/data --faces 480 --ears 360 --both 32 --size 128 --draft
	$(BIN)/python -m data.check $(QUICK)/data --out $(QUICK)/check
	$(BIN)/python train_face.py --data $(QUICK)/data --preset tiny --epochs 12 --repeats 3 --augment 0.4 \
	    --run $(QUICK)/face --out $(QUICK)/weights/face.keras
	$(BIN)/python train_ear.py --data $(QUICK)/data --preset tiny --epochs 8 --repeats 3 --augment 0.4 \
	    --run $(QUICK)/ear --out $(QUICK)/weights/ear.keras
	$(BIN)/python train_face2ear.py --data $(QUICK)/data --teacher $(QUICK)/weights/face.keras --epochs 8 --repeats 3 --learning-rate 0.001 --augment 0.4 \
	    --run $(QUICK)/face2ear --out $(QUICK)/weights/face2ear.keras
	$(BIN)/python -m utils.evaluate $(QUICK)/weights/face2ear.keras $(QUICK)/data/Both --out $(QUICK)/both
	$(BIN)/python demo_multi.py '$(QUICK)/data/Both/*00000?.jpg' --no-window --weights $(QUICK)/weights/face2ear.keras \
	    --save $(QUICK)/demo --json $(QUICK)/demo.jsonl
	@echo
	@echo "Done. Look at $(QUICK)/check/*.png (data), $(QUICK)/face/random.png and $(QUICK)/ear/random.png (predictions),"
	@echo "$(QUICK)/face2ear/forgetting.json and attention.png (what the student kept), $(QUICK)/face/curves.png (learning)."
	@echo "$(QUICK)/demo/*.png (the demo). Weights: $(QUICK)/weights/. More: $(BIN)/python demo_multi.py --help"

demo: $(VENV)/.runtime
	rm -rf runs/make-demo
	$(if $(IMAGE),,$(BIN)/python -m data.synthetic --out runs/make-demo/heads --both 1 --size 640 --seed 22)
	$(BIN)/python demo_multi.py $(if $(IMAGE),"$(IMAGE)",runs/make-demo/heads/Both/*.jpg) --no-window \
	    --weights weights/face2ear-lite.keras --save runs/make-demo/drawn --json runs/make-demo/points.jsonl
	@echo "Done. Look at runs/make-demo/drawn/; the points are in runs/make-demo/points.jsonl."

# Two workers with one thread each: TensorFlow's own threads gain little on images this small, and would only compete.
PYTEST := TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

test: check
	$(PYTEST) --dist worksteal -m "not slow"

test-slow: $(VENV)/.tests
	$(PYTEST) --dist load --maxschedchunk 1 -m slow

test-all: test test-slow

check: $(VENV)/.tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

lint: $(VENV)/.tests
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

figures: $(VENV)/.runtime
	$(BIN)/python -m utils.diagrams

clean:
	rm -rf $(VENV) $(QUICK)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	    { echo "error: $(PYTHON) is not Python 3.11 to 3.13; name one that is: make PYTHON=python3.12"; exit 2; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	    { echo "error: $(PYTHON) has no venv module; on Debian and Ubuntu: apt-get install python3-venv"; exit 2; }
	$(PYTHON) -m venv $(VENV)

# `import cv2` needs libraries of the system that slim machines lack; say which package, not a traceback.
$(VENV)/.runtime: requirements.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@$(BIN)/python -c 'import cv2' 2>$(VENV)/cv2.log || { echo "error: import cv2: $$(tail -n 1 $(VENV)/cv2.log);" \
	    "on Debian and Ubuntu: apt-get install libgl1 libglib2.0-0 libx11-6 libxcb1"; exit 2; }
	@touch $@

$(VENV)/.tests: $(VENV)/.runtime tests/requirements.txt utils/exporting/requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	@touch $@
