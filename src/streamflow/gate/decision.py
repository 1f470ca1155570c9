"""The gate's decision on a version: judge it against the one in production, and promote it when it passes."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime

from streamflow.errors import Refused
from streamflow.gate.page import page
from streamflow.gate.report import GateReport, report_on
from streamflow.mlflow_api import sdk
from streamflow.model_version import tags
from streamflow.model_version.aliases import PRODUCTION, STAGING, PromotionAlias
from streamflow.registry import artifacts, trail, versions
from streamflow.registry.promote import promote
from streamflow.registry.trail import Move
from streamflow.registry.transitions import UNCHECKED, Expected, Unchecked, check_step
from streamflow.settings import Backends, MlflowSettings, PromotionSettings


def decide(backends: Backends, promotion: PromotionSettings, version: int) -> GateReport:
    """Judge a version against the one in production, and store the report at its run.

    Raises:
        NotFound: There is no such version.
        Refused: It is in production itself.
        DependencyDown: PostgreSQL or MLflow does not answer.
    """
    # Imported when needed: what gathers the facts takes seconds to load, which promoting to staging does not need.
    from streamflow.gate.gather import gather

    target = versions.get(backends.mlflow, version)
    champion = trail.targets(backends.database, backends.mlflow.registered_model)[PRODUCTION]
    if champion == version:
        raise Refused(
            f"Version {version} is in production itself; there is nothing to judge it against.",
            hint="'streamflow models show production' shows its last report.",
        )
    facts = gather(backends, target, champion)
    report = report_on(facts, promotion, backends.mlflow.registered_model, datetime.now(UTC))
    _store(backends.mlflow, target.run_id, report)
    return report


def promote_through_gate(
    backends: Backends,
    promotion: PromotionSettings,
    version: int,
    alias: PromotionAlias,
    *,
    why: str,
    by: str,
    expected: Expected = UNCHECKED,
    despite_gate: bool = False,
) -> Move:
    """Promote a version; it reaches production only when the gate lets it.

    Args:
        backends: Where PostgreSQL, MLflow and the feature repo are.
        promotion: Rules of the gate.
        version: Number of the version.
        alias: Where it goes.
        why: The reason, for the trail.
        by: Who promotes it, for the trail.
        expected: Version that the caller believes the alias points at.
        despite_gate: Promote even what the gate refuses; the trail says so.

    Raises:
        NotFound: There is no such version.
        PromotionConflict: The alias points at another version than expected, or than the one judged against.
        Refused: The gate refuses it (`details` has the reasons), or the version may not take this step.
        ReleaseRefused: A file of the version fails its digest, or its golden rows do not reproduce; or they did not
            before.
    """
    if alias == STAGING:
        return promote(backends, version, alias, why=why, by=by, expected=expected)
    registered = versions.get(backends.mlflow, version)
    # Before the gate, which works for seconds.
    artifacts.check_known(backends.database, backends.mlflow.registered_model, registered)
    check_step(trail.targets(backends.database, backends.mlflow.registered_model), version, alias)
    report = decide(backends, promotion, version)
    if not report.passed and not despite_gate:
        raise refusal(report)
    return promote(
        backends,
        version,
        alias,
        why=why,
        by=by,
        # The version judged against is the one replaced: a champion that changed meanwhile is a conflict.
        expected=report.champion if isinstance(expected, Unchecked) else expected,
        gate=report.summary(despite=not report.passed),
    )


def refusal(report: GateReport) -> Refused:
    """The error that says why the gate refuses a version."""
    return Refused(
        f"The gate refuses version {report.version}.",
        details=report.failures,
        hint=f"See 'streamflow gate {report.version}'. Train a better version, or promote with --despite-gate.",
    )


def _store(mlflow: MlflowSettings, run_id: str, report: GateReport) -> None:
    with sdk.client(mlflow) as client:
        client.log_text(run_id, report.text, f"{report.artifact}.json")
        client.log_text(run_id, page(asdict(report)), f"{report.artifact}.html")
        for tag, value in ((tags.GATE, report.verdict), (tags.GATE_REPORT, f"{report.artifact}.html")):
            client.set_model_version_tag(report.model, str(report.version), tag, value)
