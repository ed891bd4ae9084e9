"""Every reader of files, with the genuine files that are damaged for it.

A reader's `make` writes a folder of genuine files. `damaged` names those of which one at a time is damaged. `read`
reads the folder; whatever it raises but `InputError` is a fault of ours.
"""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import h5py
import numpy as np
import scipy.io

from data.boxes import COLUMNS as BOX_COLUMNS
from data.boxes import EDGES, read_boxes
from data.datasets import find_negatives, find_samples, split_samples, subsets_of, write_split
from data.formats import write_300w_lp, write_pts
from data.landmark_map import read_map
from data.readers.cofw import read_cofw
from data.schemes import EAR, FACE, read_scheme
from tests.conftest import ROOT, packed, with_exif
from tests.images import drawn_image, write_ears
from utils.common.cli import InputError
from utils.common.files import write_csv, write_json
from utils.common.images import check_rgb, decode_image, save_image
from utils.common.keras_runtime import start_keras
from utils.common.video_writer import Mp4Writer
from utils.demo.proposals import COLUMNS, read_verdicts
from utils.demo.sources import Source, open_source
from utils.training.checkpoint import read_checkpoint, write_checkpoint
from utils.training.config import TrainConfig
from utils.training.flags import read_train_config
from utils.training.run_folder import RunFolder, RunState

SIZE = 64  # pixels a side of the images


@dataclass(frozen=True)
class Reader:
    """How one kind of file is made and read: `read` gets the folder and the damaged file in it."""

    name: str
    make: Callable[[Path], None]
    damaged: str
    read: Callable[[Path, Path], object]


# --- datasets ---------------------------------------------------------------------------------------------------------


def _face(stem: Path, seed: int) -> np.ndarray:
    """Write a drawn face as `stem`.jpg; returns its points."""
    image, points = drawn_image(FACE, SIZE, np.random.default_rng(seed))
    save_image(stem.with_suffix(".jpg"), image)
    return points


def _make_pts(folder: Path) -> None:
    for k in range(2):
        write_pts(folder / f"face{k}.pts", _face(folder / f"face{k}", k))


def _make_mats(folder: Path) -> None:
    """Faces with compressed, plain and big-endian-free `.mat` files, of each of the two kinds that 300W-LP has."""
    for k in range(3):
        points = _face(folder / f"face{k}", k)
        if k == 0:
            write_300w_lp(folder / "face0_pts.mat", points, points)
        elif k == 1:
            scipy.io.savemat(folder / "face1_pts.mat", {"pts_2d": points, "pts_3d": points})
        else:
            scipy.io.savemat(folder / "face2.mat", {"pt2d": points.T, "Pose_Para": np.zeros((1, 7)), "name": "face"})


def _read_faces(folder: Path, path: Path) -> None:
    """As `--skip-bad` reads them: what is damaged is named, and the others are there."""
    count = len(list(folder.glob("*.jpg")))
    found = find_samples([folder], FACE, skip_bad=True)
    if len(found.samples) + len(found.problems) < count or len(found.samples) < count - 1:
        raise AssertionError(f"{len(found.samples)} of {count} images read, {len(found.problems)} named")
    if found.problems:
        raise InputError(found.problems[0])


def _make_notes(folder: Path) -> None:
    """Synthetic ears with notes, one of them negative, and a head with face and both ears."""
    ears = folder / "ears"
    write_ears(ears, 7, SIZE)
    for k, path in enumerate(sorted(ears.rglob("*.png"))):
        points = drawn_image(EAR, SIZE, np.random.default_rng(k))[1]
        others = [points.tolist()] if k == 0 else []
        notes = {"face_in_view": k > 1, "all_ears_annotated": True, "other_ears": others}
        write_json(path.with_suffix(".json"), notes)
    both = folder / "heads" / "Both"
    write_pts(both / "head.face.pts", _face(both / "head", 1))
    for k, name in enumerate(("ear_left", "ear_right")):
        write_pts(both / f"head.{name}.pts", drawn_image(EAR, SIZE, np.random.default_rng(k))[1])
    visible = {"ear_left": [1] * 55, "ear_right": [1] * 30 + [0] * 25}
    write_json(both / "head.json", {"visible": visible, "all_ears_annotated": True})


