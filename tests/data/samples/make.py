"""Writes the samples of this folder, each with its format's own library. They are kept, so tests need none of these.

    python -m venv formats && formats/bin/pip install labelme dlib-bin hdf5storage pycocotools
    QT_QPA_PLATFORM=offscreen formats/bin/python tests/data/samples/make.py

LabelMe, dlib and hdf5storage (MATLAB 7.3) write their files. COCO's library only reads, so it reads what stands here.
The images are noise. The points of image k are POINTS + k, pixels from 0; those of COFW lie on a diagonal.
"""

import contextlib
import io
import json
from pathlib import Path

import dlib
import hdf5storage
import numpy as np
import PIL.Image
from labelme import LabelFile
from pycocotools.coco import COCO

HERE = Path(__file__).parent
WIDTH, HEIGHT = 48, 40
POINTS = np.array([[10.0, 12.0], [30.0, 12.0], [10.0, 30.0], [30.0, 31.0]])
NAMES = ("left_eye", "right_eye", "left_mouth", "right_mouth")


def write_images() -> list[np.ndarray]:
    """Two small images of noise beside the files."""
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8) for _ in range(2)]
    for k, image in enumerate(images):
        PIL.Image.fromarray(image).save(HERE / f"{k}.png")
    return images


def write_labelme() -> None:
    """0.json and 1.json by LabelMe: points from the corner of the first pixel; image 1 lacks its last point."""
    for k in range(2):
        shapes = [
            {
                "label": name,
                "points": [[float(x) + 0.5 + k, float(y) + 0.5 + k]],
                "group_id": None,
                "description": "",
                "shape_type": "point",
                "flags": {},
                "mask": None,
            }
            for name, (x, y) in list(zip(NAMES, POINTS, strict=True))[: 4 - k]
        ]
        LabelFile().save(str(HERE / f"labelme/{k}.json"), shapes, f"../{k}.png", HEIGHT, WIDTH)


def write_dlib() -> None:
    """dlib.xml by dlib: whole pixels; the box of image 1 lacks part 3."""
    dataset = dlib.image_dataset_metadata.dataset()
    dataset.name, dataset.comment = "samples", "two faces of four points"
    for k in range(2):
        box = dlib.image_dataset_metadata.box()
        box.rect = dlib.rectangle(8, 8, 36, 36)
        for part, (x, y) in enumerate((POINTS + k)[: 4 - k].astype(int).tolist()):
            box.parts[str(part)] = dlib.point(x, y)
        image = dlib.image_dataset_metadata.image()
        image.filename = f"{k}.png"
        image.boxes.append(box)
        dataset.images.append(image)
    dlib.image_dataset_metadata.save_image_dataset_metadata(dataset, str(HERE / "dlib.xml"))
    (HERE / "image_metadata_stylesheet.xsl").unlink()  # for browsers


def write_coco() -> None:
    """coco.json, as COCO's library reads it: the last keypoint of image 1 is missing, its first is hidden."""
    annotations = []
    for k in range(2):
        keypoints = [[float(x), float(y), 2] for x, y in POINTS + k]
        if k:
            keypoints[0][2], keypoints[3] = 1, [0, 0, 0]
        flat = [value for point in keypoints for value in point]
        annotations.append(
            {"id": k + 1, "image_id": k + 1, "category_id": 1, "iscrowd": 0, "keypoints": flat, "num_keypoints": 4 - k}
            | {"bbox": [8, 8, 28, 28], "area": 784, "segmentation": []}
        )
    images = [{"id": k + 1, "file_name": f"{k}.png", "width": WIDTH, "height": HEIGHT} for k in range(2)]
    category = {"id": 1, "name": "face", "supercategory": "person", "keypoints": NAMES, "skeleton": [[1, 2], [3, 4]]}
    content = {"info": {}, "licenses": [], "images": images, "annotations": annotations, "categories": [category]}
    (HERE / "coco.json").write_text(json.dumps(content, indent=1) + "\n")
    with contextlib.redirect_stdout(io.StringIO()):
        read = COCO(str(HERE / "coco.json"))
    assert [each["num_keypoints"] for each in read.loadAnns(read.getAnnIds(catIds=read.getCatIds(["face"])))] == [4, 3]


def write_matlab(images: list[np.ndarray]) -> None:
    """COFW_train.mat (cells of images, a row of 87 for each face) and matlab_pts.mat, as MATLAB 7.3 has them."""
    cells = np.empty((len(images), 1), object)
    cells[:, 0] = [images[0][..., 0], images[1]]  # gray ones are among COFW's
    diagonal = np.linspace(5, 33, 29)
    rows = [np.concatenate([diagonal + k + 1, diagonal + k + 1, np.arange(29) % 2]) for k in range(2)]
    boxes = np.array([[6.0, 6.0, 28.0, 28.0]] * 2)
    cofw = {"IsTr": cells, "phisTr": np.stack(rows), "bboxesTr": boxes}
    points = np.stack([np.linspace(5, 40, 68), np.linspace(6, 33, 68)], axis=1)
    for name, content in (("COFW_train.mat", cofw), ("matlab_pts.mat", {"pts_2d": points, "pts_3d": points + 1})):
        (HERE / name).unlink(missing_ok=True)
        hdf5storage.savemat(str(HERE / name), content, format="7.3", oned_as="row", matlab_compatible=True)


if __name__ == "__main__":
    (HERE / "labelme").mkdir(exist_ok=True)
    write_labelme()
    write_dlib()
    write_coco()
    write_matlab(write_images())
