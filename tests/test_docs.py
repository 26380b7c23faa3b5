"""Every command that pages and the program's own texts name is there, and every block of a page is run by a test."""

import ast
import csv
import io
import json
import re
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import yaml
from command_lines import Unreadable, check_line, check_mention, literals, mentions, prose
from doc_pages import NOT_RUN, ROOT, Block, blocks_of, pages, path_of

from annotation.config import check_settings

TESTS = Path(__file__).parent
PACKAGES = ("annotation", "sync", "train")
KINDS = {"sh", "text", "toml", "yaml", "json", "jsonl", "csv", "python", "http", "bibtex"}
OTHERS_COMMANDS = re.compile(r"^(?:[A-Z_]+=\S* )?(?:annot|annotation|make|docker|pip|python|git|hf|torchrun) ", re.M)


def wrong(found: Iterable[tuple[str, str]], check: Callable[[str], None]) -> list[str]:
    """What is wrong with commands, each with its place."""
    said = []
    for place, command in found:
        try:
            check(command)
        except Unreadable as error:
            said.append(f"{place}: {error}")
    return said


def lines_of(block: Block) -> list[tuple[str, str]]:
    """The command lines of annot in a block, each with its place; lines that go on are one, here-documents none."""
    text = re.sub(r"<<-? *'?(\w+)'?[^\n]*\n.*?^\1$", "", block.text, flags=re.DOTALL | re.M)
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    place = f"{block.page}:{block.line}"
    return [(place, line) for line in lines if re.match(r"(?:[A-Z_]+=\S* )*annot ", line)]


