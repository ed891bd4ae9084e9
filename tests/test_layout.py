"""What holds for the source as a whole."""

from __future__ import annotations

import ast
import importlib
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from data.schemes import FACE
from utils.common.cli import CommandLine
from utils.training.flags import student_parser, train_parser

ROOT = Path(__file__).parent.parent
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path
    for package in ("data", "models", "utils")
    for path in (ROOT / package).rglob("*.py")
}


def imports_of(path: Path, hints: bool = False) -> set[str]:
    """The repository's modules that a module imports, inside functions too; those for type `hints` only if asked."""
    found, waiting = set(), [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if (
            isinstance(node, ast.If)
            and isinstance(node.test, ast.Name)
            and node.test.id == "TYPE_CHECKING"
            and not hints
        ):
            continue
        if isinstance(node, ast.ImportFrom):
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        waiting += ast.iter_child_nodes(node)
    return found & set(MODULES)


def test_no_two_modules_import_each_other():
    TopologicalSorter({name: imports_of(path) for name, path in MODULES.items()}).prepare()  # raises CycleError


ROOMS = (
    "utils.common",
    "data",
    "models",
    "utils.exporting",
    "utils.evaluation",
    "utils.training",
    "utils.demo",
)  # from the ground up
BESIDE = {"utils.training", "utils.demo"}  # neither uses the other


def room_of(module: str) -> str:
    return next((room for room in ROOMS if module == room or module.startswith(f"{room}.")), "commands")


def test_rooms_use_only_those_below_them():
    wrong = []
    for name, path in MODULES.items():
        room = room_of(name)
        for other in imports_of(path, hints=True):
            used = room_of(other)
            upward = used == "commands" or (room != "commands" and ROOMS.index(used) > ROOMS.index(room))
            if other != "utils" and room != used and (upward or {room, used} == BESIDE):
                wrong.append(f"{name} -> {other}")
    assert wrong == []


def test_commands_are_imported_by_nobody():
    commands = {name for name in MODULES if name.count(".") == 1 and room_of(name) == "commands" and name != "utils"}
    assert commands
    assert [f"{name} -> {other}" for name, path in MODULES.items() for other in imports_of(path) & commands] == []


COMMAND_LINES = 150


def test_a_command_is_a_page():
    lengths = {path.stem: len(path.read_text(encoding="utf-8").splitlines()) for path in (ROOT / "utils").glob("*.py")}
    assert {name: length for name, length in lengths.items() if length > COMMAND_LINES} == {}


SLOW_PACKAGES = {"keras", "tensorflow", "jax", "torch", "matplotlib", "tqdm"}
SCRIPTS = ("train_face", "train_ear", "train_face2ear", "demo_multi")


def imports_at_the_top(path: Path) -> set[str]:
    """What a file imports when it is imported itself: modules of any package, and names of theirs."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom):
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


@cache
def starts_slowly(module: str) -> bool:
    """Whether an import of a module imports one of the slow packages, by way of our own modules too."""
    if module.partition(".")[0] in SLOW_PACKAGES:
        return True
    return module in MODULES and any(map(starts_slowly, imports_at_the_top(MODULES[module])))


def test_imports_inside_functions_are_of_what_starts_slowly():
    """`utils/common/keras_runtime.py` says why."""
    wrong = []
    for name, path in {**MODULES, **{script: ROOT / f"{script}.py" for script in SCRIPTS}}.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef):
                for node in ast.walk(function):
                    if isinstance(node, ast.ImportFrom):
                        modules = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
                        wrong += [f"{name}: {node.module}"] if not any(map(starts_slowly, modules)) else []
                    elif isinstance(node, ast.Import):
                        wrong += [f"{name}: {a.name}" for a in node.names if not starts_slowly(a.name)]
    assert sorted(set(wrong)) == []


PUBLIC_ELSEWHERE = {"_actions", "_exit"}  # argparse has no other list of a parser's flags, os no other such exit


def test_tests_use_no_private_names():
    wrong = []
    for path in (ROOT / "tests").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.ImportFrom) and node.module and node.module != "__future__":
                names = [*node.module.split("."), *(alias.name for alias in node.names)]
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id != "self":
                names = [node.attr]
            names = [name for name in names if name.startswith("_") and not name.startswith("__")]
            wrong += [f"{path.name}: {name}" for name in set(names) - PUBLIC_ELSEWHERE]
    assert wrong == []


def flags_without_help(parser) -> list[str]:
    return [action.dest for action in parser._actions if not action.help]


@pytest.mark.parametrize(
    "module",
    [
        "data.check",
        "data.convert",
        "data.scheme",
        "data.synthetic.__main__",
        "demo_multi",
        "utils.benchmark",
        "utils.compare",
        "utils.detection",
        "utils.diagrams",
        "utils.evaluate",
        "utils.export",
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
    assert flags_without_help(train_parser(FACE, "")) == []
    assert flags_without_help(student_parser("")) == []
