"""Verify a hash chain: each row holds the hash of the one before it, so a change or a removal shows."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

GENESIS = "0" * 64
"""The previous hash of the first row."""


@dataclass(frozen=True)
class Link:
    """One row of a chain.

    Attributes:
        number: Position of the row; the first is 1.
        texts: The fields that are hashed, as text.
        previous_hash: Hash of the row before, as this one states it.
        hash: Hash of this row, as it states it.
    """

    number: int
    texts: tuple[str | None, ...]
    previous_hash: str
    hash: str


def link_hash(link: Link) -> str:
    """SHA-256 over the hash before the row and its fields, each preceded by its length. Pure."""
    fields = (
        "-" if text is None else f"{len(text.encode())}:{text}" for text in (link.previous_hash, *link.texts)
    )
    return hashlib.sha256(",".join(fields).encode()).hexdigest()


def broken(links: Sequence[Link], row: str = "Row") -> tuple[str, ...]:
    """What is wrong with a chain, a sentence each; empty when it holds. Pure.

    Args:
        links: The chain, oldest row first.
        row: What a row is called, at the beginning of a sentence.
    """
    problems = []
    before = GENESIS
    for number, link in enumerate(links, start=1):
        if link.number != number:
            problems.append(f"{row} {number} is missing; {row.lower()} {link.number} is in its place.")
            break
        if link.previous_hash != before:
            problems.append(f"{row} {number} does not follow from {row.lower()} {number - 1}.")
        if link_hash(link) != link.hash:
            problems.append(f"{row} {number} was changed after it was written.")
        before = link.hash
    return tuple(problems)
