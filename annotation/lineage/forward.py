"""Forward from people's work: the snapshots that hold it, the runs that were trained on them, and their releases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from annotation.lineage.node import Node, day
from annotation.lineage.runs import RunFolder, Used, runs_of
from annotation.lineage.snapshots import Held, SnapshotFolder, Wanted, look_into, snapshots_of
from annotation.lineage.subject import Home
from annotation.screen import counted


@dataclass(frozen=True, slots=True)
class Way:
    """Where something went.

    Attributes:
        snapshots: Those that hold it, and what of it.
        runs: Those that had to do with it, and what they did with it.
        damaged: Snapshots and runs that cannot be read, and why: perhaps they hold it.
    """

    snapshots: Sequence[tuple[SnapshotFolder, Held]]
    runs: Sequence[tuple[RunFolder, Used]]
    damaged: Sequence[str]

    def nodes(self) -> list[Node]:
        """Snapshots, and below each its runs with their releases; then what cannot be read."""
        found = [
            Node(
                "snapshot",
                _held_line(snapshot, held),
                snapshot.id,
                {"judgements": held.judgements, "preferences": held.preferences},
                [run_node(run, used) for run, used in self.runs if run.snapshot == snapshot.id],
            )
            for snapshot, held in self.snapshots
        ]
        there = {snapshot.id for snapshot, _ in self.snapshots}
        found += [run_node(run, used) for run, used in self.runs if run.snapshot not in there]
        found += [Node("unknown", line) for line in self.damaged]
        return found or [Node("nowhere yet", "no snapshot and no run here holds it")]


def way_of(home: Home, wanted: Wanted, known: set[tuple[str, str]], *, pair: str = "") -> Way:
    """Where somebody's judgements, or those of some slates, went.

    Args:
        home: The project.
        wanted: What to look for in snapshots.
        known: (slate, country) by what the ledger says: for runs that were trained on other files than a snapshot here.
        pair: Id of a pair, as rows of runs have it.
    """
    held_in, damaged = list[tuple[SnapshotFolder, Held]](), list[str]()
    slates: dict[str, set[tuple[str, str]]] = {}
    for snapshot in snapshots_of(home.folder):
        if snapshot.trouble:
            damaged.append(f"snapshot {snapshot.id}: {snapshot.trouble}")
        held = look_into(snapshot, wanted)
        slates[snapshot.id] = held.slates
        if held.judgements or held.preferences:
            held_in.append((snapshot, held))
    used_in = list[tuple[RunFolder, Used]]()
    for run in runs_of(home.folder):
        if not run.facts:
            damaged.append(f"run {run.name}: {run.state}")
        elif used := run.use_of(slates.get(run.snapshot, known), pair=pair):
            used_in.append((run, used))
    return Way(held_in, used_in, damaged)


def _held_line(snapshot: SnapshotFolder, held: Held) -> str:
    made = day(str(snapshot.facts.get("made_at", ""))) or "at an unknown time"
    forgotten = "; holds what was forgotten since" if snapshot.holds_forgotten else ""
    judgements, preferences = counted(held.judgements, "judgement"), counted(held.preferences, "preference")
    return f"made {made}; holds {judgements} and {preferences} of it{forgotten}"


def run_node(run: RunFolder, used: Used) -> Node:
    """A run, what it did, and what was given away of it."""
    facts = {"state": run.state, "snapshot": run.snapshot, **used.as_json()}
    return Node("run", f"{run.state}; {used.sentence()}", run.name, facts, release_nodes(run))


def release_nodes(run: RunFolder) -> list[Node]:
    """Every release of a run, the newest as it is."""
    return [_release_node(row) for row in run.releases()]


def _release_node(row: dict[str, Any]) -> Node:
    where = f"pushed to {row['repo']}" if row.get("repo") else f"folder {row.get('folder') or 'not named'}"
    commit = f", commit {str(row['commit'])[:12]}" if row.get("commit") else ""
    at = f", {day(str(row['at']))}" if row.get("at") else ""
    gate = f", gate: {row['gate']}" if row.get("gate") else ""
    facts = {name: row.get(name, "") for name in ("repo", "folder", "commit", "at", "adapter_sha256")}
    return Node("release", f"{row.get('kind', 'model')}, {where}{commit}{at}{gate}", "", facts)
