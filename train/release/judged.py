"""What a datasheet says of people's work: who judged, how far they agree, by which guidelines, what was left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from annotation.text.locales import name_of_country, name_of_language
from train.evaluate.measure import markdown_table
from train.release.few import weighted_votes
from train.release.figures import Figures

DATA = "dataset.json"
"""In the run's folder: all that the datasheet says."""

NOT_RECORDED = "not recorded"


class Judged:
    """The parts of a datasheet that are about judging, written from dataset.json."""

    def __init__(self, fig: Figures) -> None:
        """Write with the figures of a run."""
        self.fig = fig
        self.facts: Mapping[str, Any] = fig.value(DATA) or {}
        self.data: Mapping[str, Any] = self.facts["data"]

    def text(self, *at: str | int, absent: str = NOT_RECORDED) -> str:
        """A text or a number of dataset.json."""
        found = self.fig.value(DATA, *at)
        if isinstance(found, int | float):
            return self.fig.number(DATA, *at)
        return self.fig.shown(" ".join(str(found).replace("|", "/").split()), DATA, *at) if found else absent

    def moment(self, *at: str) -> str:
        """A point in time, to the minute, UTC."""
        return self.fig.shown(str(self.fig.value(DATA, *at))[:16], DATA, *at)

    def collection(self) -> list[str]:
        """Who judged, and how."""
        told = self.text("consent", absent="")
        nations = "country" if self.data["people"]["countries"] == 1 else "countries"
        return [
            *("## Collection", ""),
            *(part for name, task in self.data["tasks"].items() if task["answers"] for part in self._task(name)),
            "Alpha is measured within a country and over all; in brackets stand the ends of a bootstrap interval over "
            "items. There is none where too few items were judged by several, or where all resamples agree.",
            "",
            f"**People**: {self.text('data', 'people', 'people')}, of "
            f"{self.text('data', 'people', 'countries')} {nations}. Names and user names are not in the data; a "
            "person has the same pseudonym in all tables. Groups of fewer than three people are not counted here, "
            "though a table shows the pseudonyms in it.",
            "",
            f"**Consent**: {told or NOT_RECORDED + ': nobody wrote down what people were told and agreed to.'}",
            "",
            *self._guidelines(),
        ]

    def _task(self, name: str) -> list[str]:
        at = ("data", "tasks", name)
        task = self.fig.value(DATA, *at)
        rows = [
            (
                name_of_country(country, "en"),
                self.text(*at, "people_by_country", country, absent="not measured"),
                self.text(*at, "answers_by_country", country),
                *self._agreed(*at, "agreement", country),
            )
            for country in task["answers_by_country"]
        ]
        parts = [
            (self.fig.shown(group, DATA, *at, "agreement"), *self._agreed(*at, "agreement", group))
            for group in task["agreement"]
            if group not in task["answers_by_country"]
        ]
        columns = ("Krippendorff's alpha", "items with two people or more")
        return [
            f"### {task['title'][:1].upper()}{task['title'][1:]}",
            "",
            f"{self.text(*at, 'items')} items, {self.text(*at, 'answered')} of them answered, "
            f"{self.text(*at, 'answers')} answers; {self.text(*at, 'overlap')} people are asked about each.",
            "",
            *(markdown_table(("country", "people", "answers", *columns), rows) if rows else []),
            *(["", *markdown_table(("of", *columns), parts)] if parts else []),
            "",
        ]

    def _agreed(self, *at: str) -> tuple[str, str]:
        """Alpha with its interval, and what it stands on; or why there is none."""
        found = self.fig.value(DATA, *at) or {}
        if "alpha" not in found:
            return self.text(*at, "reason", absent="not measured"), ""
        alpha = self.fig.number(DATA, *at, "alpha", form=".2f")
        if found["low"] is None:
            return f"{alpha} (no interval)", self.text(*at, "items")
        low, high = (self.fig.number(DATA, *at, end, form=".2f") for end in ("low", "high"))
        return f"{alpha} [{low}, {high}]", self.text(*at, "items")

    def _guidelines(self) -> list[str]:
        rows = []
        for name, task in self.data["tasks"].items():
            for number, shown in enumerate(task["guidelines"]):
                at = ("data", "tasks", name, "guidelines", number)
                if "text" not in shown:
                    rows.append((task["title"], "", self.text(*at, "reason"), ""))
                    continue
                countries = ", ".join(name_of_country(country, "en") for country in shown["countries"])
                file, digest = self.text(*at, "file"), self.text(*at, "sha256")
                rows.append(
                    (task["title"], countries, f"[{name_of_language(shown['language'])}]({file})", f"`{digest}`")
                )
        return [
            "**Guidelines** as `annot push` sends them now; names and addresses in them are masked here, and the "
            "checksum (SHA) is of the text that people read:",
            "",
            *markdown_table(("task", "countries", "text", "checksum"), rows),
            "",
        ]

    def preprocessing(self) -> list[str]:
        """What was done to it, and left out."""
        out = self.data["left_out"]
        at = ("data", "left_out")
        named = (
            ("prompts that were taken out, with all that was answered to them", "removed_prompts"),
            ("people whose answers are left out", "excluded_people"),
            ("answers that their authors withdrew", "withdrawn"),
            ("answers that were saved and not submitted", "drafts"),
            ("items that somebody passed over", "passed_over"),
        )
        rows = [(what, self.text(*at, key)) for what, key in named]
        for what, key in (("answers: ", "answers"), ("prompts, when they were read: ", "prompts_at_reading")):
            rows += [
                (what + self.fig.shown(reason, DATA, *at, key), self.text(*at, key, reason)) for reason in out[key]
            ]
        for name, task in self.data["tasks"].items():
            at_task = ("data", "tasks", name, "set_aside")
            rows += [
                (f"{task['title']}: {self.fig.shown(reason, DATA, *at_task)}", self.text(*at_task, reason))
                for reason in task["set_aside"]
            ]
        exams = self.facts["exams"]["left_out"]
        rows += [
            (
                f"exam questions: {self.fig.shown(reason, DATA, 'exams', 'left_out')}",
                self.text("exams", "left_out", reason),
            )
            for reason in exams
        ]
        weighted = self.data.get("weighted")
        return [
            *("## Preprocessing", ""),
            "Texts are mended (encoding, invisible characters) and near duplicates dropped when prompts are read. "
            "E-mail addresses, phone numbers, user names, identity and bank numbers are masked, and in what the team "
            "typed also its people's names. Names of other people are not recognised.",
            "",
            *markdown_table(("left out or set aside", "count"), rows),
            "",
            *([weighted_votes(self.text("data", "weighted", "people")), ""] if weighted else []),
            *self._drafted(),
        ]

    def _drafted(self) -> list[str]:
        at = ("data", "candidates")
        models = self.data["candidates"]["models"]
        if not models:
            return ["No answers were drafted.", ""]
        rows = [
            (
                self.text(*at, "models", number, "model"),
                self.text(*at, "models", number, "candidates"),
                self.text(*at, "models", number, "on_slates"),
                self.fig.number(DATA, *at, "models", number, "share_on_slates", form=".0%"),
            )
            for number in range(len(models))
        ]
        return [
            "People saw answers of these models or files, without being told which; drafting was counted at "
            f"{self.fig.number(DATA, *at, 'usd', form=',.2f')} US dollars of list prices. Which answer is whose is not "
            "in the tables.",
            "",
            *markdown_table(("model or file", "answers", "on slates", "share of those on slates"), rows),
            "",
        ]
