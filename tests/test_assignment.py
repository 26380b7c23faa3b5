"""Assignment: the embedded Argilla hands out records by the rule of their dataset, and nobody works in vain."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from fake_argilla import RealWorld
from feed_client import Sql
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from search_client import Client, Json, between, metadata, of_record, terms
from test_consent import asking

from annotation.hosting import embedded
from annotation.hosting.embedded import Owner
from annotation.tasks.form import Field, Form, Guard, Property, Question

pytestmark = pytest.mark.server

STATUS = {"entity": "response", "property": "status"}
PENDING = (terms(STATUS, "pending"), terms(of_record("status"), "pending"))
RULE: Json = {"overlap": 2, "hold_minutes": 60, "most": 0, "most_a_day": 0, "controls": [], "groups": []}
OPTIONS = {"yes": "Sí", "no": "No"}


def form(overlap: int = 2) -> Form:
    names = ("item", "purpose", "topic", "language", "author")
    return Form(
        names=("work",),
        guidelines="Lee.",
        fields=(Field("text", "Texto"),),
        questions=(Question("known", "label_selection", "¿?", required=True, options=OPTIONS),),
        metadata=tuple(Property(name, "terms", name, visible=name == "topic") for name in names),
        vector=None,
        overlap=overlap,
    )


class Room:
    """A workspace with a dataset whose records are assigned."""

    def __init__(self, world: RealWorld, owner: Client, sql: Sql, **rule: Any) -> None:
        self.world, self.owner, self.sql = world, owner, sql
        self.workspace = world.api.add_workspace(f"w{uuid4().hex[:8]}")
        self.dataset: Json = {"id": world.api.add_dataset("work", self.workspace, form(rule.get("overlap") or 2)).id}
        self.path = f"/annot/assignment/{self.dataset['id']}"
        self.names: dict[str, str] = {}
        self.rule(**rule)

    def rule(self, **changed: Any) -> None:
        self.world.api.set_rules(self.dataset["id"], {"annot_assign": RULE | changed})

    def fill(self, count: int, name: str = "r", **described: str) -> list[str]:
        """Records more; their names."""
        names = [f"{name}{len(self.names) + number:04}" for number in range(count)]
        made = [
            {"external_id": n, "fields": {"text": f"mate, {n}"}, "metadata": {"item": n} | described} for n in names
        ]
        for first in range(0, count, 500):
            self.names |= self.world.api.add_records(self.dataset["id"], made[first : first + 500])
        return names

    def person(self, role: str = "annotator") -> Person:
        """Someone new in this workspace."""
        name = f"u{uuid4().hex[:8]}"
        account = {"first_name": name, "username": name, "password": "a long password", "role": role}
        user = self.owner.call("POST", "/users", json=account)
        self.owner.call("POST", f"/workspaces/{self.workspace}/users", json={"user_id": user["id"]})
        return Person(self, user)

    def team(self, size: int) -> list[Person]:
        return [self.person() for _ in range(size)]

    def answers(self) -> dict[str, list[str]]:
        """Name of a record -> ids of those who submitted an answer."""
        found: dict[str, list[str]] = {}
        for offset in range(0, len(self.names), 500):
            asked = {"include": "responses", "limit": 500, "offset": offset}
            for item in self.owner.call("GET", f"/datasets/{self.dataset['id']}/records", params=asked)["items"]:
                given = [r["user_id"] for r in item["responses"] if r["status"] == "submitted"]
                found[item["external_id"]] = given
        return found

    def pass_minutes(self, minutes: float) -> None:
        """Move the clock: what happened lies so much further back."""
        for table, column in (("annot_visits", "until"), ("annot_seats", "at")):
            rows = self.sql.run(f"SELECT DISTINCT {column} FROM {table} WHERE {self._here}")
            for row in rows:
                earlier = datetime.fromisoformat(row) - timedelta(minutes=minutes)
                moved = earlier.isoformat(" ", "microseconds")
                self.sql.run(f"UPDATE {table} SET {column} = '{moved}' WHERE {self._here} AND {column} = '{row}'")

    def check(self) -> None:
        """What is kept beside Argilla's tables agrees with them, and no record has more seats than there are."""
        seats = f"FROM annot_seats WHERE record_id = annot_places.record_id AND {self._here} AND user_id NOT IN "
        seats += f"(SELECT user_id FROM annot_uncounted WHERE {self._here})"
        wrong = (
            f"SELECT count(*) FROM annot_places WHERE {self._here} AND (taken <> (SELECT coalesce(sum(holds), 0) "
            f"{seats}) OR answered <> (SELECT count(*) {seats} AND answer = 'submitted'))",
            f"SELECT count(*) FROM responses JOIN records ON records.id = record_id WHERE records.{self._here} AND NOT "
            "EXISTS (SELECT 1 FROM annot_seats WHERE annot_seats.record_id = records.id AND "
            "annot_seats.user_id = responses.user_id AND answer = CAST(responses.status AS VARCHAR))",
            f"SELECT (SELECT count(*) FROM annot_seats WHERE {self._here} AND answer <> '') - (SELECT count(*) FROM "
            f"responses JOIN records ON records.id = record_id WHERE records.{self._here})",
            f"SELECT (SELECT count(*) FROM annot_places WHERE {self._here}) - (SELECT count(*) FROM records WHERE "
            f"{self._here})",
        )
        assert self.sql.run(*wrong) == ["0"] * len(wrong)
        groups = "control, topic, language, taken, answered"
        kept = f"{groups}, records FROM annot_standing WHERE {self._here} AND records <> 0"
        counted = f"{groups}, count(*) FROM annot_places WHERE {self._here} GROUP BY {groups}"
        assert sorted(self.sql.run(f"SELECT {kept}")) == sorted(self.sql.run(f"SELECT {counted}"))

    def taken(self) -> dict[str, int]:
        """Id of a work record -> seats that are taken."""
        rows = self.sql.run(f"SELECT record_id, taken FROM annot_places WHERE {self._here} AND control = 0")
        return {id_.replace("-", ""): int(taken) for id_, taken in (row.split("|") for row in rows)}

    @property
    def _here(self) -> str:
        return f"dataset_id = '{self.sql.id(self.dataset['id'])}'"


