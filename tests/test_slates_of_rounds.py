"""In a later round a prompt gets another slate, of other answers; slates of earlier rounds are closed and count on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from fake_argilla import World, ranking_of, some_project
from hypothesis import given
from hypothesis import strategies as st
from projects import fill, frozen, judge, quotas
from projects import make_project as project_of
from select_project import add_prompt, make_project, word_encoder
from test_push import dataset_name, datasets, send, with_team

from annotation.drafting.draft import what_to_draft
from annotation.item_counts import count_own
from annotation.ledger import Ledger
from annotation.migrations import MIGRATIONS
from annotation.project import Project
from annotation.rounds import CONTESTED, SOURCE, current_round, open_prompts, rounds, start_round
from annotation.selection.select import make_slate, select
from annotation.selection.waiting import prompts_waiting
from annotation.tables import read_tables
from annotation.tally import count
from annotation.tasks.ranking.slates import add_slates, read_slates
from annotation.types import Answer, Candidate, Judgement, Slate
from sync.quotas import all_met, count_quotas, what_is_coming
from sync.team import workspace_of
from sync.trigger import trigger
from train.data.read import read_slates as slates_to_train_on
from train.data.rounds import by_round, count_rounds
from train.data.split import Split

MANY = """[project]
countries = ["MX"]
languages = ["es"]
[task.ranking]
target = {target}
overlap = 2
[train]
auto = false
launcher = "true"
"""


OWN = (
    "Mi abuela lo preparaba en olla de barro, y para comer en la ciudad bajaba al puerto antes del amanecer.",
    "Aquí nadie sabe comer sin limón; en la ciudad vieja te miran raro si pides tenedor.",
    "La ciudad entera se detiene a comer cuando pasa el carrito, y se paga después, con confianza.",
    "Hay que comer parado, conversando fuerte, como hace la gente de esta ciudad junto al estadio.",
)
OTHERS = (
    "Según las guías de la ciudad, conviene comer temprano y reservar una mesa lejos de la ventana.",
    "Quien llega a la ciudad por trabajo suele comer en el hotel, aunque le recomienden otra cosa.",
    "Comer bien depende del bolsillo: la ciudad ofrece puestos baratos y comedores muy elegantes.",
)


def own_answers(project: Project, prompts: Sequence[str]) -> None:
    """Answers that the aligned model would have written."""
    project.ledger.add_candidates(
        Candidate.make(
            prompt_id,
            text,
            model="annot:first@00000000",
            settings={SOURCE: "annot:first@00000000"},
        )
        for prompt_id in prompts
        for text in OWN
    )


def open_slates(project: Project) -> list[Slate]:
    return [slate for slate in read_slates(project.ledger) if not slate.closed]


def test_a_chosen_prompt_gets_a_slate_of_answers_that_nobody_ranked_half_of_them_the_aligned_models(
    tmp_path: Path,
) -> None:
    project = make_project(tmp_path / "p", 6, extra="\n")
    before = select(project, encoder=word_encoder()).slates
    spanish = {prompt.id for prompt in project.ledger.prompts() if prompt.language == "es"}
    again, alone = [slate.prompt_id for slate in before if slate.prompt_id in spanish][:2], before[-1].prompt_id
    project.ledger.add_candidates(Candidate.make(prompt_id, text, model="m") for prompt_id in again for text in OTHERS)
    start_round(project.ledger, dict.fromkeys(again, CONTESTED), {})
    own_answers(project, [*again, alone])
    never = add_prompt(project, 6)
    assert open_prompts(project.ledger) == {*again, never.id}
    assert {prompt.id for prompt in prompts_waiting(project).coming} == {*again, never.id}
    after = select(project, encoder=word_encoder()).slates
    assert sorted(slate.prompt_id for slate in after) == sorted([*again, never.id])
    assert {slate.round for slate in open_slates(project)} == {2}
    ranked = {candidate for slate in before for candidate in slate.seats}
    for slate in open_slates(project):
        answers = {one.id: one for one in project.ledger.candidates(slate.prompt_id)}
        assert not ranked & set(slate.seats)
        own = sum(SOURCE in answers[seat].settings for seat in slate.seats)
        assert own == (0 if slate.prompt_id == never.id else 2)
    assert min(slate.position for slate in after) > max(slate.position for slate in before)
    assert read_slates(project.ledger)[: len(before)] == [
        Slate(one.id, one.prompt_id, one.seats, one.position, closed=True) for one in before
    ]
    assert select(project, encoder=word_encoder()).slates == ()


def test_a_slate_has_no_seat_kept_where_the_aligned_model_wrote_too_little(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", 1)
    (prompt,) = project.ledger.prompts()
    project.ledger.add_candidates(
        [Candidate.make(prompt.id, "Se come despacio y con calma en la ciudad.", model="x", settings={SOURCE: "x"})]
    )
    (slate,) = select(project, encoder=word_encoder()).slates
    assert len(slate.seats) == 4


def test_each_round_drafts_with_calls_of_its_own_for_prompts_that_were_chosen(tmp_path: Path) -> None:
    project = make_project(tmp_path / "p", 4)
    slates = select(project, encoder=word_encoder()).slates
    prompts = project.ledger.prompts()
    first = {slot.id for work in what_to_draft(project, prompts)[0] for slot, _ in work.open}
    start_round(project.ledger, {slates[0].prompt_id: CONTESTED}, {})
    todo, _ = what_to_draft(project, [one for one in prompts if one.id == slates[0].prompt_id])
    assert [work.missing for work in todo] == [
        project.settings.draft.candidates - len(prompts_left(project, slates[0]))
    ]
    assert not first & {slot.id for work in todo for slot, _ in work.open}
    assert {prompt.id for prompt in prompts_waiting(project).coming} == {slates[0].prompt_id}


def prompts_left(project: Project, slate: Slate) -> list[str]:
    """Answers to a prompt that no slate holds."""
    return [one.id for one in project.ledger.candidates(slate.prompt_id) if one.id not in slate.seats]


def second_round(project: Project, again: Sequence[Slate]) -> list[Slate]:
    """A second round about the prompts of some slates, with slates of other answers."""
    start_round(project.ledger, {slate.prompt_id: CONTESTED for slate in again}, {"snapshots": {}})
    own_answers(project, [slate.prompt_id for slate in again])
    new = []
    for number, slate in enumerate(again):
        fresh = prompts_left(project, slate)
        made = make_slate(slate.prompt_id, fresh, position=100 + number, seed=0)
        new.append(Slate(made.id, made.prompt_id, made.seats, made.position, 2))
    add_slates(project.ledger, new)
    return new


def test_quotas_owe_what_was_chosen_for_the_round_and_slates_of_earlier_rounds_are_not_counted(tmp_path: Path) -> None:
    project = project_of(tmp_path / "p", MANY.format(target=6))
    slates = fill(project, 6)
    assert all_met(quotas(project))
    again = second_round(project, slates[:2])

    def state() -> tuple[int, int, int, int]:
        coming = what_is_coming(project, prompts_waiting(project))
        (found,) = count_quotas(
            project.settings, count(project.ledger, project.settings), coming, current_round(project.ledger)
        )
        return found.items, found.completed, found.owed, found.people

    assert state() == (2, 0, 2, 0)
    judge(project, again, ("mx_1", "mx_2"))
    assert state() == (2, 2, 2, 2)
    counts = count(project.ledger, project.settings)
    assert counts["item", "ranking", "MX", "comida", "es", 2, 1] == 6
    assert counts["item", "ranking", "MX", "comida", "es", 2] == 2


def test_each_round_has_its_own_snapshot_and_run_and_training_may_weigh_earlier_rounds_less(tmp_path: Path) -> None:
    project = project_of(tmp_path / "p", MANY.format(target=4))
    slates = fill(project, 4)
    first = trigger(project, quotas(project))
    assert first
    alone = frozen(project)
    assert alone.id == first.snapshot_id
    second_round(project, slates[:2])
    assert frozen(project).id == first.snapshot_id
    rows = [row for tables in read_tables(project, "ranking") for row in tables["rankings.parquet"].rows]
    assert not any("round" in row for row in rows)
    judge(project, open_slates(project), ("mx_1", "mx_2"))
    states = count_quotas(project.settings, count(project.ledger, project.settings), {"ranking": []}, 2)
    second = trigger(project, states)
    assert second
    assert second.snapshot_id != first.snapshot_id
    assert second.run != first.run
    read = slates_to_train_on(project.snapshot_folder(second.snapshot_id))
    assert count_rounds(read.slates) == {1: 4, 2: 2}
    half = by_round(Split(read.slates, read.slates), 0.5)
    assert Counter((one.round, one.weight) for one in half.train) == {(1, 0.5): 4, (2, 1.0): 2}
    assert half.held_out == read.slates
    assert {one.round for one in by_round(Split(read.slates, ()), 0.0).train} == {2}
    assert type(read.slates[0]).from_row(read.slates[-1].row()) == read.slates[-1]


def test_a_new_round_takes_slates_back_that_nobody_answered_and_sends_its_own(world: World, tmp_path: Path) -> None:
    project = some_project(tmp_path / "p", name=dataset_name())
    with_team(world, project, "MX", "MX")
    slates = [slate for slate in read_slates(project.ledger) if slate.position % 2 == 0]
    assert sum(send(world, project).sent.values()) == 3
    dataset = datasets(world.api, project)[workspace_of("MX")]
    held = world.api.records_of(dataset.id, "slate", [slate.id for slate in slates])
    name = next(p.username for p in project.ledger.people() if p.country == "MX")
    someone = world.annotator_client(name, project.secrets()["passwords"][name])
    answered = min(held, key=lambda record: record["external_id"])
    someone.answer(answered["id"], ranking_of("1234"))
    start_round(project.ledger, {slates[0].prompt_id: CONTESTED}, {})
    project.ledger.add_candidates(
        Candidate.make(slates[0].prompt_id, f"Se come otra cosa, la número {n}.", model="m") for n in range(4)
    )
    fresh = prompts_left(project, slates[0])
    made = make_slate(slates[0].prompt_id, fresh, position=99, seed=0)
    add_slates(project.ledger, [Slate(made.id, made.prompt_id, made.seats, made.position, 2)])
    pushed = send(world, project)
    assert sum(pushed.sent.values()) == 1
    assert pushed.taken == 2
    there = world.api.records_of(dataset.id, "slate", [*(slate.id for slate in slates), made.id])
    assert {record["external_id"] for record in there} == {answered["external_id"], made.id}
    again = send(world, project)
    assert not again.sent
    assert not again.taken


ORDERS = st.permutations(["own1", "own2", "other1", "other2"])


@given(st.lists(st.tuples(ORDERS, st.booleans()), max_size=5))
def test_votes_for_the_aligned_models_answers_are_those_of_every_two_answers_of_both_sides(
    people: list[tuple[list[str], bool]],
) -> None:
    answers = [
        Answer(str(n), "s", f"p{n}", "MX", "", Judgement(tuple((one,) for one in order), none_acceptable=none))
        for n, (order, none) in enumerate(people)
    ]
    won, tied, lost = count_own({"own1", "own2"}, answers)
    voting = [order for order, none in people if not none]
    assert won + tied + lost == 4 * len(voting)
    pairs = [(one, other) for one in ("own1", "own2") for other in ("other1", "other2")]
    assert won == sum(order.index(one) < order.index(other) for order in voting for one, other in pairs)
    level = [Answer("t", "s", "p", "MX", "", Judgement((("own1", "other1"), ("other2",))))]
    assert count_own({"own1", "own2"}, level) == (1, 1, 0)


def test_slates_of_a_ledger_from_before_rounds_are_of_the_first_and_other_items_of_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = some_project(tmp_path / "p", slates=2)
    before = read_slates(project.ledger)
    rows = [tuple(row)[:12] for row in project.ledger.rows("select * from items")]
    path = tmp_path / "older.sqlite"
    with monkeypatch.context() as earlier:
        earlier.setattr("annotation.ledger_file.MIGRATIONS", MIGRATIONS[:-1])
        older = Ledger(path)
        older.add_prompts(project.ledger.prompts())
        with older.transaction() as db:
            db.executemany(f"insert into items values ({','.join('?' * 12)})", rows)
            db.execute("insert into items values ('e','exam',null,'MX','es','x','{}',0,'work',null,'','')")
        older.close()
    ledger = Ledger(path)
    assert read_slates(ledger) == before
    assert {item.id: item.round for item in ledger.items()} == {**{slate.id: 1 for slate in before}, "e": 0}
    assert [one.number for one in rounds(ledger)] == [1]
    assert open_prompts(ledger) is None
