"""Named statements are loaded from `.sql` files, and a file that is not clear about them is refused."""

import pytest

from streamflow.postgres import statements


def load(tmp_path, text):
    file = tmp_path / "queries.sql"
    file.write_text(text, encoding="utf-8")
    return statements.load(file)


def test_statements_are_found_by_name_without_comments_and_the_semicolon(tmp_path):
    found = load(
        tmp_path,
        "-- About a.\n\n-- name: one\n-- What it does.\nSELECT 1\nFROM a;\n\n-- name: two\nSELECT 2;\n",
    )
    assert dict(found) == {"one": "SELECT 1\nFROM a", "two": "SELECT 2"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("-- name: one\nSELECT 1;\n-- name: one\nSELECT 2;", "defines the statement 'one' twice"),
        ("-- name: one\nSELECT 1", "must end with its only semicolon"),
        ("-- name: one\nSELECT 1; SELECT 2;", "must end with its only semicolon"),
        ("SELECT 1;\n-- name: two\nSELECT 2;", "has a statement without a name"),
    ],
)
def test_a_file_that_is_not_clear_is_refused(tmp_path, text, problem):
    with pytest.raises(ValueError, match=problem):
        load(tmp_path, text)
