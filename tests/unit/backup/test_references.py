"""A backup that lacks anything that the ledger refers to is not made, and the error names it."""

import hashlib
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow.backup.archive import Packed
from streamflow.backup.references import (
    Checked,
    Ledger,
    Needed,
    Registry,
    Version,
    check,
    from_api,
    pinned_files,
)
from streamflow.errors import StreamFlowError


def sha(content):
    return hashlib.sha256(content).hexdigest()


class World:
    """Versions whose rows, tags, runs and files all fit each other."""

    def __init__(self, kinds):
        self.needed, self.versions, self.runs = [], [], set()
        self.digests, self.manifests, self.trained = {}, {}, set()
        for number, kind in enumerate(kinds, start=1):
            folder = f"1/run{number}/artifacts/model"
            names = {name: sha(f"{name} of {number}".encode()) for name in ("contract.json", "model.onnx")}
            manifest = json.dumps({"files": names}).encode()
            self.digests |= {f"{folder}/{name}": digest for name, digest in names.items()}
            self.digests[f"{folder}/manifest.json"] = sha(manifest)
            self.manifests[f"{folder}/manifest.json"] = manifest
            self.trained.add(sha(manifest))
            self.versions.append(
                Version(number, f"run{number}", f"mlflow-artifacts:/{folder}", False, sha(manifest))
            )
            self.runs.add(f"run{number}")
            if kind != "challenger":
                alias = "production" if kind == "production" else ""
                self.needed.append(Needed(number, number + 10, f"run{number}", sha(manifest), alias))

    def check(self, excepted=()):
        return check(
            Ledger(tuple(self.needed), frozenset(self.trained)),
            Registry(tuple(self.versions), frozenset(self.runs)),
            Packed(self.digests, self.manifests, tuple(item.version for item in self.versions), ()),
            excepted,
        )

    def refused(self, excepted=()):
        with pytest.raises(StreamFlowError, match="No older backup was deleted") as error:
            self.check(excepted)
        assert error.value.hint
        return error.value.details


worlds = st.lists(st.sampled_from(["production", "stored", "challenger"]), min_size=1, max_size=5).map(World)


@given(worlds)
def test_a_complete_backup_passes(world):
    assert world.check() == Checked((), ())


@given(worlds, st.data())
def test_a_file_that_is_missing_or_changed_is_named_with_its_version(world, data):
    path = data.draw(st.sampled_from(sorted(world.digests)))
    number = int(path.split("/")[1].removeprefix("run"))
    if data.draw(st.booleans()):
        del world.digests[path]
        state = "is missing"
    else:
        world.digests[path] = "0" * 64
        state = "has changed"
    assert world.refused() == (f"Version {number}: {path} {state} among the files in MLflow.",)
    assert world.check([number]) == Checked((), (number,))


@given(worlds, st.data())
def test_a_version_or_run_that_the_ledger_knows_and_mlflow_has_not_is_named_with_its_row(world, data):
    number = data.draw(st.sampled_from([item.version for item in world.versions]))
    what = data.draw(st.sampled_from(["version", "run", "other"]))
    known = number in {item.version for item in world.needed}
    index = number - 1
    if what == "version":
        del world.versions[index]
        world.digests = {
            path: digest for path, digest in world.digests.items() if f"run{number}/" not in path
        }
    elif what == "run":
        world.runs.remove(f"run{number}")
    else:
        world.versions[index] = replace(world.versions[index], manifest_sha256="1" * 64)
    if not known:
        # Nothing refers to it. With another digest, nothing pins its files either.
        assert world.check() == Checked((), (number,) if what == "other" else ())
        return
    (problem,) = world.refused()
    assert problem.startswith(f"Version {number}, which ")
    assert f"by row {number + 10} of the ledger" in problem
    assert world.check([number]).unchecked == (number,)


@given(worlds, st.data())
def test_a_version_that_was_deleted_in_mlflow_is_named_and_no_error(world, data):
    number = data.draw(st.sampled_from([item.version for item in world.versions]))
    item = world.versions[number - 1]
    world.versions[number - 1] = replace(item, deleted=True, source="REDACTED-SOURCE-PATH", run_id="REDACTED")
    world.runs.discard(f"run{number}")
    packed = [item.version for item in world.versions if not item.deleted]
    checked = check(
        Ledger(tuple(world.needed), frozenset(world.trained)),
        Registry(tuple(world.versions), frozenset(world.runs)),
        Packed(world.digests, world.manifests, tuple(packed), ()),
        (),
    )
    known = number in {item.version for item in world.needed}
    assert checked == Checked((number,) if known else (), ())


def test_versions_that_no_training_made_or_that_are_kept_elsewhere_keep_no_backup_from_being_made():
    world = World(["production"])
    world.versions.append(Version(2, "run2", "mlflow-artifacts:/1/run2/artifacts/model", False, "2" * 64))
    world.versions.append(Version(3, "run3", "s3://bucket/run3", False, "3" * 64))
    packed = Packed(world.digests, world.manifests, (1, 2), (3,))
    ledger = Ledger(tuple(world.needed), frozenset({*world.trained, "3" * 64}))
    registry = Registry(tuple(world.versions), frozenset(world.runs))
    assert check(ledger, registry, packed, ()) == Checked((), (2,))


def test_damaged_releases_are_named_whatever_else_is_backed_up():
    ledger = Ledger(problems=("The stored release abc is damaged: model.onnx has changed.",))
    with pytest.raises(StreamFlowError) as error:
        check(ledger, None, None, ())
    assert error.value.details == ledger.problems


def test_versions_are_read_from_mlflows_api_too():
    tag = {"key": "streamflow.manifest_sha256", "value": "d" * 64}
    found = from_api([{"version": "2", "run_id": "r", "source": "mlflow-artifacts:/1/r", "tags": [tag]}])
    assert found == Registry((Version(2, "r", "mlflow-artifacts:/1/r", False, "d" * 64),), None)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"files": 3}', b"\xff"])
def test_a_manifest_that_cannot_be_read_pins_nothing(content):
    assert pinned_files(content) == {}
