"""A static web page that finds faces and ears in the visitor's browser, with the numbers that the demo goes by."""

from __future__ import annotations

import gzip
import json
import shutil
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from data.schemes import EAR, FACE, SCHEMES
from utils.common.cli import InputError
from utils.common.files import write_json
from utils.demo import detections, geometry, search, tracker
from utils.demo.detections import thresholds_of
from utils.exporting.formats import Job, write_onnx

NETWORK = "network.onnx"  # of a site
PAGES = Path(__file__).parent / "web"
# Of the package onnxruntime-web: the runtime for processors, and that for graphics processors.
RUNTIME = (
    "ort.wasm.min.mjs",
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
    "ort.webgpu.min.mjs",
    "ort-wasm-simd-threaded.asyncify.mjs",
    "ort-wasm-simd-threaded.asyncify.wasm",
)


def check_runtime(folder: Path) -> None:
    """Raise an `InputError` that names the mend unless a folder holds the files of onnxruntime-web."""
    missing = [name for name in RUNTIME if not (folder / name).is_file()]
    if missing:
        raise InputError(
            f"--runtime {folder}: has no {missing[0]}; run npm install onnxruntime-web, and name its folder dist"
        )


def write_site(job: Job, path: Path, runtime: Path) -> None:
    """A folder for any static host: page, network, settings, and the files of onnxruntime-web from `runtime`.

    Raises `InputError` for a network that does not know all points of the face, or only some of the ear.
    """
    description = json.loads(job.description)
    heads = description["model"]["heads"]
    for task, landmarks in heads.items():
        if task not in (FACE.task, EAR.task) or len(landmarks) != SCHEMES[task].count:
            raise InputError(f"--format web: shows whole faces and ears, and this network has {task} otherwise")
    if FACE.task not in heads:
        raise InputError("--format web: looks for faces first, and this network knows none")
    with TemporaryDirectory(prefix=".part-", dir=path.absolute().parent) as beside:
        site = Path(beside) / "site"
        shutil.copytree(PAGES, site)
        (site / "ort").mkdir()
        for name in RUNTIME:
            content = (runtime / name).read_bytes()
            if name.endswith(".wasm"):  # not every host packs what it sends: this is a quarter
                (site / "ort" / f"{name}.gz").write_bytes(gzip.compress(content, mtime=0))
            else:
                (site / "ort" / name).write_bytes(content)
        write_onnx(job, site / NETWORK)
        write_json(site / "settings.json", settings(description))
        site.rename(path)


def settings(description: dict) -> dict[str, Any]:
    """What the page goes by: the numbers of `geometry`, `detections`, `search` and `tracker`, and the network's own."""

    def ends(part: slice) -> list[int]:
        return [part.start, part.stop]

    schemes = {task: SCHEMES[task].to_json() for task in description["model"]["heads"]}
    return {
        "network": NETWORK,
        "size": description["model"]["input_size"],
        "terms": description["export"]["terms"],
        "thresholds": asdict(thresholds_of(description["record"], NETWORK)),
        "schemes": {
            task: {name: scheme[name] for name in ("groups", "reference", "crop_side")}
            for task, scheme in schemes.items()
        },
        "geometry": {
            "eyes": ends(geometry.EYES),
            "mouth": ends(geometry.MOUTH),
            "jaw_end": {side: ends(part) for side, part in geometry.JAW_END.items()},
            "nose_tip": geometry.NOSE_TIP,
            "helix": ends(geometry.HELIX),
            "inner_from": len(FACE.groups[0].indices),
            "outward": geometry.OUTWARD,
            "smallest_square": geometry.SMALLEST_SQUARE,
            "ear_from_jaw_end": geometry.EAR_FROM_JAW_END.tolist(),
            "ear_length_of_face": geometry.EAR_LENGTH_OF_FACE,
            "turned_away": geometry.TURNED_AWAY,
            "outlier_distance": geometry.OUTLIER_DISTANCE,
            "least_usual_distance": geometry.LEAST_USUAL_DISTANCE,
            "most_face_misfit": detections.MOST_FACE_MISFIT,
            "most_ear_misfit": detections.MOST_EAR_MISFIT,
            "ear_lengths_of_crop": detections.EAR_LENGTHS_OF_CROP,
            "ear_lengths_of_face": detections.EAR_LENGTHS_OF_FACE,
            "most_ear_offset": detections.MOST_EAR_OFFSET,
            "same_place": detections.SAME_PLACE,
            "fold_length": detections.FOLD_LENGTH,
            "stands_still": search.STANDS_STILL,
            "stands_straight": search.STANDS_STRAIGHT,
            "same_square": search.SAME_SQUARE,
            "same_way_up": search.SAME_WAY_UP,
        },
        "search": {
            "sizes": search.SEARCH_SIZES,
            "most_enlargement": search.MOST_ENLARGEMENT,
            "turned_sizes": search.TURNED_SIZES,
            "quarters": search.QUARTERS,
            "canvas_multiple": search.CANVAS_MULTIPLE,
            "least_candidate": search.LEAST_CANDIDATE,
            "refinements": search.REFINEMENTS,
            "patience": search.PATIENCE,
            "long_enough": search.LONG_ENOUGH,
            "fewest_agreeing": search.FEWEST_AGREEING,
            "clearly_larger": search.CLEARLY_LARGER,
            "head_margin": search.HEAD_MARGIN,
            "finest_larger": search.FINEST_LARGER,
            "colour_samples": search.COLOUR_SAMPLES,
        },
        "tracker": {"first_search": tracker.FIRST_SEARCH, "ear_patience": tracker.EAR_PATIENCE},
    }
