"""An Argilla as an annotator sees it: their queue and their answers. For simulated people and tests."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import httpx

from annotation.errors import ArgillaError
from sync.argilla.client import TIMEOUT_S
from sync.argilla.errors import first_line, json_of, translated


class AnnotatorClient:
    """One annotator at Argilla, with their own log-in: what a simulated person needs, and a test."""

    def __init__(self, url: str, username: str, password: str) -> None:
        """Log in; ArgillaError when the password is wrong."""
        self.url = url.rstrip("/")
        self._http = httpx.Client(base_url=f"{self.url}/api/v1", timeout=TIMEOUT_S)
        with self._answers(f'the log-in of "{username}"'):
            token = json_of(self._http.post("/token", data={"username": username, "password": password}))
        self._http.headers["Authorization"] = f"Bearer {token['access_token']}"

    def close(self) -> None:
        """Leave."""
        self._http.close()

    def datasets(self) -> dict[str, str]:
        """Name -> id of the datasets that this person sees."""
        with self._answers("the list of datasets"):
            payload = json_of(self._http.get("/me/datasets"))
        return {item["name"]: item["id"] for item in payload["items"]}

    def queue(self, dataset_id: str, limit: int = 50) -> list[dict[str, Any]]:
        """Records that wait for this person, in the order in which the page shows them."""
        waiting = [
            {"type": "terms", "scope": {"entity": "response", "property": "status"}, "values": ["pending"]},
            {"type": "terms", "scope": {"entity": "record", "property": "status"}, "values": ["pending"]},
        ]
        with self._answers("the queue"):
            payload = json_of(
                self._http.post(
                    f"/me/datasets/{dataset_id}/records/search",
                    params={"limit": limit, "offset": 0},
                    json={"query": {}, "filters": {"and": waiting}},
                )
            )
        return [item["record"] for item in payload["items"]]

    def answer(self, record_id: str, values: Mapping[str, Any], status: str = "submitted") -> dict[str, Any]:
        """Answer a record, or change the answer; status is "submitted", "draft" or "discarded"."""
        item = {"record_id": record_id, "values": dict(values) or None, "status": status}
        with self._answers("an answer"):
            payload = json_of(self._http.post("/me/responses/bulk", json={"items": [item]}))["items"][0]
        if payload.get("error"):
            raise ArgillaError(f"Argilla at {self.url} refused an answer: {first_line(payload['error']['detail'])}.")
        given: dict[str, Any] = payload["item"]
        return given

    def withdraw(self, response_id: str) -> None:
        """Delete an answer of this person."""
        with self._answers("to delete an answer"):
            json_of(self._http.delete(f"/responses/{response_id}"))

    def _answers(self, what: str) -> contextlib.AbstractContextManager[None]:
        return translated(self.url, what)
