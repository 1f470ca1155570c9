"""What the job `train` keeps of a judgement, for the exporter. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from streamflow.gate.report import GateReport
from streamflow.postgres.job_results import Judged


def judged(report: GateReport) -> Judged:
    """The verdict, and both AUCs: on the common rows, or the challenger's alone on its whole holdout."""
    whole = report.facts["holdout_auc"] or (None, None, None)
    found = Judged(
        report.version,
        report.champion,
        report.passed,
        datetime.fromisoformat(report.judged_at),
        auc=whole[0],
        auc_low=whole[1],
    )
    both = report.facts["compared"]
    if both is None:
        return found
    challenger, champion = both["challenger"], both["champion"]
    return replace(
        found,
        auc=challenger["auc"],
        auc_low=challenger["auc_low"],
        champion_auc=champion["auc"],
        champion_auc_low=champion["auc_low"],
    )
