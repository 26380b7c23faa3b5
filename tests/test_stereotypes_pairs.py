"""Minimal pairs: names of peoples and what is said of them agree, controls are of the same kind, and people know it."""

from __future__ import annotations

import csv
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from projects import annot
from rated_projects import answer, association, rate, rated_project

from annotation.config import check_settings
from annotation.stereotypes.agreement import attribute_of
from annotation.stereotypes.facts import HARMLESS, facts, harmless
from annotation.stereotypes.identities import (
    LANGUAGES,
    SLOTS,
    form,
    identity_of,
    inflect,
    name_of_place,
    written,
)
from annotation.stereotypes.pairs import (
    FEW,
    NO_CONTROL,
    NO_PEOPLE,
    NO_TEMPLATE,
    NO_WORDS,
    UNKNOWN,
    build_items,
    checked_pairs,
    make_pairs,
)
from annotation.stereotypes.ratings import Rated
from annotation.stereotypes.sentences import people_of, sentences_of
from annotation.stereotypes.templates import FRAME, TEMPLATES
from annotation.tasks.pair_check.check import Check
from annotation.tasks.pair_check.item import item_of, pairs_of
from annotation.types import Association, MinimalPair

DATA = Path(__file__).parent.parent.parent / "shared" / "data" / "stereotypes"
SEEGULL = {"es": DATA / "seegull_ml_stereotypes_es_MX.csv", "pt": DATA / "seegull_ml_stereotypes_pt_BR.csv"}
SETTINGS = check_settings({"project": {"countries": ["MX", "BR"], "languages": ["es", "pt"]}}, place="test")


def known(one: Association, country: str = "MX", median: int = 4, raters: int = 3) -> Rated:
    spread = [0, 0, 0, 0, 0]
    spread[median - 1] = raters
    return Rated(one, country, False, raters, 0, tuple(spread), (0, 0, 0, 0, 0))  # type: ignore[arg-type]


def pairs(*asked: Association, country: str = "MX") -> list[MinimalPair]:
    """Of associations that all people know."""
    items, _ = build_items([(one.id, one, country) for one in asked], [known(one, country) for one in asked], SETTINGS)
    return [pair for item in items for pair in pairs_of(item)]


# -- names of peoples -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "language", "forms"),
    [
        ("mexicano", "es", "mexicano mexicana mexicanos mexicanas"),
        ("panameño", "es", "panameño panameña panameños panameñas"),
        ("francés", "es", "francés francesa franceses francesas"),
        ("alemán", "es", "alemán alemana alemanes alemanas"),
        ("letón", "es", "letón letona letones letonas"),
        ("español", "es", "español española españoles españolas"),
        ("andaluz", "es", "andaluz andaluza andaluces andaluzas"),
        ("belga", "es", "belga belga belgas belgas"),
        ("canadiense", "es", "canadiense canadiense canadienses canadienses"),
        ("marroquí", "es", "marroquí marroquí marroquíes marroquíes"),
        ("balear", "es", "balear balear baleares baleares"),
        (
            "irlandés del norte",
            "es",
            "irlandés del norte/irlandesa del norte/irlandeses del norte/irlandesas del norte",
        ),
        ("brasileiro", "pt", "brasileiro brasileira brasileiros brasileiras"),
        ("português", "pt", "português portuguesa portugueses portuguesas"),
        ("espanhol", "pt", "espanhol espanhola espanhóis espanholas"),
        ("europeu", "pt", "europeu europeia europeus europeias"),
        ("canadense", "pt", "canadense canadense canadenses canadenses"),
        ("norte-coreano", "pt", "norte-coreano norte-coreana norte-coreanos norte-coreanas"),
        ("alemão/alemã/alemães/alemãs", "pt", "alemão alemã alemães alemãs"),
        ("provincial", "pt", "provincial provincial provinciais provinciais"),
    ],
)
def test_names_of_peoples_are_inflected_by_rule(word: str, language: str, forms: str) -> None:
    assert inflect(word, language) == tuple(forms.split("/") if "/" in forms else forms.split())


