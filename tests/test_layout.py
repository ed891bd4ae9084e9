"""What holds for the source as a whole."""

from __future__ import annotations

import ast
import importlib
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from utils.distillation import student_flags
from utils.errors import CommandLine
from utils.training import training_flags

ROOT = Path(__file__).parent.parent
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path
    for package in ("data", "models", "utils")
    for path in (ROOT / package).rglob("*.py")
}


def imports_of(path: Path) -> set[str]:
    """The repository's modules that a module imports, inside functions too; imports for type hints do not count."""
    found, waiting = set(), [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.ImportFrom):
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        waiting += ast.iter_child_nodes(node)
    return found & set(MODULES)


def test_no_two_modules_import_each_other():
    TopologicalSorter({name: imports_of(path) for name, path in MODULES.items()}).prepare()  # raises CycleError


def flags_without_help(parser) -> list[str]:
    return [action.dest for action in parser._actions if not action.help]


@pytest.mark.parametrize(
    "module",
    [
        "data.check",
        "data.synthetic.__main__",
        "demo_multi",
        "utils.benchmark",
        "utils.compare",
        "utils.diagrams",
        "utils.evaluate",
    ],
)
def test_every_flag_of_a_command_says_what_it_is_for(module, monkeypatch):
    seen = []

    def look(parser, arguments=None):
        seen.append(flags_without_help(parser))
        raise SystemExit

    monkeypatch.setattr(CommandLine, "parse_args", look)
    with pytest.raises(SystemExit):
        importlib.import_module(module).main()
    assert seen == [[]]


def test_every_flag_of_the_training_scripts_says_what_it_is_for():
    assert flags_without_help(training_flags("face", "")) == []
    assert flags_without_help(student_flags("")) == []