class Person(Client):
    """Someone who is logged in, and works in one room."""

    def __init__(self, room: Room, user: Json) -> None:
        super().__init__(room.world.api.url, user["api_key"])
        self.room, self.user, self.id = room, user, user["id"]

    def queue(self, limit: int = 10, offset: int = 0) -> list[str]:
        """Names of the records that wait for them."""
        found = self.search(self.room.dataset, *PENDING, limit=limit, offset=offset)
        self.total = found["total"]
        return [item["record"]["external_id"] for item in found["items"]]

    def told(self) -> tuple[str, int, int]:
        """Why, answered, left."""
        now = self.call("GET", self.room.path)
        assert now["assigned"] is True
        return now["why"], now["answered"], now["left"]

    def give(self, name: str, status: str = "submitted") -> str:
        """Answer a record; the sentence with which the answer is refused."""
        item = {"record_id": self.room.names[name], "values": {"known": {"value": "yes"}}, "status": status}
        (given,) = self.call("POST", "/me/responses/bulk", json={"items": [item]})["items"]
        return "" if given["error"] is None else str(given["error"]["detail"])

    def work(self, most: int = 10_000, page: int = 10) -> list[str]:
        """Answer what the queue gives until it is empty, one record after the other."""
        done: list[str] = []
        while len(done) < most and (waiting := self.queue(page)):
            assert not self.give(waiting[0])
            done.append(waiting[0])
        return done


@pytest.fixture(scope="module")
def argilla_server(argilla_on_each: tuple[str, Owner]) -> tuple[str, Owner]:
    """Every test here holds on both kinds of database."""
    return argilla_on_each


@pytest.fixture
def make(real_world: RealWorld, argilla_server: tuple[str, Owner], sql: Sql) -> Callable[..., Room]:
    """Makes rooms."""
    owner = Client(argilla_server[0], argilla_server[1].api_key)
    return lambda **rule: Room(real_world, owner, sql, **rule)


# --- seats --------------------------------------------------------------------------------------------


def test_people_who_answer_at_once_finish_every_record_and_no_answer_is_one_too_many(make: Callable[..., Room]) -> None:
    room = make(overlap=3)
    names = room.fill(24)
    team = room.team(6)
    with ThreadPoolExecutor(6) as threads:
        done = list(threads.map(Person.work, team))
    assert {name: len(given) for name, given in room.answers().items()} == dict.fromkeys(names, 3)
    assert sum(map(len, done)) == 72
    assert all(len(set(mine)) == len(mine) for mine in done)
    assert {person.told() for person in team} == {("finished", len(mine), 0) for mine in done}
    room.check()


def test_of_answers_to_one_record_at_the_same_moment_as_many_are_taken_as_there_are_seats(
    make: Callable[..., Room],
) -> None:
    room = make(overlap=2)
    (name,) = room.fill(1)
    team = room.team(8)
    with ThreadPoolExecutor(8) as threads:
        said = list(threads.map(lambda person: person.give(name), team))
    assert sum(not refused for refused in said) == 2
    assert len({refused for refused in said if refused}) == 1
    assert len(room.answers()[name]) == 2
    room.check()


