"""Only `streamflow.repo` opens the feature repo."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[2] / "src" / "streamflow"
OUTSIDE = sorted(path for path in SRC.rglob("*.py") if SRC / "repo" not in path.parents)
# What opens a feature repo: its configuration's file name, Feast's own readers of it, and the import path.
OPENERS = {"feature_store.yaml", "load_repo_config", "parse_repo"}


def _openers(tree: ast.Module) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)) if text in OPENERS:
                found.add(text)
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.alias(name=name) if name in OPENERS:
                found.add(name)
            case ast.Call(func=ast.Name(id="RepoConfig") | ast.Attribute(attr="RepoConfig")):
                found.add("RepoConfig(…)")
            case ast.Attribute(value=ast.Attribute(value=ast.Name(id="sys"), attr="path")):
                found.add("sys.path")
            case ast.keyword(arg="repo_path") | ast.keyword(arg="fs_yaml_file"):
                found.add(f"FeatureStore({node.arg}=…)")
    return found


@pytest.mark.parametrize("module", OUTSIDE, ids=lambda path: path.relative_to(SRC).as_posix())
def test_a_module_outside_repo_does_not_open_the_feature_repo(module):
    assert _openers(ast.parse(module.read_text(encoding="utf-8"))) == set()


def test_the_door_itself_is_recognized():
    found = set[str]()
    for path in (SRC / "repo").rglob("*.py"):
        found |= _openers(ast.parse(path.read_text(encoding="utf-8")))
    assert found >= {"feature_store.yaml", "RepoConfig(…)", "sys.path"}
