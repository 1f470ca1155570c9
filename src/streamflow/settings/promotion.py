"""Settings of promotions."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from streamflow.settings.section import Section


class PromotionSettings(Section):
    """Which versions may be promoted."""

    policy: Literal["automatic", "manual"] = "automatic"
    """Whether a scheduled training that passes the gate is promoted to production or waits in staging."""
    outside_moves: Literal["gate", "accept", "revert"] = "gate"
    """What happens to an alias or a stage that was moved in MLflow: it is judged by the gate, accepted or reverted.
    Either way it is recorded; versions that were not trained here are always refused."""
    look_seconds: float = Field(2.0, gt=0)
    """Interval between two looks of the registrar at MLflow, in seconds."""
    registrar_port: int = Field(9101, ge=1, le=65535)
    """TCP port of the registrar's metrics and health."""
    api_port: int = Field(9102, ge=1, le=65535)
    """TCP port at which the registrar takes requests for promotions over HTTP."""
    api_keys_file: Path | None = None
    """File of API keys of scope `promote`, with lines made by `streamflow keys new`; empty lets nobody ask there."""
    signing_key_file: Path | None = None
    """File with the private Ed25519 key (PEM) with which the registrar signs the newest row of the audit trail; empty
    signs nothing."""
    head_file: Path | None = None
    """File in which the registrar keeps a copy of the newest signed row, outside the databases."""
    head_config_map: str = ""
    """ConfigMap of the registrar's namespace in which it keeps that copy."""
    keep_releases: int = Field(10, ge=2)
    """Number of former production releases whose files stay in PostgreSQL, for rollbacks."""
    improvement: Literal["not_worse", "minimum"] = "not_worse"
    """Whether a challenger passes that is not worse than the champion (`not_worse_margin`) and was trained on a newer
    drop, or only one that is better by `min_improvement`. One that is better by that passes in either case."""
    not_worse_margin: float = Field(0.02, ge=0, le=1)
    """Largest AUC loss that counts as not worse: the 95 % interval of the difference on the same rows must lie above
    minus this."""
    min_improvement: float = Field(0.01, ge=0, le=1)
    """Minimum AUC gain over the champion on the same rows; the 95 % interval of the difference must lie above 0, too."""
    max_calibration_error: float = Field(0.05, ge=0, le=1)
    """Largest calibration error on the holdout: a version whose 95 % interval lies above it is refused, the first too."""
    calibration_tolerance: float = Field(0.02, ge=0, le=1)
    """Largest amount by which the calibration error may exceed the champion's."""
    slice_floor: float = Field(0.5, ge=0, le=1)
    """Minimum AUC in every slice that has enough rows."""
    slice_tolerance: float = Field(0.1, ge=0, le=1)
    """Largest amount by which a slice's AUC may fall below the champion's."""
    latency_budget_ms: float = Field(20.0, gt=0)
    """CPU time budget of one prediction by the model alone (99th percentile), in milliseconds. The check of a version
    refuses more than 50, so a larger budget has no effect."""
