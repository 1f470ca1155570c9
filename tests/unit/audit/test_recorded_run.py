"""Which artifacts of a run can be trusted, and the outcome when a run cannot be repeated."""

import hashlib
import json

import pytest

from streamflow.audit.reproduce import recorded_run
from streamflow.audit.reproduce.rerun import cannot_tell, in_words
from streamflow.errors import Refused
from streamflow.model_version import files as version_files
from streamflow.model_version import tags as version_tags
from streamflow.model_version.contract import drops_digest


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def files():
    contents = {version_files.CONTRACT: b"{}", version_files.GOLDEN: b"[]"}
    manifest = {"files": {name: sha256(content) for name, content in contents.items()}}
    return {version_files.MANIFEST: json.dumps(manifest).encode(), **contents}


def trusted(files, pins=()):
    problems = {}
    return recorded_run._trusted(files, set(pins), problems), problems


def test_files_that_match_the_registered_manifest_are_trusted(files):
    both = {version_files.CONTRACT: b"{}", version_files.GOLDEN: b"[]"}
    assert trusted(files) == (both, {})
    assert trusted(files, ["0" * 64, sha256(files[version_files.MANIFEST])]) == (both, {})


def test_nothing_is_trusted_under_a_manifest_that_is_not_the_registered_one(files):
    found, problems = trusted(files, ["0" * 64])
    assert found == {}
    assert problems == {
        name: f"{version_files.MANIFEST} is not the one that was recorded, so {name} cannot be trusted."
        for name in (version_files.CONTRACT, version_files.GOLDEN)
    }


@pytest.mark.parametrize(
    "manifest", [None, b"", b"[]", b"no json", b"{}", b'{"files": []}', b'{"files": {}}']
)
def test_nothing_is_trusted_under_a_manifest_that_lists_no_files(files, manifest):
    found, problems = trusted({**files, version_files.MANIFEST: manifest})
    assert found == {}
    assert set(problems) == {version_files.CONTRACT, version_files.GOLDEN}


def test_a_file_that_is_missing_or_changed_has_its_reason(files):
    found, problems = trusted({**files, version_files.GOLDEN: None})
    assert (found, problems) == (
        {version_files.CONTRACT: b"{}"},
        {version_files.GOLDEN: f"{version_files.GOLDEN} is missing."},
    )
    found, problems = trusted({**files, version_files.CONTRACT: b"{ }"})
    assert found == {version_files.GOLDEN: b"[]"}
    assert problems == {
        version_files.CONTRACT: f"{version_files.CONTRACT} is not the one that was recorded: its digest differs."
    }


DROPS = [{"drop_id": "a", "digest": "1"}, {"drop_id": "b", "digest": "2"}]


def test_the_drops_of_a_run_are_those_of_its_digest():
    assert recorded_run._drops({"drops": DROPS}, drops_digest(DROPS)) == DROPS
    assert recorded_run._drops({"drops": DROPS}, None) == DROPS
    assert recorded_run._drops({"drops": DROPS[:1]}, drops_digest(DROPS)) is None


@pytest.mark.parametrize("facts", [None, {}, {"drops": "a"}, {"drops": [{"drop_id": "a"}]}])
def test_a_list_of_drops_that_cannot_be_read_is_none(facts):
    assert recorded_run._drops(facts, None) is None


def test_only_the_tags_of_streamflow_are_read_without_their_prefix():
    tags = {"streamflow.env.python": "3", "mlflow.user": "ada", "x.streamflow.y": "1"}
    assert version_tags.own(tags) == {"env.python": "3"}


def test_an_attempt_that_failed_cannot_tell_about_any_layer():
    found = cannot_tell("r", "MLflow does not answer.", "Try again.")
    assert (found.run_id, found.verdict, found.exit_code, found.trained_on, found.fingerprint) == (
        "r",
        "cannot tell",
        4,
        "nothing",
        "",
    )
    assert [(layer.name, layer.verdict) for layer in found.layers] == [
        (name, "unknown") for name in ("data", "code", "environment", "result")
    ]
    assert {layer.lines for layer in found.layers} == {("MLflow does not answer.", "Try again.")}


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (Refused("No."), "No."),
        (ValueError("\n first line \nsecond"), "ValueError: first line "),
        (ValueError("x" * 400), "ValueError: " + "x" * 300),
        (KeyError(), "KeyError"),
    ],
)
def test_an_error_becomes_one_line(error, text):
    assert in_words(error) == text
