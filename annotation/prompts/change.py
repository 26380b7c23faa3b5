"""`annot prompts remove` and `set`: prompts are taken out, put back, or given another country, language or topic.

Nothing is deleted and nothing is paid again: a prompt keeps its candidates, its slate and every answer, and these
follow it. Whatever was changed can be changed back.
"""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from annotation.errors import SettingsError
from annotation.project import Project
from annotation.prompts.proposed import origin_of
from annotation.screen import counted
from annotation.text.clean import clean
from annotation.text.locales import country_code, language_code
from annotation.text.privacy import mask
from annotation.types import Dropped, Prompt, content_id


@dataclass(frozen=True, slots=True)
class Which:
    """Prompts that are meant: those that fit everything that is given.

    Attributes:
        ids: Their ids, or those of the pictures that they are about, or the beginnings of them.
        file: Name of the file or dataset that they were read from, or "drafted by MODEL".
        country: ISO code or name.
        language: ISO code or name.
        topic: As `annot prompts list` shows it.
        pictures: Only those about a picture.
    """

    ids: tuple[str, ...] = ()
    file: str = ""
    country: str = ""
    language: str = ""
    topic: str = ""
    pictures: bool = False


@dataclass(frozen=True, slots=True)
class PromptsChanged:
    """Result of a change of prompts.

    Attributes:
        changed: The prompts as they are now, or would be.
        unchanged: How many of those meant were so already.
        dropped: Those that stay as they are, and why: because_of is the prompt that they would repeat.
        candidates: Answers that the changed prompts have, and keep.
        waiting: Slates and other items of theirs that are in no Argilla.
        pushed: Items that are in an Argilla, and that nobody has answered as far as is known here.
        answered: Items that somebody has answered.
        answers: Submitted answers to them.
        became: What was asked for, for a sentence.
        stays: They stay with the team that they were with, and what was answered goes on to count.
        dry_run: Nothing was written.
    """

    changed: tuple[Prompt, ...]
    unchanged: int
    dropped: tuple[Dropped, ...]
    candidates: int
    waiting: int
    pushed: int
    answered: int
    answers: int
    became: str
    stays: bool
    dry_run: bool

    def groups(self) -> list[tuple[str, str, str, int]]:
        """Country, language, topic and count of the changed prompts, as they are now."""
        counts = Counter((prompt.country, prompt.language, prompt.topic) for prompt in self.changed)
        return [(*group, count) for group, count in sorted(counts.items())]

    def sentences(self) -> list[str]:
        """What a person should know, a line each."""
        if not self.changed:
            return [f"Nothing to change: {counted(self.unchanged, 'prompt is', 'prompts are')} so already."]
        lines = [f"{'Would become' if self.dry_run else 'Now'} {self.became}: {counted(len(self.changed), 'prompt')}."]
        if self.candidates:
            lines.append(f"{counted(self.candidates, 'answer')} of theirs stay with them; nothing is paid again.")
        if self.unchanged:
            lines.append(f"{counted(self.unchanged, 'prompt is', 'prompts are')} so already.")
        if self.pushed and not self.stays:
            lines.append(
                f"{counted(self.pushed, 'item')} of theirs in Argilla: the next `annot push` brings Argilla up "
                "to date, and takes nothing away that somebody has answered."
            )
        if self.answers and not self.stays:
            lines.append(
                f"{counted(self.answers, 'answer')} to {counted(self.answered, 'item')} of theirs: kept, and counted "
                "only while the prompt stands in the project with the country in which they were given."
            )
        return lines

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return {**asdict(self), "changed": [asdict(prompt) for prompt in self.changed]}


def find_prompts(project: Project, which: Which) -> list[Prompt]:
    """Prompts that are meant, those that were removed before too.

    Raises:
        SettingsError: Nothing is said, or something that no prompt has.
    """
    noun, option, command = ("picture", "--source", "images") if which.pictures else ("prompt", "--file", "prompts")
    shown = f"`annot {command} list --each` shows"
    if replace(which, pictures=False) == Which():
        raise SettingsError(f"Say which {noun}s: their ids, {option}, --country, --language or --topic.")
    everyone = project.ledger.prompts(removed=True)
    for id_ in which.ids:
        own = {prompt.id for prompt in everyone if prompt.id.startswith(id_)}
        fitting = len(own | {prompt.image for prompt in everyone if prompt.image.startswith(id_ or "-")})
        if fitting != 1:
            near = difflib.get_close_matches(id_, [prompt.id for prompt in everyone], n=1)
            hint = f'did you mean "{near[0]}"?' if near else f"{shown} all ids."
            raise SettingsError(
                f'{fitting} {noun}s have an id that begins with "{id_}"; write more of it.'
                if fitting
                else f'No {noun} has the id "{id_}"; {hint}'
            )
    # As `add` writes it: the name of a file without its folders, or that of a dataset.
    sources = tuple(f"{mask(clean(name))[0]}:" for name in {which.file, Path(which.file).name} if name)
    country, language = check_codes(which.country, which.language)
    found = [
        prompt
        for prompt in everyone
        if (not which.ids or prompt.id.startswith(which.ids) or prompt.image.startswith(which.ids))
        and (prompt.image or not which.pictures)
        and (not sources or f"{origin_of(prompt.source)}:".startswith(sources))
        and country in ("", prompt.country)
        and language in ("", prompt.language)
        and which.topic in ("", prompt.topic)
    ]
    if not found:
        raise SettingsError(f"No {noun} fits that; {shown} them all.")
    return found


