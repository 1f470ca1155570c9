# Images and the local cluster. CLUSTER names it, TAG the images; see cluster.sh for CLUSTER_TOOL.
.PHONY: images cluster-up load install cluster-down test-cluster

images: ## Build the two images (TAG=…, PYTHON_IMAGE=… picks another base)
	@images/build.sh

cluster-up: ## Create a kind cluster, or take the one there is
	@images/cluster.sh up

load: ## Copy the images into the cluster
	@images/cluster.sh load

install: ## Install the chart into the cluster (VALUES=… picks the values)
	@images/cluster.sh install

cluster-down: ## Delete the cluster with all data in it
	@images/cluster.sh down

test-cluster: $(READY) ## Everything on a new cluster (KEEP=1 takes one that is up, and leaves it)
	@TEST_CLUSTER=required exec $(BIN)/python -m pytest tests/cluster -p no:cacheprovider $(ARGS)
