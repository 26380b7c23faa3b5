"""Visitors' votes say how often the adapted model is the better one: Davidson's model, honest intervals, the gate."""

import json
import math
import random
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from finished_runs import QUICK, finished_run, ranked_slates
from hypothesis import given
from hypothesis import strategies as st
from projects import make_project
from scipy.optimize import minimize_scalar
from typer.testing import CliRunner

from annotation.cli import app
from annotation.errors import SettingsError, TrainError
from annotation.project import Project
from annotation.tasks.duel.votes import Duel, add_duels, read_duels
from train.evaluate.command_line import chosen_measures
from train.evaluate.evaluation import Evaluation, conclude
from train.evaluate.gate import Gate, gate_of, remedy
from train.evaluate.run import evaluate, read_evaluation
from train.evaluate.votes_summary import VoteGroup, VoteSummary, vote_groups
from train.settings import EvaluationSettings, load_recipe
from train.statistics import binomial_share, davidson_nu, mean_of_two, win_rate

pytestmark = pytest.mark.usefixtures("one_thread")

GATED = ("evaluation.gate_votes=0.5", "evaluation.gate_vote_count=30")


def quietly(_line: str) -> None:
    """Say nothing."""


# -- Davidson's model ---------------------------------------------------------------------------------------

PUDDINGS = (
    *((1, 2, 19, 22, 16), (1, 3, 16, 19, 12), (2, 3, 19, 19, 10), (1, 4, 18, 23, 13), (2, 4, 23, 19, 9)),
    *((3, 4, 19, 20, 15), (1, 5, 13, 19, 18), (2, 5, 16, 20, 12), (3, 5, 16, 15, 17), (4, 5, 17, 14, 16)),
    *((1, 6, 18, 21, 12), (2, 6, 22, 20, 12), (3, 6, 13, 18, 10), (4, 6, 14, 19, 18), (5, 6, 11, 21, 12)),
)
"""Davidson's second example, six brands of chocolate pudding: brands i and j, wins of i, wins of j, ties."""


def fitted(rows: Any, rounds: int) -> tuple[dict[int, float], float]:
    """Strengths, of sum 1, and nu of Davidson's model, by his iteration: each is what the others say it must be."""
    points: Counter[int] = Counter()
    for i, j, wins, losses, ties in rows:
        points[i] += 2 * wins + ties
        points[j] += 2 * losses + ties
    strength, nu = {i: 1 / len(points) for i in points}, 1.0
    for _ in range(rounds):
        weight, tied, odds = dict.fromkeys(points, 0.0), 0, 0.0
        for i, j, wins, losses, ties in rows:
            root = math.sqrt(strength[i] * strength[j])
            share = (wins + losses + ties) / (strength[i] + strength[j] + nu * root)
            weight[i] += share * (2 + nu * math.sqrt(strength[j] / strength[i]))
            weight[j] += share * (2 + nu * math.sqrt(strength[i] / strength[j]))
            tied, odds = tied + ties, odds + share * root
        found = {i: points[i] / weight[i] for i in points}
        strength, nu = {i: one / sum(found.values()) for i, one in found.items()}, tied / odds
    return strength, nu


def test_the_reference_fit_gives_the_published_estimates_of_davidsons_example() -> None:
    # As the documentation of the R package PlackettLuce has them, after the seven iterations of the paper.
    strength, nu = fitted(PUDDINGS, 500)
    published = (0.1388005, 0.1729985, 0.1617420, 0.1653930, 0.1586805, 0.2023855)
    assert [strength[i] for i in range(1, 7)] == pytest.approx(published, abs=3e-5)
    assert nu == pytest.approx(0.7468147, abs=3e-5)


@pytest.mark.parametrize("row", PUDDINGS)
def test_two_items_have_the_closed_form_that_the_reference_fit_arrives_at(row: tuple[int, ...]) -> None:
    _, _, wins, losses, ties = row
    strength, nu = fitted([(0, 1, wins, losses, ties)], 500)
    assert davidson_nu(wins, ties, losses) == pytest.approx(nu, rel=1e-6)
    scale, count = 1 + nu * math.sqrt(strength[0] * strength[1]), wins + ties + losses
    assert (wins / count, losses / count) == pytest.approx((strength[0] / scale, strength[1] / scale), rel=1e-6)
    assert binomial_share(wins, wins + losses).value == pytest.approx(strength[0], rel=1e-6)


