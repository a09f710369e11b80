# Everything a user types. The first target that needs it makes the harness's own environment under .cache/.
PYTHON ?= python3
HARNESS := .cache/harness
FORKLIFT := $(HARNESS)/bin/python -m forklift
LOCK := ci/locks/harness.txt
# the mark carries the lock's hash: another lock makes another environment
MARK := $(HARNESS)/made-from-$(shell sha256sum $(LOCK) | cut -c1-16)
ARGS ?=
export PYTHONPATH := $(CURDIR)/ci
# compiled once for all processes, and never beside a source; so a shell that forbids bytecode need not be obeyed
unexport PYTHONDONTWRITEBYTECODE
export PYTHONPYCACHEPREFIX := $(or $(FORKLIFT_CACHE_DIR),$(CURDIR)/.cache)/bytecode

# the clock of FORKLIFT_BUDGET_S
ifndef FORKLIFT_STARTED
export FORKLIFT_STARTED := $(shell date +%s)
endif

.PHONY: help debian test-all test lint list status site drive-site doctor check-% pr-% build-% edit-% save-% fork-% wheel-% sweep-% format clean

help: ## what there is to type
	@grep -hE '^[a-z%_-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

# order only: a lock that was touched, but not changed, makes nothing new
$(MARK): | $(LOCK)
	@ci/harness.sh $@ $(PYTHON)

pr-%: $(MARK) ## branch, checks and bundle of one change: make pr-seg-pidnet
	@$(FORKLIFT) pr $* $(ARGS)

check-%: $(MARK) ## checks alone
	@$(FORKLIFT) check $* $(ARGS)

build-%: $(MARK) ## the feature branch alone
	@$(FORKLIFT) build $* $(ARGS)

edit-%: $(MARK) ## open a change as a git work tree
	@$(FORKLIFT) edit $* $(ARGS)

save-%: $(MARK) ## turn that work tree back into overlay/ and edits/
	@$(FORKLIFT) save $* $(ARGS)

fork-%: $(MARK) ## set up forks/<Suite>: make fork-seg, or make fork-seg FROM=<local repository>
	@$(FORKLIFT) fork $* $(if $(FROM),--from $(FROM))

# packages that native checks and pages need; without them those checks end as errors that name them, the others still run
debian:
	@ci/debian-packages.sh || true

WITH_DEBIAN := $(shell grep -lE '^kind = "(native|app)"' patches/*/*/change.toml | sed -E 's|patches/([^/]+)/([^/]+)/.*|\1-\2|')
$(WITH_DEBIAN:%=pr-%) $(WITH_DEBIAN:%=check-%): debian

wheel-%: $(MARK) ## a wheel of the patched suite
	@$(FORKLIFT) wheel $* $(ARGS)

smoke-%: $(MARK) ## the wheel of a suite in a fresh environment, one thing of each change used: make smoke-seg
	@$(HARNESS)/bin/python -m wheels $*

site: $(MARK) ## the site in out/site: every document, change and figure, in English and Chinese
	@$(HARNESS)/bin/python -m website

drive-site: $(MARK) debian ## open the built site in Chromium: links, search, filter, sort, telephone width, axe
	@$(HARNESS)/bin/python -m website --drive

sweep-%: $(MARK) ## all rows of a change with models.toml
	@$(FORKLIFT) sweep $* $(ARGS)

test-all: lint test checks ## lint, harness tests, every change's checks
	@echo "test-all: good"

test: $(MARK) debian ## the harness's own tests
	@$(HARNESS)/bin/python -c 'import ray' 2> /dev/null || UV_SYSTEM_CERTS=1 $(HARNESS)/bin/uv pip install -q --require-hashes --python $(HARNESS)/bin/python -r ci/locks/ray.txt
	@$(HARNESS)/bin/python -m pytest -n auto ci/tests/unit ci/tests/roundtrip ci/tests/faults

checks: $(MARK) debian ## the helpers' tests in the suite's environment, and every change
	@$(FORKLIFT) self-test
	@$(FORKLIFT) test $(ARGS)

lint: $(MARK) ## ruff, mypy, import-linter, and the project's rules
	@$(HARNESS)/bin/ruff check -q ci patches && $(HARNESS)/bin/ruff format -q --check ci patches
	@$(HARNESS)/bin/mypy --no-error-summary
	@$(HARNESS)/bin/lint-imports --no-cache --config .importlinter > .cache/import-linter.log || { cat .cache/import-linter.log; exit 1; }
	@$(FORKLIFT) lint

format: $(MARK) ## rewrite the harness's code in its style
	@$(HARNESS)/bin/ruff check -q --fix ci patches; $(HARNESS)/bin/ruff format -q ci patches

list: $(MARK) ## what there is, and where each change stands
	@$(FORKLIFT) list

status: $(MARK) ## bring the READMEs' status tables up to date
	@$(FORKLIFT) status

doctor: $(MARK) ## what this machine has
	@$(FORKLIFT) doctor

clean: $(MARK) ## remove what Forklift made; opened work trees and other people's files stay
	@$(FORKLIFT) clean && rm -rf $(HARNESS)
