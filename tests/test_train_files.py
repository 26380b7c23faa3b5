"""Training on files as people have them: every form is read, what repeats is left out, and no near duplicate leaks."""

import csv
import gzip
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from train_snapshots import QUICK, UNBROKEN, preference_rows, write_snapshot
from typer.testing import CliRunner

from annotation.cli import app
from annotation.errors import TrainError
from annotation.files import write_parquet
from train.data.plan import make_plan
from train.data.read import Slates, read_slates
from train.data.rows import is_on_hub, source_digest
from train.data.slates import RankedSlate, Ranking
from train.data.split import groups_of, split_by_prompt
from train.dpo import dry_run, train
from train.run_folder import as_begun, name_run
from train.settings import as_toml, load_recipe

TRIALS = Path(__file__).parent.parent.parent / "shared" / "data" / "trials"

ASKED = ("¿Qué se sirve en una novena?", "¿Cómo se despide uno en la terminal?", "¿Cuándo se siembra el maíz?")
GOOD = ("Buñuelos y natilla, sin apuro.", "Con un abrazo y mucha suerte.", "Con las primeras lluvias de mayo.")
BAD = ("Lo que haya en la tienda.", "Con un apretón de manos.", "En cualquier mes del año.")
BANNER = "**SERVICIO NO DISPONIBLE** (HTTP 503)"


def theirs(**facts: Any) -> list[dict[str, Any]]:
    """Rows as the challenge's first dataset has them."""
    return [
        {"country": "Perú", "system_prompt": "Sé breve.", "question": q, "chosen": a, "rejected": b, **facts}
        for q, a, b in zip(ASKED, GOOD, BAD, strict=True)
    ]


def as_jsonl(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def as_json(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.write_text(json.dumps(rows), encoding="utf-8")


def as_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ";")
        writer.writeheader()
        writer.writerows(rows)


def as_gz(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))


def as_workbook(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    for row in (list(rows[0]), *(list(row.values()) for row in rows)):
        book.active.append(row)
    book.save(path)


def as_parquet(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    write_parquet(path, list(rows))


def slates_in(folder: Path, rows: Sequence[dict[str, Any]], **asked: Any) -> Slates:
    as_jsonl(folder / "mine.jsonl", rows)
    return read_slates(folder / "mine.jsonl", **asked)


def words(slate: RankedSlate) -> list[str]:
    return [text[0]["content"] if isinstance(text, tuple) else text for text in slate.answers]


# -- forms ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("v.jsonl", as_jsonl),
        ("v.json", as_json),
        ("v.csv", as_csv),
        ("v.tsv", as_csv),
        ("v.jsonl.gz", as_gz),
        ("v.xlsx", as_workbook),
        ("v.parquet", as_parquet),
    ],
)
def test_the_same_rows_teach_the_same_from_every_kind_of_file(
    tmp_path: Path, name: str, write: Callable[[Path, Sequence[dict[str, Any]]], None]
) -> None:
    write(tmp_path / name, theirs(weight=2.5, votes_for=3, votes_against=1))
    read = read_slates(tmp_path / name)
    assert (read.source, read.excluded) == (name, ())
    first = read.slates[0]
    assert [(slate.country, *words(slate)) for slate in read.slates] == [
        ("PE", a, b) for a, b in zip(GOOD, BAD, strict=True)
    ]
    assert [(m["role"], m["content"]) for m in first.prompt] == [("system", "Sé breve."), ("user", ASKED[0])]  # type: ignore[index]
    assert (first.weight, first.people, first.comparisons[0].smoothing) == (2.5, 4, 0.25)
    assert not [notice for notice in read.notices if "weight" in notice or "votes_for" in notice]


