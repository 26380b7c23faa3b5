"""What Argilla's page and SDK ask of the search engine, asked over HTTP of a real server."""

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from search_client import (
    Client,
    Json,
    answered,
    between,
    item,
    make_dataset,
    make_workspace,
    metadata,
    of_record,
    suggested,
    terms,
)

from annotation.hosting.embedded import Owner

pytestmark = pytest.mark.server

# (external id, country, words, weight, prompt, answer, vector); what a record lacks is None.
RECORDS: list[tuple[str, str | None, int | None, float | None, str, str, list[float] | None]] = [
    ("r0", "MX", 3, 0.5, "¿Cómo se prepara el mole poblano?", "Con chile ancho y mucha paciencia.", [1, 0, 0]),
    ("r1", "MX", 5, 1.5, "¿Qué se come en Día de Muertos?", "Pan de muerto, mole y tamales.", [0.9, 0.1, 0]),
    ("r2", "PE", 8, -2.25, "¿Qué lleva un buen ceviche?", "Limón, ají y cebolla morada.", [0, 1, 0]),
    ("r3", "PE", 8, 10.0, "¿Dónde se baila la marinera?", "En Trujillo, cada año en enero.", [0, 0.8, 0.2]),
    ("r4", "BR", 13, 0.1, "O que é uma festa junina?", "Quadrilha, milho e canção no coração.", [0, 0, 1]),
    ("r5", "BR", 21, 7.75, "Como se faz pão de queijo?", "Com polvilho e queijo, sem trigo.", [-1, 0, 0]),
    ("r6", None, None, None, "¿Quién trae los regalos?", "Los Reyes Magos, o el Niño Dios.", None),
]
ALL = [record[0] for record in RECORDS]
VECTORS = {record[0]: record[6] for record in RECORDS if record[6] is not None}


STATUS = {"entity": "response", "property": "status"}
PENDING = (terms(STATUS, "pending"), terms(of_record("status"), "pending"))  # the page's queue
RANKED = [{"value": "A", "rank": 1}, {"value": "B", "rank": 1}]


@pytest.fixture(scope="module")
def argilla_server(argilla_on_each: tuple[str, Owner]) -> tuple[str, Owner]:
    """Every test here holds on both kinds of database."""
    return argilla_on_each


@pytest.fixture(scope="module")
def owner(argilla_server: tuple[str, Owner]) -> Client:
    url, account = argilla_server
    return Client(url, account.api_key)


@pytest.fixture(scope="module")
def workspace(owner: Client) -> Json:
    return make_workspace(owner, "search-engine")


@pytest.fixture(scope="module")
def people(argilla_server: tuple[str, Owner], owner: Client, workspace: Json) -> list[Client]:
    """Two annotators of the workspace."""
    found = []
    for name in ("search-one", "search-two"):
        account = {"first_name": name, "username": name, "password": f"{name}-password", "role": "annotator"}
        user = owner.call("POST", "/users", json=account)
        owner.call("POST", f"/workspaces/{workspace['id']}/users", json={"user_id": user["id"]})
        found.append(Client(argilla_server[0], user["api_key"]))
    return found


@pytest.fixture(scope="module")
def shelf(owner: Client, workspace: Json) -> Json:
    """A published dataset with `RECORDS` in it, for tests that only look."""
    return make_dataset(owner, workspace, RECORDS)


@pytest.fixture
def dataset(owner: Client, workspace: Json) -> Iterator[Json]:
    """The same for a test that changes it."""
    made = make_dataset(owner, workspace, RECORDS)
    yield made
    owner.call("DELETE", f"/datasets/{made['id']}")


@pytest.fixture
def records(owner: Client, dataset: Json) -> dict[str, Json]:
    """Its records by external id."""
    listed = owner.call("GET", f"/datasets/{dataset['id']}/records")["items"]
    return {record["external_id"]: record for record in listed}


# --- the queue ----------------------------------------------------------------------------------------


def test_the_queue_gives_every_record_once(people: list[Client], shelf: Json) -> None:
    one = people[0]
    seen = []
    for offset in range(0, len(ALL), 2):
        page = one.search(shelf, *PENDING, offset=offset, limit=2)
        assert page["total"] == len(ALL)
        seen += [found["record"]["external_id"] for found in page["items"]]
    assert sorted(seen) == ALL


