"""Charts as inline SVG: a report must open on a machine without internet."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from feedback.evaluation.metrics import Estimate
from feedback.evaluation.reliability import Reliability

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 460, 280, 52, 40, 16
COLOURS = ("#1f5fa8", "#c2452d", "#3d8b4f", "#8a5fb0", "#b8860b", "#4a7f8c", "#777777")
GRID = 5


@dataclass(frozen=True, slots=True)
class Series:
    """A named line of (x, y, low, high) points; low and high are NaN where there is no interval."""

    name: str
    points: tuple[tuple[float, float, float, float], ...]


def reliability_chart(result: Reliability) -> str:
    """Observed share over predicted probability; a dot's area grows with how many there are."""
    most = max(item.count for item in result.bins)
    parts = [_frame("predicted probability", "share that was true"), _line(0, 0, 1, 1, "#bbb", dash=True)]
    for item in result.bins:
        radius = 3 + 9 * math.sqrt(item.count / most)
        title = f"{item.low:.1f}–{item.high:.1f}: {item.count} predictions, {item.observed:.2f} true"
        parts.append(
            f'<circle cx="{_x(item.predicted):.1f}" cy="{_y(item.observed):.1f}" r="{radius:.1f}" '
            f'fill="{COLOURS[0]}" fill-opacity="0.65"><title>{escape(title)}</title></circle>'
        )
    return _svg(parts, f"Reliability diagram, expected calibration error {result.ece:.3f}")


def line_chart(series: Sequence[Series], *, across: str, up: str, title: str) -> str:
    """Lines over a logarithmic x axis, e.g. a learning curve; y runs from 0 to 1."""
    values = [x for item in series for x, *_ in item.points]
    low, high = math.log10(min(values)), math.log10(max(values))
    width = max(high - low, 1e-9)

    def place(x: float) -> float:
        return (math.log10(x) - low) / width if high > low else 0.5

    parts = [_frame(across, up, ticks=sorted({(place(x), f"{x:g}") for x in values}))]
    for index, item in enumerate(series):
        colour = COLOURS[index % len(COLOURS)]
        path = " ".join(f"{_x(place(x)):.1f},{_y(y):.1f}" for x, y, *_ in item.points if math.isfinite(y))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for x, y, below, above in item.points:
            if math.isfinite(y):
                parts.append(f'<circle cx="{_x(place(x)):.1f}" cy="{_y(y):.1f}" r="3" fill="{colour}"/>')
            if math.isfinite(below) and math.isfinite(above):
                parts.append(_line(place(x), below, place(x), above, colour))
        parts.append(_legend(index, item.name, colour))
    return _svg(parts, title)


def bar_chart(bars: Sequence[tuple[str, Estimate]], *, title: str) -> str:
    """Horizontal bars from 0 to 1 with their intervals."""
    row, left, right = 24, 190, 250
    height = row * len(bars) + 12
    parts = []
    for index, (name, value) in enumerate(bars):
        y = 6 + index * row
        parts.append(f'<text x="{left - 8}" y="{y + 14}" text-anchor="end">{escape(name)}</text>')
        if math.isfinite(value.value):
            parts.append(
                f'<rect x="{left}" y="{y + 3}" width="{right * value.value:.1f}" height="14" fill="{COLOURS[0]}" '
                f'fill-opacity="0.75"/><line x1="{left + right * value.low:.1f}" x2="{left + right * value.high:.1f}" '
                f'y1="{y + 10}" y2="{y + 10}" stroke="#222"/>'
            )
        shown = f"{value.value:.2f}" if math.isfinite(value.value) else "–"
        parts.append(f'<text x="{left + right + 8}" y="{y + 14}">{shown}</text>')
    return _svg(parts, title, height=height, width=left + right + 56)


def _svg(parts: Sequence[str], title: str, *, height: int = HEIGHT, width: int = WIDTH) -> str:
    return (
        f'<svg role="img" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'xmlns="http://www.w3.org/2000/svg"><title>{escape(title)}</title>{"".join(parts)}</svg>'
    )


def _x(value: float) -> float:
    return LEFT + value * (WIDTH - LEFT - 16)


def _y(value: float) -> float:
    return HEIGHT - BOTTOM - value * (HEIGHT - BOTTOM - TOP)


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, *, dash: bool = False) -> str:
    style = ' stroke-dasharray="4 4"' if dash else ""
    return (
        f'<line x1="{_x(x1):.1f}" y1="{_y(y1):.1f}" x2="{_x(x2):.1f}" y2="{_y(y2):.1f}" '
        f'stroke="{colour}"{style}/>'
    )


def _frame(across: str, up: str, *, ticks: Sequence[tuple[float, str]] | None = None) -> str:
    shown = ticks or [(k / GRID, f"{k / GRID:.1f}") for k in range(GRID + 1)]
    parts = [_line(0, k / GRID, 1, k / GRID, "#e4e4e4") for k in range(GRID + 1)]
    parts += [
        f'<text x="{LEFT - 6}" y="{_y(k / GRID) + 4:.1f}" text-anchor="end">{k / GRID:.1f}</text>'
        for k in range(GRID + 1)
    ]
    parts += [
        f'<text x="{_x(x):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{escape(text)}</text>'
        for x, text in shown
    ]
    middle = (HEIGHT - BOTTOM + TOP) / 2
    parts.append(f'<text x="{_x(0.5):.1f}" y="{HEIGHT - 6}" text-anchor="middle">{escape(across)}</text>')
    parts.append(
        f'<text x="14" y="{middle:.1f}" text-anchor="middle" transform="rotate(-90 14 {middle:.1f})">{escape(up)}</text>'
    )
    return "".join(parts)


def _legend(index: int, name: str, colour: str) -> str:
    y = HEIGHT - BOTTOM - 14 - 16 * index
    return (
        f'<rect x="{WIDTH - 170}" y="{y - 9}" width="10" height="10" fill="{colour}"/>'
        f'<text x="{WIDTH - 155}" y="{y}">{escape(name)}</text>'
    )
