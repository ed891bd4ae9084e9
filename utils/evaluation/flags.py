"""The flags of `utils.evaluate`."""

from __future__ import annotations

from data.datasets import PARTS, SUBSETS_300W
from data.schemes import SCHEMES
from utils.common.cli import CommandLine, add_searcher, add_shard, network_size, positive_int
from utils.common.keras_runtime import PRECISIONS


def evaluation_flags() -> CommandLine:
    """The flags of the command."""
    parser = CommandLine(
        prog="python -m utils.evaluate", description="Score weights on a dataset: NME, failure rate, CED, worst cases."
    )
    parser.add_argument("weights", nargs="+", help="weights files (.keras, .weights.h5, old .h5, or of utils.export)")
    parser.add_argument("data", help="dataset folder: holds AFW/, CollectionA/ or Both/, or images with .pts")
    parser.add_argument(
        "--split",
        choices=(*PARTS, "all", *SUBSETS_300W),
        default="test",
        help="which images; common, challenging, full: 300-W's test sets (default: test)",
    )
    parser.add_argument("--split-file", help="split.csv of a run folder, for weights that were trained with --split")
    parser.add_argument(
        "--protocol",
        choices=("crop", "photo"),
        default="crop",
        help="crop: a square on the true points' box (default); photo: found in the whole image, as the demo does",
    )
    parser.add_argument("--task", choices=tuple(SCHEMES), help="score this head only (default: every head)")
    parser.add_argument("--points", choices=("2d", "3d"), help="jaw on the outline or in 3D (default: as trained)")
    parser.add_argument("--map", metavar="FILE", help="make landmarks of other points by a map, as train_face.py does")
    parser.add_argument("--points-dir", metavar="DIR", help="the points lie in this folder, under the images' names")
    parser.add_argument("--input-size", type=network_size, help="network input in pixels (default: as trained)")
    parser.add_argument(
        "--batch-size", type=positive_int, default=16, help="images at once; speed and memory only (default: 16)"
    )
    parser.add_argument("--limit", type=positive_int, help="score only that many images of the part")
    add_searcher(parser)
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="float32",
        help="float32 (default): the same score on every machine; auto: the fastest here, which differs between them",
    )
    parser.add_argument("--skip-bad", action="store_true", help="leave out unusable images and list them")
    parser.add_argument("--allow-trained", action="store_true", help="score images that the network was trained on")
    add_shard(parser)
    parser.add_argument(
        "--merge", nargs="+", default=[], metavar="REPORT", help="score what the runs with --shard answered, together"
    )
    parser.add_argument("--out", default="runs/evaluate", help="folder for the report (default: runs/evaluate)")
    return parser
