"""Tags, parameters and files of runs and model versions are named in one module each."""

import ast
from pathlib import Path

import pytest

from streamflow.model_version import files, run_record, tags

SRC = Path(__file__).resolve().parents[2] / "src" / "streamflow"
# "model", "code" and "plots" are ordinary words; a backup's manifest has the same name as a version's.
AMBIGUOUS = {files.MODEL, files.CODE, files.TRAINING_SET, files.PLOTS}
NAMES = {
    value
    for module in (files, tags)
    for name, value in vars(module).items()
    if name.isupper() and isinstance(value, str) and value not in AMBIGUOUS
}
# The other parameters are ordinary words, and names of settings.
NAMES |= {run_record.SPLIT_DIGEST, run_record.LABEL_HORIZON, run_record.DROPS_DIGEST, run_record.DROP_IDS}
# A copy of the loader stands alone in each version, so it spells what it reads.
ELSEWHERE = {"backup/dump.py": {files.MANIFEST}, "onnx_model.py": {files.CONTRACT, files.ONNX}}
MODULES = sorted(
    path for path in SRC.rglob("*.py") if path.name not in ("files.py", "tags.py", "run_record.py")
)


def _literals(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(SRC).as_posix())
def test_no_other_module_spells_a_name(module):
    allowed = ELSEWHERE.get(module.relative_to(SRC).as_posix(), set())
    assert _literals(module) & NAMES <= allowed


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(SRC).as_posix())
def test_no_other_module_builds_a_tag_from_its_prefix(module):
    assert not {
        text for text in _literals(module) if text.startswith(f"{tags.PREFIX}env.") or text == tags.PREFIX
    }


def test_the_names_are_recognized():
    assert len(NAMES) >= 25
    assert tags.AUC in _literals(SRC / "model_version" / "tags.py")
