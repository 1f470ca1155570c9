"""Errors that are shown to users. Each says what happened, to which thing, and what to do next.

    StreamFlowError                 exit 1   http 500   a bug, or an unclassified failure
    ├── UsageError                  exit 2   http 400   the call is wrong, such as an unknown option value
    ├── Refused                     exit 3   http 422   bad data, or the gate refused; nothing was changed
    │   ├── DropRefused                                 a drop has problems, so none of it was loaded
    │   ├── ReleaseRefused                              a model version may not be served
    │   │   ├── ReleaseMissing                          its files are not in PostgreSQL yet
    │   │   └── ReleaseUnfit                            its files fail a check, and would fail it again
    │   ├── Busy                                        another process holds a lock for too long
    │   └── PromotionConflict                http 409   another promotion came first
    ├── NotFound                    exit 3   http 404   the named thing does not exist
    │   └── NotYet                                      nothing of its kind exists yet; a scheduled job does not fail
    └── DependencyDown              exit 4   http 503   PostgreSQL, MLflow or Feast does not answer
        ├── AccessDenied                                MLflow does not allow this account the request
        └── DiskFull                                    a disk is full: here, of PostgreSQL or of MLflow

The CLI exits with these codes. `streamflow.client` adds the errors of the predict service as subclasses.
"""

from __future__ import annotations


class StreamFlowError(Exception):
    """Base of all errors that are shown to users.

    Args:
        what: What happened, to which thing, in one sentence.
        hint: What to do next, in one sentence.
        details: Further lines, each complete by itself, such as the problems of a drop.
    """

    exit_code = 1
    http_status = 500
    code = "internal_error"

    def __init__(self, what: str, *, hint: str = "", details: tuple[str, ...] = ()) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint
        self.details = details

    def __str__(self) -> str:
        """The whole message as plain text."""
        lines = [self.what, *(f"  - {line}" for line in self.details)]
        if self.hint:
            lines.append(self.hint)
        return "\n".join(lines)


class UsageError(StreamFlowError):
    """The call is wrong, such as an unknown option value or an invalid date."""

    exit_code = 2
    http_status = 400
    code = "bad_request"


class Refused(StreamFlowError):
    """The request was understood and refused; nothing was changed."""

    exit_code = 3
    http_status = 422
    code = "refused"


class DropRefused(Refused):
    """A drop has problems, so none of it was loaded; `details` lists them."""

    code = "drop_refused"


class ReleaseRefused(Refused):
    """A model version failed a check and cannot be served; the former one stays in service."""

    code = "release_refused"


class ReleaseMissing(ReleaseRefused):
    """The files of a release are not in PostgreSQL yet; the registrar stores them."""


class ReleaseUnfit(ReleaseRefused):
    """The files of a version, which are those that were registered, fail a check; the same files would fail it again.

    Args:
        what: What happened, to which version, in one sentence.
        hint: What to do next, in one sentence.
        why: The reason alone, without the version: another version may have the same files.
    """

    def __init__(self, what: str, *, hint: str, why: str) -> None:
        super().__init__(what, hint=hint)
        self.why = why


class Busy(Refused):
    """Another process holds a lock for too long; the same call may succeed later."""


class PromotionConflict(Refused):
    """The alias changed between reading and writing: another promotion came first."""

    http_status = 409
    code = "promotion_conflict"


class NotFound(StreamFlowError):
    """The named thing does not exist."""

    exit_code = 3
    http_status = 404
    code = "not_found"


class NotYet(NotFound):
    """Nothing of the kind exists yet, as after an install; a scheduled job has nothing to do and does not fail."""


class DependencyDown(StreamFlowError):
    """PostgreSQL, MLflow or Feast does not answer; a later retry may succeed."""

    exit_code = 4
    http_status = 503
    code = "dependency_down"


class AccessDenied(DependencyDown):
    """MLflow does not allow this account the request. With the right account, the same request may succeed."""


class DiskFull(DependencyDown):
    """A disk is full, and nothing was changed; once space is free, the same call may succeed."""

    http_status = 503
