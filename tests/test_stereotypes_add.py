"""`annot stereotypes add`: what comes in of each set, what is left out, who is asked, and what is never shown."""

from __future__ import annotations

import ast
import csv
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import hostile
import openpyxl
import pytest
from campaigns import kills
from projects import annot, make_project
from test_older_projects import MOMENTS, old_project

from annotation.errors import SettingsError, SourceError
from annotation.project import Project
from annotation.stereotypes.add import add_stereotypes
from annotation.stereotypes.file_ratings import FileRating, count_file_ratings, file_ratings
from annotation.stereotypes.groups import group_in
from annotation.stereotypes.remove import remove_stereotypes
from annotation.tasks.stereotype.item import NAME, association_of
from annotation.types import Association, Item, Person

DATA = Path(__file__).parents[2] / "shared" / "data" / "stereotypes"
KILLS = kills(3, 24)

needs_data = pytest.mark.skipif(
    not DATA.exists(), reason=f"{DATA} is not here: public trial data is not in the repository"
)

PLAIN = ("identity", "attribute", "language")
LACES = (
    *("annotator_nationalities", "annotator_regions", "annotator_understood_languages", "data_point_nationality"),
    *("data_point_attribute", "data_point_language", "stereotype_score", "new_association"),
)
HESEIA = ("phrase", "word_list", "age", "gender", "tipo_de_sesgo_explorado")


