"""Settings of the ingest of drops."""

from __future__ import annotations

import re
from datetime import date

from pydantic import Field, field_validator

from streamflow.settings.section import Section


class IngestSettings(Section):
    """How drops are read and checked."""

    max_bad_share: float = Field(0.05, ge=0, le=1)
    """Largest share of quarantined rows in a file; above it the whole drop is refused."""
    chunk_rows: int = Field(50_000, ge=100)
    """Most rows read, checked and copied at a time, fewer if they are wide or long; bounds memory use."""
    max_file_bytes: int = Field(8 * 1024**3, ge=1)
    """Largest CSV file of a drop, in bytes; a drop with a larger one is refused before the file is read."""
    max_fetch_bytes: int = Field(768 * 1024**2, ge=1)
    """Most bytes of a drop to copy from an object store; they must fit into the temporary folder (`tmpSize`)."""
    inbox: str = "drops"
    """Folder or object store URL (`s3://…`) in which drops arrive, one folder per exact date: `2024-01-31/*.csv`."""
    until: date | None = None
    """Newest as-of to ingest from the inbox; later drops wait there. Empty ingests all."""

    @field_validator("until", mode="before")
    @classmethod
    def _is_a_date(cls, value: object) -> object:
        if value == "":
            return None
        # Pydantic would take 20240131 for a number of seconds since 1970.
        if isinstance(value, str) and not re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
            raise ValueError("write the date like 2024-01-31")
        return value
