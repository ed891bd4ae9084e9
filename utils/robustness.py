"""How small and how turned may a head be? `python -m utils.robustness WEIGHTS`.

Synthetic heads, or with --data annotated ones, are placed in a 1280 x 720 frame at ten heights and eight angles. They
are looked for without any truth: by the whole image alone, shrunk (coarse), and coarse to fine, as the demo does it.
Prints a table by height and one by angle (Markdown), and writes them with every figure as JSON.

An answer counts as found if its centre lies within half of the true box's diagonal; NMEs are those of what was found.
"""

from __future__ import annotations

from pathlib import Path

from data.datasets import choose_part, find_samples
from data.schemes import EAR, FACE
from utils.common.cli import CommandLine, InputError, non_negative_int, positive_int, run_main
from utils.common.files import check_writable, replacing, write_json
from utils.common.keras_runtime import PRECISIONS
from utils.demo import LandmarkPredictor
from utils.evaluation.robustness import FRAME, HEIGHTS, annotated_heads, measure, synthetic_heads, table


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    parser = CommandLine(
        prog="python -m utils.robustness", description="Score the demo's search on heads of many sizes and angles."
    )
    parser.add_argument("weights", help="weights file")
    parser.add_argument("--heads", type=positive_int, default=6, help="heads, each placed 80 times (default: 6)")
    parser.add_argument("--seed", type=non_negative_int, default=9000, help="of synthetic heads (default: 9000)")
    parser.add_argument("--data", metavar="DIR", help="heads of the test part of this dataset of faces, not synthetic")
    parser.add_argument(
        "--heights", type=positive_int, nargs="+", default=HEIGHTS, metavar="PX", help="of the heads (default: ten)"
    )
    parser.add_argument("--precision", choices=PRECISIONS, default="float32", help="of the network (default: float32)")
    parser.add_argument("--out", default="runs/robustness", help="folder for the report (default: %(default)s)")
    args = parser.parse_args(argv)
    check_writable("--out", Path(args.out))

    predictor = LandmarkPredictor(args.weights, precision=args.precision)
    if not {FACE.task, EAR.task}.intersection(predictor.tasks):
        raise InputError(f"{args.weights}: knows neither faces nor ears, which synthetic heads have")
    if args.data is None:
        heads, count = synthetic_heads(args.heads, args.seed, FRAME[0]), args.heads
    else:
        faces = choose_part(find_samples([args.data], FACE, progress=True).samples, "test", args.data, limit=args.heads)
        heads, count = annotated_heads(faces), len(faces)
    rows = measure(predictor, heads, count, args.heights)
    text = f"{table(rows, 'height')}\n\n{table(rows, 'angle')}\n"
    print(f"whole image alone / coarse to fine\n\n{text}")
    out = Path(args.out)
    with replacing(out / "table.md") as part:
        part.write_text(text, encoding="utf-8")
    write_json(out / "rows.json", rows)
    print(f"table.md and rows.json in {out}")


if __name__ == "__main__":
    run_main(main)
