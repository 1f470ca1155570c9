"""The pipeline on this machine, step by step from drops to predictions: `make demo`."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import sqlalchemy as sa

from streamflow.client import ClientError, PredictClient, ProblemError, ServedModel
from streamflow.errors import DependencyDown, Refused, StreamFlowError, UsageError
from streamflow.local import services, stack
from streamflow.mlflow_api.transport import FOR_TRAINING
from streamflow.model_version import run_record
from streamflow.model_version import tags as version_tags
from streamflow.model_version.aliases import PRODUCTION, STAGING
from streamflow.postgres.engine import transaction
from streamflow.postgres.names import ONLINE
from streamflow.postgres.names import quote as quoted
from streamflow.repo import definitions
from streamflow.settings import Settings

Say = Callable[[str], None]
UNKNOWN = "nobody-of-this-name"
_MONTHS, _USERS, _SEED = 2, 7000, 1
_SERVED_WITHIN_SECONDS = 60.0
_WHY = "The demo's newest version."
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Asked:
    """A request that the demo sent to predict, and the response.

    Attributes:
        entity: Key of the user to predict for.
        expected: HTTP status that a correct service responds with.
        status: HTTP status of the response.
        answer: JSON body of the response.
    """

    entity: str
    expected: int
    status: int
    answer: Mapping[str, Any]


def run(settings: Settings, data: Path | None, *, once: bool, with_prefect: bool = False, say: Say) -> int:
    """Run the pipeline from drops to predictions, then wait for Ctrl-C.

    At the end the stack is stopped, unless all of it was running before.

    Args:
        settings: Settings to start from; `home` is the stack's folder.
        data: Folder with the user's own drops; None simulates two months.
        once: Stop after the last step instead of waiting for Ctrl-C.
        with_prefect: Also start Prefect, which then conducts the jobs with the same drops as its inbox.
        say: Called with each line to print.

    Returns:
        The exit code: 0 if every response had the expected status, 1 if one did not, 130 if the demo was
        interrupted before the last step.

    Raises:
        StreamFlowError: A step failed.
        UsageError: `data` contains no drop; nothing was started.
    """
    root = data.expanduser() if data else settings.home / "demo-drops"
    if data is not None:
        _check(root)
    before = {service.name for service in stack.status(settings) if service.state == "running"}
    code = 130
    with interruptible(say) as step:
        try:
            started = time.monotonic()
            step("1. Starting PostgreSQL, MLflow, Feast's feature server and predict")
            if with_prefect:
                os.environ.setdefault("STREAMFLOW_INGEST__INBOX", str(root.resolve()))
            settings = stack.up(settings, lambda line: step(f"   {line}"), with_prefect=with_prefect)
            _ingest(settings, root, step, simulated=data is None)
            version = _train_and_promote(settings, step)
            asked = _ask(settings, version, step)
            _show_addresses(settings, asked, time.monotonic() - started, step, once=once)
            if with_prefect:
                login = settings.prefect.auth_file
                say(
                    f"\nPrefect, which conducts the jobs from now on: {settings.prefect.pages}, login in {login}"
                )
            code = 0 if all(item.status == item.expected for item in asked) else 1
            if not once:
                step("\nEverything runs until you press Ctrl-C.")
                while True:
                    time.sleep(3600)
        except KeyboardInterrupt:
            pass
        finally:
            _stop(settings, before, say)
    return code


@contextlib.contextmanager
def interruptible(say: Say) -> Iterator[Say]:
    """Raise KeyboardInterrupt on Ctrl-C, SIGTERM and SIGHUP, so that the demo always stops what it started.

    Compiled modules such as pandas swallow exceptions raised while they are being imported. The function that
    this context manager yields therefore raises the interrupt again when it is next called to print a line.
    """
    interrupted = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        interrupted = True
        raise KeyboardInterrupt

    def step(line: str) -> None:
        if interrupted:
            raise KeyboardInterrupt
        say(line)

    former = {number: signal.signal(number, interrupt) for number in _ENDING}
    try:
        yield step
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _stop(settings: Settings, before: set[str], say: Say) -> None:
    if before >= set(services.NAMES):
        say("The stack was running before; it is left running ('streamflow down' stops it).")
        return
    # Ignore a second Ctrl-C and the SIGHUP of a closed terminal: either would leave half the stack running.
    former = {number: signal.signal(number, signal.SIG_IGN) for number in _ENDING}
    try:
        stopped = stack.down(settings.home)
        if stopped:
            say(f"\nStopped {', '.join(stopped)}. Data stays in {settings.home}.")
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _check(root: Path) -> None:
    """Reject a folder without drops before the stack is started."""
    from streamflow.drops.inbox import dated_folders

    if not dated_folders(root):
        raise UsageError(
            f"There is no drop in '{root}'.",
            hint="Name a folder with one folder a month: 2024-01-31/users.csv …",
        )


def _ingest(settings: Settings, root: Path, say: Say, *, simulated: bool) -> None:
    """Ingest every drop; simulate drops first if the user gave none."""
    from streamflow.drops.inbox import dated_folders
    from streamflow.jobs.ingest import ingest_folder
    from streamflow.local.simulate import Simulation, simulate

    named = definitions.load(settings.feast.repo).words
    # A demo that was interrupted while simulating leaves fewer folders.
    if simulated and not (root.is_dir() and len(dated_folders(root)) == _MONTHS):
        say(f"\n   No DATA was given: simulating {_MONTHS} months of {named.count(_USERS)}")
        simulate(settings.feast.repo, root, Simulation(_USERS, _MONTHS, _SEED), overwrite=True)
    say(f"\n2. Ingesting the drops in {root}")
    for as_of, folder in dated_folders(root):
        outcome = ingest_folder(settings, folder, as_of)
        rows, bad = sum(outcome.accepted.values()), sum(outcome.quarantined.values())
        news = (
            f"{rows:,} rows accepted, {bad:,} quarantined"
            if outcome.changed
            else "already known, nothing changed"
        )
        say(f"   {as_of}: {news}")


def _train_and_promote(settings: Settings, say: Say) -> int:
    """Materialize, train and promote, unless production was already trained on the same drops."""
    from streamflow.registry import versions

    served = versions.by_alias(settings.mlflow, PRODUCTION)
    if served is not None and _trained_on_all(settings, served):
        tags = versions.get(settings.mlflow, served).tags
        say(
            f"\n3. The drops are those that version {served} was trained on: nothing to materialize or to train"
        )
        say(f"   {tags.get(version_tags.ESTIMATOR)}, AUC {tags.get(version_tags.AUC)} on the holdout")
        return served
    from streamflow.challenger import train
    from streamflow.gate.decision import promote_through_gate
    from streamflow.jobs.materialize import materialize

    named = definitions.load(settings.feast.repo).words
    say("\n3. Materializing the newest features into the online store")
    for view in materialize(settings).views:
        say(f"   {view.feature_view}: {named.count(view.entities)}")
    say("\n4. Training the candidates; the best cross-validated AUC is registered in MLflow")
    trained = train(settings)
    say(
        f"   Version {trained.version}: {trained.estimator} as of {trained.as_of:%Y-%m-%d},"
        f" {named.count(trained.rows)}, {trained.positives:,} positive"
    )
    figures = ", ".join(f"{name} {value:.4f}" for name, value in sorted(trained.metrics.items()))
    say(
        f"   Calibration {trained.calibration}; positive from {trained.threshold:.4f}, by {trained.threshold_rule}"
    )
    say(f"   On the holdout: {figures}")
    say(f"   Fingerprint of the training set: {trained.fingerprint}")
    say("\n5. Promoting: None → Staging → the gate → Production")
    try:
        for alias in (STAGING, PRODUCTION):
            move = promote_through_gate(
                settings.backends, settings.promotion, trained.version, alias, why=_WHY, by="demo"
            )
            say(f"   {alias}: {move.from_version or 'unset'} → {move.to_version}")
    except Refused as refusal:
        if served is None:
            raise
        # The gate rejects a challenger that is not better. It stays at staging, as after the job `train`.
        say(f"   {refusal.what} Version {served} stays in production.")
        for reason in refusal.details:
            say(f"     {reason}")
        return served
    return trained.version


def _trained_on_all(settings: Settings, version: int) -> bool:
    """Whether a version was trained as of the newest drop, and no drop was ingested since."""
    from streamflow.drops import ledger
    from streamflow.postgres import clock
    from streamflow.registry import versions
    from streamflow.snapshots.as_of import newest_as_of

    run = versions.run_of(settings.mlflow, versions.get(settings.mlflow, version))
    with transaction(settings.database) as connection:
        loaded = ledger.entries(connection, clock.known_now(connection))
    newest = newest_as_of([drop.as_of for drop in loaded]).isoformat()
    seen = run["params"].get(run_record.DROP_IDS, "").split(",")
    return (
        run["params"].get(run_record.AS_OF) == newest
        and seen == [drop.drop_id for drop in loaded][-len(seen) :]
    )


def _ask(settings: Settings, version: int, say: Say) -> list[Asked]:
    """Request a prediction for a known user, an unknown user, and a user with a missing value."""
    url = f"http://{settings.predict.host}:{settings.predict.port}"
    key, one = settings.predict.join_key, definitions.load(settings.feast.repo).words.one
    with services.predict_client(url, key) as client:
        model = _await_version(client, version)
        known = _known(settings, client, model)
        incomplete = _incomplete(settings, model)
        return _ask_for(
            client,
            (
                (
                    (f"A known {one}", known, 200),
                    (f"An unknown {one}", UNKNOWN, 404),
                    (f"A known {one} with a missing value", incomplete, 422),
                )
            ),
            key,
            say,
        )


def _ask_for(
    client: PredictClient, questions: Sequence[tuple[str, str | None, int]], key: str, say: Say
) -> list[Asked]:
    asked = []
    say("\n6. Asking predict")
    for title, entity, expected in questions:
        if entity is None:
            say(f"\n   {title}: the drops have none.")
            continue
        body = json.dumps({key: entity})
        say(f"\n   {title}:\n   curl -s {client.url}/predict -d '{body}'")
        status, answer = _answer(client, entity)
        asked.append(Asked(entity, expected, status, answer))
        shown = {name: value for name, value in answer.items() if name not in ("type", "title", "request_id")}
        say("   " + json.dumps(shown, indent=2, ensure_ascii=False).replace("\n", "\n   "))
    return asked


def _answer(client: PredictClient, entity: str) -> tuple[int, Mapping[str, Any]]:
    try:
        return 200, client.predict(entity).document
    except ProblemError as error:
        return error.problem.status, error.problem.document
    except ClientError as error:
        raise DependencyDown(error.what, hint="See 'streamflow status'.") from error


def _await_version(client: PredictClient, version: int) -> ServedModel:
    deadline = time.monotonic() + _SERVED_WITHIN_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(ClientError):
            model = client.model()
            if model.served is not None and model.served.version == version:
                return model.served
            if model.refused is not None and model.refused.version == version:
                raise StreamFlowError(model.refused.why, hint="'streamflow doctor' looks for causes.")
        time.sleep(0.2)
    raise StreamFlowError(
        f"predict does not serve version {version} after {_SERVED_WITHIN_SECONDS:.0f} s.",
        hint="Look at its log with 'streamflow status', and at GET /model.",
    )


def _known(settings: Settings, client: PredictClient, model: ServedModel) -> str | None:
    """The first user in key order whose features are complete."""
    view = quoted(ONLINE, model.features[0].view)
    key = quoted(settings.predict.join_key)
    statement = sa.text(
        f"SELECT {key} FROM {view} v WHERE event_timestamp = (SELECT max(event_timestamp) FROM {view})"
        f" ORDER BY 1 LIMIT 100"
    )
    with transaction(settings.database) as connection:
        keys = connection.execute(statement).scalars().all()
    for entity in keys:
        with contextlib.suppress(ClientError):
            if client.features(str(entity)).problem is None:
                return str(entity)
    return None


def _incomplete(settings: Settings, model: ServedModel) -> str | None:
    """A user whose online row lacks a required feature."""
    key = quoted(settings.predict.join_key)
    with transaction(settings.database) as connection:
        for feature in model.features:
            if not feature.required:
                continue
            view, column = quoted(ONLINE, feature.view), quoted(feature.name)
            found = connection.execute(
                sa.text(f"SELECT {key} FROM {view} WHERE {column} IS NULL ORDER BY 1 LIMIT 1")
            ).scalar()
            if found is not None:
                return str(found)
    return None


def _show_addresses(settings: Settings, asked: list[Asked], seconds: float, say: Say, *, once: bool) -> None:
    url = f"http://{settings.predict.host}:{settings.predict.port}"
    say(f"\nDone in {seconds:.0f} s. Look around:")
    say(f"   API and its documentation   {url}/docs")
    say(f"   MLflow                      {settings.mlflow.tracking_uri}/#/experiments{FOR_TRAINING}")
    say(f"   Feast's feature server      {settings.feast.server_url}/docs")
    known = next((item.entity for item in asked if item.status == 200), None)
    lines = [
        "up                                   # the stack is being stopped now" if once else "status",
        "models show production",
        "train --estimator random_forest      # another version, beside the served one",
        "gate 2                               # may it replace the one in production?",
        "models history                       # what was served, who let it in, and why",
        "drops list",
    ]
    if known is not None:
        lines.insert(1, f"predict {known}")
    say("Try next:")
    for line in lines:
        say(f"   .venv/bin/streamflow {line}")
