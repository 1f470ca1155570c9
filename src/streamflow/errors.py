"""Every error a user can meet: what happened, to which thing, what to do next.

    StreamFlowError                 exit 1   http 500   a bug or an unclassified failure
    ├── UsageError                  exit 2   http 400   the call itself is wrong
    ├── Refused                     exit 3   http 422   bad data, or a gate said no; nothing was changed
    │   ├── DropRefused                                 a drop has problems that keep it out whole
    │   ├── ReleaseRefused                              a model version may not be served
    │   └── PromotionConflict                http 409   somebody else promoted first
    ├── NotFound                    exit 3   http 404   the named thing does not exist
    │   └── NotYet                                      nothing of its kind has ever been there; no failure of a job
    └── DependencyDown              exit 4   http 503   PostgreSQL, MLflow or Feast does not answer

The exit codes are those of the CLI; the HTTP statuses those of the predict service.
"""

from __future__ import annotations


class StreamFlowError(Exception):
    """Base of all errors shown to a user.

    Args:
        what: What happened, to which thing, in one sentence.
        hint: What to do next, in one sentence.
        details: Further lines, each complete in itself (for example one problem of a drop each).
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
        """The whole message, as plain text."""
        lines = [self.what, *(f"  - {line}" for line in self.details)]
        if self.hint:
            lines.append(self.hint)
        return "\n".join(lines)


class UsageError(StreamFlowError):
    """The call is wrong: an unknown option value, a date that is none."""

    exit_code = 2
    http_status = 400
    code = "bad_request"


class Refused(StreamFlowError):
    """The request was understood and refused; nothing was changed."""

    exit_code = 3
    http_status = 422
    code = "refused"


class DropRefused(Refused):
    """A drop has problems that keep all of it out; `details` lists every one."""

    code = "drop_refused"


class ReleaseRefused(Refused):
    """A model version failed a check and may not be served; the old one serves on."""

    code = "release_refused"


class PromotionConflict(Refused):
    """The alias moved between reading and writing: another promotion won."""

    http_status = 409
    code = "promotion_conflict"


class NotFound(StreamFlowError):
    """The named thing does not exist."""

    exit_code = 3
    http_status = 404
    code = "not_found"


class NotYet(NotFound):
    """Nothing of the kind has ever been there, as after an install: a scheduled job has nothing to do yet."""


class DependencyDown(StreamFlowError):
    """PostgreSQL, MLflow or Feast does not answer; trying again later may help."""

    exit_code = 4
    http_status = 503
    code = "dependency_down"
