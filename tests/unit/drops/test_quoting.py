from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamflow.drops import limits
from streamflow.drops.quoting import shown, shown_names, shown_path


@pytest.mark.parametrize(
    ("text", "visible"),
    [
        ("churn_label", "churn_label"),
        ("Größe in m²", "Größe in m²"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\u202etxt.exe", "\\u202etxt.exe"),
        ("a\udcffb", "a\\udcffb"),
        ("x" * limits.SHOWN_CHARACTERS, "x" * limits.SHOWN_CHARACTERS),
        ("x" * 1_000_000, "x" * (limits.SHOWN_CHARACTERS - 1) + "…"),
    ],
)
def test_control_characters_are_visible_and_long_texts_cut(text, visible):
    assert shown(text) == visible


@given(text=st.text(st.characters(codec=None)), most=st.integers(1, 40))
def test_whatever_is_quoted_is_short_printable_and_encodable(text, most):
    quoted = shown(text, most)
    assert len(quoted) <= most
    assert quoted.isprintable()
    quoted.encode()


def test_a_path_is_cut_later_than_a_name():
    assert len(shown_path(Path("/" + "x" * 1000))) == limits.SHOWN_PATH_CHARACTERS


def test_the_first_names_are_listed_and_the_others_counted():
    assert shown_names(["a", "", "b\n"]) == "a, (no name), b\\n"
    many = shown_names([str(number) for number in range(1_500)])
    assert many.startswith("0, 1, 2, ")
    assert many.endswith(", 19 and 1,480 more")
