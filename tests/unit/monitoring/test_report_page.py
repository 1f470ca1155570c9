"""The page of a month: whole HTML that loads nothing, whatever the verdicts and the names in them are."""

import re
import string
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import hypothesis
import hypothesis.strategies as some
import pytest

import made_verdicts as made
from streamflow.monitoring.report.page import MOST_MONTHS, page

VOID = {"meta", "link", "br", "img", "input", "hr"}
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=http://evil.example/x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "</style></svg></title>",
    "&amp;&lt;b&gt;",
    "a_name_" * 40,
    "名前 – العمر\u202e",
    "]]>--><!--",
)


class Page(HTMLParser):
    """Elements of a page; fails if they are not closed in order."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.elements, self.texts = [], [], {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), (tag, attrs)
        self.elements.append((tag, dict(attrs), tuple(self.open)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)

    def all(self, tag):
        return [attributes for name, attributes, _ in self.elements if name == tag]

    def said(self, *tags):
        return " ".join(" ".join("".join(self.texts.get(tag, [])).split()) for tag in tags)


def customers(number):
    return f"{number:,} customers"


def whole(verdicts):
    """The page, after everything that holds for every page was checked."""
    text = page(verdicts, customers)
    found = Page(text)
    assert text.startswith("<!doctype html>")
    tags = {tag for tag, _, _ in found.elements}
    assert not tags & {
        "script",
        "img",
        "iframe",
        "object",
        "embed",
        "form",
        "a",
        "base",
        "foreignobject",
        "image",
        "use",
    }
    for tag, attributes, _ in found.elements:
        assert not [
            name for name in attributes if name.startswith("on") or name in ("src", "style", "srcset")
        ], tag
        assert attributes.get("href", "data:,") == "data:,"
    assert found.all("meta")[1]["content"].startswith(
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:;"
    )
    styles = "".join(found.texts["style"])
    assert not re.search(r"url\(|@import|https?:", styles)
    levels = [int(tag[1]) for tag, _, _ in found.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert len(found.all("caption")) == len(found.all("table"))
    assert all(attributes.get("scope") in ("col", "row") for attributes in found.all("th"))
    assert all(
        attributes["role"] == "img" and attributes["aria-label"].strip() for attributes in found.all("svg")
    )
    assert all("div" in inside for tag, _, inside in found.elements if tag == "table"), (
        "a table without its own scroll box"
    )
    ids = [attributes["id"] for _, attributes, _ in found.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {a["aria-labelledby"] for a in found.all("section")} <= set(ids)
    return found


EMPTY = {"features": (), "qualities": (), "harms": ()}
CASES = {
    "six months": made.verdicts(6),
    "one month": made.verdicts(1),
    "24 months": made.verdicts(24),
    "60 months": made.verdicts(60),
    "no labels yet": made.verdicts(3, labelled=0),
    "labels of the month": made.verdicts(3, labelled=3),
    "an empty month": made.verdicts(
        2, drifts=(made.drift(1), made.drift(2, "no_data", why="the month has no rows", rows=0)), **EMPTY
    ),
    "one customer": made.verdicts(1, drifts=(made.drift(1, "too_few_rows", rows=1),), **EMPTY),
    "harm without drift": made.verdicts(
        2, drifts=(), features=(), harms=(made.harm(2, "harmful", "realized"),)
    ),
    "no figures": made.verdicts(
        1,
        qualities=(
            made.quality(
                1, **dict.fromkeys(("auc", "auc_low", "auc_high", "f1", "precision", "recall", "profit"))
            ),
        ),
        harms=(
            made.harm(
                1, "no_data", loss=None, loss_low=None, reference_high=None, reference_loss=None, why="why"
            ),
        ),
    ),
    "two versions": made.verdicts(
        3, qualities=tuple(made.quality(n, version=v) for n in (1, 2, 3) for v in (2, 3))
    ),
    "a month missing": made.verdicts(6, qualities=tuple(made.quality(n) for n in (1, 2, 5, 6))),
}


@pytest.mark.parametrize("case", CASES)
def test_a_page_is_whole_and_loads_nothing(case):
    found = whole(CASES[case])
    shown = found.said(*set(found.texts) - {"style"}) + "".join(svg["aria-label"] for svg in found.all("svg"))
    assert not re.search(r"\b(nan|inf|None|Undefined)\b", shown)


@pytest.mark.parametrize("name", HOSTILE)
def test_names_and_reasons_are_shown_as_text(name):
    drift = made.drift(1, "drifted", why=name, drop_id=name)
    number = made.feature(name, "drifted", detail={**made.feature("x").detail, "why": name})
    detail = {"classes": [name, "other"], "reference": [0.5, 0.5], "current": [0.4, 0.6], "why": name}
    category = made.feature(f"{name} 2", kind="category", detail=detail)
    quality = made.quality(
        1, "realized", detail={"slices": [made.part(name, name, 50, None, name)], "release": name}
    )
    harm = made.harm(1, "no_data", why=name)
    found = whole(
        made.verdicts(
            1, model=name, drifts=(drift,), features=(number, category), qualities=(quality,), harms=(harm,)
        )
    )
    for tag in ("h1", "title", "h3", "td", "th", "code"):
        assert " ".join(name.split()) in found.said(tag), tag
    assert name in found.all("svg")[-1]["aria-label"] + found.all("svg")[0]["aria-label"]


def test_the_verdict_comes_first_and_drifted_features_before_the_others():
    found = whole(CASES["six months"])
    texts = [(tag, attributes.get("class")) for tag, attributes, _ in found.elements]
    assert texts[texts.index(("h1", None)) + 2][1] == "verdict drifted"
    assert found.texts["h3"] == [
        "internet_service",
        "monthly_fee",
        "plan_stream_tv",
        "watch_hours_30d",
        "contract",
        "score",
    ]
    order = [attributes["id"] for attributes in found.all("h2")]
    assert order == ["quality", "harm", "features", "slices", "how"]


def test_the_same_verdicts_give_the_same_page():
    assert page(made.verdicts(6), customers) == page(made.verdicts(6), customers)


def test_harm_shows_before_drift():
    shown = made.verdicts(6, harms=(made.harm(5, "harmful", "realized"), made.harm(6)))
    found = whole(shown)
    assert "verdict harmful" in {attributes.get("class") for attributes in found.all("p")}


def test_a_long_history_shows_the_newest_months():
    found = whole(CASES["60 months"])
    assert "36 earlier ones are left out" in found.said("caption")
    rows = [text for text in found.texts["th"] if re.fullmatch(r"\d{4}-\d\d-\d\d", text)]
    assert len(set(rows)) == MOST_MONTHS
    assert rows[0] == f"{made.month(60):%Y-%m-%d}"


def test_a_corrected_month_shows_the_verdict_that_it_replaced():
    drifts = (made.drift(1, "drifted"), made.drift(2, as_of=made.month(1), drop_id="corrected"))
    found = whole(made.verdicts(1, drifts=drifts, harms=(), qualities=()))
    assert "which was corrected since" in found.said("dd")
    assert "verdict stable" in {attributes.get("class") for attributes in found.all("p")}


def test_a_small_slice_and_a_small_part_of_the_calibration_curve_show_nobody():
    quality = made.quality(
        1,
        "realized",
        detail={
            "calibration_curve": [{"score": 0.5, "positives": 1 / 7, "rows": 7}],
            "slices": [made.part("contract", "two years", 9, 0.4321)],
        },
    )
    found = whole(made.verdicts(1, qualities=(quality,)))
    assert "0.432" not in found.said("td") and "fewer than 10 rows" in found.said("td")
    assert not [svg for svg in found.all("svg") if svg["aria-label"].startswith("Calibration")]


def test_labels_that_the_version_was_trained_on_are_no_quality():
    reason = "the version was trained on these labels"
    figures = dict.fromkeys(("auc", "auc_low", "auc_high", "brier", "brier_low", "brier_high"))
    trained = made.quality(1, "realized", **figures, detail={"why": {"auc": reason, "brier": reason}})
    found = whole(made.verdicts(1, qualities=(made.quality(1), trained), drifts=(), features=(), harms=()))
    assert f"By labels: no auc, brier ({reason})." in found.texts["p"]
    assert "estimated without labels: those of no month" in found.said("p")
    assert "no labels of this month yet" not in found.said("dd")


names = some.text(alphabet=string.printable + "äß漢\u202e\u0000", max_size=30)
numbers = some.one_of(
    some.none(), some.floats(allow_nan=False, allow_infinity=False, min_value=0, max_value=1e6)
)
shares = some.lists(some.floats(0, 1), min_size=1, max_size=30)
features = some.builds(
    made.feature,
    names,
    some.sampled_from(["stable", "drifted", "too_few_rows", "no_data"]),
    some.sampled_from(["number", "category"]),
    p_value=some.one_of(some.none(), some.floats(0, 1)),
    effect=numbers,
    smallest_detectable=numbers,
    psi=numbers,
    psi_without_drift=numbers,
    rows=some.integers(0, 10**9),
    reference_rows=some.integers(0, 10**9),
    detail=some.one_of(
        some.just({}),
        some.builds(
            lambda edges, one, two: {"bins": {"edges": edges, "reference": one, "current": two}},
            some.lists(some.one_of(some.none(), some.floats(-1e12, 1e12)), max_size=31),
            shares,
            shares,
        ),
        shares.flatmap(
            lambda one: some.builds(
                lambda names, two, why: {"classes": names, "reference": one, "current": two, "why": why},
                some.lists(names, min_size=len(one), max_size=len(one)),
                some.permutations(one),
                names,
            )
        ),
    ),
)


# Shrinking takes minutes; the first page that is broken says enough.
@hypothesis.settings(max_examples=60, phases=[hypothesis.Phase.generate])
@hypothesis.given(some.lists(features, max_size=5))
def test_a_page_of_any_features_is_whole(invented):
    named = tuple(replace(item, name=f"{number} {item.name}") for number, item in enumerate(invented))
    found = whole(made.verdicts(1, features=named, qualities=(), harms=()))
    assert len(found.all("article")) == len(named)
