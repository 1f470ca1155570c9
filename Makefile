# What a developer runs. `make` alone lists it.
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
LOCKS := requirements/uv.txt requirements/dev.txt

.DEFAULT_GOAL := help
.PHONY: help setup prefect spark demo test test-spark test-rows test-upgrade drift-histories harm-histories coverage mutants faults fuzz api-cases feast-tests lint findings figures format reference licences lock bench bench-curve bench-rows bench-cluster clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## Prepare .venv with everything pinned (PYTHON=… picks the interpreter)

# A stamp, so that nothing is asked of the network while the locks stay as they are.
$(READY): $(LOCKS) pyproject.toml scripts/setup
	@VENV=$(VENV) scripts/setup

prefect: .venv-prefect/.ready ## Prepare .venv-prefect, with Prefect and what conducts the jobs

.venv-prefect/.ready: requirements/prefect.txt scripts/prefect | $(READY)
	@scripts/prefect

spark: .venv-spark/.ready ## Prepare .venv-spark, with Spark for `engine: spark` (needs Java 17 or later)

.venv-spark/.ready: requirements/spark.txt scripts/spark | $(READY)
	@scripts/spark

test-spark: spark ## The tests that run Spark (ARGS=… goes to pytest)
	@exec $(BIN)/python -m pytest -p no:cacheprovider $(or $(ARGS),tests/spark tests/feature_store_kit)

demo: $(READY) $(if $(filter-out 0,$(PREFECT)),prefect) ## The whole way of the data (DATA=DIR takes your own drops, ONCE=1 ends after the answers, PREFECT=1 adds Prefect)
	@exec $(BIN)/streamflow demo $(if $(filter-out 0,$(PREFECT)),--prefect) $(if $(DATA),--data "$(DATA)") $(if $(filter-out 0,$(ONCE)),--once)

test: $(READY) ## The whole suite that needs no cluster (ARGS=… goes to pytest)
	@exec $(BIN)/python -m pytest $(ARGS)

test-rows: $(READY) ## Ingest five million rows, and compare two months of a million users: seconds and memory (some minutes)
	@TEST_ROWS=1 exec $(BIN)/python -m pytest -p no:cacheprovider -s tests/integration/test_ingest_of_many_rows.py \
	tests/integration/test_drift_of_many_rows.py $(ARGS)

test-upgrade: $(READY) ## Upgrade a stack of an earlier version while it serves (a few minutes; needs the whole history)
	@exec $(BIN)/python -m pytest -p no:cacheprovider tests/e2e/test_upgrade_from_an_earlier_version.py $(ARGS)

drift-histories: $(READY) ## 1,000 histories without drift, of two years: how many ever say drifted (DRIFT_HISTORIES=… for another number; an hour)
	@DRIFT_HISTORIES=$(or $(DRIFT_HISTORIES),1000) OPENBLAS_NUM_THREADS=1 exec $(BIN)/python -m pytest -p no:cacheprovider -s \
	tests/unit/monitoring/test_drift_histories.py -k history_in_twenty $(ARGS)

harm-histories: $(READY) ## 24 histories of which 12 do harm, with a logistic regression and a forest (a few minutes)
	@HARM_HISTORIES=12 OPENBLAS_NUM_THREADS=1 exec $(BIN)/python -m pytest -p no:cacheprovider -s \
	tests/unit/monitoring/test_harm_of_forests.py $(ARGS)

coverage: $(READY) ## Branch coverage of unit, integration and end-to-end tests and of the processes they start (ARGS=… picks tests)
	@rm -f .coverage .coverage.*
	@exec $(BIN)/python -m pytest -p no:cacheprovider --cov --cov-report=term $(or $(ARGS),tests/unit tests/integration tests/e2e) $(if $(ARGS),--cov-fail-under=0)

mutants: $(READY) ## Mutate the modules that decide and count what the unit tests notice (ARGS=… picks mutants)
	@rm -rf mutants
	@$(BIN)/mutmut run $(ARGS)
	@$(BIN)/mutmut results | grep -v "not checked" || true

faults: $(READY) ## The fault matrix on a cluster and a laptop, a verdict a fault (ONLY=F1,F7 picks faults; up to two hours)
	@mkdir -p build && rm -rf build/verdicts.jsonl build/faults
	@ONLY=$(ONLY) VERDICTS=build/verdicts.jsonl KIND_CONFIG=$(or $(KIND_CONFIG),$(CURDIR)/tests/cluster/three_nodes.yaml) \
	TEST_CLUSTER=required TEST_ROWS=1 $(BIN)/python -m pytest -p no:cacheprovider -m fault $(ARGS); \
	code=$$?; [ ! -f build/verdicts.jsonl ] || $(BIN)/python scripts/faults build/verdicts.jsonl; exit $$code

api-cases: $(READY) ## 10,000 generated requests to predict, with every check of schemathesis (API_CASES=… for another number; half an hour)
	@API_CASES=$(or $(API_CASES),10000) exec $(BIN)/python -m pytest -p no:cacheprovider -s --timeout 7200 \
	tests/integration/predict/test_predict_protocols.py -k generated

feast-tests: $(READY) ## Feast's own tests of online stores against ours (FEAST=DIR takes a clone of Feast; a few minutes)
	@exec $(BIN)/python scripts/feast_conformance $(FEAST) $(ARGS)

lint: $(READY) ## Style, types, import layers, bandit, secrets, workflows
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/findings
	$(BIN)/zizmor --offline --quiet --no-progress --persona=auditor .github

findings: $(READY) ## Accept what bandit and detect-secrets find now, after a review (scripts/findings.json)
	@$(BIN)/python scripts/findings --write

figures: $(READY) ## Lengths, parameters, comments, docstrings, tests to code
	@$(BIN)/python scripts/figures

format: $(READY) ## Rewrite the code in the project's style
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

reference: $(READY) ## Write docs/reference: commands, settings, metrics, Python functions
	@$(BIN)/python scripts/reference

licences: $(READY) ## Write docs/licences.md: the licence of each pinned package, all of them allowed
	@$(BIN)/python scripts/licences

lock: $(READY) ## Resolve pyproject.toml into the hashed locks (UPGRADE=1 takes newer versions)
	@scripts/lock $(if $(filter-out 0,$(UPGRADE)),--upgrade)

bench: $(READY) ## Measure each part against what it stands on and what it replaces (under 10 minutes)
	@exec $(BIN)/python -m bench

bench-curve: $(READY) ## Requests a second and p99 over clients and users, drawn into docs/performance.svg
	@exec $(BIN)/python -m bench.curve

bench-rows: $(READY) ## Ingest, materialize, train and score up to ten million users: seconds, CPU, memory (ROWS="100000 300000" for fewer, STEPS="ingest score"; hours)
	@exec $(BIN)/python -m bench.rows $(if $(ROWS),--users $(ROWS)) $(if $(STEPS),--steps $(STEPS))

bench-cluster: $(READY) ## Requests a second and latency of 1, 2 and 4 predict pods behind their Service, asked by another pod
	@TEST_CLUSTER=required $(BIN)/python -m pytest -p no:cacheprovider -s tests/cluster/test_cluster_load.py -k curve $(ARGS)

include charts/charts.mk
include images/images.mk

clean: ## Remove .venv and caches; data of the local stack stays
	rm -rf $(VENV) mutants .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist
	find src tests feature_repo -name __pycache__ -type d -prune -exec rm -rf {} +
