"""A stand-in for the Hugging Face Hub on this machine: repositories of three kinds, spoken to by the real client."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

TOKEN = "hf_a-token-that-may-write"
READ_TOKEN = "hf_a-token-that-may-only-read"
OWNER = "team"
"""Whose repositories `TOKEN` may write; `READ_TOKEN` may read them."""

LARGE_SUFFIXES = (".safetensors", ".parquet", ".zip", ".bin")
LARGE_FROM = 1_000_000
"""Bytes from which any file goes by LFS."""

_API = re.compile(r"/api/(model|dataset|space)s/([^/]+/[^/]+)(?:/([a-z-]+)(?:/([^/]+)(?:/(.+))?)?)?")
_FILE = re.compile(r"/(?:(dataset|space)s/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
_LFS = re.compile(r"/(?:(dataset|space)s/)?([^/]+/[^/]+)\.git/info/lfs/objects/batch")


def ask(hub: HubStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the client in this process speak to a stand-in; one in a process of its own needs `environment`."""
    # The client reads these once, when it is imported, and another test may have done that.
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
    template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    # Xet is another protocol; without it the client speaks LFS.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", TOKEN)


def environment(hub: HubStandIn) -> dict[str, str]:
    """The environment of a process whose client is to speak to a stand-in."""
    return {**os.environ, "HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1"}


@dataclass(frozen=True)
class Commit:
    """A commit, with all files as they were after it."""

    oid: str
    title: str
    files: dict[str, bytes]


@dataclass
class Repository:
    """A repository; a test may change `files` and `private` as somebody does on the Hub's page.

    Attributes:
        files: Path -> content, as they are now.
        commits: What was committed, without the commit that made the repository.
    """

    kind: str
    name: str
    private: bool
    sdk: str = ""
    files: dict[str, bytes] = field(default_factory=lambda: {".gitattributes": b"*.bin filter=lfs\n"})
    commits: list[Commit] = field(default_factory=list)

    @property
    def sha(self) -> str:
        """The newest commit."""
        return self.commits[-1].oid if self.commits else self._oid(0)

    def at(self, revision: str) -> dict[str, bytes] | None:
        """The files of a revision."""
        if revision in ("main", self.sha):
            return self.files
        return next((commit.files for commit in self.commits if commit.oid == revision), None)

    def commit(self, title: str, files: dict[str, bytes]) -> Commit:
        """Add a commit."""
        self.files = files
        self.commits.append(Commit(self._oid(len(self.commits) + 1), title, dict(files)))
        return self.commits[-1]

    def _oid(self, number: int) -> str:
        return hashlib.sha1(f"{self.kind} {self.name} {number}".encode()).hexdigest()


@dataclass
class Trouble:
    """What goes wrong with the next requests whose path holds `on`; status 0 cuts the connection amid the body."""

    status: int
    on: str
    times: int
    headers: Mapping[str, str]
    said: str


class Refused(Exception):
    """The stand-in's answer to a request that it does not grant."""

    def __init__(self, status: int, said: str, code: str = "", **more: str) -> None:
        super().__init__(said)
        self.status, self.body, self.headers = status, {"error": said, **more}, {"X-Error-Message": said}
        if code:
            self.headers["X-Error-Code"] = code


