"""Recipe of the job `ingest`: take the new drops out of the inbox."""

from __future__ import annotations

from streamflow.drops import object_store
from streamflow.drops.load import IngestOutcome
from streamflow.settings import Settings


def ingest(settings: Settings) -> list[IngestOutcome]:
    """Ingest every drop of the inbox that has not been taken, oldest first.

    Raises:
        DependencyDown: the object store does not answer.
        DropRefused: a drop cannot be taken; the others were.
    """
    return object_store.take_all(settings)
