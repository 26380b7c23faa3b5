"""The model card of a release: what was measured, where that stands, and what was not measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from annotation.tasks.ranking.slates import RANKING
from annotation.text.locales import name_of_country
from train.evaluate.evaluation import Evaluation
from train.evaluate.gate import EVALUATION, gate_of
from train.evaluate.measure import markdown_table
from train.evaluate.report import warnings
from train.evaluate.run import read_evaluation
from train.footprint import FILE as ENERGY
from train.models.base import is_on_hub, public_name
from train.release.few import FEW, FEWEST_SHOWN, weighted_votes
from train.release.figures import Figure, Figures, plain
from train.release.given import GIVEN, Given
from train.release.loading import loading_code, sees_pictures
from train.release.measured import REPORT, evaluation
from train.release.weights import MERGED, Weights

SNAPSHOT = "snapshot.json"
"""In the run's folder: what the snapshot says that it was trained on."""

RECIPE = (
    ("objective", ("dpo", "objective")),
    ("beta", ("dpo", "beta")),
    ("label smoothing", ("dpo", "label_smoothing")),
    ("LoRA rank", ("lora", "rank")),
    ("LoRA alpha", ("lora", "alpha")),
    ("LoRA targets", ("lora", "targets")),
    ("base's weights in training", ("base", "dtype")),
    ("base's quantisation in training", ("base", "quantisation")),
    ("optimiser", ("optimiser", "name")),
    ("learning rate", ("optimiser", "learning_rate")),
    ("schedule", ("optimiser", "schedule")),
    ("epochs", ("optimiser", "epochs")),
    ("slates per update", ("optimiser", "batch")),
    ("longest slate (tokens)", ("data", "max_length")),
    ("share held out", ("data", "held_out")),
    ("seed", ("run", "seed")),
)
"""Settings that a card shows: the name for people, and where it stands in a run's recipe."""

COUNTS = (
    ("slates", "kept"),
    ("prompts", "prompts"),
    ("answers", "answers"),
    ("rankings by people", "rankings"),
    ("preferences of a country's people", "comparisons"),
    ("ties of single people", "ties"),
)
"""What a preflight counted: the name for people, and its key."""

SIMULATED_WARNING = "**The judgements are simulated: programs ranked the answers, not people.**"

UNMEASURED = {
    "ranking": "how it ranks answers to prompts that it was not trained on",
    "writing": "what it writes beside the base",
    "exams": "what it knows (checked exam questions)",
    "bias": "whether it prefers stereotypes of groups of people (minimal pairs)",
    "votes": "what people outside the team think of it (votes of a demo)",
}
"""Measure -> what nobody knows without it."""

UNMEASURED_SIGHT = {"looks": "whether it looks at the picture at all"}
"""The same of a model that describes pictures."""


def model_card(run: Path, weights: Weights, given: Given) -> tuple[str, list[Figure]]:
    """Write the card of a run.

    Args:
        run: The run's folder.
        weights: What is given away.
        given: What people said of the release.

    Returns:
        README.md with its front matter, and its figures.
    """
    fig, found = Figures(run), read_evaluation(run)
    front = _front(fig, found, weights, given)
    body = [
        *("---", front.to_yaml(), "---", ""),
        *(f"# {fig.text(GIVEN, 'model') if given.model else fig.text('run.json', 'run')}", ""),
        *_banners(fig),
        *_what_it_is(fig, weights),
        *("## How to load it", "", *loading_code(fig, weights, given), ""),
        *evaluation(fig, found),
        *_limits(fig, found, given),
        *_data(fig, given),
        *_recipe(fig),
        *_footprint(fig),
        *("## Licence", ""),
        f"Of these weights: {fig.text(GIVEN, 'model_licence', absent='not stated')}. Of the base: "
        f"{fig.text('run.json', 'base_licence')}. What the base's licence asks for holds for what is made of the base.",
    ]
    return fig.page("\n".join(body))