class HubStandIn:
    """Answers at `url` while it is entered.

    Attributes:
        repositories: (kind, name) -> repository; kind is "model", "dataset" or "space".
        requests: Method and path of every request.
        uploads: SHA-256 of every object that was uploaded, as often as it was.
        watch: Called with the number of each request, when half of it has come (False), and when it is done and not yet
            answered (True).
    """

    def __init__(self) -> None:
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.requests: list[str] = []
        self.uploads: list[str] = []
        self.watch: Callable[[int, bool], None] = lambda _number, _granted: None
        self._objects: dict[str, bytes] = {}
        self._troubles: list[Trouble] = []
        self._lock = threading.Lock()
        stand_in = self

        class Answer(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                stand_in._answer(self)

            do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815  http.server calls them by these names

            def log_message(self, format: str, *args: object) -> None:
                """Stay silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def make(
        self, kind: str, name: str, files: Mapping[str, bytes] | None = None, *, private: bool = True
    ) -> Repository:
        """Make a repository, with these files in a first commit."""
        made = self.repositories[kind, name] = Repository(kind, name, private)
        if files:
            made.commit("by hand", {**made.files, **files})
        return made

    def fail(self, status: int, *, on: str = "", times: int = 1, said: str = "", **headers: str) -> None:
        """Answer the next requests whose path holds `on` with a status, or with 0: cut them off amid their body."""
        self._troubles.append(Trouble(status, on, times, {k.replace("_", "-"): v for k, v in headers.items()}, said))

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        length = int(request.headers.get("content-length") or 0)
        with self._lock:
            self.requests.append(f"{request.command} {unquote(urlsplit(request.path).path)}")
            number, trouble = len(self.requests), self._trouble(request.path)
        if trouble and not trouble.status:
            request.rfile.read(length // 2)
            request.close_connection = True
            return
        try:
            body = request.rfile.read(length // 2)
            self.watch(number, False)
            body += request.rfile.read(length - len(body))
            if len(body) < length:
                raise ConnectionResetError
            if trouble:
                self._send(request, trouble.status, {"error": trouble.said or "not now"}, trouble.headers)
                return
            status = 200
            try:
                with self._lock:
                    content, headers = self._grant(request, body)
            except Refused as refused:
                status, content, headers = refused.status, refused.body, refused.headers
            self.watch(number, True)
            self._send(request, status, content, headers)
        except ConnectionError:  # who asked is gone
            request.close_connection = True

    def _trouble(self, path: str) -> Trouble | None:
        for trouble in self._troubles:
            if trouble.on in path and trouble.times:
                trouble.times -= 1
                return trouble
        return None

    def _grant(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[object, dict[str, str]]:
        path = urlsplit(request.path).path
        if path.startswith("/upload/"):  # such an address is its own permission
            oid = path.rpartition("/")[2]
            if hashlib.sha256(body).hexdigest() != oid:
                raise Refused(400, "this is another content")
            self._objects[oid] = body
            self.uploads.append(oid)
            return {}, {}
        token = self._token(request.headers.get("authorization"))
        if path == "/api/whoami-v2":
            if not token:
                raise Refused(401, "Invalid username or password.")
            role = "write" if token == TOKEN else "read"
            orgs = [{"type": "org", "name": OWNER}]
            return {"type": "user", "name": "somebody", "orgs": orgs, "auth": {"accessToken": {"role": role}}}, {}
        if path == "/api/validate-yaml":
            if "\t" in json.loads(body)["content"].partition("---\n")[2].partition("---\n")[0]:
                raise Refused(400, "a tab in the head")
            return {"errors": [], "warnings": []}, {}
        if path == "/api/repos/create":
            return self._create(token, json.loads(body)), {}
        if found := _LFS.fullmatch(path):
            self._repository(found[1] or "model", found[2], token, write=True)
            return {"transfer": "basic", "objects": [self._batch(told) for told in json.loads(body)["objects"]]}, {}
        if found := _FILE.fullmatch(path):
            return self._file(request, self._repository(found[1] or "model", found[2], token), *found.groups()[2:])
        if found := _API.fullmatch(path):
            kind, name, what, revision, under = (unquote(part or "") for part in found.groups())
            repository = self._repository(kind, name, token, write=what in ("preupload", "commit"))
            files = repository.at(revision or "main")
            if files is None:
                raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
            return self._about(repository, files, what, under, request, body), {}
        raise Refused(404, f"nothing is at {path}")

    @staticmethod
    def _token(header: str | None) -> str:
        if not header:
            return ""
        for token in (TOKEN, READ_TOKEN):
            if header in (f"Bearer {token}", "Basic " + base64.b64encode(f"user:{token}".encode()).decode()):
                return token
        raise Refused(401, "Invalid credentials in Authorization header")

    def _repository(self, kind: str, name: str, token: str, *, write: bool = False) -> Repository:
        found = self.repositories.get((kind, unquote(name)))
        mine = bool(token) and name.startswith(f"{OWNER}/")
        if found is None or (found.private and not mine):
            raise Refused(404 if token else 401, "Repository not found", "RepoNotFound")
        if write and not (mine and token == TOKEN):
            raise Refused(403, "you must use a token with write access")
        return found

    def _create(self, token: str, asked: dict[str, Any]) -> dict[str, str]:
        if not token:
            raise Refused(401, "Invalid username or password.")
        owner, kind = asked.get("organization") or "somebody", asked.get("type") or "model"
        name = f"{owner}/{asked['name']}"
        if owner != OWNER or token != TOKEN:
            raise Refused(403, f"You don't have the rights to create a {kind} under the namespace {owner}")
        url = f"{self.url}/{'' if kind == 'model' else f'{kind}s/'}{name}"
        if (kind, name) in self.repositories:
            raise Refused(409, f"You already created this {kind} repo", url=url)
        private = asked.get("private", False) or asked.get("visibility") == "private"
        self.repositories[kind, name] = Repository(kind, name, private, asked.get("sdk", ""))
        return {"url": url, "name": name}

    def _batch(self, told: dict[str, Any]) -> dict[str, Any]:
        if told["oid"] in self._objects:
            return told
        return {**told, "actions": {"upload": {"href": f"{self.url}/upload/{told['oid']}"}}}

    def _about(
        self,
        repository: Repository,
        files: dict[str, bytes],
        what: str,
        under: str,
        request: BaseHTTPRequestHandler,
        body: bytes,
    ) -> object:
        match what:
            case "" | "revision":
                siblings = [{"rfilename": path} for path in files]
                facts = {"id": repository.name, "private": repository.private, "sha": repository.sha}
                return {**facts, "siblings": siblings, "sdk": repository.sdk, "tags": [], "gated": False}
            case "tree":
                deep = "recursive=true" in urlsplit(request.path).query.lower()
                return list(_tree(files, under, deep=deep).values())
            case "paths-info":
                everything = _tree(files, "", deep=True)
                asked = json.loads(body) if body.startswith(b"{") else parse_qs(body.decode())
                return [everything[path] for path in asked["paths"] if path in everything]
            case "preupload":
                return {"files": [_preupload(files, told) for told in json.loads(body)["files"]]}
            case "commit":
                return self._commit(repository, [json.loads(line) for line in body.splitlines() if line.strip()])
        raise Refused(404, f"nothing is at {request.path}")

    def _commit(self, repository: Repository, lines: list[dict[str, Any]]) -> dict[str, object]:
        files, title = dict(repository.files), ""
        for line in lines:
            told = line["value"]
            match line["key"]:
                case "header":
                    title = told["summary"]
                    if told.get("parentCommit", repository.sha) != repository.sha:
                        raise Refused(412, "A commit has happened since. Please refresh and try again.")
                case "file":
                    files[told["path"]] = base64.b64decode(told["content"])
                case "lfsFile":
                    if told["oid"] not in self._objects:
                        raise Refused(400, f"there is no object {told['oid']}")
                    files[told["path"]] = self._objects[told["oid"]]
                case "deletedFile":
                    if files.pop(told["path"], None) is None:
                        raise Refused(404, "A file with this name doesn't exist", "EntryNotFound")
        made = repository.commit(title, files)
        kind = "" if repository.kind == "model" else f"{repository.kind}s/"
        url = f"{self.url}/{kind}{repository.name}/commit/{made.oid}"
        return {"success": True, "commitOid": made.oid, "commitUrl": url, "hookOutput": ""}

    @staticmethod
    def _file(
        request: BaseHTTPRequestHandler, repository: Repository, revision: str, path: str
    ) -> tuple[object, dict[str, str]]:
        content = (repository.at(unquote(revision)) or {}).get(unquote(path))
        if content is None:
            raise Refused(404, "Entry not found", "EntryNotFound")
        etag = _entry(unquote(path), content).get("lfs", {}).get("oid") or _blob(content)
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": repository.sha, "Accept-Ranges": "bytes"}
        if span := re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range") or ""):
            begin, end = int(span[1]), min(int(span[2] or len(content)) + 1, len(content))
            headers["Content-Range"] = f"bytes {begin}-{end - 1}/{len(content)}"
            content = content[begin:end]
        return content, headers

    @staticmethod
    def _send(
        request: BaseHTTPRequestHandler, status: int, body: object, headers: Mapping[str, str] | None = None
    ) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = headers or {}
        request.send_response(206 if "Content-Range" in headers else status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            request.send_header(name, value)
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(content)


def _is_large(path: str, size: int) -> bool:
    return bool(size) and (path.endswith(LARGE_SUFFIXES) or size >= LARGE_FROM)


def _blob(content: bytes) -> str:
    """Git's name of a content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _entry(path: str, content: bytes) -> dict[str, Any]:
    told = {"type": "file", "path": path, "size": len(content)}
    if not _is_large(path, len(content)):
        return {**told, "oid": _blob(content)}
    oid = hashlib.sha256(content).hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(content)}\n".encode()
    return {
        **told,
        "oid": _blob(pointer),
        "lfs": {"oid": oid, "size": len(content), "pointerSize": len(pointer)},
    }


def _tree(files: Mapping[str, bytes], under: str, *, deep: bool) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    start = f"{under}/" if under else ""
    for path, content in sorted(files.items()):
        if not path.startswith(start):
            continue
        parts = path.removeprefix(start).split("/")
        for depth in range(1, len(parts) if deep else min(len(parts), 2)):
            folder = start + "/".join(parts[:depth])
            found[folder] = {"type": "directory", "path": folder, "size": 0, "oid": "0" * 40}
        if deep or len(parts) == 1:
            found[path] = _entry(path, content)
    return found


def _preupload(files: Mapping[str, bytes], told: dict[str, Any]) -> dict[str, Any]:
    path, oid = told["path"], None
    if path in files:
        entry = _entry(path, files[path])
        oid = entry.get("lfs", entry)["oid"]
    mode = "lfs" if _is_large(path, told["size"]) else "regular"
    return {"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid}
