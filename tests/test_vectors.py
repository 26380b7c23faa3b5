"""The files of vectors say what Argilla's table says, whatever happened in between."""

import sqlite3
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from search_client import Client, Json, make_dataset, make_workspace, metadata, terms
from test_faster import run_in_server

from annotation.hosting.embedded import Owner


@pytest.fixture(scope="module")
def argilla_server(argilla_on_each: tuple[str, Owner]) -> tuple[str, Owner]:
    """Both kinds of database."""
    return argilla_on_each


@pytest.fixture(scope="module")
def owner(argilla_server: tuple[str, Owner]) -> Client:
    url, account = argilla_server
    return Client(url, account.api_key)


def nearest(client: Client, dataset: Json, wanted: list[float], **options: Any) -> list[str]:
    order = options.pop("order", "most_similar")
    vector = {"name": "meaning", "value": wanted, "order": order}
    found = client.search(dataset, *options.pop("filters", ()), vector=vector, limit=options.pop("limit", 5), me=False)
    return [item["record"]["external_id"] for item in found["items"]]


def expected(vectors: dict[str, np.ndarray], wanted: list[float], sign: int = 1, limit: int = 5) -> list[str]:
    """The names of the nearest (`sign` -1: the farthest), reckoned in the plainest way."""
    cosine = {name: row @ np.array(wanted) / np.linalg.norm(row) for name, row in vectors.items()}
    return sorted(cosine, key=lambda name: -sign * cosine[name])[:limit]


@pytest.mark.server
def test_similar_records_follow_every_change(owner: Client) -> None:
    random = np.random.default_rng(5)
    dataset = make_dataset(owner, make_workspace(owner, f"vectors-{time.monotonic_ns()}"))
    bulk = f"/datasets/{dataset['id']}/records/bulk"
    kept = {f"v{number}": random.normal(size=3) for number in range(60)}
    wanted = [0.3, -0.5, 0.8]

    def item(name: str) -> Json:
        country = ("MX", "PE", "BR")[int(name[1:]) % 3]
        return {
            "external_id": name,
            "fields": {"prompt": name},
            "metadata": {"country": country},
            "vectors": {"meaning": kept[name].tolist()},
        }

    logged = owner.call("POST", bulk, json={"items": [item(name) for name in kept]})["items"]
    ids = {record["external_id"]: record["id"] for record in logged}

    def agree() -> None:
        assert nearest(owner, dataset, wanted) == expected(kept, wanted)
        assert nearest(owner, dataset, wanted, order="least_similar") == expected(kept, wanted, -1)
        peru = {name: row for name, row in kept.items() if int(name[1:]) % 3 == 1}
        in_peru = [terms(metadata("country"), "PE")]
        assert nearest(owner, dataset, wanted, filters=in_peru, limit=50) == expected(peru, wanted, limit=50)

    agree()
    for name in ("v3", "v4"):
        kept[name] = np.array(wanted) + 0.01 * random.normal(size=3)
    owner.call("PUT", bulk, json={"items": [item("v3")]})
    owner.call("PATCH", f"/records/{ids['v4']}", json={"vectors": {"meaning": kept["v4"].tolist()}})
    agree()
    for name in (expected(kept, wanted)[0], "v7", "v8"):
        del kept[name]
        owner.call("DELETE", f"/datasets/{dataset['id']}/records", params={"ids": ids[name]})
    kept |= {f"v{number}": random.normal(size=3) for number in range(60, 70)}
    owner.call("POST", bulk, json={"items": [item(f"v{number}") for number in range(60, 70)]})
    agree()


