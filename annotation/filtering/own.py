"""The project's own set as examples: its prompts, their candidates, and what the team said of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from annotation.errors import ProjectError
from annotation.filtering.rows import majority
from annotation.project import Project
from annotation.prompts.review import waiting_prompts
from annotation.reading.conversations import HUMAN, SYSTEM, Turn
from annotation.reading.examples import Example, Examples, FoundAnswer, FoundJudgement
from annotation.screen import Progress, silent
from annotation.tables import read_tables
from annotation.tasks.answers import AT_ONCE
from annotation.tasks.ranking.file_judgements import FILE_RANKINGS, file_tables
from annotation.types import Candidate

Pairs = Mapping[str, tuple[tuple[int, int], ...]]
"""Place of an example -> (better, worse) places in its answers."""

FROM_FILES = ":files"
"""Behind the place of an example whose judgements came with a file: they stand apart from the team's."""


def own_set(project: Project, progress: Progress = silent) -> tuple[Examples, Pairs]:
    """A prompt with all its candidates, once for every country that judged it; and pairs as `annot export` counts.

    What a model proposed or a demo's visitors typed is not part of it before people accept it. Prompts about pictures
    are not: the rules read texts, and the words of those prompts are all the same.

    What files said of answers is an example of its own, whose pairs are those of the majority.

    Annotators stand under their pseudonyms.

    Raises:
        ProjectError: There are no prompts.
    """
    # A ledger is made by being opened; looking at an empty project must not make one.
    prompts = project.ledger.prompts() if (project.folder / "ledger.sqlite").exists() else []
    untried = waiting_prompts(project.ledger, project.settings) if prompts else set[str]()
    prompts = [prompt for prompt in prompts if prompt.id not in untried and not prompt.image]
    if not prompts:
        raise ProjectError(
            f"{project.folder} has no prompts without a picture yet; name the file to look at, for example annot "
            "filter FILE."
        )
    candidates: dict[str, list[Candidate]] = defaultdict(list)
    for candidate in project.ledger.candidates():
        candidates[candidate.prompt_id].append(candidate)
    places = {candidate.id: place for own in candidates.values() for place, candidate in enumerate(own)}
    judged: dict[str, dict[tuple[str, str], list[FoundJudgement]]] = defaultdict(lambda: defaultdict(list))
    pairs: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for part in read_tables(project, "ranking", progress=progress):
        for row in part["preferences.parquet"].rows:
            pair = (places[row["chosen_id"]], places[row["rejected_id"]])
            pairs[f"{row['prompt_id']}:{row['country']}"].append(pair)
        for row in part["rankings.parquet"].rows:
            judged[row["prompt_id"]][row["country"], ""].append(_judgement(row, places))
    for part in file_tables(project.ledger, AT_ONCE):
        for row in part[FILE_RANKINGS].rows:
            judged[row["prompt_id"]][row["country"], FROM_FILES].append(_judgement(row, places))
    examples, counted = [], {}
    for prompt in prompts:
        system = (Turn(SYSTEM, prompt.system),) if prompt.system else ()
        turns = (*system, Turn(HUMAN, prompt.text))
        answers = tuple(
            FoundAnswer(one.text, f"answer {number}", one.model, one.voice, one.id)
            for number, one in enumerate(candidates[prompt.id], 1)
        )
        for (country, by), said in (judged[prompt.id] or {(prompt.country, ""): list[FoundJudgement]()}).items():
            place = f"{prompt.id}:{country}{by}"
            about = (prompt.id, country, prompt.language, prompt.topic, prompt.licence)
            examples.append(Example(place, turns, answers, tuple(said), *about))
            counted[place] = majority(said) if by else tuple(pairs[place])
    return Examples(project.settings.project.name, len(examples), tuple(examples)), counted


def _judgement(row: Mapping[str, Any], places: Mapping[str, int]) -> FoundJudgement:
    ranked = {one: rank for one, rank in zip(row["candidate_ids"], row["ranks"], strict=False) if rank is not None}
    levels = sorted(set(ranked.values()))
    tiers = tuple(tuple(places[one] for one, rank in ranked.items() if rank == level) for level in levels)
    said = (row["none_acceptable"], row["annotator"], row["country"], row["rewrite"])
    return FoundJudgement(tiers, *said, row.get("weight", 1.0))
