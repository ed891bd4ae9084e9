"""The images of `readme/` that need no data: the landmark schemes, the network, the synthetic heads.

python -m utils.diagrams
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from data.drawing import paint_landmarks
from data.schemes import SCHEMES, Scheme, reference_shape
from data.synthetic.scene import draw_sheet
from utils.common.cli import CommandLine, run_main
from utils.common.images import save_image
from utils.evaluation.plots import new_figure, write_figure


def draw_scheme(scheme: Scheme, size: int = 900) -> np.ndarray:
    """The scheme's typical shape with every landmark numbered (0-based): (size, ..., 3) uint8 RGB."""
    shape = reference_shape(scheme)
    margin = size // 12
    points = shape * (size - 2 * margin) + margin
    width = int(points[:, 0].max()) + margin
    return paint_landmarks(np.full((size, width, 3), 32, np.uint8), points, scheme, numbers=True)


def draw_network(path: str | os.PathLike, preset: str = "full") -> None:
    """Trunk, feature map and stages of a preset with both heads, as a PNG; the numbers are read from its layers."""
    from matplotlib.patches import FancyBboxPatch

    from models.config import preset_config
    from models.cpm import TRUNK

    config = preset_config(preset, {task: tuple(range(scheme.count)) for task, scheme in SCHEMES.items()})

    def channels(count: int) -> int:
        return round(count * config.width)

    figure, (axes,) = new_figure("", 1, width=14, height=4)
    axes.set_axis_off()
    axes.set(xlim=(0, 14.2), ylim=(-0.9, 3.1))
    blue, green, orange = "#cfe2ff", "#d5f0d5", "#ffe2c4"

    def box(x: float, y: float, width: float, height: float, text: str, colour: str) -> None:
        axes.add_patch(FancyBboxPatch((x, y), width, height, "round,pad=0.02", facecolor=colour, edgecolor="#444444"))
        axes.text(x + width / 2, y + height / 2, text, ha="center", va="center", fontsize=8)

    def arrow(start: tuple[float, float], end: tuple[float, float], bend: float = 0.0) -> None:
        properties = {"arrowstyle": "->", "color": "#444444", "connectionstyle": f"arc3,rad={bend}"}
        axes.annotate("", xy=end, xytext=start, arrowprops=properties)

    axes.text(0.42, 1.0, "image\nRGB\nuint8", ha="center", va="center", fontsize=8)
    x = 0.95
    arrow((0.7, 1.0), (x, 1.0))
    for block, (count, repeats) in enumerate(TRUNK, start=1):
        scale = 2 ** (block - 1)
        box(x, 0.4, 1.05, 1.2, f"trunk{block}\n{repeats} x conv 3x3\n{channels(count)}\n1/{scale} size", blue)
        arrow((x + 1.07, 1.0), (x + 1.3, 1.0))
        x += 1.3
    box(x, 0.4, 1.05, 1.2, f"feature_map\nconv 3x3\n{channels(128)}\n1/8 size", blue)
    feature_map_x = x + 0.5
    x += 1.3
    shown = [1, 2, config.stages]
    for position, stage in enumerate(shown):
        if stage == 1:
            body = f"stage 1\nconv 1x1\n{channels(512)}"
        else:
            body = f"stage {stage}\n5 x conv 7x7\nconv 1x1\n{channels(128)}"
        arrow((x - 0.23, 1.0), (x, 1.0))
        box(x, 0.4, 1.3, 1.2, body, green)
        for offset, (task, scheme) in zip((0.0, 0.68), SCHEMES.items(), strict=True):
            box(x + offset, 2.3, 0.62, 0.65, f"{task}\n{scheme.count}", orange)
            arrow((x + 0.65, 1.62), (x + offset + 0.31, 2.28))
        if stage > 1:
            arrow((feature_map_x, 0.38), (x + 0.65, 0.38), bend=0.25)
        x += 1.55
        if position == 1 and config.stages > 3:
            axes.text(x + 0.12, 1.0, "...", ha="center", va="center", fontsize=14)
            x += 0.5
    axes.text(x - 0.1, 2.62, "heatmaps:\none a landmark,\nat every stage", fontsize=8, va="center")
    axes.text(x - 0.1, 1.0, "features go on\nto the next stage", fontsize=8, va="center")
    axes.text(feature_map_x + 1.4, -0.75, "feature_map goes into every stage from 2 on", fontsize=8, va="center")
    write_figure(path, figure)


def draw_distillation(path: str | os.PathLike) -> None:
    """How a student learns ears from images and faces from its teacher, as a PNG."""
    from matplotlib.patches import FancyBboxPatch

    figure, (axes,) = new_figure("", 1, width=9, height=4)
    axes.set(xlim=(0, 12), ylim=(0, 5.2))
    axes.axis("off")
    gray, blue, green, orange = "#d9d9d9", "#c6dbef", "#c7e9c0", "#fdd0a2"

    def box(x: float, y: float, width: float, height: float, text: str, colour: str) -> None:
        axes.add_patch(
            FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0.06", facecolor=colour, edgecolor="black")
        )
        axes.text(x + width / 2, y + height / 2, text, ha="center", va="center", fontsize=9)

    def arrow(start: tuple[float, float], end: tuple[float, float], text: str = "", style: str = "->") -> None:
        axes.annotate(
            "", end, start, arrowprops={"arrowstyle": style, "color": "#a50f15" if text else "black", "lw": 1.4}
        )
        if text:
            axes.text(
                (start[0] + end[0]) / 2 + 0.12,
                (start[1] + end[1]) / 2,
                text,
                va="center",
                fontsize=8.5,
                color="#a50f15",
            )

    box(0.2, 2.1, 1.5, 0.9, "ear image", gray)
    for y, name, colour in (
        (3.7, "teacher: the face network, frozen", gray),
        (0.5, "student: starts as the teacher", blue),
    ):
        box(2.6, y, 3.3, 0.9, f"{name}\ntrunk, feature map, stages", colour)
        box(7.2, y, 1.7, 0.9, "face heatmaps", green)
        arrow((5.97, y + 0.45), (7.12, y + 0.45))
    box(9.5, 0.5, 1.7, 0.9, "ear heatmaps", orange)
    axes.annotate("", (10.35, 0.42), (4.3, 0.42), arrowprops={"arrowstyle": "->", "connectionstyle": "arc3,rad=0.12"})
    arrow((1.76, 2.8), (2.55, 3.9))
    arrow((1.76, 2.3), (2.55, 1.2))
    box(9.5, 2.1, 1.7, 0.9, "ear points", gray)
    arrow((4.2, 3.64), (4.2, 1.48), "attention transfer:\nlook where it looks", "<->")
    arrow((8.0, 3.64), (8.0, 1.48), "distillation:\nsame faces", "<->")
    arrow((10.35, 2.04), (10.35, 1.48), "ear loss", "<->")
    write_figure(path, figure)


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    parser = CommandLine(
        prog="python -m utils.diagrams", description="Draw the schemes, the network and synthetic heads for readme/."
    )
    parser.add_argument("--out", default="readme", help="folder to write to (default: readme)")
    args = parser.parse_args(argv)
    for scheme in SCHEMES.values():
        save_image(Path(args.out) / f"{scheme.task}_scheme.png", draw_scheme(scheme))
    draw_network(Path(args.out) / "network.png")
    draw_distillation(Path(args.out) / "distillation.png")
    for kind in ("face", "ear"):
        save_image(Path(args.out) / f"synthetic_{kind}s.jpg", draw_sheet(kind))
    print(f"images in {args.out}")


if __name__ == "__main__":
    run_main(main)
