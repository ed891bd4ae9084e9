"""The web page: what is written, and in a real browser what it finds, beside what Python finds."""

import functools
import gzip
import http.server
import importlib.util
import json
import shutil
import subprocess
import threading
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from data.schemes import EAR
from data.synthetic.film import frames
from models.heatmaps import STRIDE
from tests.charts import save_chart_network
from tests.conftest import ROOT, input_error, run_script
from tests.utils.demo.heads import FRONT, alone, ear, face, landmarks, turned
from utils import export
from utils.common.images import decode_image, save_image
from utils.demo import LandmarkPredictor, Tracker
from utils.demo.geometry import EAR_FROM_JAW_END, far_side
from utils.demo.prediction import SIDES, Prediction
from utils.demo.search import next_square, own_squares, was_read
from utils.demo.site import PAGES, RUNTIME, check_runtime, settings

SHIPPED = ROOT / "weights" / "face2ear-nano.keras"
MISSING = [each for each in ("onnx", "tf2onnx", "onnxruntime") if importlib.util.find_spec(each) is None]
needs_onnx = pytest.mark.skipif(bool(MISSING), reason=f"wants {', '.join(MISSING)}")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(
    not (CHROMIUM and shutil.which("npm") and importlib.util.find_spec("playwright")),
    reason="wants chromium, npm and pip install playwright",
)


# What a browser reads an image beside the page with.
PIXELS = """async (name) => {
    const bitmap = await createImageBitmap(await (await fetch(name)).blob());
    const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
    context.drawImage(bitmap, 0, 0);
    return context.getImageData(0, 0, bitmap.width, bitmap.height);
}"""


@pytest.fixture
def empty_runtime(tmp_path):
    """A folder with the names of onnxruntime-web's files."""
    folder = tmp_path / "dist"
    folder.mkdir()
    for name in RUNTIME:
        (folder / name).write_bytes(b"x")
    return folder


@needs_onnx
def test_a_site_has_the_page_its_runtime_and_the_demos_own_numbers(empty_runtime, tmp_path):
    weights = save_chart_network(tmp_path / "chart.keras")
    flags = ["--format", "web", "--runtime", str(empty_runtime), "--terms", "mine", "--threshold", "face=0.4"]
    flags += ["--precision", "float32"]
    assert export.main([str(weights), "--out", str(tmp_path / "site"), *flags]) == 0
    site = tmp_path / "site"
    packed = {f"{name}.gz" if name.endswith(".wasm") else name for name in RUNTIME}
    assert {path.name for path in (site / "ort").iterdir()} == packed
    assert gzip.decompress((site / "ort" / "ort-wasm-simd-threaded.wasm.gz").read_bytes()) == b"x"
    numbers = json.loads((site / "settings.json").read_text(encoding="utf-8"))
    assert numbers["geometry"]["ear_from_jaw_end"] == EAR_FROM_JAW_END.tolist()
    assert numbers["thresholds"]["face"] == 0.4 and numbers["terms"] == "mine" and numbers["size"] == 128
    assert [len(numbers["schemes"][task]["reference"]) for task in ("face", "ear")] == [68, 55]
    assert (site / numbers["network"]).stat().st_size > 1000
    used = "".join(path.read_text(encoding="utf-8") for path in site.glob("*.js"))
    for group in ("geometry", "search", "tracker"):
        for name in numbers[group]:
            assert name in used, f"{name} is not what the page goes by"
    words = json.loads((site / "words.json").read_text(encoding="utf-8"))
    assert words["en"].keys() == words["ko"].keys()


