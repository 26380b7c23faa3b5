"""`annot serve`: a run's model behind OpenAI's chat completions, and `annot draft --source RUN`, which talks to it."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from conftest import free_port
from finished_runs import finished_run, model_of, ranked_slates
from picture_runs import coloured, coloured_slates, picture_run
from test_draft import calls_of, make_project
from train_models import tiny_model

from annotation.drafting.draft import draft, outlook
from annotation.drafting.source import find_source
from annotation.errors import DraftError
from annotation.images.question import QUESTION
from annotation.project import Project
from annotation.text.locales import country_line
from train.models.generation import Sampling, draw_answers

ANNOT = [sys.executable, "-m", "annotation.cli"]
MESSAGES = [{"role": "user", "content": "¿Cómo se dice el asunto 3?"}]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with two prompts and a finished run, `one`."""
    made = make_project(tmp_path_factory.mktemp("served"), prompts=2, temperatures=[1.0], max_tokens=120)
    finished_run(made.run_folder("one"), ranked_slates(12), 0.5)
    return made


@pytest.fixture(scope="module")
def served(project: Project) -> Iterator[dict[str, str]]:
    """What a server of the run says of itself, while it runs; it has no failure of its own to tell."""
    command = [*ANNOT, "serve", "one", "--port", "0", "--json", "--project", str(project.folder)]
    with (
        (project.folder / "told").open("w") as told,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=told, text=True) as process,
    ):
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if line.startswith("}"):
                break
        try:
            yield json.loads(said)
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0, "Ctrl-C is its proper end"
            assert "Traceback" not in (project.folder / "told").read_text()


def ask(served: Mapping[str, str], **how: Any) -> httpx.Response:
    body = {"model": served["model"], "messages": MESSAGES, "max_tokens": 12, "seed": 5, **how}
    return httpx.post(f"{served['url']}/chat/completions", json=body, timeout=60, trust_env=False)


def text_of(response: httpx.Response) -> str:
    assert response.status_code == 200, response.text
    return str(response.json()["choices"][0]["message"]["content"])


def test_a_client_learns_the_model_by_its_adapter_and_gets_an_answer(project: Project, served: dict[str, str]) -> None:
    digest = json.loads((project.run_folder("one") / "DONE").read_text())["adapter_sha256"]
    assert served["model"] == f"annot:one@{digest[:8]}" == find_source(project, "one").model
    listed = httpx.get(f"{served['url']}/models", trust_env=False).json()
    assert [one["id"] for one in listed["data"]] == [served["model"]]
    response = ask(served, max_tokens=5, temperature=0)
    told = response.json()
    assert told["object"] == "chat.completion"
    assert told["model"] == served["model"]
    assert (told["choices"][0]["finish_reason"], told["usage"]["completion_tokens"]) == ("length", 5)
    assert text_of(ask(served, model="one", max_tokens=5, temperature=0)) == text_of(response)


def test_at_temperature_0_each_token_is_the_likeliest_one(project: Project, served: dict[str, str]) -> None:
    import torch

    model, tokenizer, _ = model_of(project.run_folder("one"))
    ids = list(
        tokenizer.apply_chat_template(MESSAGES, tokenize=True, return_dict=True, add_generation_prompt=True)[
            "input_ids"
        ]
    )
    begin = len(ids)
    with torch.inference_mode():
        for _ in range(8):
            ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
    expected = tokenizer.decode(ids[begin:], skip_special_tokens=True).strip()
    assert text_of(ask(served, temperature=0, max_tokens=8)) == expected != ""


def test_an_answer_depends_on_its_own_seed_and_not_on_who_else_asks(served: dict[str, str]) -> None:
    wanted = [
        {
            "seed": number,
            "temperature": (0.0, 0.7, 1.0)[number % 3],
            "top_p": (1.0, 0.9)[number % 2],
            "max_tokens": 4 + number,
            "messages": [{"role": "user", "content": "¿Cómo se dice? " * (1 + number % 4)}],
        }
        for number in range(10)
    ]
    alone = [ask(served, **how).json()["choices"] for how in wanted]
    with ThreadPoolExecutor(len(wanted)) as pool:
        together = list(pool.map(lambda how: ask(served, **how).json()["choices"], wanted))
    assert together == alone
    assert len({json.dumps(choices) for choices in alone}) == len(wanted)
    assert text_of(ask(served, seed=6, temperature=1.0)) != text_of(ask(served, seed=7, temperature=1.0))


