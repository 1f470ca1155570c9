# Images and the local cluster. CLUSTER names it, TAG the images; see cluster.sh for CLUSTER_TOOL.
.PHONY: images image-spark cluster-up load install cluster-down test-cluster test-cluster-spark

images: $(READY) ## Build the three images (TAG=…, PYTHON_IMAGE=… sets another base image), check their sizes, and list their components in dist/
	@images/build.sh
	@$(BIN)/python images/sizes.py
	@$(BIN)/python images/sbom.py

image-spark: $(READY) ## Build the image of Spark's drivers and executors, for installs with engine: spark (JAVA=… names another package with Java)
	@images/build.sh spark
	@$(BIN)/python images/sizes.py spark
	@$(BIN)/python images/sbom.py spark

cluster-up: ## Create a kind cluster, or use the existing one
	@images/cluster.sh up

load: ## Copy the images into the cluster
	@images/cluster.sh load

install: ## Install the chart into the cluster (VALUES=… sets the values file)
	@images/cluster.sh install

cluster-down: ## Delete the cluster with all data in it
	@images/cluster.sh down

test-cluster: $(READY) ## Run the cluster tests on a new cluster (KEEP=1 uses a running one, and leaves it running)
	@TEST_CLUSTER=required exec $(BIN)/python -m pytest tests/cluster -p no:cacheprovider $(ARGS)

test-cluster-spark: $(READY) ## A driver and two executors of Spark as pods, compared with PostgreSQL (KEEP=1 as above; half an hour)
	@TEST_CLUSTER=required exec $(BIN)/python -m pytest tests/cluster/test_cluster_spark.py -p no:cacheprovider $(ARGS)
