"""What stands between the network and the embedded Argilla: who may ask, how often, and what a page may load."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_faster import run_in_server

from annotation.hosting.embedded import Owner
from annotation.server.web.throttle import Throttle, network
from sync.argilla.client import ArgillaClient

# --- how often somebody may fail, without a server ----------------------------------------------------


class Clock:
    """Seconds that pass when a test says so."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_some_failures_are_free_and_then_one_is_forgotten_at_a_time(clock: Clock) -> None:
    throttle = Throttle(clock)
    free, period = Throttle.PERSON
    for _ in range(free):
        assert throttle.wait_s("ana", "10.0.0.1") == 0
        throttle.failed("ana", "10.0.0.1")
    assert throttle.wait_s("ana", "10.0.0.1") == pytest.approx(period)
    clock.now += period
    assert throttle.wait_s("ana", "10.0.0.1") == 0
    throttle.failed("ana", "10.0.0.1")
    assert throttle.wait_s("ana", "10.0.0.1") == pytest.approx(period)
    assert throttle.wait_s("luis", "10.0.0.1") == throttle.wait_s("ana", "10.0.0.2") == 0
    throttle.succeeded("ana", "10.0.0.1")
    assert throttle.wait_s("ana", "10.0.0.1") == 0


def test_guessing_at_one_account_from_everywhere_and_at_all_from_one_place_has_to_wait(clock: Clock) -> None:
    throttle = Throttle(clock)
    throttle.succeeded("ana", "10.0.0.1")
    for number in range(Throttle.ACCOUNT[0]):
        throttle.failed("ana", f"172.16.0.{number}")
    assert throttle.wait_s("ana", "10.9.9.9") > 0
    assert throttle.wait_s("ana", "10.0.0.1") == 0, "others who guess keep nobody out who is known there"
    for number in range(Throttle.ADDRESS[0]):
        throttle.failed(f"user{number}", "10.0.0.1")
    assert throttle.wait_s("luis", "10.0.0.1") > 0
    assert throttle.wait_s("ana", "10.0.0.1") == 0


@given(st.lists(st.tuples(st.sampled_from("ab"), st.booleans(), st.floats(0, 60))))
def test_whoever_is_always_right_never_waits_and_nobody_waits_long(attempts: list[tuple[str, bool, float]]) -> None:
    clock = Clock()
    throttle = Throttle(clock)
    throttle.succeeded("always right", "::1")
    for name, right, pause_s in attempts:
        wait = throttle.wait_s(name, "::1")
        assert wait <= Throttle.PERSON[1]
        assert throttle.wait_s("always right", "::1") == 0
        throttle.succeeded("always right", "::1")
        if not wait:
            (throttle.succeeded if right else throttle.failed)(name, "::1")
        clock.now += pause_s


def test_what_is_remembered_has_an_end(clock: Clock) -> None:
    throttle = Throttle(clock)
    throttle.MOST = 50
    for number in range(500):
        throttle.failed(str(number), f"10.0.{number % 200}.1")
        throttle.succeeded(str(number), "10.0.0.1")
    assert len(throttle._forgotten_at) == len(throttle._known) == 50


def test_a_household_is_one_address() -> None:
    assert network("2001:db8:1:2:3::4") == network("2001:db8:1:2:ffff::1") != network("2001:db8:1:3::4")
    assert network("::ffff:10.0.0.1") == network("10.0.0.1") == "10.0.0.1"
    assert network("testclient") == "testclient"


# --- with the server ----------------------------------------------------------------------------------


