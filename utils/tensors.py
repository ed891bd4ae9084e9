"""The type hint for tensors, in one place."""

from typing import Any, TypeAlias

# An array of whichever Keras backend runs (TensorFlow, JAX, PyTorch), or of NumPy: they share no base class.
Tensor: TypeAlias = Any
