"""HTML and SVG made of elements: every text is escaped when it is put in, so that none can be forgotten."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import Final

VOID: Final = frozenset({"meta", "link", "br"})
"""Elements without an end."""
CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
"""What no page may hold; half a surrogate pair could not even be written."""


class Html(str):
    """Markup that is safe to put into a page as it stands; made by `element` and `join` alone."""

    __slots__ = ()


Child = Html | str | int | None


def element(name: str, /, *children: Child, **attributes: str | float | None) -> Html:
    """An element with its children; those that are no `Html` are text, and escaped.

    Args:
        name: of the element.
        children: what it holds; None is left out.
        attributes: values are escaped, None is left out.  An underscore stands for a hyphen, one at the end for
            nothing (``class_``).

    Example:
        >>> element("p", "1 < 2 ", element("b", "&"), class_="note", aria_hidden="true")
        '<p class="note" aria-hidden="true">1 &lt; 2 <b>&amp;</b></p>'
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_text(_number(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inner = join(children)
    return Html(f"<{name}{given}>" if name in VOID else f"<{name}{given}>{inner}</{name}>")


def join(children: Iterable[Child]) -> Html:
    """Several pieces in a row.

    Example:
        >>> join(["<", element("br")])
        '&lt;<br>'
    """
    return Html("".join(child if isinstance(child, Html) else _text(child) for child in children if child is not None))


def style(text: str) -> Html:
    """A style sheet of our own; it must hold nothing from outside."""
    return Html(f"<style>{text}</style>")


def _text(value: object) -> str:
    # As a sign that something stood there: what people look for in a log must not simply vanish.
    return html.escape(CONTROL.sub("\ufffd", str(value)))


def _number(value: str | float) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)
