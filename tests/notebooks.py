"""Notebooks of docs/, run in an empty folder. `make notebook` keeps what they print beside the code."""

import hashlib
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parent.parent / "docs" / "align.ipynb"
RUN = "source_sha256"
"""Key of a notebook's metadata: of the code whose outputs it holds."""


def read_notebook() -> Any:
    """The notebook as it is kept."""
    return nbformat.read(NOTEBOOK, as_version=4)


def digest_of(notebook: Any) -> str:
    """Of the code in all cells."""
    return hashlib.sha256("\0".join(cell.source for cell in code_cells(notebook)).encode()).hexdigest()


def code_cells(notebook: Any) -> list[Any]:
    """Cells that are run."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def execute(folder: Path) -> Any:
    """The notebook after every cell was run, in this folder; raises where a cell does."""
    notebook = read_notebook()
    NotebookClient(
        notebook, timeout=900, kernel_name="python3", record_timing=False, resources={"metadata": {"path": str(folder)}}
    ).execute()
    notebook.metadata = {"kernelspec": notebook.metadata.kernelspec, "language_info": {"name": "python"}}
    notebook.metadata[RUN] = digest_of(notebook)
    return notebook


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        nbformat.write(execute(Path(folder)), NOTEBOOK)
