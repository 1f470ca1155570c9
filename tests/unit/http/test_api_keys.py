"""API keys and their scopes."""

import asyncio
import tracemalloc
from datetime import UTC, datetime

import pytest

from streamflow.errors import UsageError
from streamflow.http import api_keys

NOW = 1_700_000_000.0


def refusal(keys, given, needed, now=NOW):
    key = keys.get(api_keys.digest_of(given)) if given else None
    return api_keys.refuse(key, given, frozenset((needed,)), now)


def test_a_new_key_allows_its_scopes_only():
    key, line = api_keys.new_key("shop", ["predict"])
    keys = api_keys.parse(f"# ours\n\n{line}\n")
    assert key not in line
    assert refusal(keys, key, "predict") is None
    assert refusal(keys, key, "features").code == "forbidden"
    assert refusal(keys, key + "x", "predict").code == "unauthorized"
    assert refusal(keys, None, "predict").code == "unauthorized"
    assert refusal({}, key, "predict").code == "unauthorized"


def test_new_keys_are_unique():
    assert len({api_keys.new_key("a", ["predict"])[0] for _ in range(100)}) == 100


@pytest.mark.parametrize(
    "line",
    [
        f"shop {'0' * 64} predict expires=soon",
        f"shop {'0' * 64} predict rate=many",
        f"shop {'0' * 64} predict rate=0/second",
        f"shop {'0' * 64} predict rate=1/second expires=2027-01-31",
        "shop",
        "shop abc predict",
        f"shop {'0' * 64}",
        f"shop {'0' * 64} admin",
        f"a b {'0' * 64} predict",
    ],
)
def test_a_malformed_line_is_refused_with_its_number(line):
    with pytest.raises(UsageError, match="Line 2"):
        api_keys.parse(f"# first\n{line}\n")


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ([(b"authorization", b"Bearer abc")], "abc"),
        ([(b"authorization", b"bearer  abc ")], "abc"),
        ([(b"x-api-key", b"abc")], "abc"),
        ([(b"authorization", b"Basic abc")], None),
        ([], None),
    ],
)
def test_a_key_is_read_from_either_header(headers, key):
    assert api_keys.given_key(headers) == key


def test_a_changed_file_is_read_and_an_invalid_one_is_ignored(tmp_path):
    path = tmp_path / "keys"
    first, line = api_keys.new_key("first", ["predict"])
    path.write_text(line)
    key_file = api_keys.KeyFile(path)
    second, other = api_keys.new_key("second", ["predict"])
    path.write_text(f"{line}\n{other}\n")
    key_file.refresh()
    assert refusal(key_file.keys, second, "predict") is None
    path.write_text("nonsense")
    key_file.refresh()
    assert refusal(key_file.keys, first, "predict") is None
    path.unlink()
    key_file.refresh()
    assert refusal(key_file.keys, first, "predict") is None


def test_an_expired_key_is_refused_with_the_time_of_its_end():
    end = datetime(2027, 1, 31, tzinfo=UTC)
    key, line = api_keys.new_key("shop", ["predict"], expires=end)
    keys = api_keys.parse(line)
    assert refusal(keys, key, "predict", end.timestamp() - 1) is None
    problem = refusal(keys, key, "predict", end.timestamp())
    assert problem.code == "unauthorized"
    assert "expired on 2027-01-31 00:00 UTC" in problem.detail


def test_a_key_is_used_as_often_as_its_rate_allows(tmp_path):
    path = tmp_path / "keys"
    rated, line = api_keys.new_key("shop", ["predict"], rate="3/hour")
    free, other = api_keys.new_key("desk", ["predict"])
    path.write_text(f"{line}\n{other}\n")
    key_file = api_keys.KeyFile(path)
    found = [key_file.over_rate(key_file.find(rated)) for _ in range(5)]
    assert [problem and problem.code for problem in found] == [
        None,
        None,
        None,
        "rate_limited",
        "rate_limited",
    ]
    assert 1 <= found[-1].retry_after <= 3600
    assert [key_file.over_rate(key_file.find(free)) for _ in range(5)] == [None] * 5
    assert key_file.over_rate(None) is None


def test_a_large_rate_takes_no_memory_per_request(tmp_path):
    path = tmp_path / "keys"
    key, line = api_keys.new_key("shop", ["predict"], rate="9999999/day")
    path.write_text(f"{line}\n")
    key_file = api_keys.KeyFile(path)
    found = key_file.find(key)
    key_file.over_rate(found)
    tracemalloc.start()
    for _ in range(5000):
        assert key_file.over_rate(found) is None
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 100_000


@pytest.mark.parametrize("rate", ["3", "3/fortnight", "-1/second", "1.5/second"])
def test_what_is_not_a_rate_is_refused(rate):
    with pytest.raises(UsageError, match="is not a rate"):
        api_keys.new_key("shop", ["predict"], rate=rate)


def test_the_file_is_followed_although_a_look_at_it_fails(tmp_path, monkeypatch):
    path = tmp_path / "keys"
    first, line = api_keys.new_key("first", ["predict"])
    path.write_text(line)
    key_file = api_keys.KeyFile(path)
    looks = iter([OSError("no such device")])

    def refresh(original=key_file.refresh):
        for error in looks:
            raise error
        original()

    monkeypatch.setattr(key_file, "refresh", refresh)

    async def scenario():
        following = asyncio.create_task(key_file.follow(0.01))
        path.write_text("# none\n")
        async with asyncio.timeout(10):
            while key_file.find(first) is not None:
                await asyncio.sleep(0.01)
        following.cancel()

    asyncio.run(scenario())
