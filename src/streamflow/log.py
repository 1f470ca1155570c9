"""Structured logging: JSON lines for machines, coloured lines on a terminal.

No line of a log may hold a customer's key or value. Exceptions are therefore logged by type and place: their messages
quote what PostgreSQL, pandas or a parser was given. Only errors of StreamFlow say what happened, in words of ours.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import traceback
from typing import Any

import structlog

from streamflow.errors import StreamFlowError
from streamflow.settings import LogSettings

_FRAMES = 12
_CAUSES = 4
_TRACE = "Traceback (most recent call last)"


def configure(settings: LogSettings) -> None:
    """Configure structlog and the standard library's logging to write to stderr in one format."""
    console = settings.format == "console" or (settings.format == "auto" and sys.stderr.isatty())
    level = getattr(logging, settings.level.upper())
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        structlog.processors.EventRenamer("msg"),
    ]
    renderer: structlog.types.Processor = (
        structlog.dev.ConsoleRenderer(event_key="msg", timestamp_key="ts")
        if console
        else structlog.processors.JSONRenderer()
    )
    # On a terminal, the person who asked for logs sees the whole trace.
    terminal = console and sys.stderr.isatty()
    exceptions: list[structlog.types.Processor] = [] if terminal else [_without_messages]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *exceptions, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for noisy in (
        "alembic",
        "feast",
        "mlflow",
        "httpx",
        "httpx2",
        "httpcore2",
        "urllib3",
        "asyncio",
        "matplotlib",
        "py4j",
    ):
        logging.getLogger(noisy).setLevel(max(level, logging.WARNING))
    # SQLAlchemy logs each statement with its parameters from level `info` on.
    logging.getLogger("sqlalchemy").setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    if not terminal:
        threading.excepthook = _thread_failed


def get(name: str) -> structlog.stdlib.BoundLogger:
    """Return the logger of a module."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(name)
    return logger


def hide_messages() -> None:
    """Have every logger of this process describe exceptions, in servers that are not ours and set up their own logging.

    They also log traces as text, and exceptions as arguments of a message.
    """
    make = logging.getLogRecordFactory()

    def hidden(*arguments: Any, **options: Any) -> logging.LogRecord:
        record = make(*arguments, **options)
        if isinstance(record.args, tuple):
            record.args = tuple(place(a) if isinstance(a, BaseException) else a for a in record.args)
        error = record.exc_info[1] if record.exc_info else None
        text, trace, _ = record.getMessage().partition(_TRACE)
        if error is not None or trace:
            said = json.dumps(describe(error)) if error is not None else "an exception"
            record.msg, record.args, record.exc_info = f"{text}{said}", None, None
        return record

    logging.setLogRecordFactory(hidden)


def describe(error: BaseException) -> dict[str, Any]:
    """Describe an exception and its causes by type and innermost frames, as fields of a log line."""
    causes: list[dict[str, Any]] = []
    cause = error.__cause__ or error.__context__
    while cause is not None and len(causes) < _CAUSES:
        causes.append(_one(cause))
        cause = cause.__cause__ or cause.__context__
    return {**_one(error), "causes": causes} if causes else _one(error)


def place(error: BaseException) -> str:
    """Describe an exception in one line: its type, and where it was raised."""
    frames = _frames(error)
    return f"{_type(error)} at {frames[-1]}" if frames else _type(error)


def _one(error: BaseException) -> dict[str, Any]:
    fields: dict[str, Any] = {"error": _type(error), "frames": _frames(error)}
    if isinstance(error, StreamFlowError):
        fields["what"] = error.what
    # PostgreSQL's names say which rule was violated; its message and its details say by which row.
    diagnosis = getattr(error, "diag", None)
    for name in ("constraint_name", "table_name", "column_name"):
        if value := getattr(diagnosis, name, None):
            fields[name] = value
    return fields


def _type(error: BaseException) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}"


def _frames(error: BaseException) -> list[str]:
    return [
        f"{frame.f_globals.get('__name__')}.{frame.f_code.co_qualname}:{line}"
        for frame, line in traceback.walk_tb(error.__traceback__)
    ][-_FRAMES:]


def _without_messages(
    _logger: Any, _method: str, event: structlog.types.EventDict
) -> structlog.types.EventDict:
    """Replace an exception by its description."""
    given = event.pop("exc_info", None)
    if given is True:
        given = sys.exc_info()
    error = given[1] if isinstance(given, tuple) else given
    return {**event, **describe(error)} if isinstance(error, BaseException) else event


def _thread_failed(failed: threading.ExceptHookArgs) -> None:
    """Log what ended a thread; by default, Python prints its message."""
    if failed.exc_value is not None and not isinstance(failed.exc_value, SystemExit):
        get(__name__).error("a thread ended", **describe(failed.exc_value))
