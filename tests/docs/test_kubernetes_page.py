"""Each command block of docs/kubernetes.md is run by a test on a cluster, or cannot be, for a reason given here.

The tests of tests/cluster take the blocks from the page with `page_block`; those which nobody takes are found here.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "kubernetes.md"
# By heading and number of the block below it.
NOT_ON_A_CLUSTER = {
    (
        "Images",
        1,
    ): "pushes to a registry, and the cluster of the tests has none; tests/chart/test_images.py runs the block",
    (
        "TLS to the database",
        0,
    ): "needs cert-manager, which the cluster lacks; tests/chart/test_tls.py renders its values",
    ("Any moment: an archive of the WAL", 0): "needs the operator CloudNativePG, which the cluster lacks",
}


def blocks_of_the_page() -> Iterator[tuple[str, int]]:
    """Heading and number of each block of commands."""
    parts = re.split(r"^###? (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    for heading, below in zip(parts[1::2], parts[2::2], strict=True):
        for number, _ in enumerate(re.findall(r"^```(?:bash|sh|shell|console)$", below, re.MULTILINE)):
            yield heading, number


def blocks_of_the_tests() -> Iterator[tuple[str, int]]:
    """Heading and number of each block that a test on a cluster takes from the page."""
    for path in (ROOT / "tests" / "cluster").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id == "page_block"
            ):
                heading, number, *page = (ast.literal_eval(argument) for argument in node.args)
                if not page:
                    yield heading, number


def test_each_block_is_run_by_a_test_or_has_a_reason_not_to_be():
    page, run = set(blocks_of_the_page()), set(blocks_of_the_tests())
    assert len(page) > 20
    assert page - run - set(NOT_ON_A_CLUSTER) == set()
    assert run - page == set()


def test_a_reason_is_about_a_block_that_no_test_runs():
    assert set(NOT_ON_A_CLUSTER) <= set(blocks_of_the_page())
    assert set(NOT_ON_A_CLUSTER) & set(blocks_of_the_tests()) == set()
