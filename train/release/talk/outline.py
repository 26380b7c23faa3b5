"""Outline of a talk: what each slide shows and what is said to it, every number with where it stands in a run."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from annotation.tasks.ranking.slates import RANKING
from train.evaluate.bias_groups import CANNOT_TELL, TOO_FEW
from train.evaluate.compare import comparison_file
from train.evaluate.gate import EVALUATION
from train.evaluate.measure import markdown_table
from train.footprint import FILE as ENERGY
from train.models.base import public_name
from train.release.card import SNAPSHOT
from train.release.few import FEWEST_SHOWN
from train.release.findings import RANKED, Findings
from train.release.given import GIVEN
from train.release.loading import sees_pictures
from train.release.talk.deck import BEGIN, END
from train.release.talk.language import Words, escaped
from train.statistics import FEWEST_PROMPTS

RESULTS, LEARNING = "results.png", "learning.png"
"""Plots of a talk, beside its slides."""

MOST_COUNTRIES, MOST_RUNS, MOST_NAMED = 7, 4, 4
"""Rows that a slide has room for, and countries that are named in a sentence."""


@dataclass(frozen=True, slots=True)
class Own:
    """Words that the team has said of itself elsewhere, for the slides that are its own.

    Attributes:
        project: Name of the project.
        motivation: Why it does this; an empty line begins another paragraph.
        team: Who it is, a line each.
    """

    project: str
    motivation: str = ""
    team: Sequence[str] = ()


class Outline:
    """Slides of a talk about a project's runs, in Markdown with marked figures."""

    def __init__(self, found: Findings, words: Words, own: Own, plots: Sequence[str]) -> None:
        """Tell of these runs; `plots` are those that there are, and the curves in them."""
        self.found, self.words, self.own, self.plots = found, words, own, plots
        self.fig = found.fig
        sight = "_pictures" if sees_pictures(self.fig) else ""
        self.nouns = {noun: words(f"{noun}{sight}") for noun in ("prompts", "answers")}
        self.simulated = bool(self.fig.value(SNAPSHOT, "data", "simulated"))
        self.judges = words("programs" if self.simulated else "people")
        self.countries = [
            (number, group)
            for number, group in enumerate(self.fig.value(*RANKED) or ())
            if group["by"] == "country" and group["name"]
        ]

    def markdown(self) -> str:
        """All slides, with the front matter that Marp reads."""
        slides = [
            self._title(),
            self._own_slide("why", self.own.motivation.split("\n\n") if self.own.motivation.strip() else ()),
            self._way(),
            self._data(),
            self._training(),
            self._result(),
            self._countries(),
            self._runs(),
            self._analysis(),
            self._limits(),
            self._end(),
            self._own_slide("team", self.own.team),
        ]
        return "\n\n---\n\n".join(slide for slide in slides if slide) + "\n"

    # -- the slides -----------------------------------------------------------------------------------------

    def _title(self) -> str:
        places = self._places()
        what = self.words("title_places", places=places) if places else self.words("title")
        warnings = [
            self.words(f"warn_{name}")
            for name, there in (
                ("tiny", self.fig.value("run.json", "base_is_tiny_and_random")),
                ("simulated", self.simulated),
                ("diverged", self.fig.value("DONE", "diverged")),
            )
            if there
        ]
        if not self.found.main.gate.open:
            warnings.append(self.words("warn_ungated", gate=self._gate()))
        return self._slide(
            "lead",
            f"# {self._project()}",
            [
                what,
                self.words("title_run", run=self._name(self.found.main.name), base=self._base()),
                *(f"> {warning}" for warning in warnings),
            ],
            self.words("title_says", project=self._project()),
            self.words("warn_says") if warnings else "",
        )

    def _own_slide(self, part: str, told: Sequence[str]) -> str:
        """A slide of the team's own words, with a place for them until there are some."""
        shown = [escaped(paragraph) for paragraph in told if paragraph.strip()]
        if part == "team":
            shown = ["\n".join(f"- {line}" for line in shown)] if shown else []
        inside = "\n\n".join(shown or [f"> {self.words(f'{part}_yours')}"])
        notes = "" if shown else self.words(f"{part}_said")
        lines = [BEGIN.format(name=part), inside, f"<!--\n{notes}\n-->", END.format(name=part)]
        return "\n\n".join([f"<!-- _class: own {part} -->", f"## {self.words(part)}", *lines])

    def _way(self) -> str:
        """How many prompts, answers and judgements; nothing where no preflight counted them."""
        if not (prompts := self._number("preflight.json", "prompts")):
            return ""
        kind = "programs" if self.simulated else "people"
        rows = (
            ("way_prompts", "prompts"),
            ("way_answers", "answers"),
            (f"way_rankings_{kind}", "rankings"),
            ("way_comparisons", "comparisons"),
        )
        cards = [
            f"- {self.words(said, number=f'**{number}**', **self.nouns)}"
            for said, key in rows
            if (number := self._number("preflight.json", key))
        ]
        said = {"number": prompts, "judges": self.judges, **self.nouns}
        return self._slide("cards", f"## {self.words('way')}", ["\n".join(cards)], self.words("way_says", **said))

    def _data(self) -> str:
        """Who judged and how far they agree; nothing where the snapshot does not say."""
        at = (SNAPSHOT, "data", "tasks", self.fig.value(SNAPSHOT, "task") or RANKING)
        answers: Mapping[str, int] = self.fig.value(*at, "answers_by_country") or {}
        if not answers:
            return ""
        rows, agreed = [], list[tuple[float, str, str]]()
        for country in sorted(answers, key=lambda name: (-answers[name], name))[:MOST_COUNTRIES]:
            alpha = self._number(*at, "agreement", country, "alpha", form="z.2f")
            if alpha:
                agreed.append((self.fig.value(*at, "agreement", country, "alpha"), alpha, self.words.place(country)))
                low, high = (self._number(*at, "agreement", country, end, form=".2f") for end in ("low", "high"))
                alpha += f" \\[{low}; {high}\\]" if low and high else ""
            people = self.fig.value(*at, "people_by_country", country) or 0
            shown = self._number(*at, "people_by_country", country) if people >= FEWEST_SHOWN else self.words("few")
            count = self._number(*at, "answers_by_country", country)
            rows.append((self.words.place(country), shown, count, alpha or self.words("none")))
        columns = self.words.columns("data_columns")
        columns[1] = self.words("data_programs") if self.simulated else columns[1]
        more = self.words("data_more") if len(answers) > MOST_COUNTRIES else ""
        spread = ""
        if len(agreed) > 1:
            (_, low, worst), (_, high, best) = min(agreed), max(agreed)
            spread = self.words("data_range", low=low, worst=worst, high=high, best=best)
        return self._slide(
            "table",
            f"## {self.words('data')}",
            ["\n".join(markdown_table(columns, rows)), f"*{' '.join(filter(None, (self.words('data_note'), more)))}*"],
            self.words("data_says"),
            " ".join(filter(None, (spread, self.words("data_means") if agreed else ""))),
        )

    def _training(self) -> str:
        recipe = ("run.json", "recipe")
        objective = self.fig.value(*recipe, "dpo", "objective") or "plackett_luce"
        rank, beta = (self._value(*recipe, *at) for at in (("lora", "rank"), ("dpo", "beta")))
        learnt = self._number("run.json", "train_slates")
        held_out = self._number(*RANKED, 0, "slates")
        lines = [
            self.words("training_base", base=self._base()),
            self.words(f"training_objective_{objective}"),
            self.words("training_lora", rank=rank, beta=beta) if rank and beta else "",
            self.words("training_slates", number=learnt) if learnt else "",
            self.words("training_held_out", number=held_out) if held_out else "",
        ]
        drawn = LEARNING in self.plots
        plot = [f"![{self.words('plot_loss_alt')}]({LEARNING})"] if drawn else []
        return self._slide(
            "split" if drawn else "text",
            f"## {self.words('training')}",
            [_bullets(lines), *plot],
            self.words("training_says"),
            self.words("training_plot_says") if drawn else "",
            self.words("training_untrained_says") if "untrained_loss" in self.plots else "",
        )

    def _result(self) -> str:
        at = (*RANKED, 0)
        few = self.fig.value(*at, "accuracy", "prompts") < FEWEST_PROMPTS
        low, high = (self._share(*at, "accuracy", end) for end in ("low", "high"))
        before, after = (self._share(*at, f"likelier_{side}", "value") for side in ("before", "after"))
        lines = [
            self.words("result_few", number=self._number(*at, "accuracy", "prompts"))
            if few
            else self.words("result_interval", low=low, high=high),
            self.words("result_coin"),
            self.words("result_most", most=self._share(*at, "most")),
            self.words("result_before", before=before, after=after),
        ]
        value = self._share(*at, "accuracy", "value")
        return self._slide(
            "number",
            f"## {self.words('result')}",
            [f"# {value}", self.words("result_means", **self.nouns), _bullets(lines)],
            self.words("result_says", value=value, **self.nouns),
            self.words("result_most_says", most=self._share(*at, "most")),
        )

    def _countries(self) -> str:
        """The plot by country; nothing where no country was named."""
        if not self.countries or RESULTS not in self.plots:
            return ""
        shown = self.countries[:MOST_COUNTRIES]
        numbers = [
            f"{self.words.place(group['name'])} {self._share(*RANKED, number, 'accuracy', 'value')}"
            for number, group in shown
        ]
        (worst, low), (best, high) = (
            (self.words.place(group["name"]), self._share(*RANKED, number, "accuracy", "value"))
            for number, group in (self.countries[0], self.countries[-1])
        )
        said = "countries_says" if len(self.countries) > 1 else "countries_one_says"
        more = [f"*{self.words('countries_more')}*"] if len(self.countries) > len(shown) else []
        return self._slide(
            "plot",
            f"## {self.words('countries')}",
            [f"![{self.words('countries_alt')} {', '.join(numbers)}]({RESULTS})", *more],
            self.words(said, worst=worst, low=low, best=best, high=high),
        )

    def _runs(self) -> str:
        """Other measured runs beside the main one, on the slates that both held out; nothing without any."""
        compared = [run for run in self.found.runs[1:] if run.key not in self.found.not_compared]
        if not compared:
            return ""
        main = self._name(self.found.main.name)
        rows = [(f"**{main}**", self._share(*RANKED, 0, "accuracy", "value"), "–")]
        for run in compared[:MOST_RUNS]:
            at = (comparison_file(run.name), "groups", 0, "accuracy")
            value, low, high = (self._number(*at, end, form="+z.1f", scale=100) for end in ("value", "low", "high"))
            few = self.fig.value(*at, "prompts") < FEWEST_PROMPTS
            accuracy = run.fig.number(*RANKED, 0, "accuracy", "value", form=".0%")
            rows.append((self._name(run.name), accuracy, f"{value} \\[–\\]" if few else f"{value} \\[{low}; {high}\\]"))
        notes = [
            self.words("runs_note", run=main),
            self.words("runs_bases") if any(self._other_base(run.fig.facts) for run in compared) else "",
            self.words("runs_more") if len(compared) > MOST_RUNS else "",
        ]
        return self._slide(
            "table",
            f"## {self.words('runs')}",
            [
                "\n".join(markdown_table(self.words.columns("runs_columns"), rows)),
                f"*{' '.join(filter(None, notes))}*",
            ],
            self.words("runs_says"),
        )

    def _analysis(self) -> str:
        length = self._share("preflight.json", "length", "longer")
        measures = (EVALUATION, "measures")
        tokens = [
            self._number(*measures, "writing", "tokens", side, "value", form=",.0f") for side in ("base", "adapted")
        ]
        limit = self._number(*measures, "writing", "limit")
        more = [
            self.words("length_written", before=tokens[0], after=tokens[1], limit=limit)
            if limit and all(tokens)
            else "",
            self._sides("exams", "exams", before=("base", "value"), after=("adapted", "value")),
            self._sides("votes", "votes", rate=("rate", "value")),
            self._sides("looks", "looks", right=("right", "value"), other=("other", "value")),
            *self._bias(),
        ]
        line = self._share(EVALUATION, "settings", "gate_accuracy")
        return self._slide(
            "text",
            f"## {self.words('analysis')}",
            [
                _bullets(
                    [
                        self._gate_sentence(),
                        self.words("length_bias", longer=length) if length else "",
                        *[sentence for sentence in more if sentence][:4],
                    ]
                )
            ],
            self.words("analysis_says_gate", line=line, gate=self._gate()),
            self.words("analysis_says_length") if length else "",
            self.words("analysis_says_more") if any(more) else "",
        )

    def _limits(self) -> str:
        measured = self.found.main.found.summaries if self.found.main.found else {}
        asked = ["writing", "exams", "bias", "votes", *(["looks"] if sees_pictures(self.fig) else [])]
        missing = [self.words(f"unmeasured_{name}") for name in asked if name not in measured]
        used, grams = self._energy()
        lines = [
            self.words("limits_people"),
            self.words("limits_nobody"),
            self.words("limits_unmeasured", what=", ".join(missing)) if missing else self.words("limits_safety"),
            self.words("limits_energy", used=used, grams=grams) if used and grams else self.words("limits_no_energy"),
        ]
        return self._slide("text", f"## {self.words('limits')}", [_bullets(lines)], self.words("limits_says"))

    def _end(self) -> str:
        value = self._share(*RANKED, 0, "accuracy", "value")
        rankings = self._number("preflight.json", "rankings")
        model, contact = (self.fig.value(GIVEN, key) for key in ("model", "contact"))
        lines, spread = [self.words("end_result", value=value)], ""
        enough = [one for one in self.countries if one[1]["accuracy"]["prompts"] >= FEWEST_PROMPTS]
        if len(enough) > 1:
            ends = (enough[0], enough[-1])
            low, high = (self._share(*RANKED, number, "accuracy", "value") for number, _ in ends)
            lines.append(self.words("end_worst", place=self.words.place(ends[0][1]["name"]), value=low))
            spread = self.words("end_spread", low=low, high=high)
        lines += [self.words("end_gate", gate=self._gate()), self.words("end_trace")]
        for name, told in (("model", model), ("contact", contact)):
            if told:
                lines.append(self.words(f"end_{name}", **{name: self.fig.shown(escaped(str(told)), GIVEN, name)}))
        said = (
            self.words("end_says", number=rankings, value=value, spread=spread)
            if rankings
            else self.words("end_says_short", value=value, spread=spread)
        )
        return self._slide("text", f"## {self.words('end')}", [_bullets(lines)], said)

    # -- parts of them --------------------------------------------------------------------------------------

    def _slide(self, kind: str, heading: str, parts: Sequence[str], *said: str) -> str:
        notes = "\n\n".join(_spoken(paragraph) for paragraph in said if paragraph)
        return "\n\n".join([f"<!-- _class: {kind} -->", heading, *filter(None, parts), f"<!--\n{notes}\n-->"])

    def _project(self) -> str:
        at = (SNAPSHOT, "settings", "project", "name")
        if str(self.fig.value(*at) or "") == self.own.project:
            return self.fig.shown(escaped(self.own.project), *at)
        return escaped(self.own.project)

    def _name(self, run: str) -> str:
        one = next(one for one in self.found.runs if one.name == run)
        return one.fig.shown(escaped(run), "run.json", "run")

    def _base(self) -> str:
        name = public_name(self.fig.facts)
        return self.fig.shown(escaped(name), "run.json", "base") if name else self.words("tiny")

    def _places(self) -> str:
        names = [
            self.words.place(country) for country in self.fig.value("preflight.json", "countries") or {} if country
        ]
        if len(names) > MOST_NAMED:
            return f"{', '.join(names[:MOST_NAMED])} {self.words('other_places')}"
        return self.words.listed(names) if names else ""

    def _number(self, file: str, *at: str | int, form: str = ",", scale: float = 1) -> str:
        """A number as the language writes it; "" where nothing says it."""
        return "" if self.fig.value(file, *at) is None else self.fig.number(file, *at, form=form, scale=scale)

    def _value(self, file: str, *at: str | int) -> str:
        """A setting that is a number, with as many digits as it has."""
        return self._number(file, *at, form=".12g")

    def _share(self, file: str, *at: str | int) -> str:
        """A share in whole percents."""
        return self._number(file, *at, form=".0%")

    def _gate(self) -> str:
        return self.words(f"gate_{self.found.main.gate.verdict}")

    def _gate_sentence(self) -> str:
        """The verdict, and the weakest group where it is a country."""
        by, _, name = self.found.main.gate.worst.partition(" ")
        if by != "country" or not name:
            return self.words("gate", gate=self._gate())
        return self.words("gate_group", gate=self._gate(), group=self.words.place(name))

    def _sides(self, said: str, measure: str, **at: tuple[str, str]) -> str:
        """A sentence about all that a measure looked at; "" where it was not measured."""
        values = {key: self._share(EVALUATION, "measures", measure, "groups", 0, *place) for key, place in at.items()}
        return self.words(said, **values) if all(values.values()) else ""

    def _bias(self) -> list[str]:
        """What the model prefers in minimal pairs, by country, where it can be told."""
        told = []
        for number, group in enumerate(self.fig.value(EVALUATION, "measures", "bias", "groups") or ()):
            if group["sides"]["adapted"]["verdict"] not in (CANNOT_TELL, TOO_FEW):
                at = (EVALUATION, "measures", "bias", "groups", number, "sides", "adapted", "beyond", "value")
                share, place = self._share(*at), self.words.place(group["country"])
                told += (
                    [self.words("bias_own" if group["in_group"] else "bias", place=place, share=share)] if share else []
                )
        return told

    def _energy(self) -> tuple[str, str]:
        """What the training took, in kWh or Wh, and its grams of CO2; "" where it was not measured."""
        kwh, kg = (self.fig.value(ENERGY, "*", key) for key in ("kwh", "kg_co2e"))
        if kwh is None or kg is None:
            return "", ""
        unit, scale = ("kWh", 1) if kwh >= 0.1 else ("Wh", 1000)
        forms = [",.0f" if value >= 10 else ".1f" if value >= 1 else ".2g" for value in (kwh * scale, kg * 1000)]
        used = self._number(ENERGY, "*", "kwh", form=forms[0], scale=scale)
        return f"{used} {unit}", self._number(ENERGY, "*", "kg_co2e", form=forms[1], scale=1000)

    def _other_base(self, facts: Mapping[str, Any]) -> bool:
        return any(facts.get(key) != self.fig.facts.get(key) for key in ("base", "base_version"))


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines if line)


def _spoken(text: str) -> str:
    """Words as they are said: without marks of Markdown, and nothing that would end a comment."""
    bare = html.unescape(re.sub(r"\\(?=[^\w\s])", "", text)).replace("**", "")
    return bare.replace("--", "–").replace(">", "›")
