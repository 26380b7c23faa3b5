"""Rows of files in every format, and one clear sentence for every kind of damage."""

import csv
import gzip
import http.server
import io
import json
import os
import random
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation.errors import SourceError
from annotation.reading.hub import read_dataset
from annotation.reading.rows import Limits, Table
from annotation.reading.table import read_table

ROWS = [
    {"pregunta": "¿Qué se desayuna en Oaxaca?", "país": "México"},
    {"pregunta": 'El "mole", ¿de dónde viene;\ny quién lo inventó?', "país": "México"},
    {"pregunta": "O que é farofa, afinal?", "país": "Brasil"},
]


def as_csv(delimiter: str = ",", rows: list[dict[str, str]] = ROWS) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def as_xlsx(path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(list(ROWS[0]))
    for row in ROWS:
        book.active.append(list(row.values()))
    book.save(path)


def as_parquet(path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(ROWS), path)


def jsonl(rows: object = ROWS) -> str:
    assert isinstance(rows, list)
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


WRITERS: dict[str, Callable[[Path], object]] = {
    "a.csv": lambda path: path.write_text(as_csv(), encoding="utf-8"),
    "semicolons.csv": lambda path: path.write_text(as_csv(";"), encoding="utf-8"),
    "excel.csv": lambda path: path.write_text("sep=;\r\n" + as_csv(";"), encoding="utf-8-sig"),
    "utf16.csv": lambda path: path.write_text(as_csv("\t"), encoding="utf-16"),
    "unmarked.csv": lambda path: path.write_bytes(as_csv().encode("utf-16-le")),
    "utf32.csv": lambda path: path.write_text(as_csv(), encoding="utf-32"),
    "spaced.csv": lambda path: path.write_text("\n\n" + as_csv().replace("\r\n", ",,\r\n\r\n", 1), encoding="utf-8"),
    "packed.csv.gz": lambda path: path.write_bytes(gzip.compress(as_csv().encode())),
    "a.tsv": lambda path: path.write_text(as_csv("\t"), encoding="utf-8"),
    "list.json": lambda path: path.write_text(json.dumps(ROWS), encoding="utf-8"),
    "keyed.json": lambda path: path.write_text(
        json.dumps({f"k{n}": row for n, row in enumerate(ROWS)}), encoding="utf-8"
    ),
    "data.json": lambda path: path.write_text(json.dumps({"version": 1, "data": ROWS}), encoding="utf-8"),
    "lines.json": lambda path: path.write_text(jsonl(), encoding="utf-8"),
    "a.jsonl": lambda path: path.write_text(jsonl(), encoding="utf-8-sig"),
    "packed.jsonl.gz": lambda path: path.write_bytes(gzip.compress(jsonl().encode())),
    "A.JSONL": lambda path: path.write_text(jsonl().replace("\n", "\n\n"), encoding="utf-8"),
    "a.parquet": as_parquet,
    "a.xlsx": as_xlsx,
}


def values(table: Table) -> list[dict[str, object]]:
    return [dict(row.values) for row in table.rows]


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name)
    table = read_table(str(tmp_path / name))
    assert table.name == name
    assert table.columns == ("pregunta", "país")
    assert [{k: str(v).replace("\r\n", "\n") for k, v in row.items()} for row in values(table)] == ROWS
    assert table.notices == ()


@pytest.mark.parametrize(
    ("name", "places"),
    {
        "a.csv": ["2", "3", "5"],  # The second row has a line break in a cell.
        "excel.csv": ["3", "4", "6"],
        "a.jsonl": ["1", "2", "3"],
        "A.JSONL": ["1", "3", "5"],
        "list.json": ["1", "2", "3"],
        "keyed.json": ["k0", "k1", "k2"],
        "a.parquet": ["1", "2", "3"],
        "a.xlsx": ["2", "3", "4"],
    }.items(),
)
def test_a_row_knows_where_a_person_finds_it(tmp_path: Path, name: str, places: list[str]) -> None:
    WRITERS[name](tmp_path / name)
    assert [row.place for row in read_table(str(tmp_path / name)).rows] == places


