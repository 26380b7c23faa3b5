"""`annot votes pull`: votes of a demo's visitors are taken in once each, with the prompts that they gave away.

Votes come in batches. A batch is one transaction: its votes, its prompts, and that people are asked about these. The id
of a vote is its primary key, so a pull that was cut off anywhere is run again and goes on.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

from annotation.ledger import Ledger
from annotation.project import Project
from annotation.prompts.duplicates import compare
from annotation.prompts.languages import assign_languages
from annotation.prompts.review import add_checks, visitors_source
from annotation.prompts.rows import MASK, Entry, clean_entries
from annotation.screen import Progress, counted, silent
from annotation.tasks.duel.votes import Duel, add_duels, known_duels
from annotation.text.clean import clean
from annotation.text.hidden import only_seen
from annotation.text.privacy import mask
from annotation.types import Prompt
from sync.votes.lines import LeftOut, Tally, Vote, read_votes
from sync.votes.places import Place, place_of

AT_ONCE = 5000
"""Votes of a batch."""

MOST_BYTES = 1_000_000_000
"""A larger file is left alone: a demo begins another long before."""

MOST_SHOWN = 5
"""Runs that are named as unknown."""

REMEDIES = {
    "another country": "add the country to project.countries in annot.toml to ask its people.",
    "language": "to let another language in, add it to project.languages in annot.toml.",
}
"""What helps against a reason for refusing a prompt, the next time that somebody types it."""


@dataclass
class VotesPulled:
    """What a pull brought, or would bring.

    Attributes:
        source: Where the votes are from.
        files: Vote files there.
        new: Country -> votes that are new.
        already: Votes that were here.
        withheld: New votes with texts that nobody had allowed to keep: the vote is kept, and they are not.
        prompts: New prompts that visitors gave away; people are asked about them.
        prompts_there: Such prompts that the project had.
        refused: Such prompts that were not taken.
        read: What was read, and what was not.
        unknown: (run, adapter) of new votes about an adapter that is not in this project -> how many.
        dry_run: Nothing was written.
    """

    source: str
    files: int
    dry_run: bool
    new: Counter[str] = field(default_factory=Counter)
    already: int = 0
    withheld: int = 0
    prompts: int = 0
    prompts_there: int = 0
    refused: LeftOut = field(default_factory=LeftOut)
    read: Tally = field(default_factory=Tally)
    unknown: Counter[tuple[str, str]] = field(default_factory=Counter)

    def sentences(self) -> list[str]:
        """Summary for a person."""
        would = " would come" if self.dry_run else ""
        left_out = self.read.left_out.counts.total()
        parts = [
            f"{counted(self.new.total(), 'new vote')}{_by_country(self.new)}{would} from {counted(self.files, 'file')} "
            f"of {self.source}",
            *([f"already here: {self.already}"] if self.already else []),
            *([f"begun and not voted on: {self.read.unfinished}"] if self.read.unfinished else []),
            *([f"left out: {left_out}"] if left_out else []),
        ]
        found = ["; ".join(parts) + "."]
        if self.withheld:
            found.append(
                f"The texts of {counted(self.withheld, 'vote')} are not kept: they are of no prompt of this project, "
                "and the visitor gave nothing away."
            )
        if self.prompts or self.prompts_there or self.refused.counts:
            refused = self.refused.counts.total()
            asked = "; `annot push` asks people about them, and none is drafted for before they accept it"
            found.append(
                f"Prompts that visitors gave away: {self.prompts} new, {self.prompts_there} already there, "
                f"{refused} refused and not kept{asked if self.prompts and not self.dry_run else ''}."
            )
        if self.unknown:
            named = [f"{run} ({adapter[:12]}) {n}" for (run, adapter), n in self.unknown.most_common(MOST_SHOWN)]
            more = len(self.unknown) - len(named)
            found.append(
                f"About adapters that this project does not have, and counted all the same: {', '.join(named)}"
                f"{f' and {more} more' if more else ''}."
            )
        return found

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "source": self.source,
            "files": self.files,
            "lines": self.read.lines,
            "new": self.new.total(),
            "countries": dict(self.new),
            "already_here": self.already,
            "unfinished": self.read.unfinished,
            "left_out": self.read.left_out.as_json(),
            "withheld": self.withheld,
            "prompts": {
                "new": self.prompts,
                "already_there": self.prompts_there,
                "refused": self.refused.as_json(),
            },
            "unknown": [{"run": run, "adapter": adapter, "votes": n} for (run, adapter), n in self.unknown.items()],
            "dry_run": self.dry_run,
        }


def _by_country(counts: Mapping[str, int]) -> str:
    named = ", ".join(f"{country} {n}" for country, n in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))
    return f" ({named})" if named else ""


def pull_votes(project: Project, source: str, *, dry_run: bool = False, progress: Progress = silent) -> VotesPulled:
    """Take in the votes of a demo that are not here yet. Pulling again brings what has come since, and nothing twice.

    Args:
        project: Where they go.
        source: A folder, or OWNER/NAME of a dataset repository on the Hub (token: HF_TOKEN).
        dry_run: Say what would come, and write nothing.
        progress: Told how many lines are read.

    Raises:
        SourceError: There is no such place, or the Hub cannot be reached.
    """
    place, ledger = place_of(project, source), _ledger_of(project, dry_run=dry_run)
    sizes = place.sizes()
    found = VotesPulled(place.name, len(sizes), dry_run)
    batch, would_come = list[Vote](), list[Prompt]()
    for vote in chain(_votes(place, sizes, found.read, progress), [None]):
        batch += [vote] if vote else []
        if len(batch) == AT_ONCE or not vote:
            # Nobody else adds prompts while these are compared with those that are here.
            with nullcontext() if dry_run else project.lock("prompts"):
                _take_in(project, ledger, batch, found, would_come)
            batch = []
    for run, adapter in list(found.unknown):
        if _is_here(project, run, adapter):
            del found.unknown[run, adapter]
    return found


def _votes(place: Place, sizes: Mapping[str, int], tally: Tally, progress: Progress) -> Iterator[Vote]:
    for file, size in sizes.items():
        if size > MOST_BYTES:
            tally.left_out.add("a file that is too large", file)
            continue
        with place.fetched(file) as path:
            for vote in read_votes(path, file, tally):
                progress(tally.lines, note=f"lines, {file}")
                yield vote


def _ledger_of(project: Project, *, dry_run: bool) -> Ledger:
    """The project's, which is made by being opened; a dry run makes none, and compares with an empty one."""
    project.require_ledger()
    path = project.folder / "ledger.sqlite"
    return Ledger(Path(":memory:")) if dry_run and not path.exists() else project.ledger


