"""Kills Argilla's processes while people write: `python -m tests.kill_argilla --rounds 50` looks for what was lost.

Four people, with accounts of their own, add records, answer them and change their minds over HTTP. Then the
server, its worker or Redis dies by kill -9; the next start must serve everything that was answered with a 2xx, and
what the search finds must be what the tables hold.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

from annotation.hosting import embedded
from annotation.hosting.address import free_port
from annotation.hosting.home import ROLES

WRITERS = 4
SCORES = range(1, 6)
MOST = 500  # that a similarity search gives
Json = dict[str, Any]


class Site:
    """A dataset with four people in it, over HTTP."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = int(embedded.state(home).url.rpartition(":")[2])
        self.owner = self.client(embedded.owner(home).api_key)
        workspace = self.call("POST", "/workspaces", json={"name": "kept"})
        self.dataset = self.call("POST", "/datasets", json={"name": "kept", "workspace_id": workspace["id"]})["id"]
        place = f"/datasets/{self.dataset}"
        field = {"name": "text", "title": "text", "required": True, "settings": {"type": "text"}}
        self.call("POST", f"{place}/fields", json=field)
        rating = {"type": "rating", "options": [{"value": value} for value in SCORES]}
        question = {"name": "score", "title": "score", "required": True, "settings": rating}
        self.question = self.call("POST", f"{place}/questions", json=question)["id"]
        vectors = {"name": "meaning", "title": "meaning", "dimensions": 3}
        self.vectors = self.call("POST", f"{place}/vectors-settings", json=vectors)["id"]
        self.call("PUT", f"{place}/publish")
        self.people = []
        for number in range(WRITERS):
            name = f"person-{number}"
            account = {"first_name": name, "username": name, "password": f"{name}-password", "role": "annotator"}
            made = self.call("POST", "/users", json=account)
            self.call("POST", f"/workspaces/{workspace['id']}/users", json={"user_id": made["id"]})
            self.people.append(self.client(made["api_key"]))

    def client(self, key: str) -> httpx.Client:
        """A person's client; it opens a connection of its own after every failure."""
        return httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}/api/v1",
            headers={"X-Argilla-Api-Key": key},
            timeout=60,
            trust_env=False,
        )

    def call(self, method: str, path: str, **options: Any) -> Any:
        """The owner asks; a refusal is a bug."""
        response = self.owner.request(method, path, **options)
        assert response.is_success, f"{method} {path}: {response.status_code} {response.text}"
        return response.json() if response.content else None

    def records(self) -> Iterator[Json]:
        """Every record as the tables have it, with responses and vectors."""
        offset = 0
        while True:
            options = {"include": ["responses", "vectors", "suggestions"], "limit": 500, "offset": offset}
            page = self.call("GET", f"/datasets/{self.dataset}/records", params=options)["items"]
            yield from page
            offset += len(page)
            if len(page) < 500:
                return

    def found(self, *, text: str = "", score: int = 0, vector: bool = False) -> int:
        """How many records a search finds."""
        body: Json = {}
        if text:
            body["query"] = {"text": {"q": text}}
        if vector:
            body["query"] = {"vector": {"name": "meaning", "value": [1, 0, 0]}}
        if score:
            scope = {"entity": "response", "question": "score"}
            body["filters"] = {"and": [{"type": "terms", "scope": scope, "values": [str(score)]}]}
        answer = self.call(
            "POST", f"/datasets/{self.dataset}/records/search", params={"limit": MOST if vector else 1}, json=body
        )
        return len(answer["items"]) if vector else int(answer["total"])


class Writer(threading.Thread):
    """One person at work: adds a record, answers it, at times changes the answer; remembers what was accepted."""

    def __init__(self, site: Site, number: int) -> None:
        super().__init__(daemon=True)
        self.site, self.number = site, number
        self.client, self.logger = site.people[number], site.client(embedded.owner(site.home).api_key)
        self.sent = 0
        self.records: list[str] = []
        """External ids of the records that were accepted, in the order of sending."""
        self.scores: dict[str, set[int]] = {}
        """By external id, what the score may be: the one accepted last, and those sent since without an answer."""
        self.answered: set[str] = set()
        """External ids of the records whose answer was accepted."""
        self.refusals: Counter[str] = Counter()
        self.over = threading.Event()
        self.random = random.Random(number)

    def run(self) -> None:
        """Work until told that it is over; a server that is away is waited for."""
        while not self.over.is_set():
            try:
                self.work()
                self.over.wait(0.03)  # the server is at work, and not at its limit
            except httpx.TransportError:
                time.sleep(0.05)

    def work(self) -> None:
        """Add one record and answer it, once or twice."""
        name = f"{self.number}-{self.sent:06d}"
        self.sent += 1
        item = {
            "external_id": name,
            "fields": {"text": f"La persona{self.number} pregunta por el mole de la vez {self.sent}."},
            "vectors": {"meaning": [1.0, float(self.number), 0.5]},
            "suggestions": [{"question_id": self.site.question, "value": self.random.choice(SCORES)}],
        }
        place = f"/datasets/{self.site.dataset}/records/bulk"
        made = self.accepted(self.logger.post(place, json={"items": [item]}))
        if made is None:
            return
        self.records.append(name)
        place, response = f"/records/{made['items'][0]['id']}/responses", None
        for _ in range(self.random.choice((1, 1, 2))):
            score = self.random.choice(SCORES)
            body = {"status": "submitted", "values": {"score": {"value": score}}}
            self.scores.setdefault(name, set()).add(score)
            if response is None:
                response = self.accepted(self.client.post(place, json=body))
            else:
                response = self.accepted(self.client.put(f"/responses/{response['id']}", json=body))
            if response is None:
                return
            self.scores[name] = {score}
            self.answered.add(name)

    def accepted(self, response: httpx.Response) -> Any:
        """The body of a 2xx; anything else was not promised."""
        if response.is_success:
            return response.json()
        self.refusals[f"{response.status_code} {response.text[:120]}"] += 1
        return None


