"""Which entities a canary answers."""

from streamflow.canary import in_canary

KEYS = [f"user-{i}" for i in range(20_000)]


def test_the_share_is_met_and_zero_and_one_are_exact():
    assert not any(in_canary(key, 0.0) for key in KEYS)
    assert all(in_canary(key, 1.0) for key in KEYS)
    for share in (0.01, 0.1, 0.5):
        found = sum(in_canary(key, share) for key in KEYS) / len(KEYS)
        # Five standard deviations of a binomial of this size.
        assert abs(found - share) < 5 * (share * (1 - share) / len(KEYS)) ** 0.5


def test_an_entity_stays_in_the_canary_while_the_share_grows():
    small = {key for key in KEYS if in_canary(key, 0.1)}
    assert small == {key for key in KEYS if in_canary(key, 0.1)}
    assert small < {key for key in KEYS if in_canary(key, 0.3)}
