"""Pages of the teams: the language of each country's people, and what they read."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace

from annotation.tasks.page import LANGUAGES, TeamPage
from annotation.text.locales import common_language
from annotation.types import Person


def team_pages(people: Iterable[Person], texts: Mapping[str, str]) -> dict[str, TeamPage]:
    """Country -> what its team reads, for every country that has active people."""
    of_country: dict[str, list[Person]] = defaultdict(list)
    for person in people:
        if person.active:
            of_country[person.country].append(person)
    return {country: TeamPage(team_language(members), country, texts) for country, members in of_country.items()}


def every_page(people: Iterable[Person], texts: Mapping[str, str]) -> dict[str, TeamPage]:
    """The same for every country that ever had people: of those who have all left, what they read."""
    people = tuple(people)
    return {**team_pages((replace(person, active=True) for person in people), texts), **team_pages(people, texts)}


def country_language(people: Iterable[Person], country: str) -> str:
    """What the people of a country read: as most of its team, or as nearly everybody there."""
    team = [person for person in people if person.country == country]
    active = [person for person in team if person.active]
    return team_language(active or team) if team else common_language(country)


def team_language(people: Iterable[Person]) -> str:
    """The language of a team's page: the first language of most of its people; at a tie an earlier of LANGUAGES."""
    spoken = Counter(person.languages[0] for person in people)
    order = [*LANGUAGES, *sorted(spoken)]
    return max(spoken, key=lambda language: (spoken[language], -order.index(language)))
