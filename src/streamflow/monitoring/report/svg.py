"""Elements of inline SVG. Pure."""

from __future__ import annotations

from markupsafe import Markup, escape

MISSING = "…"


def element(tag: str, *children: str | Markup, **attributes: object) -> Markup:
    """An element; text among its children and attributes is escaped.

    Args:
        tag: Name of the element.
        children: Text and elements inside it.
        attributes: Attributes; `_` in a name stands for `-`, and a final one is left out: `class_`, `text_anchor`.
    """
    written = Markup("").join(
        Markup(' {}="{}"').format(name.rstrip("_").replace("_", "-"), _rounded(value))
        for name, value in attributes.items()
    )
    return Markup("<{0}{1}>{2}</{0}>").format(tag, written, Markup("").join(map(escape, children)))


def picture(width: float, height: float, alternative: str, *children: Markup) -> Markup:
    """A picture that takes the width it is given, with a text for those who do not see it."""
    return element(
        "svg",
        *children,
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
        aria_label=alternative,
        class_="plot",
    )


def text(words: str, x: float, y: float, anchor: str = "start", class_: str = "tick") -> Markup:
    """A line of text; `anchor` says which of its ends stands at `x`."""
    return element("text", words, x=x, y=y, text_anchor=anchor, class_=class_)


def line(x: float, y: float, to_x: float, to_y: float, class_: str) -> Markup:
    """A straight line."""
    return element("line", x1=x, y1=y, x2=to_x, y2=to_y, class_=class_)


def bar(x: float, y: float, width: float, height: float, class_: str) -> Markup:
    """A filled rectangle."""
    return element("rect", x=x, y=y, width=max(width, 0.0), height=max(height, 0.0), class_=class_)


def polyline(points: list[tuple[float, float]], class_: str) -> Markup:
    """A line through points."""
    return element("polyline", points=_joined(points), class_=class_)


def area(points: list[tuple[float, float]], class_: str) -> Markup:
    """A filled area between points."""
    return element("polygon", points=_joined(points), class_=class_)


def shortened(words: str, most: int) -> str:
    """Words in at most so many characters."""
    return words if len(words) <= most else words[: most - 1].rstrip() + MISSING


def _joined(points: list[tuple[float, float]]) -> str:
    return " ".join(f"{_rounded(x)},{_rounded(y)}" for x, y in points)


def _rounded(value: object) -> object:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else value
