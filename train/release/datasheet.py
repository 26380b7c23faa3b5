"""The datasheet of a released dataset: who judged what, how, and what is not known, after Gebru et al. (2021)."""

from __future__ import annotations

from pathlib import Path

from annotation.text.locales import name_of_country, name_of_language
from train.evaluate.measure import markdown_table
from train.release.card import SIMULATED_WARNING
from train.release.figures import Figure, Figures
from train.release.given import GIVEN
from train.release.judged import DATA, Judged

TABLES = {
    "slates": "questions with their answers as people saw them, which Argilla reads as records",
    "preferences": "one answer preferred to another by the people of one country, with the votes, and what they weigh "
    "where not all weigh the same",
    "rankings": "what one person said of one slate; `ranks` and `candidate_problems` follow `candidates`; `weight` of "
    "the person's vote where it weighs more or less than others'",
    "set_aside": "pairs and slates that became no preference, and why",
    "prompt_checks": "what one person said of one prompt",
    "checked_prompts": "what people's checks of a prompt come to",
    "duels": "which of two answers one person of the team took for better",
    "exam_checks": "what one person said of an exam question that is given away here",
    "prompts": "all prompts that may be given away, also those that nobody was asked about, and where they are from",
    "exams": "exam questions that people have checked, in INCLUDE's columns",
    "description_preferences": "one description of a picture preferred to another; `image` is the id of the picture",
    "description_rankings": "what one person said of the descriptions of one picture",
    "description_set_aside": "the same as `set_aside`, of descriptions",
    "pictures": "a picture that may be given away, with its licence, who made it, and what is said of people in it",
}
"""Table -> what a row is; a table of another task is shown without words."""

MOST = 12
"""Topics that are shown: the most frequent ones."""


def datasheet(run: Path) -> tuple[str, list[Figure]]:
    """Write the datasheet from dataset.json in a run's folder.

    Returns:
        README.md with its front matter, and its figures.
    """
    sheet = Datasheet(Figures(run))
    lines = [
        *("---", sheet.front(), "---", "", f"# {sheet.text('project')}: what people judged", ""),
        *sheet.motivation(),
        *sheet.composition(),
        *sheet.collection(),
        *sheet.preprocessing(),
        *sheet.uses(),
        *sheet.distribution(),
        *sheet.maintenance(),
    ]
    return sheet.fig.page("\n".join(lines))