def test_a_side_that_never_wins_leaves_nu_without_a_number() -> None:
    assert davidson_nu(3, 2, 0) is None
    assert davidson_nu(0, 0, 4) == 0.0


# -- the win rate and its interval --------------------------------------------------------------------------

outcomes = st.tuples(*(st.integers(0, 300) for _ in range(3))).filter(lambda one: sum(one) > 0)


def test_the_interval_is_that_of_a_published_example() -> None:
    # Bentur et al. 2009, as in Fagerland, Lydersen & Laake 2014, "Recommended tests and confidence intervals for
    # paired binomial proportions", Statistics in Medicine 33: 1 of 21 better, 7 worse; Tango's interval of the
    # difference is -0.517 to -0.026.
    found = win_rate(1, 13, 7)
    assert 2 * found.low - 1 == pytest.approx(-0.517, abs=5e-4)
    assert 2 * found.high - 1 == pytest.approx(-0.026, abs=5e-4)
    assert (found.count, found.prompts) == (21, 21)


@pytest.mark.parametrize("counts", [(12, 5, 20), (3, 40, 1), (30, 10, 2), (7, 0, 9)])
def test_the_ends_of_the_interval_are_just_rejected_by_a_score_test_done_at_length(
    counts: tuple[int, int, int],
) -> None:
    wins, ties, losses = counts
    n, found = sum(counts), win_rate(*counts)
    for end in (found.low, found.high):
        d = 2 * end - 1

        def unlikely(p: float, d: float = d) -> float:
            shares = ((wins, p + d), (ties, 1 - 2 * p - d), (losses, p))
            return -sum(k * math.log(max(share, 1e-300)) for k, share in shares if k)

        bounds = (max(0.0, -d), (1 - d) / 2)
        p = minimize_scalar(unlikely, bounds=bounds, method="bounded", options={"xatol": 1e-12}).x
        variance = (2 * p + d - d * d) / n
        assert abs((wins - losses) / n - d) / math.sqrt(variance) == pytest.approx(1.959964, abs=1e-3)


@given(outcomes)
def test_both_sides_swapped_mirror_everything(counts: tuple[int, int, int]) -> None:
    wins, ties, losses = counts
    one, other = win_rate(wins, ties, losses), win_rate(losses, ties, wins)
    assert 0 <= one.low <= one.value <= one.high <= 1
    assert one.low < one.high
    assert (one.value, one.low, one.high) == pytest.approx((1 - other.value, 1 - other.high, 1 - other.low))


@given(st.integers(0, 300), st.integers(0, 300))
def test_without_ties_it_is_the_binomial_share_with_wilsons_interval(wins: int, losses: int) -> None:
    if wins + losses:
        one, other = win_rate(wins, 0, losses), binomial_share(wins, wins + losses)
        assert (one.value, one.low, one.high) == pytest.approx((other.value, other.low, other.high), abs=1e-9)


@given(outcomes)
def test_it_is_above_a_half_exactly_where_wins_outnumber_losses_by_mcnemars_test(counts: tuple[int, int, int]) -> None:
    wins, ties, losses = counts
    outnumber = wins - losses > 1.959964 * math.sqrt(wins + losses)
    assert (win_rate(wins, ties, losses).low > 0.5) == outnumber
    assert not outnumber or binomial_share(wins, wins + losses).low > 0.5


def test_ties_pull_to_a_half_and_narrow_the_interval() -> None:
    few, many = win_rate(20, 0, 10), win_rate(20, 3000, 10)
    assert many.value == pytest.approx(0.5, abs=0.01)
    assert many.high - many.low < (few.high - few.low) / 10
    alike = win_rate(0, 50, 0)
    assert (alike.value, alike.low) == (0.5, pytest.approx(1 - alike.high))
    assert alike.low < 0.47


@pytest.mark.parametrize("shares", [(0.4, 0.3, 0.3), (0.6, 0.05, 0.35), (0.1, 0.85, 0.05)])
@pytest.mark.parametrize("size", [30, 200])
def test_the_interval_covers_the_truth_nineteen_times_in_twenty(shares: tuple[float, ...], size: int) -> None:
    truth = shares[0] + shares[1] / 2
    drawn = np.random.default_rng(4).multinomial(size, shares, size=1500)
    covered = sum(one.low <= truth <= one.high for one in (win_rate(*map(int, counts)) for counts in drawn))
    assert 0.93 <= covered / 1500 <= 0.985


