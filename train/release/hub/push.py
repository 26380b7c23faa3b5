"""Pushes of releases to the Hugging Face Hub: one commit a repository, whole or absent, and never the same twice.

A push looks at what is in the repository, and commits the difference on top of what it saw: whoever was quicker makes
it look again. So it can be ended at any moment and run again.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annotation.errors import SettingsError, TrainError
from annotation.screen import Progress, counted, silent
from train.release.hub.answers import in_words, token_pages, wait_before_retry
from train.release.hub.contents import (
    BESIDE,
    CARD,
    KINDS,
    RELEASE,
    Contents,
    card_digest,
    names_in,
    read_contents,
    split_card,
)

if TYPE_CHECKING:
    from huggingface_hub import CommitInfo, HfApi

ATTEMPTS = 5
"""How often a push looks at the Hub anew before it leaves that to a person."""


@dataclass(frozen=True, slots=True)
class Planned:
    """What a push would send to one repository.

    Attributes:
        kind: "model", "dataset" or "space".
        repo: OWNER/NAME.
        folder: What is sent; None for the repository of votes, which begins empty.
        files: Path in the repository, and its bytes.
        size: Bytes of all.
        left: Files of the folder that stay here.
    """

    kind: str
    repo: str
    folder: Path | None
    files: tuple[tuple[str, int], ...]
    size: int
    left: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pushed:
    """A repository that holds a release.

    Attributes:
        kind: "model", "dataset" or "space".
        repo: OWNER/NAME.
        url: Its page.
        private: Whether only its owners see it; what it was before a push, it stays.
        commit: Its newest commit.
        commit_url: The page of that.
        sent: Files that this push added or changed; none where everything was there.
        removed: Files of an earlier release that this push took out.
        left: Files of the folder that stayed here.
        to_do: What a person has to do now, a sentence each.
    """

    kind: str
    repo: str
    url: str
    private: bool
    commit: str
    commit_url: str
    sent: tuple[str, ...]
    removed: tuple[str, ...]
    left: tuple[str, ...]
    to_do: tuple[str, ...] = ()

    def sentence(self) -> str:
        """For a person."""
        changed = f"{counted(len(self.sent), 'file')} sent" if self.sent else "all of it was there already"
        gone = f", {counted(len(self.removed), 'file')} of an earlier release taken out" if self.removed else ""
        seen = "private" if self.private else "public"
        return f"{self.url} ({seen}; its page can change that, under Settings): {changed}{gone}."


def votes_repo(name: str) -> str:
    """The dataset repository that takes the votes of a Space."""
    return f"{name}-votes"


def plan(folders: Sequence[tuple[str, Path]], name: str, *, progress: Progress = silent) -> list[Planned]:
    """What pushes would send; nothing is asked of the Hub, and no token is needed.

    Args:
        folders: Kind and folder of each release.
        name: OWNER/NAME.
        progress: Gets megabytes.

    Raises:
        SettingsError: The name is none that the Hub takes.
        TrainError: A folder is no release, or not whole.
    """
    planned = []
    for kind, folder in folders:
        _check_repo(kind, name)
        contents = read_contents(kind, folder, progress=progress)
        files = tuple((path, file.size) for path, file in contents.files.items())
        planned.append(Planned(kind, name, folder, files, contents.size, contents.left))
        if kind == "space":
            planned.append(Planned("dataset", votes_repo(name), None, (), 0, ()))
    return planned


def push(kind: str, folder: Path, name: str, *, private: bool = True, progress: Progress = silent) -> Pushed:
    """Put a release into its repository; a Space also gets a private repository for its votes.

    Args:
        kind: "model", "dataset" or "space".
        folder: A release of that kind.
        name: OWNER/NAME.
        private: Of a repository that is not there yet; one that is stays as it is.
        progress: Gets megabytes.

    Raises:
        SettingsError: The name is none that the Hub takes, or there is no token.
        TrainError: The folder is no whole release, or the Hub refuses it.
        TrainLater: The Hub cannot be reached, or asks to come back later.
    """
    import stamina
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]

    _check_repo(kind, name)
    api = HfApi(token=_token(), library_name="annot")
    contents = read_contents(kind, folder, progress=progress)
    repo = name
    try:
        with _quiet_client(name):
            for attempt in stamina.retry_context(
                on=wait_before_retry, attempts=ATTEMPTS, timeout=None, wait_initial=2.0, wait_max=60.0
            ):
                with attempt:
                    if kind == "space":
                        _make_votes(api, repo := votes_repo(name))
                    repo = name
                    return _push_once(api, kind, contents, name, private, progress)
    except (HTTPError, OSError, RuntimeError, json.JSONDecodeError) as error:
        # `repo` is the one that was spoken to.
        if sentence := in_words(error, kind if repo == name else "dataset", repo):
            raise sentence from None
        raise
    raise AssertionError("a retry loop without a single attempt")


def _check_repo(kind: str, name: str) -> None:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    if kind not in KINDS:
        raise SettingsError(f'There is no repository of kind "{kind}"; choose one of {", ".join(KINDS)}.')
    try:
        if name.count("/") != 1:
            raise HFValidationError("it has an owner, a slash and a name")
        for repo in (name, votes_repo(name)) if kind == "space" else (name,):
            validate_repo_id(repo)
    except HFValidationError as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise SettingsError(
            f'"{name}" is no name of a repository on the Hub ({reason}); write OWNER/NAME, for example team/our-model.'
        ) from None


def _token() -> str:
    from huggingface_hub import constants, get_token

    if constants.HF_HUB_OFFLINE:
        raise SettingsError("HF_HUB_OFFLINE forbids sending anything to the Hub; unset it, then run this again.")
    token = get_token()
    if not token:
        raise SettingsError(
            f"A push needs a token of the Hub: make one that may write at {token_pages()}, then type "
            "export HF_TOKEN=hf_… and run the same command again."
        )
    if not re.fullmatch(r"[!-~]+", token):  # the client would show it in its own error
        raise SettingsError(
            f"HF_TOKEN holds blanks or characters that no token has; copy it again from {token_pages()}."
        )
    return token


def _make_votes(api: HfApi, repo: str) -> None:
    api.create_repo(repo, repo_type="dataset", private=True, exist_ok=True)
    if not api.repo_info(repo, repo_type="dataset").private:
        raise TrainError(
            f"The dataset {repo} is public, and votes hold what visitors typed; make it private in "
            f"{api.endpoint}/datasets/{repo}/settings, then run the same command again."
        )


def _push_once(api: HfApi, kind: str, contents: Contents, repo: str, private: bool, progress: Progress) -> Pushed:
    """Look at the repository, and commit what differs on top of the commit that was looked at."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete
    from huggingface_hub.hf_api import RepoFile

    sdk = "gradio" if kind == "space" else None
    api.create_repo(repo, repo_type=kind, private=private, exist_ok=True, space_sdk=sdk)
    info = api.repo_info(repo, repo_type=kind)
    entries = api.list_repo_tree(repo, recursive=True, revision=info.sha, repo_type=kind)
    there = {entry.path: entry for entry in entries if isinstance(entry, RepoFile)}
    earlier = _earlier(api, kind, repo, info.sha) if RELEASE in there else {}
    own = names_in(earlier) | set(BESIDE) if names_in(earlier) else {".gitattributes"}
    if foreign := sorted(contents.files.keys() & there.keys() - own):
        raise TrainError(
            f"the {kind} {repo} holds a {foreign[0]} that annot did not put there, and it is not overwritten: push to "
            "another name, or take it out on its page."
        )
    changed = [path for path in contents.files if _differs(contents, path, there.get(path))]
    if CARD in changed and CARD in there and "card" in earlier:
        _check_card(_text(api, kind, repo, info.sha, CARD), str(earlier["card"]), contents.files[CARD].path, repo)
    gone = sorted((names_in(earlier) & there.keys()) - contents.files.keys() - set(BESIDE))
    if changed == [RELEASE] and not gone and _but_for_time(earlier) == _but_for_time(contents.record):
        changed = []
    url = f"{api.endpoint}/{'' if kind == 'model' else f'{kind}s/'}{repo}"
    to_do = _to_do(api.endpoint, repo) if kind == "space" else ()
    visible = bool(info.private)
    if not changed and not gone:
        commit = info.sha or ""
        return Pushed(kind, repo, url, visible, commit, f"{url}/commit/{commit}", (), (), contents.left, to_do)
    operations: list[Any] = [CommitOperationDelete(path, is_folder=False) for path in gone]
    for path in changed:
        file = contents.files[path]
        operations.append(operation := CommitOperationAdd(path, file.path))
        operation.upload_info.sha256 = bytes.fromhex(file.sha256)  # nothing is hashed twice
    size = sum(contents.files[path].size for path in changed)
    with _sending(progress, size, repo):
        made = _commit(api, kind, repo, operations, f"Release of {contents.record.get('run')}", info.sha)
    return Pushed(
        kind, repo, url, visible, made.oid, made.commit_url, tuple(changed), tuple(gone), contents.left, to_do
    )


