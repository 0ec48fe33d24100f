"""The rates of one workload as a picture: bars on a logarithmic scale, for the README."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from batchq.app.markup import Html, element, style
from benchmarks.rows import Rate

WIDTH: Final = 760
NAMES: Final = 300
"""Pixels for the words before the bars."""
VALUES: Final = 80
"""Pixels for the number behind the longest bar."""
ROW: Final = 28
BAR: Final = 16
TOP: Final = 40
BOTTOM: Final = 26
COLOURS: Final = """
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600; font-size: 15px }
.tick { font-size: 11px; fill: #57606a }
.grid { stroke: #d0d7de }
.batchq { fill: #0969da }
.memory { fill: #9a6700 }
.peer { fill: #8c959f }
.limit { fill: #2da44e }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .tick { fill: #8d96a0 }
  .grid { stroke: #30363d }
}
"""


def draw(rates: Sequence[Rate], title: str) -> str:
    """An SVG file of its own, the fastest at the top; it follows the reader's light or dark.

    Raises:
        ValueError: there are no rates.
    """
    if not rates:
        raise ValueError("no rates to draw")
    ordered = sorted(rates, key=lambda rate: -rate.median)
    low = math.floor(math.log10(ordered[-1].median) - 0.2)
    high = math.log10(ordered[0].median)
    per_decade = (WIDTH - NAMES - VALUES) / (high - low)
    base = TOP + ROW * len(ordered)
    shapes: list[Html] = [element("text", title, x=8, y=22, class_="title")]
    for decade in range(low, math.floor(high) + 1):
        x = NAMES + (decade - low) * per_decade
        shapes.append(element("line", x1=x, x2=x, y1=TOP - 6, y2=base, class_="grid"))
        shapes.append(element("text", f"{10.0**decade:,.10g}", x=x, y=base + 16, class_="tick", text_anchor="middle"))
    for place, rate in enumerate(ordered):
        y = TOP + ROW * place
        length = max(1.0, (math.log10(rate.median) - low) * per_decade)
        shapes += [
            element("text", rate.name, x=NAMES - 8, y=y + 13, text_anchor="end"),
            element("rect", x=NAMES, y=y, width=length, height=BAR, rx=2, class_=rate.kind),
            element("text", f"{rate.median:,.0f}", x=NAMES + length + 6, y=y + 13),
        ]
    height = base + BOTTOM
    described = "; ".join(f"{rate.name}: {rate.median:,.0f} items/s" for rate in ordered)
    drawing = element(
        "svg",
        element("title", title),
        element("desc", described),
        style(COLOURS),
        *shapes,
        xmlns="http://www.w3.org/2000/svg",
        width=WIDTH,
        height=height,
        viewBox=f"0 0 {WIDTH} {height}",
        role="img",
    )
    return f"{drawing}\n"
