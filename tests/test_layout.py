"""Imports point one way; heavy libraries stay where they belong; the command line answers at once."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SERVER = ROOT / "annotation" / "server"

ORDER = {
    "annotation": (
        *(
            "types",
            "errors",
            "files",
            "children",
            "json_pointer",
            "packages",
            "screen",
            "passwords",
            "text",
            "licences",
            "database_address",
            "encoders",
            "sections",
            "task_tables",
            "team_settings",
            "config",
            "settings_file",
            "migrations",
            "ledger_file",
            "ledger",
            "money",
            "project",
            "rounds",
            "quota_groups",
            "reading",
        ),
        *(
            "tasks",
            "quality",
            "item_counts",
            "tally",
            "agreement_by_country",
            "adjudicate",
            "prompts",
            "images",
            "controls",
            "tables",
            "demo",
            "data_facts",
            "drafting",
            "selection",
            "extending",
            "exams",
            "stereotypes",
            "filtering",
            "hosting",
            "backups",
            "lineage",
            "commands",
            "cli",
        ),
    ),
    "sync": (
        *(
            "argilla",
            "team",
            "cohorts",
            "team_datasets",
            "pull",
            "same_people",
            "quotas",
            "assignment",
            "outgoing",
            "taking_back",
            "push",
            "sheets",
            "snapshot",
            "round_prompts",
            "rounds",
            "trigger",
            "weights",
            "people",
            "reporting",
            "cycle",
            "votes",
        ),
        *("moving", "model_findings", "doctor", "simulated", "demos", "quickstart", "commands"),
    ),
    "train": (
        *("settings", "run_folder", "statistics", "libraries", "footprint", "models", "data", "engine", "evaluate"),
        *("report", "release", "dpo", "by_country", "describe", "serve", "commands"),
    ),
}
"""Every file and folder of a package: it imports itself and what stands before it. `sync` and `train` also import
`annotation`, and never each other; `annotation.server` stands apart."""
ONLY = {
    "argilla": {"sync.argilla.client"},
    "cohere": {"annotation.drafting.cohere"},
    "trl": {"train"},
    "peft": {"train"},
    "bitsandbytes": {"train"},
    "transformers": {"train"},
    "torch": {"train", "annotation.selection.windows"},
    "sentence_transformers": {"annotation.selection.embedding"},
}
"""A library -> the modules or packages that may import it."""
HEAVY = {*ONLY, "datasets", "pyarrow", "numpy", "matplotlib", "pandas", "rich", "py3langid", "sklearn", "scipy"}


def name_of(path: Path) -> str:
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, Path]:
    found = [p for top in ("annotation", "sync", "train") for p in sorted((ROOT / top).rglob("*.py"))]
    return {name_of(path): path for path in found if SERVER not in path.parents}


def imports(path: Path, *, only_at_import: bool = False) -> Iterator[str]:
    """Names that a file imports, inside functions too unless told otherwise; type checking blocks do not run."""
    stack: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if only_at_import and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where a name comes from"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        stack.extend(ast.iter_child_nodes(node))


def is_under(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def test_the_modules_are_found() -> None:
    found = modules()
    assert {"annotation.cli", "sync.argilla.client", "train.dpo", "annotation.ledger"} <= set(found)
    assert len(found) > 20


def place_of(name: str) -> tuple[str, str]:
    """Package of a module, and its file or folder there."""
    package, _, rest = name.partition(".")
    return package, rest.partition(".")[0]


def test_every_file_and_folder_has_its_place_in_the_order() -> None:
    found = {place_of(name) for name in modules()} - {(package, "") for package in ORDER}
    assert found == {(package, entry) for package, entries in ORDER.items() for entry in entries}


@pytest.mark.parametrize(("name", "path"), modules().items(), ids=modules())
def test_imports_point_one_way(name: str, path: Path) -> None:
    package, entry = place_of(name)
    for imported in imports(path):
        other, there = place_of(imported)
        if other == package and entry and there in ORDER[package]:
            assert ORDER[package].index(there) <= ORDER[package].index(entry), f"{name} imports {imported}"
        if other in ORDER and other != package:
            assert other == "annotation", f"{name} imports {imported}"
            assert there not in ("cli", ""), f"{name} imports {imported}"
        assert not is_under(imported, "annotation.server"), f"{name} imports {imported}, which runs elsewhere"
        for library, allowed in ONLY.items():
            if is_under(imported, library):
                assert any(is_under(name, place) for place in allowed), f"{name} imports {library}"


def test_no_two_folders_import_each_other() -> None:
    folders: dict[str, set[str]] = {}
    for name, path in modules().items():
        if path.name == "__init__.py":  # a list of what is in the folder
            continue
        folder = name.rpartition(".")[0]
        for imported in imports(path):
            target = next((n for n in (imported, imported.rpartition(".")[0]) if n in modules()), "")
            if target and modules()[target].name != "__init__.py":
                folders.setdefault(folder, set()).add(target.rpartition(".")[0])
    below = {folder: others - {folder, "annotation", "sync", "train"} for folder, others in folders.items()}
    while leaves := {folder for folder, others in below.items() if not others & below.keys()}:
        below = {folder: others for folder, others in below.items() if folder not in leaves}
    assert not below


def test_the_embedded_server_imports_nothing_of_ours() -> None:
    files = sorted(SERVER.rglob("*.py"))
    assert files
    for path in files:
        for imported in imports(path):
            ours = any(is_under(imported, top) for top in ("annotation", "sync", "train"))
            assert not ours or is_under(imported, "annotation.server"), f"{path}: {imported}"


def test_help_loads_no_heavy_library() -> None:
    code = "import sys, annotation.cli; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "typer" in loaded
    assert not HEAVY & set(loaded)


def test_help_names_the_commands_in_the_order_of_work_with_whole_sentences() -> None:
    import typer.main
    from typer.testing import CliRunner

    from annotation.cli import app
    from annotation.commands import ORDER

    assert set(ORDER) == set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    shown = CliRunner().invoke(app, ["--help"]).output
    assert "..." not in shown.partition("\nCommands:")[2]
    places = [shown.index(f"\n  {name} ") for name in ORDER]
    assert places == sorted(places)
    assert "--install-completion" in shown


def test_every_command_has_help_an_example_a_project_and_json() -> None:
    import typer.main

    from annotation.cli import app

    seen = []

    def visit(command: object, words: tuple[str, ...]) -> None:
        if children := getattr(command, "commands", None):
            for name, child in children.items():
                visit(child, (*words, name))
            return
        seen.append(" ".join(words))
        options = {option for parameter in command.params for option in parameter.opts}  # type: ignore[attr-defined]
        assert command.help, f"{words} has no help"  # type: ignore[attr-defined]
        assert f"annot {' '.join(words)}" in (command.epilog or ""), f"{words} has no example"  # type: ignore[attr-defined]
        assert "--json" in options, f"{words} has no --json"
        assert "--project" in options or words in (("init",), ("quickstart",)), f"{words} has no --project"

    visit(typer.main.get_command(app), ())
    assert {"init", "prompts add", "draft", "select", "up", "push", "sync", "export", "train", "quickstart"} <= set(
        seen
    )
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    missing = [words for words in seen if f"annot {words}" not in readme]
    assert not missing, f"README says nothing of {missing}"


def test_no_file_names_a_registry_or_a_machine() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    texts = [ROOT / name for name in tracked if name and (ROOT / name).suffix not in {".png", ".sqlite"}]
    assert texts
    hosts = ["python" + "hosted", "pypi" + ".org", "registry." + "npmjs", "deb." + "debian", "download." + "pytorch"]
    for path in texts:
        if path.exists():
            content = path.read_text(encoding="utf-8", errors="replace")
            assert not [host for host in hosts if host in content], path


def test_the_architecture_names_every_file_in_its_folder() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named, folders = set(), list[str]()
    tree = text[text.index("\nannotation/ ") + 1 :].partition("```")[0]
    for line in tree.splitlines():
        depth, name = (len(line) - len(line.lstrip())) // 2, line.split()[0]
        folders[depth:] = [name]
        if name.endswith(".py"):
            named.add("".join(folders))
    found = {str(path.relative_to(ROOT)) for top in ORDER for path in (ROOT / top).rglob("*.py")}
    assert named == {name for name in found if not name.endswith("__init__.py")}
