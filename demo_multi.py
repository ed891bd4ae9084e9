"""Faces and ears, live, on anything that a camera or a disk gives.

  python demo_multi.py                                     # camera 0, in a window; h lists the keys
  python demo_multi.py 1                                   # another camera
  python demo_multi.py clip.mp4 --save out.mp4             # a video, shown and saved
  python demo_multi.py images/ --no-window --save drawn/ --json points.jsonl
  python demo_multi.py http://127.0.0.1:8080/stream        # a stream

The whole image is searched for a head, the largest that is in view. Then a crop round the face and one round each ear
are read, in one batch. The next frame of a video is read where the head was; only a lost head is searched for again. No
other detector is needed. Weights that know only faces, or only ears, show those;
those of another scheme show its landmarks.
"""

import argparse
import math
import sys
import time
from collections import Counter
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

from tqdm import tqdm

from utils.common.cli import (
    CommandLine,
    InputError,
    add_batch,
    add_searcher,
    add_shard,
    frame_size,
    network_size,
    non_negative_float,
    positive_float,
    positive_int,
    printable,
    run_main,
    take_shard,
    unit_interval,
)
from utils.common.keras_runtime import PRECISIONS, limit_threads
from utils.demo import LandmarkPredictor, Tracker
from utils.demo.detections import Thresholds
from utils.demo.engines import ENGINE_HELP, ENGINES, KERAS
from utils.demo.smoothing import PointSmoother
from utils.demo.sources import CameraMode, Source, UnreadableError, find_sources, open_source
from utils.demo.timing import StepTimer
from utils.demo.together import Found, search_ahead
from utils.demo.view import OVERLAYS, View, in_view
from utils.demo.window import Window, require_display
from utils.demo.writers import JsonLines, end_as_on_ctrl_c, open_target, plan_saves

WEIGHTS = Path(__file__).parent / "weights"
OWN, SHIPPED = WEIGHTS / "face2ear.keras", WEIGHTS / "face2ear-lite.keras"
RETRY = 16.0  # seconds without a window
RESPONSE = 0.05  # seconds after which the window answers keys while a camera is silent


