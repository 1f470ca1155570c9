"""Settings of the lake: source tables as Parquet files, which Spark reads."""

from __future__ import annotations

from streamflow.settings.section import Section


class LakeSettings(Section):
    """Rows of drops as Parquet files, with `engine: spark`."""

    url: str = ""
    """Folder or object store URL (`s3://…`) of the rows; `engine: spark` requires it."""
