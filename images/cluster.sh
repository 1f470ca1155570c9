#!/usr/bin/env bash
# Local cluster: up, load, install, env, down. CLUSTER_TOOL (a script with `up`, `load`, `env` and `down`, for machines
# that cannot reach an image registry) creates it, else kind from PATH; without both, kubectl's current context is used.
# Exits with 4 if this machine cannot run a cluster.
set -euo pipefail
cd "$(dirname "$0")/.."

tool=${CLUSTER_TOOL-$(ls ../shared/cluster/cluster 2>/dev/null || true)}
cluster=${CLUSTER:-streamflow}
namespace=${NAMESPACE:-streamflow}
release=${RELEASE:-streamflow}
tag=${TAG:-$(sed -nE 's/^version = "(.*)"/\1/p' pyproject.toml | head -n 1)}
images=("streamflow/predict:$tag" "streamflow/platform:$tag")
# Only installs with prefect.enabled, or with engine: spark, need these.
for name in prefect spark; do
  docker image inspect "streamflow/$name:$tag" >/dev/null 2>&1 && images+=("streamflow/$name:$tag")
done

impossible() { echo "Cannot create a cluster on this machine: $*" >&2; exit 4; }

up() {
  if [ -n "$tool" ]; then
    [ "$(id -u)" = 0 ] || impossible "$tool needs root, and this is $(id -un)."
    "$tool" up "$cluster" >/dev/null && return
    docker version >/dev/null 2>&1 || impossible 'Docker does not run (see above); it needs a privileged machine.'
    return 1
  elif command -v kind >/dev/null; then
    docker version >/dev/null 2>&1 || impossible 'Docker does not answer, and kind needs it.'
    kind get clusters 2>/dev/null | grep -qx "$cluster" || kind create cluster --name "$cluster" --wait 180s \
      ${KIND_CONFIG:+--config "$KIND_CONFIG"}
    # kind does not include metrics-server, without which the autoscaler does nothing.
    kubectl get --raw /apis/metrics.k8s.io >/dev/null 2>&1 ||
      echo 'The cluster has no metrics-server: install it to see the autoscaler work.' >&2
  else
    kubectl get --raw /readyz >/dev/null 2>&1 ||
      impossible 'kind is not on PATH, and kubectl cannot reach a cluster.'
  fi
}

load() {
  if [ -n "$tool" ]; then CLUSTER=$cluster "$tool" load "${images[@]}" postgres:17 "$@"
  elif command -v kind >/dev/null; then kind load docker-image --name "$cluster" "${images[@]}"
  else echo "Push ${images[*]} to a registry that your cluster can pull from (docs/kubernetes.md, Images), and set global.imageRegistry." >&2; fi
}

# Shell code that points kubectl and helm at the cluster.
environment() {
  if [ -n "$tool" ]; then "$tool" env "$cluster"; fi
}

install() {
  eval "$(environment)"
  kubectl create namespace "$namespace" --dry-run=client -o yaml | kubectl apply -f - >/dev/null
  kubectl label --overwrite namespace "$namespace" pod-security.kubernetes.io/enforce=restricted >/dev/null
  helm upgrade --install "$release" charts/streamflow --namespace "$namespace" \
    --values "${VALUES:-charts/streamflow/ci/small.yaml}" \
    --set "images.predict.tag=$tag,images.platform.tag=$tag,images.prefect.tag=$tag,images.spark.tag=$tag" --wait --timeout 20m
}

down() {
  if [ -n "$tool" ]; then "$tool" down "$cluster"
  elif command -v kind >/dev/null; then kind delete cluster --name "$cluster"
  else echo 'This script did not create the cluster, so it does not delete it.' >&2; fi
}

case ${1:-} in
up | load | install | down) "$@" ;;
env) environment ;;
*) echo "usage: images/cluster.sh up|load [IMAGE…]|install|env|down" >&2; exit 2 ;;
esac
