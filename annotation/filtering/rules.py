"""Rules of the filter: one table, in the order in which they are asked, with defaults and where these are from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from annotation.config import Settings
from annotation.errors import SettingsError
from annotation.exams.contamination import GRAM, NEAR
from annotation.filtering.answers import errors, refusals, repeated
from annotation.filtering.contrast import same_words
from annotation.filtering.languages import other_language, other_variety
from annotation.filtering.marks import marks, masked, turns_inside
from annotation.filtering.meaning import asked_in_an_exam, copied, off_topic, same_meaning
from annotation.filtering.repeats import exact_repeats, leaks, near_repeats
from annotation.filtering.rule import Rule
from annotation.filtering.shortcuts import balance, length, model, style, tell
from annotation.prompts.rows import REPEATED

OFTEN = 0.65
"""Of rows: teams whose generators made rejected answers from a shorter prompt had more than that by length alone."""

LOOK = "look at some of them before you drop them"


def _balance(name: str) -> str:
    return f"add pairs of the other kind, or leave out the flagged rows with --drop {name}: then the threshold holds"


def rules_of(settings: Settings) -> tuple[Rule, ...]:
    """All rules with the thresholds of a project. What one has dropped, those behind it do not see."""
    prompts, select = settings.prompts, settings.select
    return (
        Rule("duplicate", "the same prompt, answers and judgement again", "drop", exact_repeats),
        Rule(
            "near-duplicate",
            "prompts nearly the same as another: they get one group (Jaccard of 5-character shingles)",
            "flag",
            near_repeats,
            prompts.near_duplicate,
            "prompts.near_duplicate of annot.toml",
            "split by the column group: then no group stands on both sides",
        ),
        Rule(
            "leak",
            "rows of a train split whose group stands in another split too",
            "flag",
            leaks,
            remedy="--drop leak leaves these training rows out",
        ),
        Rule("error", "a message of an error in the place of an answer", "drop", errors),
        Rule("refusal", "answers that decline to answer", "drop", refusals),
        Rule(
            "repeated",
            "one answer beside so many different prompts; numbers and codes aside",
            "drop",
            repeated,
            REPEATED,
            "as for `annot prompts add`",
        ),
        Rule("turns", "answers that go on with another turn of a conversation", "drop", turns_inside),
        Rule(
            "marks",
            "marks of chat templates: written out as ⟨…⟩, so that they become no control tokens",
            "mend",
            marks,
            remedy="--drop marks leaves these rows out instead",
        ),
        Rule("language", "prompts and answers in another language than their row", "drop", other_language),
        Rule(
            "variety",
            "so many words of another country's variety, in an answer that is not the worse one",
            "flag",
            other_variety,
            2,
            "chosen: one word may be a quotation",
            LOOK,
        ),
        Rule(
            "contrast",
            "pairs of nearly the same text (Jaccard of 5-character shingles)",
            "drop",
            same_words,
            0.9,
            "chosen: about one word in ten differs",
        ),
        Rule(
            "copied",
            "so many words in a row of a question of an exam or a benchmark",
            "drop",
            copied,
            GRAM,
            "Brown et al. 2020, appendix C",
        ),
        Rule(
            "exam",
            "prompts that ask what a question of an exam or a benchmark asks (cosine)",
            "drop",
            asked_in_an_exam,
            NEAR,
            "as for `annot exams list`",
            meaning=True,
        ),
        Rule(
            "off-topic",
            "answers far from their prompt and from its other answers (cosine below)",
            "flag",
            off_topic,
            select.off_topic,
            "select.off_topic of annot.toml",
            LOOK,
            meaning=True,
        ),
        Rule(
            "same-meaning",
            "pairs that say nearly the same (cosine)",
            "flag",
            same_meaning,
            select.near_duplicate,
            "select.near_duplicate of annot.toml",
            LOOK,
            meaning=True,
        ),
        Rule(
            "length",
            "length alone tells the chosen answer (share of rows)",
            "flag",
            length,
            OFTEN,
            "chosen: more than that is no chance",
            _balance("length"),
        ),
        Rule(
            "style",
            "markdown, lists, emoji alone tell the chosen answer (share of rows)",
            "flag",
            style,
            OFTEN,
            "as for length",
            _balance("style"),
        ),
        Rule(
            "tell",
            "the first and last words tell the chosen answer (share of rows)",
            "flag",
            tell,
            OFTEN,
            "as for length",
            "read the words: those of the country are its taste, those of a model are none",
        ),
        Rule(
            "model",
            "the model's name tells the chosen answer (share of rows)",
            "flag",
            model,
            0.9,
            "chosen: a better model may well win most of the time",
            _balance("model"),
        ),
        Rule(
            "country",
            "countries with less than this part of an equal share",
            "flag",
            balance,
            0.5,
            "chosen",
            "add prompts of these countries",
        ),
        Rule("pii", "personal data: masked in what is written", "mend", masked),
    )


def chosen_rules(
    settings: Settings,
    drop: Sequence[str] = (),
    keep: Sequence[str] = (),
    thresholds: Mapping[str, float] | None = None,
) -> tuple[Rule, ...]:
    """The rules as a person wants them.

    Args:
        settings: The project's; what they say under [filter] holds unless it is named here.
        drop: Rules that drop what they only flag or mend by default.
        keep: Rules that only flag what they drop or mend by default.
        thresholds: Rule -> threshold.

    Raises:
        SettingsError: A name is no rule, a rule is in both lists, has no threshold, or must not be kept.
    """
    rules = {rule.name: rule for rule in rules_of(settings)}
    drops = {*drop, *(set(settings.filter.drop) - {*keep})}
    keeps = {*keep, *(set(settings.filter.keep) - {*drop})}
    values = {**settings.filter.threshold, **(thresholds or {})}
    if strange := sorted({*drops, *keeps, *values} - rules.keys()):
        raise SettingsError(f'"{strange[0]}" is no rule of the filter; the rules are {", ".join(rules)}.')
    if both := sorted(drops & keeps):
        raise SettingsError(f'"{both[0]}" cannot be dropped and kept; name it once.')
    if "pii" in keeps:
        raise SettingsError("Personal data is always masked: --keep pii is not possible; leave it out.")
    if "country" in drops:
        raise SettingsError("No row is at fault that a country has few: --drop country is not possible; leave it out.")
    for name, value in values.items():
        usual = rules[name].threshold
        why = "" if usual is not None else "has no threshold"
        if usual is not None and usual > 1 and not (value >= 1 and float(value).is_integer()):
            why = f"counts, so that {value:g} is not possible: it takes 1 or more"
        elif usual is not None and usual <= 1 and not 0 < value <= 1:
            why = f"cannot be {value:g}; it is above 0 and at most 1"
        if why:
            raise SettingsError(f'The rule "{name}" {why}; leave out --threshold {name}=… or correct it.')
        rules[name] = replace(rules[name], threshold=value, source="yours")
    return tuple(
        replace(rule, does="drop" if name in drops else "flag" if name in keeps else rule.does)
        for name, rule in rules.items()
    )