def test_past_the_end_the_total_is_still_told(people: list[Client], shelf: Json) -> None:
    page = people[0].search(shelf, *PENDING, offset=50)
    assert page == {"items": [], "total": len(ALL)}


def test_a_number_that_no_database_holds_is_a_mistake_of_who_sent_it(owner: Client, shelf: Json) -> None:
    refused = owner.search(shelf, offset=2**64, me=False, expect=422)
    assert "larger than the server's database can hold" in refused["detail"]


def test_each_person_has_an_own_order_that_stays(owner: Client, people: list[Client], dataset: Json) -> None:
    more = [item(f"m{number}", "MX", 1, 1.0, f"Pregunta {number}", "Respuesta", None) for number in range(40)]
    owner.call("POST", f"/datasets/{dataset['id']}/records/bulk", json={"items": more})
    one, two = people
    of_one, of_two = one.ids(dataset, *PENDING), two.ids(dataset, *PENDING)
    assert sorted(of_one) == sorted(of_two)
    assert of_one != of_two
    assert of_one != sorted(of_one)

    two.answer(find(two, dataset, of_two[0]), "submitted", ranking=RANKED)
    one.answer(find(one, dataset, of_one[2]), "draft")
    later = [item(f"n{number}", "PE", 1, 1.0, f"Otra {number}", "Respuesta", None) for number in range(20)]
    owner.call("POST", f"/datasets/{dataset['id']}/records/bulk", json={"items": later})

    again = [name for name in one.ids(dataset, *PENDING) if not name.startswith("n")]
    assert again == [name for name in of_one if name != of_one[2]]


def find(person: Client, dataset: Json, external_id: str) -> Json:
    found = person.search(dataset, terms(of_record("external_id"), external_id))["items"]
    assert len(found) == 1
    record = found[0]["record"]
    assert isinstance(record, dict)
    return record


def test_an_answer_moves_a_record_for_its_author_only(
    people: list[Client], dataset: Json, records: dict[str, Json]
) -> None:
    one, two = people
    one.answer(records["r0"], "draft", score=1)
    one.answer(records["r1"], "submitted", ranking=RANKED)
    one.answer(records["r2"], "discarded")

    assert one.ids(dataset, terms(STATUS, "draft")) == ["r0"]
    assert one.ids(dataset, terms(STATUS, "submitted")) == ["r1"]
    assert one.ids(dataset, terms(STATUS, "discarded")) == ["r2"]
    assert sorted(one.ids(dataset, terms(STATUS, "submitted", "discarded"))) == ["r1", "r2"]
    assert sorted(one.ids(dataset, terms(STATUS, "pending"))) == ["r3", "r4", "r5", "r6"]
    assert sorted(one.ids(dataset, terms(STATUS, "pending", "draft"))) == ["r0", "r3", "r4", "r5", "r6"]
    assert sorted(two.ids(dataset, terms(STATUS, "pending"))) == ALL


def test_without_a_person_pending_means_unanswered_by_all(
    owner: Client, people: list[Client], dataset: Json, records: dict[str, Json]
) -> None:
    people[0].answer(records["r0"], "draft")
    people[1].answer(records["r1"], "discarded")
    assert owner.ids(dataset, terms(STATUS, "pending"), me=False) == ALL[2:]
    assert owner.ids(dataset, terms(STATUS, "draft", "discarded"), me=False) == ["r0", "r1"]


def test_a_record_completed_by_others_leaves_the_queue(
    owner: Client, people: list[Client], dataset: Json, records: dict[str, Json]
) -> None:
    for person in people:
        person.answer(records["r3"], "submitted", ranking=RANKED)
    assert "r3" not in owner.ids(dataset, *PENDING)
    assert owner.ids(dataset, terms(of_record("status"), "completed"), me=False) == ["r3"]


def test_an_answer_that_is_deleted_is_pending_again(
    people: list[Client], dataset: Json, records: dict[str, Json]
) -> None:
    one = people[0]
    answer = one.answer(records["r0"], "submitted", ranking=RANKED)
    assert "r0" not in one.ids(dataset, *PENDING)
    one.call("DELETE", f"/responses/{answer['id']}")
    assert "r0" in one.ids(dataset, *PENDING)


