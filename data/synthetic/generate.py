"""Images of synthetic heads in the folders and formats of the real datasets.

Sample k of a kind is drawn from its own random generator (seed, kind, k): the bytes do not depend on how many processes
draw, in which order, or where an interrupted run was taken up again.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from data.formats import write_300w_lp, write_pts
from data.layouts import LEAST_SHOWN
from data.schemes import FACE
from data.synthetic.head import SIDES
from data.synthetic.scene import SyntheticImage, draw_image
from utils.common.cli import InputError
from utils.common.files import read_json, write_json
from utils.common.images import save_image
from utils.common.workers import call_worker, imap_ordered, process_pool, use_one_opencv_thread

KINDS = ("face", "ear", "both", "no_ear")
COUNTS = ("faces", "ears", "both", "no_ear")
MANIFEST = "synthetic.json"
MOST_HEADS = 1_000_000  # of a kind that a manifest is believed to list: they take two days to draw
VERSION = 5  # of what a seed gives; 4 had an ear's landmarks on its lines, not where annotators click
TEST_EVERY = 6  # every sixth ear image is a test image, about as in ibug-ears


@dataclass(frozen=True)
class Plan:
    """What to draw: images of each kind, pixels a side, the seed, whether in draft quality, and ears as JPEG.

    `no_ear`: heads whose ears are hidden, for training's `--negatives`.
    """

    faces: int
    ears: int
    both: int
    size: int
    seed: int
    draft: bool
    jpeg: bool = False
    no_ear: int = 0

    def counts(self) -> dict[str, int]:
        """Images of each kind, in the order of `KINDS`, by the name that the command line has for them."""
        return {name: getattr(self, name) for name in COUNTS}

    def samples(self) -> list[tuple[str, int]]:
        """Kind and number of every sample."""
        counts = dict(zip(KINDS, self.counts().values(), strict=True))
        return [(kind, k) for kind in KINDS for k in range(counts[kind])]


def sample_files(plan: Plan, kind: str, number: int) -> list[str]:
    """The files of one sample below the output folder; the image comes last, and with it the sample is whole.

    Kind and seed are in the name: weights know the images that they were trained on by name and size.
    """
    name = f"synthetic_{kind}{plan.seed}_{number:06d}"
    if kind == "face":
        return [f"AFW_landmark/{name}_pts.mat", f"AFW/{name}.jpg"]
    if kind == "ear":
        part = "test" if number % TEST_EVERY == TEST_EVERY - 1 else "train"
        return [f"CollectionA/{part}/{name}.{ending}" for ending in ("pts", "json", "jpg" if plan.jpeg else "png")]
    if kind == "no_ear":
        return [f"NoEar/{name}.{ending}" for ending in ("json", "jpg")]
    endings = ("face.pts", *(f"ear_{side}.pts" for side in SIDES), "json", "jpg")
    return [f"Both/{name}.{ending}" for ending in endings]


def write_sample(out: Path, plan: Plan, kind: str, number: int) -> None:
    """Draw one sample and write its files, all or none. Raises `InputError` where they cannot be written."""
    image = draw_image(np.random.default_rng((plan.seed, KINDS.index(kind), number)), kind, plan.size, plan.draft)
    files = [out / name for name in sample_files(plan, kind, number)]
    try:
        if kind == "face":
            write_300w_lp(files[0], image.points["face"], image.points["face_3d"])
        elif kind == "ear":
            shown = max(SIDES, key=lambda side: image.visible[f"ear_{side}"].sum())
            write_pts(files[0], image.points[f"ear_{shown}"])
            (other,) = (f"ear_{side}" for side in SIDES if side != shown)
            fraction = float(image.visible[other].mean())
            others = [image.points[other].round(3).tolist()] if fraction >= LEAST_SHOWN else []
            notes = {"all_ears_annotated": bool(others) or fraction == 0, "other_ears": others}
            write_json(files[1], notes | {"face_in_view": _face_in_view(image)})
        elif kind == "no_ear":
            write_json(files[0], {"ear_in_view": False, "face_in_view": _face_in_view(image)})
        else:
            for name, path in zip(("face", "ear_left", "ear_right"), files, strict=False):
                write_pts(path, image.points[name])
            content = {
                "pose_degrees": dict(zip(("yaw", "pitch", "roll"), image.pose, strict=True)),
                "visible": {
                    name: image.visible[name].astype(int).tolist() for name in ("face", "ear_left", "ear_right")
                },
                "all_ears_annotated": True,
            }
            write_json(files[3], content)
        save_image(files[-1], image.pixels)
    except BaseException:
        for path in files:
            path.unlink(missing_ok=True)
        raise


def _face_in_view(image: SyntheticImage) -> bool:
    """Whether any of the face but the jaw is to be seen, which ends before the ears."""
    return bool(image.visible["face"][len(FACE.groups[0].indices) :].any())


def _write_one(out: Path, plan: Plan, sample: tuple[str, int]) -> None:
    write_sample(out, plan, *sample)


def generate(out: Path, plan: Plan, processes: int) -> Iterator[int]:
    """Write what `plan` asks for and `out` lacks; yields the number of samples that are done, at first those found.

    Raises `InputError` if the target folders hold files that this generator did not write, or heads of other settings,
    or cannot be written; what was finished stays and is a dataset.
    """
    _prepare_folder(out, plan)
    wanted = plan.samples()
    missing = [one for one in wanted if not all((out / name).is_file() for name in sample_files(plan, *one))]
    done = len(wanted) - len(missing)
    yield done
    if processes == 1 or len(missing) < 2:
        use_one_opencv_thread()
        for kind, number in missing:
            write_sample(out, plan, kind, number)
            done += 1
            yield done
        return
    pool = process_pool(processes, partial(_write_one, out, plan))
    try:
        for _ in imap_ordered(pool, call_worker, missing, ahead=4 * processes):
            done += 1
            yield done
    except BrokenProcessPool as problem:
        raise InputError(
            f"{out}: a process that drew was killed (out of memory?); say the same again, with fewer --processes"
        ) from problem
    finally:
        pool.shutdown(cancel_futures=True)  # waits: samples that are begun are finished


def _prepare_folder(out: Path, plan: Plan) -> None:
    """Check that the targets are ours to write to, note what will be in them, and clear what a killed run left."""
    manifest = out / MANIFEST
    counts = plan.counts()
    settings = {key: value for key, value in asdict(plan).items() if key not in counts}
    before = dict.fromkeys(counts, 0)
    if manifest.is_file():
        known = read_json(manifest, f"{out}: its {MANIFEST} cannot be read; delete it and the heads beside it")
        try:
            known = {"jpeg": False, "version": 1, "no_ear": 0} | known  # drawn before there was a choice
            before = {key: known[key] for key in counts}
            if any(type(count) is not int or not 0 <= count <= MOST_HEADS for count in before.values()):
                raise ValueError("counts of heads are whole numbers")
            if not before["ears"]:
                known["jpeg"] = plan.jpeg  # it is said of ears alone
            if not plan.ears:
                settings["jpeg"] = known["jpeg"]
            other = {key: known[key] for key in settings if known[key] != settings[key]}
        except (KeyError, TypeError, ValueError, OverflowError) as problem:
            raise InputError(
                f"{manifest}: not a list of synthetic heads; delete it and the heads beside it"
            ) from problem
        if known["version"] != VERSION:
            raise InputError(
                f"{out}: its heads were drawn by version {known['version']} of the generator, and version {VERSION} "
                "makes others of the same seed; choose another --out"
            )
        if other:
            listed = ", ".join(f"{key} {value}" for key, value in other.items())
            raise InputError(f"{out}: holds heads drawn with {listed}; use the same, or another --out")
    counts = {key: max(before[key], counts[key]) for key in counts}
    whole = Plan(**{**asdict(plan), **settings, **counts})
    ours = {name for one in whole.samples() for name in sample_files(plan, *one)}
    folders = sorted({str(Path(name).parent) for one in plan.samples() for name in sample_files(plan, *one)})
    leftovers = []
    for folder in folders:
        for place in (out / folder, *(out / folder).parents):
            if place.exists() and not place.is_dir():
                raise InputError(f"{place}: is a file, and a folder is needed there; choose another --out")
        for path in sorted((out / folder).glob("*")) if (out / folder).is_dir() else []:
            if path.name.startswith(".part") and "synthetic_" in path.name:
                leftovers.append(path)
            elif path.name.startswith("."):
                continue  # what file managers leave
            elif path.relative_to(out).as_posix() in ours and not manifest.is_file():
                raise InputError(
                    f"{path}: {manifest.name} is missing, so what is in there is unknown; delete the folder "
                    f"{path.parent}, or choose another --out"
                )
            elif path.relative_to(out).as_posix() not in ours:
                raise InputError(f"{path}: was not drawn by this generator; choose another --out")
    for path in leftovers:
        path.unlink(missing_ok=True)
    write_json(manifest, {"written_by": "python -m data.synthetic", "version": VERSION, **counts, **settings})
