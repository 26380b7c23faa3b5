"""`annot trace`: where something came from and where it went, as one tree."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from annotation.ledger import Ledger
from annotation.lineage.backward import (
    association_node,
    candidate_node,
    dollars,
    item_node,
    judgement_nodes,
    money,
    prompt_node,
)
from annotation.lineage.forward import release_nodes, way_of
from annotation.lineage.node import SHOWN, Node, day, some, span
from annotation.lineage.runs import RunFolder, run_of, runs_of
from annotation.lineage.snapshots import SnapshotFolder, Wanted, people_by_country, prompts_in, snapshot_of
from annotation.lineage.subject import Home, Subject, release_facts
from annotation.screen import counted
from annotation.tasks.ranking.file_judgements import count_judgements
from annotation.types import SEATS, Item, Person

ELSEWHERE = "not in this project's ledger: it came from elsewhere, and nothing more is known here"


def trace(home: Home, subject: Subject, *, everything: bool = False) -> Node:
    """All that is known of one thing.

    Args:
        home: The project, or a folder with runs.
        subject: From `find_subject`.
        everything: All rows of every list, not only the first few.
    """
    return _TRACERS[subject.kind](home, subject, None if everything else SHOWN)


def run_tree(home: Home, name: str, most: int | None) -> Node:
    """A run backward: what it was trained on, by whom that was said, what it was said of, what it cost."""
    run = run_of(home.folder, name)
    used, slates = run.everything()
    digest = str(run.done.get("adapter_sha256", ""))
    facts = run.facts
    below = [
        Node("adapter", f"SHA-256 {digest}" if digest else "none yet", facts={"adapter_sha256": digest}),
        Node("base", " ".join(filter(None, (str(facts.get("base_note") or facts.get("base", "")), _version(facts))))),
        Node("used", used.sentence(), facts=used.as_json()),
        *release_nodes(run),
    ]
    if run.snapshot:
        below.append(_snapshot_node(home, snapshot_of(home.folder, run.snapshot), slates, most))
    elif facts:
        below.append(Node("source", f"{facts.get('source', 'not stated')}: a file, no snapshot of this project"))
        below += _made_of(home, slates, most)
    begun = f", begun {day(str(facts['begun_at']))}" if facts.get("begun_at") else ""
    state = {"state": run.state, "snapshot": run.snapshot, "adapter_sha256": digest}
    return Node("run", f"{run.state}{begun}", name, state, below)


def _version(facts: Mapping[str, Any]) -> str:
    return f"(version {facts['base_version']})" if facts.get("base_version") else ""


def _snapshot_node(home: Home, snapshot: SnapshotFolder, used: set[str] | None, most: int | None) -> Node:
    """A snapshot backward; of a run, only the slates that it used are followed further."""
    if not snapshot.folder.is_dir():
        return Node("snapshot", "its folder is not on this machine", snapshot.id)
    facts = snapshot.facts
    made = f"made {day(str(facts.get('made_at', '')))}" if facts else ""
    numbers = [f"{facts[name]} {name}" for name in ("rankings", "preferences") if name in facts]
    forgotten = "holds what was forgotten since" if snapshot.holds_forgotten else ""
    line = "; ".join(filter(None, (snapshot.trouble, made, ", ".join(numbers), forgotten)))
    people = people_by_country(snapshot)
    when = _times(home)

    def person(entry: tuple[tuple[str, str], int]) -> Node:
        (name, country), number = entry
        times = when.get(name)
        given = f", {span(*times)}" if times else ""
        return Node("by", f"{country}, {counted(number, 'judgement')}{given}", name, {"judgements": number})

    by = some(map(person, people.most_common()), most, len(people))
    total = counted(people.total(), "judgement")
    below = [Node("judgements", f"{total} by {counted(len({n for n, _ in people}), 'person', 'people')}", below=by)]
    below += _made_of(home, used or set(prompts_in(snapshot)), most)
    counts = {name: facts[name] for name in ("rankings", "preferences") if name in facts}
    return Node("snapshot", line, snapshot.id, {"trouble": snapshot.trouble, **counts}, below)


def _times(home: Home) -> dict[str, tuple[str, str]]:
    """Pseudonym -> when they answered first and last; by an index, since the answers themselves are long."""
    if home.ledger is None:
        return {}
    query = "select annotator, min(updated_at) as first, max(updated_at) as last from responses group by annotator"
    return {home.pseudonym(row["annotator"]): (row["first"], row["last"]) for row in home.ledger.rows(query)}


def _made_of(home: Home, slates: set[str], most: int | None) -> list[Node]:
    """What slates are made of: candidates by model, prompts by source and licence, money."""
    ledger = home.ledger
    ids = json.dumps(sorted(slates))
    items = (
        ledger.rows("select id, prompt_id from items where id in (select value from json_each(?))", ids)
        if ledger
        else []
    )
    if ledger is None or not items:
        return [Node("slates", f"{counted(len(slates), 'slate')}, {ELSEWHERE}")] if slates else []
    strangers = len(slates) - len(items)
    of_prompts = [row["prompt_id"] for row in items if row["prompt_id"]]
    wanted = json.dumps(of_prompts)
    models = ledger.rows(
        """select model, voice, count(*) as n from candidates where prompt_id in (select value from json_each(?))
           group by model, voice order by n desc""",
        wanted,
    )
    sources: Counter[tuple[str, str]] = Counter()
    for row in ledger.rows("select source, licence from prompts where id in (select value from json_each(?))", wanted):
        sources[row["source"].rpartition(":")[0] or row["source"], row["licence"]] += 1
    calls, usd = money(ledger, of_prompts)
    rows = (Node("slate", f"prompt {row['prompt_id']}", row["id"]) for row in items)
    slate_nodes = some(rows, most, len(items))
    gone = [Node("elsewhere", f"{counted(strangers, 'slate')}, {ELSEWHERE}")] if strangers else []
    candidates = sum(row["n"] for row in models)
    return [
        Node("slates", counted(len(items), "slate"), facts={"slates": len(items)}, below=[*slate_nodes, *gone]),
        Node(
            "candidates",
            counted(candidates, "candidate"),
            facts={"candidates": candidates},
            below=some(
                (
                    Node("model", f"{row['n']}{', voice ' + row['voice'] if row['voice'] else ''}", row["model"])
                    for row in models
                ),
                most,
                len(models),
            ),
        ),
        Node("drafting", f"{counted(calls, 'call')}, {dollars(usd)}", facts={"calls": calls, "usd": usd}),
        Node(
            "prompts",
            counted(sources.total(), "prompt"),
            facts={"prompts": sources.total()},
            below=some(
                (
                    Node("source", f"{number}, licence {licence or 'not stated'}", source or "not stated")
                    for (source, licence), number in sources.most_common()
                ),
                most,
                len(sources),
            ),
        ),
    ]


def _run(home: Home, subject: Subject, most: int | None) -> Node:
    return run_tree(home, subject.id, most)


def _snapshot(home: Home, subject: Subject, most: int | None) -> Node:
    node = _snapshot_node(home, snapshot_of(home.folder, subject.id), None, most)
    runs = [run for run in runs_of(home.folder) if run.snapshot == subject.id]
    return _with(node, [_into(_whole_run(run) for run in runs)])


def _whole_run(run: RunFolder) -> Node:
    used, _ = run.everything()
    return Node("run", f"{run.state}; {used.sentence()}", run.name, used.as_json(), release_nodes(run))


def _release(home: Home, subject: Subject, most: int | None) -> Node:
    facts = release_facts(subject.folder) if subject.folder else {}
    name = str(facts.get("run", ""))
    made = f", made {day(str(facts['made_at']))}" if facts.get("made_at") else ""
    line = f"{facts.get('kind', 'damaged: it does not say what it is')}{made}"
    if not name:
        return Node("release", f"{line}; it names no run", subject.id, facts)
    run = run_of(home.folder, name)
    if not run.folder.is_dir():
        return Node("release", f"{line}; of the run {name}, which is not on this machine", subject.id, facts)
    own, released = run.done.get("adapter_sha256"), facts.get("adapter_sha256")
    other = "; its adapter is another than the run's" if own and released and own != released else ""
    return Node("release", line + other, subject.id, facts, [run_tree(home, name, most)])


def _item(home: Home, subject: Subject, most: int | None) -> Node:
    ledger = _ledger(home)
    item = ledger.items(ids=[subject.id])[0]
    way = way_of(home, Wanted(slates=[item.id]), _countries(ledger, [item.id]))
    return _with(item_node(home, ledger, item, most), [_into(way.nodes())])


def _pair(home: Home, subject: Subject, most: int | None) -> Node:
    own = subject.id.removesuffix(":against")
    parts = own.split(":")
    items = home.ledger.items(ids=[parts[0]]) if home.ledger and len(parts) >= 4 else []
    if not items or home.ledger is None:
        uses = [(run, run.use_of(set(), pair=own)) for run in runs_of(home.folder)]
        below = [Node("run", f"{run.state}; {used.sentence()}", run.name) for run, used in uses if used]
        return Node("pair", ELSEWHERE, own, below=below)
    slate, chosen, rejected, country = parts[0], parts[1], parts[2], parts[3]
    wanted = Wanted(slates=[slate], pair=(chosen, rejected, country))
    way = way_of(home, wanted, {(slate, country)}, pair=own)
    below = [item_node(home, home.ledger, items[0], most), _into(way.nodes())]
    return Node("pair", f"people in {country} preferred {chosen} to {rejected}", own, below=below)


def _judgement(home: Home, subject: Subject, most: int | None) -> Node:
    ledger = _ledger(home)
    row = ledger.rows(
        "select item_id, annotator, country from responses where response_id = ? order by seq desc", subject.id
    )[0]
    known = {(row["item_id"], row["country"])}
    way = way_of(home, Wanted(slates=[row["item_id"]], annotator=home.pseudonym(row["annotator"])), known)
    items = ledger.items(ids=[row["item_id"]])
    if not items:
        return Node("judgement", ELSEWHERE, subject.id)
    said = judgement_nodes(home, ledger, items[0], None, subject.id)
    older = [one.id for one, _ in way.snapshots if said and str(one.facts.get("made_at")) < said[0].facts["at"]]
    changed = [Node("changed since", f"snapshot {', '.join(older)} holds what was said before")] if older else []
    node = (
        said[0]
        if said
        else Node("judgement", "a copy on the server that the project was moved to speaks for it", subject.id)
    )
    asked = item_node(home, ledger, items[0], most, judgements=False)
    return _with(node, [*changed, asked, _into(way.nodes())])


def _person(home: Home, subject: Subject, _most: int | None) -> Node:
    ledger = _ledger(home)
    name = home.pseudonym(subject.id)
    query = """select item_id, country, status, min(updated_at) as first, max(updated_at) as last from responses
               where annotator = ? group by item_id, country, status"""
    answers = ledger.rows(query, subject.id)
    tasks: Counter[str] = Counter()
    for row in ledger.rows(
        "select task, count(*) as n from items where id in (select value from json_each(?)) group by task",
        json.dumps(sorted({row["item_id"] for row in answers if row["status"] == "submitted"})),
    ):
        tasks[row["task"]] = row["n"]
    for row in ledger.rows(
        """select purpose, count(*) as n from side_items where id in (select value from json_each(?))
           group by purpose""",
        json.dumps(sorted({row["item_id"] for row in answers if row["status"] == "submitted"})),
    ):
        tasks[f"{row['purpose']}, which is no work"] = row["n"]
    people = {person.username: person for person in ledger.people()}
    person = people.get(subject.id)
    forgotten = subject.id in ledger.forgotten("person")
    about = (
        "forgotten: nothing of them counts, and their name is not kept"
        if forgotten
        else "not on the team"
        if person is None
        else f"{person.role}, {person.country}{'' if person.active else ', left'}"
        + (f", left out ({person.excluded.replace(subject.id, name)})" if person.excluded else "")
        + _weight(person)
    )
    times = span(min(r["first"] for r in answers), max(r["last"] for r in answers)) if answers else ""
    written = ledger.rows("select count(*) as n from prompts where author = ?", subject.id)[0]["n"]
    below = [
        Node("answered", f"{counted(number, 'item')}, {times}", task, {"items": number})
        for task, number in tasks.items()
    ]
    below += [Node("wrote", counted(written, "prompt"), facts={"prompts": written})] if written else []
    below += _in_files(ledger, annotator=name)
    way = way_of(home, Wanted(annotator=name), {(row["item_id"], row["country"]) for row in answers})
    return Node("person", about, name, {"forgotten": forgotten}, [*below, _into(way.nodes())])


def _weight(person: Person) -> str:
    """What somebody's votes weigh, where that is not 1, and whether it follows what is measured."""
    weighs = f", votes weigh {person.weight:g}" if person.weight != 1 or person.auto else ""
    return f"{weighs}{', as measured' * person.auto}" if not person.excluded else ""