def test_the_mean_of_two_estimates_has_the_error_of_both() -> None:
    # Two shares of 400 each: errors of 0.0245 and 0.0218, so that of the mean is 0.0164.
    found = mean_of_two(binomial_share(160, 400), binomial_share(300, 400))
    error = 1.959964 * math.sqrt(0.24 / 400 + 0.1875 / 400) / 2
    assert found.value == pytest.approx(0.575)
    assert found.high - found.low == pytest.approx(2 * error, rel=0.01)
    assert found.count == 800


# -- groups -------------------------------------------------------------------------------------------------


def settings(**changes: Any) -> EvaluationSettings:
    told = {"gate_votes": 0.5, "gate_vote_count": 30, **changes}
    return load_recipe("cpu-smoke", [f"evaluation.{key}={value}" for key, value in told.items()]).evaluation


def said(country: str, wins: int, ties: int, losses: int, both_bad: int = 0) -> Counter[tuple[str, str, str]]:
    """Votes, of each kind as many with the adapted model on side A as on side B, or one more."""
    found: Counter[tuple[str, str, str]] = Counter()
    for adapted, other, more in (("A", "B", 1), ("B", "A", 0)):
        for choice, number in ((adapted, wins), ("tie", ties), (other, losses), ("both_bad", both_bad)):
            found[country, adapted, choice] += (number + more) // 2
    return found


def test_groups_count_what_was_said_and_both_bad_is_no_tie() -> None:
    counts = said("MX", 20, 10, 10, 7) + said("BR", 5, 2, 9)
    everything, worst, best = vote_groups(counts, settings())
    assert [(g.label, g.votes) for g in (everything, worst, best)] == [
        ("all", 63),
        ("country BR", 16),
        ("country MX", 47),
    ]
    assert (best.wins, best.ties, best.losses, best.both_bad, best.compared, best.on_a) == (20, 10, 10, 7, 40, 20)
    assert best.rate
    assert best.rate.value == (20 + 10 / 2) / 40  # not (20 + 17 / 2) / 47
    assert best.rate == win_rate(20, 10, 10)
    assert best.untied == binomial_share(20, 30)
    assert best.nu == 10 / math.sqrt(200)


def test_whoever_prefers_a_side_shows_and_the_win_rate_is_freed_from_how_sides_fell() -> None:
    # The models are equal, and people choose side A four times of five; the adapted model stood there more often.
    counts = {("MX", "A", "A"): 240, ("MX", "A", "B"): 60, ("MX", "B", "A"): 80, ("MX", "B", "B"): 20}
    group = vote_groups(counts, settings())[0]
    assert group.side_a
    assert group.side_a.value == 0.8
    assert group.side_a.low > 0.7
    assert group.rate
    assert group.rate.value == 0.65
    assert group.rate_on_a
    assert group.rate_on_b
    assert (group.rate_on_a.value, group.rate_on_b.value) == (0.8, 0.2)
    assert group.rate_even
    assert group.rate_even.value == pytest.approx(0.5)
    (warning,) = [one for one in VoteSummary((group,), 0).warnings(settings()) if "by lot" in one]
    assert "stood on side A in 300 of 400" in warning


@given(st.dictionaries(st.tuples(st.sampled_from(("MX", "BR")), *[st.sampled_from("AB")] * 2), st.integers(1, 99)))
def test_the_names_of_the_sides_change_nothing(counts: dict[tuple[str, str, str], int]) -> None:
    other = {"A": "B", "B": "A"}
    if counts:
        turned = {(country, other[adapted], other[choice]): n for (country, adapted, choice), n in counts.items()}
        for one, two in zip(vote_groups(counts, settings()), vote_groups(turned, settings()), strict=True):
            assert (one.label, one.rate, one.untied, one.nu, one.verdict) == (
                *(two.label, two.rate, two.untied, two.nu, two.verdict),
            )
            assert one.on_a == two.compared - two.on_a
            assert (one.rate_on_a, one.rate_on_b) == (two.rate_on_b, two.rate_on_a)


