"""images/sizes.py fails if an image adds more to its base than it may."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Stands for docker: prints the steps of an image whose largest one has the size that the test names.
DOCKER = """\
#!/bin/sh
test "$1" = history || exit 1
printf '0\\tUSER 10001:10001\\n{bytes}\\tCOPY dir:1 in /opt/streamflow\\n500000\\tRUN python -m compileall\\n'
printf '0\\tLABEL org.opencontainers.image.title=streamflow\\n0\\tARG COMMIT=\\n227000000\\tCMD ["python3"]\\n'
"""


@pytest.fixture
def sizes():
    """The script, as a module."""
    spec = spec_from_file_location("sizes", ROOT / "images" / "sizes.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(sizes, tmp_path, monkeypatch):
    """Run the script on images of this many bytes."""

    def once(size):
        docker = tmp_path / "docker"
        docker.write_text(DOCKER.format(bytes=size))
        docker.chmod(0o755)
        monkeypatch.setenv("DOCKER", str(docker))
        monkeypatch.setenv("TAG", "t1")
        return sizes.main()

    return once


def test_what_an_image_adds_to_its_base_is_printed(run, capsys):
    assert run(99_500_000) == 0
    assert (
        capsys.readouterr().out.splitlines()[0]
        == "streamflow/predict:t1  100 MB beyond its base (at most 150)"
    )


def test_an_image_that_grew_too_large_is_named(run, capsys):
    assert run(200_000_000) == 1
    assert [line.split()[0] for line in capsys.readouterr().err.splitlines()] == ["streamflow/predict:t1"]


def test_an_image_that_was_not_built_is_an_error(sizes, monkeypatch):
    monkeypatch.setenv("DOCKER", "false")
    with pytest.raises(SystemExit, match="cannot be read"):
        sizes.main()
