"""What the pages promise: links that resolve, commands and flags that exist, a front page that stays short."""

from __future__ import annotations

import importlib
import re
import shlex
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest
from markdown_it import MarkdownIt

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
DATA_COMMANDS = ("data.check", "data.convert", "data.scheme", "data.synthetic.__main__", "data.synthetic.film")
SHELL_WORDS = {";", "&&", "||", "|"}


# --- a page in parts --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Page:
    """What is on a page: headings (tag, text), targets of links and images, code blocks, texts with code spans, tables.

    A table is a list of its rows, each as it stands in the file, without the line of dashes.
    """

    headings: list[tuple[str, str]] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    code: list[str] = field(default_factory=list)
    texts: list[tuple[str, list[str]]] = field(default_factory=list)
    tables: list[list[str]] = field(default_factory=list)

    @property
    def spans(self) -> list[str]:
        return [span for _, spans in self.texts for span in spans]


@cache
def read(page: Path) -> Page:
    source = page.read_text(encoding="utf-8")
    lines, parts, tag = source.splitlines(), Page(), ""
    for token in MarkdownIt("commonmark").enable("table").parse(source):
        if token.type in ("code_block", "fence"):
            parts.code.append(token.content)
        elif token.type == "table_open":
            parts.tables.append([])
        elif token.type == "tr_open":
            parts.tables[-1].append(lines[token.map[0]])
        elif token.type == "inline":
            if tag.startswith("h"):
                parts.headings.append((tag, token.content))
            links = [child.attrGet("href") or child.attrGet("src") for child in token.children]
            parts.links.extend(link for link in links if link)
            parts.texts.append(
                (token.content, [child.content for child in token.children if child.type == "code_inline"])
            )
        tag = token.tag if token.type == "heading_open" else ""
    return parts


def anchors(page: Path) -> set[str]:
    """The names by which GitHub lets a page's headings be linked."""
    found: list[str] = []
    for _, text in read(page).headings:
        text = re.sub(r"[`*]", "", text).strip().lower()
        kept = (c for c in text if c in " -_" or unicodedata.category(c)[0] in "LN")
        name = "".join(kept).replace(" ", "-")
        found.append(name if name not in found else f"{name}-{found.count(name)}")
    return set(found)


# --- links ------------------------------------------------------------------------------------------------------------


def files_linked(page: Path) -> list[tuple[str, Path, str]]:
    """Each link of a page into the repository: as it is written, its file and its anchor."""
    inside = [link for link in read(page).links if not link.startswith(("http://", "https://"))]
    parts = [(link, *link.partition("#")[::2]) for link in inside]
    return [(link, (page.parent / name).resolve() if name else page, anchor) for link, name, anchor in parts]


@EVERY_PAGE
def test_links_lead_to_files_and_headings_that_are_there(page):
    wrong = [
        link
        for link, file, anchor in files_linked(page)
        if not file.exists() or (anchor and unquote(anchor) not in anchors(file))
    ]
    assert wrong == []


def test_the_front_page_leads_to_every_page():
    linked = {file for _, file, _ in files_linked(README)}
    assert set(PAGES) - linked - {README, ROOT / "data/README.md"} == set()


@pytest.mark.parametrize(
    ("page", "most"), [(README, 170), (ROOT / "weights/README.md", 90)], ids=["README", "model card"]
)
def test_pages_that_are_to_be_short_are(page, most):
    assert len(page.read_text(encoding="utf-8").splitlines()) <= most


# --- commands and flags -----------------------------------------------------------------------------------------------


def commands(page: Path) -> Iterator[list[str]]:
    """The words of every line of a page's code blocks that runs a script or a module of this repository."""
    for block in read(page).code:
        for line in block.replace("\\\n", " ").splitlines():
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
        elif module not in ("pytest", "venv", "http.server"):
            wrong.append(module)
    assert wrong == []


def test_commands_are_found_in_the_pages():
    found = {module_of(words)[0] for page in PAGES for words in commands(page)}
    assert {"train_face", "train_ear", "train_face2ear", "demo_multi", "utils.evaluate", "utils.compare"} <= found


@EVERY_PAGE
def test_flags_named_in_the_text_exist(page):
    utils_commands = [f"utils.{path.stem}" for path in ROOT.glob("utils/[a-z]*.py")]
    every = set().union(*map(flags, [*SCRIPTS, *utils_commands, *DATA_COMMANDS]))
    spans = [span for text, spans in read(page).texts if not tells_of_the_past(page, text) for span in spans]
    named = {flag for span in spans for flag in re.findall(r"(?<!\S)--[a-z][a-z-]*", span)}
    assert named - every - {"--help"} == set()


def tells_of_the_past(page: Path, text: str) -> bool:
    """Whether a text of the changelog names flags that are gone: in its table of old names, or in so many words."""
    old = "\n".join(row for table in read(page).tables for row in table)
    return page.name == "changelog.md" and (text in old or "are gone" in text)


@EVERY_PAGE
def test_rows_of_a_table_have_equally_many_columns(page):
    columns = [{row.count("|") - row.count("\\|") for row in table} for table in read(page).tables]
    assert [each for each in columns if len(each) > 1] == []


@EVERY_PAGE
def test_make_targets_exist(page):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    text = page.read_text(encoding="utf-8")
    targets = set(re.findall(r"(?:^    |`)make ([a-z-]+)", text, re.MULTILINE))
    assert {target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)} == set()


@EVERY_PAGE
def test_files_named_in_the_text_exist(page):
    """Python files and folders of ours in code spans, such as `models/losses.py` or `utils/demo/`."""
    ours = [
        span
        for span in read(page).spans
        if re.match(r"(models|data|utils|tests|weights)/\S*(\.py|/)$", span) and "*" not in span
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
    korean, english = read(KOREAN), read(README)
    assert [tag for tag, _ in korean.headings] == [tag for tag, _ in english.headings]
    assert [len(table) for table in korean.tables] == [len(table) for table in english.tables]

    def code(page: Page) -> list[str]:  # comments are translated
        return [re.sub(r"\s*#.*", "", block) for block in page.code]

    assert code(korean) == code(english)


def test_the_korean_front_page_has_the_numbers_of_the_english_one():
    def numbers(page: Path) -> list[list[str]]:
        rows = (re.sub(r"\]\([^)]*\)", "]", row) for table in read(page).tables for row in table)
        return [re.findall(r"\d+(?:[.,]\d+)*", row) for row in rows]

    assert numbers(KOREAN) == numbers(README)
