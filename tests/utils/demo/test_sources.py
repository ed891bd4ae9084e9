import os
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.conftest import input_error, packed, with_exif
from tests.streams import Stream
from utils.common.files import replacing
from utils.common.video_writer import Mp4Writer
from utils.demo import sources
from utils.demo.sources import CameraMode, Source, UnreadableError, find_sources, open_source


def write_video(path, levels, rate=25.0, size=(64, 48)):
    """A lossless video whose frame k is of the gray level `levels[k]`."""
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"FFV1"), rate, size)
    for level in levels:
        writer.write(np.full((size[1], size[0], 3), level, np.uint8))
    writer.release()
    return path


def read_all(name):
    with open_source(find_sources([str(name)])[0]) as feed:
        return feed, [frame for frame in feed.frames(wait=5.0) if frame is not None]


def test_cameras_addresses_files_folders_and_globs_are_told_apart(tmp_path):
    for name in ("b.png", "a.JPG", "clip.mp4", "notes.txt", ".part1-x.png", "[1].png"):
        (tmp_path / name).touch()
    folder = [tmp_path / name for name in ("[1].png", "a.JPG", "b.png", "clip.mp4")]
    kinds = ["image", "image", "image", "video"]
    assert find_sources([str(tmp_path)]) == [Source(str(path), kind) for path, kind in zip(folder, kinds, strict=True)]
    assert find_sources([str(tmp_path / "*.png")]) == [Source(str(path), "image") for path in (folder[0], folder[2])]
    assert find_sources([str(folder[0])]) == [Source(str(folder[0]), "image")]  # a file, not a glob
    assert find_sources(["2", "rtsp://host/x"]) == [Source("2", "live"), Source("rtsp://host/x", "live")]


def test_a_file_that_is_named_twice_is_taken_once(tmp_path):
    (tmp_path / "a.png").touch()
    assert len(find_sources([str(tmp_path), str(tmp_path / "a.png")])) == 1


@pytest.mark.parametrize("name", ["nowhere.png", "nowhere/*.jpg", ".", "3000000000"])
def test_what_is_not_there_is_named(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with input_error(name):
        find_sources([name])


def test_images_that_cannot_be_read_are_counted_and_a_folder_of_them_says_so(tmp_path, capsys):
    for name in ("a.CR2", "b.cr2", ".c.cr2", "notes.txt"):
        (tmp_path / name).touch()
    with input_error(tmp_path, "no images or videos", "2 files skipped: 2 .cr2 (save as"):
        find_sources([str(tmp_path)])
    (tmp_path / "d.png").touch()
    assert len(find_sources([str(tmp_path)])) == 1
    assert capsys.readouterr().err == "2 files skipped: 2 .cr2 (save as .jpg or .png)\n"


def test_names_for_files_made_from_a_source():
    assert Source("videos/clip.mp4", "video").stem == "clip"
    assert Source("0", "live").stem == "camera0"
    assert Source("http://10.0.0.1:80/a b", "live").stem == "10_0_0_1_80_a_b"


def test_a_password_in_an_address_is_neither_shown_nor_in_a_name():
    source = Source("rtsp://me:secret@10.0.0.1/camera", "live")
    assert source.label == "rtsp://10.0.0.1/camera" and source.stem == "10_0_0_1_camera"


def test_an_address_longer_than_a_file_name_may_be_is_no_error():
    address = "http://10.0.0.1/" + "token" * 200
    assert find_sources([address]) == [Source(address, "live")]


def test_every_frame_of_a_file_comes_in_order_with_its_time(tmp_path):
    feed, frames = read_all(write_video(tmp_path / "clip.avi", range(0, 200, 5)))
    assert feed.rate == 25.0 and feed.count == 40
    assert [frame.number for frame in frames] == list(range(40))
    assert [round(frame.time, 3) for frame in frames] == [round(k / 25, 3) for k in range(40)]
    assert [abs(int(frame.image[20, 20, 0]) - 5 * k) <= 2 for k, frame in enumerate(frames)] == [True] * 40


def test_a_slow_reader_loses_no_frame_and_a_file_is_not_read_far_ahead(tmp_path):
    path = write_video(tmp_path / "clip.avi", range(30))
    with open_source(find_sources([str(path)])[0]) as feed:
        time.sleep(0.3)
        assert feed.waiting == sources.AHEAD
        assert len(list(feed.frames(wait=5.0))) == 30


def test_colours_are_rgb(tmp_path):
    writer = cv2.VideoWriter(str(tmp_path / "a.avi"), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"FFV1"), 10, (32, 32))
    writer.write(np.full((32, 32, 3), (0, 0, 250), np.uint8))  # red, in OpenCV's order
    writer.release()
    _, (frame,) = read_all(tmp_path / "a.avi")
    red, green, blue = frame.image[16, 16].astype(int)
    assert red > 200 and green < 60 and blue < 60