# --- text ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("mole", ["r0", "r1"]),
        ("MOLE poblano", ["r0"]),
        ("como", ["r0", "r5"]),
        ("canção", ["r4"]),
        ("cancao", ["r4"]),
        ('"pan de muerto"', ["r1"]),
        ('"muerto de pan"', []),
        ("mar*", ["r3"]),
        ("mole | ceviche", ["r0", "r1", "r2"]),
        ("mole -tamales", ["r0"]),
        ("-se", ["r2", "r4", "r6"]),
        ("poblano paciencia", ["r0"]),  # in two fields
        ("año", ["r3"]),
        ("ano", []),
        ({"q": "mole", "field": "answer"}, ["r1"]),
        ({"q": "mole", "field": "prompt"}, ["r0"]),
        ("'; DROP TABLE records; --", []),
        ("100%", []),
        ("\0", []),
        ('"((', []),
        ("(mole", ["r0", "r1"]),
        ("x" * 10_000, []),
    ],
)
def test_text_search(owner: Client, shelf: Json, query: str | Json, found: list[str]) -> None:
    assert sorted(owner.ids(shelf, text=query, me=False)) == found
    assert sorted(owner.ids(shelf, text=query)) == found


def test_a_better_answer_to_the_query_comes_first(owner: Client, dataset: Json) -> None:
    owner.call(
        "POST",
        f"/datasets/{dataset['id']}/records/bulk",
        json={"items": [item("best", "MX", 1, 1.0, "Mole, mole y más mole", "mole", None)]},
    )
    found = owner.search(dataset, text="mole", me=False)["items"]
    assert found[0]["record"]["external_id"] == "best"
    scores = [hit["query_score"] for hit in found]
    assert scores == sorted(scores, reverse=True)
    assert all(score > 0 for score in scores)


def test_text_search_keeps_to_the_filters(owner: Client, shelf: Json) -> None:
    assert owner.ids(shelf, terms(metadata("country"), "PE"), text="en") == ["r3"]


def test_a_field_that_does_not_exist_is_refused(owner: Client, shelf: Json) -> None:
    owner.search(shelf, text={"q": "mole", "field": "nothing"}, expect=422)


def test_chats_and_custom_fields_are_searched_and_images_are_not(owner: Client, dataset: Json) -> None:
    fields = {
        "prompt": "Nada",
        "talk": [{"role": "user", "content": "¿Hay pozole?"}, {"role": "assistant", "content": "Los jueves."}],
        "extra": {"dish": "chilaquiles", "price": 95},
        "photo": "https://example.org/enchiladas.png",
    }
    owner.call(
        "POST",
        f"/datasets/{dataset['id']}/records/bulk",
        json={"items": [{"external_id": "rich", "fields": fields}]},
    )
    for query in ("pozole jueves", "chilaquiles", "95", "nada"):
        assert owner.ids(dataset, text=query) == ["rich"], query
    for query in ("enchiladas", "assistant", "dish"):
        assert owner.ids(dataset, text=query) == [], query


def test_an_edited_record_is_found_by_its_new_text_only(owner: Client, dataset: Json, records: dict[str, Json]) -> None:
    owner.call("PATCH", f"/records/{records['r0']['id']}", json={"fields": {"prompt": "Pipián verde"}})
    assert owner.ids(dataset, text="pipian") == ["r0"]
    assert owner.ids(dataset, text="poblano") == []


