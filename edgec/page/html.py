"""Writing HTML that is well-formed XML too: one function for an element, one each for the shapes that sections are made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


def tag(name: str, *content: str, **attributes: object) -> str:
    """An element. content is markup (escape text with `text`); cls stands for class; attributes that are "" are left out."""
    named = {"class" if key == "cls" else key: str(value) for key, value in attributes.items()}
    written = "".join(f' {key}="{escape(value)}"' for key, value in named.items() if value != "")
    return f"<{name}{written}>{''.join(content)}</{name}>"


def text(value: object) -> str:
    """Anything as text: numbers with separators, the rest escaped."""
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else escape(str(value))


def shape(dims: Iterable[int]) -> str:
    return "×".join(map(str, dims))


def section(name: str, title: str, note: str, *content: str) -> str:
    """A panel with a heading; name is its id; note is text."""
    return tag("section", tag("h2", text(title)), tag("p", text(note), cls="note") if note else "", *content, id=name)


def row(cells: Sequence[str], cls: str = "") -> str:
    """A table row of ready cells."""
    return tag("tr", *cells, cls=cls)


def cell(*content: str, cls: str = "", style: str = "") -> str:
    return tag("td", *content, cls=cls, style=style)


def heads(names: Sequence[str], *, right: Sequence[str] = ()) -> str:
    return row([tag("th", text(n), cls="num" if n in right else "") for n in names])


def bar(percent: float, cls: str = "") -> str:
    """A thin horizontal bar."""
    return tag("div", tag("i", cls=cls, style=f"width:{min(max(percent, 0.0), 100.0):.1f}%"), cls="bar")


def dot(colour: str) -> str:
    """A small square of a colour, as a key."""
    return tag("span", cls="key", style=f"background:{colour}")
