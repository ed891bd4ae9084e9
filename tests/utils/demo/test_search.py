"""The search of whole images, with a network that reads drawn charts of heads."""

from dataclasses import replace

import numpy as np
import pytest

from data.augment import Warp
from data.schemes import EAR, FACE
from tests.charts import draw_chart, place
from tests.utils.demo.heads import FRONT, alone, ear, face, turned
from utils.demo.detections import Thresholds
from utils.demo.geometry import extent, tilt
from utils.demo.prediction import SIDES, Prediction
from utils.demo.search import (
    average_ears,
    has_moved,
    next_square,
    own_squares,
    paint_over,
    refine,
    refine_candidate,
    search,
    search_sizes,
    squares_around,
    was_read,
    whole_image,
)


def apply(matrix, x, y):
    return matrix[:, :2] @ (x, y) + matrix[:, 2]


def face_error(prediction, truth):
    """NME of the face, per cent."""
    return 100 * np.linalg.norm(prediction.face.points - truth, axis=1).mean() / np.linalg.norm(truth[36] - truth[45])


def ear_errors(prediction, points):
    """Mean error of each ear that was found, in diagonals of its box."""
    return [
        np.linalg.norm(ear.points - points[side], axis=1).mean() / np.linalg.norm(np.ptp(points[side], axis=0))
        for side, ear in prediction.ears.items()
    ]


class TestWholeImage:
    @pytest.mark.parametrize("quarter", [0, 1, 2, 3])
    @pytest.mark.parametrize("shape", [(120, 200), (333, 90), (64, 64)])
    def test_a_bright_spot_lands_where_the_matrix_says(self, shape, quarter):
        image = np.zeros((*shape, 3), np.uint8)
        image[40:44, 60:64] = 255
        matrix, canvas = whole_image(image, 128, quarter)
        assert canvas.shape[0] % 32 == canvas.shape[1] % 32 == 0
        bright = canvas[..., 0].astype(float)
        across, down = np.meshgrid(np.arange(canvas.shape[1]), np.arange(canvas.shape[0]))
        spot = np.array([(across * bright).sum(), (down * bright).sum()]) / bright.sum()
        assert spot == pytest.approx(apply(matrix, 61.5, 41.5), abs=0.3)

    def test_one_pixel_is_an_image(self):
        _, canvas = whole_image(np.zeros((1, 1, 3), np.uint8), 128)
        assert canvas.shape == (128, 128, 3)

    def test_a_small_image_is_enlarged_twofold_at_most(self):
        assert search_sizes(np.zeros((40, 30, 3))) == (128,)
        assert search_sizes(np.zeros((192, 384, 3))) == (128, 256, 512)
        assert search_sizes(np.zeros((4000, 3000, 3))) == (128, 256, 512, 1024)


def test_a_box_is_painted_over_with_the_median_colour_of_the_image():
    image = np.full((20, 30, 3), 7, np.uint8)
    image[5:9, 4:8] = 200
    painted = paint_over(image, np.array([4.0, 5.0]), np.array([7.0, 8.0]))
    assert (painted == 7).all() and image.max() == 200
    assert (paint_over(image, np.array([-9.0, -9.0]), np.array([2.0, 2.0])) == image).all()


def test_the_next_square_holds_the_face_upright_at_1_6_times_its_size():
    square = next_square(face())
    assert square.angle == pytest.approx(tilt(FRONT), abs=1e-4)
    inside = np.array([apply(square.matrix(160), x, y) for x, y in FRONT])
    assert np.ptp(inside, axis=0).max() == pytest.approx(100, abs=0.1)


class ReadsAsTold:
    """A predictor of faces whose readings have these scores, one after the other, each of another crop."""

    def __init__(self, scores):
        self.thresholds, self.tasks, self.others = Thresholds(face=0.65), (FACE.task,), {}
        self.searcher, self._scores = self, iter(scores)

    def read_crops(self, image, squares):
        return {name: replace(face(score=next(self._scores)), crop=Warp((0.0, 0.0), 1.0)) for name in squares}


