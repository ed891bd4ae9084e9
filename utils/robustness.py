"""How small and how turned may a head be? `python -m utils.robustness WEIGHTS`.

Synthetic heads, or with --data annotated faces, are placed in a 1280 x 720 frame at several heights and eight angles.
They are looked for without any truth: by the whole image alone, shrunk (coarse), and coarse to fine, as the demo does.
Prints a table by height and one by angle (Markdown), and writes them with every figure as JSON.

An answer counts as found if its centre lies within half of the true box's diagonal; NMEs are those of what was found.
"""

from __future__ import annotations

from pathlib import Path

from data.datasets import PARTS, Sample, choose_part, find_samples
from data.schemes import EAR, FACE
from utils.common.cli import (
    CommandLine,
    InputError,
    add_searcher,
    non_negative_int,
    positive_int,
    printable,
    run_main,
)
from utils.common.files import check_writable, replacing, write_json
from utils.common.keras_runtime import PRECISIONS
from utils.demo import LandmarkPredictor
from utils.evaluation.robustness import FRAME, HEIGHTS, annotated_heads, measure, synthetic_heads, table
from utils.evaluation.scoring import refuse_trained_images


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    parser = CommandLine(
        prog="python -m utils.robustness", description="Score the demo's search on heads of many sizes and angles."
    )
    parser.add_argument("weights", help="weights file")
    parser.add_argument(
        "--heads", type=positive_int, default=6, help="heads, each at all heights and angles (default: 6)"
    )
    parser.add_argument("--seed", type=non_negative_int, default=9000, help="of synthetic heads (default: 9000)")
    parser.add_argument("--data", metavar="DIR", help="annotated faces of this dataset instead of synthetic heads")
    parser.add_argument("--split", choices=(*PARTS, "all"), default="test", help="part of --data (default: test)")
    parser.add_argument("--skip-bad", action="store_true", help="leave out unusable images of --data")
    parser.add_argument(
        "--heights", type=positive_int, nargs="+", default=HEIGHTS, metavar="PX", help="of the heads (default: ten)"
    )
    parser.add_argument("--precision", choices=PRECISIONS, default="float32", help="of the network (default: float32)")
    add_searcher(parser)
    parser.add_argument("--out", default="runs/robustness", help="folder for the report (default: %(default)s)")
    args = parser.parse_args(argv)
    check_writable("--out", Path(args.out))
    if max(args.heights) > FRAME[0]:
        raise InputError(f"--heights {max(args.heights)}: the frame has {FRAME[0]} pixels; take no more")

    faces = annotated_faces(args.data, args.split, args.skip_bad, args.heads) if args.data else None
    predictor = LandmarkPredictor(args.weights, precision=args.precision, searcher=args.searcher)
    if not {FACE.task, EAR.task}.intersection(predictor.tasks):
        raise InputError(f"{args.weights}: knows neither faces nor ears, which synthetic heads have")
    if faces is None:
        heads, count = synthetic_heads(args.heads, args.seed, FRAME[0]), args.heads
    else:
        if FACE.task not in predictor.tasks:
            raise InputError(f"{args.weights}: knows no faces, and of --data nothing else is looked for")
        for reader in predictor.readers:
            refuse_trained_images(reader.weights, reader.record, faces, "choose another --split, or other images")
        heads, count = annotated_heads(faces), len(faces)
        print(f"{count} heads of {printable(args.data)}")
    if predictor.searched_by:
        print(f"{printable(args.weights)}{predictor.searched_by}")
    rows = measure(predictor, heads, count, tuple(dict.fromkeys(args.heights)))
    text = f"{table(rows, 'height')}\n\n{table(rows, 'angle')}\n"
    print(f"whole image alone / coarse to fine\n\n{text}")
    out = Path(args.out)
    with replacing(out / "table.md") as part:
        part.write_text(text, encoding="utf-8")
    write_json(out / "rows.json", rows)
    print(f"table.md and rows.json in {out}")


def annotated_faces(data: str, split: str, skip_bad: bool, limit: int) -> list[Sample]:
    """So many of the faces of a part of a dataset whose 68 points are all known; `InputError` if there is none."""
    found = find_samples([data], FACE, skip_bad=skip_bad, progress=True)
    whole = [sample for sample in found.samples if sample.complete]
    return choose_part(whole, split, data, limit=limit)


if __name__ == "__main__":
    run_main(main)
