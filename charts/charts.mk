# The chart: generated files, and checks that need no cluster.
.PHONY: chart-docs chart-lint release

chart-docs: $(READY) ## Write the chart's schema, tables and copies of the jobs' files
	@$(BIN)/python charts/document.py

chart-lint: $(READY) ## Lint, render and check the chart, its alerts and its generated files
	@$(BIN)/python charts/document.py --check
	@exec $(BIN)/python -m pytest tests/chart -q

release: ## Package and sign the chart in dist/ (KEY=… names a GPG key), and push it (PUSH=oci://… names where to)
	@scripts/release
