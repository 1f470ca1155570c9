"""The gate's report as one self-contained HTML page. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1f2933; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; }
th, td { text-align: left; padding: .4rem .6rem; border-bottom: 1px solid #cbd5e1; vertical-align: top; }
.passed { color: #166534; } .failed { color: #b91c1c; font-weight: 600; }
.verdict { font-size: 1.4rem; }
"""

_SLICE_HEADER = (
    "slice",
    "part",
    "rows",
    "positives",
    "AUC",
    "common rows",
    "AUC on common rows",
    "champion's AUC on common rows",
)


def page(report: Mapping[str, Any]) -> str:
    """The page of a report.

    Args:
        report: The report as JSON values.
    """
    champion = report["champion"]
    against = f"against version {champion}" if champion is not None else "with nothing in production"
    verdict = str(report["verdict"])
    parts = [
        f"<p class='verdict {verdict}'>{escape(verdict)}</p>",
        f"<p>{escape(report['model'])}, version {report['version']}, {against};"
        f" judged at {escape(report['judged_at'])}.</p>",
        _table(
            ("rule", "verdict", "reason"),
            [
                (rule["name"], "passed" if rule["passed"] else "failed", rule["reason"])
                for rule in report["rules"]
            ],
        ),
    ]
    if slices := report["facts"]["slices"]:
        parts.append("<h2>Slices of the holdout</h2>")
        parts.append(_table(_SLICE_HEADER, [_slice_row(item) for item in slices]))
    parts.append("<h2>Limits</h2>")
    parts.append(_table(("setting", "value"), sorted(report["limits"].items())))
    title = f"Gate: version {report['version']} {against}"
    return (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{escape(title)}</title>"
        f"<style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>{''.join(parts)}</body></html>\n"
    )


def _slice_row(item: Mapping[str, Any]) -> tuple[object, ...]:
    return (
        item["slice"],
        item["value"],
        item["rows"],
        item["positives"],
        _figure(item["challenger_auc"]),
        item["common_rows"],
        _figure(item["common_auc"]),
        _figure(item["champion_auc"]),
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = "".join("<tr>" + "".join(_cell(value) for value in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: object) -> str:
    text = str(value)
    marked = f" class='{text}'" if text in ("passed", "failed") else ""
    return f"<td{marked}>{escape(text)}</td>"


def _figure(value: float | None) -> str:
    return "too few rows" if value is None else f"{value:.4f}"