def _front(fig: Figures, found: Evaluation | None, weights: Weights, given: Given) -> Any:
    """The front matter, which the Hub reads."""
    from huggingface_hub import EvalResult, ModelCardData

    source = plain(str(fig.value("run.json", "source") or "its data"))
    measured = (
        ("ranking", "accuracy", f"Held-out slates of {source}", "ranking accuracy by implicit reward"),
        ("exams", "adapted", "Exam questions that people have checked", "accuracy"),
    )
    results = [
        EvalResult(
            task_type=("image-text-to-text" if sees_pictures(fig) else "text-generation")
            if name == "ranking"
            else "multiple-choice",
            dataset_type=given.dataset or "local",
            dataset_name=what,
            dataset_config=" ".join(filter(None, (group["name"] or "all", group.get("way")))),
            metric_type="accuracy",
            metric_name=metric,
            metric_value=fig.front("model-index", EVALUATION, "measures", name, "groups", number, key, "value"),
        )
        for name, key, what, metric in measured
        for number, group in enumerate(fig.value(EVALUATION, "measures", name, "groups") or () if found else ())
        if group["by"] in ("all", "country")
    ]
    grams = fig.front("co2_eq_emissions", ENERGY, "*", "kg_co2e", scale=1000)
    process = _last_process(fig)
    emissions = grams and {
        "emissions": grams,
        "source": "CodeCarbon",
        "training_type": "fine-tuning",
        "geographical_location": fig.value(ENERGY, process, "grid"),
        "hardware_used": fig.value(ENERGY, process, "hardware"),
    }
    data = ModelCardData(
        base_model=fig.facts["base"] if is_on_hub(fig.facts) else None,
        datasets=[given.dataset] if given.dataset else None,
        eval_results=results or None,
        model_name=given.model.rpartition("/")[2] or fig.facts["run"],
        language=list(given.languages) or None,
        library_name="peft" if weights.kind == "adapter" else "transformers",
        license=given.model_licence or None,
        pipeline_tag="image-text-to-text" if sees_pictures(fig) else "text-generation",
        tags=[
            "annot",
            "dpo",
            *(["lora"] if weights.kind == "adapter" else []),
            *(["vision"] if sees_pictures(fig) else []),
        ],
    )
    if emissions:
        data["co2_eq_emissions"] = emissions
    return data


def _banners(fig: Figures) -> list[str]:
    """What somebody has to know before anything else."""
    lines = cautions(fig)
    gate = gate_of(fig.run)
    if not fig.value(EVALUATION):
        lines.append("**Ungated: nothing says what it is worth; it was not measured by `annot evaluate`.**")
    elif not gate.open:
        reason = fig.text(EVALUATION, "gate_reason")
        lines.append(f"**Ungated: its gate says *{gate.verdict}*, and it is given away all the same.** {reason}.")
    return [line for banner in lines for line in (f"> {banner}", "")]


def cautions(fig: Figures) -> list[str]:
    """Sentences without which every number of a run would be misread."""
    lines = []
    if fig.value("run.json", "base_is_tiny_and_random"):
        lines.append("**The base is a tiny model with random weights: it shows that the way works, and nothing more.**")
    if fig.value("DONE", "diverged"):
        lines.append(f"**The training counts as diverged**: {fig.text('DONE', 'diverged')}")
    if fig.value(SNAPSHOT, "data", "simulated"):
        lines.append(SIMULATED_WARNING)
    return lines


def _what_it_is(fig: Figures, weights: Weights) -> list[str]:
    base = f"{base_of(fig)} (version {fig.text('run.json', 'base_version')})"
    what = f"A LoRA adapter. Its base is {base}; it was"
    if weights.kind == "merged":
        what = (
            f"The model is {base} with an adapter merged in, {fig.text(MERGED, 'dtype')} on disk and "
            f"{fig.number(MERGED, 'kl', form='.1e')} nats per token away from the trained model on "
            f"{fig.number(MERGED, 'tokens')} held-out tokens. It was"
        )
    return [
        f"{what} aligned by direct preference optimisation with people's rankings of "
        f"{'descriptions of pictures' if sees_pictures(fig) else 'answers'}: "
        f"{fig.number('run.json', 'train_slates')} slates of {fig.text('run.json', 'source', absent='its data')}."
        f"{_for_country(fig)}{_sight(fig)} The run is "
        f"`{fig.text('run.json', 'run')}`; the checksum of its adapter begins with "
        f"`{fig.shown(str(fig.value('DONE', 'adapter_sha256'))[:12], 'DONE', 'adapter_sha256')}`.",
        "",
    ]


