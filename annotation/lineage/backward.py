"""Backward from an item: its seats, who judged it, the candidates and what they cost, the prompt and its source."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from annotation.images.store import read_pictures
from annotation.ledger import Ledger, Response
from annotation.lineage.node import Node, beginning, day, some
from annotation.lineage.subject import Home
from annotation.tasks import TASKS
from annotation.tasks.answers import decisions, newest_responses, read_answers, roster
from annotation.tasks.page import AUTHOR, CONTROL, TEXTS_OF
from annotation.tasks.stereotype.item import NAME as STEREOTYPE
from annotation.types import SEATS, Answer, Item, Judgement

GONE = "forgotten"


def item_node(home: Home, ledger: Ledger, item: Item, most: int | None, *, judgements: bool = True) -> Node:
    """An item with its seats, its judgements, its candidates and its prompt."""
    pushed = ledger.rows("select count(*) as n from pushes where item_id = ? and record_id <> ''", item.id)[0]["n"]
    seats = [str(seat) for seat in item.content.get("seats", ())]
    group = f"{item.country}, {item.language}, {item.topic}, place {item.position + 1} in the order"
    kind = f" ({item.content[CONTROL]})" if CONTROL in item.content else ""
    asked = "" if item.purpose == "work" else f", asked for {item.purpose}{kind}"
    made = ledger.rows("select id from side_items where parent = ? and purpose <> 'adjudication'", item.id)
    state = (
        f", the control item {made[0]['id']} was made of it"
        if item.removed and made
        else f", {'its prompt' if item.prompt_id else 'it'} was removed"
        if item.removed
        else ""
        if pushed
        else ", not in Argilla"
    )
    below = [*judgement_nodes(home, ledger, item, most), *_decision_nodes(home, ledger, item)] if judgements else []
    texts = item.content.get(TEXTS_OF, {})
    below += [
        Node("candidate", f"seat {SEATS[place]}; made for this item; {beginning(texts[seat])}", seat)
        if seat in texts
        else candidate_node(ledger, seat, SEATS[place])
        for place, seat in enumerate(seats)
    ]
    if item.prompt_id:
        below.append(prompt_node(home, ledger, item.prompt_id))
    facts = {"task": item.task, "country": item.country, "language": item.language, "topic": item.topic, "seats": seats}
    line = f"{TASKS[item.task].title if item.task in TASKS else item.task}; {group}{asked}{state}"
    return Node("item", line, item.id, facts, below)


def judgement_nodes(home: Home, ledger: Ledger, item: Item, most: int | None, only: str = "") -> list[Node]:
    """What people said of an item, each under the pseudonym; one response of them where its id is given."""
    responses = [r for r in newest_responses(ledger, [item.id]) if only in ("", r.response_id)]
    team = roster(ledger)
    read = read_answers(responses, {item.id: item}, team)
    kept = {answer.response_id: answer for answer in read.kept}
    why = {dropped.id: dropped.reason for dropped in read.dropped}

    def node(response: Response) -> Node:
        name = home.pseudonym(response.annotator)
        answer = kept.get(response.response_id)
        reason = why.get(response.response_id, response.status).replace(f'"{response.annotator}"', name)
        said = _said(item, answer) if answer else f"does not count: {reason}"
        facts = {
            "annotator": name,
            "country": response.country,
            "at": response.updated_at,
            "status": response.status,
            "counts": answer is not None,
        }
        if answer and answer.weight != 1:
            said, facts["weight"] = f"{said}; weighs {answer.weight:g}", answer.weight
        line = f"{name}, {response.country}, {day(response.updated_at)}: {said}"
        return Node("judgement", line, response.response_id, facts)

    ordered = sorted(responses, key=lambda response: response.updated_at)
    return some(map(node, ordered), most, len(ordered))


def _decision_nodes(home: Home, ledger: Ledger, item: Item) -> Iterator[Node]:
    """What adjudicators decided of an item, in each country once."""
    for decision in decisions(ledger, {item.id: item}, roster(ledger)):
        answer = decision.answer
        name = home.pseudonym(answer.annotator)
        line = f"{name}, {answer.country}, {day(answer.submitted_at)}: {_said(item, answer)}"
        facts = {"annotator": name, "country": answer.country, "at": answer.submitted_at, "gap": decision.gap}
        yield Node("decision", line, answer.response_id, facts)


def _said(item: Item, answer: Answer[Any]) -> str:
    """A ranking by its seats; other answers say nothing here."""
    if not isinstance(answer.value, Judgement):
        return "counts"
    seat_of = dict(zip(item.content["seats"], SEATS, strict=False))
    order = " > ".join(" = ".join(seat_of[candidate] for candidate in tier) for tier in answer.value.tiers)
    extra = [
        *(["none is acceptable"] if answer.value.none_acceptable else []),
        *(["a rewrite"] * bool(answer.value.rewrite)),
    ]
    return ", ".join(filter(None, (order, *extra)))


def candidate_node(ledger: Ledger, candidate_id: str, seat: str = "") -> Node:
    """A candidate, how it was drawn, and the calls that brought it."""
    found = ledger.rows("select * from candidates where id = ?", candidate_id)
    if not found:
        return Node("candidate", "not in this ledger", candidate_id)
    row = found[0]
    settings = json.loads(row["settings"])
    drawn = ", ".join(f"{name} {value}" for name, value in settings.items())
    parts = [
        *([f"seat {seat}"] if seat else []),
        row["model"],
        *([f"voice {row['voice']}"] if row["voice"] else []),
        *([drawn] if drawn else []),
        beginning(row["text"]) if row["text"] else GONE,
    ]
    facts = {"seat": seat, "model": row["model"], "voice": row["voice"], "settings": settings, "usd": row["cost_usd"]}
    calls = list(_calls(ledger, row["prompt_id"], candidate_id))
    if not calls:
        calls = [Node("no call", "nothing was paid for it here: it was read from a file")]
    return Node("candidate", "; ".join(parts), candidate_id, facts, calls)


def _calls(ledger: Ledger, prompt_id: str, candidate_id: str) -> Iterator[Node]:
    """Every attempt at the slot that a candidate came from."""
    query = """select c.slot_id, c.attempt, c.at, c.reserved_usd, o.outcome, o.usd, o.input_tokens, o.output_tokens
               from calls c left join outcomes o using (slot_id, attempt)
               where c.prompt_id = ?1 and c.slot_id in
                 (select k.slot_id from calls k join outcomes b using (slot_id, attempt)
                   where k.prompt_id = ?1 and b.candidate_id = ?2)
               order by c.slot_id, c.attempt"""
    for row in ledger.rows(query, prompt_id, candidate_id):
        usd = row["reserved_usd"] if row["usd"] is None else row["usd"]
        tokens = f", {row['input_tokens']} + {row['output_tokens']} tokens" if row["input_tokens"] else ""
        line = f"{day(row['at'])}: {row['outcome'] or 'without an outcome, counted as paid'}, {dollars(usd)}{tokens}"
        facts = {"slot": row["slot_id"], "attempt": row["attempt"], "outcome": row["outcome"], "usd": usd}
        yield Node("call", line, "", facts)


def prompt_node(home: Home, ledger: Ledger, prompt_id: str, below: Sequence[Node] = ()) -> Node:
    """A prompt, its source, its licence, and the money that drafting for it cost."""
    found = ledger.rows(
        "select p.*, o.added_at from current_prompts p join prompts o using (id) where id = ?", prompt_id
    )
    if not found:
        return Node("prompt", "not in this ledger", prompt_id)
    row = found[0]
    calls, usd = money(ledger, [prompt_id])
    author = home.pseudonym(row["author"]) if row["author"] else ""
    text = GONE if prompt_id in ledger.forgotten("prompt") else beginning(row["text"])
    parts = [
        f"{row['country']}, {row['language']}, {row['topic']}; {text}",
        *(["removed"] if row["removed"] else []),
        f"added {day(row['added_at'])}",
        *([f"written by {author}"] if author else []),
    ]
    source = Node(
        "source",
        f"{row['source'] or 'not stated'}; licence {row['licence'] or 'not stated'}",
        facts={"source": row["source"], "licence": row["licence"]},
    )
    pictures = [
        Node("picture", f"by {p.creator}; licence {p.licence}; {p.source}; people {p.people}", p.id, asdict(p))
        for p in read_pictures(ledger, [row["image"]] if row["image"] else []).values()
    ]
    drafting = [Node("drafting", f"{calls} calls, {dollars(usd)}", facts={"calls": calls, "usd": usd})] if calls else []
    facts = {
        "country": row["country"],
        "language": row["language"],
        "topic": row["topic"],
        "removed": bool(row["removed"]),
        "author": author,
    }
    return Node("prompt", "; ".join(parts), prompt_id, facts, [source, *pictures, *drafting, *below])


def association_node(home: Home, ledger: Ledger, named: str, items: Sequence[Item], most: int | None) -> Node:
    """An association, where it came from, and who was asked about it or what was made of it; never what it says."""
    about = next(item for item in items if item.task == STEREOTYPE)
    author = str(about.content.get(AUTHOR, ""))
    state = GONE if named in ledger.forgotten("association") else "removed" if about.removed else ""
    shared = f"shared by {home.pseudonym(author)}" if author else ""
    line = "; ".join(filter(None, (f"about {about.topic}, {about.language}", shared, state)))
    facts = {name: about.content[name] for name in ("source", "licence", "target")}
    told = f"{facts['source'] or 'not stated'}; licence {facts['licence'] or 'not stated'}"
    asked = [item_node(home, ledger, item, most) for item in items]
    return Node("association", line, named, {**facts, "state": state}, [Node("source", told, facts=facts), *asked])


def money(ledger: Ledger, prompts: Sequence[str]) -> tuple[int, float]:
    """Calls for some prompts, and dollars: what they cost, or what is reserved where nobody knows yet."""
    query = """select count(*) as calls, coalesce(sum(coalesce(o.usd, c.reserved_usd)), 0) as usd
               from calls c left join outcomes o using (slot_id, attempt)
               where c.prompt_id in (select value from json_each(?))"""
    row = ledger.rows(query, json.dumps(list(prompts)))[0]
    return row["calls"], round(row["usd"], 10)


def dollars(usd: float) -> str:
    """Money in words: cents only where there are some."""
    return f"{usd:.2f} dollars" if usd >= 1 or not usd else f"{usd:.6f}".rstrip("0") + " dollars"