def test_a_video_that_cannot_be_decoded_is_named(tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"no video" * 100)
    with pytest.raises(UnreadableError, match=r"clip\.mp4"):
        read_all(path)


def test_a_video_that_is_cut_off_gives_what_it_has_and_says_so(tmp_path):
    path = write_video(tmp_path / "clip.avi", range(40))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    frames = []
    with open_source(find_sources([str(path)])[0]) as feed, pytest.raises(UnreadableError, match="breaks off after"):
        for frame in feed.frames(wait=5.0):
            frames.append(frame)
    assert 0 < len(frames) < 40


CASES = Path(__file__).parent / "videos"  # 20 to 30 frames of a drawn head, of 128 x 96 pixels


@pytest.mark.parametrize(
    ("name", "frames", "last"),
    [
        ("cut.mp4", 20, 0.76),  # its start is cut off without encoding it again: 10 frames are there and never shown
        ("offset5.mkv", 30, 1.16),  # begins at 5 s
        ("vfr.webm", 30, 2.76),  # its rate varies
        ("vfr.mp4", 30, 2.76),
    ],
)
def test_a_whole_file_is_whole_whatever_its_count_of_frames(name, frames, last):
    _, read = read_all(CASES / name)
    assert len(read) == frames
    assert read[0].time == 0 and read[-1].time == pytest.approx(last, abs=0.002)
    assert np.all(np.diff([frame.time for frame in read]) > 0)


def test_a_clock_that_stands_or_jumps_is_none(tmp_path, monkeypatch):
    clocks = iter([5, 5.04, 5.04, 4, 4.1, 90000, 90000.2])
    monkeypatch.setattr(sources.Feed, "_clock", lambda self: next(clocks))
    _, frames = read_all(write_video(tmp_path / "clip.avi", range(7), rate=25))
    assert [round(frame.time, 6) for frame in frames] == [0, 0.04, 0.08, 0.12, 0.22, 0.26, 0.46]


def test_a_video_whose_clock_always_says_zero_goes_by_its_rate(tmp_path, monkeypatch):
    """As of motion JPEG without a container."""
    monkeypatch.setattr(sources.Feed, "_clock", lambda self: 0.0)
    _, frames = read_all(write_video(tmp_path / "clip.avi", range(5), rate=20))
    assert [frame.time for frame in frames] == pytest.approx([0, 0.05, 0.1, 0.15, 0.2])


def change_header(path, promised, shown):
    """Say in an MP4's header that it has `promised` times the seconds, and show `shown` times what it has."""
    data = bytearray(path.read_bytes())
    # Each box: where its number of seconds begins, counted from the box's four letters.
    for kind, at, factor in ((b"mvhd", 20, promised), (b"tkhd", 24, promised), (b"elst", 12, shown)):
        place = data.index(kind) + at
        length = round(int.from_bytes(data[place : place + 4], "big") * factor)
        data[place : place + 4] = length.to_bytes(4, "big")
    path.write_bytes(data)


def test_a_video_whose_end_an_edit_leaves_out_is_whole(tmp_path):
    """As phones trim one: all frames are there and counted, and the header says that half of them are shown."""
    with replacing(tmp_path / "clip.mp4") as part:
        writer = Mp4Writer(part, 25, (64, 48), part)
        for k in range(40):
            writer.write(np.full((48, 64, 3), 5 * k, np.uint8))
        writer.close()
    change_header(tmp_path / "clip.mp4", promised=0.5, shown=0.5)
    feed, frames = read_all(tmp_path / "clip.mp4")  # raises nothing
    assert feed.count is not None and 18 <= len(frames) <= 40


@pytest.mark.parametrize("content", ["#EXTM3U\n#EXTINF:4,\n{0}\n#EXT-X-ENDLIST\n", "ffconcat version 1.0\nfile {0}\n"])
@pytest.mark.parametrize("name", ["list.m3u8", "list.mp4"])
def test_a_playlist_opens_no_other_file(tmp_path, name, content):
    other = write_video(tmp_path / "other.avi", range(5))
    (tmp_path / name).write_text(content.format(other.name))
    with pytest.raises(UnreadableError, match=name), open_source(Source(str(tmp_path / name), "video")):
        pass


