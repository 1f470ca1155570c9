"""Names of the schemas and fixed tables of the platform's database, each once.

streamflow   ledger of drops, quarantine, promotions, scores, job runs
source       source tables, append-only, bitemporal (as_of, loaded_at)
features     the *_snapshots views that Feast reads
online       one wide table per feature view, which predict and Feast read
feast        Feast's registry
known_*      the same views as in `features`, filtered at one known-at; they live as long as a run
"""

from __future__ import annotations

PLATFORM = "streamflow"
SOURCE = "source"
FEATURES = "features"
ONLINE = "online"
FEAST = "feast"
SCHEMAS = (PLATFORM, SOURCE, FEATURES, ONLINE, FEAST)

KNOWN_PREFIX = "known_"
"""Prefix of the schemas whose views end at one known-at."""

MATERIALIZATIONS = "materializations"
"""The one table in `online` that belongs to no feature view."""


def quote(*parts: str) -> str:
    """Dotted, quoted SQL identifier: quote(ONLINE, 'a b') == '"online"."a b"'."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


def literal(text: str) -> str:
    """Quoted SQL string: literal("it's") == "'it''s'"."""
    return "'" + text.replace("'", "''") + "'"
