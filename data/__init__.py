"""Landmark schemes, file formats, datasets and the input pipeline."""