def _read_notes(folder: Path, path: Path) -> None:
    find_samples([folder / "ears"], EAR, skip_bad=True)
    find_negatives([folder / "ears"], FACE)
    found = find_samples([folder / "heads"], EAR)
    if found.problems:
        raise InputError(found.problems[0])


def _make_tables(folder: Path) -> None:
    for k in range(4):
        write_pts(folder / f"face{k}.pts", _face(folder / f"face{k}", k))
    write_csv(
        folder / "identities.csv", [("name", "identity"), *((f"face{k}.jpg", f"person{k % 2}") for k in range(4))]
    )
    write_split(folder / "split.csv", split_samples(find_samples([folder], FACE).samples))


def _read_tables(folder: Path, path: Path) -> None:
    split_samples(find_samples([folder], FACE).samples, folder / "split.csv")


def _make_verdicts(folder: Path) -> None:
    box = dict(zip(EDGES, (1, 2.5, 30, 40), strict=True))
    rows = [{"image": f"a{k}.jpg", "side": "left", "verdict": "right", **box} for k in range(4)]
    write_csv(folder / "verdicts.csv", [COLUMNS, *([row.get(name, "") for name in COLUMNS] for row in rows)])


def _read_verdicts(folder: Path, path: Path) -> None:
    read_verdicts(path)


def _make_lists(folder: Path) -> None:
    """A file of each format that lists images, in a folder with its image."""
    for name in ("coco", "labelme", "dlib", "wflw"):
        (folder / name).mkdir()
        points = _face(folder / name / "a", 0).astype(float).tolist()
    keypoints = [value for x, y in points for value in (x, y, 2)]
    images, people = [{"id": 1, "file_name": "a.jpg"}], [{"id": 1, "image_id": 1, "keypoints": keypoints}]
    write_json(folder / "coco" / "coco.json", {"images": images, "annotations": people})
    shapes = [{"label": str(k), "points": [point], "shape_type": "point"} for k, point in enumerate(points)]
    write_json(folder / "labelme" / "a.json", {"imagePath": "a.jpg", "shapes": shapes})
    parts = "".join(f'<part name="{k:02}" x="{x}" y="{y}"/>' for k, (x, y) in enumerate(points))
    box = f'<image file="a.jpg"><box top="1" left="1" width="9" height="9">{parts}</box></image>'
    (folder / "dlib" / "a.xml").write_text(f"<dataset><images>{box}</images></dataset>")
    numbers = [*np.ravel([*points, *points[:30]]), 1, 1, 60, 60, 0, 1, 0, 1, 0, 0]
    (folder / "wflw" / "list_98pt_rect_attr_train.txt").write_text(f"{' '.join(map(str, numbers))} a.jpg\n" * 2)


def _read_list(folder: Path, path: Path) -> None:
    found = find_samples([path], read_scheme("wflw98") if path.suffix == ".txt" else FACE, skip_bad=True)
    subsets_of(found.samples)
    if found.problems:
        raise InputError(found.problems[0])


def _make_matlab(folder: Path) -> None:
    """Points of MATLAB 7.3, which is HDF5, and a file of COFW with images of its own."""
    points = _face(folder / "face0", 0)
    with h5py.File(folder / "face0_pts.mat", "w", userblock_size=512) as file:
        file["pts_2d"], file["pts_3d"] = points.T, points.T
    with h5py.File(folder / "cofw.mat", "w", userblock_size=512) as file:
        image = file.create_dataset("#refs#/0", data=np.zeros((3, SIZE, SIZE), np.uint8)).ref
        file.create_dataset("IsTr", data=np.array([image], h5py.ref_dtype)[None], dtype=h5py.ref_dtype)
        file["phisTr"] = np.full((87, 1), 9.0)
    for path in folder.glob("*.mat"):
        with open(path, "r+b") as stream:
            stream.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64")


def _read_matlab(folder: Path, path: Path) -> None:
    if path.name == "cofw.mat":
        list(read_cofw(path))
    else:
        _read_faces(folder, path)