@needs_onnx
def test_what_the_page_cannot_show_is_one_line_and_nothing_is_left(empty_runtime, tmp_path):
    ears = save_chart_network(tmp_path / "ear.keras", tasks=("ear",))
    out = ["--out", str(tmp_path / "site"), "--format", "web"]
    with input_error("faces first"):
        export.main([str(ears), *out, "--runtime", str(empty_runtime)])
    with input_error("npm install onnxruntime-web"):
        export.main([str(ears), *out, "--runtime", str(tmp_path)])
    with input_error("--outputs heatmaps"):
        export.main([str(ears), *out, "--runtime", str(empty_runtime), "--outputs", "heatmaps"])
    assert not (tmp_path / "site").exists() and not list(tmp_path.glob(".part-*"))


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_the_page_leaves_out_the_readings_that_the_demo_leaves_out(tmp_path):
    """Its modules run without a browser: the same faces, squares and candidates, asked of both."""
    rng, cases = np.random.default_rng(0), []
    for _ in range(100):
        points = FRONT * rng.uniform(0.5, 2)
        points[30] += rng.uniform(-0.7, 0.7) * (points[14:17].mean(axis=0) - points[0:3].mean(axis=0))
        points = turned(points, rng.uniform(-180, 180))
        found = Prediction(as_read(face(points)), {"left": as_read(ear_at(points[rng.choice([1, 15, 29])]))})
        again = Prediction(face(points + rng.normal(0, 20, 2)))
        other = alone(ear_at(found.ears["left"].points.mean(axis=0) + rng.normal(0, 15, 2)))
        cases.append(
            {
                "face": as_json(found.face),
                "ear": as_json(found.ears["left"]),
                "far": far_side(points),
                "candidates": [
                    {name: as_square(square) for name, square in own_squares(each).items()} for each in (again, other)
                ],
                "read": [was_read(each, found) for each in (again, other)],
            }
        )
    assert {each["far"] for each in cases} == {None, *SIDES}
    assert all({each["read"][k] for each in cases} == {True, False} for k in (0, 1))
    model = {"heads": {"face": [], "ear": []}, "input_size": 128}
    numbers = settings({"model": model, "export": {"terms": ""}, "record": {}})
    (tmp_path / "cases.json").write_text(json.dumps({"settings": numbers, "cases": cases}), encoding="utf-8")
    for module in PAGES.glob("*.js"):
        shutil.copy(module, tmp_path)
    (tmp_path / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    (tmp_path / "main.js").write_text(
        """
        import { readFileSync } from "fs";
        import { Geometry } from "./geometry.js";
        import { Finder } from "./search.js";
        const { settings, cases } = JSON.parse(readFileSync("cases.json"));
        const geometry = new Geometry(settings), finder = new Finder(settings, geometry, undefined);
        const answers = cases.map(({ face, ear, candidates }) => ({
          far: geometry.farSide(face.points) ?? null,
          looked_for: Object.keys(finder.squaresAround({ face, ears: {} })),
          read: candidates.map((square) =>
            finder.wasRead({ name: Object.keys(square)[0], squares: [square] }, { face, ears: { left: ear } })),
          alone: finder.wasRead({ name: "left", squares: [candidates[1]] }, { ears: { left: ear } }),
        }));
        console.log(JSON.stringify(answers));
        """,
        encoding="utf-8",
    )
    done = subprocess.run(["node", "main.js"], cwd=tmp_path, capture_output=True, text=True, check=True)
    for asked, answer in zip(cases, json.loads(done.stdout), strict=True):
        assert answer["far"] == asked["far"] and answer["read"] == asked["read"] and not answer["alone"]
        assert set(answer["looked_for"]) == {"face", *SIDES} - {asked["far"]}


def ear_at(middle):
    points = ear((0, 0)).points
    return landmarks(EAR, points - points.mean(axis=0) + middle)


def as_read(seen):
    """Landmarks in the square that is read round them."""
    return replace(seen, crop=next_square(seen))


def as_square(square):
    return {"centre": square.centre, "side": square.side, "angle": square.angle}


def as_json(read):
    """What the page holds of a face or an ear."""
    return {"task": read.scheme.task, "points": read.points.tolist(), "score": 1.0, "square": as_square(read.crop)}


# --- in a browser -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The page of the shipped weights."""
    folder = tmp_path_factory.mktemp("site")
    npm = ["npm", "install", "--prefix", folder / "npm", "onnxruntime-web"]
    if subprocess.run(npm, capture_output=True, check=False).returncode:
        pytest.skip("npm cannot install onnxruntime-web here")
    runtime = folder / "npm" / "node_modules" / "onnxruntime-web" / "dist"
    check_runtime(runtime)
    done = run_script("utils.export", SHIPPED, "--format", "web", "--out", folder / "site", "--runtime", runtime)
    assert done.returncode == 0, done.stderr
    return folder / "site"


@contextmanager
def opened(site, camera=None, flags=(), **context):
    """The page in a browser with these flags, ready; `camera`: a film that it takes for one."""
    from playwright.sync_api import sync_playwright

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *words):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=site))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    flags = ["--no-sandbox", *flags]
    if camera is not None:
        flags += ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
        flags += [f"--use-file-for-fake-video-capture={camera}"]
    try:
        with sync_playwright() as play:
            browser = play.chromium.launch(executable_path=CHROMIUM, args=flags)
            page = browser.new_page(**context)
            page.goto(f"http://127.0.0.1:{server.server_port}/")
            page.wait_for_selector("body[data-ready=yes]", timeout=120_000)
            yield page
            browser.close()
    finally:
        server.shutdown()


