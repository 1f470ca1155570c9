"""API keys and their scopes."""

import pytest

from streamflow.errors import UsageError
from streamflow.predict.http import api_keys


def refusal(keys, given, needed):
    return api_keys.refuse(api_keys.find(keys, given), given, frozenset((needed,)))


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
    ["shop", "shop abc predict", f"shop {'0' * 64}", f"shop {'0' * 64} admin", f"a b {'0' * 64} predict"],
)
def test_a_malformed_line_is_refused_with_its_number(line):
    with pytest.raises(UsageError, match="Line 2"):
        api_keys.parse(f"# first\n{line}\n")


@pytest.mark.parametrize(
    ("method", "path", "scopes"),
    [
        ("POST", "/predict", {"predict"}),
        ("POST", "/predict/batch", {"predict"}),
        ("POST", "/v2/models/m/infer", {"predict"}),
        ("POST", "/v2/models/m/versions/3/infer", {"predict"}),
        ("GET", "/features/7590-VHVEG", {"features"}),
        ("GET", "/v2/models/m", set()),
        ("GET", "/health", set()),
        ("GET", "/metrics", set()),
    ],
)
def test_predictions_and_features_need_a_key_and_status_needs_none(method, path, scopes):
    assert api_keys.scopes_of(method, path) == scopes


@pytest.mark.parametrize(
    ("query", "scopes"),
    [
        (b"features=true", {"predict", "features"}),
        (b"explain=1", {"predict", "features"}),
        (b"explain=false&features=yes", {"predict", "features"}),
        (b"features=false&features=true", {"predict", "features"}),
        (b"%66eatures=ON", {"predict", "features"}),
        (b"features=", {"predict", "features"}),
        (b"features=false", {"predict"}),
        (b"features=0&explain=No", {"predict"}),
        (b"other=true", {"predict"}),
    ],
)
def test_a_prediction_that_shows_features_needs_the_scope_of_features_too(query, scopes):
    assert api_keys.scopes_of("POST", "/predict", query) == scopes


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