def test_votes_that_only_call_both_bad_have_no_win_rate(tmp_path: Path) -> None:
    summary = VoteSummary(vote_groups(said("MX", 0, 0, 0, 40) + said("BR", 40, 0, 10), settings()), 0)
    mexico = next(group for group in summary.groups if group.name == "MX")
    assert (mexico.rate, mexico.untied, mexico.nu, mexico.rate_even) == (None, None, None, None)
    assert mexico.verdict == "too few to tell"
    row = next(row for row in summary.tables()[0].rows if row[0] == "country MX")
    assert row[2:] == ("0 (0%)", "0 (0%)", "0 (0%)", "40 (100%)", "–", "–", "–", "too few to tell")
    summary.draw(tmp_path, settings())
    assert (tmp_path / "evaluation_votes.png").read_bytes().startswith(b"\x89PNG")


# -- the gate -----------------------------------------------------------------------------------------------


def judged(counts: Counter[tuple[str, str, str]], **changes: Any) -> tuple[dict[str, str], Evaluation, list[Gate]]:
    wanted = settings(**changes)
    summary = VoteSummary(vote_groups(counts, wanted), 0)
    found = conclude("one", "key", wanted, {"votes": "key"}, {"votes": summary})
    return {group.label: group.verdict for group in summary.groups}, found, list(summary.gates(wanted))


def test_the_worst_country_with_enough_votes_decides() -> None:
    good, bad, few = said("MX", 60, 10, 30), said("BR", 30, 10, 30), said("AR", 1, 0, 20)
    shown, found, (gate,) = judged(good + bad + few)
    assert shown == {"all": "", "country MX": "passed", "country BR": "failed", "country AR": "too few to tell"}
    assert (gate.verdict, gate.worst) == ("failed", "votes of country BR")
    assert "the 95 % interval of its win rate begins at 39.4%" in gate.reason
    assert gate.reason.endswith("not above 50%")
    assert found.gate.verdict == "failed"
    assert any("votes of country AR: fewer than 30" in one for one in found.summaries["votes"].warnings(found.settings))
    shown, found, (gate,) = judged(good + few)
    assert (gate.verdict, gate.worst) == ("passed", "votes of country MX")
    assert found.gate.verdict == "not measured"  # its ranking was not
    shown, found, (gate,) = judged(few)
    assert (gate.verdict, gate.worst) == ("undecided", "votes")
    assert "gate_vote_count asks for 30 visitors' votes in a group that is judged, and the largest, " in gate.reason
    shown, found, gates = judged(good + bad, gate_votes="off")
    assert (set(shown.values()), gates) == ({""}, [])


def test_votes_that_call_both_bad_make_no_country_large_enough() -> None:
    assert judged(said("MX", 20, 5, 4, 200))[0]["country MX"] == "too few to tell"


def test_other_lines_than_a_half_can_be_drawn() -> None:
    assert judged(said("MX", 60, 10, 30), gate_votes=0.6)[2][0].verdict == "failed"
    assert judged(said("MX", 45, 10, 45), gate_votes=0.35)[2][0].verdict == "passed"


def test_a_gate_that_asks_for_votes_is_not_passed_without_them() -> None:
    found = conclude("one", "key", settings(), {}, {})
    assert [found.gate.verdict, found.gate.worst] == ["not measured", ""]  # nothing was measured at all
    told = remedy(Gate("not measured", "", "votes"), "one", votes=0.5)
    assert told == (
        "let people vote (`annot demo one`), bring their votes with `annot votes pull`, and run "
        "`annot evaluate one --set evaluation.gate_votes=0.5`"
    )
    assert "ask for fewer with --set evaluation.gate_vote_count=N" in remedy(Gate("undecided", "", "votes"), "one")
    assert "train anew" in remedy(Gate("failed", "", "votes of country MX"), "one")


# -- a run with votes ---------------------------------------------------------------------------------------