@pytest.mark.parametrize("name", ["concat:other.avi", "img_%03d.avi", "a?b.avi", "-x.avi", "http:x.avi"])
def test_a_name_is_only_a_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "other.avi", range(5))
    write_video(tmp_path / name, range(3))
    assert len(read_all(name)[1]) == 3


def test_a_user_s_own_options_for_streams_stay(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;udp")
    read_all(write_video(tmp_path / "clip.avi", range(3)))
    assert os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] == "rtsp_transport;udp"


def test_a_video_of_absurd_size_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "LARGEST_IMAGE", 1000)
    path = write_video(tmp_path / "clip.avi", range(3))
    with pytest.raises(UnreadableError, match="64 x 48 pixels"):
        read_all(path)


def test_a_video_of_less_than_a_frame_a_second_keeps_its_rate(tmp_path):
    feed, frames = read_all(write_video(tmp_path / "slow.avi", range(3), rate=0.5))
    assert feed.rate == pytest.approx(0.5)
    assert [frame.time for frame in frames] == pytest.approx([0, 2, 4])


def test_images_come_upright_in_eight_bits_and_three_channels(tmp_path):
    stored = np.zeros((20, 40, 3), np.uint8)
    stored[:, :10] = 255  # the left quarter is white
    (tmp_path / "turned.jpg").write_bytes(with_exif(packed(stored), orientation=6))  # shown turned clockwise
    (tmp_path / "deep.png").write_bytes(packed(stored.astype(np.uint16) * 257, ".png"))
    (tmp_path / "gray.png").write_bytes(packed(stored[..., 0], ".png"))
    (tmp_path / "alpha.png").write_bytes(packed(np.dstack([stored, stored[..., :1]]), ".png"))
    for name in ("turned.jpg", "deep.png", "gray.png", "alpha.png"):
        feed, (frame,) = read_all(tmp_path / name)
        image = frame.image
        assert feed.rate is None and frame.time == 0 and image.dtype == np.uint8
        if name == "turned.jpg":
            assert image.shape == (40, 20, 3)
            assert image[:8].min() > 200 and image[14:].max() < 60  # on top
        else:
            assert image.shape == (20, 40, 3)
            assert image[:, :10].min() == 255 and image[:, 10:].max() == 0


def test_a_corrupt_image_is_unreadable(tmp_path):
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50))
    with pytest.raises(UnreadableError, match=r"bad\.png"):
        read_all(tmp_path / "bad.png")


class Camera:
    """A camera as OpenCV shows it, of 640 x 480 and 1280 x 720; without MJPG it has room for the small one alone."""

    def __init__(self, name, has_mjpg=True, rates=(30.0,)):
        self.asked, self.has_mjpg, self.rates = [], has_mjpg, rates
        self.held = {cv2.CAP_PROP_FRAME_WIDTH: 640.0, cv2.CAP_PROP_FRAME_HEIGHT: 480.0}
        self.held |= {cv2.CAP_PROP_FPS: rates[0], cv2.CAP_PROP_FOURCC: float(cv2.VideoWriter.fourcc(*"YUYV"))}

    def isOpened(self):  # noqa: N802 - OpenCV's name
        return True

    def set(self, what, value):
        self.asked.append(what)
        mjpg = self.held[cv2.CAP_PROP_FOURCC] == cv2.VideoWriter.fourcc(*"MJPG")
        large = what in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT) and mjpg
        known = (what == cv2.CAP_PROP_FOURCC and self.has_mjpg) or large or value in self.rates
        if known:
            self.held[what] = float(value)
        return known

    def get(self, what):
        return self.held.get(what, 0.0)

    def read(self):
        return True, np.zeros((int(self.get(4)), int(self.get(3)), 3), np.uint8)

    def release(self):
        pass


