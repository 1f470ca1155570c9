"""images/trim.py removes what no container loads, and what stays still works."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOADED = """
import sys; sys.path.insert(0, sys.argv[1])
import yaml; print(yaml.load("[1, 2]", yaml.CSafeLoader), yaml.__file__)
"""


@pytest.fixture(scope="module")
def trim():
    """The script, as a module."""
    spec = spec_from_file_location("trim", ROOT / "images" / "trim.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def site(tmp_path):
    """A folder of packages: PyYAML with its library, and an invented one."""
    site = tmp_path / "site-packages"
    shutil.copytree(Path(find_spec("yaml").origin).parent, site / "yaml")
    for name in (
        "used.py",
        "used.pyi",
        "native.c",
        "tests/test_used.py",
        "server/lib.so.1",
        "bin/dump",
        "bin/server",
    ):
        path = site / "invented" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# {name}\n")
    return site


def files(site):
    return {
        path.relative_to(site / "invented").as_posix()
        for path in site.glob("invented/**/*")
        if path.is_file()
    }


def test_sources_tests_and_what_a_rule_names_are_removed(trim, site):
    trim.trim(site, ["invented/server", "absent/thing"], {"invented/bin": {"dump"}})
    assert files(site) == {"used.py", "bin/dump"}


def test_a_library_without_its_symbols_still_works(trim, site):
    [library] = site.glob("yaml/_yaml*.so")
    before = library.stat().st_size
    trim.trim(site, [], {})
    after = library.stat().st_size
    assert after < before
    done = subprocess.run([sys.executable, "-c", LOADED, site], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[1,", "2]", str(site / "yaml" / "__init__.py")]
    content = library.read_bytes()
    assert trim.cut(content) == content, "the second cut removes nothing"
    if shutil.which("readelf"):
        shown = subprocess.run(["readelf", "-SWl", library], capture_output=True, text=True, check=True)
        assert "There are no sections" in shown.stdout
        assert "past end of file" not in shown.stdout + shown.stderr


def test_what_is_no_library_is_not_cut(trim):
    text = b"INPUT(libc.so.6)\n" * 100
    assert trim.cut(text) == text


@pytest.mark.parametrize(
    ("unused", "kept"), [(["invented/gone.*"], {}), ([], {"invented/gone": {"dump"}})], ids=["unused", "kept"]
)
def test_a_rule_that_matches_nothing_is_an_error(unused, kept, trim, site):
    with pytest.raises(SystemExit, match="matches invented/gone"):
        trim.trim(site, unused, kept)


def test_every_rule_is_about_a_package_of_a_lock(trim):
    """A package that the images no longer have needs no rule."""
    locks = "".join(
        (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
        for name in ("predict", "platform", "prefect")
    )
    for pattern in (*trim.UNUSED, *trim.KEPT):
        package = pattern.partition("/")[0].replace("_", "-")
        assert f"\n{package}==" in locks, pattern
