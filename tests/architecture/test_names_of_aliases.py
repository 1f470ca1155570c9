"""The names of the model's aliases are written down once, in `model_version/aliases.py`."""

import ast
from pathlib import Path

import streamflow
from streamflow.model_version import aliases

SOURCE = Path(streamflow.__file__).parent
# To the gate and in its metrics, the challenger is the version that is judged: a role, not an alias.
ROLES = {("gate", aliases.CHALLENGER), ("monitoring", aliases.CHALLENGER)}


def test_no_other_module_spells_an_alias():
    spelled = [
        f"{path.relative_to(SOURCE)}:{node.lineno}: {node.value!r}"
        for path in sorted(SOURCE.rglob("*.py"))
        if path != Path(aliases.__file__)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant)
        and node.value in aliases.ALL_ALIASES
        and (path.relative_to(SOURCE).parts[0], node.value) not in ROLES
    ]
    assert spelled == []