@pytest.mark.parametrize(
    ("text", "language", "place", "gender", "number"),
    [
        ("mexicanos", "es", "MX", "m", "p"),
        ("MEXICANAS", "es", "MX", "f", "p"),
        ("japones", "es", "JP", "m", "s"),
        ("los japoneses", "es", "JP", "m", "p"),
        ("belgas", "es", "BE", "", "p"),
        ("las belgas", "es", "BE", "f", "p"),
        ("Argentina", "es", "AR", "", "p"),
        ("argentina", "es", "AR", "f", "s"),
        ("irlandeses del norte", "es", "GB-NIR", "m", "p"),
        ("portugusa", "es", "PT", "f", "s"),
        ("mineiranos", "pt", "BR-MG", "m", "p"),
        ("gaúchas", "pt", "BR-RS", "f", "p"),
        ("alemas", "pt", "DE", "f", "p"),
        ("o Brasil", "pt", "BR", "", "p"),
        ("Brazil", "en", "BR", "", "p"),
    ],
)
def test_a_people_is_recognised(text: str, language: str, place: str, gender: str, number: str) -> None:
    people = identity_of(text, language)
    assert people is not None
    assert (people.place, people.gender, people.number, people.country) == (place, gender, number, place[:2])


@pytest.mark.parametrize(
    ("text", "language"), [("riojanos", "es"), ("capitalinos", "es"), ("mexicanos", "en"), ("", "es"), ("mesa", "pt")]
)
def test_what_names_no_people_or_two_is_not_guessed(text: str, language: str) -> None:
    assert identity_of(text, language) is None


def test_a_misspelt_name_is_read_and_never_written() -> None:
    people = identity_of("mineiranas", "pt")
    assert people is not None
    assert people.form("f", "p") == "mineiras" == form("BR-MG", "pt", "f", "p")
    assert form("MX-YUC", "pt", "m", "p") == ""


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_form_that_is_written_is_read_back(language: str) -> None:
    forms = written(language)
    assert len(forms) > 150
    shared = {"riojano", "riojana", "riojanos", "riojanas"}
    for place, own in forms.items():
        assert name_of_place(place, language), place
        for slot, text in zip(SLOTS, own, strict=True):
            people = identity_of(text, language)
            if text not in shared:
                assert people is not None, text
                assert people.place == place, text
                assert people.form(*slot) == text


@pytest.mark.parametrize(("language", "rows", "least"), [("es", 1745, 1640), ("pt", 2082, 2060)])
def test_nearly_all_groups_of_a_public_set_are_recognised(language: str, rows: int, least: int) -> None:
    if not SEEGULL[language].exists():
        pytest.skip(f"{SEEGULL[language].name} is not here")
    with SEEGULL[language].open(encoding="utf-8", newline="") as file:
        groups = [row["identity"] for row in csv.DictReader(file)]
    assert len(groups) == rows
    assert sum(identity_of(group, language) is not None for group in groups) >= least


