"""Settings of the predict service."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from streamflow.settings.section import Section


class PredictSettings(Section):
    """Predict service."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(8000, ge=1, le=65535)
    """TCP port to listen on."""
    status_port: int | None = Field(None, ge=1, le=65535)
    """TCP port of `/metrics`, `/model` and `/docs`, and of further probes; empty serves all on `port`."""
    join_key: str = "user_id"
    """Name of the entity's key in requests; must equal the join key of the served model."""
    poll_seconds: float = Field(2.0, gt=0)
    """Interval between two checks for a newly promoted version, in seconds."""
    deadline_seconds: float = Field(2.0, gt=0)
    """Longest time of a request before it is answered with 503, in seconds."""
    max_queue: int = Field(1024, ge=1)
    """Number of requests that may wait for their batch; more are shed with 503 and Retry-After."""
    max_batch: int = Field(256, ge=1)
    """Largest number of entities in one feature read and inference call."""
    max_request_entities: int = Field(1000, ge=1)
    """Largest number of entities in one `/predict/batch` request; more are answered with 413."""
    pool_size: int = Field(4, ge=1)
    """Number of connections to PostgreSQL per process."""
    require_newest_as_of: bool = True
    """Whether to refuse features older than the newest as-of that was materialized for their view."""
    age_clock: Literal["newest_as_of", "wall"] = "newest_as_of"
    """What a feature's age is measured against: the newest materialized as-of, or the current time."""
    max_body_bytes: int = Field(1_048_576, ge=1024)
    """Largest request body, in bytes; a larger one is answered with 413."""
    max_connections: int = Field(512, ge=1)
    """Most client connections at a time; a further one is answered with 503 and closed."""
    receive_timeout_seconds: float = Field(10.0, gt=0)
    """Longest time for a request's headers, and again for its body, in seconds; a slower body is answered with 408."""
    log_share: float = Field(0.1, ge=0, le=1)
    """Share of answers written to the prediction log; 0 disables it."""
    log_retention_days: int = Field(30, ge=1)
    """Days that the prediction log is kept."""
    log_least_days: int = Field(7, ge=1)
    """Shortest time that PostgreSQL keeps the prediction log, in days; predict cannot shorten it. Set by `db prepare`."""
    canary_share: float = Field(0.1, ge=0, le=1)
    """Share of entities answered by the version behind the alias `canary`, if one is set."""
    api_keys_file: Path | None = None
    """File of API keys, with lines made by `streamflow keys new`; empty requires no key."""
    access_log: bool = False
    """Whether to log every request; otherwise only those answered with 5xx, and changed answers to probes."""
    drain_seconds: float = Field(5.0, ge=0)
    """Time to keep answering after SIGTERM, with `Connection: close`, in seconds."""

    @model_validator(mode="after")
    def _keeps_enough(self) -> PredictSettings:
        if self.log_retention_days < self.log_least_days:
            raise ValueError(
                f"log_retention_days={self.log_retention_days} is less than log_least_days={self.log_least_days}"
            )
        return self

    @property
    def url(self) -> str:
        """Base address of the service for a client on this machine."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "") else self.host  # noqa: S104
        return f"http://{host}:{self.port}"