@pytest.fixture
def http(argilla_server: tuple[str, Owner]) -> Iterator[httpx.Client]:
    """Nobody in particular, on this machine."""
    with httpx.Client(base_url=argilla_server[0], timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture
def account(argilla_server: tuple[str, Owner]) -> tuple[str, str]:
    """A user name and its password."""
    name, password = f"guarded_{uuid4().hex[:8]}", uuid4().hex
    ArgillaClient(argilla_server[0], argilla_server[1].api_key).add_account(name, name, "annotator", password)
    return name, password


def log_in(http: httpx.Client, name: str, password: str, address: str) -> httpx.Response:
    """As from another address: whoever calls from this machine is believed, as a proxy on it would be."""
    answer: httpx.Response = http.post(
        "/api/v1/token", data={"username": name, "password": password}, headers={"X-Forwarded-For": address}
    )
    return answer


@pytest.mark.server
def test_an_admin_reads_the_members_of_their_workspace_and_not_their_keys(
    http: httpx.Client, argilla_server: tuple[str, Owner], account: tuple[str, str]
) -> None:
    api, name = ArgillaClient(argilla_server[0], argilla_server[1].api_key), f"lead_{uuid4().hex[:8]}"
    lead, room = api.add_account(name, name, "admin", "a long password"), api.add_workspace(name)
    member = next(a for a in api.accounts() if a.username == account[0])
    for person in (lead, member):
        api.add_member(room, person.id)
    token = http.post("/api/v1/token", data={"username": name, "password": "a long password"}).json()["access_token"]
    http.headers["authorization"] = f"Bearer {token}"
    told = http.get(f"/api/v1/workspaces/{room}/users").raise_for_status().json()["items"]
    assert {(user["username"], user["api_key"]) for user in told} == {(name, ""), (account[0], "")}
    assert http.get("/api/v1/me").json()["api_key"]
    assert http.get("/api/v1/users").status_code == 403
    gone = http.delete(f"/api/v1/workspaces/{room}/users/{member.id}").raise_for_status().json()
    assert (gone["username"], gone["api_key"]) == (account[0], "")
    keys = {user["username"]: user["api_key"] for user in api.ask("GET", "/users", "users")["items"]}
    assert keys[account[0]]
    assert api.members(room) == {lead.id}


@pytest.mark.server
def test_guessing_a_password_has_to_wait_and_keeps_nobody_out(http: httpx.Client, account: tuple[str, str]) -> None:
    name, password = account
    failed = [log_in(http, name, f"guess {number}", "203.0.113.5") for number in range(Throttle.PERSON[0])]
    unknown = log_in(http, "nobody_of_this_name", "guess", "203.0.113.6")
    assert {(answer.status_code, answer.text) for answer in [*failed, unknown]} == {(401, unknown.text)}

    throttled = log_in(http, name, "another guess", "203.0.113.5")
    assert throttled.status_code == 429
    assert 0 < int(throttled.headers["retry-after"]) <= Throttle.PERSON[1] + 1
    assert "Try again in" in throttled.json()["detail"]
    # Who knows the password elsewhere, and who works already, notice nothing.
    token = log_in(http, name, password, "203.0.113.7")
    assert token.status_code == 201
    me = http.get("/api/v1/me", headers={"Authorization": f"Bearer {token.json()['access_token']}"})
    assert me.json()["username"] == name


@pytest.mark.server
@pytest.mark.parametrize("password", ["x\x00y", "x" * 100, "", "ñ\ud7ff" * 60])
def test_no_password_tells_whether_an_account_exists(
    http: httpx.Client, account: tuple[str, str], password: str
) -> None:
    known, unknown = (log_in(http, name, password, "203.0.113.8") for name in (account[0], "nobody_of_this_name"))
    assert known.status_code in (401, 422)
    assert (known.status_code, known.text) == (unknown.status_code, unknown.text)


@pytest.mark.server
@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("localhost:6900", True),
        ("127.0.0.1", True),
        ("[::1]:6900", True),
        ("192.168.1.20:6900", True),
        ("elsewhere.example", False),
        ("elsewhere.example:6900", False),
        ("127.0.0.1.elsewhere.example", False),
        ("localhost.elsewhere.example", False),
        ("127.0.0.1@elsewhere.example", False),
    ],
)
def test_a_foreign_name_that_was_pointed_here_is_refused(http: httpx.Client, host: str, known: bool) -> None:
    for path in ("/", "/api/v1/status"):
        assert http.get(path, headers={"Host": host}).status_code == (200 if known else 421)


@pytest.mark.server
@pytest.mark.parametrize(
    "origin", ["http://elsewhere.example", "null", "http://127.0.0.1:1", "https://localhost", "http://["]
)
def test_pages_of_other_sites_may_not_ask_anything(
    http: httpx.Client, argilla_server: tuple[str, Owner], origin: str
) -> None:
    key = {"X-Argilla-Api-Key": argilla_server[1].api_key}
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    answers = [
        http.get("/api/v1/me", headers={"Origin": origin, **key}),
        http.post("/api/v1/token", data={"username": "a", "password": "b"}, headers={"Origin": origin}),
        http.options("/api/v1/me", headers={"Origin": origin, **asked}),
    ]
    for answer in answers:
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers
    own = http.get("/api/v1/me", headers={"Origin": argilla_server[0], **key})
    assert own.status_code == 200