class Datasheet(Judged):
    """The parts of a datasheet, in their order."""

    def front(self) -> str:
        """The front matter, which the Hub and the library `datasets` read."""
        from huggingface_hub import DatasetCardData

        size = self.facts["size"]
        self.fig.front("size_categories", DATA, "size")
        configs = [
            {
                "config_name": Path(table).stem,
                "data_files": f"data/{table}",
                **({"default": True} if not number else {}),
            }
            for number, table in enumerate(self.facts["tables"])
        ]
        data = DatasetCardData(
            language=list(self.fig.value(GIVEN, "languages") or ()) or None,
            license=self._licences(),
            pretty_name=self.facts["project"],
            annotations_creators="machine-generated" if self.data["simulated"] else "crowdsourced",
            size_categories=[size],
            task_categories=[
                "text-generation",
                *(["question-answering"] if "exams.parquet" in self.facts["tables"] else []),
                *(["image-to-text"] if "pictures" in self.facts else []),
            ],
            tags=["annot", "argilla", "preference", "human-feedback"],
            configs=configs,
        )
        return str(data.to_yaml())

    def _licences(self) -> str | list[str] | None:
        """Of the judgements, and of the pictures that are in it."""
        own = self.facts["licence"]
        pictures = [one["hub"] for one in self.fig.value(DATA, "pictures", "licences") or ()]
        named = list(dict.fromkeys((own, *pictures)))
        return named if own and len(named) > 1 else own or None

    def motivation(self) -> list[str]:
        """Why it was made."""
        model = self.fig.text(DATA, "model", absent="")
        return [
            *([f"> {SIMULATED_WARNING}", ""] if self.data["simulated"] else []),
            *("## Motivation", ""),
            f"People of each country judged {'descriptions of pictures, ' if 'pictures' in self.facts else ''}answers, "
            "prompts or exam questions about their own culture, so that a language model can be aligned with what they "
            "prefer. It was made with `annot`, on Argilla.",
            *([f"The model that was trained with it is `{model}`."] if model else []),
            *(["", why] if (why := self.text("motivation", absent="")) else []),
            "",
        ]

    def composition(self) -> list[str]:
        """What is in it."""
        tables = [
            (f"`{Path(file).stem}`", self.text("tables", file), TABLES.get(Path(file).stem, ""))
            for file in self.facts["tables"]
        ]
        name = self.facts["model"] or "FOLDER"
        return [
            *("## Composition", ""),
            *markdown_table(("table", "rows", "a row is"), tables),
            "",
            *("```python", "from datasets import load_dataset", ""),
            *(f'{Path(file).stem} = load_dataset("{name}", "{Path(file).stem}")' for file in self.facts["tables"]),
            *("```", ""),
            *self._argilla(name),
            *self._snapshot(),
            *self._variety(),
        ]

    def _argilla(self, name: str) -> list[str]:
        if "slates.parquet" not in self.facts["tables"]:
            return []
        return [
            "The page that people worked in, with these slates, in an Argilla of your own:",
            "",
            *("```python", "import argilla as rg", ""),
            f'rg.Dataset.from_hub("{name}", settings="auto", workspace="yours")',
            *("```", ""),
            "In `slates` the signs `<`, `>` and `&` are written as the page needs them (`&lt;`, `&gt;`, `&amp;`), and "
            "its settings are in `.argilla/`. The other tables have texts as they are.",
            "",
        ]

    def _snapshot(self) -> list[str]:
        """How the tables relate to what the run was trained on."""
        made, at = f"These tables hold what people had said until {self.moment('newest_answer')} (UTC).", "snapshot"
        if not (facts := self.facts[at]):
            return [made, f"The run `{self.text('run')}` was not trained on a snapshot of this project.", ""]
        trained = f"The run `{self.text('run')}` was trained on the snapshot `{self.text(at, 'id')}`"
        if "made_at" in facts:
            trained += (
                f" of {self.moment(at, 'made_at')}: {self.text(at, 'rankings')} rankings, "
                f"{self.text(at, 'preferences')} preferences"
            )
        compared = "Which of its rankings are here was not measured."
        if "kept" in facts:
            compared = (
                f"Of its rankings {self.text(at, 'kept')} are here and {self.text(at, 'gone')} are not any more (their "
                f"prompts were taken out, or their answers withdrawn or left out); {self.text(at, 'new')} came later."
            )
        return [f"{made} {trained}. {compared}", ""]

    def _variety(self) -> list[str]:
        at = ("data", "prompts")
        rows = [
            (what, named(key), self.text(*at, kind, key))
            for what, kind, named in (
                ("country", "countries", lambda code: name_of_country(code, "en")),
                ("language", "languages", name_of_language),
                ("topic", "topics", lambda topic: self.fig.shown(topic.replace("|", "/"), DATA, *at, "topics")),
            )
            for key in list(self.fig.value(DATA, *at, kind) or {})[:MOST]
        ]
        return [
            "### Variety and bias",
            "",
            *markdown_table(("prompts by", "", "prompts"), rows),
            "",
            f"Of the topics the most frequent are shown. {self._lengths()}",
            *self._longer(),
            "Prompts are what this team found or wrote: no sample of a country's culture. Whether the people who "
            "judged are like others of their country was not measured.",
            "",
        ]

    def _lengths(self) -> str:
        said = self._spread("candidates")
        if "pictures" in self.facts and "slates.parquet" not in self.facts["tables"]:
            return (
                f"A prompt is a picture with a question in its language; descriptions on slates have {said} characters."
            )
        return f"Prompts have {self._spread('prompts')} characters, answers on slates {said}."

    def _spread(self, of: str) -> str:
        if not self.fig.value(DATA, "data", of, "characters"):
            return "not measured"
        least, median, most = (self.text("data", of, "characters", place) for place in ("p5", "median", "p95"))
        return f"{median} (median; one in twenty has less than {least}, one in twenty more than {most})"

    def _longer(self) -> list[str]:
        if not self.facts["chosen_is_longer"]:
            return ["How often the longer answer was preferred was not measured."]
        share = self.fig.number(DATA, "chosen_is_longer", "share", form=".0%")
        return [
            f"In {share} of the {self.text('chosen_is_longer', 'pairs')} preferences between answers of different "
            "length the longer one was preferred."
        ]

    def uses(self) -> list[str]:
        """What it is good for, and what not."""
        return [
            *("## Uses", ""),
            "For aligning language models with the preferences of the countries named above, and for studying where "
            "people agree. Not for saying what a country thinks: those who judged do not stand for all. Not for "
            "measuring or identifying the people who judged.",
            "",
            "Known limits: countries are not averaged, and disagreement stays in the data. Agreement says how alike "
            "people judged, not who is right. A team's page that was made before its guidelines were changed may have "
            "shown an earlier text. Whether the texts hold stereotypes or personal data beyond what is masked was not "
            "measured.",
            "",
        ]

    def distribution(self) -> list[str]:
        """Under which licences."""
        at = ("data", "prompts", "sources")
        sources = [
            (
                "prompts",
                self.text(*at, number, "source"),
                self.text(*at, number, "licence", absent="not stated"),
                self.text(*at, number, "prompts"),
            )
            for number in range(len(self.data["prompts"]["sources"]))
        ]
        exams = ("exams", "exams")
        sources += [
            (
                f"exam of {name_of_country(one['country'], 'en')}: {self.text(*exams, number, 'exam')}",
                self.text(*exams, number, "source"),
                self.text(*exams, number, "licence"),
                self.text(*exams, number, "questions"),
            )
            for number, one in enumerate(self.facts["exams"]["exams"])
        ]
        return [
            *("## Distribution", ""),
            f"Licence of the judgements and of this collection: {self.text('licence', absent='not stated')}. What the "
            "licence of a source asks for holds for what is from there; so do the terms of the models that wrote the "
            "answers.",
            "",
            *markdown_table(("what", "source", "licence", "rows"), sources),
            "",
            *self._pictures(),
        ]

    def _pictures(self) -> list[str]:
        """Whose pictures they are, under what, who is in them, and which stay at home."""
        at = "pictures"
        if not (facts := self.fig.value(DATA, at)):
            return []
        rows = [
            (
                self.text(at, "licences", n, "licence"),
                *(self.text(at, "licences", n, key) for key in ("pictures", "creators")),
            )
            for n in range(len(facts["licences"]))
        ]
        left = [
            f"{self.text(at, 'left_out', why)} ({self.fig.shown(why, DATA, at, 'left_out')})"
            for why in facts["left_out"]
        ]
        lines, agreed = ["### Pictures", ""], self.text(at, "people", "agreed")
        if rows:
            lines += [
                *markdown_table(("licence", "pictures", "creators"), rows),
                "",
                "Each picture in `pictures` stands under its own licence, with who made it in `creator` and where it "
                "is from in `source`: name both when you show one. They were turned upright, made smaller (at most "
                "1,024 pixels) and written anew without what the camera had noted. Where a licence asks to share "
                "alike, what is made of the picture goes on under the same one.",
                "",
                f"Whoever added them says that in {self.text(at, 'people', 'none')} of them nobody can be recognised"
                f"{f', and that the people in {agreed} agreed' if facts['people']['agreed'] else ''}. No machine "
                "checked it.",
                "",
            ]
        if left:
            lines += [
                f"Left out, though what people said of them is in the tables: {'; '.join(left)}. Pictures that may not "
                "be used for money, or not be changed, are never given away.",
                "",
            ]
        return lines

    def maintenance(self) -> list[str]:
        """Who looks after it."""
        return [
            *("## Maintenance", ""),
            f"Contact: {self.text('contact')}. A person or a prompt is taken out with `annot forget`, and a release "
            "that is made after that is without them; copies that others have made are not.",
            "",
        ]
