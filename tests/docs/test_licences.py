"""Every pinned package has a known and allowed licence, and docs/licences.md lists it."""

from __future__ import annotations

import subprocess
import sys
from email.message import Message
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "licences"


@pytest.fixture(scope="module")
def licences():
    """The script, as a module."""
    loader = SourceFileLoader("licences", str(SCRIPT))
    module = module_from_spec(spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


def package(**fields):
    message = Message()
    for name, values in fields.items():
        for value in values if isinstance(values, list) else [values]:
            message[name.replace("_", "-")] = value
    return message


def test_the_page_is_current_and_every_licence_is_allowed():
    done = subprocess.run([sys.executable, SCRIPT, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_lock_of_an_image_is_listed(licences):
    uses = licences.pinned()
    assert {path.stem for path in (ROOT / "images").iterdir() if path.is_dir()} <= set(licences.USES)
    assert uses["onnxruntime"] == "predict image"
    assert uses["mlflow"] == "platform image"
    assert uses["prefect"] == "prefect image"
    assert uses["pytest"] == "development"


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        (package(License_Expression="MIT OR Apache-2.0", License="other"), "MIT OR Apache-2.0"),
        (package(License="Apache License 2.0"), "Apache-2.0"),
        (package(License="BSD 3-Clause License\n\nCopyright …"), "BSD-3-Clause"),
        (package(License="MPL-2.0 AND MIT"), "MPL-2.0 AND MIT"),
        (package(Classifier=["License :: OSI Approved :: MIT License", "Topic :: Office"]), "MIT"),
        # What could be several licences is none.
        (package(Classifier="License :: OSI Approved :: BSD License"), None),
        (
            package(
                Classifier=[
                    "License :: OSI Approved :: MIT License",
                    "License :: OSI Approved :: BSD License",
                ]
            ),
            None,
        ),
        (package(License="Dual License"), None),
        (package(), None),
    ],
)
def test_a_licence_is_what_the_metadata_clearly_mean(licences, stated, expected):
    assert licences.stated_by(stated) == expected


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT", True),
        ("GPL-3.0-only", False),
        ("GPL-3.0-only OR MIT", True),
        ("GPL-3.0-only AND MIT", False),
        ("(GPL-3.0-only OR MIT) AND Apache-2.0", True),
        ("Apache-2.0 WITH LLVM-exception", False),
        ("no such licence", False),
    ],
)
def test_an_expression_is_allowed_if_it_leaves_an_allowed_choice(licences, expression, allowed):
    assert licences.is_allowed(expression, {"MIT", "Apache-2.0"}) is allowed


def test_an_unknown_a_refused_and_a_vain_licence_are_reported(licences):
    found = {"a": "MIT", "b": "", "c": "AGPL-3.0-only"}
    first, second, third = licences.problems(found, {"MIT"}, {"d"})
    assert first.startswith("b: its licence is unknown")
    assert second.startswith("c: AGPL-3.0-only is not allowed")
    assert third.startswith("d: pyproject.toml states its licence, but no lock has it")
