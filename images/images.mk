# Images and the local cluster. CLUSTER_TOOL is a script with `up`, `load`, `env` (see docs); without it, kind is used.
CLUSTER_TOOL ?= $(wildcard ../shared/cluster/cluster)
CLUSTER ?= streamflow
TAG ?= $(shell sed -nE 's/^version = "(.*)"/\1/p' pyproject.toml | head -n 1)
NAMESPACE ?= streamflow
RELEASE ?= streamflow
VALUES ?= charts/streamflow/ci/small.yaml
IMAGES = streamflow/predict:$(TAG) streamflow/platform:$(TAG)

.PHONY: images cluster-up load install test-cluster

images: ## Build the two images (PYTHON_IMAGE=… picks another base)
	@TAG=$(TAG) images/build.sh

cluster-up: ## Create a kind cluster, or start the one there is
	@images/cluster.sh up

load: ## Copy the images into the cluster
	@IMAGES="$(IMAGES)" images/cluster.sh load

install: ## Install the chart into the cluster (VALUES=… picks the values)
	@TAG=$(TAG) NAMESPACE=$(NAMESPACE) RELEASE=$(RELEASE) VALUES=$(VALUES) images/cluster.sh install

test-cluster: ## Everything that needs a cluster (KEEP=1 leaves it up)
	@TAG=$(TAG) images/cluster.sh test