def test_an_answer_without_a_seat_is_refused_in_every_way_of_answering(make: Callable[..., Room]) -> None:
    room = make(overlap=1)
    first, second, third = room.fill(3)
    ana, leo = room.team(2)
    said = {"status": "submitted", "values": {"known": {"value": "yes"}}}
    kept = leo.call("POST", f"/records/{room.names[third]}/responses", json=said | {"status": "draft"})
    gone = leo.call("POST", f"/records/{room.names[second]}/responses", json={"status": "discarded", "values": None})
    room.pass_minutes(61)
    assert ana.queue() == [first, second, third]
    assert leo.queue() == []
    assert leo.told() == ("later", 0, 0)
    refused = leo.call("POST", f"/records/{room.names[first]}/responses", 409, json=said)
    assert refused == {"code": "annot_no_seat", "detail": leo.give(first)}
    assert leo.call("PUT", f"/responses/{kept['id']}", 409, json=said)["code"] == "annot_no_seat"
    leo.call("PUT", f"/responses/{kept['id']}", json=said | {"status": "draft"})  # theirs, and holds no seat
    assert leo.call("PUT", f"/responses/{gone['id']}", 409, json=said)["code"] == "annot_no_seat"
    items = [{"record_id": room.names[name], **said} for name in (first, third)]
    given = leo.call("POST", "/me/responses/bulk", json={"items": items})["items"]
    assert [one["error"]["detail"] for one in given] == [refused["detail"]] * 2
    assert not any(room.answers().values())
    assert (ana.give(first), ana.give(second), ana.give(third)) == ("", "", "")
    again = ana.call("GET", f"/records/{room.names[first]}")["responses"][0]["id"]
    ana.call("PUT", f"/responses/{again}", json=said | {"values": {"known": {"value": "no"}}})  # a mistake is mended
    room.check()


def test_nobody_makes_a_record_theirs_by_a_draft_or_a_discard(make: Callable[..., Room]) -> None:
    room, test = make(overlap=1), make(overlap=None, turns={"size": 1})
    first, second = room.fill(2)
    now, later = test.fill(2, purpose="entry")
    ana, leo = room.team(2)
    for person in (ana, leo):
        room.owner.call("POST", f"/workspaces/{test.workspace}/users", json={"user_id": person.id})
    tested = Person(test, leo.user)
    assert ana.queue(1) == [first]

    def refused(person: Person, name: str) -> set[str]:
        place = f"/records/{person.room.names[name]}"
        told = [
            person.call("POST", f"{place}/responses", 409, json={"status": status, "values": None})
            for status in ("draft", "discarded")
        ]
        assert {person.give(name, status) for status in ("draft", "discarded", "submitted")} == {told[0]["detail"]}
        person.call("GET", place, 403)
        return {one["code"] for one in told}

    assert refused(leo, first) == {"annot_no_seat"}
    assert refused(tested, later) == {"annot_not_yours"}
    assert not tested.give(now, "discarded")
    room.rule(overlap=1, open_to=[])
    assert refused(leo, second) == {"annot_not_yours"}
    assert not ana.give(first, "draft")  # they hold it
    assert not ana.give(first, "discarded")
    assert not ana.give(first, "draft")  # they had it
    assert ana.give(first)
    room.check()
    test.check()


def test_what_is_discarded_is_anothers_to_answer_and_what_is_a_draft_is_held(make: Callable[..., Room]) -> None:
    room = make(overlap=1)
    first, second = room.fill(2)
    ana, leo = room.team(2)
    assert ana.queue() == [first, second]
    ana.give(first, "discarded")
    ana.give(second, "draft")
    assert ana.queue() == []
    assert leo.queue() == [first]
    assert leo.give(second)
    assert not ana.give(second)
    assert not leo.give(first)
    assert (ana.told(), leo.told()) == (("finished", 1, 0), ("finished", 1, 0))
    room.check()


def test_a_deleted_answer_gives_its_seat_back(make: Callable[..., Room]) -> None:
    room = make(overlap=1)
    (name,) = room.fill(1)
    ana, leo = room.team(2)
    ana.work()
    assert leo.queue() == []
    given = ana.call("GET", f"/records/{room.names[name]}")["responses"][0]["id"]
    ana.call("DELETE", f"/responses/{given}")
    assert leo.work() == [name]
    room.check()


def test_seats_are_held_until_so_long_after_the_last_request(make: Callable[..., Room]) -> None:
    room = make(overlap=1)
    first, second = room.fill(2)
    ana, leo = room.team(2)
    assert ana.queue() == [first, second]
    requests: list[Callable[[], Any]] = [
        ana.queue,
        lambda: ana.search(room.dataset, text="mate"),
        lambda: ana.call("GET", f"/records/{room.names[first]}"),
        lambda: ana.give(second, "draft"),
        ana.told,
    ]
    for request in requests:
        room.pass_minutes(50)
        assert leo.queue() == []
        request()
    room.pass_minutes(61)
    assert leo.told() == ("open", 0, 2)
    assert leo.queue() == [first, second]
    assert ana.give(second)  # the draft stays, and leo has the seat
    room.pass_minutes(61)
    assert not ana.give(second)
    assert (ana.queue(), leo.queue()) == ([first], [])
    room.check()


def test_whoever_pages_on_takes_no_more_than_fifty_away_from_others(make: Callable[..., Room]) -> None:
    room = make(overlap=1)
    names = room.fill(70)
    ana, leo = room.team(2)
    assert (ana.queue(), ana.total) == (names[:10], 70)
    assert (ana.queue(offset=10), ana.total) == (names[10:20], 70)
    assert (ana.queue(limit=1000), ana.total) == (names[:50], 50)
    assert (ana.queue(offset=50), ana.total) == ([], 50)
    assert (leo.queue(limit=1000), leo.total) == (names[50:], 20)
    assert ana.told() == ("open", 0, 50)


