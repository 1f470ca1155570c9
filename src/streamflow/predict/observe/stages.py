"""Where the time of a traced request goes: its stages, some of which it shares with the requests of its batch.

Nothing here depends on how traces are sent. Without tracing no request has a trace, and a batch costs one look-up.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol

QUEUE = "queue"
FEATURES = "read features"
MODEL = "run model"
EXPLAIN = "explain"


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a request, in the time of `time.perf_counter`.

    Attributes:
        name: Name of its span.
        began: When it began.
        ended: When it ended.
        error: Code of the problem that it ended with; empty if it succeeded.
        alias: Alias of the version that it belongs to; empty for none.
        version: Number of that version.
        entities: Number of entities that share it; 0 if it is the request's own.
    """

    name: str
    began: float
    ended: float
    error: str = ""
    alias: str = ""
    version: int = 0
    entities: int = 0


@dataclass(slots=True)
class Trace:
    """The trace of one request.

    Attributes:
        trace_id: Its id as W3C writes it: 32 hexadecimal digits.
        sampled: Whether its spans are sent.
        span: The request's own span, as the tracer keeps it.
        stages: Stages that have ended.
        queued: Since when it waits for a batch; None if it does not.
    """

    trace_id: str
    sampled: bool
    span: Any
    stages: list[Stage] = field(default_factory=list)
    queued: float | None = None

    def enqueue(self) -> None:
        """Record that the request waits for a batch from now on."""
        self.queued = time.perf_counter()

    def dequeue(self, error: str = "") -> None:
        """Record that it waits no longer."""
        if self.queued is not None:
            self.stages.append(Stage(QUEUE, self.queued, time.perf_counter(), error))
            self.queued = None


@dataclass(frozen=True, slots=True)
class Answered:
    """How a request was answered.

    Attributes:
        handler: Path template.
        method: HTTP method.
        status: HTTP status.
        request_id: Id of the request.
    """

    handler: str
    method: str
    status: int
    request_id: str


class Tracer(Protocol):
    """Begins and ends traces."""

    def begin(self, headers: Iterable[tuple[bytes, bytes]]) -> Trace:
        """Begin the trace of a request, as part of the caller's if there is one."""

    def end(self, trace: Trace, answered: Answered) -> None:
        """Send the spans of a request in the background."""

    def close(self) -> None:
        """Send what waits, for a short time, and stop."""


_REQUEST: ContextVar[Trace | None] = ContextVar("streamflow_trace", default=None)
_BATCH: ContextVar[Sequence[Trace]] = ContextVar("streamflow_traces_of_batch", default=())


def enter_request(trace: Trace | None) -> None:
    """Make this the trace of the current task's request; None for a request that is not traced."""
    _REQUEST.set(trace)


of_request = _REQUEST.get
"""Returns the trace of the current task's request; None without tracing."""


def enter_batch(traces: Sequence[Trace]) -> None:
    """Make these the traces of the requests that the current task answers."""
    _BATCH.set(traces)


of_batch = _BATCH.get
"""Returns the traces of the requests that the current task answers; empty without tracing."""


def exemplar(trace: Trace | None) -> str:
    """Return the id of a trace that is sent; empty if there is none."""
    return trace.trace_id if trace is not None and trace.sampled else ""


def note(traces: Sequence[Trace], stage: Stage) -> dict[str, str] | None:
    """Add a stage to the traces of a batch.

    Returns:
        Labels of an exemplar for the stage's histogram: the first trace that is sent; None if there is none.
    """
    sent = None
    for trace in traces:
        trace.stages.append(stage)
        if sent is None and trace.sampled:
            sent = {"trace_id": trace.trace_id}
    return sent
