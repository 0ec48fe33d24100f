"""What was recorded over what was offered, as a picture: both on logarithmic scales, for the README."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from benchmarks.chart import COLOURS

from batchq.app.markup import Html, element, style
from simulation.plan import Curve

WIDTH: Final = 760
HEIGHT: Final = 400
LEFT: Final = 70
RIGHT: Final = 260
"""Pixels for the names of the curves."""
TOP: Final = 50
BOTTOM: Final = 50
LINE: Final = 16
KINDS: Final = 6
"""Colours."""
MORE: Final = """
.line { fill: none; stroke-width: 2.5 }
.c0 { stroke: #0969da } .c1 { stroke: #2da44e } .c2 { stroke: #9a6700 } .c3 { stroke: #cf222e } .c4 { stroke: #8250df }
.c5 { stroke: #1b7c83 }
.dot { stroke-width: 6; stroke-linecap: round }
.ideal { stroke: #8c959f; stroke-dasharray: 4 4 }
"""


def draw(curves: Sequence[Curve]) -> str:
    """An SVG file of its own, which follows the reader's light or dark."""
    title = "Outcomes recorded a second (simulated workers x slots, bytes of a result)"
    xs = [step.offered for curve in curves for step in curve.steps]
    ys = [max(step.recorded, 1.0) for curve in curves for step in curve.steps]
    scale = _Scale(min(xs), max(xs), min(ys), max(max(ys), min(xs) * 1.1))
    shapes: list[Html] = [element("text", title, x=8, y=22, class_="title"), *_grid(scale)]
    low, high = max(scale.left, scale.bottom), min(scale.right, scale.top)
    if high > low:
        shapes.append(_line((low, low), (high, high), scale, "ideal"))
    ends = sorted((scale.y(max(curve.steps[-1].recorded, 1.0)), number) for number, curve in enumerate(curves))
    named: dict[int, float] = {}
    y = min(ends[0][0], HEIGHT - BOTTOM - len(ends) * (2 * LINE + 6)) - 2 * LINE - 6
    for place, number in ends:  # names that would stand on one another move apart, and the last stays in the picture
        place = min(place, HEIGHT - BOTTOM - (len(ends) - len(named)) * (2 * LINE + 6))
        y = named[number] = max(place, y + 2 * LINE + 6)
    for number, curve in enumerate(curves):
        points = [(step.offered, max(step.recorded, 1.0)) for step in curve.steps]
        kind = f"c{number % KINDS}"
        shapes += [_line(one, other, scale, f"line {kind}") for one, other in pairwise(points)]
        shapes += [_line(point, point, scale, f"dot {kind}") for point in points]
        left, base = WIDTH - RIGHT + 8, named[number] + 4
        shapes.append(element("line", x1=left, x2=left + 12, y1=base - 4, y2=base - 4, class_=f"line {kind}"))
        shapes.append(element("text", f"at most {curve.limit:,.0f}/s", x=left + 18, y=base))
        shapes.append(element("text", curve.crowd.name, x=left + 18, y=base + LINE - 2, class_="tick"))
    described = "; ".join(f"results of {curve.crowd.name}: {curve.limit:,.0f} a second at most" for curve in curves)
    drawing = element(
        "svg",
        element("title", title),
        element("desc", described),
        style(COLOURS + MORE),
        *shapes,
        xmlns="http://www.w3.org/2000/svg",
        width=WIDTH,
        height=HEIGHT,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
    )
    return f"{drawing}\n"


class _Scale:
    """From outcomes a second to pixels."""

    def __init__(self, left: float, right: float, bottom: float, top: float) -> None:
        self.left, self.right, self.bottom, self.top = left, max(right, left * 1.1), bottom * 0.8, top * 1.2

    def x(self, value: float) -> float:
        share = math.log(value / self.left) / math.log(self.right / self.left)
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        share = math.log(value / self.bottom) / math.log(self.top / self.bottom)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)


def _line(one: tuple[float, float], other: tuple[float, float], scale: _Scale, kind: str) -> Html:
    (x1, y1), (x2, y2) = one, other
    return element("line", x1=scale.x(x1), y1=scale.y(y1), x2=scale.x(x2), y2=scale.y(y2), class_=kind)


def _grid(scale: _Scale) -> list[Html]:
    shapes: list[Html] = []
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    for value in _rounds(scale.left, scale.right):
        x = scale.x(value)
        shapes.append(element("line", x1=x, x2=x, y1=TOP, y2=bottom, class_="grid"))
        shapes.append(element("text", f"{value:,}", x=x, y=bottom + 16, class_="tick", text_anchor="middle"))
    for value in _rounds(scale.bottom, scale.top):
        y = scale.y(value)
        shapes.append(element("line", x1=LEFT, x2=right, y1=y, y2=y, class_="grid"))
        shapes.append(element("text", f"{value:,}", x=LEFT - 8, y=y + 4, class_="tick", text_anchor="end"))
    words = "offered: outcomes a second, were nothing ever waited for"
    shapes.append(element("text", words, x=(LEFT + right) / 2, y=HEIGHT - 12, class_="tick", text_anchor="middle"))
    return shapes


def _rounds(low: float, high: float) -> list[int]:
    """1, 2, 5, 10, … between them."""
    found = [factor * 10**power for power in range(8) for factor in (1, 2, 5)]
    return [value for value in found if low <= value <= high]