def test_a_list_of_strings_is_a_list_of_prompts(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('["¿Qué?", "¿Cómo?"]', encoding="utf-8")
    assert values(read_table(str(tmp_path / "a.json"))) == [{"prompt": "¿Qué?"}, {"prompt": "¿Cómo?"}]


def test_a_country_code_that_spells_not_available_stays_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("prompt,country\n¿Qué se come en Windhoek?,NA\nnan,null\n", encoding="utf-8")
    assert [row["country"] for row in values(read_table(str(tmp_path / "a.csv")))] == ["NA", "null"]


# -- encodings ----------------------------------------------------------------------------------------------


def test_windows_1252_is_read_and_said(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("pregunta;país\nHola;México\n“¿Qué es el año nuevo?”;España\n".encode("cp1252"))
    table = read_table(str(path))
    assert values(table)[1] == {"pregunta": "“¿Qué es el año nuevo?”", "país": "España"}
    (notice,) = table.notices
    assert "line 1" in notice
    assert "Windows-1252" in notice


@pytest.mark.parametrize("encoding", ["mac_roman", "cp850"])
def test_an_encoding_that_would_give_wrong_letters_is_refused_with_its_line(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(
        "prompt\nhola\n¿Cuál es la canción más conocida del año? También ésta, según él\n".encode(encoding)
    )
    with pytest.raises(SourceError, match=r"a\.csv, line 3 is neither UTF-8 nor Windows-1252.*save it as UTF-8"):
        read_table(str(path))


def test_one_damaged_line_in_a_utf_8_file_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    lines = ["prompt", *(f"¿Qué tradición número {n} hay en México?" for n in range(40))]
    content = "\n".join(lines).encode()
    at = content.index("¿Qué tradición número 20 ".encode())
    path.write_bytes(content[:at] + b"\xf3" + content[at:])
    with pytest.raises(SourceError, match=r"line 22 is damaged: it is not UTF-8 although most"):
        read_table(str(path))


def test_a_file_cut_inside_a_letter_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes('{"prompt": "¿Qué es ésto aquí?"}\n{"prompt": "¿Qué es así'.encode()[:-1])
    with pytest.raises(SourceError, match=r"line 2 is damaged"):
        read_table(str(path))


def test_a_nul_byte_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"prompt,country\nuna pregunta larga,MX\notra\0pregunta,MX\n")
    with pytest.raises(SourceError, match=r"line 3 holds a NUL byte"):
        read_table(str(path))


def test_half_a_utf_16_letter_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(as_csv().encode("utf-16")[:-1])
    with pytest.raises(SourceError, match=r"a\.csv is not whole UTF-16 text"):
        read_table(str(path))


# -- damage -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"", "is empty"),
        ("a.jsonl", b"", "is empty"),
        ("a.parquet", b"", "is empty"),
        ("a.csv", b"prompt,country\n", "holds no rows below its header"),
        ("a.csv", b"\n\n\n", "holds no rows"),
        ("a.json", b"[]", "holds no rows"),
        ("a.json", b"{}", "holds no rows"),
        (
            "a.csv",
            b"prompt,country\nhola,MX\nhola,que tal,MX\n",
            "line 3 does not fit the header (cells: 3, columns: 2)",
        ),
        ("a.csv", b"prompt,country\nhola\n", "line 2 does not fit the header (cells: 1, columns: 2)"),
        ("a.csv", b'prompt,country\n"hola,MX\nadios,MX\n', "line 2 opens a quotation mark"),
        ("a.csv", b'prompt,country\nhola,MX\n"hola,MX\n"adios",MX\n', "line 3 opens a quotation mark"),
        ("a.csv", b"prompt,prompt\na,b\n", 'two columns called "prompt"'),
        ("a.json", b'[{"prompt": "hola"}, {"prompt": "adi', "line 1, column 33 is no valid JSON"),
        ("a.json", b'{\n"a": {"prompt": "hola"},\n"b": }', "line 3, column 6 is no valid JSON"),
        ("a.json", b'{"prompt": "hola", "country": "MX"}', "holds no rows that annot knows"),
        ("a.json", b"[1, 2]", "item 1 is no object"),
        ("a.json", b"[" * 100_000, "a.json"),
        ("a.json", b'[{"prompt": ' + b"9" * 5000 + b"}]", "holds JSON that nobody means"),
        ("a.jsonl", b'{"prompt": "hola"}\n{"prompt": adios}\n', "line 2, column 12 is no valid JSON"),
        ("a.jsonl", b'{"prompt": "hola"}\n[1]\n', "line 2 is no object"),
        ("a.csv.gz", b"prompt\nhola\n", "cut off or no gzip file"),
        ("a.csv.gz", gzip.compress(b"prompt\nhola que tal\n" * 99, mtime=0)[:-9], "cut off or no gzip file"),
        ("a.csv", gzip.compress(b"prompt\nhola\n", mtime=0), "is named .csv but is a gzip file"),
        ("a.csv", b"PK\x03\x04rest", "is a zip or Excel file"),
        ("a.tsv", b"%PDF-1.7", "is a PDF"),
        ("a.json", b"PAR1....", "is a parquet file"),
        ("a.xlsx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old Excel file or has a password"),
        ("a.xlsx", b"prompt,country\n", "cut off or no .xlsx file"),
        ("a.parquet", b"PAR1 but not much", "cut off, damaged or no parquet file"),
        ("a.xls", b"whatever", "has a format that annot does not read"),
        ("a.txt", b"hola\n", "has a format that annot does not read"),
        ("a.zip", b"PK\x03\x04", "has a format that annot does not read"),
        ("a.parquet.gz", b"PAR1", "has a format that annot does not read"),
        ("noname", b"hola", "has a format that annot does not read"),
    ],
    # Without the content: what gzip makes holds the second.
    ids=lambda value: "" if isinstance(value, bytes) else None,
)
def test_damage_is_one_sentence_with_the_place(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError) as caught:
        read_table(str(tmp_path / name))
    sentence = str(caught.value)
    assert said in sentence
    assert name in sentence
    assert "\n" not in sentence
    assert len(sentence) < 400 + 2 * len(str(tmp_path))


