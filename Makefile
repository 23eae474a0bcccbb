# The commands a fresh machine needs: `make demo`, `make studio` and `make test`. Wants Python 3.11 or later, with pip and venv.
PYTHON ?= python3
# Installed first and by itself. On Linux the default build from an index may bring CUDA; override it if you like.
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: demo studio test check install clean

demo: $(VENV)/installed
	$(BIN)/endonym models get smollm2-135m
	$(BIN)/endonym demo

studio: $(VENV)/installed
	-$(BIN)/endonym models get smollm2-135m  # without a network the studio opens all the same
	$(BIN)/endonym studio projects

test: $(VENV)/tested
	scripts/test

check: $(VENV)/tested
	scripts/check

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Endonym needs Python 3.11 or later; name one with: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install "$(TORCH)"
	$(PIP) install --editable ".[all]"
	touch $@

$(VENV)/tested: $(VENV)/installed
	$(PIP) install --editable ".[all,dev]"
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info