@pytest.mark.parametrize("form", ["sharegpt", "messages and texts", "implicit", "roles of others"])
def test_conversations_in_other_forms_are_pairs(tmp_path: Path, form: str) -> None:
    rows = []
    for q, a, b in zip(ASKED, GOOD, BAD, strict=True):
        asked = {"role": "user", "content": q}
        good, bad = ({"role": "assistant", "content": text} for text in (a, b))
        rows.append(
            {
                "sharegpt": {
                    "conversations": [{"from": "human", "value": q}],
                    "chosen": {"from": "gpt", "value": a},
                    "rejected": {"from": "gpt", "value": b},
                },
                "messages and texts": {"messages": [asked], "chosen": a, "rejected": b},
                "implicit": {"chosen": [asked, good], "rejected": [asked, bad]},
                "roles of others": {
                    "prompt": [{"role": "Human", "content": q}],
                    "chosen": [{"role": "Assistant", "content": a}],
                    "rejected": [{"from": "gpt", "value": b}],
                },
            }[form]
        )
    read = slates_in(tmp_path, rows)
    assert [words(slate) for slate in read.slates] == [[a, b] for a, b in zip(GOOD, BAD, strict=True)]
    assert [slate.prompt for slate in read.slates] == [({"role": "user", "content": q},) for q in ASKED]


def test_an_arena_teaches_by_its_winners_and_its_ties_are_counted(tmp_path: Path) -> None:
    said = ("model_a", "model_b", "tie", "tie (bothbad)")
    rows = [{"question": f"{q} {n}", "answer_a": f"a {n}", "answer_b": f"b {n}", "winner": winner, "judge": f"p{n}"}
            for n, (q, winner) in enumerate(zip((*ASKED, ASKED[0]), said, strict=True))]  # fmt: skip
    read = slates_in(tmp_path, rows)
    best = [words(slate)[slate.comparisons[0].better] for slate in read.slates]
    assert best == ["a 0", "b 1"]
    assert [row.reason for row in read.excluded] == ["all answers tied", "none is acceptable"]


def test_scores_and_several_people_make_ranked_slates(tmp_path: Path) -> None:
    scored = []
    for q, a, b in zip(ASKED, GOOD, BAD, strict=True):
        answers = ({"response": a, "overall_score": 4}, {"response": b, "overall_score": 2})
        scored.append({"instruction": q, "completions": [*answers, {"response": "c", "overall_score": 4}]})
    assert {slate.rankings for slate in slates_in(tmp_path, scored).slates} == {(Ranking(((0, 2), (1,)), 1.0, 1),)}
    pairs = [
        {"prompt": ASKED[0], "chosen": GOOD[0], "rejected": BAD[0], "annotator": who} for who in ("ana", "eva", "ana")
    ]
    read = slates_in(tmp_path, pairs)
    assert [slate.people for slate in read.slates] == [2]
    assert [row.reason for row in read.repeated] == ["the same person twice"]


def test_what_was_said_before_stays_a_conversation(tmp_path: Path) -> None:
    turns = [
        {"role": "user", "content": "¿Qué se come?"},
        {"role": "assistant", "content": "Arepas."},
        {"role": "user", "content": "¿Con qué?"},
    ]
    row = {"prompt": turns, "system": "Eres de aquí.", "chosen": "a", "rejected": "b"}
    (slate,) = slates_in(tmp_path, [row]).slates
    assert [message["content"] for message in slate.prompt] == [  # type: ignore[index]
        *("Eres de aquí.", "¿Qué se come?", "Arepas.", "¿Con qué?")
    ]


def test_rankings_are_read_from_a_table_too(tmp_path: Path) -> None:
    said = {
        "prompt": "¿Qué?",
        "candidates": json.dumps(["uno; o así", "dos", "tres"]),
        "ranks": "[1, 3, null]",
        "none_acceptable": "False",
        "annotator": "ana",
        "country": "chile",
    }
    as_csv(tmp_path / "r.csv", [said, {**said, "annotator": "eva", "ranks": "[2, 1, 3]"}])
    as_parquet(tmp_path / "r.parquet", [{**said, "candidates": ["uno; o así", "dos", "tres"], "ranks": [1, 3, None]}])
    (slate,) = read_slates(tmp_path / "r.csv").slates
    assert (slate.country, slate.people, words(slate)[0]) == ("CL", 2, "uno; o así")
    assert {ranking.tiers for ranking in slate.rankings} == {((0,), (1,)), ((1,), (0,), (2,))}
    (alone,) = read_slates(tmp_path / "r.parquet").slates
    assert alone.rankings[0].tiers == ((0,), (1,))


