"""A run about pictures is measured: who looks is found out, who does not is found out too, and terms are counted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from picture_files import keep_picture
from picture_runs import RED, coloured_slates, picture_run
from typer.testing import CliRunner

from annotation.cli import app
from annotation.errors import SettingsError, TrainError
from annotation.images.store import LostPicture
from annotation.types import picture_file
from train.data.slates import RankedSlate, Ranking
from train.data.texts import as_answer, as_question
from train.evaluate.evaluation import Evaluation
from train.evaluate.looks import CANNOT_TELL, HAS_NOT, LOOKS, look_groups, other_pictures
from train.evaluate.ranking_summary import SlateScore
from train.evaluate.report import lines
from train.evaluate.run import evaluate, read_evaluation
from train.evaluate.terms import as_written, named, picture_terms, recall_of_terms
from train.evaluate.writing import PromptSamples, prompts_to_answer

COUNT = 16


def quietly(_line: str) -> None:
    """Say nothing."""


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Evaluation]:
    """A run whose adapter prefers the description with the picture's colour, measured."""
    home = tmp_path_factory.mktemp("seeing")
    slates = coloured_slates(home / "source", COUNT)
    run = picture_run(home / "runs" / "sees", slates, home / "source")
    return run, evaluate(run, on=("ranking", "looks", "writing"), say=quietly)


# -- looks --------------------------------------------------------------------------------------------------


def test_a_model_that_looks_ranks_well_beside_the_right_picture_and_by_the_other_one_beside_that(
    seeing: tuple[Path, Evaluation],
) -> None:
    run, found = seeing
    everything, *countries = found.summaries["looks"].groups
    assert everything.right.value == found.summaries["ranking"].groups[0].accuracy.value == 1.0
    assert (everything.verdict, [look.name for look in countries]) == (LOOKS, ["BR", "MX"])
    assert everything.gain.prompts == COUNT
    assert everything.gain.low > 0
    # Beside another picture it prefers what is right of that one.
    rows = [json.loads(line) for line in (run / "evaluation_looks.jsonl").read_text().splitlines()]
    colour = {slate.image: slate.rankings[0].tiers[0][0] for slate in coloured_slates(run / "again", COUNT)}
    said = {slate.image: [answer[0]["content"] for answer in slate.answers] for slate in coloured_slates(run, COUNT)}  # type: ignore[index]
    for row in rows:
        assert row["other"] != row["picture"]
        same = said[row["picture"]][colour[row["picture"]]] == said[row["other"]][colour[row["other"]]]
        assert row["right_beside_other"] == (row["votes"] if same else 0)
    assert sorted(row["other"] for row in rows) == sorted(row["picture"] for row in rows), "each is used once"
    assert everything.other.value == pytest.approx(sum(row["right_beside_other"] > 0 for row in rows) / COUNT)


def test_it_stands_in_the_report_on_the_terminal_and_in_evaluation_json(seeing: tuple[Path, Evaluation]) -> None:
    run, found = seeing
    told = json.loads((run / "evaluation.json").read_text())["measures"]
    assert told["looks"]["groups"][0]["verdict"] == LOOKS
    assert read_evaluation(run).summaries["looks"] == found.summaries["looks"]  # type: ignore[union-attr]
    assert read_evaluation(run).summaries["writing"] == found.summaries["writing"]  # type: ignore[union-attr]
    report = (run / "report.md").read_text()
    assert f"| {LOOKS} |" in report
    assert "terms" in report
    again = CliRunner().invoke(app, ["evaluate", run.name, "--project", str(run.parent.parent)])
    assert again.exit_code == 0, again.output
    assert LOOKS in again.output, "without --on a run about pictures is measured on them"


def test_a_model_that_cannot_see_has_not_looked_though_it_ranks_as_people_do(tmp_path: Path) -> None:
    slates = coloured_slates(tmp_path / "source", 8, always=RED)
    run = picture_run(tmp_path / "runs" / "blind", slates, tmp_path / "source", sees=False, steps=30)
    found = evaluate(run, on=("ranking", "looks"), say=quietly)
    everything = found.summaries["looks"].groups[0]
    assert (everything.right.value, everything.other.value, everything.gain.value) == (1.0, 1.0, 0.0)
    assert everything.unmoved
    assert everything.verdict == HAS_NOT
    assert any("has not looked" in line for line in lines(found))
    assert found.gate.verdict == "passed", "the gate is about the ranking; what that is worth is said beside it"


def test_few_pictures_cannot_tell_and_one_is_refused(tmp_path: Path) -> None:
    slates = coloured_slates(tmp_path / "source", 3)
    run = picture_run(tmp_path / "runs" / "few", slates, tmp_path / "source", steps=20)
    found = evaluate(run, on=("looks",), say=quietly)
    assert found.summaries["looks"].groups[0].verdict == CANNOT_TELL
    assert any("3 held-out pictures cannot tell" in line for line in lines(found))
    (run / "held_out_slates.jsonl").write_text(json.dumps(slates[0].row()) + "\n")
    with pytest.raises(TrainError, match="one picture is held out"):
        evaluate(run, on=("looks",), say=quietly)
    text = replace(slates[0], image="", rewrites=())
    (run / "held_out_slates.jsonl").write_text(json.dumps(text.row()) + "\n")
    with pytest.raises(SettingsError, match="was trained on texts"):
        evaluate(run, on=("looks",), say=quietly)


