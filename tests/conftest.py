"""What several tests share: scripts as a user runs them, images on disk, and the shape that every error must have."""

from __future__ import annotations

import fcntl
import importlib
import importlib.util
import io
import os
import resource
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

import cv2
import hypothesis
import numpy as np
import pytest

from data.schemes import SCHEMES
from tests.images import write_ears, write_faces
from utils.common.cli import InputError, run_main
from utils.exporting.formats import FORMATS

ROOT = Path(__file__).parent.parent

hypothesis.settings.register_profile("repository", max_examples=40, deadline=None)
hypothesis.settings.load_profile("repository")


LONGEST = ("test_hosts.py", "test_devices.py", "test_kills.py")  # start first: no worker is left with one at the end


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the slow tests of the longest files before all others."""
    items.sort(key=lambda item: item.path.name not in LONGEST or item.get_closest_marker("slow") is None)


def command(script: str, *flags: object) -> list[str]:
    """The command line of a script, `train_face.py`, or of a module, `utils.evaluate`; to be run in `ROOT`."""
    start = [script] if script.endswith(".py") else ["-m", script]
    return [sys.executable, *start, *map(str, flags)]


def run_process(script: str, *flags: object, timeout: float = 300, **options) -> subprocess.CompletedProcess:
    """Run a script as a user does, in a process of its own: it imports TensorFlow anew, which takes seconds."""
    return subprocess.run(
        command(script, *flags), cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False, **options
    )


def run_script(script: str, *flags: object) -> subprocess.CompletedProcess:
    """Run a script in this process, with what `run_process` returns; what a run may leave behind is set back.

    That is the folder, `sys.argv`, the environment, the known schemes, OpenCV's threads and Keras's dtype policy. A run
    with `--deterministic` binds TensorFlow for good and needs a process of its own.
    """
    assert "--deterministic" not in flags, "use run_process"
    name = script.removesuffix(".py")
    module = importlib.import_module("data.synthetic.__main__" if name == "data.synthetic" else name)
    # As a process has them: bytes below, so that the encoding's errors can be set.
    out, err = (
        io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors=errors, write_through=True)
        for errors in ("strict", "backslashreplace")
    )
    threads, policy = cv2.getNumThreads(), dtype_policy()
    arguments = [str(flag) for flag in flags]
    try:
        with (
            chdir(ROOT),
            mock.patch.dict(os.environ),
            mock.patch.dict(SCHEMES),
            mock.patch.object(sys, "argv", [script, *arguments]),
            redirect_stdout(out),
            redirect_stderr(err),
            pytest.raises(SystemExit) as exit_,
        ):
            run_main(lambda: module.main(arguments))
    finally:
        cv2.setNumThreads(threads)
        if "keras" in sys.modules:
            sys.modules["keras"].config.set_dtype_policy(policy)
    texts = (stream.buffer.getvalue().decode("utf-8") for stream in (out, err))
    return subprocess.CompletedProcess([script, *arguments], exit_.value.code, *texts)


def dtype_policy() -> str:
    """The name of Keras's dtype policy, without importing Keras for it."""
    return sys.modules["keras"].config.dtype_policy().name if "keras" in sys.modules else "float32"


