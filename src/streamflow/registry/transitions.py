"""Which moves of a version are allowed, and what the audit trail says of the aliases. Pure.

A version goes None -> Staging -> Production, one step at a time; a rollback goes back to one that was in production.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol, TypeVar

from streamflow.errors import NotFound, PromotionConflict, Refused
from streamflow.model_version.aliases import (
    ALL_ALIASES,
    PRODUCTION,
    STAGING,
    PromotionAlias,
)
from streamflow.registry import actions

Targets = Mapping[str, int | None]
"""The version that each alias points at; None when it is unset."""


class Unchecked(enum.Enum):
    """The type of UNCHECKED."""

    UNCHECKED = enum.auto()


UNCHECKED: Final = Unchecked.UNCHECKED
"""The caller expects no particular version behind the alias."""

Expected = int | None | Unchecked
"""The version that a caller believes an alias points at (None: it is unset), or UNCHECKED."""


class Moved(Protocol):
    """What is read here of a row of the trail."""

    @property
    def alias(self) -> str:
        """The alias."""

    @property
    def from_version(self) -> int | None:
        """The version it pointed at before."""

    @property
    def to_version(self) -> int | None:
        """The version it points at since."""

    @property
    def action(self) -> str:
        """What was done."""

    @property
    def facts(self) -> dict[str, Any]:
        """What else was known."""

    @property
    def release(self) -> dict[str, Any]:
        """The release behind the alias since."""


def states(moves: Sequence[Moved], start: int) -> list[dict[str, int | None]]:
    """The ledger after its first `start` rows, and after each row since then.

    Args:
        moves: The trail, oldest row first.
        start: Number of rows that the first state knows.
    """
    return [recorded(moves[:count]) for count in range(start, len(moves) + 1)]


AnyMove = TypeVar("AnyMove", bound=Moved)


def check_expected(alias: str, current: int | None, expected: Expected) -> None:
    """Check that an alias still points at the version that the caller decided upon.

    Raises:
        PromotionConflict: It points at another one.
    """
    if not isinstance(expected, Unchecked) and expected != current:
        raise PromotionConflict(
            f"'{alias}' points at {named(current)}, not at {named(expected)} as expected: somebody else moved it.",
            hint="Look at 'streamflow models history', then decide again.",
        )


def check_step(targets: Targets, version: int, alias: PromotionAlias) -> None:
    """Check that a version may go to an alias from where it is.

    Raises:
        Refused: It is there already, or skips a step.
    """
    if targets[PRODUCTION] == version:
        raise Refused(f"Version {version} is in production already.", hint="Nothing was changed.")
    if alias == STAGING and targets[STAGING] == version:
        raise Refused(
            f"Version {version} is at staging already.",
            hint=f'Next: streamflow models promote {version} --to production --why "…"',
        )
    if alias == PRODUCTION and targets[STAGING] != version:
        raise Refused(
            f"Version {version} is not at staging; only what is at staging goes to production.",
            hint=f'First: streamflow models promote {version} --to staging --why "…"',
        )


def recorded(moves: Sequence[Moved]) -> dict[str, int | None]:
    """The version that each alias points at according to the trail, oldest row first."""
    state: dict[str, int | None] = dict.fromkeys(ALL_ALIASES)
    for move in moves:
        state[move.alias] = move.to_version
        # A version that reaches production leaves staging.
        if move.alias == PRODUCTION and state[STAGING] == move.to_version:
            state[STAGING] = None
    return state


def pause(moves: Sequence[AnyMove]) -> AnyMove | None:
    """The rollback or demotion since which scheduled trainings promote nothing; None when they may.

    Otherwise the next drop would bring back what somebody took away.

    Args:
        moves: The trail, oldest row first.
    """
    for move in reversed(moves):
        if move.action == actions.RESUME:
            return None
        if move.alias == PRODUCTION and move.action in (actions.ROLLBACK, actions.DEMOTE):
            return move
    return None


def previous(moves: Sequence[Moved], current: int | None) -> int | None:
    """The version before the current one: a promotion pushes onto a stack, a rollback pops.

    Args:
        moves: The trail of the alias, oldest row first.
        current: Version that the alias points at; an external change counts as pushed. When the alias is unset
            (None), the version that was there last comes back.
    """
    stack: list[int] = []
    for move in moves:
        if move.to_version is None or move.action == actions.ABANDON:
            continue
        if move.action in (actions.ROLLBACK, actions.REVERT) and move.to_version in stack:
            while stack[-1] != move.to_version:
                stack.pop()
        elif not stack or stack[-1] != move.to_version:
            stack.append(move.to_version)
    if current is None:
        return stack[-1] if stack else None
    if not stack or stack[-1] != current:
        stack.append(current)
    return stack[-2] if len(stack) > 1 else None


def rollback_target(moves: Sequence[Moved], current: int | None, to: int | None) -> int:
    """The version that a rollback goes back to.

    Args:
        moves: The trail of the alias, oldest row first.
        current: Version that the alias points at; None when it is unset.
        to: The version asked for; None: the one before the current one.

    Raises:
        NotFound: There is no earlier version.
        Refused: `to` is in production, or never was.
    """
    target = previous(moves, current) if to is None else to
    if target is None:
        raise NotFound(
            "There is no earlier version to roll back to.",
            hint="See 'streamflow models history'; promote a version with 'streamflow models promote'.",
        )
    if target == current:
        raise Refused(f"Version {target} is in production already.", hint="Nothing was changed.")
    if target not in {move.to_version for move in moves}:
        raise Refused(
            f"Version {target} was never in production, so there is nothing to roll back to.",
            hint=f"Promote it: streamflow models promote {target} --to staging --why …",
        )
    return target


def named(version: int | None) -> str:
    """A version in words."""
    return "no version" if version is None else f"version {version}"