# --- filters ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ([terms(metadata("country"), "MX")], ["r0", "r1"]),
        ([terms(metadata("country"), "MX", "BR")], ["r0", "r1", "r4", "r5"]),
        ([terms(metadata("country"), "mx")], []),
        ([terms(metadata("country"), "' OR 1=1 --", 'MX"', "%", "\0")], []),
        ([terms(metadata("words"), "8")], ["r2", "r3"]),
        ([terms(metadata("words"), "eight", "13")], ["r4"]),
        ([between(metadata("words"), 5, 13)], ["r1", "r2", "r3", "r4"]),
        ([between(metadata("words"), ge=13)], ["r4", "r5"]),
        ([between(metadata("words"), le=3)], ["r0"]),
        ([between(metadata("weight"), -2.25, 0.5)], ["r0", "r2", "r4"]),
        ([between(metadata("weight"), ge=0.1, le=0.1)], ["r4"]),
        ([terms(metadata("country"), "PE"), between(metadata("weight"), ge=0)], ["r3"]),
        ([terms(of_record("external_id"), "r1", "r6", "gone")], ["r1", "r6"]),
        ([terms(of_record("id"), "no-uuid")], []),
        ([terms(of_record("status"), "pending")], ALL),
        ([terms(of_record("status"), "completed", "nonsense")], []),
        ([between(of_record("inserted_at"), ge="2020-01-01")], ALL),
        ([between(of_record("inserted_at"), le="2020-01-01T00:00:00Z")], []),
        ([between(of_record("updated_at"), ge="2020-01-01T00:00:00+05:00", le="2999-12-31")], ALL),
        ([between(of_record("inserted_at"), le=1_577_836_800_000)], []),  # 2020 in milliseconds
    ],
)
def test_filters_on_records(owner: Client, shelf: Json, filters: list[Json], found: list[str]) -> None:
    assert owner.ids(shelf, *filters, me=False) == found
    assert sorted(owner.ids(shelf, *filters)) == found


def test_a_day_as_upper_bound_means_all_of_it(owner: Client, dataset: Json, records: dict[str, Json]) -> None:
    day = records["r0"]["inserted_at"][:10]
    assert owner.ids(dataset, between(of_record("inserted_at"), ge=day, le=day), me=False) == ALL


def test_records_are_found_by_their_id(owner: Client, dataset: Json, records: dict[str, Json]) -> None:
    assert owner.ids(dataset, terms(of_record("id"), records["r2"]["id"])) == ["r2"]


@pytest.mark.parametrize(
    "filter_",
    [
        between(of_record("inserted_at"), ge="yesterday"),
        between(metadata("words"), ge="many"),
        between(metadata("weight"), ge="nan"),
        between(STATUS, ge=1),
        terms(metadata("nothing"), "MX"),
        terms(metadata('country"'), "MX"),
        terms(answered("nothing"), "MX"),
        terms(suggested("nothing"), "MX"),
    ],
)
def test_a_filter_that_makes_no_sense_is_refused_not_a_crash(owner: Client, shelf: Json, filter_: Json) -> None:
    owner.search(shelf, filter_, expect=422)


def test_filters_on_answers_of_one_person_and_of_all(
    owner: Client, people: list[Client], dataset: Json, records: dict[str, Json]
) -> None:
    one, two = people
    one.answer(records["r0"], "submitted", ranking=RANKED, score=2, verdict="fact", problems=["stereotype", "fact"])
    two.answer(records["r0"], "submitted", ranking=RANKED, score=5, note="fact")
    two.answer(records["r1"], "draft", score=3, problems=["register"])

    assert one.ids(dataset, terms(answered("score"), "2")) == ["r0"]
    assert one.ids(dataset, terms(answered("score"), "5")) == []
    assert two.ids(dataset, between(answered("score"), 3, 5), sort=by(of_record("external_id"))) == ["r0", "r1"]
    assert owner.ids(dataset, terms(answered("score"), "5", "3"), me=False) == ["r0", "r1"]
    assert owner.ids(dataset, terms(answered("verdict"), "fact"), me=False) == ["r0"]
    assert owner.ids(dataset, terms(answered("problems"), "fact"), me=False) == ["r0"]
    assert owner.ids(dataset, terms(answered("problems"), "fact", "register"), me=False) == ["r0", "r1"]
    # As with Elasticsearch, texts and rankings are no filters.
    assert owner.ids(dataset, terms(answered("note"), "fact"), me=False) == []
    assert owner.ids(dataset, terms(answered("ranking"), "A"), me=False) == []


