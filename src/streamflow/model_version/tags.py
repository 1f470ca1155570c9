"""Names of the tags on runs, model versions and the registered model.

Other modules use these constants and never spell a name themselves.
"""

from __future__ import annotations

from collections.abc import Mapping

PREFIX = "streamflow."
"""Every tag of StreamFlow begins with it; MLflow and people may set others."""

MANIFEST_SHA256 = "streamflow.manifest_sha256"
"""SHA-256 of the model version's manifest, which pins every file of the version."""

FINGERPRINT = "streamflow.fingerprint"
ESTIMATOR = "streamflow.estimator"
AS_OF = "streamflow.as_of"
AUC = "streamflow.auc"
"""AUC on the holdout."""

GATE = "streamflow.gate"
"""Latest verdict of the gate on the model version."""

GATE_REPORT = "streamflow.gate_report"

REPORT_SHA256 = "streamflow.report_sha256"
"""On a run that keeps the report of a month: SHA-256 of the report."""

AUDIT = "streamflow.audit"
"""On the registered model: newest row of the audit trail and its hash.

MLflow's copy makes it possible to detect that rows at the end of the trail were deleted.
"""

CODE_DIGEST = "streamflow.code.digest"
CODE_FEATURE_REPO_DIGEST = "streamflow.code.feature_repo_digest"
CODE_COMMIT = "streamflow.code.commit"
CODE_DIRTY = "streamflow.code.dirty"
"""Whether the checkout had uncommitted changes: "true", "false", or "" outside a checkout."""

ENV_LOCK = "streamflow.env.lock"
"""SHA-256 of the lock file."""

ENV_IMAGE = "streamflow.env.image"
ENV_PYTHON = "streamflow.env.python"
ENV_PLATFORM = "streamflow.env.platform"
ENV_BLAS = "streamflow.env.blas"
ENV_CPUS = "streamflow.env.cpus"
ENV_THREADS = "streamflow.env.threads"
ENV_PACKAGES_DIGEST = "streamflow.env.packages_digest"


def of_package(name: str) -> str:
    """Name of the tag that holds the version of an installed package that decides the result."""
    return f"{PREFIX}env.{name}"


def own(found: Mapping[str, str]) -> dict[str, str]:
    """StreamFlow's tags among those of a run or a version, without their prefix. Pure."""
    return {name.removeprefix(PREFIX): value for name, value in found.items() if name.startswith(PREFIX)}