@pytest.mark.server
def test_the_page_names_no_other_host_and_may_ask_none(http: httpx.Client) -> None:
    page = http.get("/sign-in")
    rules = dict(rule.split(" ", 1) for rule in page.headers["content-security-policy"].split("; "))
    assert rules["default-src"] == rules["object-src"] == rules["frame-ancestors"] == "'none'"
    assert "unsafe" not in rules["script-src"]
    named = {source for sources in rules.values() for source in sources.split()}
    assert not [source for source in named if source[0] != "'" and source not in ("data:", "blob:")]
    scripts = re.findall(r'<script[^>]*src="([^"]+)"', page.text)
    assert scripts[0] == "/annot-page.js"
    assert page.text.count('type="held"') == len(scripts) - 1 > 0, "it starts Argilla's own"
    sheets = re.findall(r'<link href="([^"]+\.css)" rel="stylesheet"', page.text)
    assert len(sheets) > 1
    for path in (*sheets, *scripts):
        answer = http.get(path)
        assert answer.status_code == 200
        assert answer.headers["x-content-type-options"] == "nosniff"
        if path in sheets:
            assert "googleapis" not in answer.text
            assert not re.search(r"url\(['\"]?(?:https?:)?//", answer.text)
    for path in ("/docs", "/api", "/api/v1/docs", "/api/v1/redoc"):
        assert http.get(path).headers["location"] == "/api/v1/openapi.json"


@pytest.mark.server
def test_what_is_served_from_memory_is_served_well(http: httpx.Client) -> None:
    plain = http.get("/annot-page.js", headers={"Accept-Encoding": "identity"})
    packed = http.get("/annot-page.js", headers={"Accept-Encoding": "gzip"})
    assert plain.text == packed.text
    assert packed.headers["content-encoding"] == "gzip"
    assert http.get("/annot-page.js", headers={"If-None-Match": plain.headers["etag"]}).status_code == 304
    head = http.head("/sign-in")
    assert (head.status_code, head.content) == (200, b"")
    assert http.get("/sign-in", headers={"If-None-Match": "*", "Range": "bytes=0-9"}).status_code == 200


@pytest.mark.server
def test_a_body_has_a_size_that_fits_its_sender(http: httpx.Client, argilla_server: tuple[str, Owner]) -> None:
    owner = {"X-Argilla-Api-Key": argilla_server[1].api_key}
    assert http.post("/api/v1/token", data={"username": "a" * 20_000, "password": "b"}).status_code == 413
    assert http.post("/api/v1/me/responses/bulk", content=b"x" * 100_000).status_code == 413
    assert http.post("/api/v1/me/responses/bulk", content=(b"x" * 50_000 for _ in range(4))).status_code == 413
    for sent in ({"X-Argilla-Api-Key": "made up"}, {"Authorization": "Bearer made.up.token"}):
        for content in (b"x" * 5_000_000, (b"x" * 50_000 for _ in range(4))):
            refused = http.post("/api/v1/me/responses/bulk", content=content, headers=sent)
            assert refused.status_code == 401, "whose it is is asked before it is read"
    large = http.post("/api/v1/me/responses/bulk", content=b'"' + b"x" * 5_000_000 + b'"', headers=owner)
    assert large.status_code == 422
    # A length that is announced is judged, and who announces it is asked for, before a byte of it is read.
    place = urlsplit(argilla_server[0])
    for key, length, status in ((owner["X-Argilla-Api-Key"], 10**12, 413), ("made up", 63_000_000, 401)):
        with socket.create_connection((place.hostname or "", place.port or 0), timeout=30) as connection:
            lines = [
                "POST /api/v1/me/responses/bulk HTTP/1.1",
                "Host: localhost",
                f"X-Argilla-Api-Key: {key}",
                f"Content-Length: {length}",
            ]
            connection.sendall("\r\n".join([*lines, "", ""]).encode())
            assert connection.recv(100).startswith(f"HTTP/1.1 {status}".encode())


HALF_REQUESTS = r"""
import asyncio, socket, threading, time
import uvicorn
from annotation.server import serving

serving.SILENCE_S = 0.5

async def app(scope, receive, send):
    while (await receive())["type"] != "http.disconnect":
        pass

listener = socket.create_server(("127.0.0.1", 0))
server = uvicorn.Server(uvicorn.Config(app, http=serving.Protocol, lifespan="off", log_config=None))
threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True).start()
for sent, closed in (
    ("", True),
    ("GET / HTTP/1.1\r\nHo", True),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf", True),
    ("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", False),  # whole, and answered when there is something
):
    with socket.create_connection(listener.getsockname()) as connection:
        connection.sendall(sent.encode())
        connection.settimeout(2)
        try:
            print(sent[:4], closed is (connection.recv(9) == b""))
        except TimeoutError:
            print(sent[:4], not closed)
"""


def test_half_a_request_is_not_waited_for_without_end(tmp_path: Path) -> None:
    told = run_in_server(HALF_REQUESTS, tmp_path, app=True)
    assert told.split() == ["True", "GET", "True", "POST", "True", "GET", "True"]