@pytest.mark.parametrize(
    ("scores", "kept"),
    [
        ((0.6, 0.7, 0.7, 0.7), 0.7),
        ((0.6, 0.6, 0.6, 0.66), 0.66),  # the last reading is what counts
        ((0.7, 0.7, 0.7, 0.6), None),
        ((0.54,), None),  # nothing credible: not read again
    ],
)
def test_what_lacks_little_of_its_threshold_is_read_again_but_kept_only_if_it_reaches_it(scores, kept):
    found = refine(ReadsAsTold(scores), np.zeros((9, 9, 3), np.uint8), own_squares(Prediction(face())))
    assert (found.face and found.face.score) == (kept and pytest.approx(kept))


class KnowsOneFace:
    """A predictor that reads a face in squares that hold it at 1.6 times its size and nearly upright, and nothing else.

    `squares`: what it was asked to read, by name.
    """

    def __init__(self, known, scheme=FACE):
        self.known, self.first, self.thresholds, self.others = known, scheme, Thresholds(), {}
        self.tasks = (EAR.task,) if scheme is None else (scheme.task, EAR.task)
        self.searcher, self.squares = self, []

    def read_crops(self, image, squares):
        self.squares += squares.items()
        return {name: self._read(name, square) for name, square in squares.items()}

    def _read(self, name, square):
        length = np.ptp(self.known.points, axis=0).max()
        middle = (self.known.points.min(axis=0) + self.known.points.max(axis=0)) / 2
        near = np.linalg.norm(middle - square.centre) < 0.1 * length and 1.3 < square.side / length < 1.9
        if name == "face" and near and abs(square.angle - tilt(self.known.points)) < 40:
            return replace(self.known, crop=square)
        nothing = self.known if name == "face" else ear((0, 0))
        return replace(nothing, crop=square, confidence=0 * nothing.confidence)


IMAGE = np.zeros((9, 9, 3), np.uint8)


def ear_over(landmarks, angle=0.0):
    """An ear's candidate where landmarks lie, as long as they are, in an image turned by `angle`."""
    low, high = landmarks.points.min(axis=0), landmarks.points.max(axis=0)
    seen = ear((0, 0), length=(high - low).max())
    points = seen.points + (low + high) / 2 - (seen.points.min(axis=0) + seen.points.max(axis=0)) / 2
    return alone(replace(seen, points=points, crop=Warp((0.0, 0.0), 1.0, angle)))


def in_turned_image(landmarks, angle):
    return replace(landmarks, crop=Warp((0.0, 0.0), 1.0, angle))


@pytest.mark.parametrize(
    ("known", "candidate"),
    [
        (face(), Prediction(in_turned_image(face(turned(FRONT, 90)), 0.0))),  # its tilt was misread
        (face(), ear_over(face())),  # it looked like an ear
        (
            face(turned(FRONT, 90)),
            Prediction(in_turned_image(face(), -90.0)),
        ),  # the same in an image turned by a quarter
        (face(turned(FRONT, 90)), ear_over(face(turned(FRONT, 90)), -90.0)),
    ],
)
def test_a_small_head_that_was_misread_is_found(known, candidate):
    assert refine_candidate(KnowsOneFace(known), IMAGE, candidate).face is not None


def test_a_candidate_is_read_as_it_lies_first():
    predictor = KnowsOneFace(face())
    assert refine_candidate(predictor, IMAGE, Prediction(in_turned_image(face(turned(FRONT, 20)), 0.0)))
    assert predictor.squares[0][1].angle == pytest.approx(tilt(turned(FRONT, 20)))


