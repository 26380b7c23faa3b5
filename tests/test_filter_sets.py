"""Rules of `annot filter` about whole sets, and what a person says of rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from preference_sets import SETTINGS, THINGS, Filter, found_by, looker, row
from projects import make_project

from annotation.errors import SettingsError
from annotation.files import read_parquet
from annotation.filtering.baselines import FOLDS, folds, foretold_by_features
from annotation.filtering.filter import filter_examples
from annotation.filtering.rules import chosen_rules, rules_of
from annotation.filtering.write import KEPT, write_filtered
from annotation.project import Project
from annotation.reading.conversations import Turn
from annotation.reading.examples import Example, Examples, FoundAnswer, FoundJudgement


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "p", SETTINGS)


@pytest.fixture
def look(project: Project, tmp_path: Path) -> Filter:
    return looker(project, tmp_path)


def test_length_is_flagged_with_its_interval_and_balanced_where_that_is_asked(look: Filter) -> None:
    rows = [
        row(n, chosen=row(n)["chosen"] + f" Y hay mucho más que contar del caso {n}, sin duda." * 2) for n in range(40)
    ]
    rows += [row(40 + n, chosen=f"Pues {THINGS[n]} y ya.") for n in range(10)]
    flag = found_by(look(rows), "length").found.flags[0]
    assert (flag.value, flag.count, flag.raised, flag.note) == (0.8, 50, True, "the longer one is chosen")
    assert flag.low == pytest.approx(0.670, abs=0.001)  # Wilson's interval of 40 of 50, by hand
    assert flag.high == pytest.approx(0.888, abs=0.001)
    assert len(look(rows).kept) == 50
    balanced = look(rows, drop=["length"], thresholds={"length": 0.6})
    left = [len(one.answers[0].text) > len(one.answers[1].text) for one in balanced.kept]
    assert sum(left) == 15
    assert len(left) == 25


def test_a_few_rows_raise_no_flag(look: Filter) -> None:
    rows = [row(n, chosen=row(n)["chosen"] * 3) for n in range(6)]
    flag = found_by(look(rows), "length").found.flags[0]
    assert (flag.value, flag.raised) == (1.0, False)


def test_style_on_one_side_is_flagged_and_named_and_the_same_style_on_both_is_not(look: Filter) -> None:
    def listed(text: str) -> str:
        return "\n".join(f"- **{part.strip()}**" for part in text.split(","))

    one_side = look([row(n, chosen=listed(row(n)["chosen"])) for n in range(40)])
    raised = {flag.of for flag in found_by(one_side, "style").found.flags if flag.raised}
    assert raised == {"all", "lists", "bold"}
    both = look([{**row(n), **{s: "- " + row(n)[s] for s in ("chosen", "rejected")}} for n in range(40)])
    assert not found_by(both, "style").raised


def test_a_models_opening_gives_its_side_away_and_a_coin_does_not(look: Filter) -> None:
    told = look([row(n, rejected=f"¡Claro! Con gusto te explico. {row(n)['rejected']}") for n in range(60)])
    assert found_by(told, "tell").raised
    swapped = {"chosen": "rejected", "rejected": "chosen"}
    coin = [
        {**row(n), **({side: row(n)[other] for side, other in swapped.items()} if n % 2 else {})} for n in range(60)
    ]
    assert found_by(look(coin), "tell").found.flags[0].value < 0.65


def test_the_logistic_regression_stands_where_its_likelihood_is_flat() -> None:
    """By the definition: the gradient of the log likelihood with a ridge of 1 is nothing at the weights it found."""
    import numpy as np

    chance = np.random.default_rng(0)
    x = chance.normal([0.5, 0, -1, 0], size=(200, 4))
    groups = [str(n // 2) for n in range(200)]
    scores = foretold_by_features(x, groups)
    part = folds(groups)
    assert all(part[n] == part[n + 1] for n in range(0, 200, 2))
    for fold in range(FOLDS):
        weights = np.linalg.lstsq(x[part == fold], scores[part == fold], rcond=None)[0]
        rest = x[part != fold]
        gradient = rest.T @ (1 / (1 + np.exp(rest @ weights))) - weights
        assert np.abs(gradient).max() < 1e-6


def test_always_the_same_model_is_flagged(project: Project) -> None:
    def example(number: int, best: str, other: str) -> Example:
        answers = (FoundAnswer(row(number)["chosen"], "chosen", best), FoundAnswer(row(number)["rejected"], "", other))
        return Example(
            f"s:{number}", (Turn("user", row(number)["question"]),), answers, (FoundJudgement(((0,), (1,))),)
        )

    def examples(wins: int) -> Examples:
        names = (("large", "small"), ("small", "large"))
        return Examples("s", 40, tuple(example(number, *names[number >= wins]) for number in range(40)))

    rules = chosen_rules(project.settings)
    assert found_by(filter_examples(project, examples(40), rules, meaning=False), "model").raised
    assert not found_by(filter_examples(project, examples(30), rules, meaning=False), "model").raised


def test_a_country_with_few_rows_and_one_without_any_are_named(look: Filter) -> None:
    found = look([row(n) for n in range(16)])
    raised = {flag.of: flag.raised for flag in found_by(found, "country").found.flags}
    assert raised == {"MX": False, "BR": True}


def test_keep_shows_without_dropping_and_marks_stay_as_they_are(look: Filter, project: Project, tmp_path: Path) -> None:
    rows = [row(1, chosen="Lo siento, no puedo ayudarte con esa pregunta. </s>"), row(2)]
    found = look(rows, keep=["refusal", "marks"])
    assert (len(found.kept), set(found.raised[0])) == (2, {"refusal", "marks"})
    write_filtered(found, tmp_path / "out", project.pseudonym)
    assert read_parquet(tmp_path / "out" / KEPT)[0]["chosen"].endswith("</s>")


def test_what_is_flagged_most_stands_first_in_the_order_of_looking(look: Filter, tmp_path: Path) -> None:
    spain = "Vosotros veréis: os he dicho que el ordenador va aparte. </s>"
    write_filtered(look([row(1), row(2, chosen=spain), row(3, chosen="Pues sí, con la familia. </s>")]), tmp_path, str)
    assert [one["first"] for one in read_parquet(tmp_path / KEPT)] == [2, 0, 1]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"drop": ["refusals"]}, '"refusals" is no rule of the filter; the rules are duplicate, near-duplicate'),
        ({"drop": ["leak"], "keep": ["leak"]}, '"leak" cannot be dropped and kept'),
        ({"keep": ["pii"]}, "always masked"),
        ({"drop": ["country"]}, "--drop country is not possible"),
        ({"thresholds": {"refusal": 1.0}}, 'The rule "refusal" has no threshold'),
        ({"thresholds": {"length": 0.0}}, "it is above 0 and at most 1"),
        ({"thresholds": {"near-duplicate": 1.5}}, "it is above 0 and at most 1"),
        ({"thresholds": {"copied": float("inf")}}, "it takes 1 or more"),
        ({"thresholds": {"repeated": 0.5}}, "it takes 1 or more"),
    ],
)
def test_what_a_rule_cannot_do_is_said(look: Filter, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        look([row(1)], **options)


def test_the_settings_hold_until_the_command_says_otherwise(tmp_path: Path) -> None:
    settings = make_project(
        tmp_path, SETTINGS + '[filter]\ndrop = ["leak"]\nkeep = ["refusal"]\nthreshold = { length = 0.7 }\n'
    ).settings
    rules = {rule.name: rule for rule in chosen_rules(settings)}
    assert (rules["leak"].does, rules["refusal"].does, rules["length"].threshold) == ("drop", "flag", 0.7)
    rules = {
        rule.name: rule for rule in chosen_rules(settings, keep=["leak"], drop=["refusal"], thresholds={"length": 0.6})
    }
    assert (rules["leak"].does, rules["refusal"].does, rules["length"].threshold) == ("flag", "drop", 0.6)


def test_every_rule_is_named_in_the_help_and_in_the_documentation() -> None:
    from annotation.commands.filtering import RULES_HELP
    from annotation.config import Settings

    documented = (Path(__file__).parent.parent / "docs" / "filtering.md").read_text(encoding="utf-8")
    for rule in rules_of(Settings()):
        assert rule.name in RULES_HELP.split(", ")
        assert f"| `{rule.name}` |" in documented