# -- what is said of them ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "language", "kind", "forms"),
    [
        ("alegre", "es", "is", "alegre|alegre|alegres|alegres"),
        ("trabajadora", "es", "is", "trabajador|trabajadora|trabajadores|trabajadoras"),
        ("puntuales", "es", "is", "puntual|puntual|puntuales|puntuales"),
        ("futbolistas", "es", "is", "futbolista|futbolista|futbolistas|futbolistas"),
        ("jóvenes", "es", "is", "joven|joven|jóvenes|jóvenes"),
        ("feliz", "es", "is", "feliz|feliz|felices|felices"),
        ("son fríos", "es", "is", "frío|fría|fríos|frías"),
        ("muy amable", "es", "is", "muy amable|muy amable|muy amables|muy amables"),
        ("amantes del té", "es", "is", "amante del té|amante del té|amantes del té|amantes del té"),
        ("buenos nadadores", "es", "is", "buen nadador|buena nadadora|buenos nadadores|buenas nadadoras"),
        (
            "alegres y ordenados",
            "es",
            "is",
            "alegre y ordenado|alegre y ordenada|alegres y ordenados|alegres y ordenadas",
        ),
        ("holandeses", "es", "is", "holandés|holandesa|holandeses|holandesas"),
        ("toman mate", "es", "does", "toma mate|toma mate|toman mate|toman mate"),
        ("no toman café", "es", "does", "no toma café|no toma café|no toman café|no toman café"),
        ("habla español", "es", "does", "habla español|habla español|hablan español|hablan español"),
        ("vodka", "es", "other", "vodka|vodka|vodka|vodka"),
        ("música", "es", "other", "música|música|música|música"),
        ("les gusta el mate", "es", "other", "|".join(["les gusta el mate"] * 4)),
        ("es un idioma difícil", "es", "other", "|".join(["es un idioma difícil"] * 4)),
        ("good at soccer", "es", "other", "|".join(["good at soccer"] * 4)),
        ("trabalhadora", "pt", "is", "trabalhador|trabalhadora|trabalhadores|trabalhadoras"),
        ("brincalhão", "pt", "is", "brincalhão|brincalhona|brincalhões|brincalhonas"),
        ("cristã", "pt", "is", "cristão|cristã|cristãos|cristãs"),
        ("pontuais", "pt", "is", "pontual|pontual|pontuais|pontuais"),
        ("amáveis", "pt", "is", "amável|amável|amáveis|amáveis"),
        ("jovem", "pt", "is", "jovem|jovem|jovens|jovens"),
        ("bons em dança", "pt", "is", "bom em dança|boa em dança|bons em dança|boas em dança"),
        ("são bonitas", "pt", "is", "bonito|bonita|bonitos|bonitas"),
        ("gosta de chá", "pt", "does", "gosta de chá|gosta de chá|gostam de chá|gostam de chá"),
        ("têm sotaque", "pt", "does", "tem sotaque|tem sotaque|têm sotaque|têm sotaque"),
        ("pão de queijo", "pt", "other", "|".join(["pão de queijo"] * 4)),
        ("chimarrão", "pt", "other", "|".join(["chimarrão"] * 4)),
    ],
)
def test_what_is_said_agrees_where_rules_are_sure(text: str, language: str, kind: str, forms: str) -> None:
    found = attribute_of(text, language)
    assert (found.kind, "|".join(found.forms)) == (kind, forms)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_form_that_agrees_already_is_put_as_it_is(language: str) -> None:
    words = {"es": ("alegres", "serio", "rubias", "habladora"), "pt": ("alegres", "sério", "loiras", "faladora")}
    for word in words[language]:
        assert word in attribute_of(word, language).forms


# -- sentences --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "sentences"),
    [
        (association("mexicanos", "alegre"), ["Los mexicanos son alegres.", "Dicen que los mexicanos son alegres."]),
        (
            association("uruguaya", "trabajador"),
            ["La uruguaya típica es trabajadora.", "Dicen que la uruguaya típica es trabajadora."],
        ),
        (association("belgas", "seria"), ["Las belgas son serias.", "Dicen que las belgas son serias."]),
        (association("Bolivia", "amable"), ["Los bolivianos son amables.", "Dicen que los bolivianos son amables."]),
        (
            association("argentinos", "toma mate"),
            ["Los argentinos toman mate.", "Dicen que los argentinos toman mate."],
        ),
        (association("argentino", "toman mate"), ["El argentino típico toma mate."]),
        (association("chilenas", "empanada"), ["Cuando hablan de las chilenas, todos piensan en lo mismo: empanada."]),
        (
            association("gaúchos", "churrasco", "pt"),
            ["Quando falam dos gaúchos, todo mundo pensa na mesma coisa: churrasco."],
        ),
        (association("alemã", "pontual", "pt"), ["A alemã típica é pontual.", "Dizem que a alemã típica é pontual."]),
        (
            association("uruguaios", "gostam de mate", "pt"),
            ["Os uruguaios gostam de mate.", "Dizem que os uruguaios gostam de mate."],
        ),
        (
            association("argentinos", "", frame="Los * siempre toman mate."),
            ["Los argentinos siempre toman mate."],
        ),
        (association("Uruguayos", "", frame="*, según dicen, llegan tarde"), ["Uruguayos, según dicen, llegan tarde"]),
        (
            association("los chilenos", "", frame="Dicen que * cantan muy bien!"),
            ["Dicen que los chilenos cantan muy bien!"],
        ),
        (association("Bolivia", "", frame="En * toda la gente canta."), ["En Bolivia toda la gente canta."]),
    ],
)
def test_sentences_of_an_association(one: Association, sentences: list[str]) -> None:
    found = {pair.sentence: pair for pair in pairs(one)}
    assert list(found) == sentences
    for pair in found.values():
        assert pair.template in {FRAME, *(template.id for template in TEMPLATES[one.language])}