def test_what_has_no_other_reading_is_read_once():
    """Weights that know no face read an ear's candidate so; of another scheme no tilt is known."""
    predictor = KnowsOneFace(face(), scheme=None)
    assert not refine_candidate(predictor, IMAGE, alone(ear((0, 0))))
    assert [name for name, _ in predictor.squares] == ["left"]
    jaw = replace(FACE, task="jaw")
    predictor = KnowsOneFace(replace(face(), scheme=jaw), scheme=jaw)
    assert not refine_candidate(
        predictor, IMAGE, Prediction(replace(in_turned_image(face(FRONT + 900), 0.0), scheme=jaw))
    )
    assert len(predictor.squares) == 1


@pytest.mark.parametrize(
    ("own", "wanted", "score", "asked"),
    [
        (0.7, 0.8, 0.61, True),  # what lacks up to 0.1 is read again
        (0.7, 0.8, 0.59, False),
        (0.7, 0.3, 0.25, True),  # who asks the predictor for more is not kept from it
        (0.7, 0.3, 0.15, False),
    ],
)
def test_a_searcher_that_sees_nothing_in_a_candidates_squares_ends_it(own, wanted, score, asked):
    predictor, searcher = KnowsOneFace(face()), KnowsOneFace(face(score=score))
    predictor.searcher, predictor.thresholds = searcher, Thresholds(face=wanted)
    searcher.thresholds = Thresholds(face=own)
    found = refine_candidate(predictor, IMAGE, Prediction(in_turned_image(face(), 0.0)))
    assert (found.face is not None, bool(predictor.squares)) == (asked, asked)


@pytest.mark.parametrize(
    ("square", "moved"),
    [
        (Warp((0.0, 0.0), 100.0, 179.0), False),
        (Warp((3.9, 0.0), 100.0, 179.0), False),
        (Warp((3.0, 3.0), 100.0, 179.0), True),
        (Warp((0.0, 0.0), 96.1, 179.0), False),
        (Warp((0.0, 0.0), 104.1, 179.0), True),
        (Warp((0.0, 0.0), 100.0, -179.0), False),  # two degrees further
        (Warp((0.0, 0.0), 100.0, -177.0), True),
    ],
)
def test_a_square_has_moved_by_four_hundredths_or_three_degrees(square, moved):
    assert has_moved(replace(face(), crop=Warp((0.0, 0.0), 100.0, 179.0)), square) == moved


def turned_to_its_right():
    """A face that is turned so far that its right ear is hidden: the nose is near that end of the jaw."""
    points = FRONT.copy()
    points[30] = points[0:3].mean(axis=0) + 0.1 * (points[14:17].mean(axis=0) - points[0:3].mean(axis=0))
    return face(points)


def test_an_ear_that_a_turned_face_hides_is_not_looked_for():
    predictor = KnowsOneFace(face())
    assert set(squares_around(predictor, Prediction(face()))) == {"face", *SIDES}
    assert set(squares_around(predictor, Prediction(turned_to_its_right()))) == {"face", "left"}
    seen = Prediction(turned_to_its_right(), {"right": ear((0, 0), side="right")})
    assert set(squares_around(predictor, seen)) == {"face", *SIDES}  # it is seen all the same


HEAD = Prediction(
    replace(face(), crop=Warp((200.0, 150.0), 100.0)), {"left": replace(ear((0, 0)), crop=Warp((300.0, 150.0), 100.0))}
)


@pytest.mark.parametrize(
    ("square", "known"),
    [
        (Warp((229.0, 150.0), 100.0), True),  # of the square's side it has moved by 0.29
        (Warp((231.0, 150.0), 100.0), False),
        (Warp((200.0, 150.0), 129.0), True),
        (Warp((200.0, 150.0), 131.0), False),
        (Warp((200.0, 150.0), 100.0, 44.0), True),
        (Warp((200.0, 150.0), 100.0, 46.0), False),
        (Warp((200.0, 150.0), 100.0, -90.0), False),  # the image is turned by a quarter
    ],
)
@pytest.mark.parametrize("name", ["face", "left"])
def test_the_face_that_was_found_and_the_ears_beside_it_are_known(monkeypatch, name, square, known):
    if name == "left":
        square = replace(square, centre=(square.centre[0] + 100, square.centre[1]))
    candidate = Prediction(face()) if name == "face" else alone(ear((0, 0)))
    monkeypatch.setattr("utils.demo.search.own_squares", lambda prediction: {name: square})
    assert was_read(candidate, HEAD) == known
    assert not was_read(candidate, Prediction())
    assert not was_read(candidate, Prediction(None, HEAD.ears))  # at a finer size it may be read better


