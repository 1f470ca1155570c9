"""Which moves of a version are allowed, and what a history amounts to. Pure.

A version goes None -> Staging -> Production, one step at a time; a rollback goes back to what was in production.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from streamflow.errors import PromotionConflict, Refused
from streamflow.model_version.aliases import ALL_ALIASES, PRODUCTION, STAGING, TRIAL_ALIASES, PromotionAlias

ANY = -1
"""Expected version that stands for "whatever is there"."""

Aliases = Mapping[str, int | None]
"""The version behind each alias."""


class Moved(Protocol):
    """What of a row of the history is looked at here."""

    @property
    def alias(self) -> str:
        """Which alias."""

    @property
    def from_version(self) -> int | None:
        """Where it pointed."""

    @property
    def to_version(self) -> int | None:
        """Where it points since."""

    @property
    def action(self) -> str:
        """What was done."""

    @property
    def facts(self) -> dict[str, Any]:
        """What else was known."""


def check_expected(alias: str, current: int | None, expected: int | None) -> None:
    """Raise PromotionConflict when the alias points elsewhere than the caller believes."""
    if expected not in (ANY, current):
        raise PromotionConflict(
            f"'{alias}' points at {named(current)}, not at {named(expected)} as expected: somebody else moved it.",
            hint="Look at 'streamflow models history', then decide again.",
        )


def check_step(aliases: Aliases, version: int, alias: PromotionAlias) -> None:
    """Raise Refused when the version may not go to that alias from where it is."""
    if aliases[PRODUCTION] == version:
        raise Refused(f"Version {version} is in production already.", hint="Nothing was changed.")
    if alias == STAGING and aliases[STAGING] == version:
        raise Refused(
            f"Version {version} is at staging already.",
            hint=f'Next: streamflow models promote {version} --to production --why "…"',
        )
    if alias == PRODUCTION and aliases[STAGING] != version:
        raise Refused(
            f"Version {version} is not at staging; only what is at staging goes to production.",
            hint=f'First: streamflow models promote {version} --to staging --why "…"',
        )


def recorded(moves: Sequence[Moved]) -> dict[str, int | None]:
    """Where the aliases point by the history, oldest row first."""
    state: dict[str, int | None] = dict.fromkeys(ALL_ALIASES)
    for move in moves:
        state[move.alias] = move.to_version
        # A version that reaches production leaves staging.
        if move.alias == PRODUCTION and state[STAGING] == move.to_version:
            state[STAGING] = None
    return state


TAKE_BACK = "take_back_to"
"""Fact of an outside move that is to be taken back: where the alias is to point again."""


def to_take_back(moves: Sequence[Moved], alias: str) -> Moved | None:
    """The outside move of an alias that was to be taken back and was not yet; an attempt may have been abandoned."""
    newest = next(
        (move for move in reversed(moves) if move.alias == alias and move.action != "abandon"), None
    )
    return newest if newest is not None and newest.action == "outside" and TAKE_BACK in newest.facts else None


def overtaken(moves: Sequence[Moved]) -> dict[str, int]:
    """Trials, by alias, whose version came into production or left it since they began; oldest row first."""
    state: dict[str, int | None] = dict.fromkeys(ALL_ALIASES)
    over: set[str] = set()
    for move in moves:
        if move.action == "abandon":
            continue
        state[move.alias] = move.to_version
        if move.alias in TRIAL_ALIASES:
            over.discard(move.alias)
        elif move.alias == PRODUCTION and move.from_version != move.to_version:
            ends = {move.from_version, move.to_version}
            over |= {alias for alias in TRIAL_ALIASES if state[alias] in ends}
    # One that was pointed at production in MLflow itself compares nothing.
    over |= {alias for alias in TRIAL_ALIASES if state[alias] == state[PRODUCTION]}
    return {alias: version for alias in sorted(over) if (version := state[alias]) is not None}


def previous(moves: Sequence[Moved], current: int | None) -> int | None:
    """The version behind the current one: promotions push, rollbacks pop.

    Args:
        moves: The alias' history, oldest first.
        current: Version the alias points at; a move made past us counts as pushed. None: it was unset, so what was
            there last comes back.
    """
    stack: list[int] = []
    for move in moves:
        if move.to_version is None or move.action == "abandon":
            continue
        if move.action in ("rollback", "revert") and move.to_version in stack:
            while stack[-1] != move.to_version:
                stack.pop()
        elif not stack or stack[-1] != move.to_version:
            stack.append(move.to_version)
    if current is None:
        return stack[-1] if stack else None
    if not stack or stack[-1] != current:
        stack.append(current)
    return stack[-2] if len(stack) > 1 else None


def named(version: int | None) -> str:
    """A version in words."""
    return "no version" if version is None else f"version {version}"
