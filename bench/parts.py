"""Run the measurements that start servers of their own, and ask Docker for the sizes of the images.

Each such module prints one JSON document. One that is absent or fails is reported, and stops no other measurement.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib import metadata, util
from typing import Any

from bench.measure import Figures

_IMAGES = ("predict", "platform")
_LONGEST_SECONDS = 300.0


def figures_of(module: str, users: int, longest: float = _LONGEST_SECONDS) -> Figures:
    """Run `python -m bench.MODULE --users N`; return what it prints, or `not_measured` with the reason.

    Args:
        module: Name of the module in this package.
        users: Number of users to measure with.
        longest: Seconds after which the measurement is given up.
    """
    if util.find_spec(f"bench.{module}") is None:
        return {"not_measured": f"there is no bench/{module}.py"}
    command = [sys.executable, "-m", f"bench.{module}", "--users", str(users)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=longest, check=False)
    except subprocess.TimeoutExpired:
        return {"not_measured": f"it did not end within {longest:.0f} s"}
    if done.returncode:
        return {"not_measured": (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]}
    try:
        figures: Figures = json.loads(done.stdout)
    except ValueError:
        return {"not_measured": "it did not print a JSON document"}
    return figures


def image_sizes() -> dict[str, Any]:
    """Megabytes of each image beyond the layers of its base, by name; None where Docker or the image is absent.

    `TAG` names the tag, by default the package's version, and `PYTHON_IMAGE` the base, as for `make images`.
    """
    tag = os.environ.get("TAG") or metadata.version("streamflow")
    base = _layers(os.environ.get("PYTHON_IMAGE", "python:3.13-slim-trixie"))
    sizes: dict[str, Any] = {}
    for name in _IMAGES:
        image = _layers(f"streamflow/{name}:{tag}")
        sizes[name] = None if base is None or image is None else round((image - base) / 1e6, 1)
    return sizes


def _layers(image: str) -> int | None:
    if shutil.which("docker") is None:
        return None
    command = ["docker", "image", "inspect", "--format", "{{.Size}}", image]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except subprocess.TimeoutExpired:
        return None
    return int(done.stdout) if done.returncode == 0 and done.stdout.strip().isdigit() else None