def test_an_ear_amid_the_face_is_read_by_itself():
    """It may be what there is, and the face nothing."""
    for corner, known in (((310, 160), True), (tuple(FRONT[30] - 15), False)):
        there = ear(corner)
        found = Prediction(face(), {"left": replace(there, crop=next_square(there))})
        assert was_read(alone(there), found) == known


class TestSearch:
    @pytest.mark.parametrize("length", [30, 60, 150, 300])
    def test_heads_of_all_sizes_are_found(self, predictor, length):
        image, points = draw_chart(360, 640, place((400.0, 180.0), length))
        found = search(predictor, image)
        assert face_error(found, points["face"]) < 4
        if length < 300:  # its ears are in the image
            assert set(found.ears) == set(SIDES)
            assert max(ear_errors(found, points)) < 0.05

    @pytest.mark.parametrize("degrees", [-60, -30, 30, 60, 90, -90, 180])
    def test_turned_heads_are_found_and_read_upright(self, predictor, degrees):
        image, points = draw_chart(300, 300, place((150.0, 150.0), 110, degrees))
        found = search(predictor, image)
        assert face_error(found, points["face"]) < 4
        apart = found.face.crop.angle - tilt(points["face"])
        assert (apart + 180) % 360 - 180 == pytest.approx(0, abs=4)

    def test_a_doubtful_face_is_read_once_though_every_size_shows_it(self, predictor, monkeypatch):
        monkeypatch.setattr(predictor, "thresholds", replace(predictor.thresholds, sure_face=2.0))
        image, points = draw_chart(360, 640, place((400.0, 180.0), 40))
        sizes, read, read_crops = [], [], predictor.read_crops
        monkeypatch.setattr(predictor, "read_crops", lambda *given: read.append(given[1]) or read_crops(*given))
        read_image = predictor.read_image
        monkeypatch.setattr(predictor, "read_image", lambda *given: sizes.append(given[1]) or read_image(*given))
        assert face_error(search(predictor, image), points["face"]) < 4
        assert len(sizes) > 1
        assert sum(set(squares) == {"face"} for squares in read) == 1  # a candidate's first reading is of it alone

    def test_a_face_in_a_turned_image_has_to_score_more(self, predictor, monkeypatch):
        monkeypatch.setattr(predictor, "thresholds", replace(predictor.thresholds, turned_face=2.0))
        image, _ = draw_chart(300, 300, place((150.0, 150.0), 110))
        for quarter, there in ((0, True), (2, False)):
            assert (search(predictor, image, quarters=(quarter,)).face is not None) == there

    @pytest.mark.parametrize("degrees", [90, 180, -90])
    def test_an_ear_alone_is_found_turned(self, predictor, degrees):
        image, points = draw_chart(200, 200, place((-90.0, 130.0), 260))  # nothing but an ear
        quarters = degrees // 90 % 4
        found = search(predictor, np.ascontiguousarray(np.rot90(image, -quarters)))
        assert found.face is None and len(found.ears) == 1
        turned = points["left"] - 99.5
        for _ in range(quarters):  # clockwise
            turned = np.column_stack([-turned[:, 1], turned[:, 0]])
        (ear,) = found.ears.values()
        miss = np.linalg.norm(ear.points - (turned + 99.5), axis=1).mean()
        assert miss < 0.08 * np.linalg.norm(np.ptp(points["left"], axis=0))

    def test_an_ear_alone_has_to_be_sure_but_beside_a_face_or_for_ear_weights(self, predictor, ears_only, monkeypatch):
        for network in (predictor, ears_only):
            monkeypatch.setattr(network, "thresholds", replace(network.thresholds, lone_ear=2.0))
        alone, _ = draw_chart(200, 200, place((-90.0, 130.0), 260))
        assert not search(predictor, alone)
        assert search(ears_only, alone).ears
        with_face, _ = draw_chart(360, 640, place((400.0, 180.0), 150))
        assert set(search(predictor, with_face).ears) == set(SIDES)

    def test_a_face_at_the_border_is_found(self, predictor):
        image, points = draw_chart(240, 320, place((30.0, 120.0), 110))
        assert face_error(search(predictor, image), points["face"]) < 12  # its points beyond the border are guesses

    def test_a_candidate_is_read_alone_and_what_stands_still_once(self, predictor, monkeypatch):
        read, read_crops = [], predictor.read_crops
        monkeypatch.setattr(predictor, "read_crops", lambda *given: read.append(tuple(given[1])) or read_crops(*given))
        image, points = draw_chart(360, 640, place((400.0, 180.0), 150))
        assert face_error(search(predictor, image), points["face"]) < 4
        assert read[0] == ("face",)
        assert set(read[1]) >= set(SIDES)
        assert sum(squares.count("face") for squares in read) < len(read)

    def test_finer_sizes_are_left_out_where_the_face_is_long(self, predictor, monkeypatch):
        monkeypatch.setattr(predictor, "thresholds", replace(predictor.thresholds, sure_face=2.0))
        read, read_image = [], predictor.read_image
        monkeypatch.setattr(predictor, "read_image", lambda *given: read.append(given[1]) or read_image(*given))
        for length, sizes in ((60, [128, 256, 512, 1024]), (150, [128, 256])):  # 120 network pixels of 150 at 512
            read.clear()
            image, points = draw_chart(360, 640, place((400.0, 180.0), length))
            assert face_error(search(predictor, image), points["face"]) < 4
            assert read == sizes

    def test_a_searcher_alone_reads_whole_images_and_the_predictor_has_the_last_word(
        self, predictor, searched, monkeypatch
    ):
        small = searched.searcher
        read, refused = [], lambda *given: pytest.fail("the whole image was read by the large network")
        monkeypatch.setattr(searched, "read_image", refused)
        for name, each in (("small", small), ("large", searched)):
            read_crops = each.read_crops
            monkeypatch.setattr(
                each, "read_crops", lambda *given, name=name, crops=read_crops: read.append(name) or crops(*given)
            )
        image, points = draw_chart(360, 640, place((400.0, 180.0), 150))
        found = search(searched, image)
        assert face_error(found, points["face"]) < 4 and set(found.ears) == set(SIDES)
        assert read[0] == "small" and read.count("small") == 1 and "large" in read
        monkeypatch.setattr(small, "thresholds", replace(small.thresholds, face=2.0, ear=2.0))
        monkeypatch.setattr(searched, "thresholds", replace(searched.thresholds, face=2.0, ear=2.0))
        read.clear()
        assert not search(searched, image) and "large" not in read

    def test_ears_are_the_mean_of_both_networks_where_both_see_the_same_one(self, searched, monkeypatch):
        small = searched.searcher
        image, _ = draw_chart(360, 640, place((400.0, 180.0), 150))
        alone, found = search(searched, image), searched(image)
        seen = small.read_crops(image, {side: next_square(own) for side, own in alone.ears.items()})
        assert set(seen) == set(SIDES) and (found.face.points == alone.face.points).all()
        for side, mean in found.ears.items():
            own = alone.ears[side]
            np.testing.assert_allclose(mean.points, (own.points + seen[side].points) / 2, atol=1e-3)
            assert np.linalg.norm(mean.points - own.points, axis=1).max() > 0.05
            assert mean.score == own.score and mean.crop == own.crop
        unsure = {side: replace(other, confidence=0 * other.confidence) for side, other in seen.items()}
        lengths = {side: extent(own.points) for side, own in alone.ears.items()}
        near, elsewhere = (  # 0.07 and 0.14 of the length away: across and down
            {side: replace(own, points=own.points + part * lengths[side]) for side, own in alone.ears.items()}
            for part in (0.05, 0.1)
        )
        monkeypatch.setattr(small, "read_crops", lambda *given: near)
        for side, mean in average_ears(searched, image, alone).ears.items():
            np.testing.assert_allclose(mean.points - alone.ears[side].points, 0.025 * lengths[side], atol=1e-3)
        for reading in (unsure, elsewhere):
            monkeypatch.setattr(small, "read_crops", lambda *given, reading=reading: reading)
            kept = average_ears(searched, image, alone).ears
            assert all((kept[side].points == own.points).all() for side, own in alone.ears.items())

    def test_a_searcher_that_knows_other_ear_points_is_not_asked_about_ears(self, searched, predictor, monkeypatch):
        image, _ = draw_chart(360, 640, place((400.0, 180.0), 150))
        found = search(searched, image)
        assert found.ears and average_ears(predictor, image, found) is found  # without a searcher
        monkeypatch.setattr(searched.searcher, "read_crops", lambda *given: pytest.fail("it was asked"))
        assert average_ears(searched, image, Prediction(found.face)).face is found.face  # no ears
        heads = searched.searcher.config.heads | {"ear": tuple(range(20))}
        monkeypatch.setattr(searched.searcher, "config", replace(searched.searcher.config, heads=heads))
        assert average_ears(searched, image, found) is found

    def test_an_empty_image_shows_nothing(self, predictor):
        for shape in ((1, 1), (7, 300), (240, 320)):
            assert not search(predictor, np.zeros((*shape, 3), np.uint8))