def duels_about(run: Path, count: int, *, seed: int = 0, won: float = 0.6) -> list[Duel]:
    """Votes about a run: some countries, some on the project's prompts; the adapted model wins its share."""
    chance = random.Random(seed)
    adapter = json.loads((run / "DONE").read_text())["adapter_sha256"]
    found = []
    for number in range(count):
        adapted = chance.choice("AB")
        better = adapted if chance.random() < won else "AB".replace(adapted, "")
        choice = chance.choices((better, "tie", "both_bad"), (6, 3, 1))[0]
        country, language = chance.choice((("MX", "es"), ("BR", "pt"), ("AR", "es")))
        texts = ("ándale", "órale") if number % 2 else ("", "")
        found.append(
            Duel(
                f"{chance.getrandbits(128):032x}",
                *(run.name, adapter, "", "tiny-1", country, language, choice, adapted),
                *("p1" if number % 2 else "", "", texts, "2026-11-29T01:02Z", "OWNER/NAME-votes"),
            )
        )
    return found


@pytest.fixture(scope="module")
def plain_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was not measured yet, without its base."""
    overrides = (*QUICK, "device.threads=1")
    run = finished_run(tmp_path_factory.mktemp("plain") / "moved", ranked_slates(6), strength=0.1, overrides=overrides)
    shutil.rmtree(run / "base")
    return run


@pytest.fixture
def run(plain_run: Path, tmp_path: Path) -> Path:
    """A copy of it in a project."""
    make_project(tmp_path, '[project]\nname = "test"\ncountries = ["MX", "BR", "AR"]\nlanguages = ["es", "pt"]\n')
    return Path(shutil.copytree(plain_run, tmp_path / "runs" / "moved"))


def kept(run: Path, duels: list[Duel]) -> list[Duel]:
    """The same duels, out of the ledger of the run's project."""
    ledger = Project.open(run.parent.parent).ledger
    add_duels(ledger, duels)
    return read_duels(ledger, adapter=duels[0].adapter, texts=False)


def test_votes_are_measured_end_to_end_and_no_base_is_loaded(run: Path) -> None:
    duels = kept(run, duels_about(run, 400))
    lines: list[str] = []
    found = evaluate(run, on=("votes",), duels=duels, overrides=GATED, say=lines.append)
    assert lines == ["moved: 400 votes of visitors are counted"]
    told = json.loads((run / "evaluation.json").read_text())["measures"]["votes"]
    groups = {group["name"]: group for group in told["groups"]}
    for name in ("", "MX", "BR", "AR"):
        own = [duel for duel in duels if name in ("", duel.country)]
        assert groups[name]["votes"] == len(own)
        assert groups[name]["wins"] == sum(duel.choice == duel.adapted for duel in own)
        assert groups[name]["losses"] == sum(duel.choice in "AB" and duel.choice != duel.adapted for duel in own)
        assert groups[name]["both_bad"] == sum(duel.choice == "both_bad" for duel in own)
        assert groups[name]["on_a"] == sum(duel.adapted == "A" and duel.choice != "both_bad" for duel in own)
    rows = [json.loads(line) for line in (run / "evaluation_votes.jsonl").open()]
    assert {row["id"] for row in rows} == {duel.id for duel in duels}
    assert set(rows[0]) == {"id", "country", "language", "prompt_id", "adapted", "choice"}  # and no text
    report = (run / "report.md").read_text()
    assert "| country BR | " in report
    assert "every country with at least 30 visitors' votes that compare the answers needs" in report
    assert "![evaluation_votes](evaluation_votes.png)" in report
    assert "400 votes of visitors: they are anonymous" in report
    assert found.gate.verdict == gate_of(run).verdict == "failed"
    assert found.gate.worst.startswith("votes of country")
    assert read_evaluation(run) == replace(found, already=True)
    with pytest.raises(TrainError):  # what computes anything does look for the base
        evaluate(run, on=("ranking",), say=quietly)


def test_a_summary_of_votes_that_are_gone_or_have_become_others_opens_no_gate(tmp_path: Path) -> None:
    overrides = (*QUICK, "device.threads=1", "evaluation.prompts=0", "evaluation.gate_accuracy=0.0")
    run = finished_run(tmp_path / "moved", ranked_slates(9), strength=0.1, overrides=overrides)
    duels = duels_about(run, 600, won=0.9)
    assert evaluate(run, on=("ranking", "votes"), duels=duels, overrides=GATED, say=quietly).gate.open
    same = evaluate(run, on=("ranking",), duels=duels[::-1], say=quietly)
    assert (same.already, same.gate.verdict) == (True, "passed")
    for left in (duels[:-1], []):
        found = evaluate(run, on=("ranking",), duels=left, say=quietly)
        assert found.summaries.keys() == {"ranking"}
        assert (found.gate.verdict, found.gate.worst) == ("not measured", "votes")
        assert gate_of(run).verdict == "not measured"
        assert "evaluation_votes" not in (run / "report.md").read_text()
        evaluate(run, on=("votes",), duels=duels, say=quietly)


