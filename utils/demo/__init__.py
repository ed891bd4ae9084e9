"""Landmarks on images and videos: `from utils.demo import LandmarkPredictor`, and the parts of the demo around it."""

from utils.demo.predictor import LandmarkPredictor

__all__ = ["LandmarkPredictor"]
