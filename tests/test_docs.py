"""What the pages promise: links that resolve, commands and flags that exist, a front page that stays short."""

from __future__ import annotations

import importlib
import re
import shlex
import unicodedata
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from utils.common.cli import CommandLine

ROOT = Path(__file__).parent.parent
README, KOREAN = ROOT / "README.md", ROOT / "readme/README.ko.md"
PAGES = sorted(
    [
        README,
        ROOT / "data/README.md",
        *(ROOT / "readme").glob("*.md"),
        *(ROOT / "weights").glob("*.md"),
        ROOT / "data/synthetic/asset/PROVENANCE.md",
    ],
    key=lambda page: page.relative_to(ROOT).as_posix(),
)
EVERY_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())

SCRIPTS = ("train_face", "train_ear", "train_face2ear", "demo_multi")
DATA_COMMANDS = ("data.check", "data.synthetic.__main__", "data.synthetic.film")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"(#+) (.+)")
SHELL_WORDS = {";", "&&", "||", "|"}


# --- a page in parts --------------------------------------------------------------------------------------------------


def prose_and_code(page: Path) -> tuple[list[str], list[list[str]]]:
    """The lines of a page outside of code blocks, and its code blocks: fenced, or indented after an empty line."""
    prose: list[str] = []
    blocks: list[list[str]] = []
    fenced = inside = False
    before = ""
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            fenced, inside = not fenced, False
            if fenced:
                blocks.append([])
        elif fenced:
            blocks[-1].append(line)
        elif line.startswith("    ") and (inside or not before.strip() or before.startswith("#")):
            if not inside:
                blocks.append([])
            inside = True
            blocks[-1].append(line[4:])
        else:
            prose.append(line)
            inside = False
        before = line
    return prose, blocks


def headings(page: Path) -> list[tuple[int, str]]:
    return [(len(match[1]), match[2]) for line in prose_and_code(page)[0] if (match := HEADING.fullmatch(line))]


def anchors(page: Path) -> set[str]:
    """The names by which GitHub lets a page's headings be linked."""
    found: list[str] = []
    for _, text in headings(page):
        text = re.sub(r"[`*]", "", text).strip().lower()
        kept = (c for c in text if c in " -_" or unicodedata.category(c)[0] in "LN")
        name = "".join(kept).replace(" ", "-")
        found.append(name if name not in found else f"{name}-{found.count(name)}")
    return set(found)


def tables(page: Path) -> list[list[int]]:
    """The columns of each row of each table of a page."""
    found, rows = [], []
    for line in [*prose_and_code(page)[0], ""]:
        if line.startswith("|"):
            rows.append(line.count("|") - line.count("\\|") - 1)
        elif rows:
            found.append(rows)
            rows = []
    return found


# --- links ------------------------------------------------------------------------------------------------------------


@EVERY_PAGE
def test_links_lead_to_files_and_headings_that_are_there(page):
    broken = []
    for target in LINK.findall("\n".join(prose_and_code(page)[0])):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


def test_the_front_page_leads_to_every_page():
    linked = {(README.parent / target.partition("#")[0]).resolve() for target in LINK.findall(README.read_text())}
    assert set(PAGES) - linked - {README, ROOT / "data/README.md"} == set()


@pytest.mark.parametrize(
    ("page", "most"), [(README, 170), (ROOT / "weights/README.md", 90)], ids=["README", "model card"]
)
def test_pages_that_are_to_be_short_are(page, most):
    assert len(page.read_text(encoding="utf-8").splitlines()) <= most


# --- commands and flags -----------------------------------------------------------------------------------------------


def commands(page: Path) -> Iterator[list[str]]:
    """The words of every line of a page's code blocks that runs a script or a module of this repository."""
    for block in prose_and_code(page)[1]:
        for line in "\n".join(block).replace("\\\n", " ").splitlines():
            if not re.match(r"\S+=\S+ python|python3? |\.venv/bin/python ", line):
                continue
            words = shlex.split(line, comments=True)
            start = next(k for k, word in enumerate(words) if word.endswith(("python", "python3")))
            end = next((k for k, word in enumerate(words) if k > start and word in SHELL_WORDS), len(words))
            yield words[start + 1 : end]


@cache
def flags(module: str) -> frozenset[str]:
    """The flags of a script or command, as its parser has them."""
    usages: list[str] = []

    def look(parser, *_, **__):
        usages.append(parser.format_usage())
        raise SystemExit

    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(CommandLine, "parse_args", look)
        importlib.import_module(module).main([])
    return frozenset(re.findall(r"--[a-z][a-z-]*", usages[0]))