def test_filters_on_suggestions(owner: Client, dataset: Json, records: dict[str, Json]) -> None:
    suggest(owner, records["r0"], "verdict", "fact", score=0.25, agent="small", type="model")
    suggest(owner, records["r1"], "verdict", "register", score=0.75, agent="large", type="human")
    suggest(owner, records["r2"], "problems", ["fact", "register"], score=[0.5, 0.9])
    suggest(owner, records["r3"], "score", 4)

    assert owner.ids(dataset, terms(suggested("verdict"), "fact"), me=False) == ["r0"]
    assert owner.ids(dataset, terms(suggested("verdict", "agent"), "large"), me=False) == ["r1"]
    assert owner.ids(dataset, terms(suggested("verdict", "type"), "model", "nonsense"), me=False) == ["r0"]
    assert owner.ids(dataset, terms(suggested("verdict", "score"), "0.25"), me=False) == ["r0"]
    assert owner.ids(dataset, between(suggested("verdict", "score"), ge=0.2), me=False) == ["r0", "r1"]
    assert owner.ids(dataset, terms(suggested("problems"), "register"), me=False) == ["r2"]
    assert owner.ids(dataset, between(suggested("problems", "score"), ge=0.8), me=False) == ["r2"]
    assert owner.ids(dataset, between(suggested("score"), ge=4, le=5), me=False) == ["r3"]
    options = owner.call("GET", f"/datasets/{dataset['id']}/records/search/suggestions/options")["items"]
    agents = {option["question"]["name"]: option["agents"] for option in options}
    assert sorted(agents["verdict"]) == ["large", "small"]


def suggest(owner: Client, record: Json, question: str, value: Any, **more: Any) -> None:
    questions = owner.call("GET", f"/datasets/{record['dataset_id']}/questions")["items"]
    question_id = next(found["id"] for found in questions if found["name"] == question)
    body = {"question_id": question_id, "value": value, **more}
    owner.call("PUT", f"/records/{record['id']}/suggestions", json=body)


# --- orders -------------------------------------------------------------------------------------------


def by(scope: Json, order: str = "asc") -> list[Json]:
    return [{"scope": scope, "order": order}]


@pytest.mark.parametrize("me", [True, False])
@pytest.mark.parametrize(
    ("sort", "found"),
    [
        (by(of_record("inserted_at")), ALL),
        (by(of_record("inserted_at"), "desc"), ALL[::-1]),
        (by(of_record("external_id"), "desc"), ALL[::-1]),
        (by(metadata("weight")), ["r2", "r4", "r0", "r1", "r5", "r3", "r6"]),
        (by(metadata("weight"), "desc"), ["r3", "r5", "r1", "r0", "r4", "r2", "r6"]),
        ([*by(metadata("country")), *by(metadata("words"), "desc")], ["r5", "r4", "r1", "r0", None, None, "r6"]),
    ],
)
def test_sorts_put_what_lacks_the_value_last(
    owner: Client, shelf: Json, sort: list[Json], found: list[str | None], me: bool
) -> None:
    ids = owner.ids(shelf, sort=sort, me=me)
    assert [expected for expected in found if expected] == [
        got for got, expected in zip(ids, found, strict=True) if expected
    ]
    assert sorted(ids) == ALL


def test_sorts_by_suggestions_and_answers(
    owner: Client, people: list[Client], dataset: Json, records: dict[str, Json]
) -> None:
    suggest(owner, records["r4"], "verdict", "fact", score=0.9)
    suggest(owner, records["r2"], "verdict", "fact", score=0.1)
    assert owner.ids(dataset, sort=by(suggested("verdict", "score")), me=False)[:2] == ["r2", "r4"]
    assert owner.ids(dataset, sort=by(suggested("verdict", "score"), "desc"), me=False)[:2] == ["r4", "r2"]

    people[0].answer(records["r5"], "draft", score=1)
    people[1].answer(records["r5"], "draft", score=5)  # 3 on average
    people[0].answer(records["r6"], "draft", score=2)
    assert owner.ids(dataset, sort=by(answered("score"), "desc"), me=False)[:2] == ["r5", "r6"]
    assert people[0].ids(dataset, sort=by(answered("score"), "desc"))[:2] == ["r6", "r5"]


# --- similar records ----------------------------------------------------------------------------------


def cosine(one: list[float], other: list[float]) -> float:
    product = sum(a * b for a, b in zip(one, other, strict=True))
    return product / math.hypot(*one) / math.hypot(*other)


@pytest.mark.parametrize(("order", "sign"), [("most_similar", 1), ("least_similar", -1)])
def test_similar_records_are_ordered_by_cosine(owner: Client, shelf: Json, order: str, sign: int) -> None:
    wanted = [0.3, 2.0, -0.7]
    found = owner.search(shelf, vector={"name": "meaning", "value": wanted, "order": order})
    expected = sorted(((1 + sign * cosine(wanted, vector)) / 2, name) for name, vector in VECTORS.items())[::-1]
    assert [hit["record"]["external_id"] for hit in found["items"]] == [name for _, name in expected]
    assert [hit["query_score"] for hit in found["items"]] == pytest.approx([score for score, _ in expected], abs=1e-6)


