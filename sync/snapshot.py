"""What the ledger says at one moment, as files: snapshots that runs are trained on, and exports for people."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from annotation.ledger import now
from annotation.privacy import mask
from annotation.project import Project, write_parquet, write_whole
from annotation.quota_groups import plan_quotas
from annotation.types import Candidate, Judgement, Prompt, Slate, Snapshot
from sync.preferences import Preferences, build_preferences, conversational, preference_rows, ranking_rows
from sync.pull import judgements
from sync.quotas import QuotaState, count_quotas


@dataclass(frozen=True)
class Gathered:
    """Everything the ledger holds, read once."""

    prompts: dict[str, Prompt]
    candidates: dict[str, Candidate]
    slates: dict[str, Slate]
    judgements: tuple[Judgement, ...]
    quotas: tuple[QuotaState, ...]
    preferences: Preferences


def gather(project: Project) -> Gathered:
    """Read the ledger and count: quotas and preferences as they stand now."""
    ledger, settings = project.ledger, project.settings
    prompts = {prompt.id: prompt for prompt in ledger.prompts()}
    slates = {slate.id: slate for slate in ledger.slates()}
    voted = tuple(judgements(ledger))
    with_slates = [prompts[slate.prompt_id] for slate in slates.values()]
    return Gathered(
        prompts,
        {candidate.id: candidate for candidate in ledger.candidates()},
        slates,
        voted,
        count_quotas(plan_quotas(settings, with_slates), slates.values(), prompts, voted),
        build_preferences(
            slates.values(),
            voted,
            pseudonym=project.pseudonym,
            min_margin=settings.preferences.min_margin,
            min_votes=settings.preferences.min_votes,
        ),
    )


def _rows(project: Project, gathered: Gathered) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    pairs = preference_rows(gathered.preferences.kept, gathered.prompts, gathered.candidates)
    rankings = ranking_rows(
        gathered.judgements, gathered.slates, gathered.prompts, gathered.candidates, project.pseudonym
    )
    for row in rankings:
        # People type freely into a rewrite: what identifies somebody stays in the ledger.
        row["rewrite"], _ = mask(row["rewrite"], row["country"])
    rankings.sort(key=lambda row: (row["slate_id"], row["annotator"]))
    return pairs, rankings


def _schemas() -> tuple[Any, Any]:
    import pyarrow as pa

    text, number, texts = pa.string(), pa.int64(), pa.list_(pa.string())
    shared = {"slate_id": text, "prompt_id": text, "system": text, "prompt": text}
    group = {"country": text, "language": text, "topic": text}
    pairs = {"chosen": text, "rejected": text, "chosen_id": text, "rejected_id": text}
    votes = {"votes_for": number, "votes_against": number, "ties": number, "annotators": texts}
    ranked = {"candidate_ids": texts, "candidates": texts, "ranks": pa.list_(number), "problems": texts}
    return (
        pa.schema({**shared, **pairs, **group, **votes, "agreement": pa.float64()}),
        pa.schema({**shared, **group, "annotator": text, **ranked, "none_acceptable": pa.bool_(), "rewrite": text}),
    )


def freeze(project: Project, gathered: Gathered) -> Snapshot:
    """Write a snapshot folder, named by its content: freezing the same judgements twice changes nothing."""
    pairs, rankings = _rows(project, gathered)
    content = json.dumps([pairs, rankings], sort_keys=True, ensure_ascii=False).encode()
    snapshot_id = hashlib.sha256(content).hexdigest()[:16]
    folder = project.snapshot_folder(snapshot_id)
    marker = folder / "snapshot.json"
    if not marker.exists():
        pair_schema, ranking_schema = _schemas()
        write_parquet(folder / "preferences.parquet", pairs, pair_schema)
        write_parquet(folder / "rankings.parquet", rankings, ranking_schema)
        facts = {
            "id": snapshot_id,
            "made_at": now(),
            "rankings": len(rankings),
            "preferences": len(pairs),
            "quotas": [
                {**asdict(state.quota), "completed": state.completed, "people": state.people}
                for state in gathered.quotas
            ],
            "settings": project.settings.model_dump(mode="json"),
        }
        write_whole(marker, json.dumps(facts, indent=2, ensure_ascii=False).encode())
    facts = json.loads(marker.read_text(encoding="utf-8"))
    return Snapshot(snapshot_id, facts["rankings"], facts["preferences"], facts["made_at"])


@dataclass(frozen=True, slots=True)
class Exported:
    """Files written by `annot export`."""

    preferences: int
    rankings: int
    aside: int
    files: tuple[Path, ...]


def export(project: Project, folder: Path) -> Exported:
    """Write what the ledger says now for people and for other trainers.

    Four files: preferences.parquet (votes, agreement, country, slate, pseudonymous annotators),
    preferences.jsonl (the same in TRL's conversational prompt/chosen/rejected form), rankings.parquet, and
    set_aside.parquet (what became no preference, and why).
    """
    import pyarrow as pa

    gathered = gather(project)
    pairs, rankings = _rows(project, gathered)
    pair_schema, ranking_schema = _schemas()
    names = ("preferences.parquet", "preferences.jsonl", "rankings.parquet", "set_aside.parquet")
    files = tuple(folder / name for name in names)
    write_parquet(files[0], pairs, pair_schema)
    lines = "".join(json.dumps(conversational(row), ensure_ascii=False) + "\n" for row in pairs)
    write_whole(files[1], lines.encode())
    write_parquet(files[2], rankings, ranking_schema)
    text = pa.string()
    aside = [asdict(dropped) for dropped in gathered.preferences.aside]
    write_parquet(files[3], aside, pa.schema({"id": text, "reason": text, "because_of": text}))
    return Exported(len(pairs), len(rankings), len(aside), files)


def snapshots(project: Project) -> Sequence[Snapshot]:
    """All whole snapshots in the folder, oldest first."""
    found = []
    for marker in (project.folder / "snapshots").glob("*/snapshot.json"):
        facts = json.loads(marker.read_text(encoding="utf-8"))
        found.append(Snapshot(facts["id"], facts["rankings"], facts["preferences"], facts["made_at"]))
    return sorted(found, key=lambda snapshot: snapshot.made_at)
