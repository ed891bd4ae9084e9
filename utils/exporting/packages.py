"""Packages that only some users need: what is missing is one line that names it."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

from utils.common.cli import InputError

PIP_NAMES = {"ai_edge_litert": "ai-edge-litert"}


def need(module: str) -> ModuleType:
    """An optional package, imported. Raises `InputError` with the command that installs it."""
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ImportError as problem:
        raise InputError(f"{package} is not installed: pip install {PIP_NAMES.get(package, package)}") from problem


def check_there(module: str) -> None:
    """Raise the `InputError` of `need`, without the time that it takes to import what is there."""
    if importlib.util.find_spec(module.partition(".")[0]) is None:
        need(module)