def _commit(api: HfApi, kind: str, repo: str, operations: list[Any], message: str, parent: str | None) -> CommitInfo:
    try:
        return api.create_commit(repo, operations, commit_message=message, repo_type=kind, parent_commit=parent)
    except json.JSONDecodeError:
        raise
    except ValueError as error:  # so the client says what the Hub does not take: the head of a card, a large file
        said = " ".join(str(error).split())[:200].rstrip(".")
        raise TrainError(f"the Hub does not take the {kind} {repo} ({said}); mend that, then run it again.") from None


def _text(api: HfApi, kind: str, repo: str, revision: str | None, name: str) -> str:
    """A small text file of a repository, as it is at a commit."""
    from huggingface_hub import hf_hub_url
    from huggingface_hub.utils import (  # type: ignore[attr-defined]
        build_hf_headers,
        hf_raise_for_status,
        http_backoff,
    )

    url = hf_hub_url(repo, name, repo_type=kind, revision=revision, endpoint=api.endpoint)
    answer = http_backoff("GET", url, headers=build_hf_headers(token=api.token))
    hf_raise_for_status(answer)
    return str(answer.content.decode(errors="replace"))


def _earlier(api: HfApi, kind: str, repo: str, revision: str | None) -> dict[str, Any]:
    try:
        record = json.loads(_text(api, kind, repo, revision, RELEASE))
    except ValueError:  # somebody else's file of that name: no release stands behind it
        return {}
    return record if isinstance(record, dict) else {}


