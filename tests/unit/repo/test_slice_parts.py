"""The slice part that a value belongs to."""

import pytest

from streamflow.repo.declarations import Slice
from streamflow.repo.parts import part

PLAIN = Slice("contract", "subscriptions", "contract_type")
BANDS = Slice("tenure", "subscriptions", "months_active", (12, 24, 48))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "under 12"),
        (11.9, "under 12"),
        (12, "12 to 24"),
        (47, "24 to 48"),
        (48, "48 and more"),
        (None, "unknown"),
    ],
)
def test_a_bound_belongs_to_the_band_above_it(value, expected):
    assert part(BANDS, value) == expected


def test_a_value_without_bands_is_its_own_part():
    assert part(PLAIN, "One year") == "One year"
    assert part(PLAIN, None) == "unknown"
