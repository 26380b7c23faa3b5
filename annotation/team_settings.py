"""[assign], [entry] and [points] of annot.toml: who is asked what, who is asked at all, and what work earns."""

from __future__ import annotations

from pydantic import Field

from annotation.sections import Section

MOST = 1_000_000
"""Items of a person: more than anybody answers."""


class AssignSettings(Section):
    """[assign]: who is asked what. The embedded server keeps to it; another server cannot."""

    hold_minutes: int = Field(45, ge=1, le=10_080, description="an item is kept for a person who does nothing")
    most: int = Field(0, ge=0, le=MOST, description="items of a task that one person answers; 0: as many as there are")
    most_a_day: int = Field(0, ge=0, le=MOST, description="the same within 24 hours; 0: no limit")
    control_first: int = Field(30, ge=0, le=MOST, description="so many answers of a person are the first")
    control_first_every: int = Field(10, ge=2, le=MOST, description="of these, one in so many is a control item")
    control_every: int = Field(20, ge=2, le=MOST, description="later, one in so many is")


class EntrySettings(Section):
    """[entry]: the test that opens a task's queue, where `annot controls add --entry` has made one."""

    items: int = Field(20, ge=1, le=1000, description="items of one try")
    needed: float = Field(0.95, gt=0, le=1, description="share of them to be answered as expected")
    tries: int = Field(2, ge=1, le=100, description="each with items of its own")
    wait_hours: float = Field(24.0, ge=0, le=8760, description="between a try that failed and the next")


class Rate(Section):
    """What a number of validated things earns."""

    per: int = Field(ge=1, description="things that are counted together; fewer earn nothing")
    points: float = Field(ge=0, description="that so many earn")
    most: float = Field(ge=0, description="points of this kind")

    def earned(self, validated: int) -> float:
        """Points of so many validated things."""
        return min(self.most, round(validated // self.per * self.points, 6))

    def sentence(self, validated: int) -> str:
        """The same in words."""
        each = f"({self.points:g} for each {self.per})"
        return f"{self.earned(validated):g} of {self.most:g} points of the challenge {each}"

    def share(self, validated: int) -> float:
        """The same where parts of `per` count as well: what one person has added to the team's."""
        return min(self.most, round(validated / self.per * self.points, 6))


class PointSettings(Section):
    """[points]: what the challenge gives for validated work."""

    exams: Rate = Field(Rate(per=100, points=0.5, most=1.0), description="checked exam questions (INCLUDE)")
    stereotypes: Rate = Field(Rate(per=10, points=0.1, most=1.0), description="stereotypes that enough people rated")
    preferences: Rate = Field(Rate(per=50, points=0.5, most=2.0), description="prompts with a complete slate")
    prompts: Rate = Field(Rate(per=50, points=0.5, most=2.0), description="prompts that people accepted")
    most: float = Field(10.0, ge=0, description="points of all kinds together")
