"""A job has the same name in five places."""

import importlib
import json
import pkgutil
from pathlib import Path

import pytest
from render import FACTS, JOBS, pick, pod_specs, render
from typer.testing import CliRunner

from streamflow import jobs
from streamflow.cli import jobs as cli_jobs
from streamflow.jobs import catalog
from streamflow.schema.roles import ROLES

KEYS = {"summary", "command", "databaseRole", "talksTo", "volumes", "schedule", "deadlineSeconds", "retries"}
OPTIONAL = {
    *("volumes", "resources", "onDemand", "mlflowAccount", "erasureKey", "erasureRequest"),
    *("after", "waits", "shards"),
}


def test_a_job_has_one_name_as_recipe_command_cron_job_values_key_and_metric_label():
    recipes = {module.name for module in pkgutil.iter_modules(jobs.__path__)} - {
        *("catalog", "run"),
        *("due", "shards", "training_sets"),
    }
    objects = render(*(f"jobs.{name}.retries=7" for name in catalog.JOBS))
    overridden = {
        o["metadata"]["name"].removeprefix("streamflow-")
        for o in objects
        if o["kind"] == "CronJob" and o["spec"]["jobTemplate"]["spec"]["backoffLimit"] == 7
    }
    assert recipes == set(catalog.JOBS) == set(JOBS) == overridden
    exporter = pod_specs(objects)["Deployment streamflow-exporter"]["spec"]["containers"][0]
    assert set(json.loads(exporter["args"][-1])) <= set(catalog.JOBS)


@pytest.mark.parametrize("name", catalog.JOBS)
def test_the_module_of_a_recipe_has_a_function_of_its_name_and_at_most_60_lines(name, monkeypatch):
    module = importlib.import_module(f"streamflow.jobs.{name}")
    monkeypatch.setattr(module, name, lambda settings: f"{name} with {settings}")
    assert catalog.recipe(name)("settings") == f"{name} with settings"
    assert len(Path(module.__file__).read_text(encoding="utf-8").splitlines()) <= 60


@pytest.mark.parametrize("name", catalog.JOBS)
def test_the_command_line_runs_a_job_under_its_name(name, monkeypatch):
    """The same name is in its row of `job_runs`, and so in the label `job_name` of its metrics."""
    ran = []
    monkeypatch.setattr(cli_jobs, "run_job", lambda _settings, job, recipe: ran.append((job, recipe)) or 0)
    result = CliRunner().invoke(cli_jobs.app, ["exec", name])
    assert (result.exit_code, ran) == (0, [(name, catalog.recipe(name))])


@pytest.mark.parametrize("name", JOBS)
def test_a_job_file_has_all_required_keys(name):
    spec = JOBS[name]
    assert set(spec) - OPTIONAL == KEYS - OPTIONAL
    assert spec["command"] == ["streamflow", "jobs", "exec", name]
    assert spec["databaseRole"] in {*ROLES, "admin"}
    assert set(spec["talksTo"]) <= {name for name, own in FACTS.items() if "port" in own}
    assert spec["summary"].endswith(".")


@pytest.mark.parametrize("name", JOBS)
def test_a_job_becomes_a_cron_job_that_never_overlaps_and_cleans_up(name):
    cron = pick(render(), "CronJob", f"streamflow-{name}")
    assert cron["metadata"]["labels"]["streamflow.io/job"] == name
    spec = cron["spec"]
    assert spec["concurrencyPolicy"] == "Forbid"
    assert spec["startingDeadlineSeconds"] > 0
    assert spec["timeZone"] == "Etc/UTC"
    job = spec["jobTemplate"]["spec"]
    assert job["ttlSecondsAfterFinished"] > 0
    assert job["activeDeadlineSeconds"] == JOBS[name]["deadlineSeconds"]
    assert job["template"]["spec"]["restartPolicy"] == "Never"
    assert job["template"]["spec"]["containers"][0]["name"] == "job"


