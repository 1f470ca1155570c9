"""What a job said: its outcome, read from the lines that it logged."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Outcome = Literal["done", "refused", "failed", "killed", "busy"]
"""`killed`: it did not say how it ended. `busy`: another run of the job was at work, so this one did nothing."""
_LONGEST_WHY = 2000


@dataclass(frozen=True)
class Said:
    """The end of a job's run.

    Attributes:
        outcome: How it ended.
        facts: The job's result, with the fields that postgres/job_results.py describes; empty unless it is done.
        why: What the job said about a failure; empty if it is done.
    """

    outcome: Outcome
    facts: Mapping[str, Any] = field(default_factory=dict)
    why: str = ""

    @property
    def json(self) -> dict[str, Any]:
        """As a document that `of_json` reads."""
        return asdict(self)


def of_json(document: Mapping[str, Any]) -> Said:
    """What `Said.json` gave."""
    return Said(document["outcome"], dict(document["facts"]), document["why"])


_KILLED = Said("killed", why="The job did not log how it ended: it was killed.")


def of_lines(lines: Iterable[str]) -> Said:
    """Read how the last run ended from the JSON lines of a job's log; other lines are passed over. Pure."""
    ended, why, before = None, "", list[str]()
    for line in lines:
        entry = _entry(line)
        message = entry.get("msg")
        if message == "started":
            # A job that is retried logs to the same place.
            ended, why = _KILLED, ""
        elif message == "already running":
            ended = Said("busy", why="Another run of the job is at work.")
        elif message in ("failed", "refused", "ended") and ended is not None and ended.outcome == "done":
            # The pods of an Indexed Job log side by side: this is a shard that was repeated before the last one was done.
            continue
        elif message in ("failed", "refused"):
            why = str(entry.get("error") or "")[:_LONGEST_WHY]
            # An error before the run begins is the last line.
            ended = Said("refused" if message == "refused" else "failed", why=why)
        elif message == "ended" and entry.get("outcome") in ("done", "refused", "failed"):
            done = entry["outcome"] == "done"
            facts = entry.get("facts") or {}
            ended = Said(entry["outcome"], facts if done else {}, "" if done else why)
        elif ended is None and not entry and line.strip():
            before.append(line)
    if ended is None:
        return Said("failed", why="\n".join(before)[-_LONGEST_WHY:]) if before else _KILLED
    return ended


def _entry(line: str) -> dict[str, Any]:
    if not line.startswith("{"):
        return {}
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def told(line: str) -> str:
    """A line of a job's log as a person reads it: the message and its fields, without the time. Pure."""
    entry = _entry(line)
    if "msg" not in entry:
        return line
    fields = " ".join(
        f"{name}={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in entry.items()
        if name not in ("msg", "ts", "level", "job")
    )
    return f"{entry['msg']} {fields}".rstrip()
