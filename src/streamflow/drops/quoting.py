"""Quote names and values from drops in messages: cut to a length, with control characters made visible."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from streamflow.drops import limits


def shown(text: str, most: int = limits.SHOWN_CHARACTERS) -> str:
    """Return at most `most` characters of a text, all printable.

    Line breaks, terminal sequences, marks that reverse the direction of text, and bytes of a file name that are
    not UTF-8 appear as their escapes in Python.
    """
    visible = "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text[:most]
    )
    return visible if len(visible) <= most and len(text) <= most else visible[: most - 1] + "…"


def shown_path(path: Path) -> str:
    """Return a path as a message or the ledger quotes it."""
    return shown(str(path), limits.SHOWN_PATH_CHARACTERS)


def shown_names(names: Sequence[str]) -> str:
    """Join the first names with commas, and say how many more there are."""
    first = ", ".join(shown(name) or "(no name)" for name in names[: limits.SHOWN_NAMES])
    more = len(names) - limits.SHOWN_NAMES
    return f"{first} and {more:,} more" if more > 0 else first