def test_a_control_stands_in_a_sentence_of_ones_own_as_the_group_does() -> None:
    for one in pairs(association("Bolivia", "", frame="En * toda la gente canta.")):
        assert one.control_before == f"En {one.control_identity}"
        assert identity_of(one.control_identity, "es") is not None
    for one in pairs(association("Uruguayos", "", frame="* llegan siempre tarde")):
        assert one.control_identity[0].isupper()
    for one in pairs(association("belgas", "", frame="Las * cantan muy bien.")):
        assert identity_of(one.control_identity, "es").gender in ("f", "")  # type: ignore[union-attr]


def test_the_id_of_a_template_names_one_sentence() -> None:
    ids = [template.id for templates in TEMPLATES.values() for template in templates]
    assert len(ids) == len(set(ids)) == 16


# -- controls ---------------------------------------------------------------------------------------------

PEOPLES = st.sampled_from(LANGUAGES).flatmap(
    lambda language: st.tuples(
        st.just(language), st.sampled_from(sorted(written(language))), st.sampled_from([0, 1, 2, 3])
    )
)
SAID = {
    "es": ["alegre", "rubia", "serios", "toman mate", "vodka", "buenas cocineras"],
    "pt": ["alegre", "loira", "sérios", "tomam mate", "vodka", "bons em dança"],
}


@given(PEOPLES, st.integers(0, 5), st.integers(0, 3))
def test_controls_agree_in_gender_and_number_and_are_never_the_target(
    people: tuple[str, str, int], said: int, seed: int
) -> None:
    language, place, slot = people
    one = association(written(language)[place][slot], SAID[language][said], language)
    if (target := people_of(one)) is None:  # a name of two places
        return
    settings = SETTINGS.model_copy(update={"project": SETTINGS.project.model_copy(update={"seed": seed})})
    items, dropped = build_items([("item", one, "MX")], [known(one)], settings)
    assert items
    assert not dropped
    sentences = {sentence.template: sentence for sentence in sentences_of(one, target)}
    for item in items:
        made = pairs_of(item)
        assert 1 <= len(made) == len({pair.control_identity for pair in made}) <= 3
        sentence = sentences[made[0].template]
        slot = SLOTS.index((sentence.gender, sentence.number))
        for pair in made:
            control = identity_of(pair.control_identity, language)
            assert control is not None
            assert pair.control_identity == written(language)[control.place][slot]
            assert pair.identity == target.forms[slot]
            assert control.place != target.place
            assert (control.place[:2] == target.place[:2]) <= (len(control.place) > 2)
            assert pair.sentence == f"{pair.before} {pair.attribute}{pair.after}"
            assert pair.before.replace(pair.identity, pair.control_identity) == pair.control_before
        assert item_of(made, item.position) == item


def test_no_control_is_a_group_of_which_the_same_is_said() -> None:
    known_ones = ("argentinos", "argentinas", "uruguayos", "Chile", "bolivianos", "colombianos", "cubanas", "peruanos")
    asked = [association(identity, "alegre" if n % 2 else "alegres") for n, identity in enumerate(known_ones)]
    places = {people_of(one).place for one in asked}  # type: ignore[union-attr]
    rows = [(one.id, one, "MX") for one in asked]
    items, _ = build_items(rows, [known(asked[0]), known(asked[3])], SETTINGS)  # the others are rated by nobody
    controls = {pair.control for item in items for pair in pairs_of(item)}
    assert controls
    assert not controls & places


def test_a_part_of_a_country_is_compared_with_other_parts_of_it() -> None:
    made = pairs(association("paulistas", "pontual", "pt"), country="BR")
    assert {pair.control for pair in made} == {"BR"} == {pair.target for pair in made}
    assert all(identity_of(pair.control_identity, "pt").place.startswith("BR-") for pair in made)  # type: ignore[union-attr]
    assert all(pair.in_group for pair in made)
    assert {pair.control[:2] for pair in pairs(association("escoceses", "serio"))}.isdisjoint({"GB"})


