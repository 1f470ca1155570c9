"""Print what each image adds to its base, and fail if that is more than it may be.

It asks Docker about the images that it is given, by default those of `make images`; TAG and DOCKER are those of build.sh.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

MOST_MB = {"predict": 150, "platform": 900, "prefect": 260, "spark": 1450}
"""Most megabytes that an image may add to its base image, by name."""
NAMES = ("predict", "platform", "prefect")
"""Images that `make images` builds."""

ROOT = Path(__file__).resolve().parents[1]
_FIRST_LABEL = "org.opencontainers.image.title"


def added(history: str) -> int:
    """Bytes that an image adds to its base: the steps since its first label. Pure.

    Args:
        history: What Docker prints about its steps, the newest first: bytes, a tab, the instruction.

    Raises:
        ValueError: The image has no such label.
    """
    total = 0
    for line in history.splitlines():
        size, _, instruction = line.partition("\t")
        total += int(size)
        if _FIRST_LABEL in instruction:
            return total
    raise ValueError(f"no step sets the label {_FIRST_LABEL}")


def main(names: Sequence[str] = NAMES) -> int:
    """Print the sizes; return 1 if one is too large.

    Args:
        names: Images to look at.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    tag, docker = os.environ.get("TAG") or project, os.environ.get("DOCKER") or "docker"
    code = 0
    for name in names:
        most = MOST_MB[name]
        image = f"streamflow/{name}:{tag}"
        command = [
            docker,
            "history",
            "--no-trunc",
            "--human=false",
            "--format={{.Size}}\t{{.CreatedBy}}",
            image,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"The size of {image} cannot be read: {done.stderr.strip()}")
        megabytes = added(done.stdout) / 1e6
        sys.stdout.write(f"{image}  {megabytes:.0f} MB beyond its base (at most {most})\n")
        if megabytes > most:
            sys.stderr.write(
                f"{image} is too large: see what images/trim.py could remove, or raise MOST_MB.\n"
            )
            code = 1
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or NAMES))
