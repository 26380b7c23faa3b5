"""Items taken back: records of what was removed, moved or closed leave Argilla, unless somebody has answered them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from annotation.ledger import Ledger
from annotation.screen import Progress, counted, silent
from annotation.tasks import TASKS
from annotation.tasks.base import Texts
from annotation.tasks.rooms import record_in_room
from annotation.types import Item
from sync.argilla.protocol import ArgillaApi
from sync.team import country_of

AT_ONCE = 100
"""Items that are looked at, or deleted, in one call; Argilla takes no more."""


def take_back(api: ArgillaApi, ledger: Ledger, items: Mapping[str, Item], notes: list[str], *, dry_run: bool) -> int:
    """Delete the records of items that are not wanted where they are, unless somebody has answered; how many.

    A text that may hurt goes although somebody has answered: else it would be shown to others. What was answered to it
    stays in the ledger, and a last answer that no sync brought home would not count.
    """
    taken, answered = 0, 0
    # Whatever somebody has answered stays; of earlier rounds there may be thousands, which nobody has to look up again.
    known = {row["item_id"] for row in ledger.rows("select distinct item_id from responses")}
    closed = {item.id for item in items.values() if item.closed and item.id not in known}
    for dataset in api.datasets():
        unwanted: dict[tuple[str, bool], list[str]] = defaultdict(list)
        for item_id in ledger.pushed(api.server, dataset.id):
            item = items.get(item_id)
            if item is None:
                continue
            moved = item.moved and item.country != country_of(dataset.workspace)
            if item.removed or item.id in closed or moved:
                unwanted[TASKS[item.task].label, TASKS[item.task].sensitive].append(item_id)
        for (label, always), own in unwanted.items():
            for start in range(0, len(own), AT_ONCE):
                part = own[start : start + AT_ONCE]
                there = {record["external_id"]: record for record in api.records_of(dataset.id, label, part)}
                kept = {name for name, record in there.items() if record.get("responses") and not always}
                free = [record["id"] for name, record in there.items() if name not in kept]
                gone = {item_id: "" for item_id in part if item_id not in kept}
                taken += len(free)
                answered += sum(not items[item_id].closed for item_id in kept)
                if free and not dry_run:
                    api.remove_records(dataset.id, free)
                if not dry_run:
                    ledger.add_pushes(api.server, dataset.id, gone)
    if answered:
        notes.append(
            f"somebody has answered {counted(answered, 'item')} of removed or moved prompts: that stays where it is, "
            "and the answers are kept and not counted"
        )
    return taken


def put_texts_back(api: ArgillaApi, ledger: Ledger, *, progress: Progress = silent) -> int:
    """Have the records that show other texts show again what was pushed; returns how many did. A sync looks again.

    Raises:
        ArgillaError: Argilla is not there, or one of the records is not.
    """
    records: dict[str, list[str]] = defaultdict(list)
    for record_id, (server, item_id) in ledger.changed_texts().items():
        if server == api.server:
            records[item_id].append(record_id)
    for done, item in enumerate(ledger.items(ids=records)):
        progress(done, len(records))
        task = TASKS[item.task]
        fields = record_in_room(task, item, Texts.of(ledger, task, [item]), None)["fields"]
        for record_id in records[item.id]:
            api.set_texts(record_id, fields)
    return sum(map(len, records.values()))
