"""Plots as SVG, drawn here as in `drawing`: histograms, curves and columns, with axes that can be read."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

# A plot's room and that of what is drawn in it; text is below and on the left.
_WIDTH, _HEIGHT = 360.0, 200.0
_LEFT, _TOP, _RIGHT, _BOTTOM = 44.0, 10.0, 350.0, 166.0


def _x(share: float) -> float:
    return _LEFT + share * (_RIGHT - _LEFT)


def _y(share: float) -> float:
    return _BOTTOM - share * (_BOTTOM - _TOP)


def _text(x: float, y: float, words: str, anchor: str = "middle", kind: str = "tick") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _tick(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"


def _frame(across: Sequence[tuple[float, str]], upwards: Sequence[tuple[float, str]], below: str) -> str:
    """Lines and their words, by their share of the axis; what the axis below is."""
    drawn = [
        f'<line class="rule" x1="{_LEFT}" x2="{_RIGHT}" y1="{_y(share):.1f}" y2="{_y(share):.1f}"/>'
        + _text(_LEFT - 6, _y(share) + 4, words, "end")
        for share, words in upwards
    ]
    drawn += [_text(_x(share), _BOTTOM + 15, words) for share, words in across]
    return "".join(drawn) + _text((_LEFT + _RIGHT) / 2, _HEIGHT - 4, below, kind="axis")


def _whole(drawn: str, label: str) -> Markup:
    return Markup('<svg class="figure-plot" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        int(_WIDTH), int(_HEIGHT), label, Markup(drawn)
    )


def histogram(before: Sequence[int], after: Sequence[int] | None, label: str, below: str) -> Markup:
    """Counts of equal steps from 0 to 100; `after` stands beside `before`."""
    total = max(sum(before), 1)
    most = max([*before, *(after or ()), 1])
    drawn = [_frame(
        [(n / 4, str(25 * n)) for n in range(5)],
        [(0.0, "0"), (0.5, f"{50 * most / total:.0f} %"), (1.0, f"{100 * most / total:.0f} %")], below,
    )]  # fmt: skip
    step = (_RIGHT - _LEFT) / len(before)
    series = [("before", before)] if after is None else [("before", before), ("after", after)]
    width = (step - 3) / len(series)
    for nth, (kind, counts) in enumerate(series):
        for n, count in enumerate(counts):
            height = (_BOTTOM - _TOP) * count / most
            x = _LEFT + n * step + 1.5 + nth * width
            drawn.append(
                f'<rect class="{kind}" x="{x:.1f}" y="{_BOTTOM - height:.1f}" width="{width:.1f}" '
                f'height="{height:.1f}"/>'
            )
    return _whole("".join(drawn), label)


def curve(
    points: Sequence[tuple[float, float]], label: str, below: str, upwards: str, dots: bool = False
) -> Markup:
    """y over x, both from 0, with the diagonal; `upwards` says what y is."""
    most = max([*(x for x, _ in points), *(y for _, y in points), 1e-9])
    most = 1.0 if most <= 1 and most > 0.5 else most * 1.05
    ticks = [(n / 4, _tick(most * n / 4)) for n in range(5)]
    drawn = [_frame(ticks, ticks[::2], below)]
    drawn.append(f'<line class="diagonal" x1="{_x(0)}" y1="{_y(0)}" x2="{_x(1)}" y2="{_y(1)}"/>')
    drawn.append(_text(_LEFT + 4, _TOP + 10, upwards, "start", "axis"))
    placed = [(_x(x / most), _y(y / most)) for x, y in points]
    drawn.append(f'<polyline class="line" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in placed)}"/>')
    if dots:
        drawn += [f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in placed]
    return _whole("".join(drawn), label)


def columns(values: Sequence[float], label: str, below: str, level: float) -> Markup:
    """A column for each of the values, numbered from 1, with a line at `level`."""
    most = max([*values, level]) * 1.08
    ticks = [0.0, level, max(values)] if max(values) > 1.2 * level else [0.0, level]
    drawn = [_frame(
        [((n + 0.5) / len(values), str(n + 1)) for n in range(len(values))],
        [(at / most, _tick(at)) for at in ticks], below,
    )]  # fmt: skip
    step = (_RIGHT - _LEFT) / len(values)
    for n, value in enumerate(values):
        height = (_BOTTOM - _TOP) * max(value, 0.0) / most
        drawn.append(
            f'<rect class="after" x="{_LEFT + n * step + 3:.1f}" y="{_BOTTOM - height:.1f}" '
            f'width="{step - 6:.1f}" height="{height:.1f}"/>'
        )
    drawn.append(
        f'<line class="diagonal" x1="{_LEFT}" x2="{_RIGHT}" y1="{_y(level / most):.1f}" '
        f'y2="{_y(level / most):.1f}"/>'
    )
    return _whole("".join(drawn), label)
