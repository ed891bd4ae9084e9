"""`python -m data.synthetic --out data --faces 2000 --ears 1000`: draw images of synthetic heads with exact points."""

from __future__ import annotations

import time
from pathlib import Path

from data.synthetic.generate import Plan, generate
from utils.common.cli import CommandLine, InputError, non_negative_int, positive_int, run_main
from utils.common.workers import cpu_count

SMALLEST, LARGEST = 32, 2048  # pixels a side
MOST = 1_000_000  # images of a kind: their names have six digits


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    parser = CommandLine(
        prog="python -m data.synthetic",
        description="Draw images of synthetic heads, with exact points, in the real datasets' folders and formats.",
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for AFW/, CollectionA/, Both/ and NoEar/")
    parser.add_argument("--faces", type=non_negative_int, default=0, help="images with 68 face points (AFW/)")
    parser.add_argument(
        "--ears", type=non_negative_int, default=0, help="images with one ear's 55 points (CollectionA/)"
    )
    parser.add_argument("--both", type=non_negative_int, default=0, help="images with face and both ears (Both/)")
    parser.add_argument(
        "--no-ear", type=non_negative_int, default=0, help="images of heads with hidden ears, for --negatives (NoEar/)"
    )
    parser.add_argument("--size", type=positive_int, default=256, help="pixels a side (default: 256)")
    parser.add_argument("--seed", type=non_negative_int, default=0, help="of the people and their images (default: 0)")
    parser.add_argument("--draft", action="store_true", help="fewer samples, triangles and hairs: faster and coarser")
    parser.add_argument(
        "--jpeg", action="store_true", help="ear images as JPEG: a sixth of the size (default: PNG, as in ibug-ears)"
    )
    parser.add_argument("--processes", type=positive_int, help="how many work at once (default: one a core)")
    args = parser.parse_args(argv)
    if args.size < SMALLEST:
        raise InputError(f"--size {args.size}: at least {SMALLEST} pixels, or nothing can be seen")
    if args.size > LARGEST:
        raise InputError(f"--size {args.size}: at most {LARGEST} pixels, the heads are no finer")
    counts = {"--faces": args.faces, "--ears": args.ears, "--both": args.both, "--no-ear": args.no_ear}
    for flag, count in counts.items():
        if count > MOST:
            raise InputError(f"{flag} {count}: at most {MOST:,} in one folder; use several seeds")
    if not any(counts.values()):
        raise InputError("nothing to draw: say --faces N, --ears N, --both N or --no-ear N")

    from tqdm import tqdm

    plan = Plan(args.faces, args.ears, args.both, args.size, args.seed, args.draft, args.jpeg, args.no_ear)
    total = len(plan.samples())
    progress = generate(Path(args.out), plan, min(args.processes or cpu_count(), total))
    found = next(progress)
    start = time.perf_counter()
    with tqdm(total=total, initial=found, unit="image", desc="drawing", disable=None) as bar:
        for done in progress:
            bar.update(done - bar.n)
    drawn = total - found
    speed = f", {drawn / (time.perf_counter() - start):.1f} images/s" if drawn else ""
    words = zip(counts.values(), ("faces", "ears", "of both", "without an ear"), strict=True)
    listed = ", ".join(f"{count} {what}" for count, what in words if count)
    print(f"{args.out}: {listed} ({drawn} drawn now{speed})")


if __name__ == "__main__":
    run_main(main)
