"""Figures and the plot of cumulative error distributions, as PNG files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from utils.common.files import replacing
from utils.common.fonts import drawable
from utils.evaluation.metrics import cumulative_distribution

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_ced(path: str | os.PathLike, curves: dict[str, np.ndarray], limit: float, title: str) -> None:
    """Cumulative error distributions as a PNG: name -> errors of its images (fractions); x runs to 1.5 x `limit`."""
    figure, (axes,) = new_figure(title, 1)
    grid = np.linspace(0, 1.5 * limit, 400)
    for name, errors in curves.items():
        axes.plot(100 * grid, 100 * cumulative_distribution(errors, grid), label=name)
    axes.axvline(100 * limit, color="gray", linestyle=":", label=f"failure above {100 * limit:g} %")
    axes.set(xlabel="NME (%)", ylabel="images (%)", xlim=(0, 150 * limit), ylim=(0, 100))
    axes.grid(alpha=0.3)
    for text in axes.legend().get_texts():
        text.set_parse_math(False)
    write_figure(path, figure)


def new_figure(title: str, panels: int, width: float = 5.5, height: float = 4.0) -> tuple[Figure, list[Axes]]:
    """A matplotlib figure with panels side by side, each `width` x `height` inches."""
    # The object interface: pyplot would look for a display and keep every figure alive.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * panels, height), layout="constrained")
    if title:
        figure.suptitle(title, parse_math=False)  # a name may hold a "$"
    return figure, [figure.add_subplot(1, panels, k + 1) for k in range(panels)]


def write_figure(path: str | os.PathLike, figure: Figure) -> None:
    """Write a figure beside `path` and rename. Names in it may hold any letters."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        shown, font = drawable(text.get_text())
        text.set_text(shown)
        if font is not None:
            text.set_fontproperties(FontProperties(fname=font, size=text.get_fontsize()))
    with replacing(path) as part:
        figure.savefig(part, dpi=110)
