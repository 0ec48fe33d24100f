"""Charts as SVG: across in percent of the width, up and down in pixels, so that they fit any width and text stays text.

Nothing in them moves or needs a script; each has a title, a description and a table that tells the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from batchq.app.markup import Html, element, join

TOP: Final = 8
"""Pixels above the highest line; labels of the lines are centred on them."""
PLOT: Final = 168
"""Pixels from the highest line to the base."""
BASE: Final = TOP + PLOT
AXIS: Final = 26
"""Pixels below the base, for the labels."""
ROW: Final = 40
"""Pixels of a row of horizontal bars: its words and, below them, the bar."""
MARK_ROW: Final = 16
"""Pixels of a line of words above a chart."""
EDGE: Final = 8.0
"""A label nearer than that to an edge (percent) is written inwards."""
GRID: Final = 4


class Table(NamedTuple):
    """The numbers behind a chart: the first column names a row, the others are numbers."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


class Tick(NamedTuple):
    """A label on the horizontal axis, `x` percent from the left."""

    x: float
    text: str


class Column(NamedTuple):
    """A column of the chart.

    Attributes:
        x: percent from the left to its left side.
        width: percent.
        success: its lower part.
        failed: its upper part.
        tip: shown by the pointer.
        label: above it.
    """

    x: float
    width: float
    success: float
    failed: float
    tip: str
    label: str = ""


def nice_top(value: float) -> tuple[float, list[float]]:
    """The end of an axis that reaches `value`, and the places of its lines, from 0.

    Example:
        >>> nice_top(87)
        (100.0, [0.0, 25.0, 50.0, 75.0, 100.0])
        >>> nice_top(0)
        (1.0, [0.0, 1.0])
    """
    if value <= 0:
        return 1.0, [0.0, 1.0]
    rough = value / GRID
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999999)
    lines = [step * number for number in range(math.ceil(value / step - 1e-9) + 1)]
    return lines[-1], lines


def short_number(value: float) -> str:
    """A number that fits beside an axis.

    Example:
        >>> short_number(2500), short_number(0.25), short_number(3e6), short_number(40)
        ('2.5k', '0.25', '3M', '40')
    """
    for size, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{sign}"
    return f"{value:.3g}"


def columns(bars: Sequence[Column], ticks: Iterable[Tick], behind: Html | None = None, above: int = 0) -> list[Html]:
    """The shapes of a chart of stacked columns.

    Args:
        bars: the columns.
        ticks: labels on the horizontal axis.
        behind: what is drawn behind the columns.
        above: pixels kept free above the highest line.
    """
    whole = all(bar.success == int(bar.success) and bar.failed == int(bar.failed) for bar in bars)
    top, lines = nice_top(max((bar.success + bar.failed for bar in bars), default=0))
    scale = PLOT / top
    base = BASE + above
    shapes = [
        join(
            join(
                (
                    element("line", x1="0", x2="100%", y1=base - line * scale, y2=base - line * scale, class_="grid"),
                    element("text", short_number(line), x="-8", y=base - line * scale + 4, class_="tick end"),
                )
            )
            for line in lines
            if not whole or line == int(line)  # no half items
        )
    ]
    if behind is not None:
        shapes.append(behind)
    for bar in bars:
        shapes.append(
            element(
                "g",
                element("title", bar.tip),
                _part(bar, base, bar.success * scale, "good"),
                _part(bar, base - bar.success * scale, bar.failed * scale, "bad"),
            )
        )
        if bar.label:
            y = base - (bar.success + bar.failed) * scale - 6
            shapes.append(element("text", bar.label, x=_percent(bar.x + bar.width / 2), y=y, class_="value middle"))
    shapes.append(element("line", x1="0", x2="100%", y1=base, y2=base, class_="axis"))
    shapes += [label(tick.x, base + 18, tick.text, "tick") for tick in ticks]
    return shapes


def rows(bars: Sequence[tuple[str, int]]) -> list[Html]:
    """The shapes of a chart of horizontal bars, each with its words and its number above it."""
    most = max((number for _, number in bars), default=0) or 1
    shapes = []
    for place, (words, number) in enumerate(bars):
        y = place * ROW
        shapes += [
            element("text", words, x="0", y=y + 15, class_="name"),
            element("text", f"{number:,}", x="100%", y=y + 15, class_="value end"),
            element("rect", x="0", y=y + 22, width="100%", height=8, rx=2, class_="rest"),
            element("rect", x="0", y=y + 22, width=_percent(100 * number / most), height=8, rx=2, class_="bad"),
        ]
    return shapes