# --- what comes first ---------------------------------------------------------------------------------


def test_what_is_begun_comes_first_then_what_was_added_first(make: Callable[..., Room]) -> None:
    room = make(overlap=2)
    names = room.fill(6)
    ana, leo, eva = room.team(3)
    assert not ana.give(names[3])
    assert leo.queue(3) == [names[3], names[0], names[1]]
    assert eva.queue(4) == [names[0], names[1], names[2], names[4]]


def test_the_group_that_is_least_finished_comes_first(make: Callable[..., Room]) -> None:
    groups = [
        {"topic": "food", "language": "es", "target": 4},
        {"topic": "", "language": "pt", "target": 2},
        {"topic": "music", "language": "", "target": 8},
    ]
    room = make(overlap=1, groups=groups)
    music = room.fill(8, topic="music", language="es")
    food = room.fill(4, topic="food", language="es")
    pt = room.fill(2, topic="food", language="pt")
    rest = room.fill(1, topic="dance", language="es")
    lead, ana = room.person("admin"), room.person()
    for name in (food[0], music[0], music[1], music[2]):  # 1/4, 0/2, 3/8, 0/1
        assert not lead.give(name)
    assert ana.queue(1) == [pt[0]]
    assert not ana.give(pt[0])  # 1/2
    assert ana.queue(1) == rest
    assert not ana.give(rest[0])
    then = [food[1], music[3], food[2], pt[1], *music[4:6], food[3], *music[6:]]
    assert ana.work(page=1) == then


def test_nobody_is_asked_about_their_own_or_in_a_language_that_they_do_not_read(make: Callable[..., Room]) -> None:
    room = make(overlap=2)
    ana, leo = room.team(2)
    own = room.fill(2, author=ana.user["username"], language="es")
    es, pt, bare = (room.fill(1, language=language)[0] for language in ("es", "pt", ""))
    room.rule(languages={leo.id: ["pt"]})
    assert (ana.told(), leo.told()) == (("open", 0, 3), ("open", 0, 2))
    assert (ana.work(), leo.work()) == ([es, pt, bare], [pt, bare])
    assert (ana.told()[0], leo.told()[0]) == ("finished", "finished")
    assert ana.give(own[0])
    assert leo.give(es)


def test_who_does_not_count_takes_no_seat_from_others_until_they_count_again(make: Callable[..., Room]) -> None:
    room = make(overlap=2)
    first, second, third = room.fill(3)
    ana, leo, eva, rui = room.team(4)
    assert ana.queue() == [first, second, third]
    assert not ana.give(first)
    assert not leo.give(first)
    assert not leo.give(second)
    assert eva.told() == ("open", 0, 1)
    room.rule(uncounted=[ana.id])
    assert eva.told() == ("open", 0, 3)
    assert eva.queue() == [first, second, third]
    room.check()
    assert not ana.give(second)
    assert not eva.give(second)
    assert not eva.give(first)
    assert rui.give(first)
    assert rui.queue() == [third]
    assert ana.work() == [third]
    assert not eva.give(third)
    assert not rui.give(third)
    assert ana.told() == ("finished", 3, 0)
    counted = [[id_ for id_ in given if id_ != ana.id] for given in room.answers().values()]
    assert [len(given) for given in counted] == [2, 2, 2]
    room.check()
    room.rule()
    assert rui.told() == ("finished", 1, 0)
    room.check()
    assert set(room.taken().values()) == {3}


def test_two_names_of_one_person_are_asked_once_and_not_about_their_own(make: Callable[..., Room]) -> None:
    room = make(overlap=3)
    first, second = room.fill(2)
    ana, anita, leo = room.team(3)
    (own,) = room.fill(1, author=anita.user["username"])
    room.rule(overlap=3, same={ana.id: [anita.id], anita.id: [ana.id]})
    assert ana.told() == ("open", 0, 2)
    assert ana.queue(1) == [first]
    assert anita.told() == ("open", 0, 1)
    assert anita.queue() == [second]
    assert anita.give(first)
    assert ana.give(own)
    assert not ana.give(first)
    assert not anita.give(second)
    assert (ana.told(), anita.told()) == (("finished", 1, 0), ("finished", 1, 0))
    assert set(leo.work()) == {first, second, own}
    room.check()


def test_what_was_removed_is_finished_by_whoever_has_it_and_is_nobody_elses(make: Callable[..., Room]) -> None:
    room = make(overlap=3)
    first, second = room.fill(2)
    (known,) = room.fill(1, "k", purpose="control")
    ana, leo, eva = room.team(3)
    assert not ana.give(first)
    assert leo.queue() == [first, second]
    room.rule(overlap=3, controls=[1, 1, 1], gone=[room.names[first], room.names[known]])
    assert eva.told() == ("open", 0, 1)
    assert eva.queue() == [second]
    assert eva.give(first)
    assert not leo.give(first)
    assert leo.work() == [second]
    assert leo.told() == ("finished", 2, 0)
    room.check()


