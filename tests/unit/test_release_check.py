"""A model version that cannot be checked harms nobody: its check is ended, and the version is refused."""

from __future__ import annotations

import hashlib
import json
import time

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from streamflow import release, release_check
from streamflow.errors import ReleaseRefused, ReleaseUnfit
from streamflow.model_version.contract import Contract, Feature, View
from streamflow.release import VersionPointer

CONTRACT = Contract(
    model="churn",
    feature_service="s",
    join_key="user_id",
    features=(Feature("fee", "bills", "float"),),
    views=(View("bills", None),),
    threshold=0.5,
    label={},
    estimator="e",
    as_of="",
    known_at="",
    fingerprint="",
)


def model(*nodes, initializers=(), opsets=()):
    """A model whose nodes make `label` and `probabilities`, of shape (n, 2), from `x`, of shape (n, 1)."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 1])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, [None]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, None]),
        ],
        initializers,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), *opsets])
    made.ir_version = 9
    return made.SerializeToString()


def constant(name, values, kind=TensorProto.INT64):
    return helper.make_tensor(
        name, kind, [len(values)] if isinstance(values, list) else [], np.atleast_1d(values).tolist()
    )


LABEL = helper.make_node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=0)


def good():
    halves = helper.make_node("Mul", ["both", "half"], ["probabilities"])
    both = helper.make_node("Concat", ["one", "one"], ["both"], axis=1)
    one = helper.make_node("Exp", ["zero"], ["one"])
    zero = helper.make_node("Sub", ["x", "x"], ["zero"])
    return model(zero, one, both, halves, LABEL, initializers=[constant("half", [0.5], TensorProto.FLOAT)])


def endless():
    """A loop of 2^62 rounds."""
    return looping(2**62)


def looping(rounds):
    """A loop of so many rounds, which leaves probabilities of 0.5 when it ends."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["on"], ["on_out"]),
            helper.make_node("Mul", ["value", "one"], ["value_out"]),
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
    halves = helper.make_node("Clip", ["x", "half", "half"], ["halves"])
    loop = helper.make_node("Loop", ["rounds", "", "halves"], ["looped"], body=body)
    both = helper.make_node("Concat", ["looped", "looped"], ["probabilities"], axis=1)
    numbers = [constant("half", 0.5, TensorProto.FLOAT), constant("one", 1.0, TensorProto.FLOAT)]
    return model(halves, loop, both, LABEL, initializers=[constant("rounds", rounds), *numbers])


def greedy():
    """A tensor of 2 GiB."""
    large = helper.make_node("Expand", ["half", "shape"], ["large"])
    least = helper.make_node("ReduceMax", ["large"], ["probabilities"], axes=[0], keepdims=1)
    sizes = [constant("shape", [2**28, 2]), constant("half", [0.5], TensorProto.FLOAT)]
    return model(large, least, LABEL, initializers=sizes)


def elsewhere():
    """A tensor in another file."""
    weight = TensorProto(
        name="half",
        data_type=TensorProto.FLOAT,
        dims=[1],
        data_location=TensorProto.EXTERNAL,
        external_data=[onnx.StringStringEntryProto(key="location", value="/etc/hostname")],
    )
    both = helper.make_node("Concat", ["x", "x"], ["both"], axis=1)
    return model(
        both, helper.make_node("Mul", ["both", "half"], ["probabilities"]), LABEL, initializers=[weight]
    )


def unknown():
    """An operator of another domain."""
    odd = helper.make_node("Anything", ["x"], ["probabilities"], domain="example.org")
    return model(odd, LABEL, opsets=[helper.make_opsetid("example.org", 1)])


def version(content):
    """The files of a version with this model, and the pointer that pins them."""
    files = {
        "contract.json": CONTRACT.to_json().encode(),
        "golden.json": json.dumps({"rows": [[1.0], [2.0]], "probabilities": [0.5, 0.5]}).encode(),
        "model.onnx": content,
    }
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    files["manifest.json"] = json.dumps({"files": digests}).encode()
    return VersionPointer("churn", 7, hashlib.sha256(files["manifest.json"]).hexdigest()), files