@pytest.mark.parametrize("name", ["a.xlsx", "a.parquet", "packed.jsonl.gz"])
def test_a_binary_file_cut_or_changed_anywhere_is_a_sentence_or_read(tmp_path: Path, name: str) -> None:
    """No cut and no changed byte may end in anything but rows or a SourceError."""
    whole, path = tmp_path / name, tmp_path / f"damaged-{name}"
    WRITERS[name](whole)
    content = whole.read_bytes()
    chance = random.Random(5)
    refused = 0
    for trial in range(120):
        damaged = bytearray(content)
        if trial % 2:
            del damaged[chance.randrange(1, len(content)) :]
        else:
            for _ in range(chance.randint(1, 20)):
                damaged[chance.randrange(len(content))] = chance.randrange(256)
        path.write_bytes(damaged)
        try:
            assert read_table(str(path)).rows
        except SourceError:
            refused += 1
    assert refused >= 60


@settings(max_examples=150, deadline=None)
@given(content=st.binary(max_size=300), name=st.sampled_from(["a.csv", "a.tsv", "a.json", "a.jsonl"]))
def test_any_bytes_are_rows_or_a_sentence(tmp_path_factory: pytest.TempPathFactory, content: bytes, name: str) -> None:
    path = tmp_path_factory.mktemp("any") / name
    path.write_bytes(content)
    refusal = ""
    try:
        assert read_table(str(path)).rows
    except SourceError as error:
        refusal = str(error)
    assert not refusal or name in refusal


# -- size ---------------------------------------------------------------------------------------------------

SMALL = Limits(line=1000, total=10_000)


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.csv.gz"])
def test_a_line_without_an_end_is_refused_with_its_number(tmp_path: Path, name: str) -> None:
    content = b"prompt\nhola que tal\n" + b"a" * 5000
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    with pytest.raises(SourceError, match=r"line 3 is longer than 1000 bytes"):
        read_table(str(tmp_path / name), limits=SMALL)


def test_a_huge_line_is_refused_after_its_first_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with path.open("wb") as file:
        file.write(b"prompt\n")
        for _ in range(64):
            file.write(b"x" * 2**20)
    # Had more of it been read, the limit on the whole would have spoken.
    with pytest.raises(SourceError, match=r"line 2 is longer than 4 MiB"):
        read_table(str(path), limits=Limits(total=8 * 2**20))


def test_a_file_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b'{"prompt": "hola"}\n' * 100_000))
    with pytest.raises(SourceError, match=r"holds more than 10000 bytes of text; split it"):
        read_table(str(tmp_path / "a.jsonl.gz"), limits=SMALL)