def _sight(fig: Figures) -> str:
    """What a reader should know of how it sees."""
    if not sees_pictures(fig):
        return ""
    frozen = fig.value("run.json", "recipe", "base", "vision") == "frozen"
    how = (
        "the adapter is on the language model alone: the vision tower and what joins both are the base's, untouched"
        if frozen
        else "the adapter is on the vision tower too"
    )
    return f" It describes pictures; {how}."


def _for_country(fig: Figures) -> str:
    country = (fig.value("run.json", "recipe", "region") or {}).get("country")
    return f" It was trained for {name_of_country(country, 'en')}: others count less, or not at all." if country else ""


def base_of(fig: Figures) -> str:
    """Name of the base, for others."""
    name = public_name(fig.facts)
    return f"`{fig.shown(name, 'run.json', 'base')}`" if name else "a tiny random model"


def _data(fig: Figures, given: Given) -> list[str]:
    """What it was trained on, by the snapshot and the preflight."""
    lines = ["## Data", ""]
    if given.dataset:
        lines += [f"The data has a repository of its own: the dataset `{fig.text(GIVEN, 'dataset')}`.", ""]
    rows = [(what, fig.number("preflight.json", key)) for what, key in COUNTS]
    countries = fig.value("preflight.json", "countries") or {}
    rows += [(f"slates of {name_of_country(c, 'en')}", fig.number("preflight.json", "countries", c)) for c in countries]
    for kind in ("dropped", "dropped_answers", "dropped_rankings"):
        what = kind.partition("_")[2] or "slates"
        rows += [
            (f"{what} left out: {fig.shown(why, 'preflight.json', kind)}", fig.number("preflight.json", kind, why))
            for why in fig.value("preflight.json", kind) or {}
        ]
    longer = fig.number("preflight.json", "length", "longer", form=".1%")
    tau, r = (fig.number("preflight.json", "length", name, form="+.2f") for name in ("tau", "r"))
    return [
        *lines,
        *markdown_table(("what was trained and measured on", "count"), rows),
        "",
        f"**Length bias of the judgements**: in {longer} of single people's choices between two answers the longer one "
        f"was preferred; Kendall's tau-b of length with rank is {tau}, the correlation with being chosen {r}.",
        "",
        *_people(fig),
    ]


def _people(fig: Figures) -> list[str]:
    """Who judged and how far they agree, by country, and what drafted the answers; never a name."""
    if not (rows := people_rows(fig)):
        return ["Who judged, and how far they agree, was not recorded with this run.", ""]
    return [
        *markdown_table(PEOPLE_COLUMNS, list(rows.values())),
        "",
        ALPHA,
        "",
        *(part for sentence in (weighted_sentence(fig), drafted_sentence(fig)) if sentence for part in (sentence, "")),
    ]


PEOPLE_COLUMNS = ("country", "people", "rankings", "Krippendorff's alpha")

ALPHA = "Alpha of rankings within a country, ordinal, with a bootstrap interval over slates where there are enough."


def people_rows(fig: Figures) -> dict[str, tuple[str, ...]]:
    """Country -> who judged and how far they agree, by the snapshot of a run; nothing where it does not say."""
    at = (SNAPSHOT, "data", "tasks", fig.value(SNAPSHOT, "task") or RANKING)
    rows = dict[str, tuple[str, ...]]()
    for country in fig.value(*at, "answers_by_country") or {}:
        people = fig.value(*at, "people_by_country", country) or 0
        shown = FEW if people < FEWEST_SHOWN else fig.number(*at, "people_by_country", country)
        agreed, alpha = (*at, "agreement", country), "not measured"
        if (fig.value(*agreed) or {}).get("alpha") is not None:
            alpha = fig.number(*agreed, "alpha", form=".2f")
            if fig.value(*agreed, "low") is not None:
                alpha += f" [{', '.join(fig.number(*agreed, end, form='.2f') for end in ('low', 'high'))}]"
        name = name_of_country(country, "en")
        rows[country] = (name, shown, fig.number(*at, "answers_by_country", country), alpha)
    return rows


