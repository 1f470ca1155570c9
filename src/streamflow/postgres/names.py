"""Names of the schemas and fixed tables in StreamFlow's database, each defined once.

streamflow   ledger of drops, quarantine, promotions, scores, job runs
source       source tables: append-only, bitemporal (as_of, loaded_at)
features     the *_snapshots views that Feast reads
online       one wide table for each feature view, read by predict and Feast
feast        the Feast registry
monitoring   verdicts on the model in production
known_*      the views in `features`, limited to one known-at; a run creates and drops its own schema
"""

from __future__ import annotations

PLATFORM = "streamflow"
SOURCE = "source"
FEATURES = "features"
ONLINE = "online"
FEAST = "feast"
MONITORING = "monitoring"
SCHEMAS = (PLATFORM, SOURCE, FEATURES, ONLINE, FEAST, MONITORING)

KNOWN_PREFIX = "known_"
"""Prefix of the schemas whose views are limited to one known-at."""

MATERIALIZATIONS = "materializations"
"""Name of the only table in `online` that does not belong to a feature view."""

INCOMING = "__incoming"
"""End of the name of a table in `online` that has the rows of a view until a materialization by Spark has all of them."""


def quote(*parts: str) -> str:
    """Quote a dotted SQL identifier: quote(ONLINE, 'a b') == '"online"."a b"'."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


def literal(text: str) -> str:
    """Quote a SQL string: literal("it's") == "'it''s'"."""
    return "'" + text.replace("'", "''") + "'"
