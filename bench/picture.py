"""Pictures of what was measured: SVG, without a library."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_SHADES = ("#0a7", "#06c", "#c50", "#808", "#a80", "#088", "#c06", "#777", "#36a", "#690")
_EDGE = 64


@dataclass(frozen=True, slots=True)
class Curve:
    """One panel: a line through points, both axes from 0 but x by its logarithm.

    title: also says what y is. x: what the steps are.
    """

    title: str
    x: str
    points: Sequence[tuple[float, float]]


def curves(panels: Sequence[Curve], *, width: int = 880, height: int = 260) -> str:
    """Two panels a row."""
    rows = math.ceil(len(panels) / 2)
    across = width / 2
    parts = [_begin(width, height * rows)]
    for number, panel in enumerate(panels):
        left, top = number % 2 * across, number // 2 * height
        parts.append(f'<g transform="translate({left:.0f},{top})">')
        parts += _panel(panel, across, height, _SHADES[number % len(_SHADES)])
        parts.append("</g>")
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Curve, width: float, height: float, shade: str) -> list[str]:
    low, high = (math.log10(end) for end in (panel.points[0][0], panel.points[-1][0]))
    top = max(y for _, y in panel.points) * 1.15 or 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        along = (math.log10(x) - low) / ((high - low) or 1.0)
        return (
            _EDGE + along * (width - 1.5 * _EDGE),
            height - _EDGE - y / top * (height - 1.6 * _EDGE),
        )

    parts = [f'<text x="{_EDGE}" y="22" font-weight="bold">{panel.title}</text>']
    floor = place(panel.points[0][0], 0)[1]
    parts.append(
        f'<line x1="{_EDGE}" y1="{floor:.0f}" x2="{width - _EDGE / 2:.0f}" y2="{floor:.0f}" '
        'stroke="#999"/>'
    )
    parts.append(
        f'<text x="{width / 2:.0f}" y="{height - 16}" text-anchor="middle">{panel.x}</text>'
    )
    for x, y in panel.points:
        at, up = place(x, y)
        parts.append(
            f'<text x="{at:.0f}" y="{floor + 16:.0f}" text-anchor="middle">{_short(x)}</text>'
        )
        parts.append(f'<text x="{at:.0f}" y="{up - 8:.0f}" text-anchor="middle">{_short(y)}</text>')
        parts.append(f'<circle cx="{at:.1f}" cy="{up:.1f}" r="3" fill="{shade}"/>')
    line = " ".join(f"{at:.1f},{up:.1f}" for at, up in (place(*point) for point in panel.points))
    parts.append(f'<polyline fill="none" stroke="{shade}" stroke-width="1.5" points="{line}"/>')
    return parts


def bars(title: str, rows: Mapping[str, Mapping[str, float]], *, width: int = 880) -> str:
    """A bar a row, made of parts that are named beside it with their values, largest first."""
    longest = max(sum(parts.values()) for parts in rows.values())
    tall = {name: 34 + 17 * math.ceil(len(parts) / 3) for name, parts in rows.items()}
    made = [_begin(width, 40 + sum(tall.values()))]
    made.append(f'<text x="16" y="24" font-weight="bold">{title}</text>')
    top = 40.0
    for name, parts in rows.items():
        total = sum(parts.values())
        made.append(f'<text x="16" y="{top + 15:.0f}">{name}</text>')
        made.append(f'<text x="96" y="{top + 15:.0f}" text-anchor="end">{total:.2f}</text>')
        at = 104.0
        ordered = sorted(parts.items(), key=lambda part: -part[1])
        for number, (part, value) in enumerate(ordered):
            shade = _SHADES[number % len(_SHADES)]
            long = value / longest * (width - 130)
            made.append(
                f'<rect x="{at:.1f}" y="{top:.0f}" width="{long:.1f}" height="20" fill="{shade}"/>'
            )
            at += long
            x, y = 104 + number % 3 * 255, top + 36 + number // 3 * 17
            made.append(f'<rect x="{x}" y="{y - 9:.0f}" width="9" height="9" fill="{shade}"/>')
            made.append(f'<text x="{x + 14}" y="{y:.0f}">{part} {value:.2f}</text>')
        top += tall[name]
    return "\n".join([*made, "</svg>", ""])


def _begin(width: int, height: float) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height:.0f}" '
        'font-family="sans-serif" font-size="11">'
        '<rect width="100%" height="100%" fill="white"/>'
    )


def _short(value: float) -> str:
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"
