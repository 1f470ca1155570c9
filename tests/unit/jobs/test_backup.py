"""Which dumps go."""

from hypothesis import given
from hypothesis import strategies as st

from streamflow.jobs.backup import outdated


@given(st.lists(st.dates().map(str), unique=True), st.integers(1, 20))
def test_the_newest_are_kept_and_only_the_others_go(names, keep):
    gone = outdated(names, keep)
    kept = set(names) - set(gone)
    assert len(kept) == min(len(names), keep)
    assert all(old < new for old in gone for new in kept)