@pytest.mark.server
def test_a_dataset_takes_its_vectors_along(argilla_on_sqlite: tuple[str, Owner], argilla_home: Path) -> None:
    url, account = argilla_on_sqlite
    owner = Client(url, account.api_key)
    files = argilla_home / "vectors"
    before = {path.stem for path in files.glob("*")} if files.exists() else set()
    dataset = make_dataset(owner, make_workspace(owner, f"vectors-{time.monotonic_ns()}"))
    items = [{"fields": {"prompt": "x"}, "vectors": {"meaning": [number, 1, 0]}} for number in range(3)]
    owner.call("POST", f"/datasets/{dataset['id']}/records/bulk", json={"items": items})
    assert len(owner.search(dataset, vector={"name": "meaning", "value": [1, 1, 0]}, me=False)["items"]) == 3
    (made,) = {path.stem for path in files.glob("*")} - before
    owner.call("DELETE", f"/datasets/{dataset['id']}")
    assert made not in {path.stem for path in files.glob("*")}
    with sqlite3.connect(argilla_home / "argilla.db") as database:
        for table in ("annot_vector_notes", "annot_vector_files"):
            assert database.execute(
                f"SELECT count(*) FROM {table} WHERE vector_settings_id = ?", (made,)
            ).fetchone() == (0,)


def test_a_file_that_was_left_half_written_is_put_right_by_the_notes(tmp_path: Path) -> None:
    """Writes that were never declared whole, in any order, and then the same again."""
    code = """
import os, random
import numpy as np
from pathlib import Path
from uuid import UUID
from annotation.server.search import vectors
from annotation.server.search.vectors import VectorFile
random.seed(3)
settings, folder = UUID(int=1), Path("vectors")
vectors.FIRST_ROWS = 4
truth, pending = {}, []
file = VectorFile(folder, settings, 2)
for turn in range(300):
    record = UUID(int=random.randint(1, 30))
    if random.random() < 0.3:
        truth.pop(record, None)
    else:
        truth[record] = np.array([random.gauss(0, 1), random.gauss(0, 1)], dtype=np.float32)
    pending.append(record)
    if random.random() < 0.3:
        places = file.places()
        there = [record for record in set(pending) if record in truth]
        file.put(there, np.array([truth[record] for record in there], dtype=np.float32).reshape(-1, 2), places)
        file.remove([record for record in pending if record not in truth], places)
        if random.random() < 0.5:
            file.keep(f"stamp-{turn}")
            pending.clear()
            matrix = file.matrix()
            found = {UUID(bytes=matrix.ids[row].tobytes()): matrix.rows[row] for row in range(len(matrix.ids))}
            found.pop(UUID(int=0), None)
            assert found.keys() == truth.keys(), turn
            assert all(np.allclose(found[record], vectors.unit(truth[record])) for record in truth)
    if random.random() < 0.2:  # killed: what is on the disk is all that is left
        file = VectorFile(folder, settings, 2)
        if not file.stamps:
            pending = list(truth)
assert len(truth) > 5 and file.stamps
for path in folder.glob("*.rows"):
    os.truncate(path, 8)
assert VectorFile(folder, settings, 2).stamps == ()
print("whole")
"""
    assert run_in_server(code, tmp_path).endswith("whole\n")


@pytest.mark.server
def test_a_file_that_the_database_does_not_know_is_made_anew(
    argilla_on_sqlite: tuple[str, Owner], argilla_home: Path
) -> None:
    """As when an older copy of the database was put in its place."""
    url, account = argilla_on_sqlite
    owner = Client(url, account.api_key)
    dataset = make_dataset(owner, make_workspace(owner, f"vectors-{time.monotonic_ns()}"))
    items = [
        {"external_id": name, "fields": {"prompt": name}, "vectors": {"meaning": row}}
        for name, row in {"a": [1, 0, 0], "b": [0, 1, 0]}.items()
    ]
    logged = owner.call("POST", f"/datasets/{dataset['id']}/records/bulk", json={"items": items})["items"]
    assert nearest(owner, dataset, [1, 0.1, 0]) == ["a", "b"]
    with sqlite3.connect(argilla_home / "argilla.db", timeout=30) as database:
        database.execute("UPDATE annot_vector_files SET stamp = 'of another time'")
        # Two changes that left no note.
        first, second = (record["id"].replace("-", "") for record in logged)
        database.execute("UPDATE vectors SET value = '[0, 0, 1]' WHERE record_id = ?", (first,))
        database.execute("DELETE FROM vectors WHERE record_id = ?", (second,))
        database.execute("DELETE FROM annot_vector_notes")
    assert nearest(owner, dataset, [1, 0.1, 0]) == ["a"]
    assert (
        owner.search(dataset, vector={"name": "meaning", "value": [0, 0, 2]}, me=False)["items"][0]["query_score"] == 1
    )
