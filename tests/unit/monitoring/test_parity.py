"""What counts as a difference between the batch path and predict."""

from streamflow.monitoring.parity import compare


def test_the_same_bits_and_the_same_refusals_are_no_difference():
    found = compare(3, ["a", "b"], {"a": 0.1 + 0.2}, {"a": (3, 0.1 + 0.2, "r1"), "b": (None, None, "r2")})
    assert (found.compared, found.differences, found.requests) == (2, 0, ())


def test_the_last_bit_counts_and_so_does_a_refusal_of_one_path():
    batch = {"a": 0.1 + 0.2, "b": 0.5}
    online = {"a": (3, 0.3, "r1"), "b": (None, None, "r2"), "c": (3, 0.4, "r3")}
    found = compare(3, ["a", "b", "c"], batch, online)
    assert found.differences == 3
    assert found.requests == (("r1", 0.1 + 0.2, 0.3), ("r2", 0.5, None), ("r3", None, 0.4))


def test_answers_of_another_version_are_not_compared():
    found = compare(3, ["a", "b"], {"a": 0.5, "b": 0.5}, {"a": (4, 0.9, "r1"), "b": (3, 0.5, "r2")})
    assert (found.compared, found.differences, found.other_version) == (1, 0, 1)
