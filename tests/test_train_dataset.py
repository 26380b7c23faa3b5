"""From preferences to rows: every form is read, nothing stands on both sides of the split, votes become soft labels."""

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from train_snapshots import preference_rows, write_snapshot

from annotation.errors import SourceError, TrainError
from annotation.files import write_parquet
from train.data.pairs import Pair, one_row_per_vote
from train.data.plan import pairs_of_slates
from train.data.read import read_slates
from train.data.rows import newest_snapshot, source_digest
from train.data.split import all_texts, split_by_prompt


def pair(prompt: str, country: str = "MX", **facts: Any) -> Pair:
    return Pair(f"{prompt}:{country}", prompt, "sí", "no", country, **facts)


def pairs_in(path: Path) -> tuple[Pair, ...]:
    return pairs_of_slates(read_slates(path).slates)


def test_a_snapshot_is_read_as_conversations_with_its_votes(tmp_path: Path) -> None:
    source = write_snapshot(tmp_path, "abc", preference_rows(4))
    read = read_slates(source)
    pairs = pairs_of_slates(read.slates)
    assert (read.source, len(read.slates), len(pairs)) == ("snapshot abc", 4, 8)
    first, later = pairs[0], pairs[3]
    assert [message["role"] for message in first.prompt] == ["user"]  # type: ignore[index]
    assert [message["role"] for message in later.prompt] == ["system", "user"]  # type: ignore[index]
    assert first.chosen == ({"role": "assistant", "content": first.chosen[0]["content"]},)  # type: ignore[index]
    assert (later.country, later.language, later.votes_for, later.votes_against, later.ties) == ("BR", "pt", 3, 1, 1)
    assert len({row.id for row in pairs}) == 8


def test_the_newest_whole_snapshot_is_the_default(tmp_path: Path) -> None:
    with pytest.raises(TrainError, match="no snapshot yet"):
        newest_snapshot(tmp_path)
    write_snapshot(tmp_path, "old", preference_rows(2), made_at="2026-01-01T00:00:00")
    new = write_snapshot(tmp_path, "new", preference_rows(2), made_at="2026-02-01T00:00:00")
    half = write_snapshot(tmp_path, "half", preference_rows(2), made_at="2026-03-01T00:00:00")
    (half / "snapshot.json").unlink()
    assert newest_snapshot(tmp_path) == new
    with pytest.raises(TrainError, match="no whole snapshot"):
        source_digest(half)