def _make_schemes(folder: Path) -> None:
    for name in ("face51", "ear55"):
        shutil.copy(ROOT / "data" / "schemes" / f"{name}.json", folder)


def _read_scheme(folder: Path, path: Path) -> None:
    json.dumps(read_scheme(str(path)).to_json())


def _make_maps(folder: Path) -> None:
    for path in (ROOT / "data" / "maps").glob("*.json"):
        shutil.copy(path, folder)


def _read_map(folder: Path, path: Path) -> None:
    chosen = read_map(str(path))
    chosen(np.ones((chosen.points, 2)))


# --- images and videos ------------------------------------------------------------------------------------------------


def _make_images(folder: Path) -> None:
    image = drawn_image(FACE, SIZE, np.random.default_rng(0))[0]
    for suffix in (".jpg", ".png", ".bmp", ".webp", ".tif"):
        (folder / f"face{suffix}").write_bytes(packed(image, suffix))
    jpeg = packed(image)
    (folder / "turned.jpg").write_bytes(with_exif(jpeg, 6, thumbnail=packed(image[:16, :16].copy())))
    progressive = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1]
    (folder / "progressive.jpg").write_bytes(progressive.tobytes())
    (folder / "deep.png").write_bytes(packed(image.astype(np.uint16) * 257, ".png"))
    (folder / "gray.png").write_bytes(packed(image[..., 0].copy(), ".png"))


def _read_image(folder: Path, path: Path) -> None:
    check_rgb(decode_image(path))


