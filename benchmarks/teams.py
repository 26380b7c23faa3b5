"""How surely careless people are found, how seldom honest ones are named, and what weights make of their preferences.

    .venv/bin/python benchmarks/teams.py --out /tmp/teams.json
    .venv/bin/python benchmarks/teams.py --quick

Plants teams of 5 to 50 people of whom the kind of each is known, lets them rank slates of four answers whose right
order is known too, keeps their answers as a pull does, counts them with annot's own tally, and asks `signs` and
`reliability`. Preferences are then taken from the same votes by majority, with annot's weights, with the weights of the
Davidson model, and with MACE and Dawid-Skene of crowd-kit, and held against the planted order, which nobody was shown.
Nothing here says anything about real people. Only the numbers of a seed that was not used to choose a limit count.

A right order: strengths of four answers drawn from N(0, 1). A person feels a strength with noise of their own
(Plackett-Luce, see `sync.simulated`), and ties what feels alike. An opinion of one's own has correlation OTHER_OPINION
with that of most.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import tempfile
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import combinations
from pathlib import Path
from statistics import NormalDist
from typing import Any

from annotation.item_counts import Counts
from annotation.ledger import Ledger, Response
from annotation.project import Project, init_project
from annotation.quality.davidson import fit_davidson
from annotation.quality.habits import count_habits
from annotation.quality.reliability import reliability
from annotation.quality.signs import signs
from annotation.tally import count
from annotation.tasks import TASKS
from annotation.tasks.ranking.preferences import places_of
from annotation.tasks.ranking.slates import add_slates, item_of
from annotation.types import Answer, Candidate, Item, Judgement, Person, Prompt, Slate

SEATS = 4
OTHER_OPINION = 0.3
"""Correlation of a minority's opinion with that of most."""

CARELESS = 0.9
"""Share of answers that people of a careless kind give in their way; the rest are honest."""

Votes = Mapping[str, Mapping[str, Mapping[str, int]]]
"""Slate -> person -> candidate -> place, 0 is best."""


@dataclass(frozen=True, slots=True)
class Kind:
    """How somebody answers.

    Attributes:
        name: For tables.
        share: Of a team, in the mixture that has it.
        honest: A sign of them is a false alarm.
        seconds: Median for an answer.
    """

    name: str
    share: float
    honest: bool = False
    seconds: float = 45.0


CAREFUL = Kind("careful", 1.0, honest=True)
MINORITY = Kind("minority in a country", 0.2, honest=True)
REGION = Kind("minority country", 0.2, honest=True)
STRANGER = Kind("minority of an unrelated opinion", 0.2, honest=True)
KINDS = (
    Kind("at random", 0.1),
    Kind("by position", 0.1),
    Kind("copying", 0.1),
    Kind("by length", 0.1),
    Kind("too quick", 0.1, seconds=2.5),
)


MIXTURES = {
    "careful alone": (),
    "some careless": KINDS,
    "a minority": (MINORITY,),
    "an unrelated minority": (STRANGER,),
    "a minority country": (REGION,),
}
"""Who is on a team beside careful people."""

SIZES = ((5, 70, 3), (15, 120, 5), (50, 400, 5), (15, 360, 5))
"""People, slates put before each country, people for a slate: about 40 answers of each person, or 120."""

RIVALS = ("Dawid-Skene", "MACE")
MACE_STARTS = 1
"""Of the ten that crowd-kit would make: one takes seconds even for a small team."""

AGAINST = ("some careless", "a minority", "a minority country")
"""Mixtures that they decide too."""


@dataclass
class Team:
    """A planted team and what it said.

    Attributes:
        kinds: User name -> kind.
        truth: Country -> candidate -> strength, as most people there feel it.
        votes: Country -> what was said.
        seats: Slate -> its answers as they were shown.
    """

    kinds: dict[str, Kind] = field(default_factory=dict)
    truth: dict[str, dict[str, float]] = field(default_factory=dict)
    votes: dict[str, dict[str, dict[str, dict[str, int]]]] = field(default_factory=dict)
    seats: dict[str, tuple[str, ...]] = field(default_factory=dict)