@pytest.mark.parametrize(
    ("camera", "mode", "got"),
    [
        ({}, CameraMode((1280, 720), 30.0), "1280x720 at 30 frames/s, MJPG"),
        ({}, CameraMode(), "640x480 at 30 frames/s, MJPG"),
        ({"has_mjpg": False}, CameraMode((1280, 720)), "640x480 at 30 frames/s, YUYV"),
        ({"rates": (29.97, 60.0)}, CameraMode(rate=60.0), "640x480 at 60 frames/s, MJPG"),
        ({"rates": (29.97,)}, CameraMode(rate=60.0), "640x480 at 29.97 frames/s, MJPG"),
        ({"rates": (0.0,)}, CameraMode(), "640x480, MJPG"),  # it does not say
    ],
)
def test_a_camera_is_asked_for_a_mode_and_what_it_gives_is_printed(monkeypatch, capsys, camera, mode, got):
    opened = []
    monkeypatch.setattr(cv2, "VideoCapture", lambda name: opened.append(Camera(name, **camera)) or opened[-1])
    with open_source(Source("0", "live"), mode=mode) as feed:
        frame = next(frame for frame in feed.frames(wait=5.0) if frame is not None)
    assert capsys.readouterr().out == f"camera 0: {got}\n"
    assert got.startswith(f"{frame.image.shape[1]}x{frame.image.shape[0]}")
    assert opened[0].asked == sorted(opened[0].asked, key=[cv2.CAP_PROP_FOURCC, 3, 4, cv2.CAP_PROP_FPS].index)


def test_a_camera_that_comes_back_is_asked_again_and_a_stream_is_not_asked(monkeypatch, capsys):
    opened = []

    class Lost(Camera):
        def read(self):
            return (False, None) if len(opened) < 2 else super().read()

    monkeypatch.setattr(cv2, "VideoCapture", lambda name, *_: opened.append(Lost(name)) or opened[-1])
    monkeypatch.setattr(sources, "SILENCE", 0.0)
    with open_source(Source("0", "live"), mode=CameraMode((1280, 720))) as feed:
        frame = next(frame for frame in feed.frames(wait=5.0) if frame is not None)
    assert frame.image.shape == (720, 1280, 3)
    with open_source(Source("rtsp://192.0.2.1/x", "live"), mode=CameraMode((1280, 720))):
        pass
    assert opened[2].asked == []
    assert capsys.readouterr().out.count("1280x720") == 1


def test_a_camera_that_is_not_there_is_named():
    with input_error("camera 97", "another program"), open_source(Source("97", "live")):
        pass


def test_a_stream_that_does_not_answer_is_named():
    with Stream([np.zeros((16, 16, 3), np.uint8)]) as stream:
        address = stream.address
    with input_error(address), open_source(Source(address, "live")):
        pass


def test_of_a_stream_the_newest_frame_comes():
    images = [np.full((48, 64, 3), level, np.uint8) for level in range(0, 250, 2)]
    with Stream(images, rate=50) as stream, open_source(Source(stream.address, "live")) as feed:
        frames = feed.frames(wait=5.0)
        first = next(frames)
        time.sleep(1.0)
        second = next(frames)
    assert second.number - first.number > 20  # the frames in between are gone
    assert second.image.mean() > first.image.mean() + 30
    assert second.time - first.time == pytest.approx(1.0, abs=0.5)


def test_a_stream_that_dies_and_returns_goes_on(capsys):
    with Stream([np.full((48, 64, 3), 90, np.uint8)]) as stream, open_source(Source(stream.address, "live")) as feed:
        frames = feed.frames(wait=0.1)
        before = next(frame for frame in frames if frame is not None)
        stream.die()
        deadline = time.monotonic() + 10
        while next(frames) is not None and time.monotonic() < deadline:  # what was on its way
            pass
        stream.live()
        after = next(frame for frame in frames if frame is not None)
    assert after.number > before.number and after.time > before.time
    said = capsys.readouterr().out
    assert "trying again" in said and "is back" in said
    assert said.count(stream.address) == 2


@pytest.mark.parametrize("retry", [0, 0.4])
def test_a_stream_that_does_not_return_is_given_up_after_so_many_seconds(monkeypatch, retry):
    monkeypatch.setattr(sources, "BACK_OFF", (0.05, 0.1))
    with (
        Stream([np.zeros((16, 16, 3), np.uint8)]) as stream,
        open_source(Source(stream.address, "live"), retry) as feed,
    ):
        frames = feed.frames(wait=0.1)
        assert next(frame for frame in frames if frame is not None).number >= 0
        assert feed.lost == ""
        stream.die()
        with input_error(stream.address, "--retry" if retry else "tried 0 times"):
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                next(frames)
    assert bool(retry) == ("trying again" in feed.lost)
