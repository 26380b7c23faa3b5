"""The search box on both kinds of database: always what reading every record would find."""

import random
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from conftest import free_port
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from postgres import Postgres
from search_client import Client, Json, item, make_dataset, make_workspace, metadata, of_record, terms

from annotation.hosting import embedded
from annotation.hosting.embedded import Owner
from annotation.server.words import text_query

pytestmark = pytest.mark.server

# Words that are spelt almost alike, and the Spanish and Portuguese letters that make a difference or none.
WORDS = ["mole", "molé", "moles", "Mola", "ano", "año", "ANÕ", "canção", "cancao", "a", "ab", "abc", "z9", "straße"]
FIELDS = ("prompt", "answer")
Sql = Callable[[str], None]


@pytest.fixture(scope="module")
def argilla_server(argilla_on_each: tuple[str, Owner]) -> tuple[str, Owner]:
    """Every test here holds on both kinds of database."""
    return argilla_on_each


@pytest.fixture(scope="module")
def owner(argilla_server: tuple[str, Owner]) -> Client:
    return Client(argilla_server[0], argilla_server[1].api_key)


@pytest.fixture(scope="module")
def workspace(owner: Client) -> Json:
    return make_workspace(owner, "text-search")


@pytest.fixture
def dataset(owner: Client, workspace: Json) -> Iterator[Json]:
    made = make_dataset(owner, workspace)
    yield made
    owner.call("DELETE", f"/datasets/{made['id']}")


@pytest.fixture
def sql(argilla_home: Path, postgres: Postgres, request: pytest.FixtureRequest) -> Sql:
    """Another program at work in the database."""
    if "postgresql" in request.node.callspec.id:
        home: Path = request.getfixturevalue("argilla_postgresql_home")
        return lambda statement: print(postgres.execute(statement, embedded.database_of(home)))
    return lambda statement: write(argilla_home, statement)


def write(home: Path, statement: str) -> None:
    with sqlite3.connect(home / "argilla.db", timeout=60) as database:
        database.execute("PRAGMA foreign_keys = ON")
        database.execute(statement)
    database.close()


def log(owner: Client, dataset: Json, texts: dict[str, tuple[str, str]]) -> None:
    """Add records by external id: their prompt and their answer."""
    items = [item(name, None, None, None, prompt, answer, None) for name, (prompt, answer) in texts.items()]
    owner.call("POST", f"/datasets/{dataset['id']}/records/bulk", json={"items": items})


# --- the index and the reader -------------------------------------------------------------------------


def texts_of(count: int, seed: int) -> dict[str, tuple[str, str]]:
    chance = random.Random(seed)
    return {
        f"t{number}": (
            " ".join(["¿", *chance.choices(WORDS, k=chance.randint(1, 6))]),
            ", ".join(chance.choices(WORDS, k=chance.randint(0, 9))) or ".",
        )
        for number in range(count)
    }


TEXTS = texts_of(60, seed=1)


@pytest.fixture(scope="module")
def shelf(owner: Client, workspace: Json) -> Json:
    """A dataset with `TEXTS`, beside another one full of the same words."""
    log(owner, make_dataset(owner, workspace), texts_of(80, seed=2))
    made = make_dataset(owner, workspace)
    log(owner, made, TEXTS)
    return made


word = st.sampled_from([*WORDS, "mol", "nada"])
leaves = st.one_of(
    word,
    st.builds("{}*".format, word),
    st.builds("{}~{}".format, word, st.sampled_from(["", "0", "1", "2"])),
    st.builds('"{} {}"{}'.format, word, word, st.sampled_from(["", "~", "~1", "~4"])),
    st.builds('"{} {} {}"{}'.format, word, word, word, st.sampled_from(["", "~3"])),
    st.just("*"),
)
queries = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds("{} {}".format, inner, inner),
        st.builds("({} | {})".format, inner, inner),
        st.builds("({}) + -({})".format, inner, inner),
        st.builds("-({})".format, inner),
    ),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=queries, field=st.sampled_from([None, *FIELDS]))
def test_the_index_finds_what_reading_finds(owner: Client, shelf: Json, query: str, field: str | None) -> None:
    parsed = text_query.parse(query)
    read = [
        name
        for name, texts in TEXTS.items()
        if parsed.matches([text for place, text in zip(FIELDS, texts, strict=True) if field in (None, place)])
    ]
    found = owner.ids(shelf, text={"q": query, **({"field": field} if field else {})}, me=False)
    assert sorted(found) == sorted(read)


# What SQL, FTS5, tsquery, JSON paths and file names have a meaning for.
hostile = st.text(alphabet=st.sampled_from("ab01 '\"\\%_:.*()|&!<->~+{}[]^$#;,?/@\0\n\t´ñÑ\u200b\u202e😀"), max_size=40)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=hostile, value=hostile)
def test_whatever_is_typed_is_harmless(owner: Client, shelf: Json, query: str, value: str) -> None:
    for me in (True, False):
        owner.search(shelf, text=query, me=me)
    owner.search(shelf, terms(metadata("country"), value, "MX"), terms(of_record("external_id"), value), me=False)
    owner.search(shelf, terms(metadata(value or "?"), "MX"), expect=422, me=False)


@pytest.mark.parametrize(
    "query",
    [
        "x" * 10_000,
        "(a" * 3_000,
        "a | b " * 500,
        "mole|" * 2_000,
        "-(" * 40 + "mole" + ")" * 40,
        "a* " * 600,
        '"a b"~9999 | ' * 90,
    ],
)
def test_long_and_deep_queries_are_harmless(owner: Client, shelf: Json, query: str) -> None:
    owner.search(shelf, text=query, me=False)


