"""The date up to which the inbox is ingested is a date and nothing else."""

from datetime import date

import pytest

from streamflow import settings
from streamflow.errors import UsageError


def test_it_is_read_from_the_environment(monkeypatch):
    monkeypatch.setenv("STREAMFLOW_INGEST__UNTIL", "2024-02-29")
    assert settings.load().ingest.until == date(2024, 2, 29)
    monkeypatch.setenv("STREAMFLOW_INGEST__UNTIL", "")
    assert settings.load().ingest.until is None


@pytest.mark.parametrize(
    "text", ["20240131", "2024-1-31", "31.01.2024", "2024-02-30", "2024-01-31T00:00:00", "now"]
)
def test_anything_else_is_refused(monkeypatch, text):
    monkeypatch.setenv("STREAMFLOW_INGEST__UNTIL", text)
    with pytest.raises(UsageError) as refused:
        settings.load()
    assert "STREAMFLOW_INGEST__UNTIL" in refused.value.details[0]