def points_of(page):
    """What the button for JSON hands out."""
    with page.expect_download() as download:
        page.click("#json")
    return json.loads(Path(download.value.path()).read_text(encoding="utf-8"))


def apart(points, wanted):
    """Mean distance of points in pixels. Of two cells as high as each other a landmark may take the other one."""
    return np.linalg.norm(np.array(points) - wanted, axis=1).mean()


@pytest.mark.slow
@needs_onnx
@needs_browser
def test_the_pages_points_of_a_picture_are_pythons(site, tmp_path):
    drawn = run_script("data.synthetic", "--out", tmp_path, "--both", 1, "--size", 480, "--seed", 31)
    assert drawn.returncode == 0, drawn.stderr
    (head,) = (tmp_path / "Both").glob("*.jpg")
    upright = cv2.cvtColor(cv2.imread(str(head)), cv2.COLOR_BGR2RGB)
    save_image(tmp_path / "turned.png", np.ascontiguousarray(np.rot90(upright)))
    save_image(tmp_path / "upright.png", upright)
    two = decode_image(ROOT / "tests/utils/demo/two_heads.png")  # the larger is found once the other is painted over
    save_image(tmp_path / "two.png", two)
    save_image(tmp_path / "nobody.png", np.full((200, 300, 3), 90, np.uint8))
    predictor = LandmarkPredictor(SHIPPED, precision="float32")
    with opened(site, viewport={"width": 390, "height": 844}, locale="ko-KR") as page:
        assert page.evaluate("crossOriginIsolated")  # the service worker's doing: threads
        assert page.inner_text("#camera") == "카메라"
        assert page.evaluate("document.documentElement.scrollWidth") <= 390  # a phone's width
        turned = np.ascontiguousarray(np.rot90(upright))
        for name, image in (("upright", upright), ("turned", turned), ("two", two)):
            page.set_input_files("#picture", tmp_path / f"{name}.png")
            page.wait_for_selector("#json:enabled", timeout=120_000)
            found, wanted = points_of(page), predictor(image)
            assert (found["face"] is None) == (wanted.face is None) == (name == "two")
            if wanted.face is not None:
                assert apart(found["face"]["points"], wanted.face.points) < 0.5
            assert found["ears"].keys() == wanted.ears.keys()
            for side, ear in wanted.ears.items():
                # Differences of rounding may decide whether an ear is read once more, so that its last crops differ.
                cell = ear.crop.side / (predictor.size / STRIDE)
                assert apart(found["ears"][side]["points"], ear.points) < 0.1 * cell
        page.screenshot(path=tmp_path / "page.png")
        page.set_input_files("#picture", tmp_path / "nobody.png")
        page.wait_for_selector("#json:enabled", timeout=120_000)
        assert points_of(page)["face"] is None
        page.set_input_files("#picture", site / "words.json")
        page.wait_for_function("document.getElementById('status').textContent.includes('사진이 아닙니다')")
        page.select_option("#language", "en")
        page.focus("#language")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "camera"
        page.keyboard.press("Enter")  # there is no camera here
        page.wait_for_function("/refused|No camera/.test(document.getElementById('status').textContent)")


