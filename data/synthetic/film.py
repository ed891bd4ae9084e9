"""A film of a synthetic head that turns and walks through the frame: `python -m data.synthetic.film OUT.mp4`.

Beside it OUT.json holds the true points of every frame: 68 of the face and 55 of each ear, in pixels, with visibility.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache, partial
from pathlib import Path

import cv2
import numpy as np

from data.head_pose import rotation
from data.synthetic import background, camera_effects
from data.synthetic.head import SIDES, Person, head_model
from data.synthetic.render import Appearance, Camera, Light, Mesh, Scene, render, visible
from data.synthetic.scene import clicked_points, compose, draw_appearance, draw_light, draw_meshes
from utils.common.cli import CommandLine, InputError, non_negative_int, positive_int, run_main
from utils.common.files import check_writable, replacing, write_json
from utils.common.video_writer import Mp4Writer
from utils.common.workers import call_worker, cpu_count, imap_ordered, process_pool

RATE = 25.0  # frames a second
SMALLEST, LARGEST = 64, 4096  # pixels a side
MOST_YAW, MOST_PITCH, MOST_ROLL = 75, 10, 12  # degrees
HEAD_FRACTION = 0.6  # of the frame's height
HEAD_OF_FACE = 1.55  # height of a head in heights of its 68 points' box


@lru_cache(maxsize=1)
def _subject(width: int, height: int, seed: int) -> tuple[Person, Appearance, list[Mesh], Light, np.ndarray]:
    """Who is filmed, in which light and before what: the same in every frame."""
    model, rng = head_model(), np.random.default_rng(seed)
    person = model.draw_person(rng)
    appearance = draw_appearance(rng, person)
    meshes = draw_meshes(rng, model, person, appearance, False, False)
    return (
        person,
        appearance,
        meshes,
        draw_light(rng),
        background.draw_background(height, width, np.random.default_rng((seed, 1))),
    )


def draw_frame(at: float, width: int, height: int, seed: int) -> tuple[np.ndarray, dict]:
    """The frame at a fraction `at` (0 to 1) of the film: (height, width, 3) uint8 RGB, and its true points."""
    model = head_model()
    person, appearance, meshes, light, behind = _subject(width, height, seed)
    swing = 2 * math.pi * at
    pose = (MOST_YAW * math.sin(swing), MOST_PITCH * math.sin(2 * swing), MOST_ROLL * math.sin(3 * swing))
    size = max(width, height)  # the renderer draws squares; of a wide frame, the middle is kept
    places = {"face_3d": model.face.on(person.vertices)} | {
        f"ear_{side}": model.ears[side].on(person.vertices) for side in SIDES
    }
    scale = HEAD_FRACTION * height / (HEAD_OF_FACE * np.ptp(places["face_3d"][:, 1]))
    centre = (0.5 * size - 0.25 * math.cos(swing) * width, 0.48 * size + 0.03 * size * math.sin(2 * swing))
    camera = Camera(rotation(*pose), places["face_3d"].mean(axis=0).astype(np.float32), centre, float(scale), 12.0)
    places["face"] = model.jaw_on_outline(person.vertices, camera.pixels)
    places |= {f"ear_{side}": model.ear_on_outline(side, person.vertices, camera.pixels) for side in SIDES}
    rendering = render(model, Scene(person.vertices, person.eyes, appearance, light, camera, meshes), size, size)
    left, top = (size - width) // 2, (size - height) // 2
    cut = np.s_[top : top + height, left : left + width]
    points = clicked_points(places, camera)

    def in_sight(at: np.ndarray) -> np.ndarray:
        across, down = (np.round(at) - (left, top)).T
        return (across >= 0) & (across < width) & (down >= 0) & (down < height)

    truth = {
        name: {
            "points": (points[name] - (left, top)).round(2).tolist(),
            "visible": (visible(rendering.view, places[name]) & in_sight(points[name])).astype(int).tolist(),
        }
        for name in ("face", *(f"ear_{side}" for side in SIDES))
    }
    rendering.colour, rendering.cover = rendering.colour[cut], rendering.cover[cut]
    linear = compose(rendering, behind)
    image = camera_effects.expose(linear, rendering.cover, np.random.default_rng((seed, 2)))
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8), truth


def frames(count: int, width: int, height: int, seed: int) -> Iterator[tuple[np.ndarray, dict]]:
    """`count` frames from the film's start to where it begins again, drawn by all cores."""
    draw = partial(draw_frame, width=width, height=height, seed=seed)
    with process_pool(min(cpu_count(), count), draw) as pool:
        yield from imap_ordered(pool, call_worker, np.arange(count) / count, ahead=2 * cpu_count())


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    parser = CommandLine(prog="python -m data.synthetic.film", description="Film a synthetic head that turns.")
    parser.add_argument("out", metavar="OUT.mp4", help="the video; true points go into OUT.json")
    parser.add_argument("--frames", type=positive_int, default=100, help="at 25 a second (default: 100)")
    parser.add_argument("--width", type=positive_int, default=1280, help="pixels (default: 1280)")
    parser.add_argument("--height", type=positive_int, default=720, help="pixels (default: 720)")
    parser.add_argument("--seed", type=non_negative_int, default=0, help="of the person and the place (default: 0)")
    args = parser.parse_args(argv)
    out = Path(args.out)
    if out.suffix.lower() != ".mp4":
        raise InputError(f"{out}: is written as .mp4; give a name that ends so")
    sides = args.width, args.height
    if any(side % 2 for side in sides) or min(sides) < SMALLEST or max(sides) > LARGEST:
        raise InputError(f"--width {args.width} --height {args.height}: give even numbers from {SMALLEST} to {LARGEST}")
    if out.is_dir():
        raise InputError(f"{out}: is a folder; give the name of a file")
    check_writable("OUT", out.parent)

    from tqdm import tqdm

    truths = []
    with replacing(out.with_suffix(".json")) as notes, replacing(out) as part:
        writer = Mp4Writer(part, RATE, (args.width, args.height), out)
        drawn = frames(args.frames, args.width, args.height, args.seed)
        try:
            for image, truth in tqdm(drawn, total=args.frames, unit="frame", disable=None):
                writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
                truths.append(truth)
        except BrokenProcessPool as problem:
            raise InputError(f"{out}: a process that drew was killed (out of memory?); film it smaller") from problem
        writer.close()
        write_json(notes, {"rate": RATE, "frames": truths})
    print(f"{out}: {args.frames} frames of {args.width} x {args.height}; true points in {out.with_suffix('.json')}")


if __name__ == "__main__":
    run_main(main)
