"""The hash chain over the audit trail: what was changed, removed or cut off is named by its row."""

import hashlib
import json
from dataclasses import replace

import pytest

from streamflow.postgres.hash_chain import GENESIS, Link, link_hash
from streamflow.registry.chain import broken, losses

LINKS = 3


@pytest.fixture
def links():
    found, before = [], GENESIS
    for number in range(1, LINKS + 1):
        link = Link(number, (str(number), None, "é"), before, "")
        link = replace(link, hash=link_hash(link))
        found.append(link)
        before = link.hash
    return found


def test_the_first_row_follows_from_zeros():
    assert GENESIS == "0" * 64


def test_the_hash_is_over_every_field_with_its_length_in_bytes():
    # No two rows have one text: "-" is absent, "0:" is empty, and é has two bytes.
    link = Link(1, ("1", None, "", "é,-"), "ab", "")
    assert link_hash(link) == hashlib.sha256("2:ab,1:1,-,0:,4:é,-".encode()).hexdigest()


def test_a_chain_that_was_not_touched_holds(links):
    assert broken([]) == ()
    assert broken(links) == ()
    for number, link in enumerate(links, start=1):
        assert broken(links, f"{number}:{link.hash}") == ()


@pytest.mark.parametrize("row", [1, 2, 3])
def test_a_row_that_was_changed_is_named(links, row):
    links[row - 1] = replace(links[row - 1], texts=("another",))
    assert broken(links) == (f"Row {row} was changed after it was written.",)


def test_a_row_that_was_changed_with_its_hash_does_not_fit_the_next_one(links):
    forged = replace(links[1], texts=("another",))
    links[1] = replace(forged, hash=link_hash(forged))
    assert broken(links) == ("Row 3 does not follow from row 2.",)


def test_a_first_row_that_follows_from_something_is_named(links):
    forged = replace(links[0], previous_hash="1" * 64)
    links[0] = replace(forged, hash=link_hash(forged))
    assert broken(links) == ("Row 1 does not follow from row 0.", "Row 2 does not follow from row 1.")


def test_a_row_that_is_missing_is_named_and_what_follows_is_not_judged(links):
    del links[1]
    links[1] = replace(links[1], texts=("another",))
    assert broken(links) == ("Row 2 is missing; row 3 is in its place.",)


@pytest.mark.parametrize(("anchor", "missing"), [(4, "4 to 4"), (9, "4 to 9")])
def test_rows_cut_off_at_the_end_are_counted(links, anchor, missing):
    assert broken(links, f"{anchor}:{'f' * 64}") == (f"Rows {missing} are missing at the end.",)


def test_an_empty_chain_with_an_anchor_has_lost_everything():
    assert broken([], f"2:{'f' * 64}") == ("Rows 1 to 2 are missing at the end.",)


def test_a_chain_that_was_written_anew_does_not_have_the_anchored_row(links):
    assert broken(links, f"3:{links[1].hash}") == (
        "Row 3 is not the one that MLflow's tag 'streamflow.audit' names.",
    )


@pytest.mark.parametrize("anchor", ["", "gone", "x:1"])
def test_an_anchor_that_names_no_row_is_ignored(links, anchor):
    assert broken(links, anchor) == ()


def restored(links, **facts):
    """The chain with the row of a restore at its end."""
    texts = [None] * 15
    texts[9], texts[12] = (
        "restore",
        json.dumps({"backup": "2024-03-01", "lost": [], "lost_count": 0, **facts}),
    )
    row = Link(len(links) + 1, tuple(texts), links[-1].hash, "")
    return [*links, replace(row, hash=link_hash(row))]


LOST = [{"row": 4, "hash": "a" * 64}, {"row": 5, "hash": "b" * 64}]


def test_rows_that_a_restore_names_as_lost_are_not_missed_and_are_mentioned(links):
    head = f"5:{'b' * 64}"
    chain = restored(links, lost=LOST, lost_count=2, former_head=head)
    for anchor in (f"4:{'a' * 64}", head):
        assert broken(chain, anchor) == ()
    assert losses(chain) == (
        f"Row 4 is a restore of the backup 2024-03-01, which lost 2 rows; the newest was {head}.",
    )


@pytest.mark.parametrize("anchor", [f"4:{'b' * 64}", f"6:{'b' * 64}", f"5:{'c' * 64}"])
def test_other_rows_are_missed_after_a_restore_too(links, anchor):
    assert broken(restored(links, lost=LOST, lost_count=2, former_head=f"5:{'b' * 64}"), anchor)


def test_a_total_loss_is_mentioned_if_mlflow_knew_of_it(links):
    anchor = f"9:{'d' * 64}"
    chain = restored(links, anchor=anchor, former_head=None)
    assert broken(chain, anchor) == ()
    assert losses(chain) == (
        "Row 4 is a restore of the backup 2024-03-01, which lost the rows up to"
        f" {anchor}, which MLflow named as the newest.",
    )


def test_a_restore_that_lost_nothing_is_not_mentioned(links):
    newest = f"3:{links[-1].hash}"
    assert losses(restored(links, former_head=None, anchor="")) == ()
    assert losses(restored(links, former_head=newest, anchor=newest)) == ()


def test_a_restore_whose_row_was_forged_is_named(links):
    chain = restored(links, lost=LOST, lost_count=2, former_head=f"5:{'b' * 64}")
    texts = list(chain[-1].texts)
    texts[12] = json.dumps({"former_head": f"7:{'e' * 64}"})
    chain[-1] = replace(chain[-1], texts=tuple(texts))
    assert broken(chain, f"7:{'e' * 64}") == ("Row 4 was changed after it was written.",)