def test_a_person_gets_no_more_than_the_lead_allows_in_all_and_a_day(make: Callable[..., Room]) -> None:
    room = make(overlap=2, most=5, most_a_day=3)
    names = room.fill(12)
    (ana,) = room.team(1)
    assert (ana.queue(), ana.total) == (names[:3], 3)
    assert ana.give(names[8])  # all that is theirs today is in their queue
    assert ana.work() == names[:3]
    assert ana.told() == ("most_a_day", 3, 0)
    room.pass_minutes(24 * 60)
    assert ana.told() == ("open", 3, 2)
    assert ana.work() == names[3:5]
    room.pass_minutes(24 * 60)
    assert ana.told() == ("most", 5, 0)
    assert ana.queue() == []


def test_a_room_is_open_to_those_whom_it_names_and_tells_others_of_the_entry_test(make: Callable[..., Room]) -> None:
    room = make()
    names = room.fill(2)
    ana, leo = room.team(2)
    room.rule(open_to=[ana.id])
    assert (ana.queue(), leo.queue(), leo.told()) == (names, [], ("closed", 0, 0))
    entry = make(overlap=None).dataset["id"]
    room.rule(open_to=[ana.id], entry=entry)
    assert leo.told() == ("entry", 0, 0)
    assert leo.call("GET", room.path)["entry"] == entry
    assert leo.give(names[0])
    assert len(room.owner.ids(room.dataset)) == len(room.person("admin").ids(room.dataset)) == 2


def test_a_room_that_is_for_others_alone_is_not_there_for_an_annotator(make: Callable[..., Room]) -> None:
    room, test = make(), make(overlap=None)
    names = room.fill(2)
    ana, leo, judge = room.team(3)
    lead, stranger, place = room.person("admin"), test.person(), f"/datasets/{room.dataset['id']}"

    def sees(*people: Client) -> list[bool]:
        found = [p.call("GET", "/me/datasets")["items"] for p in people]
        return [room.dataset["id"] in [dataset["id"] for dataset in datasets] for datasets in found]

    room.rule(open_to=[ana.id])
    assert sees(ana, leo, judge, lead, room.owner) == [True, False, False, True, True]
    for path in (place, f"{place}/fields", f"{place}/questions", f"/me{place}/metadata-properties"):
        assert leo.call("GET", path, 403) == stranger.call("GET", path, 403)
        for person in (ana, lead, room.owner):
            person.call("GET", path)
    test.rule(open_to=[leo.id])
    room.rule(open_to=[ana.id], entry=test.dataset["id"])
    assert sees(ana, leo, judge) == [True, True, False]
    leo.call("GET", place)
    assert not ana.give(names[0])
    room.rule(open_to=[])
    assert sees(ana, leo, lead) == [True, False, True]  # what they have answered is theirs to look at


def test_whoever_has_no_try_left_or_no_test_to_do_is_not_sent_to_the_test(make: Callable[..., Room]) -> None:
    room, test = make(), make(overlap=None)
    room.fill(2)
    ana, leo, eva, judge = room.team(4)
    told = {ana.id: ["failed", ""], leo.id: ["waits", "2026-12-01T15:30:00+00:00"]}
    turns = {"size": 2, "of": dict.fromkeys(told, -1), "told": told}
    test.rule(overlap=None, turns=turns, open_to=[ana.id, leo.id, eva.id])
    room.rule(open_to=[], entry=test.dataset["id"])
    assert [person.told()[0] for person in (ana, leo, eva, judge)] == ["failed", "entry", "entry", "closed"]


def test_each_turn_of_an_entry_test_has_records_of_its_own(make: Callable[..., Room]) -> None:
    room = make(overlap=None)
    names = room.fill(6, purpose="entry")
    ana, leo, eva = room.team(3)
    turns: dict[str, int] = {eva.id: -1}
    room.rule(overlap=None, turns={"size": 2, "of": turns})
    assert (ana.work(), leo.work(), eva.work()) == (names[:2], names[:2], [])
    assert (ana.told(), eva.told()) == (("finished", 2, 0), ("closed", 0, 0))
    assert ana.give(names[2])
    turns |= {ana.id: 2, leo.id: -1}
    room.rule(overlap=None, turns={"size": 2, "of": turns})
    assert (ana.work(), leo.work(), leo.told()) == (names[4:], [], ("closed", 2, 0))
    room.check()


def test_where_no_overlap_is_set_everybody_answers_everything(make: Callable[..., Room]) -> None:
    room = make(overlap=None)
    names = room.fill(4)
    for person in room.team(4):
        assert sorted(person.work()) == names
        assert person.told() == ("finished", 4, 0)
    room.check()


def test_a_rule_that_cannot_be_read_lets_nobody_in(make: Callable[..., Room]) -> None:
    room = make()
    room.fill(2)
    room.rule(overlap="many")
    (ana,) = room.team(1)
    assert (ana.queue(), ana.told()) == ([], ("closed", 0, 0))


# --- control records ----------------------------------------------------------------------------------


