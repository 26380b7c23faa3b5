"""A stand-in for the Hugging Face Hub: as much of its protocol as one dataset repository needs, on this machine."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import unquote, urlsplit

TOKEN = "hf_a-token-that-may-write"


class HubStandIn:
    """Answers at `url` while it is entered. Large files go by LFS, as archives do on the real Hub.

    Attributes:
        files: Path -> content, of the only repository.
        private: None until the repository is made.
        refused: Answer everything with 503 from now on.
    """

    def __init__(self, *, private: bool | None = None) -> None:
        self.files: dict[str, bytes] = {}
        self.private, self.refused = private, False
        self.commits: list[str] = []
        self._objects: dict[str, bytes] = {}
        stand_in = self

        class Answer(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                stand_in.answer(self)

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

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("content-length") or 0))
        path = unquote(urlsplit(request.path).path)
        signed = path.startswith("/upload/")  # such an address is its own permission
        if self.refused:
            self._send(request, 503, {"error": "down for repairs"})
        elif not signed and request.headers.get("authorization") not in (f"Bearer {TOKEN}", self._basic()):
            self._send(request, 401, {"error": "who are you?"})
        elif path == "/api/repos/create":
            made = self.private is None
            asked = json.loads(body)
            wanted = asked.get("private", False) or asked.get("visibility") == "private"
            self.private = wanted if made else self.private
            self._send(request, 200 if made else 409, {"url": f"{self.url}/datasets/team/backups", "name": "backups"})
        elif path.startswith("/upload/"):
            self._objects[path.rpartition("/")[2]] = body
            self._send(request, 200, {})
        elif path.endswith(".git/info/lfs/objects/batch"):
            objects = [
                {**told, "actions": {"upload": {"href": f"{self.url}/upload/{told['oid']}"}}}
                for told in json.loads(body)["objects"]
            ]
            self._send(request, 200, {"transfer": "basic", "objects": objects})
        elif "/preupload/" in path:
            told = [
                {"path": f["path"], "uploadMode": "lfs", "shouldIgnore": False, "oid": None}
                for f in json.loads(body)["files"]
            ]
            self._send(request, 200, {"files": told})
        elif "/commit/" in path:
            self._commit([json.loads(line) for line in body.splitlines() if line.strip()])
            oid = hashlib.sha1(str(len(self.commits)).encode()).hexdigest()
            url = f"{self.url}/datasets/team/backups/commit/{oid}"
            self._send(request, 200, {"success": True, "commitOid": oid, "commitUrl": url, "hookOutput": ""})
        elif "/tree/" in path:
            told = [{"type": "file", "path": p, "size": len(c), "oid": "0" * 40} for p, c in self.files.items()]
            self._send(request, 200, told)
        elif "/resolve/" in path and (content := self.files.get(path.partition("/resolve/main/")[2])) is not None:
            headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": "0" * 40}
            self._send(request, 200, content, headers)
        elif path in ("/api/datasets/team/backups", "/api/datasets/team/backups/revision/main"):
            told = {"id": "team/backups", "private": self.private, "sha": "0" * 40, "siblings": []}
            self._send(request, 200 if self.private is not None else 404, told)
        else:
            self._send(request, 404, {"error": path})

    def _basic(self) -> str:
        return "Basic " + base64.b64encode(f"user:{TOKEN}".encode()).decode()

    def _commit(self, lines: list[dict[str, Any]]) -> None:
        for line in lines:
            told = line["value"]
            match line["key"]:
                case "header":
                    self.commits.append(told["summary"])
                case "file":
                    self.files[told["path"]] = base64.b64decode(told["content"])
                case "lfsFile":
                    self.files[told["path"]] = self._objects[told["oid"]]
                case "deletedFile":
                    del self.files[told["path"]]

    def _send(
        self, request: BaseHTTPRequestHandler, status: int, body: object, headers: dict[str, str] | None = None
    ) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        request.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            request.send_header(name, value)
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(content)
