"""Decide whether the answers of the migrated copy allow the upgrade."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from streamflow.monitoring.parity import Answer

_LISTED = 10


@dataclass(frozen=True)
class Verdict:
    """Result of `judge`.

    Attributes:
        asked: How many predictions the copy was asked for.
        refused: How many of them it refused.
        compared: How many answers were compared with those of the service in production.
        problems: Why the upgrade must not go on, one phrase each; empty if it may.
    """

    asked: int
    refused: int
    compared: int
    problems: tuple[str, ...]


def judge(copied: Mapping[str, Answer], present: Mapping[str, Answer] | None) -> Verdict:
    """Compare the answers of the copy with those of the service in production. Pure.

    The problems name requests, not entities, because they end in logs.

    Args:
        copied: The copy's answer for each entity.
        present: The present service's answer for each entity; None if it was not asked. An answer by another version than
            the copy's, such as one promoted since the backup, is not compared.
    """
    refused = sum(probability is None for _, probability, _ in copied.values())
    if present is None:
        mute = bool(copied) and refused == len(copied)
        problems = [f"the copy refused all {len(copied)} predictions"] if mute else []
        return Verdict(len(copied), refused, 0, tuple(problems))
    problems, compared = [], 0
    for entity, (version, probability, request) in copied.items():
        by, expected, _ = present[entity]
        if None not in (version, by) and version != by:
            continue
        compared += 1
        if probability != expected:
            problems.append(f"request {request}: the copy {_says(probability)}, production {_says(expected)}")
    if copied and not compared:
        problems.append(f"production answered none of {len(copied)} predictions with the version of the copy")
    more = len(problems) - _LISTED
    listed = problems[:_LISTED] + ([f"and {more} more"] if more > 0 else [])
    return Verdict(len(copied), refused, compared, tuple(listed))


def _says(probability: float | None) -> str:
    return "refuses" if probability is None else f"answers {probability}"