def test_rows_that_say_nothing_are_counted_with_the_reason(tmp_path: Path) -> None:
    rows = [*theirs(), {"question": "¿Y esto?", "chosen": "Sí.", "rejected": None}]
    read = slates_in(tmp_path, rows)
    assert [(row.id, row.reason) for row in read.excluded] == [("mine.jsonl:4", "fewer than two answers")]


def test_a_column_can_be_named_and_the_run_remembers_it(tmp_path: Path) -> None:
    rows = [{"A": q, "B": a, "C": b} for q, a, b in zip(ASKED, GOOD, BAD, strict=True)]
    as_jsonl(tmp_path / "mine.jsonl", rows)
    base = ["train", "--project", str(tmp_path), "--data", str(tmp_path / "mine.jsonl"), "--preset", "cpu-smoke"]
    named = [word for pair in ("prompt=A", "chosen=B", "rejected=C") for word in ("--column", pair)]
    plan = json.loads(CliRunner().invoke(app, [*base, *named, "--dry-run", "--json"], catch_exceptions=False).stdout)
    assert plan["preflight"]["kept"] == 3
    assert plan["recipe"]["data"]["columns"] == {"prompt": "A", "chosen": "B", "rejected": "C"}
    assert CliRunner().invoke(app, ["train", "--project", str(tmp_path), "--repeated"]).exit_code != 0
    odd = {"prompt": 'Qué "dijo"\\ñ 😀'}
    assert load_recipe("cpu-smoke", [f"data.columns={as_toml(odd)}"]).data.columns == odd


def test_a_dataset_of_the_hub_is_told_from_a_file(tmp_path: Path) -> None:
    assert is_on_hub(Path("someone/preferences"))
    assert not is_on_hub(Path("folder/mine.jsonl"))
    assert not is_on_hub(Path("folder/mine.jsonl.gz"))
    assert not is_on_hub(tmp_path)
    assert name_run("", "cpu-smoke", Path("someone/preferences:es")) == "cpu-smoke-preferences-es"
    with pytest.raises(TrainError, match="OWNER/NAME of a dataset on the Hub"):
        source_digest(Path("folder/mine.jsonl"))


# -- rejected answers that repeat -------------------------------------------------------------------------------


def with_banner(count: int) -> list[dict[str, Any]]:
    asked = [{"prompt": f"{q} ({n})", "chosen": f"{GOOD[0]} {n}", "rejected": BANNER} for n, q in enumerate(ASKED)]
    return [*theirs(), *asked[:count]]


def test_a_rejected_answer_of_many_prompts_is_named_counted_and_left_out(tmp_path: Path) -> None:
    read = slates_in(tmp_path, with_banner(3))
    assert len(read.slates) == 3
    assert [(row.id, row.because_of) for row in read.excluded] == [(f"mine.jsonl:{n}", BANNER) for n in (4, 5, 6)]
    assert {row.reason for row in read.excluded} == {"the rejected answer of many prompts (--repeated takes it)"}
    assert read.notices[-1] == f'"{BANNER}" is the rejected answer of 3 prompts: left out; --repeated takes it.'
    assert len(slates_in(tmp_path, with_banner(3), repeated=True).slates) == 6
    assert len(slates_in(tmp_path, with_banner(2)).slates) == 5


def test_a_banner_leaves_a_ranked_slate_and_the_others_stay(tmp_path: Path) -> None:
    rows = [{"prompt": q, "candidates": [BANNER, f"a {q}", f"b {q}"], "ranks": [3, 1, 2]} for q in ASKED]
    read = slates_in(tmp_path, rows)
    assert [words(slate) for slate in read.slates] == [[f"a {q}", f"b {q}"] for q in ASKED]
    assert [row.id.rpartition("/")[2] for row in read.unused] == ["A", "A", "A"]
    won = [{**row, "ranks": [1, 2, 3]} for row in rows]
    assert all(len(slate.answers) == 3 for slate in slates_in(tmp_path, won).slates)


