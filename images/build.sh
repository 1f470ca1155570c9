#!/usr/bin/env bash
# Build the images streamflow/predict, streamflow/platform and streamflow/prefect, tagged TAG (default: the package's version).
# PYTHON_IMAGE sets another base image, DOCKER another client (podman works).
set -euo pipefail
cd "$(dirname "$0")/.."

docker=${DOCKER:-docker}
tag=${TAG:-$(sed -nE 's/^version = "(.*)"/\1/p' pyproject.toml | head -n 1)}
commit=${COMMIT:-$(git rev-parse HEAD 2>/dev/null || true)}
base=${PYTHON_IMAGE:-python:3.13-slim-trixie}

names=(streamflow/predict streamflow/platform streamflow/prefect)
for name in "${names[@]}"; do
  "$docker" build --file "images/${name#*/}/Dockerfile" --tag "$name:$tag" \
    --build-arg "PYTHON_IMAGE=$base" --build-arg "COMMIT=$commit" .
done
