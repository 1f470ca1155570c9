"""Settings of Prefect, where a team conducts the jobs with it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from streamflow.settings.section import Section, text_of


class PrefectSettings(Section):
    """Prefect as the conductor of the jobs."""

    api_url: str = "http://127.0.0.1:4200/api"
    """URL of the API of Prefect's server."""
    server_port: int = Field(4200, ge=1, le=65535)
    """TCP port of the server that a local stack starts."""
    ui_url: str = ""
    """Address at which people open Prefect's pages; empty takes `api_url` without `/api`."""
    auth_file: Path | None = None
    """File with `user:password` of Prefect's server, if it asks for a login."""
    python: Path = Path(".venv-prefect/bin/python")
    """Interpreter of the environment with Prefect, which `make prefect` prepares; unused where Prefect is installed."""
    jobs_on: Literal["machine", "kubernetes"] = "machine"
    """Where the conductor runs jobs: as processes on its machine, or as Jobs from the CronJobs of its namespace."""
    jobs_folder: Path = Path("k8s-jobs")
    """Folder with the declarations of the jobs, whose `after` orders them; unused on Kubernetes."""
    job_python: Path = Path(".venv/bin/python")
    """Interpreter that runs jobs on this machine."""
    release: str = ""
    """Helm release whose jobs are conducted, if the namespace has several."""
    schedule: str = "0 1 * * *"
    """When the flow `streamflow-month` starts, as cron writes it, in UTC; empty for never."""
    status_port: int = Field(9103, ge=1, le=65535)
    """TCP port of the conductor's metrics."""
    webhook_file: Path | None = None
    """File with the URL that gets a POST when a run fails, an approval waits or a month is overdue; empty for none."""
    overdue_days: int = Field(35, ge=1)
    """Days without a new drop after which a month is overdue."""
    keep_days: int = Field(90, ge=1)
    """Days that the server of a local stack keeps flow runs and events."""
    poll_seconds: float = Field(2.0, gt=0)
    """Interval between two looks at a job that runs, in seconds."""

    @property
    def pages(self) -> str:
        """Address of Prefect's pages."""
        return self.ui_url.rstrip("/") or self.api_url.rstrip("/").removesuffix("/api")

    @property
    def webhook(self) -> str:
        """The URL of the webhook; empty without one."""
        return text_of(self.webhook_file, "STREAMFLOW_PREFECT__WEBHOOK_FILE") if self.webhook_file else ""

    @property
    def auth(self) -> str:
        """The login `user:password`; empty without one. The file is read each time."""
        return text_of(self.auth_file, "STREAMFLOW_PREFECT__AUTH_FILE") if self.auth_file else ""
