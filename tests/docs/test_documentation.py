"""What the documentation names exists: commands, make targets, settings, links, files."""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamflow.cli import main as command_line
from streamflow.cli.settings import flatten
from streamflow.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path.relative_to(ROOT)
    for pattern in ("*.md", "docs/**/*.md", "charts/**/*.md", "images/**/*.md", "k8s-jobs/*.md", "bench/*.md")
    for path in ROOT.glob(pattern)
)
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_PLACEHOLDER = re.compile(r"[A-Z]{2,}|…|<")


def _text(page: Path) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def _shell_lines(page: Path) -> Iterator[str]:
    """Lines of shell blocks, continued lines joined."""
    for language, block in _FENCE.findall(_text(page)):
        if language in ("bash", "sh", "shell", "console"):
            yield from block.replace("\\\n", " ").splitlines()


def _calls(page: Path, program: str) -> Iterator[tuple[str, list[str]]]:
    """Each call of a program on a page, in blocks and in running text, with its arguments."""
    inline = _INLINE.findall(_FENCE.sub("", _text(page)))
    for line in (*_shell_lines(page), *inline):
        for part in re.split(r"\s*(?:&&|\|\||;|\||&)\s*", line):
            try:
                words = shlex.split(part, comments=True)
            except ValueError:
                continue
            while words and re.fullmatch(r"[A-Z_0-9]+=.*", words[0]):
                words = words[1:]
            if words and words[0].rpartition("/")[2] == program:
                yield line, words[1:]


def _of_all_pages(program: str) -> list[Any]:
    found = {
        (str(page), line): (page, line, arguments)
        for page in PAGES
        for line, arguments in _calls(page, program)
    }
    return [pytest.param(line, arguments, id=f"{page}: {line}") for page, line, arguments in found.values()]


@functools.cache
def _command(name: str) -> Any:
    return command_line.load(name)


def _options(command: Any) -> set[str]:
    names = {"--help", "-h"}
    for parameter in command.params:
        names |= {*parameter.opts, *parameter.secondary_opts} if parameter.opts[0].startswith("-") else set()
    return names


@pytest.mark.parametrize(("line", "arguments"), _of_all_pages("streamflow"))
def test_a_command_in_the_documentation_is_one_that_there_is(line, arguments):
    words = [word for word in arguments if word != "--debug"]
    if not words or words[0] in ("--help", "--version", "-h") or _PLACEHOLDER.search(words[0]):
        return
    assert words[0] in command_line.COMMANDS, line
    command = _command(words.pop(0))
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        if _PLACEHOLDER.search(words[0]):
            return
        # `models list|show|promote`: each of them.
        names = re.split(r"[|/,]", words.pop(0))
        assert set(names) <= set(command.commands), line
        command = command.commands[names[-1]]
    used = {word.partition("=")[0] for word in words if re.match(r"-{1,2}[A-Za-z]", word)}
    assert used <= _options(command), line
    if hasattr(command, "commands") or "`" in line or (not used and not words):
        return
    if not any(_PLACEHOLDER.search(word) for word in words) and line.strip().startswith(
        ("streamflow", ".venv")
    ):
        # Nothing is left open: it is a call as somebody would type it.
        command.make_context(command.name, list(words), resilient_parsing="--help" in words)


def _targets() -> set[str]:
    makefiles = [ROOT / "Makefile", *ROOT.glob("*/*.mk")]
    return {
        name
        for file in makefiles
        for match in re.findall(r"^([a-z][a-z0-9 -]*):", file.read_text(encoding="utf-8"), re.MULTILINE)
        for name in match.split()
    }


@pytest.mark.parametrize(("line", "arguments"), _of_all_pages("make"))
def test_a_make_target_in_the_documentation_is_one_that_there_is(line, arguments):
    named = {word for word in arguments if re.fullmatch(r"[a-z][a-z0-9-]*", word)}
    assert named <= _targets(), line


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_a_setting_in_the_documentation_is_one_that_there_is(page):
    known = {name for name, _, _ in flatten(Settings(), "STREAMFLOW")} | {
        "STREAMFLOW_HOME",
    }
    sections = {name.rpartition("__")[0] for name in known}
    former = (
        set(re.findall(r"replaces `(STREAMFLOW_\w+)`", _text(page))) if page.name == "CHANGELOG.md" else set()
    )
    assert not former & known, "the changelog says that it was replaced"
    for name in set(re.findall(r"\bSTREAMFLOW_[A-Z_]*[A-Z]\b", _text(page))) - former:
        assert name in known | sections, f"{page} names {name}"


def _slug(heading: str) -> str:
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_link_within_the_project_leads_somewhere(page):
    for target in _LINK.findall(_FENCE.sub("", _text(page))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        place = ((ROOT / page).parent / path).resolve() if path else ROOT / page
        assert place.exists(), f"{page} links to {target}"
        assert place.is_relative_to(ROOT), f"{page} links out of the project: {target}"
        if anchor and place.suffix == ".md":
            headings = re.findall(r"^#+ (.*)$", place.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {_slug(heading) for heading in headings}, f"{page} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_file_of_the_project_that_a_page_names_is_there(page):
    folders = {
        "src",
        "tests",
        "docs",
        "charts",
        "images",
        "k8s-jobs",
        "feature_repo",
        "requirements",
        "scripts",
    }
    for named in _INLINE.findall(_FENCE.sub("", _text(page))):
        if named.split("/")[0] in folders and re.fullmatch(r"[\w./-]+", named) and "/" in named:
            assert (ROOT / named).exists(), f"{page} names {named}"


def test_the_changelog_has_its_versions_and_their_sections_in_order():
    first, *released = re.findall(r"^## (.*)$", _text(Path("CHANGELOG.md")), re.MULTILINE)
    assert first == "Unreleased"
    dates = [re.fullmatch(r"\d+\.\d+\.\d+ - (\d{4}-\d\d-\d\d)", version)[1] for version in released]
    assert dates == sorted(dates, reverse=True)
    for part in re.split(r"^## ", _text(Path("CHANGELOG.md")), flags=re.MULTILINE)[1:]:
        sections = re.findall(r"^### (.*)$", part, re.MULTILINE)
        order = ["Added", "Changed", "Fixed", "Removed"]
        assert sections == [section for section in order if section in sections], part.splitlines()[0]


def test_the_readme_begins_with_two_commands_that_work_here():
    commands = [line.split("#")[0].strip() for line in _shell_lines(Path("README.md"))]
    assert {"make demo", "make test"} <= set(commands[:4])
