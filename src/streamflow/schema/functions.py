"""Which role may call which of the platform's functions, and the SQL that grants it.

These functions write, as the owner of the platform's tables, what no role may write itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Set

from streamflow.postgres.names import PLATFORM, quote

_PROMOTERS = ("train", "registrar", "promote")
_READERS_OF_THE_PAST = (*_PROMOTERS, "score")

CALLERS: Mapping[str, tuple[str, ...]] = {
    "append_promotion": _PROMOTERS,
    "open_known": _READERS_OF_THE_PAST,
    "close_known": _READERS_OF_THE_PAST,
}
"""The roles that may call each function, besides the owner; functions that are not here check their caller themselves."""


def function_statements(role: Callable[[str], str], others: Iterable[str], existing: Set[str]) -> list[str]:
    """Return SQL that sets who may call the functions to exactly those in CALLERS. Pure.

    Args:
        role: Returns a role's quoted, prefixed name.
        others: Names of all roles but the owner.
        existing: Functions of the schema `streamflow`.
    """
    statements = []
    for name in sorted(CALLERS.keys() & existing):
        function = quote(PLATFORM, name)
        # A restore leaves privileges out, and everybody may call a new function.
        nobody = ", ".join(["PUBLIC", *(role(other) for other in others)])
        callers = ", ".join(role(caller) for caller in CALLERS[name])
        statements += [
            f"REVOKE ALL ON FUNCTION {function} FROM {nobody}",
            f"GRANT EXECUTE ON FUNCTION {function} TO {callers}",
        ]
    return statements
