"""The Job that repeats a run in its image, and the verdict in its log."""

import json

from kubernetes import client

from streamflow.audit.reproduce.in_image import reproduce_job, verdict_in

RUN = "0e06fd5ade7e44d0ba0809af6d537148"
IMAGE = "registry.example.com/streamflow/platform@sha256:1234"


def cron_job():
    container = client.V1Container(
        name="job",
        image="streamflow/platform:9.9.9",
        command=["streamflow", "jobs", "exec", "train"],
        env=[
            client.V1EnvVar(name="STREAMFLOW_BUILD__IMAGE", value="streamflow/platform:9.9.9"),
            client.V1EnvVar(name="STREAMFLOW_DATABASE__USER", value="streamflow_train"),
        ],
    )
    sidecar = client.V1Container(name="proxy", image="proxy:1")
    pod = client.V1PodTemplateSpec(
        metadata=client.V1ObjectMeta(labels={"app.kubernetes.io/component": "train"}),
        spec=client.V1PodSpec(containers=[container, sidecar], restart_policy="Never"),
    )
    template = client.V1JobTemplateSpec(
        metadata=client.V1ObjectMeta(labels={"streamflow.io/job": "train"}),
        spec=client.V1JobSpec(template=pod, backoff_limit=1, pod_failure_policy={"rules": []}),
    )
    return client.V1CronJob(
        metadata=client.V1ObjectMeta(name="streamflow-train", uid="1234"),
        spec=client.V1CronJobSpec(schedule="0 2 * * *", job_template=template),
    )


def test_the_job_is_the_train_job_with_the_recorded_image_and_another_command():
    schedule = cron_job()
    job = reproduce_job(schedule, RUN, IMAGE, "ada", "1f2e3d")
    container, sidecar = job.spec.template.spec.containers
    assert container.image == IMAGE
    assert container.command == ["streamflow", "reproduce", RUN, "--json"]
    assert {v.name: v.value for v in container.env} == {
        "STREAMFLOW_BUILD__IMAGE": IMAGE,
        "STREAMFLOW_DATABASE__USER": "streamflow_train",
    }
    assert sidecar.image == "proxy:1"
    assert job.spec.template.metadata.labels == {"app.kubernetes.io/component": "train"}
    # The schedule itself is unchanged.
    assert schedule.spec.job_template.spec.template.spec.containers[0].image == "streamflow/platform:9.9.9"


def test_the_job_is_tried_once_and_does_not_count_as_a_training():
    job = reproduce_job(cron_job(), RUN, IMAGE, "ada", "1f2e3d")
    assert (job.spec.backoff_limit, job.spec.pod_failure_policy) == (0, None)
    assert job.metadata.name == "streamflow-reproduce-ada-1f2e3d"
    assert job.metadata.labels == {"streamflow.io/job": "reproduce"}


def test_the_verdict_is_the_last_document_among_other_lines():
    document = {"run_id": RUN, "verdict": "differs", "exit_code": 1, "layers": [{"name": "data"}]}
    lines = [
        '{"level": "info", "msg": "x"}',
        "{not json",
        *json.dumps(document, indent=2).splitlines(),
        "bye",
    ]
    assert verdict_in(lines) == document


def test_a_log_without_a_verdict_has_none():
    assert verdict_in(["Traceback", '{"level": "error"}', "[1, 2]"]) is None
    assert verdict_in([]) is None
