"""Places of vote files: a folder of this machine, where a demo ran, or a dataset repository on the Hub."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from annotation.errors import SourceError
from annotation.project import Project
from annotation.reading.hub import HUB_NAME
from annotation.text.clean import clean_label
from annotation.text.privacy import mask

if TYPE_CHECKING:
    from huggingface_hub import HfApi

VOTES = "votes"
"""Folder of vote files, in a repository and beside a demo."""

_FILE = re.compile(r"[\w-][\w.-]{0,120}\.jsonl", re.ASCII)
HUB_TIMEOUT_S = 20


class Place(Protocol):
    """Where vote files are.

    Attributes:
        name: For the ledger and for people.
    """

    name: str

    def sizes(self) -> dict[str, int]:
        """Name of each vote file -> its bytes, in the order of the names."""

    def fetched(self, file: str) -> Any:
        """A context in which a file is here: its path."""


def place_of(project: Project, source: str) -> Place:
    """A folder where there is one of that name; else a repository.

    Raises:
        SourceError: It is neither.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        return _Folder(project, folder)
    if HUB_NAME.fullmatch(source) and ":" not in source:
        return _Repository(project, source)
    raise SourceError(
        f"{source} is no folder here and no name of a dataset on the Hub; name the demo's folder, for example "
        "runs/RUN/demo/votes, or OWNER/NAME-votes."
    )


class _Folder:
    def __init__(self, project: Project, folder: Path) -> None:
        folder = folder.resolve()
        inside = folder.is_relative_to(project.folder) and folder != project.folder
        name = str(folder.relative_to(project.folder)) if inside else folder.name
        self.name = mask(clean_label(name.encode(errors="replace").decode()))[0]
        here = any(path.suffix == ".jsonl" for path in folder.iterdir())
        self._folder = folder if here or not (folder / VOTES).is_dir() else folder / VOTES

    def sizes(self) -> dict[str, int]:
        files = sorted(path for path in self._folder.glob("*.jsonl") if path.is_file())
        return {path.name: path.stat().st_size for path in files if _FILE.fullmatch(path.name)}

    @contextmanager
    def fetched(self, file: str) -> Iterator[Path]:
        yield self._folder / file


class _Repository:
    """Files are fetched one by one and go again when they are read: what they hold is not masked yet."""

    def __init__(self, project: Project, name: str) -> None:
        self.name, self._project, self._token = name, project, project.secret("HF_TOKEN")

    def sizes(self) -> dict[str, int]:
        from huggingface_hub.errors import EntryNotFoundError

        with self._in_one_sentence():
            api = self._api()
            api.dataset_info(self.name, timeout=HUB_TIMEOUT_S)  # a list is waited for as long as it takes
            try:
                listed = [
                    (entry.path.removeprefix(f"{VOTES}/"), getattr(entry, "size", None))
                    for entry in api.list_repo_tree(self.name, VOTES, repo_type="dataset")
                    if entry.path.startswith(f"{VOTES}/")
                ]
            except EntryNotFoundError:
                listed = []  # nobody has voted yet
        return {name: size for name, size in sorted(listed) if size is not None and _FILE.fullmatch(name)}

    @contextmanager
    def fetched(self, file: str) -> Iterator[Path]:
        folder = self._project.folder / ".votes"
        with self._project.lock("votes"):
            shutil.rmtree(folder, ignore_errors=True)  # what a pull that was killed left there
            folder.mkdir(mode=0o700)
            try:
                with self._in_one_sentence():
                    path = self._api().hf_hub_download(
                        self.name, f"{VOTES}/{file}", repo_type="dataset", local_dir=folder, etag_timeout=HUB_TIMEOUT_S
                    )
                yield Path(path)
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    def _api(self) -> HfApi:
        from huggingface_hub import HfApi

        return HfApi(token=self._token)

    @contextmanager
    def _in_one_sentence(self) -> Iterator[None]:
        from huggingface_hub.errors import (
            HfHubHTTPError,
            HFValidationError,
            LocalEntryNotFoundError,
            OfflineModeIsEnabled,
        )

        # HTTPError of the client in use, whose package changes between versions.
        transport: type[BaseException] = HfHubHTTPError.__bases__[0]
        try:
            yield
        except OfflineModeIsEnabled:
            raise SourceError(
                f"HF_HUB_OFFLINE forbids the network, and {self.name} is on the Hub; unset it, or download the "
                "repository and name its folder."
            ) from None
        except (HfHubHTTPError, HFValidationError) as error:
            status = getattr(getattr(error, "response", None), "status_code", None)
            if status not in (None, 401, 403, 404):
                raise SourceError(
                    f"The Hub does not give out {self.name} now (it answers {status}); run it again later: what was "
                    "taken in is kept."
                ) from error
            remedy = (
                "check its name, and whether HF_TOKEN is of somebody who may read it"
                if self._token
                else "check its name, and set HF_TOKEN: repositories of votes are private"
            )
            raise SourceError(f"There is no dataset {self.name} on the Hub that you may read; {remedy}.") from error
        except (transport, ConnectionError, LocalEntryNotFoundError) as error:
            reason = (" ".join(str(error).split()) or type(error).__name__)[:200]
            raise SourceError(
                f"The Hub cannot be reached ({reason}); check your connection and run it again: what was taken in is "
                "kept."
            ) from error