def test_a_good_version_is_a_release():
    pointer, files = version(good())
    made = release_check.check(pointer, files)
    assert made.pointer == pointer
    assert made.probabilities([[3.0]]).tolist() == [0.5]


def test_a_release_does_not_keep_the_bytes_of_its_model():
    pointer, files = version(good())
    session = release.check(pointer, files).session
    assert files["model.onnx"] not in vars(session).values()


def test_the_child_refuses_with_the_same_words_as_a_check_in_this_process():
    pointer, files = version(good())
    files["golden.json"] = json.dumps({"rows": [[1.0]], "probabilities": [0.9]}).encode()
    pointer, files = repinned(files)
    with pytest.raises(ReleaseRefused) as here:
        release.check(pointer, files)
    with pytest.raises(ReleaseRefused) as apart:
        release_check.check_apart(pointer, files)
    assert (apart.value.what, apart.value.hint) == (here.value.what, here.value.hint)


def repinned(files):
    named = {name: data for name, data in files.items() if name != "manifest.json"}
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in named.items()}
    manifest = json.dumps({"files": digests}).encode()
    return VersionPointer("churn", 7, hashlib.sha256(manifest).hexdigest()), named | {
        "manifest.json": manifest
    }


def test_a_loop_without_end_is_ended(monkeypatch):
    monkeypatch.setattr(release_check, "SECONDS", 5.0)
    began = time.monotonic()
    with pytest.raises(ReleaseUnfit, match="had not ended after 5 s"):
        release_check.check(*version(endless()))
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    ("content", "why"),
    [(greedy, "allocate"), (elsewhere, "cannot be loaded"), (unknown, "cannot be loaded")],
    ids=["2 GiB", "another file", "another domain"],
)
def test_a_version_that_needs_more_than_a_check_allows_is_refused(content, why):
    with pytest.raises(ReleaseUnfit, match=why):
        release_check.check(*version(content()))


@pytest.mark.fault("F11")
def test_a_version_that_takes_ten_times_the_time_allowed_for_a_row_is_refused_with_the_figures():
    with pytest.raises(
        ReleaseUnfit, match=r"takes [\d,]{3,}\.\d ms of processor time for one row, and may take 50 ms"
    ):
        release_check.check(*version(looping(750_000)))


class Paced:
    """A release whose answers take that many seconds of processor time, one after the other."""

    pointer = VersionPointer("churn", 7, "")

    def __init__(self, monkeypatch, seconds):
        self._seconds, self._now = iter(seconds), 0.0
        monkeypatch.setattr(release_check.time, "process_time", lambda: self._now)

    def probabilities(self, rows):
        assert len(rows) == 1
        self._now += next(self._seconds)


def test_the_median_row_counts_so_that_a_disturbed_measurement_refuses_nothing(monkeypatch):
    release_check.check_pace(
        Paced(monkeypatch, [0.9, 0.04, 0.049, 0.9, 0.04, 0.049, 0.9, 0.04, 0.049]), [[1.0]]
    )
    with pytest.raises(ReleaseUnfit, match=r"takes 51\.0 ms"):
        release_check.check_pace(Paced(monkeypatch, [0.051, 0.04] * 5), [[1.0], [2.0]])


def test_a_model_that_is_very_slow_is_measured_only_until_that_is_known(monkeypatch):
    with pytest.raises(ReleaseUnfit, match=r"takes 4,000\.0 ms"):
        release_check.check_pace(Paced(monkeypatch, [4.0]), [[1.0]])


def no_number():
    """NaN for every row."""
    zero = helper.make_node("Sub", ["x", "x"], ["zero"])
    nan = helper.make_node("Div", ["zero", "zero"], ["nan"])
    return model(zero, nan, helper.make_node("Concat", ["nan", "nan"], ["probabilities"], axis=1), LABEL)


def of_text():
    """A model that takes text."""
    made = onnx.load_from_string(good())
    made.graph.input[0].type.tensor_type.elem_type = TensorProto.STRING
    return made.SerializeToString()


def of_two():
    """A model that takes two columns, of which its contract has one."""
    made = onnx.load_from_string(good())
    made.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 2
    return made.SerializeToString()


