"""A contract identifies its list of drops, however long, by a single digest."""

from streamflow.model_version.contract import drops_digest


def test_one_digest_stands_for_all_drops_in_their_order():
    drops = [{"drop_id": f"d{i}", "digest": f"{i:064x}"} for i in range(300)]
    whole = drops_digest(drops)
    assert len(whole) == 64
    assert whole == drops_digest([dict(drop) for drop in drops])
    assert whole != drops_digest(drops[1:])
    assert whole != drops_digest(drops[::-1])
    assert whole != drops_digest([{**drops[0], "digest": "0" * 63 + "f"}, *drops[1:]])