def test_a_picture_that_is_gone_is_named_with_a_remedy(tmp_path: Path) -> None:
    slates = coloured_slates(tmp_path / "source", 4)
    run = picture_run(tmp_path / "runs" / "gone", slates, tmp_path / "source", steps=1)
    lost = run / picture_file(slates[0].image)
    content = lost.read_bytes()
    lost.unlink()
    with pytest.raises(LostPicture, match=r"is missing; bring it back into the project with `annot images add`"):
        evaluate(run, on=("ranking",), say=quietly)
    keep_picture(tmp_path, content)
    evaluate(run, on=("ranking",), say=quietly)
    assert lost.read_bytes() == content


def slate_score(number: int, right: float, other: float, country: str = "MX") -> tuple[SlateScore, SlateScore]:
    def one(share: float, rewards: tuple[float, ...]) -> SlateScore:
        return SlateScore(
            f"s{number}", f"p{number}", country, "es", "", rewards, 2, 2 * share, 1, 1, 2, 2 * share - 1, 2, 1, 5
        )

    return one(right, (1.0, 0.0)), one(other, (1.0, 0.5))


def test_as_good_beside_another_picture_is_not_looking_once_there_are_enough_pictures() -> None:
    def verdict(count: int) -> str:
        scores = [
            slate_score(number, 1.0 if number % 2 else 0.0, 1.0 if number % 2 else 0.0) for number in range(count)
        ]
        return look_groups(scores, [f"p{number}" for number in range(count)], seed=0).groups[0].verdict

    assert (verdict(20), verdict(200)) == (CANNOT_TELL, HAS_NOT)


def test_the_interval_is_over_pictures_and_not_over_slates() -> None:
    scores = [slate_score(number, 1.0, float(number % 3 > 0)) for number in range(12)]
    apart = look_groups(scores, [f"p{number}" for number in range(12)], seed=0).groups[0].gain
    together = look_groups(scores, [f"p{number % 3}" for number in range(12)], seed=0).groups[0].gain
    assert apart.value == together.value == pytest.approx(1 / 3)
    assert (apart.prompts, together.prompts) == (12, 3)
    assert together.high - together.low > apart.high - apart.low


def slate(picture: str, country: str) -> RankedSlate:
    return RankedSlate(
        picture, as_question("¿?"), (as_answer("a"), as_answer("b")), (), (), country=country, image=picture
    )


