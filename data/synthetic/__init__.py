"""Synthetic heads: a parametric head, a renderer and a generator of images with exact face and ear points."""
