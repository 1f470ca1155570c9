"""The pure parts of starting a job on a cluster."""

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubernetes import client

from streamflow.cluster.jobs import Cluster, as_job, job_object_name, manual_job
from streamflow.cluster.outcomes import advice, became, outcome
from streamflow.errors import NotFound, StreamFlowError, UsageError


def cron_job(**status):
    template = client.V1JobTemplateSpec(
        metadata=client.V1ObjectMeta(labels={"streamflow.io/job": "train"}),
        spec=client.V1JobSpec(template=client.V1PodTemplateSpec()),
    )
    return client.V1CronJob(
        metadata=client.V1ObjectMeta(
            name="streamflow-train",
            uid="1234",
            labels={"streamflow.io/job": "train"},
            annotations={"streamflow.io/summary": "Train."},
        ),
        spec=client.V1CronJobSpec(
            schedule="0 2 * * *", time_zone="Etc/UTC", suspend=True, job_template=template
        ),
        status=client.V1CronJobStatus(**status) if status else None,
    )


class Namespace:
    """The part of the API that lists, with the objects of two releases; it selects by labels as the API does."""

    def __init__(self, *releases):
        self.objects = [
            client.V1CronJob(
                metadata=client.V1ObjectMeta(
                    name=f"{release}-train",
                    labels={"streamflow.io/job": "train", "app.kubernetes.io/instance": release},
                    creation_timestamp=datetime(2024, 1, number + 1, tzinfo=UTC),
                ),
                spec=cron_job().spec,
            )
            for number, release in enumerate(releases)
        ]

    def listed(self, namespace, label_selector):
        wanted = [item.partition("=") for item in label_selector.split(",")]
        return SimpleNamespace(
            items=[
                item
                for item in self.objects
                if all(not value or item.metadata.labels.get(key) == value for key, _, value in wanted)
            ]
        )

    list_namespaced_cron_job = list_namespaced_job = listed

    def list_namespaced_pod(self, namespace, label_selector):
        return SimpleNamespace(items=[])


def cluster(*releases, release=None):
    made = object.__new__(Cluster)
    made.namespace, made.release = "churn", release
    made._batch = made._core = Namespace(*releases)
    return made


@pytest.mark.parametrize("question", [Cluster.cron_job, Cluster.newest])
def test_a_job_of_several_releases_is_refused_with_their_names(question):
    with pytest.raises(UsageError, match="'churn' have a job 'train': blue, green") as refused:
        question(cluster("green", "blue"), "train")
    assert "--release" in str(refused.value)


def test_a_named_release_is_the_only_one_searched():
    assert cluster("green", "blue", release="blue").cron_job("train").metadata.name == "blue-train"
    assert cluster("green", "blue", release="green").newest("train") == "green-train"
    assert [job.release for job in cluster("green", "blue").jobs()] == ["blue", "green"]
    assert [job.release for job in cluster("green", "blue", release="green").jobs()] == ["green"]
    with pytest.raises(NotFound, match="of release 'red'"):
        cluster("green", "blue", release="red").cron_job("train")


def test_a_cron_job_is_read_with_its_last_success():
    when = datetime(2024, 2, 1, tzinfo=UTC)
    job = as_job(cron_job(last_successful_time=when, active=[client.V1ObjectReference()]))
    assert (job.name, job.object_name) == ("train", "streamflow-train")
    assert (job.schedule, job.suspended, job.summary) == ("0 2 * * * Etc/UTC", True, "Train.")
    assert (job.last_succeeded, job.last_started, job.running) == (when, None, 1)


def test_a_cron_job_that_never_ran_has_no_times():
    assert as_job(cron_job()).last_succeeded is None


def test_a_job_started_by_hand_is_owned_by_the_cron_job_and_names_the_user():
    job = manual_job(cron_job(), "Ada L.", "1f2e3d")
    assert job.metadata.name == "streamflow-train-ada-l-1f2e3d"
    assert job.metadata.annotations["cronjob.kubernetes.io/instantiate"] == "manual"
    assert job.metadata.annotations["streamflow.io/by"] == "Ada L."
    assert job.metadata.labels == {"streamflow.io/job": "train"}
    assert job.metadata.owner_references[0].uid == "1234"


@given(st.from_regex(r"[a-z][a-z0-9-]{0,80}[a-z0-9]", fullmatch=True), st.text(max_size=40))
def test_a_jobs_name_is_always_a_valid_name(cron, by):
    name = job_object_name(cron, by, "1f2e3d")
    assert len(name) <= 63
    assert name.endswith("-1f2e3d")
    assert all(c in "abcdefghijklmnopqrstuvwxyz0123456789-" for c in name)


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        (None, ""),
        ([("Complete", "True", "", "")], "done"),
        ([("Complete", "False", "", "")], ""),
        ([("FailureTarget", "True", "x", "y")], ""),
        ([("Failed", "True", "DeadlineExceeded", "too long")], "DeadlineExceeded: too long"),
    ],
)
def test_the_outcome_follows_from_the_conditions(conditions, expected):
    listed = conditions and [
        SimpleNamespace(type=kind, status=status, reason=reason, message=message)
        for kind, status, reason, message in conditions
    ]
    assert outcome(SimpleNamespace(status=SimpleNamespace(conditions=listed))) == expected