def test_a_json_document_in_one_line_has_the_limit_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps([{"prompt": "x" * 200}] * 30), encoding="utf-8")
    assert len(read_table(str(tmp_path / "a.json"), limits=SMALL).rows) == 30
    with pytest.raises(SourceError, match="holds more than 5000 bytes"):
        read_table(str(tmp_path / "a.json"), limits=Limits(line=1000, total=5000))


def test_an_open_quotation_mark_does_not_swallow_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('prompt\n"hola\n' + "otra línea\n" * 500, encoding="utf-8")
    with pytest.raises(SourceError, match="line 2 opens a quotation mark"):
        read_table(str(tmp_path / "a.csv"), limits=SMALL)


def test_a_sheet_and_a_parquet_file_that_unpack_to_too_much_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.xlsx", "w", zipfile.ZIP_DEFLATED) as parts:
        parts.writestr("xl/worksheets/sheet1.xml", b"0" * 20_000)
    with pytest.raises(SourceError, match="unpacks to more than 10000 bytes"):
        read_table(str(tmp_path / "a.xlsx"), limits=SMALL)
    words = [f"una pregunta con el número {n}" for n in range(2000)]
    pq.write_table(pa.table({"prompt": words}), tmp_path / "a.parquet")
    with pytest.raises(SourceError, match="holds more than 10000 bytes"):
        read_table(str(tmp_path / "a.parquet"), limits=SMALL)


# -- places that are no files -------------------------------------------------------------------------------


def test_a_file_that_is_not_there_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "questions.csv").write_text("prompt\nhola\n", encoding="utf-8")
    with pytest.raises(SourceError, match=r'There is no file .*questons\.csv; did you mean "questions\.csv"'):
        read_table(str(tmp_path / "questons.csv"))
    with pytest.raises(SourceError, match=r"There is no file owner/data\.csv; check the name"):
        read_table("owner/data.csv")


def test_a_folder_a_device_and_a_forbidden_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is a folder"):
        read_table(str(tmp_path))
    with pytest.raises(SourceError, match="is no regular file"):
        read_table("/dev/zero")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("prompt\nhola\n", encoding="utf-8")
    path.chmod(0)
    with pytest.raises(SourceError, match="may not be read by you"):
        read_table(str(path))


# -- sheets -------------------------------------------------------------------------------------------------


