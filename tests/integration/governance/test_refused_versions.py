"""A version that a check refused, or that a check did not survive, is refused at once from then on. On real servers."""

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap

import onnx
import pytest
import sqlalchemy as sa
from onnx import TensorProto, helper

from streamflow import release_check
from streamflow.errors import DependencyDown, ReleaseRefused, ReleaseUnfit, StreamFlowError
from streamflow.gate.decision import promote_through_gate
from streamflow.mlflow_api import sdk
from streamflow.mlflow_api.transport import RegistryClient, registry
from streamflow.model_version import files as version_files
from streamflow.model_version import tags as version_tags
from streamflow.postgres.engine import transaction
from streamflow.registrar.look import look
from streamflow.registry import artifacts, refusals, releases, trail, trial, versions
from streamflow.registry.promote import promote, rollback
from streamflow.registry.recheck import recheck
from streamflow.release import VersionPointer

WHO = {"why": "a test", "by": "ada"}


def digest_of(settings, version):
    return versions.get(settings.mlflow, version).tags[version_tags.MANIFEST_SHA256]


def outcomes(settings, version):
    """How the checks of a version's files went, oldest first."""
    statement = (
        "SELECT outcome FROM streamflow.release_checks WHERE manifest_sha256 = :digest ORDER BY check_id"
    )
    with transaction(settings.database) as connection:
        found = connection.execute(sa.text(statement), {"digest": digest_of(settings, version)})
        return list(found.scalars())


@pytest.fixture
def spoiled(settings, make, tmp_path):
    """Makes a version that was trained here, with golden rows that do not reproduce, beside one in production."""

    def made():
        (good,) = make(1)
        promote(settings.backends, good, "staging", **WHO)
        promote(settings.backends, good, "production", **WHO)
        return good, copy_with(settings, good, tmp_path, "golden.json", wrong)

    return made


def wrong(golden):
    document = json.loads(golden)
    document["probabilities"][0] = 1 - document["probabilities"][0] + 0.01
    return json.dumps(document).encode()