def test_where_nothing_else_would_be_left_only_messages_of_programs_go(tmp_path: Path) -> None:
    fixed = [{**row, "rejected": "No sé, pregunta en tu casa."} for row in theirs()]
    assert len(slates_in(tmp_path, fixed).slates) == 3
    assert slates_in(tmp_path, theirs(rejected="Error de red. Vuelve a cargar.")).slates == ()
    as_jsonl(tmp_path / "mine.jsonl", theirs(rejected=BANNER))
    with pytest.raises(TrainError, match=r"HTTP 503\)\" is the rejected answer of 3 prompts: .*--repeated takes it"):
        dry_run(tmp_path / "mine.jsonl")
    plan, *_ = dry_run(tmp_path / "mine.jsonl", overrides=["data.repeated=true"])
    assert plan.checks.kept == 3


def test_a_snapshot_keeps_what_people_said_of_a_text_that_repeats(tmp_path: Path) -> None:
    rows = [{**row, "rejected": BANNER} for row in preference_rows(6, per_prompt=1)]
    assert len(read_slates(write_snapshot(tmp_path, "abc", rows)).slates) == 6


# -- the split --------------------------------------------------------------------------------------------------


def alike(count: int) -> list[dict[str, Any]]:
    """Prompts of random words; beside every third stands one that is it but for a letter."""
    chance = random.Random(4)
    syllables = [a + b for a in "bcdfglmnprst" for b in "aeiou"]
    rows = []
    for n in range(count):
        one = " ".join("".join(chance.choices(syllables, k=3)) for _ in range(14))
        asked = [one, one + "s"] if n % 3 == 0 else [one]
        rows += [{"prompt": q, "chosen": f"sí {n} {q}", "rejected": f"no {n} {q}", "country": "MX"} for q in asked]
    return rows


@pytest.mark.parametrize("seed", range(8))
def test_near_duplicates_stand_on_one_side(tmp_path: Path, seed: int) -> None:
    slates = slates_in(tmp_path, alike(30)).slates
    groups = groups_of(slates)
    assert len(groups) == 40
    assert len(set(groups.values())) == 30
    split = split_by_prompt(slates, 0.2, seed, groups)
    train_, held_out = ({groups[slate.prompt_key] for slate in side} for side in (split.train, split.held_out))
    assert not train_ & held_out
    assert len(held_out) == 6
    again = split_by_prompt(slates[::-1], 0.2, seed, groups_of(slates[::-1]))
    assert set(again.held_out) == set(split.held_out)


def test_without_groups_near_duplicates_would_leak(tmp_path: Path) -> None:
    slates = slates_in(tmp_path, alike(30)).slates
    groups = groups_of(slates)
    leaks = 0
    for seed in range(8):
        split = split_by_prompt(slates, 0.2, seed)
        leaks += len({groups[s.prompt_key] for s in split.train} & {groups[s.prompt_key] for s in split.held_out})
    assert leaks


def test_groups_that_a_file_names_are_taken_as_they_are(tmp_path: Path) -> None:
    rows = [
        {"prompt": f"¿Pregunta {n}?", "chosen": f"a {n}", "rejected": f"b {n}", "group": f"g{n // 2}" if n < 8 else ""}
        for n in range(12)
    ]
    rows.append({**rows[1], "chosen": "c", "rejected": "d", "group": "g2"})  # one prompt in two groups joins them
    as_jsonl(tmp_path / "mine.jsonl", rows)
    plan, *_ = dry_run(tmp_path / "mine.jsonl")
    assert plan.together == (8, 3)
    assert any("8 prompts stay on one side, in 3 groups" in line for line in plan.lines("CPU"))
    assert not any("group" in notice for notice in plan.notices)
    read = read_slates(tmp_path / "mine.jsonl")
    groups = groups_of(read.slates, read.groups)
    by_name = {slate.prompt: groups[slate.prompt_key] for slate in read.slates}
    assert by_name["¿Pregunta 0?"] == by_name["¿Pregunta 1?"] == by_name["¿Pregunta 4?"] == by_name["¿Pregunta 5?"]
    assert by_name["¿Pregunta 0?"] != by_name["¿Pregunta 2?"]
    assert by_name["¿Pregunta 8?"] != by_name["¿Pregunta 9?"]