def _check_card(there: str, digest: str, here: Path, repo: str) -> None:
    """Refuse to lose words that somebody wrote into a card on the Hub's page."""
    if card_digest(there) != digest or split_card(there)[1] not in here.read_text(encoding="utf-8"):
        raise TrainError(
            f"the {CARD} of {repo} was changed on the Hub's page, and those words would be lost: copy them below the "
            f"line in {here}, take them out there, and run this again."
        )


def _differs(contents: Contents, path: str, entry: Any) -> bool:
    file = contents.files[path]
    if entry is None or entry.size != file.size:
        return True
    same: bool = entry.lfs.sha256 == file.sha256 if entry.lfs else entry.blob_id == file.git_blob()
    return not same


def _but_for_time(record: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key != "made_at"}


def _to_do(endpoint: str, name: str) -> tuple[str, ...]:
    settings = f"{endpoint}/spaces/{name}/settings"
    return (
        f"Votes are kept only once the Space may write them: make a fine-grained token at {token_pages()} that may "
        f"write to the dataset {votes_repo(name)} and to nothing else, and add it at {settings} as secret HF_TOKEN.",
        f"No hardware was asked for, since it may cost money: choose it in {settings} (ZeroGPU or a GPU).",
    )


@contextmanager
def _sending(progress: Progress, size: int, repo: str) -> Iterator[None]:
    """Report how far an upload is by what this process has read since: the client tells nobody but its own bars."""
    import psutil

    counters = getattr(psutil.Process(), "io_counters", None)  # not on every system
    ended = threading.Event()
    note = f"MB to {repo}"

    def look() -> None:
        begun = counters().read_chars if counters else 0
        while not ended.wait(0.5):
            done = min(counters().read_chars - begun, size) if counters else 0
            progress(done // 10**6, size // 10**6, note=note)

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
    progress(size // 10**6, size // 10**6, note=note)


class _Retries(logging.Handler):
    """Says once that the Hub is tried again; the client's own lines would hold signed addresses."""

    def __init__(self, repo: str) -> None:
        super().__init__(logging.WARNING)
        self.repo, self.told = repo, False

    def emit(self, record: logging.LogRecord) -> None:
        if not self.told and "retry" in record.getMessage().lower():
            self.told = True
            print(f"annot: the Hub does not take {self.repo} at once; trying again.", file=sys.stderr, flush=True)


@contextmanager
def _quiet_client(repo: str) -> Iterator[None]:
    """No bars, log lines and warnings of the client, but one line where it waits."""
    from huggingface_hub.utils import (  # type: ignore[attr-defined]
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    loggers = [logging.getLogger(name) for name in ("huggingface_hub", "stamina")]
    before = [(logger.handlers, logger.propagate) for logger in loggers]
    bars, retries = not are_progress_bars_disabled(), _Retries(repo)
    for logger in loggers:
        logger.handlers, logger.propagate = [retries], False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            disable_progress_bars()
            yield
    finally:
        for logger, (handlers, propagate) in zip(loggers, before, strict=True):
            logger.handlers, logger.propagate = handlers, propagate
        if bars:
            enable_progress_bars()
