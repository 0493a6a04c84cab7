# Every target sets itself up; all that is needed is Python ≥ 3.10 and make.

VENV ?= .venv
SEEDS ?= 10000
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11 python3.10 python; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null && echo $$python && break; done)
RUN = $(VENV)/bin/python
READY = $(VENV)/ready
LOCK = $(RUN) -m uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-header --upgrade
NODE = tests/node/node_modules/ready
# What the tests ran of the function, in their own processes, is printed after them; COVERAGE= leaves that out.
COVERAGE ?= 1
MEASURED = $(RUN) $(if $(COVERAGE),-m slipcover --immediate --source handler --omit 'handler/cli/*' --skip-covered --missing-width 60)

.PHONY: help demo local test quick simulate prove mutants check lint types format docs bundle bench deploy lock clean

help: ## show the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | sort

demo: $(READY) ## show the main job on the local cloud
	@$(RUN) -m tests.demo

local: $(READY) ## the local cloud, staying up, with a page (PORT=8787, FORWARD_TO=http://localhost:3000/…)
	@$(RUN) -m tests.local

test: $(READY) $(NODE) ## run the tests (ARGS=tests/edges: some of them)
	$(MEASURED) -m pytest -n auto --dist loadfile $(ARGS)

quick: $(READY) ## run the tests of the rules, in seconds
	$(RUN) -m pytest -n auto tests/rules

simulate: $(READY) ## run SEEDS=n random histories of the simulated world
	$(RUN) -m tests.simulation --seeds $(SEEDS)

prove: $(READY) ## look at every schedule of small scenes: few preemptions, crashes, lost answers
	$(RUN) -m tests.prove $(ARGS)

mutants: $(READY) ## change the rules and the flow a little, and see that a test notices each change
	$(RUN) -m tests.mutants $(MUTANTS)

bench: $(READY) ## measure: figures beside their floors; JSON=1 for machines, DRAW=1 for the pictures
	@$(RUN) -m handler.cli.bundle >&2
	@$(RUN) -m tests.bench $(if $(JSON),--json) $(if $(DRAW),--draw)

check: lint types test ## lint, types, tests

lint: $(READY) ## rules and layout of the code, and which way its imports run
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(VENV)/bin/lint-imports --no-cache

types: $(READY) ## types
	$(RUN) -m mypy

format: $(READY) ## mend what can be mended, lay the code out, and say what is left
	$(RUN) -m ruff check --fix-only --quiet .
	$(RUN) -m ruff format .
	$(RUN) -m ruff check .

docs: $(READY) ## write the parts of the documents that are made from the code
	$(RUN) -m tests.docs

bundle: $(READY) ## build what is deployed: dist/, livepair.zip for the console, and what is in it
	@$(RUN) -m handler.cli.bundle

deploy: $(READY) ## bundle, deploy by scf or Terraform (TOOL=…, TERRAFORM_ROOT=…), then doctor
	@$(RUN) -m handler.cli.deploy --check
	@$(RUN) -m handler.cli.bundle
	@$(RUN) -m handler.cli.deploy

lock: $(READY) ## pin the requirements anew, with hashes and without an index
	$(LOCK) --group build -o requirements-build.txt
	$(LOCK) --group function -o requirements.txt
	$(LOCK) --group function --extra dev pyproject.toml -o requirements-dev.txt

clean: ## remove what was made
	rm -rf .venv .venv-* mutants dist livepair.zip livepair-????????????.zip livepair.cdx.json .bundle-* tests/node/node_modules examples/*/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(READY): requirements-dev.txt requirements-build.txt
	@test -n "$(PYTHON)" || { echo 'livepair needs Python 3.10 or newer, and none was found.' \
		'Install one, or name it: make PYTHON=/path/to/python3'; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo '$(PYTHON) is no Python 3.10 or newer.'; exit 1; }
	@test ! -L $(VENV) || { echo '$(VENV) is a link; what it leads to would be emptied. Remove the link first.'; exit 1; }
	@echo 'Setting up $(VENV) …'
	@$(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); echo 'This Python cannot make virtual environments.' \
		'On Debian and Ubuntu: apt-get install python3-venv'; exit 1; }
	@$(RUN) handler/cli/packages.py requirements-dev.txt
	@touch $(READY)

# Some tests run on Node.js: the deploy code is JavaScript, and so are some consumers.
$(NODE): tests/node/package-lock.json
	@if ! npm --version >/dev/null 2>&1; then echo 'No npm here: the tests that need Node.js are skipped.'; \
	elif cd tests/node && npm ci --silent --no-audit --no-fund --ignore-scripts; then touch node_modules/ready; \
	else echo 'npm could not install what tests/node needs: the tests that need Node.js are skipped.'; fi