def test_a_group_larger_than_what_is_held_out_is_trained_on(tmp_path: Path) -> None:
    one = [{"prompt": f"¿A {n}?", "chosen": f"a {n}", "rejected": f"b {n}", "group": "g"} for n in range(20)]
    others = [{"prompt": f"¿B {n}?", "chosen": f"a {n}", "rejected": f"b {n}", "group": f"{n}"} for n in range(20)]
    read = slates_in(tmp_path, [*one, *others])
    for seed in range(10):
        split = split_by_prompt(read.slates, 0.2, seed, groups_of(read.slates, read.groups))
        assert len(split.held_out) == 4
        assert all(str(slate.prompt).startswith("¿B") for slate in split.held_out)


def test_prompts_that_are_all_alike_are_split_one_by_one_and_the_plan_says_so(tmp_path: Path) -> None:
    one = [{"prompt": f"¿A {n}?", "chosen": f"a {n}", "rejected": f"b {n}", "group": "g"} for n in range(20)]
    as_jsonl(tmp_path / "mine.jsonl", one)
    plan, *_ = dry_run(tmp_path / "mine.jsonl")
    assert len(plan.slates.held_out) == 4
    assert any("all 20 prompts are near duplicates" in notice for notice in plan.notices)


def test_a_run_that_was_begun_before_groups_goes_on_with_its_own_split(tmp_path: Path) -> None:
    as_jsonl(tmp_path / "mine.jsonl", [*alike(12), *with_banner(3)[3:]])
    before = ("data.split=prompt", "data.repeated=true", *QUICK, *UNBROKEN, "optimiser.max_steps=2")
    train(tmp_path / "run", tmp_path / "mine.jsonl", overrides=before, quiet=True)
    folder = tmp_path / "run"
    held_out = (folder / "held_out.jsonl").read_bytes()
    facts = json.loads((folder / "run.json").read_text())
    for name in ("split", "repeated", "columns"):  # as an earlier version wrote it
        del facts["recipe"]["data"][name]
    (folder / "run.json").write_text(json.dumps(facts))
    (folder / "DONE").unlink()
    train(folder, tmp_path / "mine.jsonl", overrides=before[2:], quiet=True)
    assert (folder / "held_out.jsonl").read_bytes() == held_out
    assert (folder / "DONE").exists()
    fresh = make_plan(load_recipe("cpu-smoke", before[2:]), tmp_path / "mine.jsonl", tmp_path / "home")
    assert fresh.together[1] == 4
    assert fresh.checks.kept == len(alike(12))
    asked = as_begun(load_recipe("cpu-smoke", ["data.split=group"]), folder, ["data.split=group"])
    assert (asked.data.split, asked.data.repeated) == ("group", True)


# -- the trials -------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not TRIALS.is_dir(), reason="the trials' files are not beside this checkout")
@pytest.mark.parametrize(
    ("name", "slates", "told"),
    [
        ("t01_sharegpt_pairs.json", 2, ""),
        ("t04_messages_and_texts.jsonl", 2, ""),
        ("t14_implicit_prompt.jsonl", 2, ""),
        ("t16_v0_form.jsonl", 2, ""),
        ("t17_pairs_names.jsonl", 8, ""),
        ("t23_error_banner.jsonl", 0, "is the rejected answer of 10 prompts"),
        ("t24_margin_scores.jsonl", 0, "t24_margin_scores.jsonl:2, margin = -0.5"),
        ("t25_null_answer.jsonl", 8, ""),
        ("t26_roles_human_gpt.jsonl", 10, ""),
        ("t27_wrong_role_names.jsonl", 10, ""),
        ("t28_rejected_from_user.jsonl", 0, "t28_rejected_from_user.jsonl:1"),
        ("t30_ranks_from_zero.jsonl", 10, ""),
    ],
)
def test_the_trials_are_read_or_refused_with_their_place(name: str, slates: int, told: str) -> None:
    if told:
        with pytest.raises(TrainError) as caught:
            dry_run(TRIALS / name)
        assert told in str(caught.value)
        return
    plan, *_ = dry_run(TRIALS / name)
    assert plan.checks.kept == slates
    if name.startswith("t17"):
        assert [region.country for region in plan.regions] == ["CL", "ES", "MX"]