def module_of(words: list[str]) -> tuple[str, list[str]]:
    """The module that a command line runs, and its arguments."""
    if words[0] == "-m":
        package = ROOT / words[1].replace(".", "/") / "__main__.py"
        return words[1] + ".__main__" if package.exists() else words[1], words[2:]
    return words[0].removesuffix(".py"), words[1:]


def is_ours(module: str) -> bool:
    return (ROOT / f"{module.replace('.', '/')}.py").is_file()


def unknown_flags(module: str, arguments: list[str]) -> set[str]:
    """Flags among the arguments that the module has not; what follows `--` belongs to `train_face2ear.py`."""
    own, others = arguments, []
    if "--" in arguments:
        place = arguments.index("--")
        own, others = arguments[:place], arguments[place + 1 :]

    def named(words: list[str]) -> set[str]:
        return {word.partition("=")[0] for word in words if re.match(r"--[a-z]", word)}

    return (named(own) - flags(module)) | (named(others) - flags("train_face2ear") if others else set())


@EVERY_PAGE
def test_commands_and_their_flags_exist(page):
    wrong = []
    for words in commands(page):
        module, arguments = module_of(words)
        if is_ours(module):
            wrong += [f"{module} {flag}" for flag in unknown_flags(module, arguments)]
        elif module not in ("pytest", "venv"):
            wrong.append(module)
    assert wrong == []


def test_commands_are_found_in_the_pages():
    found = {module_of(words)[0] for page in PAGES for words in commands(page)}
    assert {"train_face", "train_ear", "train_face2ear", "demo_multi", "utils.evaluate", "utils.compare"} <= found


@EVERY_PAGE
def test_flags_named_in_the_text_exist(page):
    utils_commands = [f"utils.{path.stem}" for path in ROOT.glob("utils/[a-z]*.py")]
    every = set().union(*map(flags, [*SCRIPTS, *utils_commands, *DATA_COMMANDS]))
    spans = re.findall(r"`([^`]+)`", "\n".join(line for line in prose_and_code(page)[0] if not past(page, line)))
    named = {flag for span in spans for flag in re.findall(r"(?<!\S)--[a-z][a-z-]*", span)}
    assert named - every - {"--help"} == set()


def past(page: Path, line: str) -> bool:
    """Whether a line tells of flags that are gone: in the changelog only."""
    return page.name == "changelog.md" and (line.startswith("|") or "are gone" in line)


@EVERY_PAGE
def test_rows_of_a_table_have_equally_many_columns(page):
    assert [rows for rows in tables(page) if len(set(rows)) > 1] == []


@EVERY_PAGE
def test_make_targets_exist(page):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    text = page.read_text(encoding="utf-8")
    targets = set(re.findall(r"(?:^    |`)make ([a-z-]+)", text, re.MULTILINE))
    assert {target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)} == set()


@EVERY_PAGE
def test_files_named_in_the_text_exist(page):
    """Python files and folders of ours in code spans, such as `models/losses.py` or `utils/demo/`."""
    spans = re.findall(r"`([^`\s]+)`", "\n".join(prose_and_code(page)[0]))
    ours = [
        span for span in spans if re.match(r"(models|data|utils|tests|weights)/\S*(\.py|/)$", span) and "*" not in span
    ]
    examples = {"data/Both/", "data/NoEar/"}
    assert [span for span in ours if span not in examples and not (ROOT / span).exists()] == []


def test_pages_named_by_the_code_exist():
    sources = [
        *ROOT.glob("*.py"),
        *(path for room in ("data", "models", "utils") for path in (ROOT / room).rglob("*.py")),
    ]
    sources += [ROOT / "Makefile", ROOT / "weights/train.sh"]
    text = "\n".join(source.read_text(encoding="utf-8") for source in sources)
    named = set(re.findall(r"\b(?:readme|weights|data)/[\w.]+\.md", text))
    assert {page for page in named if not (ROOT / page).is_file()} == set()


# --- the Korean front page --------------------------------------------------------------------------------------------


def test_the_korean_front_page_has_the_shape_of_the_english_one():
    assert [level for level, _ in headings(KOREAN)] == [level for level, _ in headings(README)]
    assert tables(KOREAN) == tables(README)

    def code(page):  # comments are translated
        return [[re.sub(r"\s*#.*", "", line) for line in block] for block in prose_and_code(page)[1]]

    assert code(KOREAN) == code(README)


def test_the_korean_front_page_has_the_numbers_of_the_english_one():
    def numbers(page):
        rows = "\n".join(line for line in prose_and_code(page)[0] if line.startswith("|"))
        return re.findall(r"\d+(?:[.,]\d+)*", LINK.sub("", rows))

    assert numbers(KOREAN) == numbers(README)