def run_by_tests() -> dict[str, list[str]]:
    """Pages that tests run, and which: those that call `page` with its name."""
    found = dict[str, list[str]]()
    for path in sorted(TESTS.glob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        for call in ast.walk(ast.parse(text)) if "doc_pages" in text else ():
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "page" and call.args:
                name = call.args[0]
                assert isinstance(name, ast.Constant), f"{path.name}:{call.lineno}: name the page as it stands"
                found.setdefault(str(name.value), []).append(path.name)
    return found


def test_every_shell_block_of_every_page_is_run_by_a_test_or_named_as_one_that_cannot_be() -> None:
    tested, left = run_by_tests(), []
    for name in pages():
        blocks = [block for block in blocks_of(name, "sh") if not block.why_not_run]
        original = re.sub(r"\.(es|pt)\.md$", ".md", name)
        same = {block.text for block in blocks_of(original)} if original != name and path_of(original).exists() else ()
        left += [str(block) for block in blocks if name not in tested and block.text not in same]
    assert not left, f"no test runs these blocks (see `page` and `NOT_RUN` in doc_pages.py): {left}"
    assert set(tested) <= set(pages()), "a test runs a page that is not there"
    assert sum(len(blocks_of(name, "sh")) for name in tested) > 60


def test_every_block_that_is_not_run_is_there() -> None:
    blocks = [block for name in pages() for block in blocks_of(name, "sh")]
    for page, head in NOT_RUN:
        assert [one for one in blocks if one.page == page and one.text.startswith(head)], (page, head)


def test_every_block_says_what_it_is_and_holds_no_command_that_is_not_called_one() -> None:
    unknown = [str(block) for name in pages() for block in blocks_of(name) if block.kind not in KINDS]
    assert not unknown, f"put one of {sorted(KINDS)} behind the fence: {unknown}"
    synopses = {"demo.md", "lineage.md"}
    hidden = [
        str(block)
        for name in pages()
        for block in blocks_of(name, "text")
        if OTHERS_COMMANDS.search(block.text) and name not in synopses
    ]
    assert not hidden, f"these are commands: put sh behind the fence: {hidden}"


@pytest.mark.parametrize("name", pages())
def test_every_command_of_a_page_is_one_of_the_program(name: str) -> None:
    shell = [line for block in blocks_of(name, "sh") for line in lines_of(block)]
    text = [line for block in blocks_of(name, "text") for line in lines_of(block)]
    words = re.sub(r"^ *```.*?^ *```", lambda found: "\n" * found[0].count("\n"), read(name), flags=re.DOTALL | re.M)
    inline = [(f"{name}:{line}", command) for line, command in mentions(words)]
    assert wrong(shell, check_line) + wrong([*text, *inline], check_mention) == []


def read(name: str) -> str:
    return path_of(name).read_text(encoding="utf-8")


def test_every_command_that_the_program_and_its_files_name_is_one_of_the_program() -> None:
    quoted, told = list[tuple[str, str]](), list[tuple[str, str]]()
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for line, text in literals(path):
                place = f"{path.relative_to(ROOT)}:{line}"
                quoted += [(place, command) for _, command in mentions(text)]
                told += [(place, command) for _, command in prose(text)]
    for path in sorted(found for package in PACKAGES for found in (ROOT / package).rglob("*")):
        if path.suffix in {".toml", ".md", ".sh", ".html", ".j2", ".json"} and path.is_file():
            text = path.read_text(encoding="utf-8")
            quoted += [(f"{path.relative_to(ROOT)}:{line}", command) for line, command in mentions(text)]
    quoted += [(f"CHANGELOG.md:{line}", command) for line, command in mentions(read("CHANGELOG.md"))]
    assert len(quoted) > 300
    assert len(told) > 100
    assert wrong([*quoted, *told], check_mention) == []


@pytest.mark.parametrize(
    "line",
    [
        "annot pull",
        "annot push --put-bakc",
        "annot prompts fetch",
        "annot export FILE",
        "annot train --by town",
        "annot people same ana",
        "annot draft --from",
        "annot",
    ],
)
def test_a_command_line_that_annot_would_refuse_is_told(line: str) -> None:
    with pytest.raises(Unreadable):
        check_line(line)


@pytest.mark.parametrize("mention", ["annot pull", "annot push --put-bakc", "annot exams fetch", "annot export FILE"])
def test_what_a_text_calls_a_command_is_refused_where_annot_would(mention: str) -> None:
    with pytest.raises(Unreadable):
        check_mention(mention)
    (found,) = prose(f"Next: {mention}, then the rest")
    with pytest.raises(Unreadable):
        check_mention(found[1])


@pytest.mark.parametrize(
    "mention",
    [
        "annot draft --from",
        "annot team sheet [NAME]",
        "annot up | down | logs | status",
        "annot exams add | list | export",
        'annot people set NAME --weight auto --reason "..."',
        "annot exams add exam.pdf --key answers.pdf …",
        "ANNOT_HOSTS=annot.example.org annot up",
        "annot status --help",
    ],
)
def test_what_a_reader_fills_in_may_be_left_out(mention: str) -> None:
    check_mention(mention)


def test_blocks_of_settings_are_read_by_the_reader_of_settings_and_others_by_theirs() -> None:
    found = [block for name in pages() for block in blocks_of(name)]
    assert {"toml", "python", "jsonl", "csv"} <= {block.kind for block in found}
    for block in found:
        try:
            _parse(block)
        except (ValueError, SyntaxError, yaml.YAMLError) as error:
            pytest.fail(f"{block}: {error}")


def _parse(block: Block) -> None:
    match block.kind:
        case "toml":
            project = {"countries": ["MX"], "languages": ["es"]}
            check_settings({"project": project, **tomllib.loads(block.text)}, place=str(block))
        case "python":
            compile(block.text, str(block), "exec")
        case "json":
            json.loads(block.text)
        case "jsonl":
            for line in block.text.splitlines():
                json.loads(line)
        case "yaml":
            yaml.safe_load(block.text)
        case "csv":
            widths = {len(row) for row in csv.reader(io.StringIO(block.text))}
            assert len(widths) == 1, f"{block}: rows of {sorted(widths)} cells"
