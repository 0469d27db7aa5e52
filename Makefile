# Every target sets up first if it must. See CONTRIBUTING.md.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ROOT := $(if $(filter 0,$(shell id -u)),,sudo)

.DEFAULT_GOAL := help
.PHONY: help setup demo test check format train ablations eval bench flite corpus-texts

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-9s %s\n", $$1, $$2}'

setup: $(STAMP) ## .venv in the repository root, everything installed

# torch goes first, at the exact pin: resolving it together with the rest may choose another build.
$(STAMP): pyproject.toml setup.py constraints.txt $(wildcard engine/oncue_engine/kernels/csrc/*)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet $(shell grep '^torch==' constraints.txt)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[server,train,eval,dev]'
	touch $@

demo: $(STAMP) ## start the server, register a voice, stream an utterance, write out/demo.wav
	$(BIN)/python scripts/demo.py

test: $(STAMP) flite ## run the tests
	$(BIN)/python -m pytest

check: $(STAMP) ## format, lint, types, imports, protos
	scripts/check

train: $(STAMP) flite corpus-texts ## the embedded model from nothing, resumable, under ONCUE_HOME
	$(BIN)/python -m oncue_engine.training

ablations: $(STAMP) corpus-texts ## what each part of the model is worth, after `make train`
	$(BIN)/python -m oncue_engine.training.ablations

eval: $(STAMP) flite ## the evaluation tables in out/eval.md, and ten clips with pictures in out/
	$(BIN)/oncue eval all --markdown out/eval.md --clips out

bench: $(STAMP) ## how soon, how steadily and for how many a server speaks: at most ten minutes on two cores
	$(BIN)/oncue bench --quick

format: $(STAMP) ## mend what ruff and buf can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	scripts/buf format -w protos

# Debian's flite: the teacher voices of the tests and of training.
flite:
	@command -v flite >/dev/null || { $(ROOT) apt-get update -q && $(ROOT) apt-get install -y -q --no-install-recommends flite; }

# What the teachers read in training, and what words mean.
corpus-texts:
	@test -x /usr/bin/bible -a -d /usr/share/games/fortunes -a -d /usr/share/wordnet || \
	{ $(ROOT) apt-get update -q && \
	$(ROOT) apt-get install -y -q --no-install-recommends bible-kjv bible-kjv-text fortunes wordnet-base; }