def run_of(*conditions, reason="BackoffLimitExceeded"):
    return client.V1Job(
        metadata=client.V1ObjectMeta(name="train-1", labels={"streamflow.io/job": "train"}),
        status=client.V1JobStatus(
            conditions=[
                client.V1JobCondition(type=kind, status="True", reason=reason, message="It ended.")
                for kind in conditions
            ]
        ),
    )


def pod_of(job, *, day=1, exit_code=None, reason=None, phase="Failed", evicted=None, waits=None):
    ended = None
    if exit_code is not None:
        ended = client.V1ContainerStateTerminated(exit_code=exit_code, reason=reason)
    container = client.V1ContainerStatus(
        image="i",
        image_id="i",
        name="job",
        ready=False,
        restart_count=0,
        state=client.V1ContainerState(
            terminated=ended, waiting=waits and client.V1ContainerStateWaiting(reason=waits)
        ),
    )
    return client.V1Pod(
        metadata=client.V1ObjectMeta(
            name=f"{job}-{day}",
            labels={"batch.kubernetes.io/job-name": job},
            creation_timestamp=datetime(2024, 1, day, tzinfo=UTC),
        ),
        status=client.V1PodStatus(phase=phase, reason=evicted, container_statuses=[container]),
    )


@pytest.mark.parametrize(
    ("conditions", "pods", "said"),
    [
        (["Complete"], [pod_of("train-1", exit_code=0, phase="Succeeded")], "done"),
        ([], [pod_of("train-1", phase="Running")], "running"),
        (["Failed"], [pod_of("train-1", exit_code=1, reason="Error")], "failed"),
        (["Failed"], [pod_of("train-1", exit_code=137, reason="OOMKilled")], "killed (OOMKilled)"),
        (["Failed"], [pod_of("train-1", evicted="Evicted")], "killed (Evicted)"),
        (["Failed"], [], "failed"),
        # The retry is at work, another Job's pod was killed.
        ([], [pod_of("train-1", exit_code=137), pod_of("train-1", day=2, phase="Running")], "running"),
        ([], [pod_of("score-1", exit_code=137), pod_of("train-1", phase="Running")], "running"),
    ],
)
def test_what_became_of_a_run_says_whether_it_was_killed(conditions, pods, said):
    assert became(run_of(*conditions), pods) == said


def test_a_run_that_took_too_long_was_killed_although_its_pod_is_gone():
    assert became(run_of("Failed", reason="DeadlineExceeded"), []) == "killed (DeadlineExceeded)"


def unschedulable():
    condition = client.V1PodCondition(type="PodScheduled", status="False", reason="Unschedulable")
    pod = pod_of("train-1", phase="Pending")
    pod.status.conditions, pod.status.container_statuses = [condition], None
    return pod


@pytest.mark.parametrize(
    ("pod", "said"),
    [
        (unschedulable(), "waiting (Unschedulable)"),
        (pod_of("train-1", phase="Pending", waits="ImagePullBackOff"), "waiting (ImagePullBackOff)"),
        (pod_of("train-1", phase="Pending", waits="ContainerCreating"), "running"),
        (pod_of("score-1", phase="Pending", waits="ImagePullBackOff"), "running"),
    ],
)
def test_a_run_whose_pod_cannot_start_waits(pod, said):
    assert became(run_of(), [pod]) == said
    # Once the Job has failed, it waits for nothing.
    assert became(run_of("Failed"), [pod]) == "failed"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("killed (OOMKilled)", "Raise jobs.score.resources.limits.memory in the chart's values."),
        ("killed (DeadlineExceeded)", "Raise jobs.score.deadlineSeconds in the chart's values."),
        ("failed", ""),
        ("running", ""),
        ("killed (Error)", ""),
    ],
)
def test_the_knob_to_raise_is_named(said, expected):
    assert advice("score", said) == expected


def followed(job, pod):
    """What a user who follows a Job sees, and the error at its end."""
    made = object.__new__(Cluster)
    made.namespace = "churn"
    made._batch = SimpleNamespace(read_namespaced_job=lambda name, namespace: job)
    made._core = SimpleNamespace(
        list_namespaced_pod=lambda namespace, label_selector: SimpleNamespace(items=[pod]),
        read_namespaced_pod_log=lambda name, namespace, **options: [b"a line of the log"],
    )
    lines = []
    with pytest.raises(StreamFlowError) as failure:
        lines += made.follow("train-1", timeout_seconds=-1)
    return lines, failure.value


def test_whoever_follows_a_killed_run_learns_why_and_what_to_raise():
    lines, failure = followed(run_of("Failed"), pod_of("train-1", exit_code=137, reason="OOMKilled"))
    assert lines == ["a line of the log"]
    assert failure.what == "Job train-1 was killed (OOMKilled): BackoffLimitExceeded: It ended."
    assert failure.hint == "Raise jobs.train.resources.limits.memory in the chart's values."


def test_whoever_follows_a_run_that_cannot_start_learns_what_it_waits_for():
    lines, failure = followed(run_of(), pod_of("train-1", phase="Pending", waits="ImagePullBackOff"))
    assert [line.partition(". ")[0] for line in lines] == ["Job train-1 is waiting (ImagePullBackOff)"]
    assert "images.platform" in lines[0]
    assert "has not ended" in failure.what


def test_the_log_says_why_any_other_run_failed():
    _, failure = followed(run_of("Failed"), pod_of("train-1", exit_code=1, reason="Error"))
    assert failure.what == "Job train-1 failed: BackoffLimitExceeded: It ended."
    assert failure.hint == "See its log above."