def test_control_records_come_as_often_as_is_set_at_places_of_each_persons_own(make: Callable[..., Room]) -> None:
    room = make(overlap=1, controls=[20, 5, 10])
    controls = set(room.fill(12, "c", purpose="control"))
    room.fill(180)
    found = [person.work(60) for person in room.team(3)]
    for mine in found:
        assert len(set(mine)) == 60
        blocks = [mine[first : first + 5] for first in range(0, 20, 5)]
        blocks += [mine[first : first + 10] for first in range(20, 60, 10)]
        assert [len(controls.intersection(block)) for block in blocks] == [1] * 8
    where = {tuple(place for place, name in enumerate(mine) if name in controls) for mine in found}
    assert len(where) == 3
    assert len(set(room.answers()[sorted(controls)[0]])) <= 3
    room.check()


def test_the_total_tells_nobody_which_record_is_a_control(make: Callable[..., Room]) -> None:
    room = make(overlap=None)
    room.fill(40)
    room.fill(12, "k", purpose="control")
    room.rule(overlap=None, controls=[9, 3, 5])
    (ana,) = room.team(1)
    totals, controls = [ana.told()[2]], 0
    while waiting := ana.queue(1):
        assert ana.total == ana.told()[2] == totals[-1]
        controls += waiting[0].startswith("k")
        assert not ana.give(waiting[0])
        totals.append(ana.told()[2])
    assert totals == list(range(40 + controls, -1, -1))
    assert controls >= 9


def test_control_records_have_no_limit_of_answers_also_when_argilla_calls_them_completed(
    make: Callable[..., Room],
) -> None:
    room = make(overlap=1, controls=[2, 2, 2])
    (control,) = room.fill(1, "c", purpose="control")
    room.fill(10)
    for person in room.team(5):
        assert control in person.work(2, page=2)
    assert len(room.answers()[control]) == 5
    (kept,) = (r for r in room.owner.search(room.dataset, me=False)["items"] if r["record"]["external_id"] == control)
    assert kept["record"]["status"] == "completed"


def test_nothing_that_an_annotator_is_told_tells_control_records_from_others(make: Callable[..., Room]) -> None:
    room = make(overlap=2, controls=[2, 2, 2])
    work = room.fill(4, topic="food")
    control = room.fill(2, "c", topic="food", purpose="control")
    ana, leo = room.team(2)
    leo.work(3, page=2)
    ana.queue(4)
    texts = [
        ana.call("GET", f"/datasets/{room.dataset['id']}"),
        ana.call("GET", "/me/datasets"),
        ana.search(room.dataset, *PENDING, limit=4),
        ana.search(room.dataset),
        ana.search(room.dataset, text="mate"),
    ]
    found = {item["record"]["id"]: item["record"] for told in texts[2:] for item in told["items"]}
    assert {record["external_id"] for record in found.values()} & set(control)
    texts += [ana.call("GET", f"/records/{id_}") for id_ in found]
    for told in texts:
        assert not any(word in json.dumps(told) for word in ("purpose", "control", "annot_assign", leo.id))
    alike = {
        (r["status"], r["inserted_at"], r["updated_at"], *r["metadata"].items()) for r in [*found.values(), *texts[5:]]
    }
    assert len(alike) == 1
    # Nor is a search by what is hidden answered, or by what others did.
    for hidden in (metadata("purpose"), metadata("item")):
        assert ana.search(room.dataset, terms(hidden, "control"))["total"] == 0
    everything = ana.search(room.dataset)["total"]
    assert ana.search(room.dataset, between(of_record("inserted_at"), le="2020-01-01T00:00:00"))["total"] == everything
    up, down = (ana.ids(room.dataset, sort=[{"scope": of_record("inserted_at"), "order": o}]) for o in ("asc", "desc"))
    assert up == down
    assert ana.search(room.dataset, terms(of_record("status"), "completed"))["total"] == everything
    unseen = next(name for name in work + control if room.names[name] not in found)
    for told in ("", "/suggestions"):
        ana.call("GET", f"/records/{room.names[unseen]}{told}", 403)
        room.owner.call("GET", f"/records/{room.names[unseen]}{told}")
        ana.call("GET", f"/records/{next(iter(found))}{told}")
    assert "purpose" in json.dumps(room.owner.call("GET", f"/records/{room.names[control[0]]}"))
    assert "annot_assign" in json.dumps(room.person("admin").call("GET", "/me/datasets"))


# --- other searches, other people, other datasets -----------------------------------------------------


def test_other_searches_find_what_a_person_was_sent_or_answered(make: Callable[..., Room]) -> None:
    room = make(overlap=1)
    names = room.fill(9, topic="food")
    (ana,) = room.team(1)
    assert ana.ids(room.dataset) == []
    assert ana.queue(3) == names[:3]
    ana.give(names[0])
    ana.give(names[1], "draft")
    for how in ({"text": "mate"}, {"sort": [{"scope": of_record("inserted_at"), "order": "asc"}]}, {}):
        assert sorted(ana.ids(room.dataset, **how)) == names[:3]
    assert ana.ids(room.dataset, terms(STATUS, "submitted")) == names[:1]
    assert ana.ids(room.dataset, terms(STATUS, "draft"), PENDING[1]) == names[1:2]
    assert ana.ids(room.dataset, *PENDING, terms(metadata("topic"), "food")) == names[2:3]
    assert ana.ids(room.dataset, *PENDING, text="mate") == names[2:3]


