"""Command lines of annot in pages and in the program's own texts, read by the real app without running anything."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import typer

from annotation import cli

UsageError: type[Exception] = typer.BadParameter.__bases__[0]
ASSIGNMENT = re.compile(r"[A-Z][A-Z_]*=\S*$")
ENDS_COMMAND = {"|", "||", "&&", ">", ">>", "<", "<<", "&"}
LEFT_OPEN = "…"
"""What a text leaves to its reader, or a program fills in."""


class Unreadable(Exception):
    """A command line that annot would refuse."""


@cache
def app() -> Any:
    """The whole command."""
    return typer.main.get_command(cli.app)


def words_of(line: str) -> list[str]:
    """The words behind `annot` in a line of a shell, up to a pipe or a comment."""
    words = shlex.split(line, comments=True)
    while words and (ASSIGNMENT.match(words[0]) or words[0] in {"exec", "!"}):
        words.pop(0)
    end = next((place for place, word in enumerate(words) if word in ENDS_COMMAND), len(words))
    if not words or words[0].rpartition("/")[2] != "annot":
        raise Unreadable(f"no command of annot: {line}")
    return words[1:end]


def find(words: Sequence[str]) -> tuple[Any, list[str], str]:
    """The command that the words begin with, the words behind it, and its name."""
    command, left, name = app(), list(words), "annot"
    while hasattr(command, "commands"):
        context = command.context_class(command, info_name=name)
        _, rest, _ = command.make_parser(context).parse_args(list(left))
        if not rest:
            break
        if rest[0] == LEFT_OPEN:
            return app(), [], name
        if rest[0] not in command.commands:
            raise Unreadable(f"{name} has no command {rest[0]!r}")
        command, left, name = command.commands[rest[0]], rest[1:], f"{name} {rest[0]}"
    return command, left, name


def check_line(line: str) -> None:
    """Read a line as it would be run: every command, option, value and argument.

    Raises:
        Unreadable: what is wrong with it.
    """
    try:
        command, left, name = find(words_of(line))
        if command is not app():
            command.make_context(name, left)
        elif not left:
            raise Unreadable("which command?")
    except (UsageError, ValueError) as error:
        raise Unreadable(f"{line}: {error}") from error


def check_mention(text: str) -> None:
    """Read what a text calls a command: what is there has to be right, arguments may be left out or be placeholders.

    Raises:
        Unreadable: what is wrong with it.
    """
    text = re.sub(r"[\[\]]", "", text.replace("\\|", "|"))
    first, *others = re.split(r" \| ", text)
    try:
        words = words_of(first.replace("...", LEFT_OPEN))
        last = len(words) - 1
        for alternative in (words, *(words[:last] + words_of(f"annot {other}") for other in others)):
            _check_words(alternative)
    except (UsageError, ValueError) as error:
        raise Unreadable(f"{text}: {error}") from error


def _check_words(words: list[str]) -> None:
    """A last option may stand without its value."""
    command, left, name = find(words)
    if command is app() and not left:
        return
    context = command.context_class(command, info_name=name)
    parts = {option: part for part in command.get_params(context) for option in (*part.opts, *part.secondary_opts)}
    if left and left[-1] in parts and not getattr(parts[left[-1]], "is_flag", True):
        left.append(LEFT_OPEN)
    _, over, _ = command.make_parser(context).parse_args(list(left))
    if over and LEFT_OPEN in left:
        _, over, _ = command.make_parser(context).parse_args([word for word in left if word != LEFT_OPEN])
    if over:
        raise Unreadable(f"{name} takes no {' '.join(over)!r}")


SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", flags=re.DOTALL)
COMMAND_SPAN = re.compile(r"(?:[A-Z][A-Z_]*=\S+ )*annot (?=\S)")
IN_PROSE = re.compile(r"(?P<said>(?:Next|Example): )?(?<![\w./`'-])annot (?P<rest>[a-z][a-z-]*\b[^`\n]*)")


def mentions(text: str) -> Iterator[tuple[int, str]]:
    """Commands in code spans, each with the number of its line."""
    for span in SPAN.finditer(text):
        said = " ".join(span[2].split())
        if "\n\n" not in span[2] and COMMAND_SPAN.match(said):
            yield text.count("\n", 0, span.start()) + 1, said


def prose(text: str) -> Iterator[tuple[int, str]]:
    """Commands in sentences of a program, up to where the sentence goes on; with the number of the line."""
    for found in IN_PROSE.finditer(SPAN.sub("", text)):
        words = re.split(r"[,;:()\"]|\.(?= |$)|'(?= |$)", found["rest"])[0].split()
        if words[0] in app().commands or found["said"]:
            yield text.count("\n", 0, found.start()) + 1, "annot " + " ".join(_of_the_command(words))


def _of_the_command(words: list[str]) -> list[str]:
    """The words of a sentence that belong to its command: names, options with their values, and placeholders."""
    command, taken = app(), list[str]()
    while words and hasattr(command, "commands") and words[0] in command.commands:
        command = command.commands[words[0]]
        taken.append(words.pop(0))
    if not taken:
        return words[:1]
    if (
        hasattr(command, "commands")
        and words
        and re.fullmatch(r"[a-z-]+", words[0])
        and not command.invoke_without_command
    ):
        return [*taken, words[0]]
    valued = {name for part in command.params if not getattr(part, "is_flag", True) for name in part.opts}
    while words:
        word = words.pop(0).rstrip(LEFT_OPEN) or LEFT_OPEN
        if word.startswith("-"):
            taken.append(word)
            if word in valued and words:
                taken.append(words.pop(0))
        elif re.search(r"[A-Z0-9./_…]", word):
            taken.append(word)
        else:
            break
    return taken


def literals(path: Path) -> Iterator[tuple[int, str]]:
    """Texts of a module, each with the number of its first line; what is filled in later is left open."""
    inside, source = set[int](), path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)) if "annot " in source else ():
        if isinstance(node, ast.JoinedStr):
            inside |= {id(part) for part in node.values}
            parts = (part.value if isinstance(part, ast.Constant) else LEFT_OPEN for part in node.values)
            yield node.lineno, "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.lineno, node.value
