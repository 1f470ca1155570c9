"""Recipe of the job `ingest`: take the new drops out of the inbox."""

from __future__ import annotations

from streamflow.drops import object_store
from streamflow.postgres.job_results import IngestedDrop, IngestResult
from streamflow.settings import Settings


def ingest(settings: Settings) -> IngestResult:
    """Ingest every drop of the inbox that has not been taken, oldest first.

    Raises:
        DependencyDown: The object store does not answer.
        DropRefused: A drop cannot be taken; the others were.
    """
    return IngestResult(
        tuple(
            IngestedDrop(
                drop_id=outcome.drop_id,
                as_of=outcome.as_of,
                changed=outcome.changed,
                loaded_at=outcome.loaded_at,
                accepted=outcome.accepted,
                quarantined=outcome.quarantined,
            )
            for outcome in object_store.take_all(settings)
        )
    )
