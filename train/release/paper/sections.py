"""Sections of a paper: each says what the main run says, and tables compare it with the project's other runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from annotation.tasks.ranking.slates import RANKING
from annotation.text.locales import name_of_country
from train.evaluate.evaluation import MEASURES
from train.evaluate.gate import EVALUATION
from train.evaluate.measure import Table
from train.release.card import (
    ALPHA,
    SNAPSHOT,
    base_of,
    cautions,
    drafted_sentence,
    footprint_sentence,
    intended_use,
    limits,
    people_rows,
    recipe_rows,
    weighted_sentence,
)
from train.release.figures import Figures
from train.release.findings import (
    Findings,
    ablations,
    ablations_by_country,
    data_by_country,
    data_by_topic,
    data_counts,
    energy,
    results_by_country,
    settings_that_differ,
    table_of_runs,
)
from train.release.given import GIVEN
from train.release.loading import sees_pictures
from train.release.measured import bias_by_country, evaluation, in_short, measured_tables
from train.release.paper.blocks import (
    Appendix,
    Block,
    Document,
    Heading,
    Own,
    Plot,
    Points,
    References,
    Tabular,
    Text,
)

PLOTS = {
    "evaluation_groups": "Ranking accuracy and Kendall's tau-b on held-out slates, by group",
    "loss": "Loss in training",
    "reward_margin": "Implicit reward in training: better minus worse answer",
    "accuracy": "Pairs whose better answer has the higher reward, in training",
    "rewards": "Implicit rewards of held-out answers in training",
}
"""Plot of a run -> what it shows; another one is called by its name."""

RECIPE = ("run.json", "recipe")


def document(found: Findings, words: Mapping[str, str], plots: Sequence[str]) -> Document:
    """Put a paper together from the findings of runs and people's own words.

    Args:
        found: The runs.
        words: Part -> what people wrote themselves; a part without words is a marked place or is left out.
        plots: Files in figures/, of the main run.
    """
    run, fig = found.main, found.fig
    own = {part: words.get(part, "").strip() for part in ("Title", "Authors", "Abstract", "Introduction")}
    own = {part: text or f"**({part}: your own words, in words.md)**" for part, text in own.items()}
    blocks: list[Block] = [
        Heading("Introduction"),
        *([Points(cautions(fig))] if cautions(fig) else []),
        Own(own["Introduction"]),
        *_own("Related work", words),
        *(Heading("Data"), *_data(found)),
        *(Heading("Method"), *_method(fig)),
        *(Heading("Results"), *_results(found, plots)),
        *([Heading("Comparison of runs"), *_comparison(found)] if len(found.runs) > 1 else []),
        *(Heading("Energy and carbon"), *_energy(found)),
        *_own("Discussion", words),
        *(
            Heading("Limitations", plain=True),
            Points(limits(fig, run.found)),
            Text(intended_use(fig).replace("It is", "The adapter is", 1)),
        ),
        *(Heading("Ethics statement", plain=True), *_ethics(fig)),
        *_own("Acknowledgements", words, plain=True),
        References(),
        Appendix(),
        *(Heading("Runs"), *_runs(found, plots)),
    ]
    return Document(own["Title"], own["Authors"], own["Abstract"], blocks)


def _own(part: str, words: Mapping[str, str], *, plain: bool = False) -> list[Block]:
    text = words.get(part, "").strip()
    return [Heading(part, plain=plain), Own(text)] if text else []


def _data(found: Findings) -> Iterable[Block]:
    run, fig = found.main, found.fig
    task = (SNAPSHOT, "data", "tasks", fig.value(SNAPSHOT, "task") or RANKING)
    source = fig.text("run.json", "source", absent="a source that was not recorded")
    tables = {"counts": data_counts(run), "countries": data_by_country(run), "topics": data_by_topic(run)}
    named = ", ".join(f"[#{label}]" for label, table in tables.items() if table.rows)
    yield Text(f"The main run, {run.key}, learnt from {source}{f' ({named})' if named else ''}.")
    if fig.value(*task, "answers") is not None:
        items, answered, answers = (fig.number(*task, key) for key in ("items", "answered", "answers"))
        yield Text(
            f"People ranked in Argilla [@argilla]: {items} slates were put before them, {answered} of these were "
            f"answered, with {answers} answers in all; {fig.number(*task, 'overlap')} people are asked about each."
        )
    if rounds := fig.value("run.json", "rounds"):
        slates = ", ".join(
            f"{fig.number('run.json', 'rounds', name)} of round {fig.shown(name, 'run.json', 'rounds')}"
            for name in rounds
        )
        weight = fig.text(*RECIPE, "data", "earlier_rounds")
        yield Text(
            f"Its slates are from several rounds: {slates}. A slate weighs {weight} times as much as one of the round "
            "after it."
        )
    if not tables["counts"].rows:
        yield Text("How much it learnt from was not recorded with the run.")
    yield from (Tabular(table, label) for label, table in tables.items())
    agreement = f"**Agreement.** {ALPHA} Krippendorff's alpha [@krippendorff] is in [#countries]."
    yield Text(agreement if people_rows(fig) else "Who judged, and how far they agree, was not recorded with this run.")
    left = [
        f"{fig.number('preflight.json', kind, why)} {what} ({fig.shown(why, 'preflight.json', kind)})"
        for kind, what in (("dropped", "slates"), ("dropped_answers", "answers"), ("dropped_rankings", "rankings"))
        for why in fig.value("preflight.json", kind) or {}
    ]
    if left:
        yield Text(f"**Left out before the training:** {'; '.join(left)}.")
    if fig.value("preflight.json", "length"):
        longer = fig.number("preflight.json", "length", "longer", form=".1%")
        tau = fig.number("preflight.json", "length", "tau", form="+z.2f")
        yield Text(
            f"**Length bias of the judgements.** In {longer} of single people's choices between two answers the longer "
            f"one was preferred; Kendall's tau-b of length with rank is {tau}."
        )


def _method(fig: Figures) -> Iterable[Block]:
    yield Text(_drafting(fig))
    yield from map(Text, filter(None, (_selection(fig), _preferences(fig), weighted_sentence(fig))))
    yield Text(_objective(fig))
    yield from map(Text, filter(None, (_region(fig), _adapter(fig), _optimiser(fig), _measuring(fig))))


def _drafting(fig: Figures) -> str:
    drafted = drafted_sentence(fig)
    if not drafted:
        return "**Drafting.** What drafted the answers was not recorded with this run."
    usd = (SNAPSHOT, "data", "candidates", "usd")
    cost = f" Drafting was counted at {fig.number(*usd, form=',.2f')} US dollars of list prices."
    return f"**Drafting.** {drafted}{cost if fig.value(*usd) else ''} People were not told which answer is whose."


def _selection(fig: Figures) -> str:
    at = (SNAPSHOT, "settings", "select")
    if not fig.value(*at):
        return ""
    slate, short = (fig.number(*at, key) for key in ("slate", "min_chars"))
    off_topic, near = (fig.number(*at, key, form=".2f") for key in ("off_topic", "near_duplicate"))
    return (
        f"**Selection.** By the project's settings when the snapshot was made, a slate has {slate} answers. Answers of "
        f"fewer than {short} characters, answers whose cosine similarity is below {off_topic} both to the prompt and "
        f"to its other answers, and one of two whose similarity is at least {near} are left out; of the rest the "
        f"k-medoid representatives are shown. The encoder is `{fig.text(*at, 'encoder')}`."
    )


def _preferences(fig: Figures) -> str:
    at = (SNAPSHOT, "settings", "task", fig.value(SNAPSHOT, "task") or RANKING)
    if not fig.value(*at):
        return ""
    votes, margin = fig.number(*at, "min_votes"), fig.number(*at, "min_margin", form=".2f")
    return (
        "**Preferences.** Votes on every two answers of a slate are counted within a country, and where countries "
        f"disagree, both results stay. A pair counts where at least {votes} of its people voted and the votes for, "
        f"minus those against, are more than {margin} of all. A slate that half of a country's people or more find "
        "unacceptable is set aside for that country."
    )


def _objective(fig: Figures) -> str:
    at = (*RECIPE, "dpo")
    if not fig.value(*at):
        return "**Objective.** The recipe of this run was not recorded."
    beta = f"β = {fig.text(*at, 'beta')}"
    match fig.value(*at, "objective"):
        case "plackett_luce":
            said = (
                f"is trained by direct preference optimisation [@dpo] in its listwise form ({beta}): the likelihood of "
                "every person's ranking of a slate under the Plackett–Luce model [@plackett] of the implicit rewards, "
                "with ties as the sum over all orders that agree with them"
            )
        case "pairwise":
            smooth = "the share of votes against"
            if fig.value(*at, "label_smoothing") != "votes":
                smooth = fig.text(*at, "label_smoothing")
            said = (
                f"is trained by conservative direct preference optimisation [@dpo], pair by pair ({beta}); the label "
                f"smoothing of a pair is {smooth}"
            )
        case _:
            said = (
                f"is trained by TRL's own `DPOTrainer` [@dpo; @trl] with the loss `{fig.text(*at, 'loss')}` ({beta}), "
                "pair by pair"
            )
    parts = [f"**Objective.** The adapter {said}."]
    if fig.value(*at, "margin"):
        parts.append(f"A unanimous pair should be apart by a margin of {fig.text(*at, 'margin')}.")
    if fig.value(*at, "sft_weight"):
        parts.append(f"The log-loss on the best answer is added with the weight {fig.text(*at, 'sft_weight')}.")
    if fig.value(*at, "objective") != "trl":
        people = fig.value(*at, "weight") == "people"
        parts.append(
            "A slate weighs in proportion to how many people ranked it."
            if people
            else "A slate counts once for each country, however many people ranked it."
        )
    return " ".join(parts)


def _region(fig: Figures) -> str:
    at = (*RECIPE, "region")
    if country := fig.value(*at, "country"):
        name = fig.shown(name_of_country(country, "en"), *at, "country")
        others = fig.text(*at, "others")
        return f"**Region.** It is the adapter of {name}; slates of other countries weigh {others}, its own weigh one."
    if fig.value(*at, "in_prompt"):
        return "**Region.** One adapter serves all countries, and the system text says for whom it answers."
    return ""


def _adapter(fig: Figures) -> str:
    at = (*RECIPE, "lora")
    version = fig.text("run.json", "base_version")
    held = {
        "nf4": ", with its weights quantised to NF4 in training [@qlora]",
        "int8": ", with its weights quantised to eight-bit integers in training [@intquant]",
    }.get(fig.value(*RECIPE, "base", "quantisation") or "", "")
    if not held and fig.value(*RECIPE, "base", "dtype"):
        held = f", with its weights in {fig.text(*RECIPE, 'base', 'dtype')} in training"
    sight = ""
    if sees_pictures(fig):
        frozen = fig.value(*RECIPE, "base", "vision") == "frozen"
        sight = f" It describes pictures; the adapter is {'not on' if frozen else 'also on'} its vision tower."
    base = f"**Adapter.** The base is {base_of(fig)} (version {version}){held}.{sight}"
    if not fig.value(*at):
        return base
    targets = fig.value(*at, "targets")
    where = "all linear layers" if targets == "all-linear" else f"the layers {fig.text(*at, 'targets')}"
    rank, alpha, dropout = (fig.text(*at, key) for key in ("rank", "alpha", "dropout"))
    return (
        f"{base} It stays as it is; a LoRA adapter [@lora; @peft] of rank {rank} with alpha {alpha} and dropout "
        f"{dropout} on {where} is trained with the library Transformers [@transformers]."
    )


def _optimiser(fig: Figures) -> str:
    at = (*RECIPE, "optimiser")
    if not fig.value(*at):
        return ""
    name, rate, schedule, warmup, batch = (
        fig.text(*at, key) for key in ("name", "learning_rate", "schedule", "warmup", "batch")
    )
    unit = "pairs in a forward pass" if fig.value(*RECIPE, "dpo", "objective") == "trl" else "slates in a batch"
    steps = f", {fig.number('run.json', 'steps')} steps in all" if fig.value("run.json", "steps") else ""
    device = f" It ran on {fig.text('run.json', 'device')}." if fig.value("run.json", "device") else ""
    return (
        f"**Training.** The optimiser is `{name}` with a learning rate of {rate} at its highest, the schedule "
        f"`{schedule}` after a warm-up over {warmup} of the steps, and {batch} {unit} "
        f"(times {fig.text(*at, 'accumulate')} before an update){steps}. Slates of more than "
        f"{fig.text(*RECIPE, 'data', 'max_length')} tokens are handled by the rule "
        f"`{fig.text(*RECIPE, 'data', 'on_overflow')}`; the seed is {fig.text(*RECIPE, 'run', 'seed')}.{device}"
    )


def _measuring(fig: Figures) -> str:
    held = f"{fig.text(*RECIPE, 'data', 'held_out')} of the prompts" if fig.value(*RECIPE, "data", "held_out") else ""
    base = f"**Measurement.** A share of {held} with all their slates was held out of the training." if held else ""
    if not fig.value(EVALUATION, "settings"):
        return base
    prompts, accuracy = (fig.number(EVALUATION, "settings", key) for key in ("gate_prompts", "gate_accuracy"))
    by = " and every ".join(fig.value(EVALUATION, "settings", "gate_by") or ()) or "group"
    gate = (
        f"A run passes its gate where every {by} with at least {prompts} held-out prompts has a ranking accuracy whose "
        f"95 % interval begins above {accuracy}; intervals are bootstraps over prompts."
    )
    return f"{base} {gate}".strip()


def _results(found: Findings, plots: Sequence[str]) -> Iterable[Block]:
    run, fig = found.main, found.fig
    if run.found is None:
        yield Text(next(line for line in evaluation(fig, None)[2:] if line))
        return
    yield from _as_blocks([line.replace("In short: of", "Of", 1) for line in in_short(fig, run.found)])
    yield Text(
        f"**Gate.** The verdict on {run.key} is “{run.gate.verdict}”: {fig.text(EVALUATION, 'gate_reason')}"
        f"{' ([#results])' if run.ranked else ''}."
    )
    yield Tabular(results_by_country(run), "results")
    if run.ranked:
        distance = fig.number(EVALUATION, "measures", "ranking", "kl_per_token", "value", form=".4f")
        yield Text(f"On people's held-out answers the adapted model is {distance} nats per token from its base (KL).")
    yield from _plots(run.key, [name for name in plots if name.startswith("evaluation_")])
    names = run.found.summaries
    known = (
        ("exams", "Exam questions that people have checked are in the form of INCLUDE [@include]."),
        ("bias", "Bias is measured with minimal pairs, as CrowS-Pairs [@crows] has them."),
    )
    yield from (Text(sentence) for name, sentence in known if name in names)
    if any(name == "exams" or name not in MEASURES for name in names):
        yield Text("Questions with options are scored by the Language Model Evaluation Harness [@harness].")
    yield from _as_blocks(bias_by_country(fig, run.found))
    for number, (name, summary) in enumerate(names.items()):
        if name == "ranking":
            continue
        yield Heading(fig.shown(f"{name[:1].upper()}{name[1:].replace('_', ' ')}", EVALUATION, "measures"), level=2)
        tables = {}
        for place, shown in enumerate(measured_tables(fig, name, summary)):
            title = shown.title or f"Results of {fig.shown(name, EVALUATION, 'measures')}"
            tables[f"measure-{_letters(number)}-{_letters(place)}"] = shown._replace(title=title)
        if named := ", ".join(f"[#{label}]" for label, table in tables.items() if table.rows):
            yield Text(f"See {named}.")
        yield from (Tabular(table, label) for label, table in tables.items())


def _comparison(found: Findings) -> Iterable[Block]:
    yield Text(
        "All finished runs of the project stand side by side in [#ablations]. A difference between two runs is that of "
        "all settings and data in which they differ."
    )
    tables = settings_that_differ(found)
    if tables:
        yield Text("These settings are in [#settings].")
    else:
        yield Text("The runs do not differ in any setting that decides what is learnt.")
    for number, table in enumerate(tables):
        yield Tabular(table, "settings" if not number else f"settings-{_letters(number)}")
    yield Tabular(ablations(found), "ablations")
    yield Tabular(ablations_by_country(found), "ablations-by-country")


def _energy(found: Findings) -> Iterable[Block]:
    sentence = footprint_sentence(found.fig).replace("(CodeCarbon)", "(CodeCarbon [@codecarbon])")
    yield Text(f"{found.main.key}: {sentence}" if sentence else f"The energy of {found.main.key} was not measured.")
    if len(found.runs) > 1:
        yield Tabular(energy(found), "energy")


def _ethics(fig: Figures) -> Iterable[Block]:
    consent = fig.text(SNAPSHOT, "settings", "release", "consent", absent="")
    told = f"What people were told of their answers, in the team's words: {consent}"
    yield Text(told if consent else "What people were told of their answers and agreed to was not recorded.")
    yield Text(
        "Names and user names of those who judged are in no table of this paper; where fewer than three people of a "
        "country judged, it does not say how many."
    )
    out = (SNAPSHOT, "data", "left_out")
    if fig.value(*out):
        withdrawn, removed = (fig.number(*out, key) for key in ("withdrawn", "removed_prompts"))
        yield Text(
            f"When the snapshot was made, {withdrawn} answers had been withdrawn by those who gave them and {removed} "
            "prompts had been taken out of the project."
        )
    base = fig.text("run.json", "base_licence", absent="not stated")
    weights = fig.text(GIVEN, "model_licence", absent="not stated")
    yield Text(f"Licence of the base: {base}; of the adapter: {weights}.")


def _runs(found: Findings, plots: Sequence[str]) -> Iterable[Block]:
    yield Text(
        f"{found.main.key} {found.because}. Numbers of this paper that name no other run are its own. For each "
        "number figures.json names the file of the run, and the place in it, from which it was read."
    )
    yield Tabular(table_of_runs(found), "runs")
    yield Tabular(Table(f"Settings of {found.main.key}", ("setting", "value"), recipe_rows(found.fig)), "recipe")
    yield from _plots(found.main.key, [name for name in plots if not name.startswith("evaluation_")])


def _plots(key: str, names: Iterable[str]) -> Iterable[Block]:
    for name in names:
        stem = name.rpartition(".")[0]
        caption = PLOTS.get(stem, stem.removeprefix("evaluation_").replace("_", " ").capitalize())
        yield Plot(name, f"{caption} ({key})", f"plot-{stem.replace('_', '-')}", wide=stem.startswith("evaluation_"))


def _as_blocks(lines: Iterable[str]) -> Iterable[Block]:
    """Lines of a card: those that begin with a hyphen are a list."""
    items = [line[2:] for line in lines if line.startswith("- ")]
    yield from (Text(line) for line in lines if line and not line.startswith("- "))
    if items:
        yield Points(items)


def _letters(number: int) -> str:
    """A number in letters, for a label in which no digit may stand."""
    return chr(ord("a") + number % 26) * (1 + number // 26)