def plant(
    folder: Path, people: int, slates: int, overlap: int, seed: int, kinds: Sequence[Kind]
) -> tuple[Project, Team]:
    """A project whose slates were ranked by such a team.

    Args:
        folder: Of the project.
        people: In the team.
        slates: Put before each country.
        overlap: People for each.
        seed: Of everything.
        kinds: That there are beside careful people, by their shares and at least one of each, as far as people last.
    """
    draw, team = random.Random(seed), Team()
    project = init_project(folder, name="planted", countries=["MX", "BO"], languages=["es"], target=slates)
    project.ledger.rows("pragma synchronous = off")
    country_of: dict[str, str] = {}
    for kind in kinds:
        # One person alone in a country is compared with nobody.
        for _ in range(max(2 if kind is REGION else 1, round(kind.share * people))):
            if len(team.kinds) < people - 2:
                name = f"p{len(team.kinds):03}"
                team.kinds[name], country_of[name] = kind, "BO" if kind is REGION else "MX"
    while len(team.kinds) < people:
        name = f"p{len(team.kinds):03}"
        team.kinds[name], country_of[name] = CAREFUL, "MX"
    project.ledger.add_people([Person(n, "", "annotator", c, ("es",)) for n, c in country_of.items()])
    skill = {name: draw.uniform(1.0, 2.5) for name in team.kinds}
    made, feels, lengths = [], dict[str, dict[str, float]](), dict[str, int]()
    team.truth = {"MX": {}, "BO": {}}
    for number in range(slates):
        prompt = Prompt.make(f"pregunta {number}", country="MX", language="es")
        answers = [
            Candidate.make(prompt.id, f"{number} {n} " + "a" * draw.randint(50, 600), model="m") for n in range(SEATS)
        ]
        for answer in answers:
            lengths[answer.id] = len(answer.text)
            most, other, region = (draw.gauss(0, 1) for _ in range(3))
            rest = math.sqrt(1 - OTHER_OPINION**2)
            mean = 0.2 * (len(answer.text) - 325) / 159  # longer answers are a little better, as they often are
            most = mean + math.sqrt(1 - 0.2**2) * most
            team.truth["MX"][answer.id] = most
            team.truth["BO"][answer.id] = OTHER_OPINION * most + rest * region
            feels[answer.id] = {
                "most": most,
                "other": OTHER_OPINION * most + rest * other,
                "unrelated": draw.gauss(0, 1),
            }
        project.ledger.add_prompts([prompt])
        project.ledger.add_candidates(answers)
        seats = draw.sample([a.id for a in answers], SEATS)
        made.append(Slate(f"slate{seed}-{number}", prompt.id, tuple(seats), number))
        team.seats[made[-1].id] = tuple(seats)
    add_slates(project.ledger, made)
    clock = {name: datetime(2026, 1, 1, tzinfo=UTC) for name in team.kinds}
    responses = []
    prompts = {prompt.id: prompt for prompt in project.ledger.prompts()}
    copied = _copied(team.kinds, country_of, draw)
    for slate in made:
        item = item_of(slate, prompts[slate.prompt_id])
        for country in ("MX", "BO"):
            own = [n for n in team.kinds if country_of[n] == country]
            chosen = _with_sources(draw.sample(own, min(overlap, len(own))), copied, draw)
            said: dict[str, dict[str, int]] = {}
            for name in sorted(chosen, key=lambda n: n in copied):  # who copies comes later
                kind = team.kinds[name]
                opinion = {MINORITY: "other", STRANGER: "unrelated"}.get(kind, "most")
                strengths = team.truth["BO"] if kind is REGION else {c: feels[c][opinion] for c in slate.seats}
                tiers = rank(kind, slate, strengths, lengths, skill[name], draw)
                places = places_of(tiers)
                if kind.name == "copying" and copied.get(name) in said and draw.random() < CARELESS:
                    places = said[copied[name]]
                    tiers = tuple(tuple(c for c in slate.seats if places[c] == p) for p in sorted(set(places.values())))
                said[name] = places
                if name in copied:
                    clock[name] = max([clock[name], *(clock[n] for n in chosen if n not in copied)])
                clock[name] += timedelta(seconds=kind.seconds * math.exp(draw.gauss(0, 0.5)))
                at = clock[name].isoformat(timespec="microseconds")
                values = TASKS["ranking"].values(item, Judgement(tiers))
                raw = json.dumps({"id": f"{slate.id}-{name}", "values": values})
                responses.append(Response(f"{slate.id}-{name}", slate.id, name, country, "submitted", at, raw))
            team.votes.setdefault(country, {})[slate.id] = said
    project.ledger.add_responses("planted", responses)
    return project, team


