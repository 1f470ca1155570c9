"""The digest of the code: the same wherever the same files are, another when one of them changes."""

import subprocess
import zipfile
from pathlib import Path

import pytest

from streamflow.settings import BuildSettings
from streamflow.training import lineage

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    """Two clones in folders of different names, and what an image installs: the wheel."""
    folder = tmp_path_factory.mktemp("copies")
    clones = [folder / "a" / "streamflow", folder / "b" / "elsewhere"]
    for clone in clones:
        subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True, capture_output=True)
    wheels = folder / "wheels"
    subprocess.run(
        ["uv", "build", "-q", "--offline", "--wheel", "--out-dir", str(wheels), str(clones[0])],
        check=True,
        capture_output=True,
    )
    with zipfile.ZipFile(next(wheels.glob("*.whl"))) as wheel:
        wheel.extractall(folder / "image")
    return [
        clones[0] / "src" / "streamflow",
        clones[1] / "src" / "streamflow",
        folder / "image" / "streamflow",
    ]


def test_two_clones_and_an_installed_package_have_the_same_digest(copies):
    digests = {lineage.files_digest(lineage.tree(copy)) for copy in copies}
    assert len(digests) == 1
    assert len(lineage.tree(copies[0])) > 50


def test_the_feature_repo_has_the_same_digest_in_both_clones(copies):
    repos = [copy.parents[1] / "feature_repo" for copy in copies[:2]]
    assert lineage.files_digest(lineage.tree(repos[0])) == lineage.files_digest(lineage.tree(repos[1]))


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "a.py").write_text("x = 2\n"),
        lambda root: (root / "a.py").rename(root / "b.py"),
        lambda root: (root / "new.sql").write_text("SELECT 1"),
        lambda root: (root / "a.py").unlink(),
    ],
)
def test_any_change_of_a_source_file_changes_the_digest(tmp_path, change):
    (tmp_path / "a.py").write_text("x = 1\n")
    before = lineage.files_digest(lineage.tree(tmp_path))
    change(tmp_path)
    assert lineage.files_digest(lineage.tree(tmp_path)) != before


def test_what_is_no_source_does_not_count(tmp_path):
    (tmp_path / "a.py").write_text("x = 1\n")
    before = lineage.tree(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.py").write_text("cached")
    (tmp_path / "notes.txt").write_text("mine")
    assert lineage.tree(tmp_path) == before


def test_a_run_says_all_that_it_was_made_by(feature_repo):
    tags = lineage.lineage(feature_repo, BuildSettings(image="platform:1"))
    assert len(tags["streamflow.code.commit"]) == 40
    assert tags["streamflow.code.dirty"] in ("true", "false")
    for name in ("code.digest", "code.feature_repo_digest", "env.lock", "env.packages_digest"):
        assert len(tags[f"streamflow.{name}"]) == 64, name
    assert "openblas" in tags["streamflow.env.blas"]
    assert tags["streamflow.env.image"] == "platform:1"
    assert tags["streamflow.env.python"].startswith("3.")
    assert set(lineage.sources(feature_repo)) >= {"streamflow/training/fit.py", "feature_repo/label.py"}
