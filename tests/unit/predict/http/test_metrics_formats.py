"""`/metrics` answers in the format that the scraper asks for."""

from __future__ import annotations

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as classic

# What Prometheus sends with and without `scrape_protocols` set to the classic format.
PROMETHEUS = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
CLASSIC = "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"


def sample_names(families):
    return {sample.name for family in families for sample in family.samples}


def test_openmetrics_is_written_to_a_scraper_that_asks_for_it(ask):
    answer = ask("GET", "/metrics", headers={"accept": PROMETHEUS})
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert answer.text.endswith("# EOF\n")
    assert "http_requests_inprogress" in sample_names(openmetrics(answer.text))


@pytest.mark.parametrize("accept", [CLASSIC, "*/*", "text/html"])
def test_anybody_else_gets_the_classic_text_format(ask, accept):
    answer = ask("GET", "/metrics", headers={"accept": accept})
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "# EOF" not in answer.text
    assert "http_requests_inprogress" in sample_names(classic(answer.text))


def test_both_formats_have_the_same_series(ask):
    names = [
        sample_names(read(ask("GET", "/metrics", headers={"accept": accept}).text))
        for accept, read in ((PROMETHEUS, openmetrics), (CLASSIC, classic))
    ]
    assert names[0] == names[1]
