"""Visitors' votes by country: estimates, verdicts, tables and the plot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from annotation.screen import counted
from train.evaluate.gate import VOTES, Gate, GroupResult, judge
from train.evaluate.measure import GREY, MARKS, Table, save_figure
from train.settings import EvaluationSettings
from train.statistics import Estimate, binomial_share, chance_of_as_many, davidson_nu, mean_of_two, win_rate

Counts = Mapping[tuple[str, str, str], int]
"""(country, side of the adapted model, choice) -> votes; sides are "A" and "B", other choices "tie" and "both_bad"."""

ROWS_OF_PLOT = 40
"""Most groups in the plot; the table has them all."""

LOPSIDED = 0.001
"""Sides so uneven that a fair draw gives them less often than this are none."""


@dataclass(frozen=True, slots=True)
class VoteGroup:
    """Votes of a country, or all of them.

    Attributes:
        by: "all" or "country".
        name: Which country.
        votes: How many.
        wins: The adapted model's answer is better.
        ties: Both are equally good.
        losses: The base's answer is better.
        both_bad: Both are bad.
        on_a: On how many of the votes that compare (all but `both_bad`) the adapted model stood on side A.
        rate: Win rate; this and the others are None where no vote has a say.
        untied: Wins among wins and losses: P(adapted model better | no tie).
        nu: How readily both are called equal, in Davidson's model; None too where it is infinite.
        side_a: Share of side A among wins and losses: a half where the side makes no difference.
        rate_on_a: Win rate with the adapted model on side A.
        rate_on_b: The same on side B.
        rate_even: Mean of both: the win rate as if each side had had the adapted model equally often.
        verdict: "passed" or "failed" where the gate judges it, "too few to tell" where it would, or "".
    """

    by: str
    name: str
    votes: int
    wins: int
    ties: int
    losses: int
    both_bad: int
    on_a: int
    rate: Estimate | None
    untied: Estimate | None
    nu: float | None
    side_a: Estimate | None
    rate_on_a: Estimate | None
    rate_on_b: Estimate | None
    rate_even: Estimate | None
    verdict: str = ""

    @property
    def compared(self) -> int:
        """Votes that compare the two answers."""
        return self.votes - self.both_bad

    @property
    def label(self) -> str:
        """For people."""
        return f"{self.by} {self.name}".strip()


def vote_groups(counts: Counts, wanted: EvaluationSettings) -> tuple[VoteGroup, ...]:
    """Estimates of all votes, one at least, and by country, the lowest win rate first."""
    countries = sorted({country for country, _, _ in counts})
    found = [_group("country", name, {key: n for key, n in counts.items() if key[0] == name}) for name in countries]
    found.sort(key=lambda group: (group.rate.value if group.rate else 2.0, group.name))
    return with_verdicts([_group("all", "", counts), *found], wanted)


def _group(by: str, name: str, counts: Counts) -> VoteGroup:
    said: Counter[tuple[str, str]] = Counter()
    for (_, adapted, choice), number in counts.items():
        said[adapted, choice] += number
    # Wins, ties and losses with the adapted model on side A, and on side B.
    a, b = ((said[own, own], said[own, "tie"], said[own, other]) for own, other in (("A", "B"), ("B", "A")))
    wins, ties, losses = (one + other for one, other in zip(a, b, strict=True))
    on_a, on_b = (win_rate(*one) if sum(one) else None for one in (a, b))
    compared, untied = wins + ties + losses, wins + losses
    return VoteGroup(
        by,
        name,
        said.total(),
        wins,
        ties,
        losses,
        said.total() - compared,
        sum(a),
        win_rate(wins, ties, losses) if compared else None,
        binomial_share(wins, untied) if untied else None,
        davidson_nu(wins, ties, losses) if compared else None,
        binomial_share(a[0] + b[2], untied) if untied else None,
        on_a,
        on_b,
        mean_of_two(on_a, on_b) if on_a and on_b else None,
    )


def with_verdicts(groups: Sequence[VoteGroup], wanted: EvaluationSettings) -> tuple[VoteGroup, ...]:
    """The groups with the verdicts that the settings ask for, whatever they had before: of the countries only."""
    return tuple(replace(g, verdict=_verdict(g, wanted) if g.by == "country" else "") for g in groups)


def _verdict(group: VoteGroup, wanted: EvaluationSettings) -> str:
    if wanted.gate_votes == "off":
        return ""
    if group.rate is None or group.compared < wanted.gate_vote_count:
        return "too few to tell"
    return "passed" if group.rate.low > wanted.gate_votes else "failed"


@dataclass(frozen=True)
class VoteSummary:
    """Votes by country.

    Attributes:
        groups: All votes first, then the countries, the lowest win rate first.
        left_out: Votes about the adapter on another version of its base.
    """

    groups: tuple[VoteGroup, ...]
    left_out: int

    def as_json(self) -> dict[str, Any]:
        """As in evaluation.json."""
        return {"left_out": self.left_out, "groups": [asdict(group) for group in self.groups]}

    def judged(self, wanted: EvaluationSettings) -> Self:
        """The same numbers with the verdicts that these settings ask for."""
        return replace(self, groups=with_verdicts(self.groups, wanted))

    def draw(self, folder: Path, wanted: EvaluationSettings) -> None:
        """Draw the win rates anew."""
        draw_votes(folder / self.plots()[0], self, wanted)

    def gates(self, wanted: EvaluationSettings) -> list[Gate]:
        """Every country with enough votes must be above `gate_votes`."""
        if wanted.gate_votes == "off":
            return []
        judged = [group for group in self.groups if group.verdict]
        gate = judge(
            [GroupResult(f"{VOTES} of {g.label}", g.rate.low if g.rate else 0.0, g.compared) for g in judged],
            least=wanted.gate_votes,
            least_items=wanted.gate_vote_count,
            what="win rate",
            items="visitors' votes",
            setting="evaluation.gate_vote_count",
        )
        return [replace(gate, worst=gate.worst or VOTES)]

    def warnings(self, wanted: EvaluationSettings) -> list[str]:
        """Who votes is unknown; sides that were not drawn at random; votes left out; countries too small."""
        everything = self.groups[0]
        sentences = [
            f"{counted(everything.votes, 'vote')} of visitors: they are anonymous, and whoever wanted to vote did. One "
            "visitor may have voted often, also on the same answers again, and nobody can tell; the intervals hold "
            "only if every vote is another person's."
        ]
        uneven = max(everything.on_a, everything.compared - everything.on_a)
        if 2 * chance_of_as_many(uneven, everything.compared, 0.5) < LOPSIDED:
            sentences.append(
                f"votes: the adapted model stood on side A in {everything.on_a} of {everything.compared}, which a draw "
                "by lot hardly gives; something is wrong with these votes, and only the win rate with both sides "
                "counted alike can be trusted."
            )
        if self.left_out:
            one = self.left_out == 1
            sentences.append(
                f"{counted(self.left_out, 'vote')} about this adapter {'is' if one else 'are'} left out: "
                f"{'it was' if one else 'they were'} given on another version of its base."
            )
        if small := ", ".join(group.label for group in self.groups if group.verdict == "too few to tell"):
            sentences.append(
                f"votes of {small}: fewer than {wanted.gate_vote_count} that compare the answers, too few to tell; "
                "such a country neither passes nor fails."
            )
        return sentences

    def tables(self) -> list[Table]:
        """The votes, and the same votes by side."""
        return [
            Table("visitors' votes, adapter against base", COLUMNS, [_row(g) for g in self.groups], HOW_TO_READ),
            Table("visitors' votes by side", SIDES, [_sides(g) for g in self.groups], HOW_TO_READ_SIDES),
        ]

    def plots(self) -> list[str]:
        """Win rate by country."""
        return ["evaluation_votes.png"]


COLUMNS = ("group", "votes", "wins", "ties", "losses", "both bad", "win rate", "wins, no ties", "nu", "gate")

HOW_TO_READ = (
    "The lowest win rate first; **all** is no mean of the countries, but the mix of those who came to vote. **Win "
    "rate**: wins and half of the ties, of all votes but “both bad”; 50 % where neither model is better. “Both bad” is "
    "no tie: it says that both failed. **Wins, no ties**: share of wins among wins and losses. In Davidson's model for "
    "ties the likeliest probabilities are the shares of wins, ties and losses, and **nu** says how readily both are "
    "called equal. In brackets 95 % intervals, as if every vote was another person's."
)

SIDES = ("group", "better: side A", "adapter on A", "win rate on A", "win rate on B", "both sides alike")

HOW_TO_READ_SIDES = (
    "**Better: side A**: share of side A among wins and losses; above 50 %, people favour the side itself. Since the "
    "sides are drawn by lot for every vote, that does not bias the win rate. **Both sides alike**: the win rate freed "
    "from what chance left uneven, as if the adapter had stood on each side equally often."
)


def _row(group: VoteGroup) -> tuple[str, ...]:
    shares = [f"{n} ({n / group.votes:.0%})" for n in (group.wins, group.ties, group.losses, group.both_bad)]
    nu = "–" if group.rate is None else "∞" if group.nu is None else f"{group.nu:.2f}"
    estimates = (_shown(group.rate), _shown(group.untied))
    return group.label, str(group.votes), *shares, *estimates, nu, group.verdict or "–"


def _sides(group: VoteGroup) -> tuple[str, ...]:
    stood = f"{group.on_a} of {group.compared}"
    rates = (group.rate_on_a, group.rate_on_b, group.rate_even)
    return group.label, _shown(group.side_a), stood, *(_shown(rate) for rate in rates)


def _shown(share: Estimate | None) -> str:
    return f"{share.value:.1%} {share.interval('.1f', 100)}" if share else "–"


def draw_votes(path: Path, found: VoteSummary, wanted: EvaluationSettings) -> Path:
    """Win rate of every country with its interval, the lowest on top, and what its votes say."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    groups = found.groups[:ROWS_OF_PLOT]
    figure = Figure(figsize=(9.0, 1.7 + 0.32 * len(groups)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    left.axvline(0.5, color=GREY, linewidth=1, linestyle=":")
    if wanted.gate_votes != "off":
        left.axvline(wanted.gate_votes, color=MARKS["failed"], linewidth=1, linestyle="--")
    kinds = {"wins": "#4a6fa5", "ties": "#b9c6dc", "losses": "#d9a05b", "both_bad": "#d5d5d5"}
    for row, group in enumerate(groups):
        if group.rate:
            colour = MARKS.get(group.verdict, GREY)
            left.plot([group.rate.low, group.rate.high], [row, row], color=colour, linewidth=2)
            left.plot(group.rate.value, row, "o", color=colour, markersize=5)
        before = 0.0
        for kind, colour in kinds.items():
            share = getattr(group, kind) / group.votes
            right.barh(row, share, left=before, color=colour, height=0.6)
            before += share
    left.set_yticks(range(len(groups)), [f"{group.label} ({group.votes})" for group in groups])
    left.set_ylim(len(groups) - 0.5, -0.5)
    left.set(xlabel="win rate of the adapter in visitors' votes", xlim=(0, 1))
    right.set(xlabel="share of votes", xlim=(0, 1))
    left.grid(axis="x", alpha=0.3)
    used = sorted({group.verdict for group in groups})
    keys = [Line2D([], [], color=MARKS.get(mark, GREY), marker="o", label=mark or "not judged") for mark in used]
    keys.append(Line2D([], [], color=GREY, linestyle=":", label="neither is better"))
    if wanted.gate_votes != "off":
        keys.append(Line2D([], [], color=MARKS["failed"], linestyle="--", label="gate"))
    bars = [Patch(color=colour, label=kind.replace("_", " ")) for kind, colour in kinds.items()]
    figure.legend(handles=[*keys, *bars], loc="outside lower center", ncols=5, fontsize=8, frameon=False)
    return save_figure(path, figure)