@pytest.mark.slow
@needs_onnx
@needs_browser
def test_on_webgpu_the_points_are_pythons_too(site, tmp_path):
    """SwiftShader is a graphics processor in software."""
    drawn = run_script("data.synthetic", "--out", tmp_path, "--both", 1, "--size", 320, "--seed", 22)
    assert drawn.returncode == 0, drawn.stderr
    (head,) = (tmp_path / "Both").glob("*.jpg")
    image = decode_image(head)
    shutil.copytree(site, tmp_path / "site")
    save_image(tmp_path / "site" / "head.png", image)
    find = """async () => {
        const pixels = PIXELS;
        const [{ openFinder }, { Frame }] = await Promise.all(
            ["./open.js", "./frame.js"].map((name) => import(new URL(name, location).href)));
        const finder = await openFinder();
        const found = await finder.search(new Frame(await pixels("head.png")));
        return [finder.network.provider, found.face?.points ?? null];
    }"""
    software = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan,WebGPU"]
    with opened(tmp_path / "site", flags=[*software, "--use-vulkan=swiftshader"]) as page:
        page.set_default_timeout(300_000)
        provider, points = page.evaluate(find.replace("PIXELS", PIXELS))
    if provider != "webgpu":
        pytest.skip("this browser has no adapter of WebGPU")
    assert apart(points, LandmarkPredictor(SHIPPED, precision="float32")(image).face.points) < 0.5


@pytest.mark.slow
@needs_onnx
@needs_browser
def test_the_page_follows_a_film_as_python_does_and_reads_a_camera(site, tmp_path):
    film = list(frames(12, 640, 360, 11))
    (tmp_path / "camera.mjpeg").write_bytes(
        b"".join(cv2.imencode(".jpg", image[..., ::-1])[1].tobytes() for image, _ in film)
    )
    shutil.copytree(site, tmp_path / "site")
    for k, (image, _) in enumerate(film):
        save_image(tmp_path / "site" / f"{k}.png", image)
    tracker = Tracker(LandmarkPredictor(SHIPPED, precision="float32"))
    follow = """async (count) => {
        const pixels = PIXELS;
        const [{ openFinder }, { Tracker }, { Frame }] = await Promise.all(
            ["./open.js", "./search.js", "./frame.js"].map((name) => import(new URL(name, location).href)));
        const tracker = new Tracker(await openFinder()), points = [];
        for (let k = 0; k < count; k++) {
            const found = await tracker.next(new Frame(await pixels(`${k}.png`)));
            points.push(found.face?.points ?? null);
        }
        return points;
    }"""
    with opened(tmp_path / "site", camera=tmp_path / "camera.mjpeg") as page:
        followed = page.evaluate(follow.replace("PIXELS", PIXELS), len(film))
        errors = []
        for (image, truth), points in zip(film, followed, strict=True):
            wanted = tracker(image).face
            assert (points is None) == (wanted is None)
            if wanted is not None:
                assert apart(points, wanted.points) < 0.5
                true = np.array(truth["face"]["points"])
                errors.append(apart(points, true) / np.ptp(true, axis=0).max())
        assert len(errors) >= 8 and np.median(errors) < 0.05
        page.click("#camera")
        page.wait_for_function("document.getElementById('status').textContent.includes('face')", timeout=120_000)
        page.wait_for_function("parseFloat(document.getElementById('rate').textContent) > 0")
        assert points_of(page)["source"] == "camera"
        page.click("#camera")
        assert page.inner_text("#camera") == "Camera"
