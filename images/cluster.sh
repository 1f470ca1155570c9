#!/usr/bin/env bash
# The local cluster: up, load, install, test. With CLUSTER_TOOL (a script that makes a cluster where no registry can be
# reached) or with kind from PATH.
set -euo pipefail
cd "$(dirname "$0")/.."

tool=${CLUSTER_TOOL-$(ls ../shared/cluster/cluster 2>/dev/null || true)}
cluster=${CLUSTER:-streamflow}
namespace=${NAMESPACE:-streamflow}
release=${RELEASE:-streamflow}
tag=${TAG:-$(sed -nE 's/^version = "(.*)"/\1/p' pyproject.toml | head -n 1)}

environment() { [ -z "$tool" ] || eval "$("$tool" env "$cluster")"; }

case ${1:-} in
up)
  if [ -n "$tool" ]; then "$tool" up "$cluster"
  else kind get clusters | grep -qx "$cluster" || kind create cluster --name "$cluster"; fi
  ;;
load)
  read -ra images <<<"${IMAGES:-streamflow/predict:$tag streamflow/platform:$tag}"
  if [ -n "$tool" ]; then CLUSTER=$cluster "$tool" load "${images[@]}" postgres:17
  else kind load docker-image --name "$cluster" "${images[@]}"; fi
  ;;
install)
  environment
  kubectl create namespace "$namespace" --dry-run=client -o yaml | kubectl apply -f - >/dev/null
  kubectl label --overwrite namespace "$namespace" pod-security.kubernetes.io/enforce=restricted >/dev/null
  helm upgrade --install "$release" charts/streamflow --namespace "$namespace" \
    --values "${VALUES:-charts/streamflow/ci/small.yaml}" \
    --set "images.predict.tag=$tag,images.platform.tag=$tag" --wait --wait-for-jobs --timeout 20m
  ;;
test)
  "$0" up
  TAG=$tag images/build.sh
  "$0" load
  environment
  .venv/bin/python -m pytest tests/cluster -p no:cacheprovider ${KEEP:+--keep}
  ;;
*) echo "usage: images/cluster.sh up|load|install|test" >&2; exit 2 ;;
esac
