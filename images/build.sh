#!/usr/bin/env bash
# Build both images: streamflow/predict and streamflow/platform, tagged TAG (default: the package's version).
# PYTHON_IMAGE sets another base image, DOCKER another client (podman works).
set -euo pipefail
cd "$(dirname "$0")/.."

docker=${DOCKER:-docker}
tag=${TAG:-$(sed -nE 's/^version = "(.*)"/\1/p' pyproject.toml | head -n 1)}
commit=${COMMIT:-$(git rev-parse HEAD 2>/dev/null || true)}
base=${PYTHON_IMAGE:-python:3.13-slim-trixie}

for name in predict platform; do
  "$docker" build --file "images/$name/Dockerfile" --tag "streamflow/$name:$tag" \
    --build-arg "PYTHON_IMAGE=$base" --build-arg "COMMIT=$commit" .
done
"$docker" image inspect --format '{{index .RepoTags 0}} {{.Size}}' "streamflow/predict:$tag" "streamflow/platform:$tag" |
  awk '{printf "%s  %.0f MB\n", $1, $2 / 1e6}'
