"""The figures of `readme/` that need no data: the landmark schemes, the network, the synthetic heads.

python -m utils.diagrams
"""

from __future__ import annotations

import os
from pathlib import Path

from data.drawing import draw_scheme
from data.schemes import SCHEMES
from data.synthetic.scene import draw_sheet
from models.config import preset_config
from utils.common.cli import CommandLine, run_main
from utils.common.images import save_image
from utils.common.keras_runtime import start_keras
from utils.evaluation.plots import new_figure, write_figure

GRAY, BLUE, GREEN, ORANGE = "#d9d9d9", "#cfe2ff", "#d5f0d5", "#ffe2c4"


class Diagram:
    """Boxes, arrows and words on a figure without axes; places and sizes in the units of `width` and `height`."""

    def __init__(self, size: tuple[float, float], x: tuple[float, float], y: tuple[float, float]):
        self.figure, (self.axes,) = new_figure("", 1, width=size[0], height=size[1])
        self.axes.set_axis_off()
        self.axes.set(xlim=x, ylim=y)

    def box(self, x: float, y: float, width: float, height: float, text: str, colour: str) -> None:
        """A rounded box with its lower left corner at `x`, `y`."""
        from matplotlib.patches import FancyBboxPatch

        rounded = "round,pad=0.03"
        self.axes.add_patch(FancyBboxPatch((x, y), width, height, rounded, facecolor=colour, edgecolor="#444444"))
        self.text(x + width / 2, y + height / 2, text, ha="center")

    def arrow(
        self, start: tuple[float, float], end: tuple[float, float], text: str = "", style: str = "->", bend: float = 0.0
    ) -> None:
        """An arrow from `start` to `end`, red where it has a `text`, which stands to the right of its middle."""
        colour = "#a50f15" if text else "#444444"
        line = {"arrowstyle": style, "color": colour, "connectionstyle": f"arc3,rad={bend}"}
        self.axes.annotate("", end, start, arrowprops=line)
        self.text((start[0] + end[0]) / 2 + 0.12, (start[1] + end[1]) / 2, text, color=colour)

    def text(self, x: float, y: float, text: str, ha: str = "left", color: str = "black") -> None:
        """Words, centred on `y`."""
        self.axes.text(x, y, text, va="center", fontsize=8, ha=ha, color=color)


def draw_network(path: str | os.PathLike) -> None:
    """Trunk, feature map and stages of the preset `full` with both heads, as a PNG."""
    start_keras()
    from models.cpm import TRUNK

    config = preset_config("full", {task: tuple(range(scheme.count)) for task, scheme in SCHEMES.items()})

    def channels(count: int) -> int:
        return round(count * config.width)

    diagram = Diagram((14, 4), (0, 14.2), (-0.9, 3.1))
    diagram.text(0.42, 1.0, "image\nRGB\nuint8", ha="center")
    diagram.arrow((0.7, 1.0), (0.95, 1.0))
    x = 0.95
    blocks = [(f"trunk{k}\n{repeats} x conv 3x3", count, 2**k // 2) for k, (count, repeats) in enumerate(TRUNK, 1)]
    for words, count, scale in [*blocks, ("feature_map\nconv 3x3", 128, 8)]:
        diagram.box(x, 0.4, 1.05, 1.2, f"{words}\n{channels(count)}\n1/{scale} size", BLUE)
        diagram.arrow((x + 1.07, 1.0), (x + 1.3, 1.0))
        x += 1.3
    feature_map_x = x - 0.8
    for stage in (1, 2, config.stages):
        body = f"conv 1x1\n{channels(512)}" if stage == 1 else f"5 x conv 7x7\nconv 1x1\n{channels(128)}"
        if stage > 2 and config.stages > 3:
            diagram.text(x + 0.12, 1.0, "...", ha="center")
            x += 0.3
        diagram.box(x, 0.4, 1.3, 1.2, f"stage {stage}\n{body}", GREEN)
        for offset, (task, scheme) in zip((0.0, 0.68), SCHEMES.items(), strict=True):
            diagram.box(x + offset, 2.3, 0.62, 0.65, f"{task}\n{scheme.count}", ORANGE)
            diagram.arrow((x + 0.65, 1.62), (x + offset + 0.31, 2.28))
        if stage > 1:
            diagram.arrow((feature_map_x, 0.38), (x + 0.65, 0.38), bend=0.25)
        if stage < config.stages:
            diagram.arrow((x + 1.32, 1.0), (x + 1.55, 1.0))
        x += 1.55
    diagram.text(x - 0.1, 2.62, "heatmaps:\none a landmark,\nat every stage")
    diagram.text(x - 0.1, 1.0, "features go on\nto the next stage")
    diagram.text(feature_map_x + 1.4, -0.75, "feature_map goes into every stage from 2 on")
    write_figure(path, diagram.figure)


def draw_distillation(path: str | os.PathLike) -> None:
    """How a student learns ears from images and faces from its teacher, as a PNG."""
    diagram = Diagram((9, 4), (0, 12), (0, 5.2))
    diagram.box(0.2, 2.1, 1.5, 0.9, "ear image", GRAY)
    for y, name, colour in (
        (3.7, "teacher: the face network, frozen", GRAY),
        (0.5, "student: starts as the teacher", BLUE),
    ):
        diagram.box(2.6, y, 3.3, 0.9, f"{name}\ntrunk, feature map, stages", colour)
        diagram.box(7.2, y, 1.7, 0.9, "face heatmaps", GREEN)
        diagram.arrow((5.97, y + 0.45), (7.12, y + 0.45))
    diagram.box(9.5, 0.5, 1.7, 0.9, "ear heatmaps", ORANGE)
    diagram.arrow((4.3, 0.42), (10.35, 0.42), bend=0.12)
    diagram.arrow((1.76, 2.8), (2.55, 3.9))
    diagram.arrow((1.76, 2.3), (2.55, 1.2))
    diagram.box(9.5, 2.1, 1.7, 0.9, "ear points", GRAY)
    diagram.arrow((4.2, 3.64), (4.2, 1.48), "attention transfer:\nsame regions", "<->")
    diagram.arrow((8.0, 3.64), (8.0, 1.48), "distillation:\nsame heatmaps", "<->")
    diagram.arrow((10.35, 2.04), (10.35, 1.48), "ear loss", "<->")
    write_figure(path, diagram.figure)


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
