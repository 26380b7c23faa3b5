"""What forgetting a person, a prompt or an association means: what goes, what stays, and what can be done."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from annotation.screen import counted


@dataclass(frozen=True, slots=True)
class Forgetting:
    """What forgetting somebody or something means.

    Attributes:
        kind: "person", "prompt" or "association".
        id: The pseudonym ("" where nothing left the project under one), or the id of the prompt or association.
        already: It was forgotten before.
        active: The person is on the team still.
        answers: Answers that count no more.
        items: Items that they were given to, or that were about the prompt or the association.
        prompts: Prompts that lose the name of their author.
        candidates: Answers to the prompt whose texts go.
        usd: Dollars that were spent on them.
        judgements: That files held, of the person or about the prompt.
        associations: That the person shared, and nobody else did.
        snapshots: Ids of those that hold it.
        runs: Name -> what each did with it.
        releases: What was given away of these runs.
        files: On this machine, with it in them.
        archives: Of backups that were made so far.
        unknown: What could not be read, and perhaps holds it.
        pictures: Files of the prompt's picture that go, from snapshots and runs too: no other prompt is about it.
    """

    kind: str
    id: str
    already: bool
    active: bool
    answers: int
    items: int
    prompts: int
    candidates: int
    usd: float
    judgements: int
    associations: int
    snapshots: tuple[str, ...]
    runs: dict[str, str]
    releases: tuple[str, ...]
    files: tuple[str, ...]
    archives: tuple[str, ...]
    unknown: tuple[str, ...]
    pictures: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return {**asdict(self), "cannot_be_undone": self.left(), "remedies": self.remedies()}

    def goes(self) -> list[str]:
        """What is removed here."""
        if self.already:
            return [
                "was forgotten before; what a kill may have left is done again; files with nothing of it but a text "
                "are found no more"
            ]
        held = [f"{counted(self.judgements, 'judgement')} that files held"] if self.judgements else []
        if self.kind == "person":
            return [
                f"{counted(self.answers, 'answer')} to {counted(self.items, 'item')}: they count nowhere any more, and "
                "what was said in them is blanked",
                "the name, the user name and the password; prompts of theirs stay, without the author"
                + (f" ({self.prompts})" if self.prompts else ""),
                *(
                    [f"{counted(self.associations, 'association')} that they shared and nobody else, with the ratings"]
                    if self.associations
                    else []
                ),
                *held,
            ]
        if self.kind == "association":
            return [
                "the texts of the association, wherever it is asked about, in what was made of it, and on the sheets "
                "on which it was shared",
                f"{counted(self.answers, 'answer')} of people to {counted(self.items, 'item')} about it: they count "
                "nowhere any more, and what was said in them is blanked",
            ]
        return [
            f"the text of the prompt and of {counted(self.candidates, 'answer')} to it",
            f"{counted(self.answers, 'answer')} of people to {counted(self.items, 'item')} about it: they count "
            "nowhere any more, and what was said in them is blanked",
            *([f"its picture, in {counted(len(self.pictures), 'file')}, and who made it"] * bool(self.pictures)),
            *held,
        ]

    def left(self) -> list[str]:
        """What nobody can take back."""
        lines = []
        if self.runs:
            lines.append("an adapter that was trained on it has learnt from it; its weights stay as they are")
        if self.releases:
            lines.append("copies of a release that others have downloaded")
        lines.append("files that were written outside of the project, with --to, and copies of them")
        if self.archives:
            lines.append(
                f"{counted(len(self.archives), 'backup')} made so far, until rolled over or deleted; after a restore "
                "from one of them, forget it again"
            )
        lines.append(
            {
                "person": "Argilla's own server still has the answers and the account: delete the user on its page, "
                "and the answers go with them",
                "prompt": "Argilla's own server still has the records that somebody has answered: delete them on its "
                "page",
                "association": "Argilla's own server still has the sheet on which it was shared: whoever shared it can "
                "delete the line there",
            }[self.kind]
        )
        if self.kind == "prompt":
            lines.append(
                "numbers made from the texts, in embeddings/ (delete the folder: `annot select` computes it anew), and "
                "near copies of it that other files hold"
            )
        if self.usd:
            lines.append(f"{self.usd:.4f} dollars are spent")
        lines.append("there is no way back: what is blanked is gone, and a second reading does not bring it again")
        return lines

    def remedies(self) -> list[str]:
        """What can be done about what holds it still."""
        lines = []
        if self.kind == "association" or self.associations:
            lines.append(
                "run `annot push`, which deletes the records on Argilla's server that people were shown, and then "
                "`annot server reindex`, which takes their words out of its search index"
            )
        if self.active:
            lines.append("they are on the team still: `annot team remove` them first")
        if self.snapshots:
            lines.append(
                "train again: no new snapshot has it, and `annot sync` makes one and a run when the quotas are met; "
                "`annot train` refuses the snapshots that hold it"
            )
        if self.releases:
            lines.append("replace or delete the releases on the Hub, with the new run's `annot release RUN --push`")
        if self.files:
            lines.append(
                "delete the files named above, or write them anew with the command that made them; annot deletes none "
                "of them"
            )
        return lines
