"""What a recipe returns becomes facts."""

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from streamflow.jobs.run import as_facts


@dataclass(frozen=True)
class Result:
    version: int
    at: datetime


@pytest.mark.parametrize(
    ("result", "facts"),
    [
        (None, {}),
        ({"rows": 3}, {"rows": 3}),
        (Result(3, datetime(2024, 1, 31, tzinfo=UTC)), {"version": 3, "at": "2024-01-31 00:00:00+00:00"}),
        ([{"a": 1}, {"a": 2}], {"items": [{"a": 1}, {"a": 2}]}),
        ((), {"items": []}),
        (7, {"result": 7}),
    ],
)
def test_a_result_becomes_a_json_object(result, facts):
    assert as_facts(result) == facts
