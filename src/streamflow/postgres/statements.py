"""Load named SQL statements from a `.sql` file, which psql can run as well.

Each statement follows a line `-- name: NAME` and optional comment lines, and ends with a semicolon.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@cache
def load(file: Path) -> Mapping[str, str]:
    """Return the statements of a file by name, without comments and final semicolon.

    Args:
        file: Path of a `.sql` file.

    Raises:
        ValueError: The file defines a name twice, has a statement without a name, or one that does not end
            with its only semicolon.
    """
    before, *parts = _NAME.split(file.read_text(encoding="utf-8"))
    found: dict[str, str] = {}
    for name, body in zip(parts[::2], parts[1::2], strict=True):
        lines = [line for line in body.splitlines() if line.strip() and not line.lstrip().startswith("--")]
        statement = "\n".join(lines)
        if name in found:
            raise ValueError(f"{file.name} defines the statement '{name}' twice.")
        if not statement.endswith(";") or statement.count(";") != 1:
            raise ValueError(f"The statement '{name}' in {file.name} must end with its only semicolon.")
        found[name] = statement[:-1]
    if any(line.strip() and not line.startswith("--") for line in before.splitlines()):
        raise ValueError(f"{file.name} has a statement without a name.")
    return MappingProxyType(found)