def test_a_formula_that_was_never_computed_is_seen_as_one(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(["prompt", "number"])
    book.active.append(['=HYPERLINK("http://example.org","haz clic")', 3])
    book.active.append(["¿Qué es el pozole?", "=1+1"])
    book.save(tmp_path / "a.xlsx")
    assert [row["prompt"] for row in values(read_table(str(tmp_path / "a.xlsx")))] == [
        '=HYPERLINK("http://example.org","haz clic")',
        "¿Qué es el pozole?",
    ]


def test_a_computed_formula_gives_the_value_last_shown_and_a_notice(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(["prompt"])
    book.active.append(['="¿Qué es "&"el pozole?"'])
    book.save(tmp_path / "plain.xlsx")
    # A spreadsheet keeps the value beside the formula; openpyxl does not write one.
    with zipfile.ZipFile(tmp_path / "plain.xlsx") as old, zipfile.ZipFile(tmp_path / "a.xlsx", "w") as new:
        for part in old.namelist():
            content = old.read(part)
            if part.endswith("sheet1.xml"):
                assert b"<v></v>" in content or b"<v />" in content or b"<v/>" in content
                for empty in (b"<v></v>", b"<v />", b"<v/>"):
                    content = content.replace(empty, "<v>¿Qué es el pozole?</v>".encode())
                content = content.replace(b'<c r="A2">', b'<c r="A2" t="str">')
            new.writestr(part, content)
    table = read_table(str(tmp_path / "a.xlsx"))
    assert values(table) == [{"prompt": "¿Qué es el pozole?"}]
    assert "with a formula: 1" in table.notices[0]


def test_the_first_sheet_with_rows_is_read_and_the_others_are_named(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.create_sheet("Preguntas").append(["prompt"])
    book["Preguntas"].append(["¿Qué es el pozole?"])
    book.save(tmp_path / "a.xlsx")
    table = read_table(str(tmp_path / "a.xlsx"))
    assert values(table) == [{"prompt": "¿Qué es el pozole?"}]
    assert '"Preguntas"' in table.notices[0]


def test_a_cover_is_passed_over_and_a_sheet_can_be_named(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.title = "Portada"
    for line in (["Proyecto"], ["Hecho por el equipo"]):
        book.active.append(line)
    for title, text in (("Preguntas", "¿Qué es el pozole?"), ("Más", "¿Qué es el mate?")):
        for line in (["prompt", "tema"], [text, "comida"]):
            (book[title] if title in book.sheetnames else book.create_sheet(title)).append(line)
    book.save(tmp_path / "a.xlsx")
    table = read_table(str(tmp_path / "a.xlsx"))
    assert values(table) == [{"prompt": "¿Qué es el pozole?", "tema": "comida"}]
    assert '"Portada", "Más"' in table.notices[-1]
    assert values(read_table(str(tmp_path / "a.xlsx#Más"))) == [{"prompt": "¿Qué es el mate?", "tema": "comida"}]
    with pytest.raises(SourceError, match=r"no sheet .Otra.; it has Portada, Preguntas, Más"):
        read_table(str(tmp_path / "a.xlsx#Otra"))


def test_text_in_a_column_without_a_name_is_told(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for line in (["prompt", "tema"], ["¿Qué es el pozole que se come aquí?", "comida", "un comentario"]):
        book.active.append(line)
    book.save(tmp_path / "a.xlsx")
    (notice,) = read_table(str(tmp_path / "a.xlsx")).notices
    assert notice.startswith("Column 3 of ")
    assert "name it there" in notice


def test_a_table_that_pandas_wrote_by_columns_is_read_by_rows(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"prompt": {"0": "¿Qué?", "1": "¿Y?"}, "tema": {"0": "a", "1": null}}')
    assert values(read_table(str(tmp_path / "a.json"))) == [
        {"prompt": "¿Qué?", "tema": "a"},
        {"prompt": "¿Y?", "tema": None},
    ]


# -- parquet and the Hub ------------------------------------------------------------------------------------


def test_images_and_vectors_are_not_read(tmp_path: Path) -> None:
    rows = [{"prompt": "hola", "image": {"bytes": b"\x00", "path": "a"}, "vector": [0.5, 1.0], "raw": b"x", "n": 1.5}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    table = read_table(str(tmp_path / "a.parquet"))
    assert table.columns == ("prompt", "n")
    assert values(table) == [{"prompt": "hola", "n": 1.5}]


def test_a_dataset_is_read_through_datasets_with_its_splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = tmp_path / "owner" / "questions"
    folder.mkdir(parents=True)
    (folder / "train.jsonl").write_text(jsonl(ROWS[:2]), encoding="utf-8")
    (folder / "test.jsonl").write_text(jsonl(ROWS[2:]), encoding="utf-8")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    table = read_dataset(str(folder))
    assert table.columns == ("pregunta", "país")
    assert [row.place for row in table.rows] == ["train:1", "train:2", "test:1"]
    assert values(table) == ROWS


def test_a_dataset_without_a_table_in_it_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match=r"The dataset .*empty cannot be loaded"):
        read_dataset(str(tmp_path / "empty"))


def test_a_hub_that_cannot_be_reached_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(SourceError, match=r"nobody-here/no-such-data is no file here, and the Hub cannot be reached"):
        read_table("nobody-here/no-such-data")


class NoSuchDataset(http.server.BaseHTTPRequestHandler):
    """Answers as the Hub does about a dataset that does not exist."""

    def do_GET(self) -> None:
        """Say 404 in the Hub's way."""
        self.send_response(404)
        self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def test_a_dataset_that_the_hub_does_not_have_is_a_sentence() -> None:
    """In a process of its own: the address of the Hub is read at import."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), NoSuchDataset) as hub:
        threading.Thread(target=hub.serve_forever, daemon=True).start()
        environment = {**os.environ, "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}", "HF_HUB_OFFLINE": "0"}
        code = "from annotation.reading.table import read_table; read_table('owner/none')"
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120
        )
        hub.shutdown()
    assert "SourceError: The dataset owner/none cannot be loaded (404" in done.stderr
    assert "HF_TOKEN" in done.stderr