def _copied(kinds: Mapping[str, Kind], country_of: Mapping[str, str], draw: random.Random) -> dict[str, str]:
    honest = [n for n, kind in kinds.items() if kind.honest and country_of[n] == "MX"]
    return {n: draw.choice(honest) for n, kind in kinds.items() if kind.name == "copying"}


def _with_sources(chosen: list[str], copied: Mapping[str, str], draw: random.Random) -> list[str]:
    """People of a slate; who copies works beside the person that is copied, half of the time at least."""
    for name in [n for n in chosen if n in copied]:
        if copied[name] not in chosen and draw.random() < 0.5:
            free = [n for n in chosen if n not in copied and n not in copied.values()]
            if free:
                chosen[chosen.index(free[0])] = copied[name]
    return chosen


def rank(
    kind: Kind,
    slate: Slate,
    strengths: Mapping[str, float],
    lengths: Mapping[str, int],
    skill: float,
    draw: random.Random,
) -> tuple[tuple[str, ...], ...]:
    """What somebody of a kind says of a slate."""
    if kind.name != "copying" and not kind.honest and draw.random() < CARELESS:
        if kind.name in ("at random", "too quick"):
            return tuple((c,) for c in draw.sample(slate.seats, SEATS))
        if kind.name == "by position":
            return tuple((c,) for c in slate.seats)
        if kind.name == "by length":
            return tuple((c,) for c in sorted(slate.seats, key=lambda c: -lengths[c]))
    felt = {c: skill * strengths[c] - math.log(-math.log(max(draw.random(), 1e-12))) for c in slate.seats}
    tiers: list[list[str]] = []
    for c in sorted(slate.seats, key=lambda c: -felt[c]):
        if tiers and felt[tiers[-1][-1]] - felt[c] < 0.3:
            tiers[-1].append(c)
        else:
            tiers.append([c])
    return tuple(tuple(tier) for tier in tiers)


def accuracy(
    votes: Votes, seats: Mapping[str, Sequence[str]], truth: Mapping[str, float], weight: Mapping[str, float]
) -> float:
    """Pairs whose weighted majority is the planted order, an equal vote half."""
    right = 0.0
    for slate, said in votes.items():
        for one, other in combinations(seats[slate], 2):
            vote = sum(
                weight.get(who, 1.0) * ((places[one] < places[other]) - (places[one] > places[other]))
                for who, places in said.items()
            )
            right += 0.5 if abs(vote) < 1e-9 else float((vote > 0) == (truth[one] > truth[other]))
    return right


def labels(votes: Votes, seats: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str, str]]:
    """The same votes as crowd-kit takes them: a task is two answers, its label the better one by seat; no ties."""
    for slate, said in votes.items():
        for one, other in combinations(seats[slate], 2):
            for who, places in said.items():
                if places[one] != places[other]:
                    yield f"{slate}|{one}|{other}", who, "above" if places[one] < places[other] else "below"


