"""What a camera makes of a scene: exposure, lens, sensor, old video and JPEG."""

from __future__ import annotations

import math

import cv2
import numpy as np

from data.synthetic.render import GAMMA

MIN_SUBJECT = 28.0  # pixels: a camera takes away no more from a face or an ear than leaves these


def expose(linear: np.ndarray, subject: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Linear light -> display values: exposure, white balance, tone curve, vignette, now and then gray.

    A camera exposes for what it sees, half of it for the `subject` (height, width; 0..1), and errs.
    """
    height, width = linear.shape[:2]
    metered = linear.mean(axis=2)
    level = 0.75 * np.average(metered, weights=subject + 1e-3) + 0.25 * metered.mean()
    gain = 0.25 * math.exp(rng.normal(0, 0.45)) / (0.3 * 0.25 + 0.7 * max(float(level), 0.01))
    cast = np.exp(rng.normal(0, rng.choice([0.03, 0.12]), 3)).astype(np.float32)
    image = linear * (gain * cast)
    if rng.random() < 0.3:
        y, x = np.mgrid[0:height, 0:width].astype(np.float32)
        r2 = ((x / width - 0.5) ** 2 + (y / height - 0.5) ** 2) * 2
        image *= (1 - rng.uniform(0, 0.5) * r2)[..., None]
    image = np.clip(image, 0, None)
    image = image / (1 + image * rng.uniform(0, 0.25))  # film and sensors roll off their highlights
    image = np.clip(image, 0, 1) ** (1 / GAMMA)
    contrast, black = math.exp(rng.normal(0, 0.15)), rng.normal(0, 0.03)
    image = (image - 0.45) * contrast + 0.45 + black
    if rng.random() < 0.05:
        image[:] = image.mean(axis=2, keepdims=True)
    else:
        gray = image.mean(axis=2, keepdims=True)
        image = gray + (image - gray) * rng.uniform(0.55, 1.25)
    return np.clip(image, 0, 1)


def _as_video(image: np.ndarray, rng: np.random.Generator, subject: float) -> np.ndarray:
    """Television and old video: few lines, colour smeared along them, bright and dark rims at edges, coarse blocks."""
    height, width = image.shape[:2]
    scale = min(1.0, max(rng.uniform(0.25, 0.7), MIN_SUBJECT / subject))
    small = (max(8, round(width * scale)), max(8, round(height * scale)))
    image = cv2.resize(image.astype(np.float32), small, interpolation=cv2.INTER_AREA)
    light, *colour = cv2.split(cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb))
    smear = rng.uniform(0.5, 2.5)
    colour = [cv2.GaussianBlur(channel, (0, 0), smear, sigmaY=0.5) for channel in colour]
    rim = light - cv2.GaussianBlur(light, (0, 0), rng.uniform(0.6, 1.5), sigmaY=0.4)
    light = light + rim * rng.uniform(0, 1.8)
    image = np.clip(cv2.cvtColor(cv2.merge([light, *colour]), cv2.COLOR_YCrCb2RGB), 0, 1)
    if rng.random() < 0.7:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.uniform(15, 60))]
        _, packed = cv2.imencode(".jpg", (image[..., ::-1] * 255 + 0.5).astype(np.uint8), quality)
        image = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR))[..., ::-1].astype(np.float32) / 255
    return cv2.resize(np.ascontiguousarray(image), (width, height), interpolation=cv2.INTER_LINEAR)


def degrade(image: np.ndarray, rng: np.random.Generator, subject: float) -> np.ndarray:
    """Display values (height, width, 3) -> uint8 RGB as a camera stores it: blurred, noisy, sharpened, as JPEG.

    `subject`: pixels that the annotated face or ear is long; `LEAST_SUBJECT` of them stay, however few lines do.
    """
    height, width = image.shape[:2]
    size = max(height, width)
    if rng.random() < 0.35:
        image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.3, 0.008 * size + 0.3)))
    if rng.random() < 0.1:
        reach = max(3, int(rng.uniform(0.01, 0.035) * size))
        kernel: np.ndarray = np.zeros((reach, reach), np.float32)
        kernel[reach // 2] = 1 / reach
        turn = cv2.getRotationMatrix2D(((reach - 1) / 2, (reach - 1) / 2), rng.uniform(0, 180), 1)
        kernel = cv2.warpAffine(kernel, turn, (reach, reach))
        image = cv2.filter2D(image, -1, kernel / max(kernel.sum(), 1e-6))
    if rng.random() < 0.25:
        image = _as_video(image, rng, subject)
    elif rng.random() < 0.3:
        small = max(24, int(size * min(1.0, max(rng.uniform(0.3, 0.8), MIN_SUBJECT / subject))))
        scale = small / size
        shrunk = cv2.resize(
            image, (max(1, round(width * scale)), max(1, round(height * scale))), interpolation=cv2.INTER_AREA
        )
        image = cv2.resize(shrunk, (width, height), interpolation=int(rng.choice([cv2.INTER_LINEAR, cv2.INTER_CUBIC])))
    if rng.random() < 0.6:
        grain = rng.standard_normal(image.shape, dtype=np.float32)
        if rng.random() < 0.5:
            grain = cv2.GaussianBlur(grain, (0, 0), 0.7) * 1.8
        image = image + grain * min(rng.exponential(0.01), 0.05)
    if rng.random() < 0.25:
        soft = cv2.GaussianBlur(image, (0, 0), 1.2)
        image = image + (image - soft) * rng.uniform(0.3, 1.5)
    stored = (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
    if rng.random() < 0.5:
        _, packed = cv2.imencode(".jpg", stored, [cv2.IMWRITE_JPEG_QUALITY, int(rng.uniform(25, 90))])
        stored = cv2.imdecode(packed, cv2.IMREAD_COLOR)
    return stored