def told(prompt: Prompt) -> str:
    """What tells a prompt from others: its text, or where its picture came from, as all are asked about in one way."""
    return prompt.source if prompt.image else prompt.text


def check_codes(country: str, language: str) -> tuple[str, str]:
    """A country and a language, each a code, a name or "", as codes; SettingsError where there is none of that name."""
    codes = (country_code(country) if country else "", language_code(language) if language else "")
    for said, code, noun, example in (
        (country, codes[0], "country", "MX or México"),
        (language, codes[1], "language", "es"),
    ):
        if code is None:
            raise SettingsError(f'--{noun} "{said}" is no {noun}; write a code or name, for example {example}.')
    return codes[0] or "", codes[1] or ""


def change_prompts(
    project: Project, which: Which, changes: Mapping[str, Any], *, dry_run: bool = False
) -> PromptsChanged:
    """Change what is meant; the ledger gets one row for each prompt that is changed by it.

    Args:
        project: The project.
        which: The prompts.
        changes: Field -> value: `removed`, or some of `country`, `language` and `topic`.
        dry_run: Write nothing.

    Raises:
        SettingsError: Nothing fits, or nothing is to be changed.
    """
    if not changes:
        raise SettingsError("Say what they become: --to-country, --to-language or --to-topic.")
    languages = project.settings.project.languages
    if languages and changes.get("language", languages[0]) not in languages:
        raise SettingsError(
            f"project.languages in annot.toml does not name {changes['language']}; add it there first, or no slate "
            "of theirs could be selected."
        )
    with project.lock("prompts"):
        found = find_prompts(project, which)
        others = {prompt.id for prompt in found}
        there = {_content(prompt): prompt.id for prompt in project.ledger.prompts() if prompt.id not in others}
        changed, dropped, unchanged = list[Prompt](), list[Dropped](), 0
        forgotten = project.ledger.forgotten("prompt")
        for prompt in found:
            new = replace(prompt, **changes)
            if new == prompt:
                unchanged += 1
            elif prompt.id in forgotten:
                dropped.append(Dropped(prompt.id, "forgotten for good"))
            elif not new.removed and (twin := there.setdefault(_content(new), new.id)) != new.id:
                dropped.append(Dropped(prompt.id, "another prompt says the same there", twin))
            else:
                changed.append(new)
        effect = _effect(project, [prompt.id for prompt in changed])
        if not dry_run:
            project.ledger.change_prompts(changed)
    became = "removed" if changes.get("removed") else "in the project again" if "removed" in changes else ""
    return PromptsChanged(
        tuple(changed),
        unchanged,
        tuple(dropped),
        *effect,
        became or ", ".join(f"{name} {value}" for name, value in changes.items()),
        stays=not changes.keys() & {"removed", "country"},
        dry_run=dry_run,
    )


def _content(prompt: Prompt) -> str:
    return content_id(prompt.text, prompt.system, prompt.country, prompt.language, prompt.image)


def _effect(project: Project, ids: Sequence[str]) -> tuple[int, int, int, int, int]:
    """Candidates, items by how far they have come, and answers of some prompts."""
    candidates = sum(project.ledger.count_candidates(ids).values())
    rows = project.ledger.rows(
        """select (select count(distinct annotator) from responses r where r.item_id = i.id) as answers,
              exists (select 1 from pushes p where p.item_id = i.id and p.record_id <> '') as pushed
            from items i where prompt_id in (select value from json_each(?))""",
        json.dumps(ids),
    )
    answered = [row["answers"] for row in rows if row["answers"]]
    pushed = sum(bool(row["pushed"]) for row in rows if not row["answers"])
    return candidates, len(rows) - len(answered) - pushed, pushed, len(answered), sum(answered)