def test_a_record_is_not_similar_to_itself(owner: Client, dataset: Json, records: dict[str, Json]) -> None:
    vector = {"name": "meaning", "record_id": records["r0"]["id"]}
    ids = owner.ids(dataset, vector=vector)
    assert ids[0] == "r1"
    assert sorted(ids) == sorted(set(VECTORS) - {"r0"})
    assert owner.ids(dataset, terms(metadata("country"), "PE", "BR"), text="se", vector=vector) == ["r3", "r5"]
    assert len(owner.search(dataset, vector=vector, limit=2)["items"]) == 2


def test_similar_records_follow_every_change(owner: Client, dataset: Json, records: dict[str, Json]) -> None:
    vector = {"name": "meaning", "record_id": records["r0"]["id"]}
    assert owner.ids(dataset, vector=vector)[0] == "r1"
    owner.call("PATCH", f"/records/{records['r5']['id']}", json={"vectors": {"meaning": [2.0, 0.0, 0.0]}})
    assert owner.ids(dataset, vector=vector)[0] == "r5"
    owner.call("DELETE", f"/records/{records['r5']['id']}")
    assert owner.ids(dataset, vector=vector)[0] == "r1"
    owner.call(
        "POST",
        f"/datasets/{dataset['id']}/records/bulk",
        json={"items": [item("twin", "MX", 1, 1.0, "Gemelo", "Sí", [3.0, 0.01, 0.0])]},
    )
    assert owner.ids(dataset, vector=vector)[0] == "twin"


def test_a_vector_of_another_size_is_refused(owner: Client, shelf: Json) -> None:
    owner.search(shelf, vector={"name": "meaning", "value": [1.0, 2.0]}, expect=422)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_a_number_that_is_none_is_refused(owner: Client, shelf: Json, number: str) -> None:
    body = f'{{"query": {{"vector": {{"name": "meaning", "value": [{number}, 0.0, 0.0]}}}}}}'
    answer = owner.http.post(f"/me/datasets/{shelf['id']}/records/search", content=body)
    assert answer.status_code == 422, answer.text


def test_huge_and_tiny_vectors_keep_their_direction(owner: Client, shelf: Json) -> None:
    wanted = [0.1, 1.0, 0.3]
    for scale in (1e300, 1e-300):
        huge = {"name": "meaning", "value": [scale * number for number in wanted]}
        assert owner.ids(shelf, vector=huge) == owner.ids(shelf, vector={"name": "meaning", "value": wanted})


def test_a_zero_vector_is_equally_far_from_all(owner: Client, shelf: Json) -> None:
    found = owner.search(shelf, vector={"name": "meaning", "value": [0.0, 0.0, 0.0]})["items"]
    assert {hit["query_score"] for hit in found} == {0.5}


# --- numbers ------------------------------------------------------------------------------------------


def test_metrics_of_metadata(owner: Client, workspace: Json, shelf: Json) -> None:
    def metrics(of: Json) -> dict[str, Json]:
        properties = owner.call("GET", f"/me/datasets/{of['id']}/metadata-properties")["items"]
        return {found["name"]: owner.call("GET", f"/metadata-properties/{found['id']}/metrics") for found in properties}

    counts = [{"term": term, "count": 2} for term in ("BR", "MX", "PE")]
    assert metrics(shelf) == {
        "country": {"type": "terms", "total": 6, "values": counts},
        "words": {"type": "integer", "min": 3, "max": 21},
        "weight": {"type": "float", "min": -2.25, "max": 10.0},
    }
    assert metrics(make_dataset(owner, workspace)) == {
        "country": {"type": "terms", "total": 0, "values": []},
        "words": {"type": "integer", "min": None, "max": None},
        "weight": {"type": "float", "min": None, "max": None},
    }