def copy_with(settings, version, folder, name, change):
    """Register a copy of a version with a changed file and digests that match, as a training that went wrong would."""
    found = versions.get(settings.mlflow, version)
    with registry(settings.mlflow) as client:
        manifest = json.loads(client.file(found.source, "manifest.json", 2**20))
        for file in manifest["files"]:
            path = folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(client.file(found.source, file, 2**28))
    changed = folder / name
    changed.write_bytes(change(changed.read_bytes()))
    manifest["files"][name] = hashlib.sha256(changed.read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    digest = hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()
    model = settings.mlflow.registered_model
    with sdk.client(settings.mlflow) as client:
        run = client.create_run(sdk.experiment_id(client, settings.mlflow.experiment))
        client.log_artifacts(run.info.run_id, str(folder), version_files.MODEL)
        source = f"{run.info.artifact_uri}/{version_files.MODEL}"
    with transaction(settings.database) as connection:
        releases.record_trained(connection, model, digest, run.info.run_id, "")
    tags = {version_tags.MANIFEST_SHA256: digest}
    return versions.register(settings.mlflow, run_id=run.info.run_id, source=source, tags=tags)


def looping(rounds):
    """A change of a model that loops so many times over its input before it answers as before."""

    def change(content):
        model = onnx.load_from_string(content)
        graph, name = model.graph, model.graph.input[0].name
        body = helper.make_graph(
            [
                helper.make_node("Identity", ["on"], ["on_out"]),
                helper.make_node("Mul", ["value", "once"], ["value_out"]),
            ],
            "body",
            [
                helper.make_tensor_value_info("round", TensorProto.INT64, []),
                helper.make_tensor_value_info("on", TensorProto.BOOL, []),
                helper.make_tensor_value_info("value", TensorProto.FLOAT, None),
            ],
            [
                helper.make_tensor_value_info("on_out", TensorProto.BOOL, []),
                helper.make_tensor_value_info("value_out", TensorProto.FLOAT, None),
            ],
        )
        for node in graph.node:
            node.input[:] = ["looped" if each == name else each for each in node.input]
        graph.node.insert(0, helper.make_node("Loop", ["rounds", "", name], ["looped"], body=body))
        graph.initializer.append(helper.make_tensor("rounds", TensorProto.INT64, [], [rounds]))
        graph.initializer.append(helper.make_tensor("once", TensorProto.FLOAT, [], [1.0]))
        return bytes(model.SerializeToString())

    return change


@pytest.fixture
def no_file(monkeypatch):
    """Within its context, nothing is fetched from MLflow and no child is started."""

    @contextlib.contextmanager
    def forbidden():
        with monkeypatch.context() as patch:
            patch.setattr(RegistryClient, "file", lambda *_: pytest.fail("a file was fetched"))
            patch.setattr(release_check, "check_apart", lambda *_: pytest.fail("a child was started"))
            yield

    return forbidden


def ask_in_mlflow(settings, alias, version):
    with registry(settings.mlflow) as client:
        client.set_alias(settings.mlflow.registered_model, alias, version)


def test_a_refused_version_is_refused_at_once_whoever_asks_for_it(settings, spoiled, no_file):
    good, bad = spoiled()
    with pytest.raises(ReleaseUnfit, match="golden rows do not reproduce"):
        promote(settings.backends, bad, "staging", **WHO)
    assert outcomes(settings, bad) == ["begun", "refused"]
    with no_file():
        for ask in (
            lambda: promote(settings.backends, bad, "staging", **WHO),
            lambda: promote_through_gate(settings.backends, settings.promotion, bad, "staging", **WHO),
            lambda: promote_through_gate(settings.backends, settings.promotion, bad, "production", **WHO),
            lambda: trial.start(settings.backends, bad, "canary", **WHO),
        ):
            with pytest.raises(ReleaseUnfit, match=r"refused at .* UTC: its golden rows do not") as found:
                ask()
            assert f"streamflow models recheck {bad}" in found.value.hint
        for alias in ("staging", "canary", "challenger", "production"):
            ask_in_mlflow(settings, alias, bad)
            (answered,) = look(settings.backends, settings.promotion)
            assert (answered.alias, answered.facts["requested"]) == (alias, bad)
            assert "golden rows do not reproduce" in answered.facts["refused"][0]
    assert outcomes(settings, bad) == ["begun", "refused"]
    assert trail.targets(settings.database, settings.mlflow.registered_model)["production"] == good


@pytest.mark.parametrize(
    ("rounds", "why"),
    [(2**62, "had not ended after 3 s"), (750_000, "ms of processor time for one row, and may take 50 ms")],
    ids=["endless", "ten times slower than allowed"],
)
def test_a_poisoned_version_that_is_asked_for_in_mlflow_stops_nothing(
    settings, make, tmp_path, no_file, monkeypatch, rounds, why
):
    (good,) = make(1)
    promote(settings.backends, good, "staging", **WHO)
    promote(settings.backends, good, "production", **WHO)
    bad = copy_with(settings, good, tmp_path, "model.onnx", looping(rounds))
    ask_in_mlflow(settings, "production", bad)
    accepting = settings.promotion.model_copy(update={"outside_moves": "accept"})
    # The time of the endless one; the other needs more of it on a busy machine.
    monkeypatch.setattr(release_check, "SECONDS", 3.0 if rounds == 2**62 else 60.0)
    (answered,) = look(settings.backends, accepting)
    assert why in answered.facts["refused"][0]
    with no_file():
        ask_in_mlflow(settings, "production", bad)
        (answered,) = look(settings.backends, accepting)
        assert why in answered.facts["refused"][0]
        assert look(settings.backends, accepting) == []
    assert trail.targets(settings.database, settings.mlflow.registered_model)["production"] == good


def test_a_copy_under_another_number_is_refused_as_the_same_files(settings, spoiled, no_file):
    _, bad = spoiled()
    with pytest.raises(ReleaseUnfit):
        promote(settings.backends, bad, "staging", **WHO)
    found = versions.get(settings.mlflow, bad)
    again = versions.register(
        settings.mlflow, run_id=found.run_id, source=found.source, tags=dict(found.tags)
    )
    with no_file(), pytest.raises(ReleaseUnfit, match=f"Version {again} .*golden rows"):
        promote(settings.backends, again, "staging", **WHO)


def test_a_version_that_is_checked_again_and_passes_can_be_promoted(settings, make, monkeypatch):
    (version,) = make(1)
    with monkeypatch.context() as patch:
        # As the system does when the machine has no memory left.
        patch.setattr(release_check, "_COMMAND", ("-c", "import os; os.kill(os.getpid(), 9)"))
        with pytest.raises(ReleaseUnfit, match="SIGKILL"):
            promote(settings.backends, version, "staging", **WHO)
        with pytest.raises(ReleaseUnfit, match="not served: its check was ended"):
            recheck(settings.backends, version)
    with pytest.raises(ReleaseUnfit, match=r"refused at .*SIGKILL"):
        promote(settings.backends, version, "staging", **WHO)
    assert recheck(settings.backends, version).version.version == version
    promote(settings.backends, version, "staging", **WHO)
    assert outcomes(settings, version) == ["begun", "refused"] * 2 + ["begun", "passed"] * 2


def test_a_version_in_production_is_not_lost_to_a_check_that_this_machine_failed(settings, make, monkeypatch):
    """A rollback goes back to what was in production, whatever a later check of its files said."""
    first, second = make(1)[0], make(1)[0]
    for version in (first, second):
        promote(settings.backends, version, "staging", **WHO)
        promote(settings.backends, version, "production", **WHO)
    with monkeypatch.context() as patch:
        patch.setattr(release_check, "_COMMAND", ("-c", "import os; os.kill(os.getpid(), 9)"))
        with pytest.raises(ReleaseUnfit):
            recheck(settings.backends, first)
    assert rollback(settings.backends, **WHO).to_version == first


@pytest.mark.parametrize(
    "error",
    [DependencyDown("MLflow does not answer."), StreamFlowError("it is larger than 256 MiB"), None],
    ids=["MLflow is away", "a file cannot be fetched", "a file is missing"],
)
def test_what_is_no_property_of_the_files_is_not_remembered(settings, make, monkeypatch, error):
    (version,) = make(1)

    def fails(*_):
        if error is not None:
            raise error

    with monkeypatch.context() as patch:
        patch.setattr(RegistryClient, "file", fails)
        with pytest.raises((DependencyDown, ReleaseRefused)):
            promote(settings.backends, version, "staging", **WHO)
    assert outcomes(settings, version) == []
    promote(settings.backends, version, "staging", **WHO)


def test_files_that_are_not_the_pinned_ones_say_nothing_about_the_digest(settings, make, spoilt):
    (version,) = make(1)
    run = versions.get(settings.mlflow, version).run_id
    for path in ("model/model.onnx", "model/manifest.json"):
        with (
            spoilt(settings, run, path, lambda content: content[:-20]),
            pytest.raises(ReleaseRefused, match="not the one that was registered"),
        ):
            promote(settings.backends, version, "staging", **WHO)
    assert outcomes(settings, version) == []
    promote(settings.backends, version, "staging", **WHO)


@pytest.mark.parametrize("end", [KeyboardInterrupt(), OSError("No space left on device")])
def test_a_check_that_was_cut_short_is_no_refusal_however_often(settings, make, monkeypatch, end):
    (version,) = make(1)
    monkeypatch.setattr(refusals, "_IN_PROGRESS_SECONDS", 0)

    def ends(*_):
        raise end

    with monkeypatch.context() as patch:
        patch.setattr(release_check, "check_apart", ends)
        for _ in range(3):
            with pytest.raises(type(end)):
                promote(settings.backends, version, "staging", **WHO)
    assert outcomes(settings, version) == ["begun", "cut short"] * 3
    promote(settings.backends, version, "staging", **WHO)


def killed_in_its_check(version):
    """Promote in a process that its check takes down, as the memory limit of a container does."""
    script = textwrap.dedent(f"""
        import os, signal
        from streamflow import release_check
        from streamflow import settings as s
        from streamflow.registry import promote
        release_check._COMMAND = ("-c", "import os; os.kill(os.getppid(), 9)")
        promote.promote(s.load().backends, {version}, "staging", why="taken down", by="eve")
    """)
    done = subprocess.run([sys.executable, "-c", script], env=os.environ, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL


def test_a_version_whose_check_takes_down_its_process_is_not_tried_at_each_start(
    settings, make, monkeypatch, no_file
):
    (version,) = make(1)
    killed_in_its_check(version)
    # Perhaps still in progress, and perhaps the machine's end: one such check is no reason yet.
    assert (
        artifacts.check_known(
            settings.database, settings.mlflow.registered_model, versions.get(settings.mlflow, version)
        )
        is None
    )
    killed_in_its_check(version)
    monkeypatch.setattr(refusals, "_IN_PROGRESS_SECONDS", 0)
    with no_file():
        for _ in range(2):
            with pytest.raises(ReleaseUnfit, match="2 checks took down the process") as found:
                promote(settings.backends, version, "staging", **WHO)
            assert f"streamflow models recheck {version}" in found.value.hint
    assert outcomes(settings, version) == ["begun", "begun", "refused"]
    recheck(settings.backends, version)
    promote(settings.backends, version, "staging", **WHO)


def test_a_check_in_progress_elsewhere_is_no_reason(settings, make):
    (version,) = make(1)
    model = settings.mlflow.registered_model
    pointer = VersionPointer(model, version, digest_of(settings, version))
    with contextlib.ExitStack() as others:
        for _ in range(5):
            others.enter_context(refusals.remembered(settings.database, pointer))
        promote(settings.backends, version, "staging", **WHO)


def test_a_release_that_cannot_be_stored_is_not_checked_at_each_look(settings, spoiled, no_file, tmp_path):
    """As after an upgrade whose checks refuse what was in production."""
    good, _ = spoiled()
    digest = digest_of(settings, good)
    with transaction(settings.database) as connection:
        connection.execute(sa.text("DELETE FROM streamflow.releases"))
    pointer = VersionPointer(settings.mlflow.registered_model, good, digest)
    with pytest.raises(ReleaseUnfit), refusals.remembered(settings.database, pointer):
        raise ReleaseUnfit("refused", hint="", why="an upgrade")
    with no_file():
        assert look(settings.backends, settings.promotion) == []
    recheck(settings.backends, good)
    look(settings.backends, settings.promotion)
    with transaction(settings.database) as connection:
        assert releases.find(connection, pointer) is not None