def test_the_other_picture_is_of_the_same_country_and_of_the_next_size() -> None:
    sizes = {f"{country}{number}": 10 * (number // 2) for country in ("MX", "BR") for number in range(8)}
    slates = [slate(picture, picture[:2]) for picture in sizes]
    found = other_pictures(slates, sizes.__getitem__, seed=3)
    assert sorted(found) == sorted(found.values()) == sorted(sizes)
    assert all(one != other and one[:2] == other[:2] for one, other in found.items())
    assert sum(sizes[one] == sizes[other] for one, other in found.items()) == 8, "half of them in pairs of equal size"
    assert found == other_pictures(slates[::-1], sizes.__getitem__, seed=3), "the order of the slates is nothing"
    # Pictures that are alone in their country go with one another, or with the largest country.
    alone = [slate("CL0", "CL"), slate("PE0", "PE")]
    assert other_pictures(alone, lambda _: 1, seed=0) == {"CL0": "PE0", "PE0": "CL0"}
    more = other_pictures([*slates, alone[0]], lambda name: sizes.get(name, 1), seed=0)
    assert sorted(more) == sorted(more.values())
    assert all(one != other for one, other in more.items())
    assert other_pictures(alone[:1], lambda _: 1, seed=0) == {}


def test_a_process_that_was_killed_is_gone_on_with_bit_by_bit(tmp_path: Path) -> None:
    import multiprocessing

    from finished_runs import evaluate_until

    slates = coloured_slates(tmp_path / "source", 6)
    whole, cut = (
        picture_run(tmp_path / "runs" / name, slates, tmp_path / "source", steps=3) for name in ("whole", "cut")
    )
    on = {"on": ("ranking", "looks", "writing")}
    evaluate_until(whole, 0, **on)
    for batch in (1, 4):
        process = multiprocessing.get_context("spawn").Process(target=evaluate_until, args=(cut, batch), kwargs=on)
        process.start()
        process.join()
        assert process.exitcode == -9
    evaluate_until(cut, 0, **on)
    for name in ("evaluation_looks.jsonl", "evaluation_samples.jsonl", "evaluation_slates.jsonl"):
        assert (cut / name).read_bytes() == (whole / name).read_bytes()


# -- terms --------------------------------------------------------------------------------------------------


def test_words_that_name_nothing_accents_and_plurals_make_no_difference() -> None:
    assert named(("los", "de", "oaxaca", "mole"), "Los TAMALES de Oaxaca, con mole") == ["oaxaca", "mole"]
    assert named(("tamal", "flor"), "Un tamal y dos flores") == ["tamal", "flor"]
    assert named(("pan de muerto",), "Comen pan de muertos.") == ["pan de muerto"]
    assert named(("pan de muerto",), "El pan es para un muerto.") == []


def test_terms_are_what_other_pictures_do_not_share_and_an_expression_takes_the_place_of_its_words() -> None:
    own = {
        "ofrenda:MX": ["Pan de muerto en la ofrenda.", "Se ve pan de muerto y cempasúchil en un plato."],
        "mate:AR": ["Una ronda de mate en un plato."],
    }
    texts = {
        "ofrenda": own["ofrenda:MX"],
        "mate": own["mate:AR"],
        **{f"p{n}": ["Un plato de comida."] for n in range(9)},
    }
    found = picture_terms(own, texts)
    assert found["ofrenda:MX"][0] == "pan de muerto", "two people's texts hold it"
    assert set(found["ofrenda:MX"]) == {"pan de muerto", "ofrenda", "cempasuchil"}
    assert set(found["mate:AR"]) == {"ronda", "mate"}
    assert picture_terms({"p0:MX": ["Un plato de comida."]}, texts)["p0:MX"] == ()
    written = as_written(found["ofrenda:MX"], own["ofrenda:MX"])
    assert set(written.values()) == {"Pan de muerto", "ofrenda", "cempasúchil"}


def test_what_stands_in_the_place_of_personal_data_is_no_term() -> None:
    own = {"p:MX": ["Una ronda de mate; escribe a [email] o al [phone]."]}
    texts = {"p": own["p:MX"], **{f"p{n}": ["Un plato."] for n in range(9)}}
    assert set(picture_terms(own, texts)["p:MX"]) == {"ronda", "mate", "escribe"}


def described(number: int, base: str, adapted: str, slates: list[RankedSlate]) -> Any:
    one: Any = slates[number]
    return PromptSamples(one.prompt_key, one.country, None, None, base, adapted, None)  # type: ignore[arg-type]


def term_slates() -> list[RankedSlate]:
    dishes = ("mole", "pozole", "birria", "tlayuda", "esquites", "romeritos", "capirotada", "cocada")
    return [
        RankedSlate(
            f"s{number}:{country}",
            as_question("Describe."),
            (as_answer(f"Un plato de {dish}"), as_answer("Un plato de comida"), as_answer("Algo en un plato")),
            (Ranking(((0,), (1,), (2,))),),
            (),
            0,
            country,
            "es",
            image=f"{number:02}",
            rewrites=(f"Es {dish} de fiesta",),
        )
        for number, dish in enumerate(dishes)
        for country in [("MX", "BR")[number % 2]]
    ]


def test_recall_is_counted_for_base_and_adapted_model_by_country() -> None:
    slates = term_slates()
    words = [slate.rewrites[0].split()[1] for slate in slates]
    samples = [described(n, "Un plato", f"Un {word}" if n % 2 == 0 else "Nada", slates) for n, word in enumerate(words)]
    found = recall_of_terms(samples, slates, seed=0)
    assert found is not None
    everything, brazil, mexico = found.groups
    assert (everything.name, brazil.name, mexico.name) == ("", "BR", "MX")
    assert (everything.terms, everything.base.value, everything.adapted.value) == (8, 0.0, 0.5)
    assert (brazil.adapted.value, mexico.adapted.value) == (0.0, 1.0)
    assert everything.change.low > 0
    # The candidates: who was ranked first names what the rewrite names, and the others do not.
    assert (everything.best.value, everything.others.value) == (1.0, 0.0)  # type: ignore[union-attr]
    assert found.shown[0]["adapted"] == found.shown[0]["terms"]
    assert recall_of_terms([], slates, seed=0) is None


def test_texts_are_measured_as_before_and_say_nothing_of_pictures(tmp_path: Path) -> None:
    from finished_runs import finished_run, ranked_slates

    run = finished_run(tmp_path / "text", ranked_slates(6), 0.1)
    found = evaluate(run, say=quietly)
    told = json.loads((run / "evaluation.json").read_text())["measures"]["writing"]
    assert "terms" not in told
    assert "spoken" not in told
    assert found.summaries["writing"].terms is None
    assert "image" not in (run / "held_out_slates.jsonl").read_text()


def test_every_picture_is_described_although_all_are_asked_the_same(tmp_path: Path) -> None:
    slates = coloured_slates(tmp_path, 8)
    chosen = prompts_to_answer(slates, 6, seed=1)
    assert len({slate.image for slate in chosen}) == 6
    assert all(slate.prompt == slates[0].prompt for slate in chosen)