def parse_flags(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = CommandLine(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "source", nargs="*", default=["0"], help="camera number, video, image, folder, glob or address (default: 0)"
    )

    parser.add_argument(
        "--retry",
        type=non_negative_float,
        metavar="SECONDS",
        help="try for so long to open a camera or stream again that is lost (default: for ever in a window, else "
        f"{RETRY:.0f})",
    )
    add_shard(parser)
    add_batch(parser)

    camera = parser.add_argument_group("camera")
    camera.add_argument(
        "--camera-size",
        type=frame_size,
        metavar="WxH",
        help="ask cameras for frames of so many pixels, such as 1280x720 (default: the camera's own)",
    )
    camera.add_argument(
        "--camera-fps",
        type=positive_float,
        metavar="RATE",
        help="ask cameras for so many frames a second (default: the camera's own)",
    )

    network = parser.add_argument_group("network")
    network.add_argument(
        "--weights",
        help="weights file: .keras, .weights.h5, the predecessor's .h5, or of utils.export (default: "
        "weights/face2ear.keras, else the shipped weights/face2ear-lite.keras)",
    )
    network.add_argument(
        "--precision", choices=PRECISIONS, default="auto", help="auto (default): measures which is fastest here"
    )
    network.add_argument("--engine", choices=ENGINES, default=KERAS, help=ENGINE_HELP)
    add_searcher(network)
    network.add_argument(
        "--threads",
        type=positive_int,
        help="threads for the network (default: all); fewer leave room for other programs",
    )
    network.add_argument(
        "--size",
        type=network_size,
        metavar="PX",
        help="side of the crops that the network reads, a multiple of 8 (default: as it was trained); smaller is "
        "faster and coarser",
    )
    for task in ("face", "ear"):
        network.add_argument(
            f"--{task}-threshold",
            type=unit_interval,
            metavar="SCORE",
            help=f"{task}s of a lower mean confidence do not count (default: as the weights file notes it, else "
            f"{getattr(Thresholds, task)})",
        )

    output = parser.add_argument_group("output")
    output.add_argument(
        "--save",
        metavar="OUT",
        help="write the drawn images: a .mp4 (or an animated .webp) for one video or camera, a .png for one image, or "
        "a folder for any number; with ffmpeg a .mp4 is H.264 and has the sound",
    )
    output.add_argument(
        "--json",
        metavar="FILE",
        help="write a line of JSON a frame: boxes, points in pixels of the original, confidences",
    )

    display = parser.add_argument_group("display")
    display.add_argument(
        "--window",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="show it (default); --no-window for machines without a display, and for speed",
    )
    display.add_argument(
        "--smooth",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="smooth the points of videos with a One Euro filter (default); --no-smooth: each frame's own",
    )
    display.add_argument(
        "--threshold",
        type=unit_interval,
        default=Thresholds.landmark,
        help="points of less confidence are not drawn (default: %(default)s); JSON has them all",
    )
    display.add_argument(
        "--overlay",
        choices=OVERLAYS,
        default="none",
        help="what else is drawn at the start (default: none); key o changes it",
    )
    display.add_argument(
        "--mirror",
        action=argparse.BooleanOptionalAction,
        help="draw left and right swapped (default: of cameras in a window, as mirrors do); not in JSON",
    )
    return parser.parse_args(argv)


def choose_weights(named: str | None) -> Path:
    """The weights file: the one that was named, else the user's own, else the shipped."""
    path = Path(named) if named else next((path for path in (OWN, SHIPPED) if path.is_file()), None)
    if path is None:
        raise InputError(
            f"{OWN}: not there, nor {SHIPPED.name}; train with python train_face2ear.py, or name a file with --weights"
        )
    if not path.is_file():
        raise InputError(f"--weights {path}: no such file; without --weights {OWN} or {SHIPPED.name} is taken")
    return path


def choose_thresholds(args: argparse.Namespace, own: Thresholds) -> Thresholds:
    """The scores from which a face, an ear and a single landmark count: those of the weights, but for what is given."""
    given = {"landmark": args.threshold}
    if args.face_threshold is not None:
        given |= dict.fromkeys(("face", "turned_face"), args.face_threshold)
    if args.ear_threshold is not None:
        given |= dict.fromkeys(("ear", "lone_ear"), args.ear_threshold)
    return replace(own, **given)


def run_source(
    source: Source,
    args: argparse.Namespace,
    predictor: LandmarkPredictor,
    view: View,
    window: Window | None,
    target: Path | None,
    lines: JsonLines,
    timer: StepTimer,
    found: Found | InputError | None,
) -> bool:
    """Run one source to its end; False if the user quits. `found`: what is in an image that was searched ahead."""
    if isinstance(found, InputError):
        raise UnreadableError(str(found))
    still = source.kind == "image"
    find = predictor if still else Tracker(predictor)
    smooth = PointSmoother() if args.smooth and not still else None
    frames, found_in = 0, Counter[str]()  # frames in which a face and each ear were found
    retry = args.retry if args.retry is not None else math.inf if window is not None else RETRY
    mode = CameraMode(args.camera_size, args.camera_fps)
    image = None if found is None else found.image
    with open_source(source, retry, mode, image) as feed, open_target(target, source, feed.rate) as file:
        stream = feed.frames(wait=RESPONSE)
        if source.kind == "video" and window is None:
            stream = tqdm(stream, desc=source.stem, total=feed.count, unit="frame", leave=False, disable=None)
        try:
            for frame in timer.each("read", stream):
                if frame is None:  # a camera is silent; the window goes on answering
                    if window is not None and not window.idle(source, feed.lost):
                        return False
                    continue
                came = time.monotonic() if frame.came is None else frame.came
                with timer("find"):
                    prediction = find(frame.image) if found is None else found.prediction
                    if smooth is not None:
                        prediction = smooth(prediction, frame.time)
                frames += 1
                found_in.update(in_view(prediction).keys())
                lines.write(source, frame, prediction)
                if file is not None or window is not None:
                    redraw = partial(view.draw, frame.image, prediction, predictor)
                    with timer("draw"):
                        drawn = redraw()
                if found is None:
                    timer.drawn(came)
                if file is not None:
                    with timer("save"):
                        file.write(drawn, frame.time)
                if window is not None:
                    with timer("show"):  # and wait until the next frame is due
                        going_on = window.present(source, frame, feed.rate, drawn, redraw, timer.line)
                    if not going_on:
                        return False
                timer.frame_done()
        finally:
            if frames:
                said = ", ".join(name if still else f"{name} in {count}" for name, count in found_in.items())
                flags = " or ".join(f"--{task}-threshold" for task in ("face", "ear") if task in predictor.tasks)
                nothing = f"no {' or '.join(predictor.tasks)} found (a lower {flags or '--face-threshold'} finds more)"
                length = "" if still else f"{frames} frames, "
                print(f"{printable(source.label)}: {length}{said or nothing}", flush=True)
    return True


def main(argv: list[str] | None = None) -> int:
    """Flags -> sources -> network -> every source, frame by frame: find, draw, save, show."""
    args = parse_flags(argv)
    sources = find_sources(args.source)
    for flag, value in (("--camera-size", args.camera_size), ("--camera-fps", args.camera_fps)):
        if value is not None and not any(source.is_camera for source in sources):
            raise InputError(f"{flag}: is asked of cameras, and {printable(sources[0].label)} is none; leave it out")
    targets = plan_saves(args.save, sources)  # of all sources, so that every share names its files alike
    sources = take_shard(sources, args.shard)
    weights = choose_weights(args.weights)
    sources_read = [source.path for source in sources if source.path is not None]
    lines = JsonLines(args.json, [weights, *sources_read, *targets.values()])
    if args.window:
        require_display()

    if args.threads:
        limit_threads(args.threads)
    timer = StepTimer()
    batch = max(1, min(args.batch, sum(source.kind == "image" for source in sources)))
    # Threads that search images together have no steps that follow each other.
    steps = timer if batch == 1 else None
    predictor = LandmarkPredictor(
        weights, args.size, args.precision, timer=steps, engine=args.engine, searcher=args.searcher
    )
    predictor.thresholds = choose_thresholds(args, predictor.thresholds)
    tasks = " and ".join(predictor.tasks)
    print(f"weights:  {printable(weights)} ({tasks}, crops of {predictor.size} px, {predictor.computed})", flush=True)

    mirror = args.window and sources[0].is_camera if args.mirror is None else args.mirror
    view = View(args.threshold, args.overlay, mirror=mirror)
    status = 0
    try:
        with Window(view) if args.window else nullcontext() as window, lines:
            for source, found in timer.each("find", search_ahead(predictor, sources, batch)):
                try:
                    if not run_source(source, args, predictor, view, window, targets.get(source), lines, timer, found):
                        break
                except UnreadableError as problem:
                    print(f"skipped: {problem}", file=sys.stderr, flush=True)
                    status = 1
    finally:
        if timer.frames:
            print(timer.summary, flush=True)
    return status


if __name__ == "__main__":
    end_as_on_ctrl_c()
    run_main(main)
