"""Landmarks on images and videos: `from utils.demo import LandmarkPredictor, Tracker`, and the demo's other parts."""

from utils.demo.predictor import LandmarkPredictor
from utils.demo.tracker import Tracker

__all__ = ["LandmarkPredictor", "Tracker"]
