"""REST calls that search, and a dataset to search in."""

import time
from collections.abc import Sequence
from typing import Any

import httpx

Json = dict[str, Any]


class Client:
    """A person's REST calls."""

    def __init__(self, url: str, key: str) -> None:
        self.http = httpx.Client(
            base_url=f"{url}/api/v1", headers={"X-Argilla-Api-Key": key}, timeout=60, trust_env=False
        )

    def call(self, method: str, path: str, expect: int | None = None, **options: Any) -> Any:
        """The body of the answer, which must have the status expected, or be a success."""
        response = self.http.request(method, path, **options)
        assert response.status_code == expect if expect else response.is_success, response.text
        return response.json() if response.content else None

    def search(
        self,
        dataset: Json,
        *filters: Json,
        text: str | Json | None = None,
        vector: Json | None = None,
        sort: list[Json] | None = None,
        offset: int = 0,
        limit: int = 100,
        me: bool = True,
        expect: int = 200,
    ) -> Json:
        """Search as the page does (`me`), or as the SDK does."""
        query: Json = {}
        if text is not None:
            query["text"] = {"q": text} if isinstance(text, str) else text
        if vector is not None:
            query["vector"] = vector
        body: Json = {"query": query} if query else {}
        if filters:
            body["filters"] = {"and": list(filters)}
        if sort:
            body["sort"] = sort
        path = f"{'/me' if me else ''}/datasets/{dataset['id']}/records/search"
        found = self.call("POST", path, expect, params={"offset": offset, "limit": limit}, json=body)
        assert isinstance(found, dict)
        return found

    def ids(self, dataset: Json, *filters: Json, **options: Any) -> list[str]:
        """The external ids found, in order; the total must agree."""
        found = self.search(dataset, *filters, **options)
        ids = [item["record"]["external_id"] for item in found["items"]]
        assert found["total"] == len(ids)
        return ids

    def answer(self, record: Json, status: str, **values: Any) -> Json:
        """Answer a record; `score=2` is the value of the question `score`."""
        answer = self.call(
            "POST",
            f"/records/{record['id']}/responses",
            json={"status": status, "values": {name: {"value": value} for name, value in values.items()}},
        )
        assert isinstance(answer, dict)
        return answer


def terms(scope: Json, *values: str) -> Json:
    return {"type": "terms", "scope": scope, "values": list(values)}


def between(scope: Json, ge: Any = None, le: Any = None) -> Json:
    return {"type": "range", "scope": scope, **({} if ge is None else {"ge": ge}), **({} if le is None else {"le": le})}


def metadata(name: str) -> Json:
    return {"entity": "metadata", "metadata_property": name}


def suggested(question: str, what: str = "value") -> Json:
    return {"entity": "suggestion", "question": question, "property": what}


def answered(question: str) -> Json:
    return {"entity": "response", "question": question}


def of_record(what: str) -> Json:
    return {"entity": "record", "property": what}


def make_workspace(owner: Client, name: str) -> Json:
    """A workspace with the owner in it."""
    made = owner.call("POST", "/workspaces", json={"name": name})
    owner.call("POST", f"/workspaces/{made['id']}/users", json={"user_id": owner.call("GET", "/me")["id"]})
    assert isinstance(made, dict)
    return made


def make_dataset(owner: Client, workspace: Json, records: Sequence[tuple[Any, ...]] = ()) -> Json:
    made = owner.call(
        "POST",
        "/datasets",
        json={
            "name": f"dataset-{time.monotonic_ns()}",
            "workspace_id": workspace["id"],
            "distribution": {"strategy": "overlap", "min_submitted": 2},
        },
    )
    place = f"/datasets/{made['id']}"
    fields = {"prompt": "text", "answer": "text", "talk": "chat", "extra": "custom", "photo": "image"}
    for name, kind in fields.items():
        settings = {"type": kind, **({"template": "{{record.fields.extra}}"} if kind == "custom" else {})}
        field = {"name": name, "title": name, "required": name == "prompt", "settings": settings}
        owner.call("POST", f"{place}/fields", json=field)
    options = [{"value": value, "text": value} for value in ("A", "B")]
    labels = [{"value": value, "text": value} for value in ("stereotype", "register", "fact")]
    for name, required, settings in (
        ("ranking", True, {"type": "ranking", "options": options}),
        ("problems", False, {"type": "multi_label_selection", "options": labels, "visible_options": 3}),
        ("verdict", False, {"type": "label_selection", "options": labels, "visible_options": 3}),
        ("score", False, {"type": "rating", "options": [{"value": value} for value in range(1, 6)]}),
        ("note", False, {"type": "text"}),
    ):
        question = {"name": name, "title": name, "required": required, "settings": settings}
        owner.call("POST", f"{place}/questions", json=question)
    for name, kind in (("country", "terms"), ("words", "integer"), ("weight", "float")):
        described = {"name": name, "title": name, "settings": {"type": kind}, "visible_for_annotators": True}
        owner.call("POST", f"{place}/metadata-properties", json=described)
    owner.call("POST", f"{place}/vectors-settings", json={"name": "meaning", "title": "meaning", "dimensions": 3})
    owner.call("PUT", f"{place}/publish")
    if records:
        owner.call("POST", f"{place}/records/bulk", json={"items": [item(*record) for record in records]})
    assert isinstance(made, dict)
    return made


def item(
    external_id: str,
    country: str | None,
    words: int | None,
    weight: float | None,
    prompt: str,
    answer: str,
    vector: list[float] | None,
) -> Json:
    described = {"country": country, "words": words, "weight": weight}
    return {
        "external_id": external_id,
        "fields": {"prompt": prompt, "answer": answer},
        "metadata": {name: value for name, value in described.items() if value is not None},
        **({"vectors": {"meaning": vector}} if vector else {}),
    }