def test_an_answer_ends_before_a_word_that_stops_it(served: dict[str, str]) -> None:
    whole = text_of(ask(served, max_tokens=20))
    word = whole[len(whole) // 2 :][:3]
    stopped = ask(served, max_tokens=20, stop=["never said", word])
    assert text_of(stopped) == whole[: whole.index(word)]
    assert stopped.json()["choices"][0]["finish_reason"] == "stop"


def seen(url: str = "data:image/jpeg;base64,AAAA") -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"stream": True}, 400, "answers are sent whole here"),
        ({"n": 2}, 400, "one answer a request"),
        ({"model": "gpt-4"}, 404, "there is no model 'gpt-4' here, only annot:one@"),
        ({"messages": []}, 400, "messages:"),
        ({"messages": "hola"}, 400, "messages:"),
        ({"messages": [{"role": "robot", "content": "x"}]}, 400, "messages.0.role:"),
        ({"messages": [{"role": "user", "content": [{"type": "audio"}]}]}, 400, "content"),
        ({"messages": seen()}, 400, "one was trained on texts and sees no pictures"),
        ({"messages": [{"role": "user", "content": "palabra " * 5000}]}, 400, "tokens, and the model holds"),
        ({"temperature": 3}, 400, "temperature: input should be less than or equal to 2"),
        ({"temperature": "warm"}, 400, "temperature:"),
        ({"top_p": 0}, 400, "top_p:"),
        ({"max_tokens": -1}, 400, "max_tokens:"),
        ({"stop": ["a", "b", "c", "d", "e"]}, 400, "stop"),
    ],
)
def test_a_request_that_cannot_be_answered_gets_a_sentence_in_the_protocols_form(
    served: dict[str, str], change: dict[str, Any], status: int, words: str
) -> None:
    response = ask(served, **change)
    assert response.status_code == status
    error = response.json()["error"]
    assert words in error["message"]
    assert error["type"] == "invalid_request_error"


def test_null_is_what_a_client_leaves_open(served: dict[str, str]) -> None:
    assert ask(served, temperature=None, top_p=None, stop=None, stream=False, tools=None).status_code == 200