@pytest.mark.parametrize("name", JOBS)
def test_a_job_says_what_it_comes_after_and_waits_for_that_if_it_has_the_time(name):
    cron = pick(render(), "CronJob", f"streamflow-{name}")
    after, waits = JOBS[name].get("after"), JOBS[name].get("waits", True)
    noted = cron["metadata"]["annotations"].get("streamflow.io/after")
    # A conductor would start a job on demand with the others.
    assert noted == (",".join(after) if after and not JOBS[name].get("onDemand") else None)
    variables = environment(cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0])
    waited_for = variables.get("STREAMFLOW_JOBS__AFTER")
    assert (json.loads(waited_for) if waited_for else None) == (after if waits else None)


def test_a_disabled_job_leaves_the_others_in_their_order():
    objects = render("jobs.train.enabled=false", "jobs.ingest.enabled=false")
    noted = {
        name: pick(objects, "CronJob", f"streamflow-{name}")["metadata"]["annotations"].get(
            "streamflow.io/after"
        )
        for name in ("materialize", "score", "monitor")
    }
    assert noted == {"materialize": None, "score": "materialize", "monitor": "score"}


def test_the_hourly_check_never_falls_between_ingest_and_materialize():
    """Between them, features are behind the newest drop, so each new month would raise an alert."""
    minute = {name: JOBS[name]["schedule"].split()[:2] for name in ("ingest", "materialize", "monitor")}
    (start, hour), (end, same_hour), (check, every_hour) = minute.values()
    assert (hour, every_hour) == (same_hour, "*")
    assert not int(start) <= int(check) <= int(end)


def test_refused_data_is_not_retried():
    rules = pick(render(), "CronJob", "streamflow-ingest")["spec"]["jobTemplate"]["spec"]["podFailurePolicy"][
        "rules"
    ]
    assert [rule["action"] for rule in rules] == ["Ignore", "FailJob"]
    assert rules[1]["onExitCodes"]["values"] == [2, 3]