def test_files_are_read_in_both_of_trls_forms(tmp_path: Path) -> None:
    plain = {"prompt": "¿Qué?", "chosen": "Esto.", "rejected": "Eso.", "country": "PE", "other": 1}
    talk = {
        "prompt": [{"role": "system", "content": "Eres de aquí."}, {"role": "user", "content": "¿Qué?"}],
        "chosen": [{"role": "assistant", "content": "Esto."}],
        "rejected": [{"role": "assistant", "content": "Eso."}],
        "votes_for": 4,
        "votes_against": 1,
    }
    write_parquet(tmp_path / "plain.parquet", [plain])
    (tmp_path / "talk.jsonl").write_text(json.dumps(talk, ensure_ascii=False) + "\n\n", encoding="utf-8")
    assert read_slates(tmp_path / "plain.parquet").source == "plain.parquet"
    assert pairs_in(tmp_path / "plain.parquet") == (Pair("plain.parquet:1", "¿Qué?", "Esto.", "Eso.", "PE"),)
    spoken = pairs_in(tmp_path / "talk.jsonl")[0]
    assert (spoken.votes_for, spoken.votes_against, spoken.country) == (4, 1, "")
    assert spoken.row()["prompt"] == talk["prompt"]
    write_parquet(tmp_path / "talk.parquet", [talk])
    (tmp_path / "mark.jsonl").write_text(
        json.dumps({**plain, "prompt": "\U0001f600", "country": None, "votes_for": 3.0}), encoding="utf-8-sig"
    )
    marked = pairs_in(tmp_path / "mark.jsonl")[0]
    assert (marked.prompt, marked.country, marked.votes_for) == ("\U0001f600", "", 3)
    again = pairs_in(tmp_path / "talk.parquet")[0]
    assert (again.prompt, again.chosen, again.rejected) == (spoken.prompt, spoken.chosen, spoken.rejected)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("gone.jsonl", None, "There is no file"),
        ("a.csv", b"prompt,chosen,rejected\n", "holds no rows below its header"),
        ("a.doc", b"prompt", "a format that annot does not read"),
        ("a.jsonl", b'{"prompt": "a"\n', "is no valid JSON"),
        ("a.jsonl", b"\n[1]\n", "is no object with columns"),
        ("a.jsonl", b'{"prompt": "a", "chosen": "b", "rejected": "c", "votes_for": 0.5}', "whole numbers"),
        ("a.csv", b"prompt,chosen,rejected,ties\na,b,c,two\n", "a.csv:2, ties = 'two': votes are whole numbers"),
        ("a.jsonl", b'{"prompt": "a", "chosen": "b", "rejected": "c", "votes_for": true}', "whole numbers"),
        ("a.jsonl", b'{"prompt": "a", "chosen": "b", "rejected": "c", "votes_for": 1e300}', "whole numbers"),
        ("a.jsonl", b'{"prompt": "\\ud83d", "chosen": "b", "rejected": "c"}', "a.jsonl:1 holds half a character"),
        ("a.jsonl", b'{"prompt": ' + b"[" * 100_000, "line 1 holds JSON that nobody means"),
        ("a.jsonl", b'{"prompt": ' + b"1" * 5000 + b"}", "line 1 holds JSON that nobody means (Exceeds the limit"),
        (
            "a.jsonl",
            b'{"prompt": "a", "chosen": "b", "rejected": "c", "weight": -1}',
            "weight = -1: it must be a number from 0 to 1000",
        ),
        ("a.jsonl", b'{"prompt": "a", "chosen": "b", "rejected": "c", "margin": NaN}', "margin = nan: it must be"),
        (
            "a.jsonl",
            b'{"prompt": "a", "chosen": "b", "rejected": "c", "country": "%s"}' % (b"M" * 201),
            "at most 200 characters on one line",
        ),
        ("a.jsonl", b'{"prompt": "a", "chosen": "b", "rejected": "c", "slate_id": true}', "slate_id = True: it must"),
        (
            "a.jsonl",
            b'{"prompt": "a", "chosen": "b", "rejected": "c", "topic": "x\\u0007"}',
            "topic = 'x\\x07': it must",
        ),
        ("a.jsonl", b'{"prompt": "a", "chosen": "b", "rejected": "c", "slate_id": "%s"}' % (b"s" * 201), "at most 200"),
        ("a.parquet", b"PAR1 cut off", "damaged or no parquet file"),
    ],
)
def test_a_file_that_will_not_do_is_refused_with_its_place(
    tmp_path: Path, name: str, content: bytes | None, told: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises((TrainError, SourceError)) as caught:
        read_slates(tmp_path / name)
    assert told in str(caught.value)


@given(
    st.lists(st.tuples(st.integers(0, 30), st.sampled_from(["MX", "AR", "BR"])), min_size=2, max_size=120),
    st.floats(0.01, 0.5),
    st.integers(0, 5),
)
def test_no_prompt_is_on_both_sides_and_no_row_is_lost(asked: list[tuple[int, str]], share: float, seed: int) -> None:
    pairs = [pair(f"pregunta {number}", country) for number, country in asked]
    prompts = {row.prompt_key for row in pairs}
    if len(prompts) < 2:
        with pytest.raises(TrainError, match="nothing can be held out"):
            split_by_prompt(pairs, share, seed)
        return
    split = split_by_prompt(pairs, share, seed)
    train, held_out = ({row.prompt_key for row in side} for side in (split.train, split.held_out))
    assert train
    assert held_out
    assert not train & held_out
    assert Counter(split.train) + Counter(split.held_out) == Counter(pairs)
    assert len(held_out) == max(1, int(len(prompts) * share + 0.5))
    assert split_by_prompt(list(reversed(pairs)), share, seed).held_out == tuple(reversed(split.held_out))


def test_each_country_gives_its_share_and_another_seed_other_prompts() -> None:
    pairs = [pair(f"{country} {number}", country) for country in ("AR", "BR", "MX") for number in range(40)]
    split = split_by_prompt(pairs, 0.1, 0)
    assert Counter(row.country for row in split.held_out) == {"AR": 4, "BR": 4, "MX": 4}
    assert split_by_prompt(pairs, 0.1, 1).held_out != split.held_out


def test_what_was_held_out_stays_held_out_when_prompts_are_added() -> None:
    """Else a later run trains on what an earlier one was measured on, and little is left to compare them on."""
    pairs = [pair(f"{country} {number}", country) for country in ("AR", "BR", "MX") for number in range(110)]
    of_both = 0
    for seed in range(10):
        before = set(split_by_prompt([row for row in pairs if int(str(row.prompt)[3:]) < 100], 0.2, seed).held_out)
        of_both += len(before & set(split_by_prompt(pairs, 0.2, seed).held_out))
    assert of_both > 0.9 * 10 * 60


def test_the_same_question_under_another_persona_stays_on_one_side() -> None:
    def asked(system: str) -> Pair:
        talk = ({"role": "system", "content": system}, {"role": "user", "content": " ¿Qué se come? "})
        return Pair(system, talk, ("a",), ("b",))  # type: ignore[arg-type]

    assert asked("Eres una abuela.").prompt_key == asked("Eres un cocinero.").prompt_key
    assert asked("Eres una abuela.").prompt_key == pair("¿Qué se come?").prompt_key


@given(st.integers(0, 9), st.integers(0, 9), st.floats(-5, 5))
def test_rows_per_vote_have_the_loss_of_smoothed_labels(votes_for: int, votes_against: int, margin: float) -> None:
    """Conservative DPO (Mitchell 2023): (1 - e) * l(m) + e * l(-m), with e the share of votes against."""
    rows = one_row_per_vote([pair("a", votes_for=votes_for, votes_against=votes_against, ties=3)])
    assert len(rows) == votes_for + votes_against
    if not rows:
        return

    def loss(margin: float) -> float:
        return math.log1p(math.exp(-margin))

    stock = sum(loss(margin if row.chosen == "sí" else -margin) for row in rows) / len(rows)
    smoothing = votes_against / len(rows)
    assert stock == pytest.approx((1 - smoothing) * loss(margin) + smoothing * loss(-margin))


def test_texts_come_once_each_in_order() -> None:
    assert all_texts([pair("a"), pair("b")]) == ["a", "sí", "no", "b"]


def test_columns_roles_and_countries_of_other_people_are_read_as_what_they_mean(tmp_path: Path) -> None:
    path = tmp_path / "theirs.jsonl"
    row = {"country": "Chile", "system_prompt": "Sé breve.", "question": "¿Qué?", "chosen": "Sí.", "rejected": "No."}
    path.write_text("".join(json.dumps({**row, "country": name}) + "\n" for name in ("CL", "chile", "Chile")))
    slates = read_slates(path).slates
    assert {(slate.country, slate.prompt[0]["content"], slate.prompt[1]["content"]) for slate in slates} == {  # type: ignore[index]
        ("CL", "Sé breve.", "¿Qué?")
    }
    turns = {"prompt": [{"from": "human", "value": "¿Qué?"}], "chosen": [{"role": "Assistant", "content": "Sí."}]}
    said = {**turns, "rejected": [{"from": "gpt", "value": "No."}]}
    path.write_text(json.dumps(said))
    (slate,) = read_slates(path).slates
    assert [text[0]["role"] for text in slate.texts] == ["user", "assistant", "assistant"]  # type: ignore[index]
    path.write_text(json.dumps({**said, "prompt": [{"role": "narrator", "content": "¿Qué?"}]}))
    assert [row.reason for row in read_slates(path).excluded] == ["unclear conversation"]