@pytest.mark.parametrize(
    ("path", "headers", "body", "status"),
    [
        ("/v1/chat/completions", {"Host": "evil.example"}, b"{}", 403),
        ("/v1/chat/completions", {"Content-Type": "text/plain"}, b"{}", 415),
        ("/v1/chat/completions", {"Content-Length": "99999999999"}, b"", 413),
        ("/v1/chat/completions", {"Content-Length": "much"}, b"", 413),
        ("/v1/chat/completions", {"Content-Length": "9" * 5000}, b"", 413),
        ("/v1/chat/completions", {}, b'{"model": "one", "messages": [{"role": "user", "content": "\\ud800"}]}', 400),
        ("/v1/chat/completions", {}, b"{", 400),
        ("/v1/chat/completions", {}, b"[" * 100_000, 400),
        ("/v1/chat/completions", {}, b"[]", 400),
        ("/v1/embeddings", {}, b"{}", 404),
    ],
)
def test_what_no_client_of_this_machine_sends_is_refused_and_the_server_goes_on(
    served: dict[str, str], path: str, headers: dict[str, str], body: bytes, status: int
) -> None:
    address = httpx.URL(served["url"])
    connection = http.client.HTTPConnection(address.host, address.port or 0, timeout=20)
    given = {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
    connection.request("POST", path, body, given)
    response = connection.getresponse()
    assert response.status == status
    assert json.loads(response.read())["error"]["message"]
    connection.close()
    assert ask(served, max_tokens=1).status_code == 200


def test_whoever_leaves_before_the_answer_is_not_missed(served: dict[str, str]) -> None:
    url = httpx.URL(served["url"])
    body = json.dumps({"model": served["model"], "messages": MESSAGES, "max_tokens": 4}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {url.host}:{url.port}\r\nContent-Type: application/json\r\n"
    with socket.create_connection((url.host, url.port or 0)) as leaves:
        leaves.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        leaves.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert text_of(ask(served))
    # The fixture looks at what the server told.


def test_answers_are_drawn_from_the_models_own_distribution() -> None:
    import torch

    model, prompt, count = tiny_model("llama"), [5, 9, 40, 3], 1500
    logits = model(input_ids=torch.tensor([prompt])).logits[0, -1].detach()
    for temperature, top_p in ((1.0, 1.0), (0.5, 1.0), (1.0, 0.6)):
        shares, order = (logits / temperature).softmax(-1).sort(descending=True)
        shares[shares.cumsum(-1) - shares >= top_p] = 0
        expected = torch.zeros_like(shares).scatter(0, order, shares / shares.sum())
        drawn = draw_answers(
            model,
            [prompt] * count,
            [Sampling(temperature, top_p, 1, seed) for seed in range(count)],
            ends=frozenset({1}),
            pad=0,
        )
        found = torch.bincount(torch.tensor([sample.tokens[0] for sample in drawn]), minlength=97) / count
        assert not found[expected == 0].any()
        # Of 97 shares drawn so often: the expected total variation is below half the sum of their standard errors.
        error = (expected * (1 - expected) / count).sqrt().sum() / 2
        assert (found - expected).abs().sum() / 2 < 1.3 * error


def test_each_answer_of_a_batch_ends_at_its_own_limit() -> None:
    model = tiny_model("llama")
    limits = [1, 5, 3, 12]
    drawn = draw_answers(
        model, [[5, 9], [7], [8, 8, 8], [4]], [Sampling(0.0, 1.0, n, 0) for n in limits], ends=frozenset({96}), pad=0
    )
    assert [len(sample.tokens) for sample in drawn] == limits
    assert not any(sample.ended for sample in drawn)


def test_a_picture_stands_in_a_request_where_it_stood_in_training(tmp_path: Path) -> None:
    from train.data.encoding import encode_prompt
    from train.evaluate.model import AdaptedModel
    from train.evaluate.run import recipe_of
    from train.models.base import Base
    from train.models.tokenizer import load_vocabulary
    from train.run_folder import finished_run as facts_of
    from train.serve import Refused, Server

    slates = coloured_slates(tmp_path / "source", 4)
    run = picture_run(tmp_path / "runs" / "seen", slates, tmp_path / "source", steps=1)
    facts, digest = facts_of(run)
    recipe, base = recipe_of(facts), Base("", run / "base", "tiny-1", tiny=True)
    server = Server(
        run, AdaptedModel(run, recipe, lambda: (base, load_vocabulary(base, recipe.base))), digest, tmp_path
    )
    threading.Thread(target=server.write_answers, daemon=True).start()

    def describe(*urls: str, text: str = QUESTION["es"]) -> dict[str, Any]:
        parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
        message = {"role": "user", "content": [*parts, {"type": "text", "text": text}]}
        body = {"model": "seen", "messages": [message], "max_tokens": 6, "temperature": 0}
        return server.chat(json.dumps(body).encode())

    jpeg = (run / "images" / slates[0].image[:2] / f"{slates[0].image}.jpg").read_bytes()
    url = f"data:image/jpeg;base64,{b64encode(jpeg).decode()}"
    question = slates[0].prompt[-1]["content"]  # type: ignore[index]
    assert describe(url, text=question)["usage"]["prompt_tokens"] == len(
        encode_prompt(slates[0], server.model.vocabulary, run)
    )
    with ThreadPoolExecutor(3) as pool:  # with a picture and without one, at once
        told = list(pool.map(lambda urls: describe(*urls), [(url,), (), (url,)]))
    assert told[0]["choices"] == told[2]["choices"]
    assert told[1]["usage"]["prompt_tokens"] < told[0]["usage"]["prompt_tokens"]
    whole = io.BytesIO(coloured("red", 1)).getvalue()
    cut = f"data:image/jpeg;base64,{b64encode(whole[: len(whole) // 2]).decode()}"
    for urls, sentence in (
        ((url, url), "2 pictures: one a request"),
        ((cut,), "no picture that can be read"),
        (("https://example.com/cat.jpg",), "holds the picture"),
        (("data:image/jpeg;base64,??",), "no base64"),
    ):
        with pytest.raises(Refused, match=sentence):
            describe(*urls)


# -- annot draft --source RUN -------------------------------------------------------------------------------


def test_a_draft_that_is_killed_takes_its_server_along_and_the_next_one_asks_for_the_rest(
    project: Project, capfd: pytest.CaptureFixture[str]
) -> None:
    # Its base is random: one of a dozen tokens ends an answer from now on, so that answers end at all.
    config = project.run_folder("one") / "base" / "generation_config.json"
    said = json.loads(config.read_text()) if config.exists() else {}
    config.write_text(json.dumps({**said, "eos_token_id": list(range(0, 300, 12))}))
    source = find_source(project, "one", answers=2)
    assert [(line.model, line.calls) for line in outlook(project, source=source).models] == [(source.model, 4)]
    command = [*ANNOT, "draft", "--source", "one", "--answers", "2", "--project", str(project.folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 120
        while not calls_of(project):
            assert process.poll() is None
            assert time.monotonic() < end, "nothing is asked"
            time.sleep(0.005)
        [server] = psutil.Process(process.pid).children()
    finally:
        process.kill()
        process.wait()
    assert psutil.wait_procs([server], 20)[1] == [], "the server lives on"
    asked = {row["slot_id"] for row in calls_of(project)}
    open_calls = [row for row in calls_of(project) if row["outcome"] is None]
    capfd.readouterr()
    others = set(psutil.Process().children())
    done = draft(project, source=source)
    assert "loading the model of one" in capfd.readouterr().err
    rows = calls_of(project)
    assert [row["slot_id"] for row in rows if row["outcome"] == "lost"] == [row["slot_id"] for row in open_calls]
    assert {row["attempt"] for row in rows} == {0}, "nothing is asked twice"
    assert asked < {row["slot_id"] for row in rows}
    assert {row["outcome"] for row in rows} <= {"answer", "cut", "empty", "duplicate", "wrong language", "lost"}
    assert {(row["model"], row["voice"], row["reserved_usd"]) for row in rows} == {(source.model, "", 0.0)}
    assert {candidate.model for candidate in project.ledger.candidates()} == {source.model}
    assert set(psutil.Process().children()) <= others, "its server has ended with it"
    # What is left to do is nothing, and no model is loaded to find that out.
    again = draft(project, source=source)
    assert (again.answers, again.outcomes, again.short) == (0, {}, done.short)
    assert "loading" not in capfd.readouterr().err


def test_a_run_that_cannot_be_served_says_why_and_sends_nothing(project: Project, tmp_path: Path) -> None:
    copy = make_project(tmp_path, prompts=1)
    for name in ("run.json", "DONE"):
        copy.run_folder("two").mkdir(parents=True, exist_ok=True)
        (copy.run_folder("two") / name).write_bytes((project.run_folder("one") / name).read_bytes())
    with pytest.raises(DraftError, match=r"the model of two cannot be served: .*adapter_model.safetensors is missing"):
        draft(copy, source=find_source(copy, "two"))
    assert calls_of(copy) == []
    (copy.run_folder("two") / "DONE").unlink()
    with pytest.raises(DraftError, match=r"two is no finished run of this project.*`annot train` makes runs"):
        find_source(copy, "two")
    with pytest.raises(DraftError, match="is a run, which has one model"):
        find_source(copy, "two", model="another")


@pytest.mark.parametrize(
    ("region", "system", "asked"),
    [
        ({"in_prompt": True}, country_line("MX", "es"), {"MX", "BR"}),
        ({"country": "MX"}, "", {"MX"}),
    ],
)
def test_an_adapter_is_asked_as_it_was_trained(
    project: Project, tmp_path: Path, region: dict[str, Any], system: str, asked: set[str]
) -> None:
    copy = make_project(tmp_path, prompts=2)
    facts = json.loads((project.run_folder("one") / "run.json").read_text())
    facts["recipe"]["region"] |= region
    copy.run_folder("two").mkdir(parents=True)
    (copy.run_folder("two") / "run.json").write_text(json.dumps(facts))
    (copy.run_folder("two") / "DONE").write_bytes((project.run_folder("one") / "DONE").read_bytes())
    source = find_source(copy, "two")
    prompts = [prompt for prompt in copy.ledger.prompts() if source.takes(prompt)]
    assert {prompt.country for prompt in prompts} == asked
    assert source.persona(next(prompt for prompt in prompts if prompt.country == "MX")).system == system


def test_a_port_that_is_taken_gets_a_sentence_with_another_one(project: Project) -> None:
    with contextlib.closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", port := free_port()))
        taken.listen()
        command = [*ANNOT, "serve", "one", "--port", str(port), "--project", str(project.folder)]
        said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 2
    assert "take another with `annot serve one --port " in said.stderr
    assert said.stderr.count("\n") == 1
