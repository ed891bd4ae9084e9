"""Built-in heads: a parametric head, a renderer and a generator of photos with exact face and ear points."""