@contextmanager
def at_work(site: Site, writers: list[Writer] | None = None) -> Iterator[list[Writer]]:
    """Four people write until the block ends."""
    people = writers if writers is not None else [Writer(site, number) for number in range(WRITERS)]
    for person in people:
        person.start()
    try:
        yield people
    finally:
        for person in people:
            person.over.set()
        for person in people:
            person.join(timeout=90)


def compare(site: Site, writers: list[Writer]) -> dict[str, int]:
    """Everything that was accepted is there, nothing twice, and the search finds what the tables hold."""
    found = list(site.records())
    by_name = {record["external_id"]: record for record in found}
    assert len(by_name) == len(found), "a record is there twice"
    for writer in writers:
        for name in writer.records:
            assert name in by_name, f"record {name} was accepted and is gone"
            assert by_name[name]["vectors"], f"record {name} lost its vector"
            assert by_name[name]["suggestions"], f"record {name} lost its suggestion"
        for name in writer.answered:
            given = [response["values"]["score"]["value"] for response in by_name[name]["responses"]]
            assert len(given) == 1, f"the answer to {name} was accepted, and there are {len(given)}"
            assert given[0] in writer.scores[name], f"{name}: {given[0]} was never sent since {writer.scores[name]}"
    scores = Counter(r["values"]["score"]["value"] for record in found for r in record["responses"])
    for score in SCORES:
        assert site.found(score=score) == scores[score], f"search and tables differ for score {score}"
    for writer in writers:
        told = sum(name.startswith(f"{writer.number}-") for name in by_name)
        assert site.found(text=f"persona{writer.number}") == told, "text search and tables differ"
    with_vector = sum(bool(record["vectors"]) for record in found)
    assert site.found(vector=True) == min(MOST, with_vector), "similarity search and tables differ"
    progress = site.call("GET", f"/datasets/{site.dataset}/progress")
    assert progress["completed"] == sum(scores.values())
    assert progress["total"] == len(found)
    return {"records": len(found), "responses": sum(scores.values())}


def kill(process: psutil.Process) -> None:
    """As `kill -9` does, and wait until the system has done it."""
    process.kill()
    psutil.wait_procs([process], timeout=10)


def campaign(home: Path, rounds: int, *, database: str = "", seed: int = 0) -> Counter[str]:
    """Kill a process at random, start again and compare, so many times; how often which one died."""
    chance = random.Random(seed)
    killed: Counter[str] = Counter()
    port = free_port()
    embedded.start(home, port=port, database=database)
    try:
        site, everybody = Site(home), []
        for number in range(rounds):
            role = chance.choice(ROLES)
            people = [Writer(site, each) for each in range(WRITERS)]
            for person in people:
                person.sent = number * 10_000
            with at_work(site, people):
                while min(len(person.answered) for person in people) < 2:  # everybody is in the midst of work
                    time.sleep(0.01)
                time.sleep(chance.uniform(0, 0.5))
                kill(psutil.Process(embedded.state(home).processes[role]))
                time.sleep(chance.uniform(0, 0.3))
            began = time.monotonic()
            state = embedded.start(home, port=port)
            assert state.running, state.detail
            started = time.monotonic() - began
            everybody += people
            counts = compare(site, everybody)
            killed[role] += 1
            refused = sum((person.refusals for person in people), Counter())
            print(
                f"{number + 1}/{rounds}: {role} killed, up again in {started:.1f} s, {counts}, refused: {dict(refused)}"
            )
            sys.stdout.flush()
    finally:
        embedded.stop(home)
    return killed


def main() -> None:
    """Run the campaign in a folder of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--postgres", action="store_true", help="on a PostgreSQL of its own instead of SQLite")
    asked = parser.parse_args()
    with contextlib.ExitStack() as until_the_end:
        folder = Path(until_the_end.enter_context(tempfile.TemporaryDirectory(prefix="annot-kill-")))
        database = ""
        if asked.postgres:
            from tests.postgres import running

            database = until_the_end.enter_context(running(folder / "postgres", free_port())).database()
        killed = campaign(folder / ".argilla", asked.rounds, database=database, seed=asked.seed)
    print(f"{asked.rounds} rounds, killed {dict(killed)}; nothing was lost.")


if __name__ == "__main__":
    main()