def drafted_sentence(fig: Figures) -> str:
    """What drafted the answers; "" where the snapshot does not say."""
    models = fig.value(SNAPSHOT, "data", "candidates", "models") or []
    drafted = [
        f"{fig.text(SNAPSHOT, 'data', 'candidates', 'models', number, 'model')} "
        f"({fig.number(SNAPSHOT, 'data', 'candidates', 'models', number, 'on_slates')})"
        for number in range(len(models))
    ]
    return f"The answers that were ranked come from {', '.join(drafted)}." if drafted else ""


def weighted_sentence(fig: Figures) -> str:
    """That votes were weighted, of how many people and by what rule; "" where all weigh the same."""
    weighted = fig.value(SNAPSHOT, "data", "weighted")
    if not weighted:
        return ""
    people = FEW if weighted["people"] < FEWEST_SHOWN else fig.number(SNAPSHOT, "data", "weighted", "people")
    return weighted_votes(people)


def _recipe(fig: Figures) -> list[str]:
    return ["## Recipe", "", *markdown_table(("setting", "value"), recipe_rows(fig)), ""]


def recipe_rows(fig: Figures) -> list[tuple[str, str]]:
    """Settings of a run that decide its result, and what it ran on."""
    rows = [(name, fig.text("run.json", "recipe", *at)) for name, at in RECIPE]
    rows += [("steps", fig.number("run.json", "steps")), ("machine", fig.text("run.json", "device"))]
    rows += [(name, fig.text("run.json", "versions", name)) for name in fig.value("run.json", "versions") or {}]
    return rows


def _limits(fig: Figures, found: Evaluation | None, given: Given) -> list[str]:
    """What a reader must not take from the numbers."""
    return [
        *("## Limits", ""),
        *(f"- {sentence}" for sentence in limits(fig, found)),
        "",
        intended_use(fig),
        *(["", f"Contact: {fig.text(GIVEN, 'contact')}"] if given.contact else []),
        "",
    ]


def limits(fig: Figures, found: Evaluation | None) -> list[str]:
    """Sentences on what a reader must not take from the numbers of a run."""
    measured = found.summaries if found else {}
    unmeasured = {**UNMEASURED, **(UNMEASURED_SIGHT if sees_pictures(fig) else {})}
    missing = [what for name, what in unmeasured.items() if name not in measured]
    return [
        "The held-out prompts come from the same people and the same drafts as the rest: they say little about other "
        "people, other topics or other countries.",
        "Preferences are those of the people who judged. A country's people disagree, and nobody speaks for all.",
        *(fig.quoted(sentence, REPORT) for sentence in (warnings(found) if found else ())),
        *([f"Not measured: {'; '.join(missing)}."] if missing else []),
        "Safety was not measured.",
    ]


def intended_use(fig: Figures) -> str:
    """What a model is meant for, and what it is not."""
    meant = "answering people of these countries as they would like to be answered"
    meant = "describing pictures as people of these countries would" if sees_pictures(fig) else meant
    return (
        f"It is meant for {meant}, and for studying that. "
        "It is not meant for advice on which somebody's health, rights or money depend, nor for saying what a country "
        "thinks."
    )


def _footprint(fig: Figures) -> list[str]:
    return ["## Energy and carbon", "", footprint_sentence(fig) or "Not measured.", ""]


def footprint_sentence(fig: Figures) -> str:
    """What the training of a run took; "" where it was not measured."""
    if not (process := _last_process(fig)):
        return ""
    kwh, grams = (fig.number(ENERGY, "*", key, form=".3g", scale=s) for key, s in (("kwh", 1), ("kg_co2e", 1000)))
    return (
        f"The training took {kwh} kWh and {grams} g CO₂ equivalent in "
        f"{fig.number(ENERGY, '*', 'seconds', form=',.0f')} s on {fig.text(ENERGY, process, 'hardware')}, with the "
        f"electricity of {fig.text(ENERGY, process, 'grid')} (CodeCarbon). The measurement at the end of the "
        "training is in it; drafting, selection, `annot evaluate` and runs before this one are not."
    )


def _last_process(fig: Figures) -> str:
    return next(reversed(fig.value(ENERGY) or {}), "")
