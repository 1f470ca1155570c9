"""`make bench-curve`: plot requests per second and p99 of predict by clients and users into docs/.

Each size has a separate database with the sample's rows, repeated under new keys; the model is the same.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import batch, contenders, measure
from bench.__main__ import machine, tell
from bench.measure import Figures
from bench.world import ROOT, World, running

CLIENTS = (1, 8, 32, 64, 128, 256)
USERS = (7_000, 100_000, 1_000_000)
_ASKED = 20_000
_RESULTS = Path(__file__).with_name("curve.json")
_PICTURE = ROOT / "docs" / "performance.svg"


def main() -> None:
    """Measure every size and draw the plot."""
    parser = argparse.ArgumentParser(prog="python -m bench.curve")
    parser.add_argument("--rounds", type=int, default=3, help="how often each number of clients has its turn")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long a turn is")
    parser.add_argument("--users", type=int, nargs="*", default=list(USERS))
    options = parser.parse_args()
    with running(tell) as world, tempfile.TemporaryDirectory(prefix="streamflow-bench-") as folder:
        curves = {
            users: _curve(world, Path(folder), users, options.rounds, options.seconds)
            for users in options.users
        }
    results = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine(), "users": curves}
    _RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    draw(results, _PICTURE)
    sys.stdout.write(table(results) + "\n")
    tell(f"{_RESULTS} and {_PICTURE} written")


def _curve(world: World, folder: Path, users: int, rounds: int, seconds: float) -> dict[int, Figures]:
    tell(f"a database of {users:,} users")
    with batch.database_of(world.settings, users) as big:
        batch.in_process(big, "materialize")
        # The stride has no factor in common with the size, so it visits every user once, in scattered order.
        keys = [f"user-{1 + n * 7_919 % users:08d}" for n in range(min(users, _ASKED))]
        key = big.predict.join_key
        requests = contenders.write(
            folder / f"predict-{users}", [contenders.post("/predict", {key: user}) for user in keys]
        )
        turns: dict[int, list[Figures]] = {}
        with batch.predict_of(big) as (process, port):
            complete = _only_answered(port, requests)
            for number in range(rounds):
                tell(f"round {number + 1} of {rounds}")
                for clients in CLIENTS:
                    figures = measure.with_cpu(
                        process.pid,
                        None,
                        lambda clients=clients: measure.load(
                            port, complete, clients=clients, seconds=seconds
                        ),
                    )
                    turns.setdefault(clients, []).append(figures)
    return {clients: measure.medians(figures) for clients, figures in turns.items()}


def _only_answered(port: int, requests: Path) -> Path:
    """Drop requests for users whom predict refuses; as in the sample, some lack a required feature."""
    import urllib.error
    import urllib.request

    kept = []
    for line in requests.read_text(encoding="utf-8").splitlines()[:2_000]:
        body = json.loads(line).split("\r\n\r\n", 1)[1]
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/predict", data=body.encode()):
                kept.append(line)
        except urllib.error.HTTPError as error:
            error.close()
    requests.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
    return requests


def table(results: dict[str, Any]) -> str:
    """Format the curves as a text table."""
    lines = [
        results["machine"],
        f"{'users':>10}{'clients':>9}{'requests/s':>12}{'p50 ms':>9}{'p99 ms':>9}{'CPU ms':>9}",
    ]
    for users, curve in results["users"].items():
        for clients, f in curve.items():
            lines.append(
                f"{int(users):>10,}{clients:>9}{f['requests_per_s']:>12,.0f}"
                f"{f['p50_ms']:>9.2f}{f['p99_ms']:>9.2f}{f['cpu_ms']:>9.3f}"
            )
    return "\n".join(lines)


def draw(results: dict[str, Any], picture: Path) -> None:
    """Draw requests per second on the left and p99 on the right, with one line per size."""
    import matplotlib as mpl

    mpl.use("svg")
    # A fixed salt for ids in the SVG, so that equal figures produce an equal file.
    mpl.rcParams["svg.hashsalt"] = "streamflow"
    from matplotlib import pyplot as plt

    figure, (rate, tail) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    for users, curve in results["users"].items():
        clients = list(curve)
        rate.plot(
            clients, [f["requests_per_s"] for f in curve.values()], marker="o", label=f"{int(users):,} users"
        )
        tail.plot(clients, [f["p99_ms"] for f in curve.values()], marker="o")
    rate.set(title="requests a second", xlabel="clients", ylim=(0, None))
    tail.set(title="99 % of answers within, ms", xlabel="clients", ylim=(0, None))
    for axes in (rate, tail):
        axes.set_xscale("log", base=2)
        axes.set_xticks(CLIENTS, [str(c) for c in CLIENTS])
        axes.grid(alpha=0.3)
    rate.legend()
    figure.savefig(picture, metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    main()