def by_crowd_kit(name: str, team: Team, country: str) -> float:
    """Pairs that MACE or Dawid-Skene decide as planted; one without a vote counts half."""
    import pandas as pd
    from crowdkit.aggregation import MACE, DawidSkene

    votes, truth = team.votes[country], team.truth[country]
    frame = pd.DataFrame(labels(votes, team.seats), columns=["task", "worker", "label"])
    model = DawidSkene(n_iter=100) if name == "Dawid-Skene" else MACE(n_restarts=MACE_STARTS, n_iter=50, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        decided = model.fit_predict(frame)
    right = 0.5 * (len(votes) * math.comb(SEATS, 2) - len(decided))
    for task, label in decided.items():
        _, one, other = task.split("|")
        right += (label == "above") == (truth[one] > truth[other])
    return right


def by_strengths(votes: Votes, truth: Mapping[str, float], strengths: Mapping[str, float]) -> float:
    """Pairs that the Davidson model's own strengths put as planted."""
    right = 0.0
    for said in votes.values():
        for one, other in combinations(sorted(next(iter(said.values()))), 2):
            apart = strengths[one] - strengths[other]
            right += 0.5 if abs(apart) < 1e-9 else float((apart > 0) == (truth[one] > truth[other]))
    return right


@dataclass
class Found:
    """What was counted over teams.

    Attributes:
        people: Kind -> people.
        named: Kind -> those with a sign.
        by: Kind and kind of sign -> people.
        shares: Way of deciding -> by team, the share of pairs as planted.
        seconds: What was done -> seconds.
    """

    people: Counter[str] = field(default_factory=Counter)
    named: Counter[str] = field(default_factory=Counter)
    by: Counter[tuple[str, str]] = field(default_factory=Counter)
    shares: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    seconds: Counter[str] = field(default_factory=Counter)


def judge_team(project: Project, team: Team, found: Found, *, rivals: bool) -> None:
    """Ask for signs and weights, and hold them against what was planted."""
    counts = count(project.ledger, project.settings)
    began = time.perf_counter()
    told = signs(counts, project.ledger)
    found.seconds["signs"] += time.perf_counter() - began
    named = {sign.annotator for sign in told}
    for who, kind in team.kinds.items():
        found.people[kind.name] += 1
        found.named[kind.name] += who in named
        found.by.update({(kind.name, sign.kind) for sign in told if sign.annotator == who})
    for who in named:
        project.ledger.decide(who, excluded="a sign")
    heeded = count(project.ledger, project.settings)
    for who in named:
        project.ledger.decide(who, excluded="")
    right, pairs = Counter[str](), 0
    for country, votes in team.votes.items():
        if any(votes.values()):
            right.update(decided_right(project.ledger, counts, team, country, found.seconds))
            weight = weights(heeded, project.ledger, country)
            left = {slate: {w: p for w, p in said.items() if w not in named} for slate, said in votes.items()}
            right["annot, signs heeded"] += accuracy(left, team.seats, team.truth[country], weight)
            if rivals:
                right.update(by_rivals(team, country, found.seconds))
            pairs += len(votes) * math.comb(SEATS, 2)
    for way, number in right.items():
        found.shares[way].append(number / pairs)


def weights(counts: Counts, ledger: Ledger, country: str) -> dict[str, float]:
    """Annot's weights of a country's people."""
    return {who: one.weight for who, one in reliability(counts, ledger).get(("ranking", country), {}).items()}


def by_rivals(team: Team, country: str, seconds: Counter[str]) -> dict[str, float]:
    """The same of crowd-kit's ways."""
    right = {}
    for name in RIVALS:
        began = time.perf_counter()
        right[name] = by_crowd_kit(name, team, country)
        seconds[name] += time.perf_counter() - began
    return right


def decided_right(ledger: Ledger, counts: Counts, team: Team, country: str, seconds: Counter[str]) -> dict[str, float]:
    """Way of deciding -> pairs of a country that it decides as planted."""
    votes, truth = team.votes[country], team.truth[country]
    rankings = [
        (who, {c: float(p) for c, p in places.items()}) for said in votes.values() for who, places in said.items()
    ]
    began = time.perf_counter()
    weight = weights(counts, ledger, country)
    seconds["weights"] += time.perf_counter() - began
    began = time.perf_counter()
    fitted = fit_davidson(rankings)
    seconds["Davidson"] += time.perf_counter() - began
    return {
        "majority": accuracy(votes, team.seats, truth, {}),
        "annot": accuracy(votes, team.seats, truth, weight),
        "annot, weights from other slates": held_out(ledger, team, country),
        "Davidson": by_strengths(votes, truth, fitted.strengths),
    }


def held_out(ledger: Ledger, team: Team, country: str) -> float:
    """Pairs as planted by weights that were learnt on the other half of the slates."""
    votes, right = team.votes[country], 0.0
    for half in (0, 1):
        counts = Counter[tuple[str | int, ...]]()
        for slate, said in list(votes.items())[half::2]:
            item = Item(slate, "ranking", 0, country, "es", "", {"seats": team.seats[slate]})
            answers = [Answer("", slate, who, country, "", None) for who in said]
            units = {who: {c: float(p) for c, p in places.items()} for who, places in said.items()}
            counts.update(count_habits(TASKS["ranking"], item, answers, units, {}))
        weight = weights(counts, ledger, country)
        right += accuracy(dict(list(votes.items())[1 - half :: 2]), team.seats, team.truth[country], weight)
    return right


def interval(hits: int, n: int) -> str:
    """A rate with its 95 % interval (Wilson)."""
    z = NormalDist().inv_cdf(0.975)
    middle, half = hits + z * z / 2, z * math.sqrt(hits * (n - hits) / n + z * z / 4)
    return f"{hits / n:.0%} ({max((middle - half) / (n + z * z), 0):.0%} to {(middle + half) / (n + z * z):.0%})"


def mean(shares: Sequence[float]) -> str:
    """Of teams, in points."""
    return f"{100 * sum(shares) / len(shares):.1f}" if shares else ""


def difference(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """Mean difference of teams in points, with its 95 % interval."""
    apart = [100 * (a - b) for a, b in zip(ours, theirs, strict=False)]  # crowd-kit decides for the first teams alone
    middle = sum(apart) / len(apart)
    half = 1.96 * math.sqrt(sum((x - middle) ** 2 for x in apart) / max(len(apart) - 1, 1) / len(apart))
    return f"{middle:+.1f} ({middle - half:+.1f} to {middle + half:+.1f})"


def print_signs(results: Mapping[tuple[str, int, int], Found]) -> None:
    """Who got a sign, by kind and by how much everybody answered."""
    print(f"\n| mixture | people in a team | answers each | who | people | with a sign | which |\n|{'---|' * 7}")
    for (mixture, people, each), found in results.items():
        for kind, number in found.people.items():
            which = ", ".join(f"{sign} {n}" for (of, sign), n in found.by.most_common() if of == kind)
            rate = interval(found.named[kind], number)
            print(f"| {mixture} | {people} | {each} | {kind} | {number} | {rate} | {which} |")


def print_shares(results: Mapping[tuple[str, int, int], Found]) -> None:
    """Pairs as planted by each way of deciding, and how annot's ways differ from the others."""
    ways = list(dict.fromkeys(way for found in results.values() for way in found.shares))
    print(f"\n| mixture | people | answers each | {' | '.join(ways)} |\n|{'---|' * (3 + len(ways))}")
    for (mixture, people, each), found in results.items():
        shown = " | ".join(mean(found.shares.get(way, ())) for way in ways)
        print(f"| {mixture} | {people} | {each} | {shown} |")
    compared = [(ours, theirs) for ours in ("annot", "Davidson") for theirs in ("majority", *RIVALS) if theirs in ways]
    beside = " | ".join(f"{ours} less {theirs}" for ours, theirs in compared)
    print(f"\n| mixture | people | answers each | {beside} |\n|{'---|' * (3 + len(compared))}")
    for (mixture, people, each), found in results.items():
        shares = [(found.shares[ours], found.shares.get(theirs, ())) for ours, theirs in compared]
        shown = " | ".join(difference(*of) if of[1] else "" for of in shares)
        print(f"| {mixture} | {people} | {each} | {shown} |")


def main() -> None:
    """Plant teams, and print what was found of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10, help="teams of each size and mixture")
    parser.add_argument("--first-seed", type=int, default=1000, help="limits were chosen on seeds below 1000")
    parser.add_argument("--rivals", type=int, default=3, help="of these, how many crowd-kit decides too: it is slow")
    parser.add_argument("--quick", action="store_true", help="one small team of two mixtures")
    parser.add_argument("--out", type=Path, help="JSON")
    told = parser.parse_args()
    sizes, seeds = (SIZES[:1], 1) if told.quick else (SIZES, told.seeds)
    mixtures = {name: MIXTURES[name] for name in list(MIXTURES)[1::3]} if told.quick else MIXTURES
    kept: list[dict[str, Any]] = []
    for people, slates, overlap in sizes:
        results: dict[tuple[str, int, int], Found] = defaultdict(Found)
        for seed in range(told.first_seed, told.first_seed + seeds):
            for mixture, kinds in mixtures.items():
                with tempfile.TemporaryDirectory(prefix="annot-teams-") as folder:
                    project, team = plant(Path(folder) / "p", people, slates, overlap, seed, kinds)
                    rivals = mixture in AGAINST and seed < told.first_seed + told.rivals
                    judge_team(project, team, results[mixture, people, slates * overlap // people], rivals=rivals)
                    project.ledger.close()
            print(f"\r{people} people, seed {seed}", end="", file=sys.stderr)
        print_signs(results)
        print_shares(results)
        spent = sum((found.seconds for found in results.values()), Counter[str]())
        print("\nSeconds in all:", ", ".join(f"{name} {seconds:.1f}" for name, seconds in spent.items()), flush=True)
        for (mixture, _, each), found in results.items():
            by = {"/".join(of): n for of, n in found.by.items()}
            told_of = {"found": found.people, "named": found.named, "by": by, "shares": found.shares}
            kept.append({"mixture": mixture, "people": people, "answers each": each, **told_of})
        if told.out:
            told.out.write_text(json.dumps(kept, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
