"""What the client raises.

ClientError                 every error of this module; a StreamFlowError
├── Unreachable             no answer: connection refused or lost, or a timeout (also a DependencyDown)
├── UnexpectedAnswer        an answer that the predict service would not give
└── ProblemError            a problem document; `problem` holds it
    ├── Unavailable         503: no model, no feature store, or overloaded (also a DependencyDown)
    ├── ServiceFailed       any other 5xx
    ├── NotPermitted        401 or 403: the API key is missing, unknown, or lacks a scope (also a Refused)
    ├── UnknownEntity          404: the online store has no such entity (also a NotFound)
    └── RequestRefused      any other 4xx: bad request, or no prediction from these features (also a Refused)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from streamflow.errors import DependencyDown, NotFound, Refused, StreamFlowError


@dataclass(frozen=True)
class Problem:
    """A problem document (RFC 9457), or the problem of one entity in a batch.

    Attributes:
        status: HTTP status.
        code: Stable name of the problem; decide by it.
        title: What kind of problem it is.
        detail: What happened, to which thing, and what to do next.
        reason: Finer than the code, such as `unknown_entity`; may be empty.
        features: Features concerned, as `view:name`.
        request_id: Id of the request in the service's log; empty in a batch.
        document: The whole document as received.
    """

    status: int
    code: str
    title: str
    detail: str
    reason: str
    features: tuple[str, ...]
    request_id: str
    document: Mapping[str, Any] = field(repr=False)


class ClientError(StreamFlowError):
    """The client has no answer to give."""


class Unreachable(ClientError, DependencyDown):
    """The service did not answer: connection refused or lost, or a timeout."""


class UnexpectedAnswer(ClientError):
    """The answer is not one of the predict service.

    Attributes:
        status: HTTP status.
        text: Beginning of the body.
    """

    def __init__(self, url: str, status: int, text: str) -> None:
        super().__init__(f"The server at {url} is not a predict service: it answered with status {status}.")
        self.status = status
        self.text = text[:2000]


class ProblemError(ClientError):
    """The service answered with a problem document.

    Attributes:
        problem: The document.
        retry_after: Seconds after which another try makes sense; None when the service did not say.
    """

    def __init__(self, problem: Problem, retry_after: float | None = None) -> None:
        hint = str(problem.document.get("hint", ""))
        super().__init__(problem.detail, hint=hint, details=_details(problem))
        self.problem = problem
        self.retry_after = retry_after
        self.code = problem.code or self.code


class Unavailable(ProblemError, DependencyDown):
    """The service cannot answer now: no model, no feature store, or too many requests."""


class ServiceFailed(ProblemError):
    """The service failed; its log says why, under the request id."""


class NotPermitted(ProblemError, Refused):
    """The API key is missing, unknown, or lacks the scope."""


class UnknownEntity(ProblemError, NotFound):
    """The online store has no such entity, or the address does not exist."""


class RequestRefused(ProblemError, Refused):
    """The request is invalid, or the entity's features allow no prediction."""


def error_type(status: int) -> type[ProblemError]:
    """The exception for a problem document with this HTTP status."""
    if status == 503:
        return Unavailable
    if status >= 500:
        return ServiceFailed
    return {401: NotPermitted, 403: NotPermitted, 404: UnknownEntity}.get(status, RequestRefused)


def problem_of(document: dict[str, Any], status: int) -> Problem:
    """Read a problem document; members that are missing become empty."""
    title = str(document.get("title") or "")
    return Problem(
        status=status,
        code=str(document.get("code") or ""),
        title=title,
        detail=str(document.get("detail") or title or f"The predict service answered with status {status}."),
        reason=str(document.get("reason") or ""),
        features=tuple(document.get("features") or ()),
        request_id=str(document.get("request_id") or ""),
        document=document,
    )


_SAID = frozenset(("type", "title", "status", "detail", "instance", "code", "hint", "request_id"))


def _details(problem: Problem) -> tuple[str, ...]:
    """The members that the detail does not speak of, one a line."""
    # The sentence of `missing_features` names them; an unknown entity lacks every feature there is.
    hidden = _SAID | {"reason", "features"} if problem.code == "missing_features" else _SAID
    return tuple(
        f"{name}: {', '.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in problem.document.items()
        if name not in hidden and value not in (None, [], {})
    )