def test_a_base_on_the_hub_is_not_fetched_for_votes(run: Path) -> None:
    facts = json.loads((run / "run.json").read_text())
    facts["recipe"]["base"]["name"], facts["base_is_tiny_and_random"] = "nobody/has-this-model", False
    (run / "run.json").write_text(json.dumps(facts))
    assert evaluate(run, on=("votes",), duels=duels_about(run, 9), say=quietly).summaries.keys() == {"votes"}


def test_the_same_votes_in_any_order_give_the_same_bytes_and_are_not_counted_again(run: Path) -> None:
    duels = duels_about(run, 120)
    evaluate(run, on=("votes",), duels=duels, overrides=GATED, say=quietly)
    names = ("evaluation.json", "evaluation_votes.jsonl", "evaluation_votes.png", "report.md")
    before = {name: (run / name).read_bytes() for name in names}
    lines: list[str] = []
    again = evaluate(run, on=("votes",), duels=duels[::-1], overrides=GATED, say=lines.append)
    assert again.already
    assert not lines
    for name in names[:3]:
        (run / name).unlink()
    evaluate(run, on=("votes",), duels=duels[::-1], overrides=GATED, say=quietly)
    assert {name: (run / name).read_bytes() for name in names} == before
    more = evaluate(run, on=("votes",), duels=duels_about(run, 121), overrides=GATED, say=quietly)
    assert not more.already


def test_votes_about_another_adapter_or_another_base_do_not_count(run: Path) -> None:
    duels = duels_about(run, 60)
    others = [replace(duel, id=f"{duel.id}a", adapter="0" * 64) for duel in duels]
    bases = [replace(duel, id=f"{duel.id}b", base_version="tiny-2") for duel in duels[:2]]
    found = evaluate(run, on=("votes",), duels=[*others, *duels, *bases], say=quietly)
    assert votes_of(found)[0].votes == 60
    (told,) = [one for one in found.summaries["votes"].warnings(found.settings) if "left out" in one]
    assert told == "2 votes about this adapter are left out: they were given on another version of its base."
    with pytest.raises(SettingsError, match="no visitors' votes about moved to count: `annot demo moved` lets"):
        evaluate(run, on=("votes",), duels=others, say=quietly)
    with pytest.raises(SettingsError, match=r"\(2 votes are about another version of its base\)"):
        evaluate(run, on=("votes",), duels=bases, say=quietly)


def votes_of(found: Evaluation) -> tuple[VoteGroup, ...]:
    summary = found.summaries["votes"]
    assert isinstance(summary, VoteSummary)
    return summary.groups


def test_the_gate_opens_for_a_run_that_visitors_prefer_and_other_lines_count_nothing_anew(
    tmp_path: Path,
) -> None:
    overrides = (*QUICK, "device.threads=1", "evaluation.prompts=0", "evaluation.gate_accuracy=0.0")
    run = finished_run(tmp_path / "moved", ranked_slates(9), strength=0.1, overrides=overrides)
    duels = duels_about(run, 600, won=0.9)
    how: Any = {"on": ("ranking", "votes"), "duels": duels}
    opened = evaluate(run, overrides=GATED, say=quietly, **how)
    assert opened.gate.open
    assert opened.gate.verdict == gate_of(run).verdict == "passed"
    assert "the worst group is votes of country" in opened.gate.reason
    lines: list[str] = []

    def again(*overrides: str) -> Gate:
        return evaluate(run, overrides=overrides, say=lines.append, **how).gate

    png = (run / "evaluation_votes.png").read_bytes()
    assert again("evaluation.gate_votes=0.95").worst.startswith("votes of country")
    assert gate_of(run).verdict == "failed"
    assert (run / "evaluation_votes.png").read_bytes() != png  # the marks say so too
    assert again("evaluation.gate_vote_count=1000").verdict == gate_of(run).verdict == "undecided"
    assert again(*GATED).verdict == "passed"
    assert again().verdict == "passed"  # and holds until another one is named
    assert (run / "evaluation_votes.png").read_bytes() == png
    assert not lines, "nothing is measured again"
    only = {"ranking": opened.summaries["ranking"]}
    asked = conclude("moved", "key", opened.settings, {"ranking": "key"}, only)
    assert (asked.gate.verdict, asked.gate.worst) == ("not measured", "votes")


