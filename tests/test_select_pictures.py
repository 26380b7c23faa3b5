"""Selection of descriptions of pictures: what would fit any of them goes first."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from picture_projects import add_drawn
from select_project import DISHES, add_prompt, word_encoder
from select_project import make_project as make_text_project

from annotation.project import Project
from annotation.selection import shards
from annotation.selection.generic import LIMIT, find_margins, most_generic
from annotation.selection.outcome import GENERIC, Selection
from annotation.selection.report import as_json, show
from annotation.selection.select import select
from annotation.selection.store import prompt_vectors
from annotation.selection.waiting import prompts_waiting
from annotation.types import Candidate, Prompt

PLANTED = "Una imagen muy bonita que muestra las costumbres alegres de nuestra gente y su cultura."
BESIDE = "La fotografía muestra una escena bonita con costumbres y cultura de nuestra gente alegre."
SAID = (
    "Un plato de {0} servido con salsa verde en cazuela honda, y encima rábanos, como lo piden en {1}.",
    "La señora sirve {0} desde una olla grande en {1}, con el cucharón lleno y vapor hasta el techo.",
    "En {1} se prepara {0} los domingos, y aquí está recién hecho sobre un mantel bordado.",
    "Manteles bordados, vasos de barro y {0}: así se ve una mesa de fiesta en {1}.",
    "{0}, con limón partido y cebolla, para llevar, en un puesto de {1}.",
)
TOWNS = ("Oaxaca", "Puebla", "Toluca", "Mérida", "Colima", "Jalapa", "Tepic", "Durango", "Morelia", "Culiacán")


def describe(project: Project, prompts: list[Prompt], generic: tuple[str, ...] = (PLANTED,)) -> None:
    """Five descriptions of each picture that name what it shows, and the generic ones beside them."""
    for number, prompt in enumerate(prompts):
        names = (DISHES[number % len(DISHES)], TOWNS[number % len(TOWNS)])
        texts = [*(said.format(*names) for said in SAID), *generic]
        project.ledger.add_candidates([Candidate.make(prompt.id, text, model="a test") for text in texts])


def make_project(folder: Path, pictures: int = 10, *, texts: int = 0, extra: str = "") -> tuple[Project, list[Prompt]]:
    """Pictures with descriptions, one generic each; and prompts without a picture."""
    make_text_project(folder, texts, extra=extra)
    path = folder / "annot.toml"
    # In the space of words that tests have for an encoder, a generic description is off topic as well.
    path.write_text(path.read_text(encoding="utf-8").replace("[select]", "[select]\noff_topic = -1"), encoding="utf-8")
    project = Project.open(folder)
    prompts = add_drawn(project, range(pictures))
    describe(project, prompts)
    return project, prompts


def run(project: Project, **options: object) -> Selection:
    return select(project, encoder=word_encoder(), **options)  # type: ignore[arg-type]


def dropped(selection: Selection, project: Project) -> dict[str, int]:
    texts = project.ledger.candidate_texts()
    return Counter(texts[c.candidate_id] for c in selection.candidates if c.dropped == GENERIC)


def test_a_description_that_would_fit_any_picture_goes_and_the_others_stay(tmp_path: Path) -> None:
    project, prompts = make_project(tmp_path)
    selection = run(project)
    assert dropped(selection, project) == {PLANTED: 10}
    [reason] = {c.because_of[:2] for c in selection.candidates if c.dropped == GENERIC}
    assert reason == "0."
    assert len(selection.slates) == len(prompts)
    texts = project.ledger.candidate_texts()
    assert not any(texts[seat] == PLANTED for slate in selection.slates for seat in slate.seats)
    assert {item.task for item in project.ledger.items("description")} == {"description"}
    assert not project.ledger.items("ranking")
    assert run(project).slates == ()


def test_generic_descriptions_stay_where_without_them_there_is_no_slate(tmp_path: Path) -> None:
    project, _ = make_project(tmp_path)
    [poor] = add_drawn(project, [20])
    texts = [*(said.format("tlayudas", "Juchitán") for said in SAID[:3]), PLANTED, BESIDE]
    project.ledger.add_candidates([Candidate.make(poor.id, text, model="a test") for text in texts])
    selection = run(project)
    [slate] = [slate for slate in selection.slates if slate.prompt_id == poor.id]
    assert sum(c.dropped == GENERIC for c in selection.candidates if c.prompt_id == poor.id) == 1
    seats = {project.ledger.candidate_texts()[seat] for seat in slate.seats}
    assert len(seats & {PLANTED, BESIDE}) == 1


def test_with_few_pictures_nothing_is_called_generic_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project, _ = make_project(tmp_path, pictures=7)
    selection = run(project)
    assert not dropped(selection, project)
    assert as_json(selection, dry_run=False)["few_pictures"] == {"es": 7}
    show(selection)
    said = " ".join(capsys.readouterr().out.split())
    assert "would fit any picture is not told in es: 7 pictures with descriptions, and it takes 8." in said
    assert run(project).few_pictures == {"es": 7}  # Also where the stored selection is read.


def test_texts_and_pictures_share_one_order_each_by_the_quotas_of_its_task(tmp_path: Path) -> None:
    extra = "\n[task.description]\ntarget = 5\n"
    project, _ = make_project(tmp_path, pictures=8, texts=0, extra=extra)
    for number in range(0, 24, 3):  # all of Mexico
        add_prompt(project, number)
    selection = run(project)
    assert [slate.position for slate in selection.slates] == list(range(16))
    about = {prompt.id: bool(prompt.image) for prompt in project.ledger.prompts()}
    order = [about[slate.prompt_id] for slate in selection.slates]
    assert order[:9].count(True) == 3  # Texts owe 10 and pictures 5.
    assert selection.targets["MX"] == 10
    assert selection.targets["MX · pictures"] == 5
    assert Counter(outcome.task for outcome in selection.prompts) == {"ranking": 8, "description": 8}


def test_the_report_shows_pictures_beside_texts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project, _ = make_project(tmp_path, pictures=8, texts=3)
    show(run(project))
    said = capsys.readouterr().out
    assert "MX · pictures" in said
    assert GENERIC in said


def test_pictures_with_a_slate_wait_for_nothing(tmp_path: Path) -> None:
    project, prompts = make_project(tmp_path, pictures=8)
    assert {prompt.id for prompt in prompts_waiting(project).to_select} == {prompt.id for prompt in prompts}
    run(project)
    assert not prompts_waiting(project).coming


def test_pictures_are_told_apart_by_what_is_said_of_them(tmp_path: Path) -> None:
    project, _ = make_project(tmp_path)
    run(project)
    vectors = np.stack([*prompt_vectors(project).values()])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert (vectors @ vectors.T - np.eye(len(vectors))).max() < 0.99


def test_shards_drop_what_one_process_drops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, _ = make_project(tmp_path / "one", texts=3)
    whole = run(one)
    many, _ = make_project(tmp_path / "many", texts=3)
    with monkeypatch.context() as small:
        small.setattr(shards, "LARGEST", 30)
        found = run(many, launch=work_here)
    assert found.table.equals(whole.table)
    assert [slate.seats for slate in found.slates] == [slate.seats for slate in whole.slates]
    # A new picture changes what is said of the others: what was chosen before is not taken for it.
    for project in (one, many):
        describe(project, add_drawn(project, [50]), generic=(PLANTED, BESIDE))
    with monkeypatch.context() as small:
        small.setattr(shards, "LARGEST", 30)
        found = run(many, launch=work_here)
    assert found.table.equals(run(one).table)


def work_here(work: shards.Work, waiting: list[str], _processes: int, _progress: object) -> None:
    for shard in waiting:
        shards.select_shard(work, shard)


def naive(pictures: list[list[str]]) -> list[list[float]]:
    """The margins as their definition says, in dictionaries."""
    import math
    import re

    sets = [[{w[:5] for w in re.findall(r"\w{4,}", t.casefold())} for t in own] for own in pictures]
    seen = Counter(word for own in sets for word in set().union(*own))
    weigh = {word: math.log((len(pictures) + 1) / count) for word, count in seen.items()}

    def unit(words: set[str]) -> dict[str, float]:
        length = math.sqrt(sum(weigh[word] ** 2 for word in words))
        return {word: weigh[word] / length for word in words}

    def cosine(one: dict[str, float], others: list[dict[str, float]]) -> float:
        total = Counter[str]()
        for other in others:
            for word, value in other.items():
                total[word] += value  # type: ignore[assignment]
        length = math.sqrt(sum(value**2 for value in total.values()))
        return sum(value * total[word] for word, value in one.items()) / length if length > 1e-6 else 0.0

    rows = [[unit(words) for words in own] for own in sets]
    return [
        [
            cosine(one, [other for b, own in enumerate(rows) if b != a for other in own])
            - cosine(one, [other for j, other in enumerate(rows[a]) if j != i])
            for i, one in enumerate(rows[a])
        ]
        for a in range(len(rows))
    ]


WORDS = ["pozole", "bonita", "imagen", "gente", "caldo", "maíz", "y"]
texts = st.lists(st.sampled_from(WORDS), max_size=5).map(" ".join)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(texts, min_size=1, max_size=4), min_size=1, max_size=6))
def test_margins_are_those_of_their_definition(pictures: list[list[str]]) -> None:
    for found, expected in zip(find_margins(pictures), naive(pictures), strict=True):
        assert found.tolist() == pytest.approx(expected, abs=1e-5)


def test_the_most_generic_go_first_and_a_slate_is_left() -> None:
    margins = [0.5, -0.2, 0.1, LIMIT, 0.9]
    assert most_generic(margins, [0, 1, 2, 3, 4], 2) == [4, 0, 2]
    assert most_generic(margins, [0, 1, 2, 3, 4], 4) == [4]
    assert most_generic(margins, [1, 3], 1) == []
    assert most_generic(margins, [0, 4], 4) == []


@pytest.mark.parametrize("language", ["es", "pt"])
def test_planted_generic_descriptions_are_found_in_made_ones_of_two_languages(language: str) -> None:
    path = Path(__file__).parent.parent / "benchmarks" / "descriptions.json"
    data = json.loads(path.read_text(encoding="utf-8"))[language]
    subjects = list(data["pictures"].values())
    assert len(subjects) == len(data["generic"]) == 12
    margins = find_margins([[*own, generic] for own, generic in zip(subjects, data["generic"], strict=True)])
    assert sum(own[-1] > LIMIT for own in margins) >= 7
    assert sum((own[:-1] > LIMIT).sum() for own in margins) <= 7  # of the 60 others