def _prompt(home: Home, subject: Subject, most: int | None) -> Node:
    ledger = _ledger(home)
    items = _items_of(ledger, subject.id)
    ids = [item.id for item in items]
    way = way_of(home, Wanted(slates=ids), _countries(ledger, ids))
    asked = [item_node(home, ledger, item, most) for item in items]
    # The prompt is the root: it does not stand below its own items again.
    below = [_replaced(node, [b for b in node.below if b.kind != "prompt"]) for node in asked]
    votes = ledger.rows("select count(*) as n from votes where prompt_id = ?", subject.id)[0]["n"]
    if votes:
        below.append(Node("votes", f"{counted(votes, 'vote')} of a demo's visitors", facts={"votes": votes}))
    below += _in_files(ledger, prompt_id=subject.id)
    return prompt_node(home, ledger, subject.id, [*below, _into(way.nodes())])


def _candidate(home: Home, subject: Subject, most: int | None) -> Node:
    ledger = _ledger(home)
    prompt = ledger.rows("select prompt_id from candidates where id = ?", subject.id)[0]["prompt_id"]
    items = [item for item in _items_of(ledger, prompt) if subject.id in item.content.get("seats", ())]
    ids = [item.id for item in items]
    way = way_of(home, Wanted(slates=ids, candidates=[subject.id]), _countries(ledger, ids))
    node = candidate_node(ledger, subject.id)
    stands = [
        Node(
            "item",
            f"seat {SEATS[item.content['seats'].index(subject.id)]}",
            item.id,
            below=judgement_nodes(home, ledger, item, most),
        )
        for item in items
    ] or [Node("on no slate", "`annot select` did not choose it, or has not run")]
    stands += _in_files(ledger, prompt_id=prompt, candidate=subject.id)
    return _with(node, [*stands, prompt_node(home, ledger, prompt), _into(way.nodes())])


