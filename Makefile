# make demo: from a fresh clone to a SAC that is trained on from the shipped weights and tested, and the nuclei of a real
# picture.   make test: every test.
# make stress: 25 trainings killed at all moments, each resumed, compared to the last bit with an undisturbed one.
# Both make .venv from the pinned versions of constraints.txt; a second call installs nothing.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: demo test stress lint format clean

demo: $(INSTALLED)
	$(BIN)/python -m sac_lightning.train init=nuclei data.crops_per_image=1 trainer.max_epochs=1 hydra.run.dir=outputs/demo
	$(BIN)/python -m sac_lightning.predict images='$(BIN)/../lib/python3*/site-packages/skimage/data/ihc.png' \
		channel=haematoxylin output=outputs/demo/nuclei overwrite=true

test: $(INSTALLED)
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal

stress: $(INSTALLED)
	SAC_KILLS=25 $(BIN)/python -m pytest -s tests/faults/test_kill_and_resume.py -k again_and_again

lint: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; sys.exit(None if (3, 11) <= sys.version_info < (3, 14) else 'error: Python 3.11 to 3.13 is needed: make PYTHON=python3.12')"
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,demo]'
	touch $@

clean:
	rm -rf .venv outputs build dist src/*.egg-info
