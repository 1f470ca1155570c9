"""Settings of a request for a promotion, which the job `promote` makes."""

from __future__ import annotations

from pydantic import Field

from streamflow.settings.section import Section


class RequestSettings(Section):
    """What one run of the job `promote` asks the registrar for; whoever starts the run says it."""

    version: int | None = None
    """Number of the version to promote."""
    to: str = ""
    """Where the version is to go, `staging` or `production`; empty takes `production`, which takes both steps."""
    why: str = ""
    """The reason, for the ledger."""
    by: str = ""
    """Who asks, as the ledger names them."""
    key: str = ""
    """Key of this request; the same key of the same asker never makes a second one, so a run can be repeated."""
    wait_seconds: float = Field(600.0, gt=0)
    """Longest wait for the registrar's answer, in seconds; the request stays open, and the same key finds it again."""
