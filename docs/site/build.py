"""Site: the READMEs, the pages of docs/ and its notebooks, as HTML that opens from disk and asks nothing of a network.

The pages stay Markdown that is read where the repository lies. Here their links are turned to where the site has them:
a README is a start page, and a file that is no page is named as text.

    python docs/site/build.py site
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[2]
STARTS = {"README.md": "index.md", "README.es.md": "index.es.md", "README.pt.md": "index.pt.md"}
"""Pages beside docs/ -> what the site calls them."""
BESIDE = ("CONTRIBUTING.md", "CHANGELOG.md")
CODE = r"^(?P<fence>```+).*?^(?P=fence)|`[^`\n]+`"
LINK = r"(?P<mark>!?)\[(?P<words>(?:[^\[\]]|\[[^\]]*\])*?)\]\((?P<target>[^()\s]+)\)"
CODE_OR_LINK = re.compile(f"{CODE}|{LINK}", flags=re.DOTALL | re.MULTILINE)


def page_names() -> dict[Path, str]:
    """Every page of the site, by the file that it is made of."""
    docs = ROOT / "docs"
    found = {path: path.with_suffix(".md").name for path in [*docs.glob("*.md"), *docs.glob("*.ipynb")]}
    return found | {ROOT / name: place for name, place in STARTS.items()} | {ROOT / n: n.lower() for n in BESIDE}


def title_of(page: Path) -> str:
    """First heading of a page."""
    return page.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")


def with_links_of_the_site(text: str, folder: Path, names: dict[Path, str]) -> str:
    """A page whose links lead to the site's pages; what the site does not have is named, not linked."""

    def turned(found: re.Match[str]) -> str:
        mark, words, target = found.group("mark", "words", "target")
        address = urlsplit(target or "")
        if not address.path or address.scheme:
            return found[0]
        path = Path(os.path.normpath(folder / address.path))
        anchor = f"#{address.fragment}" if address.fragment else ""
        if path in names:
            words = title_of(path) if words.endswith(".md") else words
            return f"[{words}]({names[path]}{anchor})"
        if path.parent == ROOT / "docs" and mark:
            return f"![{words}]({path.name})"
        place = f"`{os.path.relpath(path, ROOT)}`"
        return place if words.strip("`").endswith(path.name) else f"{words} ({place})"

    return CODE_OR_LINK.sub(turned, text)


def notebook_as_markdown(path: Path) -> str:
    """A Jupyter notebook with the outputs that it was saved with; nothing is run."""

    def parts() -> Iterator[str]:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        for cell in cells:
            source = "".join(cell["source"])
            yield source if cell["cell_type"] == "markdown" else f"````python\n{source}\n````"
            for output in cell.get("outputs", []):
                data = output.get("data", {})
                if said := output.get("text") or ("image/png" not in data and data.get("text/plain")):
                    yield f"````text\n{''.join(said).rstrip()}\n````"
                if picture := data.get("image/png"):
                    yield f"![Output of the cell above](data:image/png;base64,{''.join(''.join(picture).split())})"

    return "\n\n".join(parts()) + "\n"


def write_pages(folder: Path) -> None:
    """Everything that the site is made of, in a folder: pages, pictures, style."""
    names = page_names()
    for path, name in names.items():
        text = notebook_as_markdown(path) if path.suffix == ".ipynb" else path.read_text(encoding="utf-8")
        (folder / name).write_text(with_links_of_the_site(text, path.parent, names), encoding="utf-8")
    for path in [*(ROOT / "docs").glob("*.png"), *Path(__file__).parent.glob("*.[cj]s*")]:
        shutil.copy(path, folder)


def build(site: Path) -> int:
    """The site, whole, in the place of an older one; the exit code of its builder, which prints what is wrong."""
    if site.exists() and not (site / "index.html").exists():
        sys.exit(f"{site} exists and holds no site, so it is not replaced; name another folder.")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        shutil.copy(ROOT / "mkdocs.yml", folder)
        (folder / "docs").mkdir()
        write_pages(folder / "docs")
        zensical = [sys.executable, "-m", "zensical", "build", "--strict"]
        if code := subprocess.run(zensical, cwd=folder, check=False).returncode:
            return code
        for name in ("404.html", "sitemap.xml"):  # for servers: on a disk nothing leads to them
            (folder / "site" / name).unlink()
        for language in ("es", "pt"):
            for path in (folder / "site").glob(f"*.{language}.html"):
                text = path.read_text(encoding="utf-8")
                path.write_text(text.replace('<html lang="en"', f'<html lang="{language}"', 1), encoding="utf-8")
        shutil.rmtree(site, ignore_errors=True)
        shutil.move(folder / "site", site)
    print(f"Open {(site / 'index.html').resolve().as_uri()} in a browser; it needs no network.")
    return 0


if __name__ == "__main__":
    sys.exit(build(Path(sys.argv[1])))