def _take_in(
    project: Project, ledger: Ledger, votes: Sequence[Vote], found: VotesPulled, would_come: list[Prompt]
) -> None:
    """Keep a batch, and count it; in a dry run only remember the prompts that would come."""
    known = known_duels(ledger, [vote.id for vote in votes])
    fresh = [vote for vote in votes if vote.id not in known]
    found.already += len(votes) - len(fresh)
    examples = {prompt.id for prompt in ledger.prompts({vote.begun.prompt_id for vote in fresh}, removed=True)}
    typed = {v.place: v for v in fresh if not v.begun.prompt_id and v.may_use and clean(v.prompt)}
    fitting = _fitting(project, typed, found)
    there = [*ledger.prompts(removed=True), *would_come] if fitting else []
    gone, source = ledger.forgotten("prompt"), visitors_source(found.source)
    named = [(place, replace(prompt, source=source)) for place, prompt in fitting if prompt.id not in gone]
    compared = compare(named, there, project.settings.prompts.near_duplicate)
    stored = {prompt.id for prompt in (*there, *compared.kept)}
    prompt_of = {place: prompt.id for place, prompt in fitting if prompt.id in stored}
    duels = list[Duel]()
    for vote in fresh:
        prompt_id = vote.begun.prompt_id if vote.begun.prompt_id in examples else prompt_of.get(vote.place, "")
        if prompt_id in gone:
            found.read.left_out.add("about a prompt that was forgotten", vote.place)
            continue
        duels.append(_duel(vote, found.source, prompt_id))
        found.withheld += bool(not prompt_id and vote.place not in typed and (vote.a or vote.b or vote.prompt))
    if found.dry_run:
        would_come += compared.kept
    else:
        with ledger.transaction():
            ledger.add_prompts(compared.kept)
            if compared.kept:
                add_checks(ledger, [prompt.id for prompt in compared.kept])
            add_duels(ledger, duels)
    found.new.update(duel.country for duel in duels)
    found.unknown.update((duel.run, duel.adapter) for duel in duels)
    found.prompts += len(compared.kept)
    found.prompts_there += compared.already_there
    for drop in compared.dropped:
        found.refused.add(drop.reason, drop.id)


def _duel(vote: Vote, source: str, prompt_id: str) -> Duel:
    """A vote as the ledger keeps it: masked, and without texts where it is about no prompt of the project.

    Those could neither be removed nor forgotten.
    """
    begun, is_typed = vote.begun, bool(prompt_id) and not vote.begun.prompt_id

    def answer(text: str) -> str:
        return mask(only_seen(text), begun.country)[0] if prompt_id else ""

    return Duel(
        id=vote.id,
        run=begun.run,
        adapter=begun.adapter_sha256,
        base=begun.base,
        base_version=begun.base_version,
        country=begun.country,
        language=begun.language,
        choice=vote.choice,
        adapted=begun.adapted,
        prompt_id=prompt_id,
        prompt=mask(clean(vote.prompt), begun.country)[0] if is_typed else "",
        answers=(answer(vote.a), answer(vote.b)),
        at=vote.at,
        source=source,
        typed=is_typed,
    )


def _fitting(project: Project, typed: Mapping[str, Vote], found: VotesPulled) -> list[tuple[str, Prompt]]:
    """(place, prompt) of the typed prompts that can be prompts of this project; the others are counted as refused."""
    who = project.settings.project
    entries = []
    for place, vote in typed.items():
        if who.countries and vote.begun.country not in who.countries:
            found.refused.add("another country", place)
        else:
            entries.append(Entry(place, vote.prompt, country=vote.begun.country))
    cleaned = clean_entries(entries, project.settings.prompts, {})
    told = assign_languages(cleaned.kept, who.languages)
    for drop in (*cleaned.dropped, *told.dropped):
        masked, times = mask(clean(typed[drop.id].prompt), typed[drop.id].begun.country)
        nothing_else = times and not any(map(str.isalpha, MASK.sub("", masked)))
        found.refused.add("personal data only" if nothing_else else drop.reason, drop.id)
    return [(entry.where, entry.prompt()) for entry in told.kept]


def _is_here(project: Project, run: str, adapter: str) -> bool:
    """Whether a run of this project made the adapter."""
    with suppress(OSError, ValueError, AttributeError):
        done = json.loads((project.run_folder(run) / "DONE").read_text(encoding="utf-8"))
        return bool(done.get("adapter_sha256") == adapter)
    return False
