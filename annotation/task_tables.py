"""[task.NAME] of annot.toml: where people do each task, and how much of it is enough."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from annotation.sections import Country, Language, Section

MOST = 10_000_000
"""More slates than any community ranks."""


class QuotaGroup(Section):
    """[[task.NAME.group]]: a group with a target of its own."""

    country: Country
    topic: str = ""
    language: Language | Literal[""] = ""
    target: int = Field(ge=0, le=MOST)


class TaskSettings(Section):
    """[task.NAME]: where people do a task, and how much of it is enough."""

    dataset: str = Field("", max_length=200, description="its name in every workspace; empty: in the team's language")
    target: int = Field(50, ge=0, le=MOST, description="completed items per group; 0: only named groups owe")
    overlap: int = Field(3, ge=1, le=1000, description="people per item")
    by: Literal["country", "country+topic"] = "country"
    group: tuple[QuotaGroup, ...] = ()

    @model_validator(mode="after")
    def _groups_differ(self) -> TaskSettings:
        names = [(group.country, group.topic, group.language) for group in self.group]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"group {' · '.join(filter(None, twice))} stands there twice; keep one")
        return self


class RankingSettings(TaskSettings):
    """[task.ranking]: people rank slates; and which pairs are clear enough to train on."""

    min_margin: float = Field(0.0, ge=0, lt=1, description="(for - against) / votes must exceed this")
    min_votes: int = Field(1, ge=1)


class DescriptionSettings(RankingSettings):
    """[task.description]: people rank descriptions of pictures; and which pairs are clear enough to train on."""


class PromptCheckSettings(TaskSettings):
    """[task.prompt_check]: people say which prompts are worth ranking answers to."""

    accepts: int = Field(3, ge=1, le=1000, description="people who must accept a prompt")

    @model_validator(mode="after")
    def _enough_people_are_asked(self) -> PromptCheckSettings:
        if self.accepts > self.overlap:
            raise ValueError(
                f"accepts = {self.accepts} is above overlap = {self.overlap}, the people asked; no prompt can pass"
            )
        return self


class ExamTaskSettings(TaskSettings):
    """[task.exam]: people check multiple-choice questions of their country's exams."""

    overlap: int = Field(2, ge=1, le=1000, description="people per question")
    agree: int = Field(2, ge=1, le=1000, description="people who must say the same of a question")

    @model_validator(mode="after")
    def _enough_people_are_asked(self) -> ExamTaskSettings:
        if self.agree > self.overlap:
            raise ValueError(
                f"agree = {self.agree} is above overlap = {self.overlap}, the people asked; no question can pass"
            )
        return self


class ConsentSettings(TaskSettings):
    """[task.consent]: people of a country are warned of what may hurt, and say whether they want to see it."""

    target: int = Field(0, ge=0, le=MOST)
    overlap: int = Field(1000, ge=1, le=1000, description="everybody is asked")


class ShareSettings(TaskSettings):
    """[task.share]: people share stereotypes that they know; every sheet is everybody's."""

    target: int = Field(0, ge=0, le=MOST)
    overlap: int = Field(1000, ge=1, le=1000, description="everybody is asked")


class StereotypeTaskSettings(TaskSettings):
    """[task.stereotype]: people say how well known a stereotype is where they live, and how offensive."""

    overlap: int = Field(5, ge=1, le=1000, description="people per stereotype: some will not know it")


class PairCheckSettings(TaskSettings):
    """[task.pair_check]: people check minimal pairs before a model is measured on them."""

    overlap: int = Field(3, ge=1, le=1000, description="people per pair: one may skip it")
    agree: int = Field(2, ge=1, le=1000, description="people who must find it right")

    @model_validator(mode="after")
    def _enough_people_are_asked(self) -> PairCheckSettings:
        if self.agree > self.overlap:
            raise ValueError(
                f"agree = {self.agree} is above overlap = {self.overlap}, the people asked; no pair can pass"
            )
        return self


class TaskTables(Section):
    """[task]: a table for every task."""

    ranking: RankingSettings = RankingSettings()
    prompt_check: PromptCheckSettings = PromptCheckSettings()
    exam: ExamTaskSettings = ExamTaskSettings()
    duel: TaskSettings = TaskSettings()
    description: DescriptionSettings = DescriptionSettings()
    consent: ConsentSettings = ConsentSettings()
    share: ShareSettings = ShareSettings()
    stereotype: StereotypeTaskSettings = StereotypeTaskSettings()
    pair_check: PairCheckSettings = PairCheckSettings()
    story: TaskSettings = TaskSettings()

    @model_validator(mode="after")
    def _datasets_differ(self) -> TaskTables:
        names = [table.dataset for _, table in self if table.dataset]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f'two tasks have the dataset "{twice}"; give each one of its own')
        return self