def write(path: Path, head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([head, *rows])
    return str(path)


def items(project: Project) -> list[Item]:
    return project.ledger.items(NAME)


def associations(project: Project) -> dict[str, Association]:
    return {one.id: one for one in map(association_of, items(project))}


def said(project: Project) -> dict[str, dict[str, dict[str, int]]]:
    """Text -> region -> what a file says of it."""
    texts = associations(project)
    found: dict[str, dict[str, dict[str, int]]] = {}
    for (association, region), counts in count_file_ratings(file_ratings(project.ledger)).items():
        found.setdefault(texts[association].text, {})[region] = counts
    return found


def laces_row(nations: str, country: str, attribute: str, score: str, new: str = "False") -> tuple[str, ...]:
    return (nations, "[]", "['es']", country, attribute, "es", score, new)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(
        tmp_path / "p", '[project]\ncountries = ["MX", "AR", "BR"]\nlanguages = ["es", "pt"]\nseed = 7\n'
    )


# -- each form ---------------------------------------------------------------------------------------------------------


@needs_data
@pytest.mark.parametrize(("locale", "region", "asked"), [("es_MX", "MX", ["AR", "MX"]), ("pt_BR", "BR", ["BR"])])
def test_every_row_of_seegull_comes_with_its_counts_and_the_region_of_its_raters(
    project: Project, locale: str, region: str, asked: list[str]
) -> None:
    source = DATA / f"seegull_ml_stereotypes_{locale}.csv"
    with source.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    added = add_stereotypes(project, [str(source)])
    assert (added.rows, len(added.kept), added.ratings, added.dropped) == (len(rows), len(rows), len(rows), ())
    assert {item.country for item in items(project)} == set(asked)
    known = associations(project)
    back = {
        (known[one.association].identity, known[one.association].attribute): (one.regions, one.value)
        for one in file_ratings(project.ledger)
    }
    assert back == {
        (row["identity"], row["attribute"]): (
            (region,),
            {
                "counts": {name: int(row[name]) for name in ("stereotype", "non_stereotype", "unsure")},
                "offensive": float(row["mean_offensive_score"]),
                "raters": 3,
            },
        )
        for row in rows
    }
    assert {one.licence for one in known.values()} == {"CC-BY-4.0"}
    named = sum(bool(one.target) for one in known.values()) / len(known)
    assert named > 0.9  # the groups of these sets are peoples, and the lexicon knows them


@needs_data
def test_laces_keeps_skips_and_what_people_shared_apart_from_ratings(project: Project) -> None:
    source = DATA / "laces_sample_40.csv"
    with source.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    added = add_stereotypes(project, [str(source)], for_countries=["MX"])
    assert (added.rows, added.ratings, added.dropped) == (40, 40, ())
    kinds = Counter(next(iter(one.value)) for one in file_ratings(project.ledger))
    assert kinds == {
        "shared": sum(row["new_association"] == "True" for row in rows),
        "skipped": sum(not row["stereotype_score"] and row["new_association"] == "False" for row in rows),
        "known": sum(bool(row["stereotype_score"]) and row["new_association"] == "False" for row in rows),
    }
    assert kinds["shared"] > 0 < kinds["skipped"]
    people = Counter(nation for row in rows for nation in set(ast.literal_eval(row["annotator_nationalities"])))
    named = {"Uruguay": "UY", "Argentina": "AR", "Peru": "PE", "Brazil": "BR", "Cuba": "CU", "Mexico": "MX"}
    named |= {"Colombia": "CO", "Venezuela": "VE"}
    assert {region: sum(counts.values()) for region, counts in added.regions.items()} == {
        named[nation]: count for nation, count in people.items()
    }
    by_text = {one.text: one for one in associations(project).values()}
    assert by_text["Noruega – son personas sin gracia"].target == "NO"
    assert {one.licence for one in by_text.values()} == {"CC-BY-SA-4.0"}
    assert said(project)["Suiza – gusto por el queso"] == {"CO": {"shared": 1}, "VE": {"shared": 1}}


def test_whoever_has_two_nationalities_counts_once_in_each_and_an_unknown_one_is_kept(
    project: Project, tmp_path: Path
) -> None:
    rows = [
        laces_row("['Peru', 'Brazil', 'Peru']", "Argentina", "toman mate", "4.0"),
        laces_row("['Narnia']", "Argentina", "Toman mate", "2.0"),
        laces_row("[]", "Argentina", "toman mate", ""),
        laces_row("Chile", "Argentina", "toman mate", "5.0", "True"),
        laces_row("['Peru']", "Argentina", "toman mate", "9.0"),
    ]
    added = add_stereotypes(project, [write(tmp_path / "laces.csv", LACES, rows)])
    assert said(project) == {
        "Argentina – toman mate": {
            "PE": {"4": 1},
            "BR": {"4": 1},
            "": {"2": 1, "skipped": 1},
            "CL": {"shared": 1},
        }
    }
    assert [(drop.id, drop.reason) for drop in added.dropped] == [("laces.csv:6", "a score that is none from 1 to 5")]


def test_two_people_who_say_the_same_are_two_and_a_file_read_again_in_another_order_adds_nobody(
    project: Project, tmp_path: Path
) -> None:
    rows = [laces_row("['Peru']", "Argentina", "toman mate", "4.0")] * 2
    rows.append(laces_row("['Chile']", "Argentina", "llegan tarde", "3.0"))
    add_stereotypes(project, [write(tmp_path / "laces.csv", LACES, rows)])
    again = add_stereotypes(project, [write(tmp_path / "laces.csv", LACES, rows[::-1])])
    assert (len(again.kept), again.already_there, again.ratings) == (0, 2, 0)
    assert said(project)["Argentina – toman mate"] == {"PE": {"4": 2}}


HESEIA_ROWS = [
    ("Las * manejan peor que los varones", "['varones', 'mujeres']", "", "", "['Género', 'Orientación sexual']"),
    ("Los niños * mas que las niñas", "['pelean', 'juegan']", "14.0", "F", "['Género']"),
    ("Los * conocen de Física", "['uruguayos', 'docentes', 'pizarrones']", "16.0", "M", "[None]"),
    ("los (*) llegan tarde .", "['los vecinos', 'los abogados.']", "", "X", "['Profesión']"),
    ("* viven mejor", "['Argentina', 'las argentinas']", "", "", "['Nacionalidad']"),
    ("Las mujeres son *", "['altas', 'amables']", "", "", "['Apariencia Física']"),
    ("Os * chegam sempre atrasados na festa junina", "['paulistas', 'cadeiras']", "", "", "['Nacionalidad']"),
    ("Los toman mate", "['uruguayos']", "", "", "['Nacionalidad']"),
    ("Los * toman mate", "uruguayos", "", "", "['Nacionalidad']"),
]


def test_a_sentence_of_heseia_is_asked_about_with_every_group_that_its_blank_holds(
    project: Project, tmp_path: Path
) -> None:
    added = add_stereotypes(project, [write(tmp_path / "raw_dataset.csv", HESEIA, HESEIA_ROWS)])
    found = {(one.language, one.text, one.target, one.licence) for one in associations(project).values()}
    assert found == {
        ("es", "Las mujeres manejan peor que los varones", "", "CC-BY-SA-4.0"),
        ("es", "Los uruguayos conocen de Física", "UY", "CC-BY-SA-4.0"),
        ("es", "Los docentes conocen de Física", "", "CC-BY-SA-4.0"),
        ("es", "los abogados llegan tarde.", "", "CC-BY-SA-4.0"),
        ("es", "las argentinas viven mejor", "AR", "CC-BY-SA-4.0"),
        ("pt", "Os paulistas chegam sempre atrasados na festa junina", "BR", "CC-BY-SA-4.0"),
    }
    assert all(not one.attribute and one.frame.count("*") == 1 for one in associations(project).values())
    assert [(drop.id.partition(":")[2], drop.reason) for drop in added.dropped] == [
        ("2 word 1", "a word in another gender or number than its sentence"),
        ("3", "no group of people in the blank"),
        ("4 word 3", "a word that names no group of people"),
        ("5 word 1", "a word that names no group of people"),
        ("6 word 1", "a word that names no group of people"),
        ("7", "no group of people in the blank"),
        ("8 word 2", "a word that names no group of people"),
        ("9", "a sentence without a blank, or with several"),
        ("10", "no list of words for the blank"),
    ]
    # Which word the stereotype is about, nobody says; who wrote it is nobody's business.
    assert file_ratings(project.ledger) == []
    assert not {"14.0", "16.0", "F", "X"} & {cell for item in items(project) for cell in item.content.values()}


@pytest.mark.parametrize(
    ("phrase", "words", "language", "stands"),
    [
        ("Los * bailan", "jubilados", "es", "jubilados"),
        ("Los * bailan", "los jubilados", "es", "jubilados"),
        ("* bailan", "los jubilados", "es", "los jubilados"),
        ("Las personas * bailan", "mayores", "es", "mayores"),
        ("Los * bailan", "adultos mayores", "es", "adultos mayores"),
        ("Los * bailan", "deportistas", "es", "deportistas"),
        ("Las * bailan", "deportistas", "es", "deportistas"),
        ("La mayoría de * bailan", "jóvenes", "es", "jóvenes"),
        ("Los * bailan", "jubiladas", "es", ""),
        ("El * baila", "jubilados", "es", ""),
        ("Los * bailan", "las jubiladas", "es", ""),
        ("* bailan", "jubilado", "es", ""),
        ("Ellos * en la plaza", "jubilados", "es", ""),
        ("Los * bailan", "árboles", "es", ""),
        ("Los * bailan", "jóvenes o adultos", "es", ""),
        ("Los * bailan", "x" * 500, "es", ""),
        ("As * dançam", "idosas", "pt", "idosas"),
        ("As * dançam", "mulheres", "pt", "mulheres"),
        ("Os * dançam", "mulheres", "pt", ""),
        ("* dance well", "young people", "en", "young people"),
        ("The * dance well", "trees", "en", ""),
    ],
)
def test_a_word_stands_in_a_blank_if_it_names_a_group_and_agrees(
    phrase: str, words: str, language: str, stands: str
) -> None:
    if stands:
        assert group_in(phrase, words, language) == stands
    else:
        with pytest.raises(ValueError, match=r"^a word "):
            group_in(phrase, words, language)


PLAIN_TABLES: dict[str, Any] = {
    "es.csv": (("Grupo", "Atributo", "Idioma", "País", "Licencia", "Fuente"),),
    "pt.csv": (("Identidade", "Associação", "Língua", "País", "Licença", "Fonte"),),
    "en.csv": (("Identity", "Attribute", "Language", "Country", "License", "Source"),),
    "a.json": (("identity", "attribute", "language", "country", "licence", "source"),),
    "a.jsonl": (("identity", "attribute", "language", "country", "licence", "source"),),
    "a.xlsx": (("identity", "attribute", "language", "country", "licence", "source"),),
}


@pytest.mark.parametrize("name", PLAIN_TABLES)
def test_a_plain_table_is_read_in_any_format_under_the_usual_names_of_its_columns(
    project: Project, tmp_path: Path, name: str
) -> None:
    head, path = PLAIN_TABLES[name][0], tmp_path / name
    rows = [("uruguayos", "toman mate", "español", "Argentina", "CC0-1.0", "encuesta 2024")]
    rows.append(("chilenas", "cantan bien", "es", "", "", ""))
    if name.endswith(".csv"):
        write(path, head, rows)
    elif name.endswith(".xlsx"):
        book = openpyxl.Workbook()
        for line in (head, *rows):
            book.active.append(line)
        book.save(path)
    else:
        listed = [dict(zip(head, row, strict=True)) for row in rows]
        text = json.dumps(listed) if name == "a.json" else "\n".join(map(json.dumps, listed))
        path.write_text(text, encoding="utf-8")
    added = add_stereotypes(project, [str(path)], licence="CC-BY-4.0")
    found = {one.identity: one for one in associations(project).values()}
    assert (found["uruguayos"].target, found["uruguayos"].licence) == ("UY", "CC0-1.0")
    assert found["uruguayos"].source.endswith(" (encuesta 2024)")
    other = found["chilenas"]
    assert (other.target, other.licence, other.language) == ("CL", "CC-BY-4.0", "es")
    assert said(project) == {"uruguayos – toman mate": {"AR": {"shared": 1}}}
    assert added.dropped == ()


def test_a_language_that_nobody_says_leaves_a_row_out_with_the_remedy(project: Project, tmp_path: Path) -> None:
    source = write(tmp_path / "a.csv", ("identity", "attribute"), [("uruguayos", "toman mate")])
    assert [drop.reason for drop in add_stereotypes(project, [source]).dropped] == ["nobody says in which language"]
    assert len(add_stereotypes(project, [source], language="español").kept) == 1
    named = write(tmp_path / "vecinos_es_AR.csv", ("identity", "attribute"), [("cubanas", "cantan bien")])
    upstream = write(tmp_path / "Portuguese (pt) in Brazil.csv", ("identity", "attribute"), [("cariocas", "cantam")])
    add_stereotypes(project, [named, upstream], language="en", country="MX")
    assert said(project) == {
        "cubanas – cantan bien": {"AR": {"shared": 1}},
        "cariocas – cantam": {"BR": {"shared": 1}},
    }


def test_a_set_without_a_licence_is_said(project: Project, tmp_path: Path) -> None:
    source = write(tmp_path / "a.csv", PLAIN, [("uruguayos", "toman mate", "es")])
    assert add_stereotypes(project, [source]).notices == (
        "a.csv: 1 without a licence: say with --licence under which they may be given on",
    )


# -- what is left out, merged, cleaned ---------------------------------------------------------------------------------


def test_duplicates_merge_whatever_their_capitals_and_near_ones_stay(project: Project, tmp_path: Path) -> None:
    rows = [("Uruguayos", "toman mate", "es"), ("uruguayos", "TOMAN  mate ", "es"), ("uruguayos", "toman mates", "es")]
    other = write(tmp_path / "b.csv", PLAIN, rows[1:2])
    added = add_stereotypes(project, [write(tmp_path / "a.csv", PLAIN, rows), other])
    assert [one.text for one in added.kept] == ["Uruguayos – toman mate", "uruguayos – toman mates"]
    assert added.kept[0].source == "a.csv:2"
    assert added.dropped == ()


def test_personal_data_is_masked_and_columns_that_name_people_are_not_kept(project: Project, tmp_path: Path) -> None:
    head = (*PLAIN, "username", "email", "nombre completo")
    row = ("vecinos", "avisan a luna_92 o a luna@example.org", "es", "luna_92", "luna@example.org", "Luna Paz")
    add_stereotypes(project, [write(tmp_path / "a.csv", head, [row])])
    (text,) = {one.text for one in associations(project).values()}
    assert text == "vecinos – avisan a [user] o a [email]"
    assert "luna" not in str([[*row] for row in project.ledger.rows("select * from items")]).casefold()


def test_hostile_texts_are_kept_as_texts_without_what_nobody_sees(project: Project, tmp_path: Path) -> None:
    short = [text for text in hostile.ALL if len(text) <= 300]
    rows = [(f"grupo {number}", text, "es") for number, text in enumerate(hostile.ALL)]
    rows += [("👩‍👩‍👧 familias", "cantan 🎶", "es"), ("🎶", "cantan", "es"), ("vecinos", "=1+1", "es")]
    rows += [("vecinos", hostile.LONG, "es"), (hostile.LONG, "cantan", "es")]
    rows += [("", "cantan", "es"), ("vecinos", "", "es")]
    source = write(tmp_path / "a.csv", PLAIN, rows)
    out = annot(project, "stereotypes", "add", source)
    kept = associations(project)
    assert len(kept) == len(short) + 1 > 10
    assert not any(sign in one.text for one in kept.values() for sign in "\u202e\u200b\u2066\u00ad")
    assert any("<script>" in one.attribute for one in kept.values())
    assert any(one.identity == "👩‍👩‍👧 familias" for one in kept.values())
    assert Counter(drop.reason for drop in project.ledger.dropped("stereotypes")) == {
        "a text of more than 300 characters": 2 + len(hostile.ALL) - len(short),
        "a text without a word": 1,
        "a formula of a spreadsheet": 1,
        "no group is named": 1,
        "nothing is said of the group": 1,
    }
    assert "brokenIn" not in out


@pytest.mark.parametrize(
    "cell",
    [
        "__import__('pathlib').Path('{}').touch()",
        "[__import__('pathlib').Path('{}').touch()]",
        "[" * 100_000 + "]" * 100_000,
        "['Peru'" + ", 'Peru'" * 100_000 + "]",
        "[(lambda: open('{}', 'w'))()]",
        "{{'Peru': 1}}",
        "[1e999999, None, ['Peru']]",
        "",
    ],
)
def test_a_list_in_a_cell_is_read_and_never_run(project: Project, tmp_path: Path, cell: str) -> None:
    mark = tmp_path / "ran"
    hurtful = cell.replace("{}", str(mark))
    rows = [laces_row(hurtful, "Argentina", "toman mate", "4.0")]
    add_stereotypes(project, [write(tmp_path / "laces.csv", LACES, rows)])
    words = [("Los * toman mate", hurtful, "", "", hurtful)]
    add_stereotypes(project, [write(tmp_path / "raw.csv", HESEIA, words)])
    assert not mark.exists()
    regions = [one.regions for one in file_ratings(project.ledger)]
    assert regions == [("PE",) if cell.startswith("['Peru'") else ("",)]


BROKEN: dict[str, tuple[str, bytes, str]] = {
    "empty": ("a.csv", b"", "is empty"),
    "no rows": ("a.csv", b"identity,attribute\n", "no rows"),
    "no head": ("a.csv", b"uruguayos,toman mate,es\ncubanas,cantan bien,es\n", "in its first line, and add one called"),
    "no columns": ("a.csv", b"uno,dos\n1,2\n", "no columns for a group and what is said of it"),
    "filled in": ("a.csv", b"frase,age,gender,tipo_de_sesgo_explorado\na b,1,F,[]\n", "name its raw_dataset.csv"),
    "damaged": ("a.xlsx", b"PK\x03\x04 no workbook", "a.xlsx"),
    "no format": ("a.pdf", b"%PDF", "format that annot does not read"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_source_is_one_sentence_and_nothing_is_written(project: Project, tmp_path: Path, kind: str) -> None:
    name, content, sentence = BROKEN[kind]
    (tmp_path / name).write_bytes(content)
    good = write(tmp_path / "good.csv", PLAIN, [("uruguayos", "toman mate", "es")])
    with pytest.raises(SourceError, match=sentence) as refused:
        add_stereotypes(project, [good, str(tmp_path / name)])
    assert "toman" not in str(refused.value)
    assert items(project) == []


def test_counts_that_are_none_leave_their_row_out(project: Project, tmp_path: Path) -> None:
    head = ("identity", "attribute", "non_stereotype", "stereotype", "unsure", "mean_offensive_score")
    counts: list[tuple[object, ...]] = [(0, 3, 0, -1), (0, 0, 0, 1), (0, "x", 1, 1), (1, -2, 0, 0), (1, 1.5, 0, 0)]
    counts.append((2, 1, "", ""))
    rows = [("uruguayos", f"toman mate {number}", *own) for number, own in enumerate(counts)]
    added = add_stereotypes(project, [write(tmp_path / "seegull_es_MX.csv", head, rows)])
    assert {drop.id: drop.reason for drop in added.dropped} == {
        f"seegull_es_MX.csv:{line}": "counts of raters that are no numbers, or all zero" for line in (3, 4, 5, 6)
    }
    assert [one.value for one in file_ratings(project.ledger)] == [
        {"counts": {"stereotype": 3, "non_stereotype": 0, "unsure": 0}, "offensive": -1, "raters": 3},
        {"counts": {"stereotype": 1, "non_stereotype": 2}, "raters": 3},
    ]


# -- who is asked, and in which order ----------------------------------------------------------------------------------


def test_the_countries_that_speak_a_language_are_asked_and_others_only_where_said(
    project: Project, tmp_path: Path
) -> None:
    rows = [("uruguayos", "toman mate", "es"), ("paulistas", "chegam cedo", "pt"), ("Canada", "sing well", "en")]
    source = write(tmp_path / "a.csv", PLAIN, rows)
    added = add_stereotypes(project, [source])
    assert added.asked == {"MX": 1, "AR": 1, "BR": 1}
    assert [(drop.id, drop.reason) for drop in added.dropped] == [
        ("a.csv:4", "nobody is asked about texts in its language")
    ]
    later = add_stereotypes(project, [source], for_countries=["México"])
    assert (later.asked, later.already_there) == ({"MX": 2}, 1)
    with pytest.raises(SettingsError, match=r'--for "CL" is none of project.countries \(MX, AR, BR\)'):
        add_stereotypes(project, [source], for_countries=["CL"])
    assert len(items(project)) == 5
    assert {item.topic for item in items(project)} == {"UY", "BR", "CA"}


def test_what_was_forgotten_is_not_read_again(project: Project, tmp_path: Path) -> None:
    rows = [("uruguayos", "toman mate", "es"), ("cubanas", "cantan bien", "es")]
    source = write(tmp_path / "a.csv", PLAIN, rows)
    gone = Association.make("Uruguayos", "toman mate", "es").id
    with project.ledger.transaction() as db:
        db.execute(
            "insert into forgotten (kind, id, marks, reason, at) values ('association', ?, '[]', '', '')", (gone,)
        )
    added = add_stereotypes(project, [source], country="MX")
    assert [(drop.id, drop.reason) for drop in added.dropped] == [("a.csv:2", "forgotten for good")]
    assert ({one.identity for one in associations(project).values()}, added.ratings) == ({"cubanas"}, 1)


def many(sizes: dict[str, int]) -> list[tuple[str, str, str]]:
    return [(group, f"cantan {number} veces", "es") for group, size in sizes.items() for number in range(size)]


def test_a_limit_draws_the_same_evenly_over_the_groups_and_a_larger_one_adds_to_it(
    project: Project, tmp_path: Path
) -> None:
    rows = many({"uruguayos": 50, "chilenos": 30, "peruanos": 4, "vecinos": 20})
    source = write(tmp_path / "a.csv", PLAIN, rows)
    first = add_stereotypes(project, [source], limit=24)
    assert sorted(Counter(one.identity for one in first.kept).values()) == [4, 6, 7, 7]
    shuffled = write(tmp_path / "a.csv", PLAIN, random.Random(1).sample(rows, len(rows)))
    assert add_stereotypes(project, [shuffled], limit=24).kept == ()
    more = add_stereotypes(project, [source], limit=40)
    assert (len(more.kept), more.already_there) == (16, 24)
    assert Counter(drop.reason for drop in more.dropped) == {"beyond --limit": 64}


def test_groups_take_turns_so_that_nobody_meets_many_about_one_in_a_row(project: Project, tmp_path: Path) -> None:
    rows = many({"uruguayos": 120, "chilenos": 20, "peruanos": 20, "vecinos": 20})
    add_stereotypes(project, [write(tmp_path / "a.csv", PLAIN, rows)])
    for country in ("MX", "AR"):
        queue = [association_of(item).identity for item in items(project) if item.country == country]
        assert len(queue) == 180
        longest = max(len(list(run)) for _, run in groupby(queue))
        assert longest <= 3  # 120 between 60 others: two, and one of its own turn
        assert len(set(queue[:8])) == 4
    later = write(tmp_path / "b.csv", PLAIN, many({"cubanos": 5}))
    add_stereotypes(project, [later])
    assert {association_of(item).identity for item in items(project)[-10:]} == {"cubanos"}
    assert [item.position for item in items(project)] == list(range(370))


def test_whoever_collected_them_is_named_and_must_be_on_the_team(project: Project, tmp_path: Path) -> None:
    source = write(tmp_path / "a.csv", PLAIN, [("uruguayos", "toman mate", "es")])
    with pytest.raises(SettingsError, match='Nobody called "mx_9"'):
        add_stereotypes(project, [source], author="mx_9")
    project.ledger.add_people([Person("mx_1", "", "annotator", "MX", ("es",))])
    add_stereotypes(project, [source], author="mx_1")
    assert {item.content["author"] for item in items(project)} == {"mx_1"}
    assert {one.author for one in associations(project).values()} == {"mx_1"}


# -- again, and taken back ---------------------------------------------------------------------------------------------


def test_a_dry_run_counts_the_same_and_writes_nothing(project: Project, tmp_path: Path) -> None:
    source = write(tmp_path / "laces.csv", LACES, [laces_row("['Peru']", "Argentina", "toman mate", "4.0")])
    dry = add_stereotypes(project, [source], dry_run=True)
    assert (len(dry.kept), dry.ratings, (project.folder / "ledger.sqlite").exists()) == (1, 1, False)
    add_stereotypes(project, [source])
    again = add_stereotypes(project, [source], for_countries=["BR"], dry_run=True)
    assert (again.asked, again.ratings, len(items(project))) == ({"BR": 1}, 0, 2)


def test_a_source_can_be_taken_out_until_people_are_asked(project: Project, tmp_path: Path) -> None:
    rows = [laces_row("['Peru']", "Argentina", f"toman mate {n}", "4.0") for n in range(3)]
    source = write(tmp_path / "laces (1).csv", LACES, rows)
    added = add_stereotypes(project, [source, write(tmp_path / "b.csv", PLAIN, [("cubanos", "cantan", "es")])])
    first = next(item for item in items(project) if association_of(item).id == added.kept[0].id)
    project.ledger.add_pushes("server", "dataset", {first.id: "record"})
    assert remove_stereotypes(project, source, dry_run=True).removed == 2
    assert len(items(project)) == 8
    gone = remove_stereotypes(project, "laces (1).csv")
    assert gone.sentence() == (
        "2 stereotypes were taken out with 2 ratings of their sources; 1 stay, since people were asked about them."
    )
    assert {one.source for one in associations(project).values()} == {"laces (1).csv:2", "b.csv:2"}
    assert [one.association for one in file_ratings(project.ledger)] == [added.kept[0].id]
    assert remove_stereotypes(project, added.kept[3].id).removed == 1
    with pytest.raises(SettingsError, match=r"No stereotype was read from \"c.csv\".*laces \(1\).csv"):
        remove_stereotypes(project, "c.csv")
    again, _ = add_stereotypes(project, [source]).kept
    project.ledger.remove_items(project.ledger.items_about(again.id))
    remove_stereotypes(project, again.id)
    assert len(add_stereotypes(project, [source]).kept) == 1
    assert not any(item.removed for item in items(project))


ADD = """
import sys
from pathlib import Path
from annotation.project import Project
from annotation.stereotypes.add import add_stereotypes
add_stereotypes(Project.open(Path(sys.argv[1])), [sys.argv[2]])
"""


def state(project: Project) -> list[list[tuple[object, ...]]]:
    """All that adding writes, but for the time."""
    queries = (
        "select id, country, topic, content, position from items order by position",
        "select id, association, regions, value, place from file_ratings order by rowid",
        "select step, id, reason, because_of from dropped order by rowid",
    )
    return [[tuple(row) for row in project.ledger.rows(query)] for query in queries]


@pytest.mark.timeout(600)
def test_killed_anywhere_it_wrote_nothing_and_run_again_it_ends_as_if_undisturbed(tmp_path: Path) -> None:
    rows = [laces_row("['Peru', 'Chile']", "Argentina", f"cantan {n} veces", str(n % 5 + 1)) for n in range(4000)]
    rows += [laces_row("['Peru']", "Argentina", "cantan", "7")]
    source = write(tmp_path / "laces.csv", LACES, rows)
    settings, dice = '[project]\ncountries = ["MX", "AR"]\nlanguages = ["es"]\n', random.Random(5)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    def start(project: Project) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", ADD, project.folder, source], env=environment)

    undisturbed = make_project(tmp_path / "undisturbed", settings)
    assert start(undisturbed).wait(120) == 0
    expected = state(undisturbed)
    assert list(map(len, expected)) == [8000, 4000, 1]
    killed, cut = 0, 0
    while killed < KILLS or not cut:  # At least one comes while rows are written.
        project, enough = make_project(tmp_path / f"disturbed{killed}", settings), dice.randrange(100_000, 2_500_000)
        process, log = start(project), project.folder / "ledger.sqlite-wal"
        while process.poll() is None and not (log.exists() and log.stat().st_size > enough):
            time.sleep(0.0005)
        process.kill()
        process.wait()
        killed += 1
        left = [len(part) for part in state(project)]
        assert left in ([0, 0, 0], [8000, 4000, 1])
        cut += left == [0, 0, 0]
        assert start(project).wait(120) == 0
        assert state(project) == expected


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_older_project_takes_stereotypes_in(tmp_path: Path, moment: str) -> None:
    project = old_project(tmp_path / "p", moment)
    before = len(project.ledger.items())
    country = project.settings.project.countries[0]
    source = write(tmp_path / "laces.csv", LACES, [laces_row("['Peru']", "Argentina", "toman mate", "4.0")])
    add_stereotypes(project, [source], for_countries=[country])
    assert (len(project.ledger.items()), len(items(project)), len(file_ratings(project.ledger))) == (before + 1, 1, 1)


# -- the command -------------------------------------------------------------------------------------------------------


def test_the_command_counts_and_shows_no_text_unless_asked(project: Project, tmp_path: Path) -> None:
    rows = [("uruguayos", "toman mate", "es"), ("cubanos", "cantan bien", "es"), ("vecinos", "", "es")]
    rows.append(("vecinos", "=llegan tarde", "es"))
    source = write(tmp_path / "a.csv", PLAIN, rows)
    shown = annot(project, "stereotypes", "add", source, "--country", "MX", "--dry-run", "--show")
    assert "uruguayos – toman mate" in shown
    listed = json.loads(annot(project, "stereotypes", "add", source, "--dry-run", "--json", "--show"))
    assert [one["attribute"] for one in listed["stereotypes"]] == ["toman mate", "cantan bien"]
    said = [
        annot(project, "stereotypes", "add", source, "--country", "MX", "--json", "--dry-run"),
        annot(project, "stereotypes", "add", source, "--country", "MX"),
        annot(project, "stereotypes", "add", source, "--country", "MX"),
        annot(project, "stereotypes", "remove", "a.csv", "--json"),
    ]
    for text in ("uruguayos", "toman mate", "cubanos", "cantan bien", "vecinos", "llegan tarde"):
        assert not any(text in words for words in said)
    assert "2 new stereotypes from 4 rows of a.csv (plain table); left out: 2; new ratings of the sources" in said[1]
    assert "Nobody sees one of them before they were warned of what it is, and said that they want to." in said[1]
    assert "Next: annot push --task stereotype" in said[1]
    assert "0 new stereotypes from 4 rows of a.csv (plain table); already there: 2; left out: 2." in said[2]
    assert json.loads(said[0])["asked"] == {"MX": 2, "AR": 2}
    assert json.loads(said[3]) == {"removed": 2, "asked": 0, "ratings": 2, "dry_run": False}


def test_the_key_of_a_json_object_is_no_place_that_is_shown(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"uruguayos toman mate": {"identity": "", "attribute": "x", "language": "es"}}))
    assert [drop.id for drop in add_stereotypes(project, [str(path)]).dropped] == ["a.json:row 1"]


def test_counts_of_files_never_mix_what_is_no_rating_into_ratings() -> None:
    rows = [
        FileRating("a", "f", "1", ("MX",), {"known": 5}),
        FileRating("a", "f", "2", ("MX",), {"shared": True}),
        FileRating("a", "f", "3", ("MX", "AR"), {"skipped": True}),
        FileRating("a", "f", "4", ("AR",), {"counts": {"stereotype": 2, "unsure": 1}, "raters": 3, "offensive": 4}),
    ]
    assert count_file_ratings(rows) == {
        ("a", "MX"): {"5": 1, "shared": 1, "skipped": 1},
        ("a", "AR"): {"skipped": 1, "stereotype": 2, "unsure": 1},
    }