def _association(home: Home, subject: Subject, most: int | None) -> Node:
    ledger = _ledger(home)
    items = ledger.items(ids=ledger.items_about(subject.id))
    ids = [item.id for item in items]
    way = way_of(home, Wanted(slates=ids), _countries(ledger, ids))
    return _with(association_node(home, ledger, subject.id, items, most), [_into(way.nodes())])


_TRACERS: Mapping[str, Callable[[Home, Subject, int | None], Node]] = {
    "run": _run,
    "snapshot": _snapshot,
    "release": _release,
    "item": _item,
    "pair": _pair,
    "judgement": _judgement,
    "person": _person,
    "prompt": _prompt,
    "candidate": _candidate,
    "association": _association,
}


def _in_files(ledger: Ledger, **what: str) -> list[Node]:
    """What files that were read say of it; nothing where they say nothing."""
    number = count_judgements(ledger, **what)
    line = f"{counted(number, 'judgement')} in files that were read; they count in no quota and in no snapshot"
    return [Node("in files", line, facts={"judgements": number})] if number else []


def _ledger(home: Home) -> Ledger:
    assert home.ledger is not None  # subjects of these kinds are found in it
    return home.ledger


def _items_of(ledger: Ledger, prompt_id: str) -> list[Item]:
    return ledger.items(ids=ledger.items_with(prompt_id))


def _countries(ledger: Ledger, items: Iterable[str]) -> set[tuple[str, str]]:
    """(item, country) of all who answered some items."""
    query = "select distinct item_id, country from responses where item_id in (select value from json_each(?))"
    return {(row["item_id"], row["country"]) for row in ledger.rows(query, json.dumps(list(items)))}


def _into(nodes: Iterable[Node]) -> Node:
    return Node("went into", "", below=list(nodes))


def _with(node: Node, more: Iterable[Node]) -> Node:
    return _replaced(node, [*node.below, *more])


def _replaced(node: Node, below: list[Node]) -> Node:
    return Node(node.kind, node.line, node.id, node.facts, below)