def label(x: float, y: float, text: str, kind: str) -> Html:
    """A text at `x` percent that keeps within the chart."""
    side = "start" if x < EDGE else "end" if x > 100 - EDGE else "middle"
    return element("text", text, x=_percent(min(100.0, max(0.0, x))), y=y, class_=f"{kind} {side}")


def markers(marks: Sequence[tuple[float, str]], base: float) -> Html:
    """Lines from the base up, each with its text beside its end at the side where there is room, a line of text each.

    Args:
        marks: percent from the left, and text.
        base: where the lines end.
    """
    lines, texts = [], []
    for number, (x, text) in enumerate(marks):
        y = MARK_ROW * number + 12
        lines.append(element("line", x1=_percent(x), x2=_percent(x), y1=y - 9, y2=base, class_="mark"))
        side, away = ("end", "-5") if x > 50 else ("start", "5")
        texts.append(element("text", text, x=_percent(x), y=y, dx=away, class_=f"mark-text {side}"))
    return join((*lines, *texts))  # the texts cover the lines of others


def band(x: float, width: float, tip: str) -> Html:
    """A hatched band from the base up, in which nothing could happen."""
    return element(
        "rect",
        element("title", tip),
        x=_percent(x),
        width=_percent(width),
        y=TOP,
        height=PLOT,
        fill="url(#hatch)",
    )


def figure(
    key: str,
    title: str,
    description: str,
    shapes: Iterable[Html],
    height: int,
    table: Table,
    legend: Sequence[tuple[str, str]] = (),
    kind: str = "plot",
) -> Html:
    """A chart with all that belongs to it.

    Args:
        key: its id in the page.
        title: its name, also to a screen reader.
        description: what it says, in a sentence.
        shapes: of the SVG.
        height: pixels.
        table: the same in numbers.
        legend: class of a colour and what it means.
        kind: ``plot`` (with room for the labels of an axis) or ``rows``.
    """
    drawing = element(
        "svg",
        element("title", title, id=f"{key}-title"),
        element("desc", description, id=f"{key}-desc"),
        *shapes,
        role="img",
        aria_labelledby=f"{key}-title",
        aria_describedby=f"{key}-desc",
        width="100%",
        height=height,
        class_=kind,
    )
    keys = element("ul", *(_key(colour, words) for colour, words in legend), class_="legend") if legend else None
    return element(
        "figure",
        element("figcaption", element("span", title, class_="title"), element("span", description, class_="note")),
        keys,
        element("div", drawing, class_="drawing"),
        numbers(key, f"{title}: the numbers", table),
        class_="card",
        id=key,
    )


def numbers(key: str, title: str, table: Table) -> Html:
    """A table behind a line that opens it."""
    return element(
        "details",
        element("summary", "The numbers"),
        scrolled(title, data_table(table, title)),
        id=f"{key}-numbers",
    )


def data_table(table: Table, caption: str, kind: str = "numbers") -> Html:
    """A table whose first column names its rows."""
    return element(
        "table",
        element("caption", caption, class_="hidden"),
        element("thead", element("tr", *(element("th", name, scope="col") for name in table.header))),
        element(
            "tbody",
            *(
                element("tr", element("th", row[0], scope="row"), *(element("td", cell) for cell in row[1:]))
                for row in table.rows
            ),
        ),
        class_=kind,
    )


def scrolled(title: str, table: Html) -> Html:
    """A table that may be wider than the screen: it scrolls by itself, with the keyboard too."""
    return element("div", table, role="group", aria_label=title, tabindex="0", class_="scroll")


def _key(colour: str, words: str) -> Html:
    fill = "url(#hatch)" if colour == "hatch" else None
    shape = element("rect", width="12", height="12", rx="2", class_=colour, fill=fill)
    return element("li", element("svg", shape, width="12", height="12", aria_hidden="true"), words)


def _part(bar: Column, base: float, height: float, kind: str) -> Html | None:
    if height <= 0:
        return None
    shown = max(height, 1.0)  # a single failure among thousands is seen
    return element("rect", x=_percent(bar.x), y=base - shown, width=_percent(bar.width), height=shown, class_=kind)


def _percent(value: float) -> str:
    return f"{value:.4g}%"