def test_progress_of_a_dataset_and_of_a_person(
    owner: Client, people: list[Client], dataset: Json, records: dict[str, Json]
) -> None:
    one, two = people
    for person in people:
        person.answer(records["r0"], "submitted", ranking=RANKED)
    one.answer(records["r1"], "discarded")
    one.answer(records["r2"], "draft")

    progress = owner.call("GET", f"/datasets/{dataset['id']}/progress")
    assert (progress["total"], progress["completed"], progress["pending"]) == (7, 1, 6)
    assert {user["username"] for user in progress["users"]} == {"search-one", "search-two"}
    mine = {"total": 7, "submitted": 1, "discarded": 1, "draft": 1, "pending": 4}
    assert one.call("GET", f"/me/datasets/{dataset['id']}/metrics")["responses"] == mine
    theirs = {"total": 7, "submitted": 1, "discarded": 0, "draft": 0, "pending": 6}
    assert two.call("GET", f"/me/datasets/{dataset['id']}/metrics")["responses"] == theirs


# --- together -----------------------------------------------------------------------------------------


def test_more_people_search_at_once_than_the_server_has_connections(
    dataset: Json, owner: Client, argilla_server: tuple[str, Owner]
) -> None:
    """Every request holds a connection: one that waited for a second would wait for itself."""
    fresh = [item(f"w{number}", "MX", number, 1.0, "¿Quién?", "Xoconostle", [1, 0, 0]) for number in range(20)]
    owner.call("POST", f"/datasets/{dataset['id']}/records/bulk", json={"items": fresh})

    def look(_number: int) -> tuple[int, int]:
        mine = Client(argilla_server[0], argilla_server[1].api_key)
        near = {"query": {"vector": {"name": "meaning", "value": [1, 0, 0], "max_results": 5}}}
        found = mine.call("POST", f"/datasets/{dataset['id']}/records/search", json=near)
        return mine.search(dataset, text="xoconostle")["total"], len(found["items"])

    with ThreadPoolExecutor(40) as threads:
        assert set(threads.map(look, range(80))) == {(20, 26)}


def test_the_same_answer_twice_at_once_is_there_once_and_no_failure(
    people: list[Client], dataset: Json, records: dict[str, Json]
) -> None:
    """A page that is impatient sends it twice."""
    answer = {"status": "submitted", "values": {"ranking": {"value": RANKED}, "score": {"value": 3}}}

    def send(record: Json) -> int:
        mine = Client(
            str(people[0].http.base_url).removesuffix("/api/v1/"), people[0].http.headers["x-argilla-api-key"]
        )
        return mine.http.post(f"/records/{record['id']}/responses", json=answer).status_code

    with ThreadPoolExecutor(8) as threads:
        for record in records.values():
            assert sorted(threads.map(send, [record] * 8)) == [201] + [409] * 7
    assert people[0].call("GET", f"/me/datasets/{dataset['id']}/metrics")["responses"]["submitted"] == len(records)


def test_people_who_work_at_once_never_see_an_error(
    people: list[Client], dataset: Json, argilla_server: tuple[str, Owner]
) -> None:
    """Two annotators answer and search while records arrive: SQLite has one writer at a time."""
    more = [item(f"m{number}", "MX", number, 1.0, f"Pregunta {number}", "Mole", [1, 0, 0.1]) for number in range(60)]

    def log() -> int:
        # A client of its own: what is shared between threads is the server.
        mine = Client(argilla_server[0], argilla_server[1].api_key)
        for start in range(0, len(more), 10):
            mine.call("POST", f"/datasets/{dataset['id']}/records/bulk", json={"items": more[start : start + 10]})
        return len(more)

    def work(person: Client) -> int:
        done = 0
        while done < 25:
            for hit in person.search(dataset, terms(STATUS, "pending"), limit=3)["items"]:
                person.answer(hit["record"], "submitted", ranking=RANKED, score=3)
                done += 1
            person.search(dataset, text="mole")
            person.call("GET", f"/me/datasets/{dataset['id']}/metrics")
        return done

    with ThreadPoolExecutor() as pool:
        logged = pool.submit(log)
        workers = [pool.submit(work, person) for person in people]
        assert logged.result() == len(more)
        answered_by = [worker.result() for worker in workers]
    for person, done in zip(people, answered_by, strict=True):
        mine = person.call("GET", f"/me/datasets/{dataset['id']}/metrics")["responses"]
        assert mine["submitted"] == done
        assert mine["total"] == len(ALL) + len(more)
