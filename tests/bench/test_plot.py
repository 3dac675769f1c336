"""Pictures are drawn of what was measured, and of nothing else."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from bench import plot


def test_nothing_is_drawn_of_what_was_not_measured(tmp_path: Path) -> None:
    plot.draw({"peers": {}}, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_hour_has_a_line_for_each_quantity(tmp_path: Path) -> None:
    samples = {name: [float(n), 2.0 * n, 1.0] for n, name in enumerate(plot.PANELS, 1)}
    samples["seconds"] = [60.0, 120.0, 180.0]
    drawn = [axes.lines[0] for axes in plot._soak(samples).axes]
    assert [np.asarray(line.get_ydata()).tolist() for line in drawn] == [
        samples[name] for name in plot.PANELS
    ]
    assert {tuple(np.asarray(line.get_xdata()).tolist()) for line in drawn} == {(1.0, 2.0, 3.0)}
    plot.draw({"soak": {"samples": samples}}, tmp_path)
    [picture] = tmp_path.iterdir()
    assert picture.name == "soak.svg"
    assert ElementTree.parse(picture).getroot().tag.endswith("svg")