def test_records_with_odd_contents_hide_no_others(owner: Client, dataset: Json) -> None:
    odd = item("odd", "M\0X", 1, 1.0, "nada\0 ' \\ \u202e", "<script>", None)
    high = {**item("high", None, None, None, "palabra", "otra", None), "metadata": {"country": "a\\u0000b"}}
    plain = item("plain", "MX", 1, 1.0, "palabra", "otra", None)
    owner.call("POST", f"/datasets/{dataset['id']}/records/bulk", json={"items": [odd, high, plain]})
    assert sorted(owner.ids(dataset, text="palabra", me=False)) == ["high", "plain"]
    assert owner.ids(dataset, text="nada script", me=False) == ["odd"]
    assert owner.ids(dataset, terms(metadata("country"), "MX"), me=False) == ["plain"]
    assert owner.ids(dataset, terms(metadata("country"), "a\\u0000b"), me=False) == ["high"]


def test_a_text_of_any_length_is_found_by_every_word(owner: Client, dataset: Json) -> None:
    """PostgreSQL's tsvector ends at a megabyte, at 16,383 words, and at 255 places of one word."""
    numbers = [f"n{number}" for number in range(70_000)]
    log(owner, dataset, {"long": (" ".join(numbers), "de " * 300 + "mole de olla"), "short": ("n69999 n5", "mole")})
    for query, found in {
        '"n69998 n69999"': ["long"],
        "n69999": ["long", "short"],
        "n5 -n69998": ["short"],
        '"mole de olla"': ["long"],
        "-n20000": ["short"],
        "n6999*": ["long", "short"],
    }.items():
        assert sorted(owner.ids(dataset, text=query, me=False)) == found, query


def test_more_rarer_and_shorter_is_more_relevant(owner: Client, dataset: Json) -> None:
    often = {f"o{number}": ("pan de casa", "tamal") for number in range(8)}
    log(
        owner,
        dataset,
        {"once": ("mole con tamal atole arroz", "y frijoles de la olla"), **often, "best": ("mole", "mole")},
    )
    assert owner.ids(dataset, text="mole", me=False) == ["best", "once"]
    # A word that nearly every record has says less than one that few have.
    assert owner.ids(dataset, text="tamal | mole", me=False)[0] in ("best", "once")


# --- what changes -------------------------------------------------------------------------------------


def test_what_other_programs_write_is_found_at_once(owner: Client, dataset: Json, sql: Sql) -> None:
    log(owner, dataset, {"a": ("atole", "uno"), "b": ("atole", "dos"), "c": ("atole", "tres")})
    assert sorted(owner.ids(dataset, text="atole", me=False)) == ["a", "b", "c"]
    sql("UPDATE records SET fields = '{\"prompt\": \"champurrado\"}' WHERE external_id = 'a'")
    sql("DELETE FROM records WHERE external_id = 'b'")
    assert owner.ids(dataset, text="atole", me=False) == ["c"]
    assert owner.ids(dataset, text="champurrado", me=False) == ["a"]


def test_a_field_that_goes_takes_its_words_along(owner: Client, dataset: Json, sql: Sql) -> None:
    log(owner, dataset, {"a": ("atole", "pozole")})
    sql(f"DELETE FROM fields WHERE name = 'prompt' AND dataset_id = {id_of(dataset)}")
    assert owner.ids(dataset, text="atole", me=False) == []
    assert owner.ids(dataset, text={"q": "pozole", "field": "answer"}, me=False) == ["a"]


def id_of(dataset: Json) -> str:
    return f"(SELECT id FROM datasets WHERE name = '{dataset['name']}')"


def test_reindexing_mends_the_index_while_people_search(
    owner: Client, dataset: Json, sql: Sql, argilla_home: Path, request: pytest.FixtureRequest
) -> None:
    log(owner, dataset, TEXTS)
    expected = sorted(owner.ids(dataset, text="mole | abc", me=False))
    for table in ("annot_text", "annot_documents", "annot_words"):
        sql(f"DELETE FROM {table}")
    assert owner.ids(dataset, text="mole", me=False) == []
    on_postgresql = "postgresql" in request.node.callspec.id
    home: Path = request.getfixturevalue("argilla_postgresql_home") if on_postgresql else argilla_home
    told: list[int] = []

    def report(done: int, total: int | None = None, note: str = "") -> None:
        assert not note
        assert total is not None
        assert done <= total
        told.append(done)

    assert embedded.reindex(home, report) >= len(TEXTS)
    assert told == sorted(told)
    assert told[-1] >= len(TEXTS)
    assert sorted(owner.ids(dataset, text="mole | abc", me=False)) == expected
    assert owner.ids(dataset, text="molex~", me=False)


# --- a crash ------------------------------------------------------------------------------------------


def test_a_killed_server_has_forgotten_no_word(tmp_path: Path) -> None:
    """Killed while the words of the last records are not in the index yet; and then others write."""
    home = tmp_path / ".argilla"
    started = embedded.start(home, port=free_port())
    try:
        owner = Client(started.url, embedded.owner(home).api_key)
        dataset = make_dataset(owner, make_workspace(owner, "crash"))
        log(owner, dataset, {f"k{number}": ("pozole", f"palabra{number}") for number in range(500)})
        server = psutil.Process(started.processes["server"])
        server.kill()
        server.wait()
        embedded.stop(home)
        write(home, "DELETE FROM records WHERE external_id = 'k7'")
        started = embedded.start(home, port=free_port())
        owner = Client(started.url, embedded.owner(home).api_key)
        assert owner.search(dataset, text="pozole", me=False)["total"] == 499
        assert owner.ids(dataset, text="palabra499", me=False) == ["k499"]
        assert owner.ids(dataset, text="palabra7", me=False) == []
    finally:
        embedded.stop(home)