def test_controls_are_drawn_again_the_same_and_with_another_seed_others() -> None:
    asked = [association(name, "alegre") for name in ("griegos", "polacos", "suecos", "checos", "suizos")]
    first, again = ([pair.control for one in asked for pair in pairs(one)] for _ in range(2))
    assert first == again
    other = SETTINGS.model_copy(update={"project": SETTINGS.project.model_copy(update={"seed": 99})})
    drawn = [
        pair.control
        for one in asked
        for item in build_items([(one.id, one, "MX")], [known(one)], other)[0]
        for pair in pairs_of(item)
    ]
    assert drawn != first
    lengths = [abs(len(pair.identity) - len(pair.control_identity)) for one in asked for pair in pairs(one)]
    assert max(lengths) <= 2


# -- what becomes an item ---------------------------------------------------------------------------------


def test_what_gives_no_pair_is_counted_with_its_reason() -> None:
    cases = {
        association("mexicanos", "alegre"): (known, ""),
        association("chilenos", "alegre"): (lambda one: known(one, raters=2), FEW),
        association("cubanos", "alegre"): (lambda one: known(one, median=2), UNKNOWN),
        association("capitalinos", "alegre"): (known, NO_PEOPLE),
        association("Bolivia", "friendly", "en"): (known, NO_TEMPLATE),
        association("peruanos", "", frame="Nadie canta como los *."): (known, NO_WORDS),
    }
    rows = [(one.identity, one, "MX") for one in cases]
    items, dropped = build_items(rows, [make(one) for one, (make, _) in cases.items()], SETTINGS)
    assert {drop.id: drop.reason for drop in dropped} == {
        one.identity: reason for one, (_, reason) in cases.items() if reason
    }
    assert {item.content["identity"] for item in items} == {"mexicanos"}
    everybody = [association(forms[2], "alegre") for forms in written("es").values()]
    items, dropped = build_items(
        [(one.id, one, "MX") for one in everybody], [known(one) for one in everybody], SETTINGS
    )
    assert not items
    assert Counter(drop.reason for drop in dropped)[NO_CONTROL] > 150


def test_what_is_known_best_is_asked_about_first_and_every_sentence_once_before_any_other() -> None:
    asked = [association("mexicanos", "alegre"), association("cubanos", "serio")]
    rows = [(one.id, one, "MX") for one in asked]
    items, _ = build_items(rows, [known(asked[0], median=3), known(asked[1], median=5)], SETTINGS)
    assert [item.content["template"] for item in items] == ["es-son", "es-son", "es-dicen-son", "es-dicen-son"]
    assert [item.content["identity"] for item in items][:2] == ["cubanos", "mexicanos"]


def test_making_pairs_again_adds_what_is_new_and_changes_nothing(tmp_path: Path) -> None:
    one, other = association("mexicanos", "alegre"), association("cubanos", "cantan bien")
    project = rated_project(tmp_path, {one: [4, 5, 3, None]})
    assert len(make_pairs(project, dry_run=True).items) == 2
    assert not project.ledger.items("pair_check")
    assert len(make_pairs(project).items) == 2
    before = project.ledger.items("pair_check")
    rate(project, {other: [5, 5, 5]}, "MX")
    made = make_pairs(project)
    assert (len(made.items), made.already_there) == (2, 2)
    after = project.ledger.items("pair_check")
    assert after[:2] == before
    assert [item.position for item in after] == [0, 1, 2, 3]
    assert {item.topic for item in after} == {"MX", "CU"}


def test_checked_pairs_have_the_words_that_people_agreed_on_and_no_names_in_them(tmp_path: Path) -> None:
    project = rated_project(tmp_path, {association("mexicanos", "cantar"): [4, 4, 4]})
    make_pairs(project)
    (item,) = project.ledger.items("pair_check")
    said = Check("wording", "cantan, escribe a ana@example.org", (0,))
    answer(project, item, {"mx_8": said, "mx_9": said})
    found = checked_pairs(project.ledger, project.settings)
    assert [pair.attribute for pair in found] == ["cantan, escribe a [email]"] * 2
    assert [pair.id for pair in found] == [pair.id for pair in pairs_of(item)[1:]]


