"""`streamflow monitor report` writes what is recorded in `monitoring.*`, the same file each time."""

import hashlib
import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

import made_verdicts as made
from streamflow.cli.main import app
from streamflow.errors import DependencyDown, NotFound, UsageError
from streamflow.monitoring.report import read
from streamflow.monitoring.report.page import page
from streamflow.postgres.engine import transaction


@pytest.fixture(scope="module")
def recorded(module_settings):
    """Six months of verdicts; the last one was corrected, and is stable since."""
    model = module_settings.mlflow.registered_model
    with transaction(module_settings.database) as connection:
        made.insert(connection, made.verdicts(6, model=model))
        first = made.judged_by_now(connection)
    with transaction(module_settings.database) as connection:
        corrected = made.drift(7, as_of=made.month(6), drop_id="corrected")
        made.insert(
            connection,
            made.verdicts(6, model=model, drifts=(corrected,), features=(), qualities=(), harms=()),
        )
        made.insert(
            connection, made.verdicts(6, model="another", drifts=(), qualities=(made.quality(9),), harms=())
        )
    return module_settings, first


@pytest.fixture
def report(recorded, monkeypatch, tmp_path):
    settings, _ = recorded
    monkeypatch.setenv("STREAMFLOW_HOME", str(settings.home))
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        return CliRunner().invoke(app, ["monitor", "report", *arguments])

    return call


def test_the_newest_month_is_written_and_said_in_a_sentence(report, tmp_path):
    done = report()
    assert done.exit_code == 0, done.output
    assert "none of 0 distributions drifted, since 2024-06-30" in done.stdout
    assert "The report is in report-2024-06-30.html." in done.stdout
    text = (tmp_path / "report-2024-06-30.html").read_text(encoding="utf-8")
    assert "which was corrected since" in text and "another" not in text


def test_the_file_is_what_the_page_says_of_the_rows(recorded):
    settings, first = recorded
    model = settings.mlflow.registered_model
    with transaction(settings.database) as connection:
        found = read.read(connection, model, made.month(6).date(), made.month(6).date(), first)
    expected = made.verdicts(6, model=model)
    numbered = [replace(item, judged_at=first) for item in found.qualities]
    assert numbered == sorted(
        (replace(item, judged_at=first) for item in expected.qualities),
        key=lambda item: (item.as_of, item.basis),
    )
    assert found.features == expected.features
    assert [(item.as_of, item.verdict, item.alpha) for item in found.drifts] == [
        (item.as_of, item.verdict, item.alpha) for item in expected.drifts
    ]
    assert [(item.as_of, item.basis, item.loss) for item in found.harms] == [
        (item.as_of, item.basis, item.loss)
        for item in sorted(expected.harms, key=lambda item: (item.as_of, item.basis))
    ]
    assert page(found, str) == page(found, str)


def test_the_file_as_known_earlier_is_written_again(recorded, report, tmp_path):
    _, first = recorded
    for name in ("one", "two"):
        assert report("--as-of", "2024-06", "--known-at", first.isoformat(), "--out", name).exit_code == 0
    text = (tmp_path / "one").read_text(encoding="utf-8")
    assert text == (tmp_path / "two").read_text(encoding="utf-8")
    assert "2 of 6 distributions drifted" in text and "corrected since" not in text
    named = text.partition("--known-at ")[2].partition("<")[0]
    done = report("--as-of", "2024-06-30", "--known-at", named, "--out", "-")
    assert done.stdout == text


def test_an_earlier_month_is_as_if_later_ones_were_not_there(report):
    done = report("--as-of", "2024-05-31", "--out", "-")
    assert "with drift since 2024-05-31" in " ".join(
        done.stdout.replace('<span class="day">', "").replace("</span>", "").split()
    )
    assert "2024-06-30" not in done.stdout.replace("labels as of 2024-06-30", "")


def test_json_says_where_the_file_is_and_what_it_says(report, tmp_path):
    document = json.loads(report("--json", "--out", "r.html").stdout)
    assert document["sha256"] == hashlib.sha256((tmp_path / "r.html").read_bytes()).hexdigest()
    assert {name: document[name] for name in ("file", "version", "as_of")} == {
        "file": "r.html",
        "version": made.VERSION,
        "as_of": "2024-06-30",
    }
    assert document["verdict"].startswith("The 7,032 ")


@pytest.mark.parametrize("month", ["2031-01-31", "2024-12", "2024-06-29"])
def test_a_month_that_was_not_judged_names_those_that_were(report, month):
    failed = report("--as-of", month).exception
    assert isinstance(failed, NotFound)
    assert "has been judged" in failed.what and "2024-06-30, 2024-05-31" in failed.hint


def test_nothing_judged_names_the_commands_that_judge(settings):
    failed = CliRunner().invoke(app, ["monitor", "report"]).exception
    assert isinstance(failed, NotFound)
    assert "streamflow monitor drift" in failed.hint


@pytest.mark.parametrize("month", ["2024-13", "yesterday", "2024-02-30"])
def test_a_month_that_is_none_is_a_wrong_call(report, month):
    done = report("--as-of", month)
    assert done.exit_code == 2 and month in done.output


def test_a_file_that_cannot_be_written_is_named(report, tmp_path):
    for place in ("absent/r.html", str(tmp_path)):
        failed = report("--out", place).exception
        assert isinstance(failed, UsageError) and place in failed.what and "--out FILE" in failed.hint


def test_json_needs_a_file(report):
    assert report("--json", "--out", "-").exit_code == 2


def test_a_database_of_an_earlier_release_asks_for_its_migration(settings):
    with transaction(settings.database) as connection:
        connection.exec_driver_sql("DROP SCHEMA monitoring CASCADE")
    failed = CliRunner().invoke(app, ["monitor", "report"]).exception
    assert isinstance(failed, DependencyDown)
    assert "streamflow db migrate" in failed.hint