def test_values_override_what_an_operator_may_change():
    objects = render(
        "jobs.train.schedule=0 3 2 * *",
        "jobs.train.retries=0",
        "jobs.train.suspend=true",
        "jobs.train.resources.limits.memory=4Gi",
        "jobs.train.nodeSelector.disk=ssd",
        "jobs.score.enabled=false",
    )
    train = pick(objects, "CronJob", "streamflow-train")["spec"]
    assert (train["schedule"], train["suspend"], train["jobTemplate"]["spec"]["backoffLimit"]) == (
        "0 3 2 * *",
        True,
        0,
    )
    pod = train["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"disk": "ssd"}
    assert pod["containers"][0]["resources"]["limits"]["memory"] == "4Gi"
    assert pod["containers"][0]["resources"]["requests"]["memory"] == "768Mi"
    assert not [o for o in objects if o["metadata"]["name"] == "streamflow-score"]


def test_score_on_many_pods_is_an_indexed_job_whose_pods_repeat_alone():
    objects = render("jobs.score.shards=4", "jobs.score.retries=3", "jobs.score.extraEnv[0].name=OWN")
    job = pick(objects, "CronJob", "streamflow-score")["spec"]["jobTemplate"]["spec"]
    assert (job["completionMode"], job["completions"], job["parallelism"]) == ("Indexed", 4, 4)
    # One that fails for good ends the Job: without it, the scoring is never complete.
    assert (job["backoffLimitPerIndex"], job["backoffLimit"], job["maxFailedIndexes"]) == (3, 12, 0)
    (container,) = job["template"]["spec"]["containers"]
    fields = {item["name"]: item.get("valueFrom") for item in container["env"] if "valueFrom" in item}
    assert fields == {
        "STREAMFLOW_SCORING__SHARD": field("annotations['batch.kubernetes.io/job-completion-index']"),
        "STREAMFLOW_SCORING__RUN": field("labels['batch.kubernetes.io/controller-uid']"),
    }
    assert environment(container)["STREAMFLOW_SCORING__SHARDS"] == "4"
    assert "OWN" in {item["name"] for item in container["env"]}


def field(path):
    return {"fieldRef": {"fieldPath": f"metadata.{path}"}}


def test_score_on_one_pod_is_the_job_of_all_others():
    # The order of random values in the text is the same: Secrets are given.
    assert render("jobs.score.shards=1") == render()
    job = pick(render(), "CronJob", "streamflow-score")["spec"]["jobTemplate"]["spec"]
    assert not {"completionMode", "completions", "parallelism", "backoffLimitPerIndex"} & set(job)
    names = {item["name"] for item in job["template"]["spec"]["containers"][0]["env"]}
    assert not {name for name in names if name.startswith("STREAMFLOW_SCORING__")}


def test_all_schedules_can_be_suspended_at_once():
    assert all(o["spec"]["suspend"] for o in render("jobDefaults.suspend=true") if o["kind"] == "CronJob")


def test_drops_come_from_a_volume_or_an_object_store():
    on_volume = pod_specs(render())["CronJob streamflow-ingest"]["spec"]
    mount = {m["mountPath"]: m for m in on_volume["containers"][0]["volumeMounts"]}["/drops"]
    assert mount["readOnly"] is True
    from_store = pod_specs(render("drops.url=s3://bucket/drops", "drops.existingSecret=store"))[
        "CronJob streamflow-ingest"
    ]["spec"]
    container = from_store["containers"][0]
    assert {"name": "STREAMFLOW_INGEST__INBOX", "value": "s3://bucket/drops"} in container["env"]
    assert {"secretRef": {"name": "store"}} in container["envFrom"]
    assert "drops" not in {v["name"] for v in from_store["volumes"]}


@pytest.mark.parametrize("job", ["backup", "restore"])
def test_backups_are_copied_to_an_object_store_from_the_volume_where_they_are_made(job):
    here = pod_specs(render())[f"CronJob streamflow-{job}"]["spec"]
    mount = {m["mountPath"]: m for m in here["containers"][0]["volumeMounts"]}["/backups"]
    assert mount.get("readOnly", False) is (job == "restore")
    objects = render("backups.url=s3://bucket/backups", "backups.existingSecret=store")
    there = pod_specs(objects)[f"CronJob streamflow-{job}"]["spec"]
    (container,) = there["containers"]
    assert {"name": "STREAMFLOW_BACKUP__URL", "value": "s3://bucket/backups"} in container["env"]
    assert {"secretRef": {"name": "store"}} in container["envFrom"]
    # A restore copies a backup onto the volume.
    mount = {m["mountPath"]: m for m in container["volumeMounts"]}["/backups"]
    assert not mount.get("readOnly", False)
    others = [
        spec["spec"]
        for name, spec in pod_specs(objects).items()
        if not name.endswith(("-backup", "-restore", "-erase"))
    ]
    assert "secretRef': {'name': 'store'" not in str(others)


def environment(container):
    return {item["name"]: item.get("value", item.get("valueFrom")) for item in container["env"]}


def test_only_restore_is_the_administrator_and_it_never_starts_by_schedule():
    objects = render()
    cron = pick(objects, "CronJob", "streamflow-restore")["spec"]
    assert cron["suspend"] is True
    pod = cron["jobTemplate"]["spec"]["template"]["spec"]
    variables = environment(pod["containers"][0])
    assert variables["STREAMFLOW_DATABASE__USER"] == "postgres"
    assert variables["STREAMFLOW_DATABASE__PASSWORD_FILE"] == "/run/secrets/admin/password"
    mounts = {m["mountPath"]: m["readOnly"] for m in pod["containers"][0]["volumeMounts"] if "readOnly" in m}
    assert mounts == {
        "/run/secrets/admin": True,
        "/run/secrets/mlflow": True,
        "/run/secrets/mlflow-accounts": True,
        "/run/secrets/erasure": True,
        "/backups": True,
    }
    holders = [
        name
        for name, template in pod_specs(objects).items()
        if name.startswith("CronJob") and "admin-password" in str(template["spec"]["volumes"])
    ]
    assert holders == ["CronJob streamflow-restore"]


def test_restore_logs_in_as_the_administrator_of_an_external_server():
    objects = render(
        "postgresql.enabled=false",
        "externalDatabase.host=db",
        "externalDatabase.existingSecret=root",
        "externalDatabase.maxConnections=200",
    )
    pod = pod_specs(objects)["CronJob streamflow-restore"]["spec"]
    assert "STREAMFLOW_DATABASE__USER" not in environment(pod["containers"][0])
    assert pod["containers"][0]["command"][-1] == "--admin-user-file=/run/secrets/admin/user"
    (secret,) = [volume["secret"] for volume in pod["volumes"] if volume["name"] == "admin"]
    assert secret["secretName"] == "root"
    assert {item["path"] for item in secret["items"]} == {"user", "password"}
