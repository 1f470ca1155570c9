#!/usr/bin/env bash
# Build images, tagged TAG (default: the package's version): those named, by default streamflow/predict, streamflow/platform and
# streamflow/prefect. PYTHON_IMAGE sets another base image, JAVA another package of it with Java, DOCKER another client (podman works).
set -euo pipefail
cd "$(dirname "$0")/.."

docker=${DOCKER:-docker}
tag=${TAG:-$(sed -nE 's/^version = "(.*)"/\1/p' pyproject.toml | head -n 1)}
commit=${COMMIT:-$(git rev-parse HEAD 2>/dev/null || true)}
base=${PYTHON_IMAGE:-python:3.13-slim-trixie}

names=("$@")
[ $# -gt 0 ] || names=(predict platform prefect)
for name in "${names[@]}"; do
  java=()
  [ "$name" != spark ] || [ -z "${JAVA:-}" ] || java=(--build-arg "JAVA=$JAVA")
  "$docker" build --file "images/$name/Dockerfile" --tag "streamflow/$name:$tag" \
    --build-arg "PYTHON_IMAGE=$base" --build-arg "COMMIT=$commit" "${java[@]}" .
done
