"""Read whom the job `erase` is asked to erase, from a mounted Secret: no command line and no object names a person."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from streamflow.erasure.acts import Asked
from streamflow.errors import UsageError


@dataclass(frozen=True)
class Order:
    """An order to erase a person.

    Attributes:
        entity: The person's key.
        asked: Why, and for whom.
    """

    entity: str
    asked: Asked


def read(file: Path | None) -> Order | None:
    """Read an order; None if there is none.

    Raises:
        UsageError: The file is no order. The message does not quote it.
    """
    if file is None or not file.is_file():
        return None
    hint = 'Write {"user_id": …, "why": …, "by": …}, and "request" if there is one.'
    try:
        given = json.loads(file.read_text(encoding="utf-8"))
        texts = {name: given[name] for name in ("user_id", "why", "by")} | {
            "request": given.get("request", "")
        }
        more = set(given) - texts.keys()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(f"{file} does not say whom to erase, and why.", hint=hint) from None
    if more or not all(isinstance(text, str) for text in texts.values()):
        raise UsageError(
            f"{file} has other fields than an order to erase has, or no texts in them.", hint=hint
        )
    return Order(texts["user_id"], Asked(texts["why"], texts["by"], texts["request"]))