def _make_videos(folder: Path) -> None:
    frames = [drawn_image(FACE, SIZE, np.random.default_rng(k))[0] for k in range(12)]
    writer = Mp4Writer(folder / "film.mp4", 25, (SIZE, SIZE), folder / "film.mp4")
    other = cv2.VideoWriter(str(folder / "film.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25, (SIZE, SIZE))
    for frame in frames:
        writer.write(frame)
        other.write(frame)
    writer.close()
    other.release()


def _read_video(folder: Path, path: Path) -> None:
    with open_source(Source(str(path), "video")) as source:
        for k, frame in enumerate(source.frames(5.0)):
            if frame is None:
                raise AssertionError("no frame for five seconds")
            check_rgb(frame.image)
            if k > 200:
                break


# --- weights and runs -------------------------------------------------------------------------------------------------


def _make_weights(folder: Path) -> None:
    """A small network in each kind of file that is read; the predecessor's is a copy of a genuine one."""
    start_keras()
    from models.config import preset_config
    from models.cpm import build_network
    from models.weights import save_network

    config = preset_config("tiny", {"face": tuple(range(68))}, input_size=32)
    network = build_network(config)
    record = {"steps": 3, "epoch": 1, "training_images": ["0" * 12], "validation_nme": 9.1,
              "train_config": {"data": ["a/b"], "epochs": 1}}  # fmt: skip
    save_network(folder / "tiny.keras", network, config, record)
    network.save_weights(folder / "tiny.weights.h5")
    shutil.copy(ROOT / "tests" / "models" / "keras2_h5" / "face.h5", folder)


def _read_weights(folder: Path, path: Path) -> None:
    from models.weights import load_network

    load_network(path)


def _make_foreign(folder: Path) -> None:
    kernel, bias = np.zeros((3, 3, 3, 4), np.float32), np.zeros(4, np.float32)
    with h5py.File(folder / "vgg.h5", "w") as file:
        file["block1_conv1/block1_conv1/kernel:0"], file["block1_conv1/block1_conv1/bias:0"] = kernel, bias
    names = ("conv1_1", "conv5_3_CPM")
    np.savez(
        folder / "face.npz",
        **{f"{n}/W": kernel.transpose(3, 2, 0, 1) for n in names},
        **{f"{n}/b": bias for n in names},
    )


def _read_foreign(folder: Path, path: Path) -> None:
    from models.foreign_weights import read_foreign

    read_foreign(path)


def _make_export(folder: Path) -> None:
    _make_weights(folder)
    for other in ("tiny.weights.h5", "face.h5"):
        (folder / other).unlink()


def _read_export(folder: Path, path: Path) -> None:
    from models.weights import write_half

    write_half(path, folder / "half.keras")


@functools.cache
def _trainer():
    start_keras()
    from models.config import preset_config
    from models.cpm import build_network
    from models.trainer import StageTrainer
    from utils.training.start import make_optimizer

    config = preset_config("tiny", {"face": tuple(range(68))}, input_size=32)
    trainer = StageTrainer(build_network(config), config, FACE)
    trainer.compile(optimizer=make_optimizer(0.001, 10))
    return trainer


RUN = "run"


def _make_run(folder: Path) -> None:
    """A run of one epoch that can be resumed, but for its network."""
    run = folder / RUN
    for k in range(2):
        write_pts(folder / "data" / f"face{k}.pts", _face(folder / "data" / f"face{k}", k))
    config = TrainConfig(task="face", out=str(folder / "face.keras"), data=(str(folder / "data"),), preset="tiny")
    write_json(run / "config.json", config.resolved().to_json())
    row = {"epoch": 1, "loss": 0.5, "nme": 10.0, "val_nme": 9.0, "learning_rate": 0.001, "minutes": 0.1}
    state = RunState(1, 9.0, 1, 0.1, [row], "checkpoint-0001.npz")
    write_json(run / "state.json", asdict(state))
    write_split(run / "split.csv", split_samples(find_samples([folder / "data"], FACE).samples))
    for name in ("best.keras", state.checkpoint):
        (run / str(name)).write_bytes(b"whole")


def _read_run(folder: Path, path: Path) -> None:
    run = folder / RUN
    config, options = read_train_config(FACE, "", ["--resume", "--run", str(run)])
    folder_of_run = RunFolder(options)
    parts = split_samples(find_samples(config.data, FACE).samples, run / "split.csv")
    json.dumps([config.to_json(), asdict(folder_of_run.state), {part: len(each) for part, each in parts.items()}])
    config.model_config()


def _make_config(folder: Path) -> None:
    recipe = json.loads((ROOT / "weights" / "recipes" / "face1.json").read_text())
    write_json(folder / "recipe.json", recipe | {"data": [str(folder)]})


def _read_config(folder: Path, path: Path) -> None:
    config, _ = read_train_config(
        FACE, "", ["--config", str(path), "--run", str(folder / "new"), "--data", str(folder)]
    )
    json.dumps(config.to_json())
    config.model_config()


def _make_boxes(folder: Path) -> None:
    write_csv(folder / "boxes.csv", [BOX_COLUMNS, *((f"a{k}.jpg", 1, 2, 30, 40) for k in range(4))])


def _read_boxes(folder: Path, path: Path) -> None:
    read_boxes(path)


def _make_checkpoint(folder: Path) -> None:
    trainer = _trainer()
    trainer.optimizer.build(trainer.trainable_variables)
    write_checkpoint(folder / "checkpoint.npz", trainer)


def _read_checkpoint(folder: Path, path: Path) -> None:
    read_checkpoint(path, _trainer())


READERS = (
    Reader("pts", _make_pts, "face1.pts", _read_faces),
    Reader("mat", _make_mats, "*.mat", _read_faces),
    Reader("notes", _make_notes, "**/*.json", _read_notes),
    Reader("tables", _make_tables, "*.csv", _read_tables),
    Reader("lists", _make_lists, "*/*[!g]", _read_list),
    Reader("matlab", _make_matlab, "*.mat", _read_matlab),
    Reader("scheme", _make_schemes, "*.json", _read_scheme),
    Reader("map", _make_maps, "*.json", _read_map),
    Reader("verdicts", _make_verdicts, "*.csv", _read_verdicts),
    Reader("boxes", _make_boxes, "*.csv", _read_boxes),
    Reader("image", _make_images, "*.*", _read_image),
    Reader("video", _make_videos, "*.*", _read_video),
    Reader("weights", _make_weights, "*.*", _read_weights),
    Reader("foreign", _make_foreign, "*.*", _read_foreign),
    Reader("export", _make_export, "*.keras", _read_export),
    Reader("checkpoint", _make_checkpoint, "*.npz", _read_checkpoint),
    Reader("run", _make_run, "run/*.*", _read_run),
    Reader("config", _make_config, "recipe.json", _read_config),
)