@pytest.mark.parametrize(
    "damage",
    [
        lambda votes: votes.pop("left_out"),
        lambda votes: votes["groups"][0].pop("wins"),
        lambda votes: votes["groups"][0].update(davidson={"better": 1.0}),
        lambda votes: votes["groups"][0].pop("nu"),
        lambda votes: votes.update(groups=3),
    ],
)
def test_a_damaged_evaluation_is_one_sentence_with_its_remedy(run: Path, damage: Any) -> None:
    evaluate(run, on=("votes",), duels=duels_about(run, 20), say=quietly)
    facts = json.loads((run / "evaluation.json").read_text())
    damage(facts["measures"]["votes"])
    (run / "evaluation.json").write_text(json.dumps(facts))
    with pytest.raises(
        TrainError, match=r"is damaged: it is no whole evaluation; remove that file and run `annot eval"
    ):
        evaluate(run, on=("votes",), duels=duels_about(run, 20), say=quietly)


def test_older_runs_know_the_newer_settings(run: Path) -> None:
    facts = json.loads((run / "run.json").read_text())
    del facts["recipe"]["evaluation"]["gate_votes"], facts["recipe"]["evaluation"]["gate_vote_count"]
    (run / "run.json").write_text(json.dumps(facts))
    found = evaluate(run, on=("votes",), duels=duels_about(run, 20), say=quietly)
    assert (found.settings.gate_votes, found.settings.gate_vote_count) == ("off", 30)


def test_the_command_counts_votes_once_there_are_some(run: Path) -> None:
    duels = duels_about(run, 50)
    words = ["evaluate", "moved", "--on", "votes", "--project", str(run.parent.parent)]
    refused = CliRunner().invoke(app, words)
    assert isinstance(refused.exception, SettingsError)
    kept(run, [*duels, replace(duels[0], id="other", adapter="0" * 64)])
    told = CliRunner().invoke(app, [*words, "--json"], catch_exceptions=False)
    assert json.loads(told.stdout)["measures"]["votes"]["groups"][0]["votes"] == 50
    shown = CliRunner().invoke(app, words, catch_exceptions=False).stdout
    assert "warning: 50 votes of visitors: they are anonymous" in shown
    assert chosen_measures("", (), quietly, duels, "tiny-1") == ["ranking", "writing", "votes"]
    assert chosen_measures("", (), quietly, ()) == ["ranking", "writing"]


def test_votes_about_another_version_of_the_base_stop_no_evaluation(run: Path) -> None:
    duels = [replace(duel, base_version="tiny-2") for duel in duels_about(run, 3)]
    kept(run, duels)
    words = ["evaluate", "moved", "--project", str(run.parent.parent), "--set", "evaluation.prompts=0"]
    shutil.copytree(finished_run(run.parent / "with-base", ranked_slates(6), 0.1) / "base", run / "base")
    told = CliRunner().invoke(app, [*words, "--json"], catch_exceptions=False)
    assert json.loads(told.stdout)["measures"].keys() == {"ranking"}
    assert "votes are not counted: 3 votes were given on another version of the base." in told.stderr
    lines: list[str] = []
    assert chosen_measures("", (), lines.append, [*duels, *duels_about(run, 1)], "tiny-1")[-1] == "votes"
    assert not lines


def test_very_many_votes_are_counted_too(run: Path) -> None:
    one = duels_about(run, 1)[0]
    sides = [("A", "B"), ("B", "A")]
    duels = [
        replace(one, id=f"{number:032x}", adapted=sides[number % 2][0], choice=sides[number % 2][number % 3 == 0])
        for number in range(200_000)
    ]
    everything = votes_of(evaluate(run, on=("votes",), duels=duels, say=quietly))[0]
    assert everything.rate
    assert everything.rate.value == pytest.approx(2 / 3, abs=1e-4)
    assert everything.rate.high - everything.rate.low == pytest.approx(2 * 1.96 * math.sqrt(2 / 9 / 200_000), rel=0.01)