@pytest.mark.fault("F11")
@pytest.mark.parametrize(
    ("content", "why"),
    [
        (lambda: good()[:-20], "cannot be loaded"),
        (no_number, "do not reproduce"),
        (of_text, "cannot be loaded"),
        (of_two, "fails on its golden rows"),
    ],
    ids=["truncated", "no number", "another type", "a missing column"],
)
def test_a_spoiled_model_is_refused_although_its_digests_match(content, why):
    with pytest.raises(ReleaseUnfit, match=why):
        release_check.check(*version(content()))


@pytest.mark.fault("F11")
@pytest.mark.parametrize(
    ("feature", "why"),
    [({"type": "complex"}, "features.0.type"), ({"view": "elsewhere"}, "elsewhere")],
    ids=["a type that there is not", "a column of no view"],
)
def test_a_spoiled_contract_is_refused_although_its_digests_match(feature, why):
    _, files = version(good())
    contract = json.loads(files["contract.json"])
    contract["features"][0].update(feature)
    with pytest.raises(ReleaseUnfit, match=why):
        release_check.check(*repinned(files | {"contract.json": json.dumps(contract).encode()}))


def test_what_the_files_are_not_the_reason_for_is_no_property_of_them(monkeypatch):
    pointer, files = version(good())
    with pytest.raises(ReleaseRefused) as other:
        release_check.check(pointer, files | {"model.onnx": good()[:-20]})
    monkeypatch.setattr(release_check, "_COMMAND", ("-c", "import sys; sys.exit(1)"))
    with pytest.raises(ReleaseRefused, match="exit code 1") as broken:
        release_check.check(pointer, files)
    monkeypatch.setattr(release_check, "_COMMAND", ("-c", "import os; os.kill(os.getpid(), 15)"))
    with pytest.raises(ReleaseRefused, match="SIGTERM") as ended:
        release_check.check(pointer, files)
    monkeypatch.setattr(release_check, "_COMMAND", ("-c", "pass"))
    with pytest.raises(ReleaseRefused, match="golden rows do not reproduce") as here:
        release_check.check(*repinned(files | {"golden.json": b'{"rows": [[1.0]], "probabilities": [0.9]}'}))
    for found in (other, broken, ended, here):
        assert not isinstance(found.value, ReleaseUnfit)


def test_files_that_are_not_those_of_the_version_start_no_child(monkeypatch):
    pointer, files = version(good())
    monkeypatch.setattr(release_check, "check_apart", lambda *_: pytest.fail("a child was started"))
    with pytest.raises(ReleaseRefused, match=r"model\.onnx is not the one"):
        release_check.check(pointer, files | {"model.onnx": b"other"})
    with pytest.raises(ReleaseRefused, match="cannot be checked"):
        release_check.check(pointer, {name: data for name, data in files.items() if name != "golden.json"})


def test_a_child_sees_no_secret(monkeypatch):
    monkeypatch.setenv("STREAMFLOW_DATABASE__PASSWORD", "hidden")
    monkeypatch.setattr(
        release_check,
        "_COMMAND",
        ("-c", "import os, sys; sys.exit('STREAMFLOW_DATABASE__PASSWORD' in os.environ)"),
    )
    release_check.check_apart(*version(good()))


def test_a_child_that_is_killed_is_named(monkeypatch):
    monkeypatch.setattr(release_check, "_COMMAND", ("-c", "import os; os.kill(os.getpid(), 9)"))
    with pytest.raises(ReleaseUnfit, match="ended by signal SIGKILL") as killed:
        release_check.check_apart(*version(good()))
    # The system kills what takes too much memory, which may have been somebody else's.
    assert "streamflow models recheck 7" in killed.value.hint


def test_processor_time_is_limited(monkeypatch):
    code = "from streamflow import release_check as r; r.CPU_SECONDS = 1; r.limit(0)\nwhile True: pass"
    monkeypatch.setattr(release_check, "_COMMAND", ("-c", code))
    with pytest.raises(ReleaseUnfit, match="of processor time"):
        release_check.check_apart(*version(good()))
