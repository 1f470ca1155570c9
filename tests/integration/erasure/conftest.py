"""An install with drops, versions, scores, an answer in the log and a distinctive person, for tests that erase."""

import json

import pytest
from a_person import FEE, PERSON, name_person, run, run_untriggered

from streamflow.settings import BackupSettings, ErasureSettings, MlflowSettings


@pytest.fixture(scope="module")
def install(module_settings, mlflow_server, tmp_path_factory):
    """Settings with a key and a folder for backups, the feature repo applied."""
    from streamflow.apply import apply

    mlflow = module_settings.mlflow.model_dump() | {"tracking_uri": mlflow_server}
    made = module_settings.model_copy(
        update={
            "mlflow": MlflowSettings(**mlflow),
            "backup": BackupSettings(folder=tmp_path_factory.mktemp("backed_up") / "backups"),
            "erasure": ErasureSettings(key="the key of the tests' list"),
        }
    )
    apply(made)
    return made


@pytest.fixture(scope="module")
def lived(install, tmp_path_factory):
    """Two months of 300 users with the person among them, scored, answered and quarantined."""
    from streamflow.challenger import train
    from streamflow.jobs.ingest import ingest_folder
    from streamflow.jobs.materialize import materialize
    from streamflow.jobs.score import score_as_of
    from streamflow.local.simulate import Simulation, simulate
    from streamflow.registry.promote import promote

    drops = simulate(
        install.feast.repo, tmp_path_factory.mktemp("delivered") / "drops", Simulation(users=300, months=2)
    )
    for drop in drops:
        name_person(drop.folder, 17, monthly_fee=FEE)
        ingest_folder(install, drop.folder, drop.as_of)
    materialize(install)
    version = train(install, drops[0].as_of, estimator="logistic_regression").version
    for alias in ("staging", "production"):
        promote(install.backends, version, alias, why="a test", by="tests")
    score_as_of(install)
    run(
        install,
        "INSERT INTO streamflow.predictions VALUES"
        " (clock_timestamp(), 'r-1', :entity, :model, 1, 'production', 0.5, true, '{0}', NULL)",
        entity=PERSON,
        model=install.mlflow.registered_model,
    )
    # As by an earlier release: a drop that is complete takes no more rows.
    run_untriggered(
        install,
        "INSERT INTO streamflow.quarantine (drop_id, table_name, file, line, column_name, reason, value, raw)"
        " SELECT drop_id, 'users', 'users.csv', 3, 'age', 'is odd', 'x', :raw FROM streamflow.drops LIMIT 1",
        raw=f'"{PERSON}",x,{FEE}',
    )
    run(
        install,
        "INSERT INTO streamflow.job_runs (job, started_at, outcome, message, facts)"
        " VALUES ('parity', now(), 'failed', :message, CAST(:facts AS jsonb))",
        message=f"line 3: user_id '{PERSON}' appears twice",
        facts=json.dumps({"entities": [[PERSON, 0.5, None]], "sampled": 7590}),
    )
    return install
