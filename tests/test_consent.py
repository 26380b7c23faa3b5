"""Texts that may hurt: shown by the embedded Argilla to those alone who consented, so many a day, until they stop."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from fake_argilla import RealWorld
from feed_client import Sql
from search_client import Client, Json, answered, of_record, terms

from annotation.hosting.embedded import Owner
from annotation.tasks.form import Field, Form, Guard, Property, Question

pytestmark = pytest.mark.server

MOST = 3
STATUS = {"entity": "response", "property": "status"}
PENDING = (terms(STATUS, "pending"), terms(of_record("status"), "pending"))
MINE = (terms(STATUS, "submitted"),)
EVERYTHING = {
    "queue": {"filters": PENDING},
    "all": {"filters": ()},
    "words": {"filters": (), "text": "mate"},
    "words of a field": {"filters": (), "text": {"q": "mate", "field": "text"}},
    "words in the queue": {"filters": PENDING, "text": "mate"},
    "sorted": {"filters": (), "sort": [{"scope": of_record("inserted_at"), "order": "desc"}]},
    "sorted words": {"filters": (), "text": "mate", "sort": [{"scope": of_record("external_id"), "order": "asc"}]},
    "by an answer": {"filters": (terms(answered("known"), "yes"),)},
}
"""Every way to search."""


def asking(option: str = "yes") -> Form:
    return Form(
        names=("consent",),
        guidelines="Lee.",
        fields=(Field("text", "Texto"),),
        questions=(Question("answer", "label_selection", "¿?", required=True, options={"yes": "Sí", "no": "No"}),),
        metadata=(Property("item", "terms", "Ficha", visible=False),),
        vector=None,
        overlap=1000,
        consent=option,
    )


def guarded(most_a_day: int = MOST, name: str = "hurts", overlap: int = 5) -> Form:
    options = {"yes": "Lo conozco", "skip": "No sé", "stop": "No quiero ver más"}
    return Form(
        names=(name,),
        guidelines="Lee.",
        fields=(Field("text", "Texto"),),
        questions=(Question("known", "label_selection", "¿?", required=True, options=options),),
        metadata=(Property("item", "terms", "Ficha", visible=False), Property("author", "terms", "De", visible=False)),
        vector=None,
        overlap=overlap,
        guard=Guard("known", "stop", most_a_day),
    )


class Room:
    """A workspace of one country, with a dataset to consent in and one that is guarded."""

    def __init__(self, world: RealWorld, owner: Client, *, asks: bool = True, **options: Any) -> None:
        self.world, self.owner = world, owner
        self.name = f"w{uuid4().hex[:8]}"
        self.id = world.api.add_workspace(self.name)
        self.asks = {"id": world.api.add_dataset("consent", self.id, asking()).id} if asks else None
        if self.asks:
            self.fill(self.asks, 1)
        self.hurts = self.add(12, **options)

    def add(self, records: int, **options: Any) -> Json:
        """A guarded dataset more."""
        form = guarded(**options)
        made = {"id": self.world.api.add_dataset(form.names[0], self.id, form).id}
        if records:
            self.fill(made, records)
        return made

    def fill(self, dataset: Json, records: int, **metadata: str) -> dict[str, str]:
        names = [f"r{uuid4().hex[:4]}{number:03}" for number in range(records)]
        made = [
            {"external_id": n, "fields": {"text": f"toman mate, {n}"}, "metadata": {"item": n} | metadata}
            for n in names
        ]
        return self.world.api.add_records(dataset["id"], made)

    def person(self, *rooms: Room, role: str = "annotator") -> Person:
        """Someone new in this workspace, and in others."""
        name = f"u{uuid4().hex[:8]}"
        account = {"first_name": name, "username": name, "password": "a long password", "role": role}
        user = self.owner.call("POST", "/users", json=account)
        for room in (self, *rooms):
            self.owner.call("POST", f"/workspaces/{room.id}/users", json={"user_id": user["id"]})
        return Person(self.world.api.url, user)


class Person(Client):
    """Someone who is logged in."""

    def __init__(self, url: str, user: Json) -> None:
        super().__init__(url, user["api_key"])
        self.url, self.user = url, user

    def sees(self, dataset: Json, **options: Any) -> list[str]:
        """External ids of what a search gives them; the total agrees."""
        return self.ids(dataset, *options.pop("filters", PENDING), **options)

    def say(self, dataset: Json, value: str, *, status: str = "submitted") -> None:
        """Answer the first record that waits for them, or one that they answered; they look at no other."""
        found = self.search(dataset, *PENDING, limit=1)["items"] or self.search(dataset, limit=1)["items"]
        record = found[0]["record"]
        question = "answer" if "answer" in str(self.call("GET", f"/datasets/{dataset['id']}/questions")) else "known"
        item = {"record_id": record["id"], "values": {question: {"value": value}}, "status": status}
        given = self.call("POST", "/me/responses/bulk", json={"items": [item]})["items"][0]
        assert given["error"] is None, given


@pytest.fixture(scope="module")
def argilla_server(argilla_on_each: tuple[str, Owner]) -> tuple[str, Owner]:
    """Every test here holds on both kinds of database."""
    return argilla_on_each


@pytest.fixture
def make(real_world: RealWorld, argilla_server: tuple[str, Owner]) -> Callable[..., Room]:
    """Makes rooms."""
    owner = Client(argilla_server[0], argilla_server[1].api_key)
    return lambda **options: Room(real_world, owner, **options)


@pytest.fixture
def room(make: Callable[..., Room]) -> Room:
    return make()


# --- consent ------------------------------------------------------------------------------------------


def test_whoever_has_not_consented_finds_nothing_whichever_way_they_look(room: Room) -> None:
    somebody = room.person()
    assert [somebody.sees(room.hurts, **how) for how in EVERYTHING.values()] == [[]] * len(EVERYTHING)
    somebody.say(room.asks, "no")
    assert [somebody.sees(room.hurts, **how) for how in EVERYTHING.values()] == [[]] * len(EVERYTHING)
    assert len(somebody.sees(room.asks, filters=())) == 1  # what asks is there for everybody


@pytest.mark.parametrize("status", ["draft", "discarded"])
def test_a_consent_counts_when_it_is_submitted(room: Room, status: str) -> None:
    somebody = room.person()
    somebody.say(room.asks, "yes", status=status)
    assert somebody.sees(room.hurts) == []
    somebody.say(room.asks, "yes")
    assert len(somebody.sees(room.hurts)) == MOST


def test_a_consent_that_is_taken_back_or_deleted_counts_no_more(room: Room) -> None:
    somebody = room.person()
    somebody.say(room.asks, "yes")
    assert len(somebody.sees(room.hurts)) == MOST
    somebody.say(room.asks, "no")
    assert somebody.sees(room.hurts, filters=()) == []
    somebody.say(room.asks, "yes")
    assert len(somebody.sees(room.hurts)) == MOST
    (given,) = somebody.search(room.asks, terms(STATUS, "submitted"))["items"]
    told = somebody.call("GET", f"/records/{given['record']['id']}")
    somebody.call("DELETE", f"/responses/{told['responses'][0]['id']}")
    assert somebody.sees(room.hurts, filters=()) == []


def test_the_consent_of_one_is_not_that_of_another_nor_of_another_workspace(make: Callable[..., Room]) -> None:
    one, other = make(), make()
    ana, leo = one.person(other), one.person()
    ana.say(one.asks, "yes")
    assert (len(ana.sees(one.hurts)), ana.sees(other.hurts), leo.sees(one.hurts)) == (MOST, [], [])


def test_where_nothing_asks_for_consent_nothing_is_shown(make: Callable[..., Room]) -> None:
    room = make(asks=False)
    somebody, lead = room.person(), room.person(role="admin")
    assert somebody.sees(room.hurts, filters=()) == []
    assert somebody.call("GET", f"/annot/guards/{room.hurts['id']}")["why"] == "nobody_asks"
    # What annot reads with an owner's or a lead's key is no queue.
    assert len(lead.sees(room.hurts, filters=(), me=False)) == len(room.owner.ids(room.hurts, me=False)) == 12


def test_a_guard_that_cannot_be_read_shows_nothing(room: Room) -> None:
    somebody = room.person()
    somebody.say(room.asks, "yes")
    room.owner.call("PATCH", f"/datasets/{room.hurts['id']}", json={"metadata": {"annot_guard": {"most_a_day": "?"}}})
    assert somebody.sees(room.hurts, filters=()) == []
    assert somebody.call("GET", f"/annot/guards/{room.hurts['id']}")["guarded"] is True


def test_a_lead_who_opens_the_page_is_asked_as_everybody_is(room: Room) -> None:
    lead = room.person(role="admin")
    assert lead.sees(room.hurts) == []
    lead.say(room.asks, "yes")
    assert len(lead.sees(room.hurts)) == MOST


def test_no_record_is_had_by_its_id_that_a_search_would_not_show(room: Room) -> None:
    ana, leo = room.person(), room.person()
    leo.say(room.asks, "yes")
    (record, *_) = leo.search(room.hurts, *PENDING)["items"]
    place = f"/records/{record['record']['id']}"
    assert leo.call("GET", place)["fields"] == record["record"]["fields"]
    ana.call("GET", place, expect=403)
    said = {"record_id": record["record"]["id"], "values": {"known": {"value": "yes"}}, "status": "submitted"}
    ana.call("POST", "/me/responses/bulk", json={"items": [said]})
    assert leo.call("GET", place)["responses"] == []  # nor what others answered
    assert len(room.owner.call("GET", place)["responses"]) == 1
    others = {item["record"]["id"] for item in room.owner.search(room.hurts, me=False)["items"]}
    unseen = others - {item["record"]["id"] for item in leo.search(room.hurts)["items"]}
    assert len(unseen) == 12 - MOST
    hidden = unseen.pop()
    for told in ("", "/suggestions"):
        leo.call("GET", f"/records/{hidden}{told}", expect=403)
    leo.say(room.asks, "no")
    leo.call("GET", place, expect=403)
    room.owner.call("GET", place)


# --- stopping -----------------------------------------------------------------------------------------


def test_whoever_stops_sees_nothing_more_until_they_consent_again(make: Callable[..., Room]) -> None:
    room, other = make(), make()
    second = room.add(4, name="hurts too")
    somebody = room.person(other)
    for asks in (room.asks, other.asks):
        somebody.say(asks, "yes")
    somebody.say(room.hurts, "yes")
    somebody.say(second, "stop")
    for dataset in (room.hurts, second):
        for how in EVERYTHING.values():
            assert somebody.sees(dataset, **how) == []
    assert somebody.call("GET", f"/annot/guards/{room.hurts['id']}")["why"] == "stopped"
    assert len(somebody.sees(other.hurts)) == MOST - 2
    # The same answer again, as the page sends it, is a new consent.
    (given,) = somebody.search(room.asks, terms(STATUS, "submitted"))["items"]
    (response,) = somebody.call("GET", f"/records/{given['record']['id']}")["responses"]
    again = {"status": "submitted", "values": response["values"]}
    assert somebody.call("PUT", f"/responses/{response['id']}", json=again)["updated_at"] > response["updated_at"]
    assert somebody.call("GET", f"/annot/guards/{room.hurts['id']}")["why"] == "open"
    assert len(somebody.sees(room.hurts, filters=MINE)) == 1
    kept = room.owner.call("GET", f"/datasets/{second['id']}/records", params={"include": "responses"})["items"]
    assert [r["values"]["known"]["value"] for item in kept for r in item["responses"]] == ["stop"]


@pytest.mark.parametrize("status", ["draft", "discarded"])
def test_a_stop_counts_however_it_is_saved(room: Room, status: str) -> None:
    somebody = room.person()
    somebody.say(room.asks, "yes")
    somebody.say(room.hurts, "stop", status=status)
    assert somebody.sees(room.hurts, filters=()) == []


def test_a_stop_outlives_the_record_and_the_answer_that_said_it(room: Room) -> None:
    ana, leo = room.person(), room.person()
    for somebody in (ana, leo):
        somebody.say(room.asks, "yes")
        somebody.say(room.hurts, "stop")
    kept = room.owner.call("GET", f"/datasets/{room.hurts['id']}/records", params={"include": "responses"})["items"]
    told = {r["user_id"]: (item["id"], r["id"]) for item in kept for r in item["responses"]}
    leo.call("DELETE", f"/responses/{told[leo.user['id']][1]}")  # before the record, which may be the same for both
    room.owner.call("DELETE", f"/datasets/{room.hurts['id']}/records", params={"ids": told[ana.user["id"]][0]})
    assert (ana.sees(room.hurts, filters=()), leo.sees(room.hurts, filters=())) == ([], [])
    ana.say(room.asks, "yes")
    assert len(ana.sees(room.hurts)) > 0


def test_another_option_or_an_unguarded_dataset_stops_nobody(room: Room) -> None:
    plain = {"id": room.world.api.add_dataset("plain", room.id, replace(guarded(), guard=None)).id}
    room.fill(plain, 2)
    somebody = room.person()
    somebody.say(room.asks, "yes")
    somebody.say(plain, "stop")
    somebody.say(room.hurts, "skip")
    assert len(somebody.sees(room.hurts)) == MOST - 1
    assert len(somebody.sees(plain, filters=())) == 2


# --- how many a day -----------------------------------------------------------------------------------


def test_nobody_is_shown_more_than_so_many_whichever_way_they_look(room: Room) -> None:
    for first in EVERYTHING:
        somebody, seen = room.person(), set[str]()
        somebody.say(room.asks, "yes")
        for options in (EVERYTHING[first], *EVERYTHING.values()):
            more = {name: option for name, option in options.items() if name != "filters"}
            for offset in range(0, 12, 4):
                page = somebody.search(room.hurts, *options["filters"], offset=offset, limit=4, **more)
                assert page["total"] == (0 if options is EVERYTHING["by an answer"] else MOST)
                seen |= {item["record"]["external_id"] for item in page["items"]}
        assert len(seen) == MOST


def test_what_was_shown_in_one_dataset_counts_in_all_workspaces(make: Callable[..., Room]) -> None:
    room, other = make(), make()
    second = room.add(12, name="hurts too")
    somebody = room.person(other)
    somebody.say(room.asks, "yes")
    somebody.say(other.asks, "yes")
    first = somebody.search(room.hurts, *PENDING, limit=1)
    assert first["total"] == MOST
    assert len(somebody.sees(second)) == MOST - 1
    assert somebody.sees(other.hurts) == []
    assert len(somebody.sees(room.hurts)) == 1


def test_what_others_complete_makes_no_room_for_more(make: Callable[..., Room]) -> None:
    room = make(overlap=1)
    ana, leo = room.person(), room.person()
    ana.say(room.asks, "yes")
    seen = set(ana.sees(room.hurts))
    for record in room.owner.search(room.hurts, me=False)["items"]:
        if record["record"]["external_id"] in seen:
            item = {"record_id": record["record"]["id"], "values": {"known": {"value": "yes"}}, "status": "submitted"}
            leo.call("POST", "/me/responses/bulk", json={"items": [item]})
    assert ana.sees(room.hurts) == []
    assert set(ana.sees(room.hurts, filters=())) == seen


def test_after_a_day_there_are_more_and_a_deleted_answer_makes_no_room(room: Room, sql: Sql) -> None:
    somebody = room.person()
    somebody.say(room.asks, "yes")
    first = somebody.sees(room.hurts)
    for _ in range(MOST):
        somebody.say(room.hurts, "yes")
    assert somebody.sees(room.hurts) == []
    assert set(somebody.sees(room.hurts, filters=MINE)) == set(first)
    record = somebody.search(room.hurts, *MINE)["items"][0]["record"]
    told = somebody.call("GET", f"/records/{record['id']}")
    somebody.call("DELETE", f"/responses/{told['responses'][0]['id']}")
    assert somebody.sees(room.hurts) == [record["external_id"]]

    told = somebody.call("GET", f"/annot/guards/{room.hurts['id']}")
    assert (told["why"], told["left"], told["most_a_day"]) == ("open", 0, MOST)
    whose, before = f"WHERE user_id = '{sql.id(somebody.user['id'])}'", datetime.utcnow() - timedelta(hours=24)
    sql.run(f"UPDATE annot_shown SET at = '{before}' {whose}")
    assert somebody.call("GET", f"/annot/guards/{room.hurts['id']}")["left"] == MOST
    second = somebody.sees(room.hurts)
    assert len(second) == MOST
    assert set(second) & set(first) <= {record["external_id"]}
    assert sql.run(f"SELECT count(*) FROM annot_shown {whose}") == [str(MOST)]  # what counts no more is not kept


def test_many_requests_at_once_are_shown_no_more_than_one_would_be(room: Room) -> None:
    second = room.add(12, name="hurts too")
    somebody = room.person()
    somebody.say(room.asks, "yes")
    with ThreadPoolExecutor(8) as threads:
        found = threads.map(lambda number: somebody.search((room.hurts, second)[number % 2], *PENDING), range(8))
    seen = {item["record"]["external_id"] for page in found for item in page["items"]}
    assert len(seen) == MOST


def test_nobody_is_shown_what_is_their_own(room: Room) -> None:
    mine = room.add(0, name="hurts too")
    somebody = room.person()
    own = room.fill(mine, 5, author=somebody.user["username"])
    others = room.fill(mine, 2)
    somebody.say(room.asks, "yes")
    assert set(somebody.sees(mine)) == set(others)
    assert not set(own) & set(somebody.sees(mine, filters=()))


def test_the_lead_may_change_the_number(room: Room) -> None:
    somebody = room.person()
    somebody.say(room.asks, "yes")
    assert len(somebody.sees(room.hurts)) == MOST
    for most in (MOST + 2, 1, MOST + 4):
        room.world.api.set_rules(room.hurts["id"], guarded(most).rules)
        (there,) = (d for d in room.world.api.datasets() if d.id == room.hurts["id"])
        assert there.rules == guarded(most).rules
        assert somebody.call("GET", f"/annot/guards/{room.hurts['id']}")["most_a_day"] == most
    assert len(somebody.sees(room.hurts)) == MOST + 4


def test_what_a_person_wrote_and_the_server_refuses_is_in_no_log(
    room: Room, request: pytest.FixtureRequest, argilla_server: tuple[str, Owner]
) -> None:
    sqlite = argilla_server == request.getfixturevalue("argilla_on_sqlite")
    home: Path = request.getfixturevalue("argilla_home" if sqlite else "argilla_postgresql_home")
    somebody, wrote = room.person(), f"toman mate {uuid4().hex}"
    somebody.say(room.asks, "yes")
    record = somebody.search(room.hurts, *PENDING, limit=1)["items"][0]["record"]["id"]
    refused = {"values": {"known": wrote}, "status": "submitted"}
    somebody.call("POST", f"/records/{record}/responses", 422, json=refused)
    somebody.call("POST", "/me/responses/bulk", 422, json={"items": [refused]})
    somebody.call("POST", f"/me/datasets/{room.hurts['id']}/records/search", 422, json={"query": wrote})
    logs = [path.read_text(encoding="utf-8", errors="replace") for path in (home / "logs").iterdir()]
    assert any("Refused: [('model_attributes_type', ('body', 'values', 'known'))]" in log for log in logs)
    assert not any(wrote in log for log in logs)