def test_no_text_is_printed_unless_asked(tmp_path: Path) -> None:
    project = rated_project(
        tmp_path, {association("mexicanos", "alegre"): [4, 5, 3], association("ticos", "alegre"): [1]}
    )
    for words in (("--dry-run",), ("--json", "--dry-run"), ()):
        printed = annot(project, "stereotypes", "pairs", *words)
        assert "alegre" not in printed
        assert "mexicanos" not in printed
    found = json.loads(annot(project, "stereotypes", "pairs", "--json"))
    assert (found["sentences"], found["already_there"], found["left_out"]) == (0, 2, {FEW: 1})
    fresh = rated_project(tmp_path / "other", {association("mexicanos", "alegre"): [4, 5, 3]})
    assert "Los mexicanos son alegres." in annot(fresh, "stereotypes", "pairs", "--show", "--dry-run")


# -- facts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "fact"),
    [
        (association("mexicanos", "alegre"), "Los mexicanos nacieron en México."),
        (association("británicas", "seria"), "Las británicas nacieron en el Reino Unido."),
        (association("chileno", "serio"), "El chileno típico nació en Chile."),
        (association("yucatecos", "alegre"), "Los yucatecos nacieron en Yucatán."),
        (association("brasileiros", "alegre", "pt"), "Os brasileiros nasceram no Brasil."),
        (association("portuguesa", "séria", "pt"), "A portuguesa típica nasceu em Portugal."),
        (association("americanos", "alegre", "pt"), "Os americanos nasceram nos Estados Unidos."),
        (association("argentinas", "alegre", "pt"), "As argentinas nasceram na Argentina."),
    ],
)
def test_a_fact_is_true_of_the_target_and_not_of_the_control(one: Association, fact: str) -> None:
    made = pairs(one)
    found = facts(made)
    assert {pair.sentence for pair in found} == {fact}
    compared = {(pair.identity, pair.control_identity) for pair in made}
    assert {(pair.identity, pair.control_identity) for pair in found} == compared
    assert len(found) == len(compared) == len({pair.id for pair in found})
    for pair in found:
        control = identity_of(pair.control_identity, one.language)
        assert control is not None
        assert pair.attribute not in name_of_place(control.place, one.language)
        assert pair.control_sentence == fact.replace(pair.identity, pair.control_identity)
        assert (pair.template, pair.association, pair.raters) == (f"fact-{one.language}", "", 0)


@pytest.mark.parametrize(
    ("one", "first", "template"),
    [
        (association("mexicanas", "alegre"), "Las mexicanas respiran aire.", "harmless-es"),
        (association("chileno", "serio"), "El chileno típico respira aire.", "harmless-es"),
        (association("brasileiros", "alegre", "pt"), "Os brasileiros respiram ar.", "harmless-pt"),
        (association("portuguesa", "séria", "pt"), "A portuguesa típica respira ar.", "harmless-pt"),
    ],
)
def test_what_is_harmless_is_said_of_both_groups_of_every_pair(one: Association, first: str, template: str) -> None:
    made = pairs(one)
    found = harmless([*made, *made])
    compared = {(pair.identity, pair.control_identity) for pair in made}
    assert len(found) == len({pair.id for pair in found}) == len(HARMLESS[one.language]) * len(compared)
    assert {(pair.identity, pair.control_identity) for pair in found} == compared
    assert {(pair.template, pair.association, pair.raters) for pair in found} == {(template, "", 0)}
    assert {pair.sentence for pair in found if pair.attribute == found[0].attribute} == {first}
    for pair in found:
        assert pair.control_sentence == pair.sentence.replace(pair.identity, pair.control_identity)


def test_names_of_countries_give_no_fact() -> None:
    made = pairs(association("Bolivia", "", frame="En * toda la gente canta."))
    assert made
    assert facts(made) == harmless(made) == []
    assert facts([replace(made[0], identity="capitalinos")]) == []