def test_a_lead_looks_at_everything_and_an_answer_of_theirs_takes_a_seat(make: Callable[..., Room]) -> None:
    room = make(overlap=1)
    first, second = room.fill(2)
    lead, ana = room.person("admin"), room.person()
    assert sorted(lead.ids(room.dataset, *PENDING)) == [first, second]
    assert not lead.give(first)
    assert ana.work() == [second]
    assert lead.give(second)
    room.check()


def test_a_rule_may_come_when_there_are_answers_and_records_may_come_and_go(make: Callable[..., Room]) -> None:
    room = make(overlap=2)
    room.owner.call("PATCH", f"/datasets/{room.dataset['id']}", json={"metadata": None})
    names = room.fill(5)
    ana, leo, eva = room.team(3)
    for person in (ana, leo, eva):
        assert not person.give(names[0])  # no rule: one too many
    ana.give(names[1], "discarded")
    assert ana.call("GET", room.path)["assigned"] is False
    assert not room.taken()
    room.rule()
    assert ana.queue() == names[2:]
    assert leo.queue() == [*names[2:], names[1]]
    names += room.fill(1)
    room.owner.call("DELETE", f"/datasets/{room.dataset['id']}/records", params={"ids": room.names.pop(names[2])})
    room.check()
    assert eva.queue() == [names[1], names[5]]
    room.owner.call("DELETE", f"/users/{leo.id}")
    room.check()


def test_a_changed_purpose_counts_from_then_on(make: Callable[..., Room]) -> None:
    room = make(overlap=1, controls=[2, 2, 2])
    first, second, third = room.fill(3)
    ana, leo = room.team(2)
    assert ana.work(1, page=1) == [first]
    changed = [{"external_id": first, "fields": {"text": "x"}, "metadata": {"purpose": "control"}}]
    room.owner.call("PUT", f"/datasets/{room.dataset['id']}/records/bulk", json={"items": changed})
    room.check()
    assert set(leo.work()) == {first, second, third}


def test_what_is_guarded_and_assigned_is_shown_to_those_who_consented_so_many_a_day(make: Callable[..., Room]) -> None:
    room = make(overlap=2)
    names = room.fill(6)
    guard = Guard("known", "stop", 3)
    room.world.api.set_rules(room.dataset["id"], {"annot_guard": asdict(guard), "annot_assign": RULE})
    (ana,) = room.team(1)
    assert ana.queue() == []
    asks = {"id": room.world.api.add_dataset("consent", room.workspace, asking()).id}
    room.world.api.add_records(asks["id"], [{"external_id": "c", "fields": {"text": "x"}, "metadata": {"item": "c"}}])
    (record,) = ana.search(asks, *PENDING)["items"]
    ana.answer(record["record"], "submitted", answer="yes")
    assert (ana.queue(), ana.total) == (names[:3], 3)
    assert ana.work() == names[:3]
    assert sorted(ana.ids(room.dataset)) == names[:3]
    room.check()


def test_the_server_says_that_it_assigns_and_the_page_has_the_refusal_in_three_languages(
    make: Callable[..., Room],
) -> None:
    assert make().owner.call("GET", "/annot/changes")["assigns"] is True
    words = json.loads((Path(embedded.__file__).parents[1] / "server" / "web" / "words.json").read_text())
    for code in ("annot_no_seat", "annot_not_yours"):
        said = [words[of]["validations"]["businessLogic"][code]["message"] for of in ("es", "pt", "en")]
        assert len({*said, *(words[of]["thanks"][code] for of in ("es", "pt", "en"))}) == 6


# --- any team -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Team:
    """A drawn room: who is there, what there is, and what happens."""

    overlap: int
    languages: tuple[str, ...]
    """Of each person; "" for those who read everything."""
    authors: tuple[int, ...]
    """Who wrote each record; a number beyond the team is nobody."""
    groups: tuple[int, ...]
    """Of each record; those of group 0 and 1 are in Spanish, of 2 in Portuguese."""
    controls: int
    every: int
    happens: tuple[tuple[int, str], ...]
    """A person, and what they do; "all": those who have something answer it at once."""


@st.composite
def teams(draw: st.DrawFn) -> Team:
    size = draw(st.integers(1, 5))
    records = draw(st.integers(1, 10))
    doing = ("look", "answer", "answer", "discard", "draft", "leave", "all", "wait", "unasked")
    return Team(
        overlap=draw(st.integers(1, 4)),
        languages=tuple(draw(st.lists(st.sampled_from(("", "", "es", "pt")), min_size=size, max_size=size))),
        authors=tuple(draw(st.lists(st.integers(0, 12), min_size=records, max_size=records))),
        groups=tuple(draw(st.lists(st.integers(0, 2), min_size=records, max_size=records))),
        controls=draw(st.integers(0, 3)),
        every=draw(st.integers(2, 4)),
        happens=tuple(draw(st.lists(st.tuples(st.integers(0, size - 1), st.sampled_from(doing)), max_size=20))),
    )