class TestEarsAlone:
    """Weights without a face head."""

    @pytest.mark.parametrize("degrees", [0, 90])
    def test_both_ears_of_a_head_are_found(self, ears_only, degrees):
        image, points = draw_chart(400, 400, place((200.0, 200.0), 160, degrees))
        found = search(ears_only, image)
        assert found.face is None and set(found.ears) == set(SIDES)
        assert max(ear_errors(found, points)) < 0.08

    def test_of_one_ear_no_second_is_made(self, ears_only):
        image, points = draw_chart(240, 320, place((150.0, 120.0), 110))
        image[:, :200] = 0
        found = search(ears_only, image)
        assert set(found.ears) == {"left"} and max(ear_errors(found, points)) < 0.08


class TestSeveralHeads:
    """Charts of two heads in one image. Of 60 and 100 pixels, the smaller alone is found first."""

    @pytest.mark.parametrize("lengths", [(60, 100), (100, 60), (40, 120), (120, 40)])
    def test_the_larger_is_found_in_both_orders(self, predictor, lengths):
        image, points = draw_heads(lengths)
        larger = int(lengths[1] > lengths[0])
        found = search(predictor, image)
        assert face_error(found, points[larger]["face"]) < 4
        assert set(found.ears) == set(SIDES) and max(ear_errors(found, points[larger])) < 0.05

    def test_a_head_that_leaves_no_room_for_a_larger_one_is_searched_for_once(self, predictor, monkeypatch):
        read, read_image = [], predictor.read_image
        monkeypatch.setattr(predictor, "read_image", lambda *given: read.append(given[1:]) or read_image(*given))
        search(predictor, draw_chart(240, 320, place((150.0, 120.0), 150))[0])
        assert len(read) == len(set(read))


def draw_heads(lengths, height=240, width=560):
    """Two heads of such lengths side by side: the image, and the points of both."""
    left, first = draw_chart(height, width // 2, place((width / 4, height / 2), lengths[0]))
    right, second = draw_chart(height, width // 2, place((width / 4, height / 2), lengths[1]))
    shift = np.array([width // 2, 0])
    second = {name: points + shift for name, points in second.items()}
    return np.hstack([left, right]), (first, second)
