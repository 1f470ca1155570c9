"""What counts as a prediction."""

import pytest

from streamflow.errors import Refused
from streamflow.monitoring.smoke import check


@pytest.mark.parametrize("answer", [{}, {"probability": None}, {"probability": 1.5}, {"probability": "0.5"}])
def test_an_answer_without_a_probability_is_refused(answer):
    with pytest.raises(Refused, match="no probability"):
        check(answer)


def test_an_answer_with_a_probability_passes():
    assert check({"probability": 0.25}) == 0.25
