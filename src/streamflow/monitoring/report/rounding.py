"""Write numbers and times as people read them. Pure."""

from __future__ import annotations

import math
from datetime import datetime

NOTHING = "–"
"""Stands where there is no number."""
UNBROKEN = "\N{NO-BREAK SPACE}"
"""Space between a number and its unit, at which no line ends."""
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def figure(value: float | None, digits: int = 3) -> str:
    """A number with so many significant digits, and not fewer than it has before its point: 0.0123, 12.3, 7,043."""
    if value is None or not math.isfinite(value):
        return NOTHING
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    if not -5 <= exponent <= 12:
        return _scientific(value, digits)
    places = max(digits - 1 - exponent, 0)
    written = f"{value:,.{places}f}"
    return written.rstrip("0").rstrip(".") if "." in written else written


def probability(value: float | None) -> str:
    """A p-value or an error rate: two significant digits, and a power of ten for what is very small."""
    if value is None or not math.isfinite(value):
        return NOTHING
    if value == 0:
        return f"below{UNBROKEN}10⁻³⁰⁰"
    return f"{value:.2f}" if value >= 0.1 else (f"{value:.2g}" if value >= 1e-4 else _scientific(value, 2))


def metric(value: float | None) -> str:
    """A figure between 0 and about 1, such as an AUC: three decimals."""
    return NOTHING if value is None else f"{value:.3f}"


def signed(value: float | None) -> str:
    """A difference of such figures, with its sign."""
    return NOTHING if value is None else f"{value:+.3f}".replace("-", "−")


def interval(low: float | None, high: float | None) -> str:
    """A 95 % interval of such a figure; empty if it is not known."""
    return "" if low is None or high is None else f"{low:.3f} to {high:.3f}"


def percent(share: float | None) -> str:
    """A share in percent; one that is not 0 is never written as 0."""
    if share is None:
        return NOTHING
    return f"under{UNBROKEN}0.1{UNBROKEN}%" if 0 < share < 0.0005 else f"{share * 100:.1f}{UNBROKEN}%"


def count(number: int | None) -> str:
    """A number of rows: 7,043."""
    return NOTHING if number is None else f"{number:,}"


def day(moment: datetime | None) -> str:
    """The date of an as-of."""
    return NOTHING if moment is None else f"{moment:%Y-%m-%d}"


def instant(moment: datetime) -> str:
    """A time to the last digit, as an option of a command takes it."""
    return moment.isoformat()


def _scientific(value: float, digits: int) -> str:
    mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    return f"{mantissa}{UNBROKEN}×{UNBROKEN}10{str(int(exponent)).translate(_SUPERSCRIPTS)}"
