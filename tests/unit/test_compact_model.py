"""A model in ONNX Runtime's own form answers with the same bits; one that cannot be had in it stays as it is."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper
from test_release_check import LABEL, constant, model, repinned, version

from streamflow import compact_model, release
from streamflow.compact_model import NotCompactError


def forest():
    """A hundred trees of one condition each, which predict from the fee."""
    count = 100
    trees = [tree for tree in range(count) for _ in range(3)]
    thresholds = [value for tree in range(count) for value in (tree / 7, 0.0, 0.0)]
    leaves = [tree for tree in range(count) for _ in range(2)]
    sums = helper.make_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["sum"],
        domain="ai.onnx.ml",
        n_targets=1,
        nodes_treeids=trees,
        nodes_nodeids=[0, 1, 2] * count,
        nodes_featureids=[0] * 3 * count,
        nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"] * count,
        nodes_values=thresholds,
        nodes_truenodeids=[1, 0, 0] * count,
        nodes_falsenodeids=[2, 0, 0] * count,
        target_treeids=leaves,
        target_nodeids=[1, 2] * count,
        target_ids=[0] * 2 * count,
        target_weights=[value for tree in range(count) for value in (1 / (tree + 300), 1 / (tree + 170))],
    )
    rest = helper.make_node("Sub", ["one", "sum"], ["rest"])
    both = helper.make_node("Concat", ["rest", "sum"], ["probabilities"], axis=1)
    return model(
        sums,
        rest,
        both,
        LABEL,
        initializers=[constant("one", [1.0], TensorProto.FLOAT)],
        opsets=[helper.make_opsetid("ai.onnx.ml", 3)],
    )


@pytest.fixture
def held(monkeypatch):
    """A release of the forest, and its files."""
    monkeypatch.setattr(release, "_check_golden", lambda *_: None)
    pointer, files = version(forest())
    return release.check(pointer, files), files


def test_every_answer_has_the_same_bits(held):
    before, files = held
    after = compact_model.compacted(before, files)
    assert after.session is not before.session
    matrix = np.random.default_rng(1).normal(7, 7, (1000, 1)).astype(np.float32)
    expected = before.infer(matrix)
    assert len(set(expected)) > 50
    assert after.infer(matrix).tobytes() == expected.tobytes()
    assert [after.infer(row[None])[0] for row in matrix] == [before.infer(row[None])[0] for row in matrix]


def test_a_child_that_fails_leaves_the_release_as_it_is(held):
    before, files = held
    with pytest.raises(NotCompactError, match="exit code 1"):
        compact_model.compacted(before, files | {"model.onnx": b"no model"})


def test_another_model_than_the_one_that_was_checked_is_not_taken(held):
    before, _ = held
    _, other = repinned(version(forest())[1] | {"model.onnx": forest().replace(b"BRANCH_LEQ", b"BRANCH_GTE")})
    with pytest.raises(NotCompactError, match="golden rows do not reproduce"):
        compact_model.compacted(before, other)


VERSIONS = {
    "cgroups 2": ("", "max", "current", "inactive_file"),
    "cgroups 1": ("memory", "limit_in_bytes", "usage_in_bytes", "total_inactive_file"),
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("used", "enough"), [(2**28, True), (2**30 - 2**28, False)])
def test_a_container_with_too_little_room_starts_no_child(held, monkeypatch, tmp_path, version, used, enough):
    before, files = held
    folder, limit, usage, cache = VERSIONS[version]
    (tmp_path / folder).mkdir(exist_ok=True)
    for name, content in ((limit, 2**30), (usage, used + 4096), ("stat", f"{cache} 4096\nanon 1")):
        (tmp_path / folder / f"memory.{name}").write_text(f"{content}\n")
    monkeypatch.setattr(compact_model, "_CGROUP", tmp_path)
    if not enough:
        monkeypatch.setattr(compact_model, "Child", lambda *_, **__: pytest.fail("a child was started"))
        with pytest.raises(NotCompactError, match="too little room"):
            compact_model.compacted(before, files)
    else:
        assert compact_model.compacted(before, files).pointer == before.pointer
