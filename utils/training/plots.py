"""The curves of a run."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from utils.evaluation.plots import new_figure, write_figure


def plot_history(path: str | os.PathLike, history: Sequence[dict], title: str) -> None:
    """Loss and NME over epochs as a PNG.

    Each row of `history` has epoch, loss and nme (per cent); it may have `val_nme`, `val_ear_nme` ... and other losses.
    """
    others = ("epoch", "input_size", "learning_rate", "minutes")
    figure, (left, right) = new_figure(title, 2)
    epochs = [row["epoch"] for row in history]
    for name in (name for name in history[-1] if name not in others and not name.endswith("nme")):
        left.plot(epochs, [row[name] for row in history], label="training loss" if name == "loss" else name)
    left.set(xlabel="epoch", ylabel="loss", yscale="log")
    right.plot(epochs, [row["nme"] for row in history], label="training views")
    for name in (name for name in history[-1] if name.startswith("val_") and name.endswith("nme")):
        if any(np.isfinite(row[name]) for row in history):
            task = name.removeprefix("val_").removesuffix("nme").replace("_", " ")
            right.plot(epochs, [row[name] for row in history], label=f"{task}validation images".strip())
    right.set(xlabel="epoch", ylabel="NME (%)", yscale="log")
    for axes in (left, right):
        axes.grid(alpha=0.3, which="both")
        axes.legend()
    write_figure(path, figure)
