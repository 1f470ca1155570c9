"""Logs describe exceptions by type and place: their messages quote rows, and a row is a person's."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import threading
import traceback

import psycopg
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from streamflow import log
from streamflow.errors import DependencyDown
from streamflow.postgres.engine import transaction
from streamflow.settings import LogSettings

PERSON = "0002-PERSON"


@pytest.fixture
def lines(monkeypatch):
    """Configures logging as a server does, and returns the lines written so far."""
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    log.configure(LogSettings(format="json"))
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.fixture
def plain():
    """Logs as a server that is not ours does, with messages hidden, and returns the text so far."""
    factory, stream = logging.getLogRecordFactory(), io.StringIO()
    logger = logging.Logger("theirs")
    logger.addHandler(logging.StreamHandler(stream))
    log.hide_messages()
    yield logger, stream.getvalue
    logging.setLogRecordFactory(factory)


def fails(message):
    try:
        int(message)
    except ValueError as error:
        raise RuntimeError(f"no number: {message}") from error


@given(st.text(st.characters(categories=["L"]), min_size=8).map(lambda text: f"person {text}"))
def test_no_message_of_an_exception_or_of_its_causes_is_in_its_description(message):
    with pytest.raises(RuntimeError) as caught:
        fails(message)
    described = log.describe(caught.value)
    assert message not in json.dumps(described, ensure_ascii=False)
    assert message not in log.place(caught.value)
    assert described["error"] == "builtins.RuntimeError"
    assert described["frames"][-1].startswith("test_log.fails:")
    assert [cause["error"] for cause in described["causes"]] == ["builtins.ValueError"]


def test_an_exception_is_a_line_without_its_message_whoever_logs_it(lines):
    for logger in (log.get("ours"), logging.getLogger("uvicorn.error")):
        try:
            fails(PERSON)
        except RuntimeError:
            logger.exception("failed")
    assert [line["error"] for line in lines()] == ["builtins.RuntimeError"] * 2
    assert PERSON not in json.dumps(lines())


def test_an_error_of_ours_says_what_happened(lines):
    try:
        raise DependencyDown("MLflow does not answer.", hint="Start it.")
    except DependencyDown:
        log.get("ours").exception("failed")
    assert lines()[0]["what"] == "MLflow does not answer."


def test_what_ends_a_thread_is_logged_without_its_message(lines):
    thread = threading.Thread(target=fails, args=(PERSON,))
    thread.start()
    thread.join()
    (line,) = lines()
    assert (line["msg"], line["error"]) == ("a thread ended", "builtins.RuntimeError")
    assert PERSON not in json.dumps(line)


def test_a_row_that_breaks_a_rule_is_not_quoted_and_the_rule_is_named(lines, settings):
    with contextlib.suppress(sa.exc.IntegrityError), transaction(settings.database) as connection:
        try:
            connection.exec_driver_sql("CREATE TEMP TABLE t (id text CONSTRAINT no_person CHECK (id = ''))")
            connection.execute(sa.text("INSERT INTO t VALUES (:id)"), {"id": PERSON})
        except sa.exc.IntegrityError as error:
            # The rest of the message has the row, as PostgreSQL quotes it.
            assert PERSON not in str(error).splitlines()[0]
            assert "hide_parameters" in str(error)
            log.get("ours").exception("failed")
            raise
    (line,) = lines()
    assert PERSON not in json.dumps(line)
    assert line["causes"][0]["constraint_name"] == "no_person"
    assert line["causes"][0]["error"] == f"{psycopg.errors.CheckViolation.__module__}.CheckViolation"


def test_statements_are_not_logged_at_level_debug(monkeypatch, settings):
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    root = logging.getLogger()
    before = (root.handlers, root.level)
    log.configure(LogSettings(format="json", level="debug"))
    try:
        with transaction(settings.database) as connection:
            connection.execute(sa.text("SELECT :id"), {"id": PERSON})
    finally:
        root.handlers = before[0]
        root.setLevel(before[1])
    assert PERSON not in stream.getvalue()


def test_other_servers_log_exceptions_traces_and_arguments_without_messages(plain):
    logger, text = plain
    try:
        fails(PERSON)
    except RuntimeError as error:
        logger.exception("as an exception")
        logger.error("as text: %s", traceback.format_exc())
        logger.error(traceback.format_exc(), exc_info=True)
        logger.warning("as an argument: %s", error)
    logger.info("ordinary %s", "line")
    assert PERSON not in text()
    assert text().count("builtins.RuntimeError") == 3
    assert [line.partition(":")[0] for line in text().splitlines()][-1] == "ordinary line"