def shared_folder(factory: pytest.TempPathFactory, name: str, fill: Callable[[Path], None]) -> Path:
    """A folder that the first worker of pytest-xdist to ask for it fills, while the others wait; not to be changed."""
    base = factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, filled = base / name, base / f"{name}.filled"
    with open(base / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not filled.exists():
            folder.mkdir()
            fill(folder)
            filled.touch()
    return folder


@contextmanager
def input_error(*parts: object) -> Iterator[None]:
    """Expect an `InputError` of one line that holds each of `parts`."""
    with pytest.raises(InputError) as caught:
        yield
    message = str(caught.value)
    assert message and "\n" not in message
    for part in parts:
        assert str(part) in message


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """No file of this process may grow beyond `size` bytes: writing a larger one fails, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def packed(image: np.ndarray, suffix: str = ".jpg") -> bytes:
    """The bytes of an image file; `image` in OpenCV's channel order, of any type that the format takes."""
    return cv2.imencode(suffix, image)[1].tobytes()


def with_exif(jpeg: bytes, orientation: int = 1, thumbnail: bytes = b"") -> bytes:
    """A JPEG with an EXIF segment that holds an orientation and, where given, a thumbnail (a JPEG of its own)."""
    directory = struct.pack(">HHHIHHI", 1, 0x0112, 3, 1, orientation, 0, 26 if thumbnail else 0)
    tiff = b"MM\x00\x2a" + struct.pack(">I", 8) + directory
    if thumbnail:
        tiff += struct.pack(">HHHIIHHIII", 2, 0x0201, 4, 1, 56, 0x0202, 4, 1, len(thumbnail), 0) + thumbnail
    segment = b"Exif\x00\x00" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + jpeg[2:]


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 12 drawn faces (`AFW/`, `AFW_landmark/`); not to be changed."""
    folder = tmp_path_factory.mktemp("faces")
    write_faces(folder, 12, size=96)
    return folder


@pytest.fixture(scope="session")
def ears(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 12 drawn ears (`CollectionA/`, 10 to train and 2 to test); not to be changed."""
    folder = tmp_path_factory.mktemp("ears")
    write_ears(folder, 12, size=96)
    return folder


# --- runs that tests only read ----------------------------------------------------------------------------------------

SMALL = ["--preset", "tiny", "--input-size", "64", "--batch-size", "4", "--precision", "float32"]
TRAINED_EPOCHS, TAUGHT_EPOCHS = 4, 2


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 drawn faces and 36 drawn ears in the real datasets' layouts; not to be changed."""

    def fill(folder: Path) -> None:
        write_faces(folder, 60, size=80)
        write_ears(folder, 36, size=80)

    return shared_folder(tmp_path_factory, "images", fill)


@pytest.fixture(scope="session")
def trained_flags(images: Path) -> list[object]:
    """The flags of the run `trained`, but for its folder and weights file."""
    return [*SMALL, "--data", images, "--epochs", TRAINED_EPOCHS]


@pytest.fixture(scope="session")
def trained(trained_flags: list[object], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A deterministic face run of 4 epochs: `run/`, `face.keras` and what was printed, `stdout` and `stderr`."""

    def fill(folder: Path) -> None:
        where = ["--run", folder / "run", "--out", folder / "face.keras"]
        keep_output(folder, run_process("train_face.py", *trained_flags, "--deterministic", *where))

    return shared_folder(tmp_path_factory, "trained", fill)


@pytest.fixture(scope="session")
def taught_flags(images: Path, trained: Path) -> list[object]:
    """The flags of the run `taught`, but for its folder and weights file."""
    teacher = ["--teacher", trained / "face.keras"]
    return ["--data", images, *teacher, "--batch-size", 4, "--precision", "float32", "--epochs", TAUGHT_EPOCHS]


@pytest.fixture(scope="session")
def taught(taught_flags: list[object], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A deterministic student of `trained` by distill-at: `distill-at/`, `student.keras`, `stdout` and `stderr`."""

    def fill(folder: Path) -> None:
        where = ["--run", folder / "distill-at", "--out", folder / "student.keras"]
        keep_output(folder, run_process("train_face2ear.py", *taught_flags, "--deterministic", *where))

    return shared_folder(tmp_path_factory, "taught", fill)


def keep_output(folder: Path, done: subprocess.CompletedProcess) -> None:
    assert done.returncode == 0, done.stderr
    (folder / "stdout").write_text(done.stdout)
    (folder / "stderr").write_text(done.stderr)


def packages(name: str, *more: str):
    """A test's parameter that is left out where the packages of a format, and `more`, are not installed."""
    missing = [each for each in (*FORMATS[name].packages, *more) if importlib.util.find_spec(each) is None]
    return pytest.param(name, marks=pytest.mark.skipif(bool(missing), reason=f"wants {', '.join(missing)}"))