class Campaign:
    """A team at work, and what must hold whatever it does."""

    def __init__(self, room: Room, team: Team) -> None:
        self.room, self.team = room, team
        self.people = room.team(len(team.languages))
        self.described: dict[str, tuple[str, str]] = {}  # language and author of each work record
        for author, group in zip(team.authors, team.groups, strict=True):
            language = "pt" if group == 2 else "es"
            name = self.people[author].user["username"] if author < len(self.people) else "somebody"
            (record,) = room.fill(1, topic=f"topic {group}", language=language, author=name)
            self.described[record] = language, name
        self.controls = set(room.fill(team.controls, "c", purpose="control"))
        groups = [{"topic": f"topic {group}", "language": "", "target": 2 + group} for group in range(2)]
        reads = {p.id: [of] for p, of in zip(self.people, team.languages, strict=True) if of}
        every = [team.every] * 3
        room.rule(overlap=team.overlap, groups=groups, languages=reads, controls=every)
        self.reads = {person.id: reads.get(person.id, ["es", "pt"]) for person in self.people}
        self.seen: dict[str, set[str]] = {person.id: set() for person in self.people}
        self.gave: dict[str, dict[str, str]] = {person.id: {} for person in self.people}
        self.gone: set[str] = set()
        self.people[0].told()  # before somebody asks, nothing is written down

    def look(self, person: Person) -> list[str]:
        """Ask for the queue: nothing that is not for this person, something if there is anything."""
        waiting = person.queue(3)
        gave = self.gave[person.id]
        self.seen[person.id].update(waiting)
        assert not gave.keys() & set(waiting)
        for name in set(waiting) - self.controls:
            assert self.may(person, name)
        assert len(self.seen[person.id] & self.controls) <= math.ceil(len(self.seen[person.id]) / self.team.every)
        if not waiting:
            taken = self.room.taken()
            free = [n for n in self.described if taken[self.room.names[n].replace("-", "")] < self.team.overlap]
            assert not [name for name in free if self.may(person, name) and name not in gave]
        return waiting

    def may(self, person: Person, name: str) -> bool:
        language, author = self.described[name]
        return author != person.user["username"] and language in self.reads[person.id]

    def give(self, person: Person, name: str, status: str) -> str:
        refused = person.give(name, status)
        if not refused:
            self.gave[person.id][name] = status
        return refused

    def do(self, person: Person, what: str) -> None:
        """One thing that happens."""
        if what == "wait":
            self.room.pass_minutes(61)
        elif what == "all":
            with ThreadPoolExecutor(5) as threads:
                list(threads.map(self.answer_first, [p for p in self.people if p.id not in self.gone]))
        elif person.id in self.gone:
            return
        elif what == "leave":
            self.gone.add(person.id)
        elif what == "unasked":
            name = next(iter(self.described))
            if self.gave[person.id].get(name) != "submitted":
                self.give(person, name, "submitted")
        elif (waiting := self.look(person)) and what != "look":
            status = {"answer": "submitted", "discard": "discarded", "draft": "draft"}[what]
            assert not self.give(person, waiting[0], status)
        self.hold()

    def answer_first(self, person: Person) -> None:
        waiting = person.queue(3)
        self.seen[person.id].update(waiting)
        for name in waiting[:2]:
            assert not self.give(person, name, "submitted")

    def hold(self) -> None:
        """No record has more seats than there are; what is kept agrees with the answers."""
        assert max(self.room.taken().values(), default=0) <= self.team.overlap
        self.room.check()

    def end(self) -> None:
        """Those who stayed work until there is nothing; the others' time is over."""
        self.room.pass_minutes(61)
        stayed = [person for person in self.people if person.id not in self.gone]
        for person in stayed:
            for name in [name for name, status in self.gave[person.id].items() if status == "draft"]:
                self.give(person, name, "submitted")
        while worked := [(person, name) for person in stayed for name in self.look(person)[:1]]:
            assert not [name for person, name in worked if self.give(person, name, "submitted")]
        given = self.room.answers()
        for name in self.described:
            able = [p for p in stayed if self.may(p, name) and name not in self.gave[p.id]]
            assert len(given[name]) == self.team.overlap if able else len(given[name]) <= self.team.overlap
        for who, said in self.gave.items():
            assert {n for n, status in said.items() if status == "submitted"} == {n for n in given if who in given[n]}
        self.hold()


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(team=teams())
def test_whatever_a_team_does_seats_are_kept_and_everything_is_finished_that_can_be(
    make: Callable[..., Room], team: Team
) -> None:
    campaign = Campaign(make(overlap=team.overlap), team)
    for person, what in team.happens:
        campaign.do(campaign.people[person], what)
    campaign.end()
