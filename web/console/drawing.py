"""Small pictures as SVG, drawn here: they need no script, take the page's colours and read well aloud."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup, escape


def bar(value: float, most: float, label: str, kind: str = "") -> Markup:
    """A bar that is `value` of `most` full."""
    width = 0.0 if most <= 0 else max(0.0, min(100.0, 100 * value / most))
    return Markup(
        '<svg class="bar {}" viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<rect class="track" width="100" height="8"/><rect class="fill" width="{:.1f}" height="8"/></svg>'
    ).format(kind, label, width)


def radar(values: Sequence[tuple[str, float]], label: str) -> Markup:
    """Values of 0 to 100 on axes around a centre, each with its name and figure."""
    middle_x, middle_y, radius = 170.0, 128.0, 88.0

    def place(n: int, share: float) -> tuple[float, float]:
        angle = 2 * math.pi * n / len(values) - math.pi / 2
        return middle_x + share * radius * math.cos(angle), middle_y + share * radius * math.sin(angle)

    def ring(share: float) -> str:
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(n, share) for n in range(len(values))))

    drawn = [f'<polygon class="ring" points="{ring(share / 4)}"/>' for share in (1, 2, 3, 4)]
    for n in range(len(values)):
        x, y = place(n, 1)
        drawn.append(f'<line class="ring" x1="{middle_x}" y1="{middle_y}" x2="{x:.1f}" y2="{y:.1f}"/>')
    shape = " ".join(
        f"{x:.1f},{y:.1f}" for x, y in (place(n, value / 100) for n, (_, value) in enumerate(values))
    )
    drawn.append(f'<polygon class="shape" points="{shape}"/>')
    for n, (name, value) in enumerate(values):
        x, y = place(n, value / 100)
        drawn.append(f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>')
        x, y = place(n, 1.16)
        anchor = "middle" if abs(x - middle_x) < 5 else "start" if x > middle_x else "end"
        drawn.append(
            f'<text class="name" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(name)}</text>'
            f'<text class="value" x="{x:.1f}" y="{y + 14:.1f}" text-anchor="{anchor}">{value:.0f}</text>'
        )
    return Markup('<svg class="radar" viewBox="0 0 340 250" role="img" aria-label="{}">{}</svg>').format(
        label, Markup("".join(drawn))
    )


def spark(values: Sequence[float], label: str) -> Markup:
    """A line without axes."""
    if len(values) < 2:
        return Markup("")
    low, high = min(values), max(values)
    span = (high - low) or 1
    points = " ".join(
        f"{100 * n / (len(values) - 1):.1f},{26 - 24 * (value - low) / span:.1f}"
        for n, value in enumerate(values)
    )
    return Markup(
        '<svg class="spark" viewBox="0 0 100 28" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<polyline points="{}"/></svg>'
    ).format(label, points)
