"""`streamflow jobs`: the scheduled jobs of a cluster, and what each does."""

from __future__ import annotations

import dataclasses
import getpass
import json
from collections.abc import Sequence
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamflow import log
from streamflow import settings as settings_module
from streamflow.cli.db import as_admin
from streamflow.cli.output import print_table
from streamflow.jobs import catalog
from streamflow.jobs.run import run as run_job

if TYPE_CHECKING:
    from streamflow.cluster.jobs import ClusterJob

app = typer.Typer(no_args_is_help=True, help="The scheduled jobs of a cluster.")

Namespace = Annotated[
    str | None, typer.Option("--namespace", "-n", help="Namespace; default: the current one.")
]
Context = Annotated[str | None, typer.Option(help="Context of the kubeconfig; default: the current one.")]
Release = Annotated[str | None, typer.Option(help="Helm release, if the namespace has several.")]
JobName = Annotated[str, typer.Argument(metavar="NAME", help="Name of a job; 'streamflow jobs list'.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


@app.command("list")
def list_jobs(
    namespace: Namespace = None, context: Context = None, release: Release = None, as_json: AsJson = False
) -> None:
    """List the jobs, their schedules, when they last succeeded, and what to do if the last run was killed or waits."""
    from streamflow.cluster.jobs import Cluster
    from streamflow.cluster.outcomes import advice

    jobs = Cluster(namespace, context, release).jobs()
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(job) for job in jobs], default=str))
        return
    show_jobs(jobs)
    for job in jobs:
        if help_ := advice(job.name, job.last_run):
            typer.echo(f"{job.name}: {job.last_run}. {help_}")


def show_jobs(jobs: Sequence[ClusterJob]) -> None:
    """Print the jobs of a cluster."""
    print_table(
        (
            "release",
            "job",
            "schedule",
            "suspended",
            "running",
            "last run",
            "last success (UTC)",
            "what it does",
        ),
        [
            (
                job.release,
                job.name,
                job.schedule,
                "yes" if job.suspended else None,
                str(job.running or ""),
                job.last_run,
                f"{job.last_succeeded.astimezone(UTC):%Y-%m-%d %H:%M}" if job.last_succeeded else None,
                job.summary,
            )
            for job in jobs
        ],
        below=("release", "last run", "what it does"),
    )


@app.command("run")
def run_on_cluster(
    name: JobName,
    *,
    namespace: Namespace = None,
    context: Context = None,
    release: Release = None,
    follow: Annotated[bool, typer.Option(help="Follow its log until it ends.")] = True,
    timeout: Annotated[float, typer.Option(help="Longest time to follow, in seconds.")] = 3600.0,
    as_json: AsJson = False,
) -> None:
    """Start a job on the cluster now, from its CronJob, and follow it; exit 1 when it fails."""
    from streamflow.cluster.jobs import Cluster

    cluster = Cluster(namespace, context, release)
    job_name = cluster.start(name, getpass.getuser())
    if as_json:
        typer.echo(json.dumps({"job": job_name, "namespace": cluster.namespace}))
    else:
        typer.echo(f"Started {job_name} in namespace {cluster.namespace}.", err=True)
    if follow:
        for line in cluster.follow(job_name, timeout):
            typer.echo(line, err=as_json)


@app.command()
def logs(
    name: JobName,
    namespace: Namespace = None,
    context: Context = None,
    release: Release = None,
    timeout: Annotated[float, typer.Option(help="Longest time to follow, in seconds.")] = 3600.0,
) -> None:
    """Show the log of a job's newest run, and follow it while it runs."""
    from streamflow.cluster.jobs import Cluster

    cluster = Cluster(namespace, context, release)
    for line in cluster.follow(cluster.newest(name), timeout):
        typer.echo(line)


@app.command("exec")
def execute(
    name: JobName,
    admin_user_file: Annotated[
        Path | None, typer.Option(help="File with the name of the administrator to log in as.")
    ] = None,
) -> None:
    """Run a job in this process, as its CronJob does: under its lock, with its outcome recorded.

    If scoring.shards is above 1, the job `score` scores the shard scoring.shard of the scoring scoring.run.
    """
    settings = as_admin(settings_module.load(), admin_user_file)
    log.configure(settings.log)
    if name == "score" and settings.scoring.shards > 1:
        from streamflow.jobs.shards import run_shard

        raise typer.Exit(run_shard(settings))
    raise typer.Exit(run_job(settings, name, catalog.recipe(name)))
