"""Keep the report of the newest month in MLflow, as an artifact of a run of its own."""

from __future__ import annotations

import hashlib
from datetime import date
from pathlib import Path

from streamflow.errors import NotFound
from streamflow.mlflow_api import sdk
from streamflow.model_version import tags
from streamflow.monitoring.report import page, read, sentence
from streamflow.postgres.engine import transaction
from streamflow.repo import definitions
from streamflow.settings import DatabaseSettings, MlflowSettings

FILE = "report.html"
SOURCE = "streamflow monitor report"


def experiment(mlflow: MlflowSettings) -> str:
    """Name of the experiment that the reports belong to."""
    return f"{mlflow.experiment}_monitoring"


def keep(database: DatabaseSettings, mlflow: MlflowSettings, repo: Path, kept: str) -> str:
    """Keep the report of the newest month that was judged, unless it is there.

    New verdicts on a month, as on the labels that it got, make a new report beside the former one.

    Args:
        database: How to connect to PostgreSQL.
        mlflow: How to connect to MLflow, and the registered model.
        repo: Folder of the feature repo.
        kept: SHA-256 of the report that was kept last; "" for none. MLflow is not asked about an equal one.

    Returns:
        SHA-256 of the report; "" if no month was judged.

    Raises:
        DependencyDown: PostgreSQL or MLflow does not answer.
        StreamFlowError: MLflow refuses a request.
    """
    try:
        with transaction(database) as connection:
            verdicts = read.read(connection, mlflow.registered_model, date.min, date.max)
    except NotFound:
        return ""
    counted = definitions.load(repo).words.count
    text = page.page(verdicts, counted)
    digest = hashlib.sha256(text.encode()).hexdigest()
    if digest == kept:
        return digest
    with sdk.client(mlflow) as client:
        experiment_id = sdk.experiment_id(client, experiment(mlflow))
        same = f"tags.`{tags.REPORT_SHA256}` = '{digest}' and attributes.status = 'FINISHED'"
        if client.search_runs([experiment_id], same, max_results=1):
            return digest
        run = client.create_run(
            experiment_id,
            run_name=f"version {verdicts.version} as of {verdicts.as_of:%Y-%m-%d}",
            tags={
                tags.AS_OF: verdicts.as_of.date().isoformat(),
                tags.REPORT_SHA256: digest,
                **sdk.page_tags(
                    user=mlflow.username,
                    source=SOURCE,
                    is_job=True,
                    commit="",
                    description=sentence.sentence(verdicts, counted),
                ),
            },
        )
        try:
            client.log_text(run.info.run_id, text, FILE)
            client.set_terminated(run.info.run_id, "FINISHED")
        except BaseException:
            # KeyboardInterrupt included: MLflow would show the run as running forever.
            client.set_terminated(run.info.run_id, "FAILED")
            raise
    return digest
