"""The demo: a blind comparison of the aligned model with its base, a chat, and what the project is about.

Nothing that leads to a person is written anywhere: no address, no cookie, no session, no browser.
"""

from __future__ import annotations

import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when gradio is imported

import secrets
import signal
import sys
import traceback
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from door import Door
from model import answers
from settings import DEMO, HERE, MOST_CHARACTERS, TEXTS, language_of
from shown import about, answer, base_name, country_name, escaped, heading, picture, status
from starlette.middleware import Middleware
from visitors import Duel, Visitor
from votes import Uploader, VoteFiles

VOTES = VoteFiles(Path(os.environ.get("ANNOT_DEMO_VOTES", "votes")))

SHOW_SIDES = "() => document.getElementById('sides').scrollIntoView({block: 'nearest'})"
"""On a phone the answers are below the button."""

CHOICES = ("A", "B", "tie", "both_bad")

MOST_MESSAGES = 9
"""Of a conversation that the model is shown, the newest question included."""

FAILURES = (gr.Error, RuntimeError, OSError)
"""What a model may fail with (a quota of ZeroGPU, a card without memory), and a full disk."""

MOST_WAITING = 32
"""Questions in the queue, of all visitors together."""


def words_for(request: gr.Request) -> tuple[str, dict[str, str]]:
    """Language of a visitor's page, and its texts."""
    language = language_of(request.headers.get("accept-language", ""))
    return language, TEXTS[language]


def refusal(question: str, visitor: Visitor, texts: dict[str, str]) -> str:
    """Why a question is not put to the model, or "" where it is; it is counted then."""
    if not question.strip():
        return texts["empty"]
    if len(question) > MOST_CHARACTERS:
        return texts["too_long"]
    return "" if visitor.may_ask(DEMO.rate_per_minute) else texts["too_fast"]


def told(country: str) -> list[dict[str, str]]:
    """What the model is told before the question: the country, where it learnt to be."""
    text = DEMO.country_texts.get(country, "") if DEMO.country_in_prompt else ""
    return [{"role": "system", "content": text}] if text else []


def note_failure(visitor: Visitor) -> None:
    """Tell the log what failed; the visitor's question does not count."""
    traceback.print_exc()
    visitor.take_back()


def buttons(*, open: bool) -> list[Any]:
    """The four buttons, that can be pressed or not."""
    return [gr.update(interactive=open) for _ in CHOICES]


def examples(country: str | None, language: str) -> list[Any]:
    """The examples of a country: questions, or pictures, of which the first is chosen and shown."""
    texts, found = TEXTS[language], [prompt for prompt in DEMO.prompts if prompt["country"] == country]
    if DEMO.pictures:
        first = found[0]["id"] if found else None
        shown = gr.update(choices=named(found, texts), value=first, visible=bool(found))
        return [shown, picture(example_called(first), language)]
    choices = [(texts["own"], ""), *((prompt["text"], prompt["id"]) for prompt in found)]
    return [gr.update(choices=choices, value="", visible=bool(found)), ""]


def named(found: list[dict[str, str]], texts: dict[str, str]) -> list[tuple[str, str]]:
    """What pictures are called in the list: all of them ask the same, and a name would tell what is on one."""
    return [(f"{texts['picture']} {number}", prompt["id"]) for number, prompt in enumerate(found, 1)]


def example_called(name: str | None) -> dict[str, str] | None:
    """The example with an id."""
    return next((prompt for prompt in DEMO.prompts if prompt["id"] == name), None)


def arrive(request: gr.Request) -> list[Any]:
    """The page in the visitor's language: heading, countries, examples and what it is about."""
    language, _ = words_for(request)
    countries = [(country_name(country, language), country) for country in DEMO.countries]
    region = request.headers.get("accept-language", "").partition(",")[0].partition("-")[2].upper()[:2]
    own = region if region in DEMO.countries else DEMO.countries[0] if len(DEMO.countries) == 1 else None
    shown = gr.update(choices=countries, value=own)
    sides = [answer(side, "", language) for side in "AB"]
    return [heading(language), shown, *examples(own, language), *sides, about(language)]


def choose_country(country: str, visitor: Visitor, request: gr.Request) -> list[Any]:
    """The examples of the country that was chosen; what was compared for another one can be voted on no more."""
    language, _ = words_for(request)
    visitor.duel = None
    return [*examples(country, language), "", *[answer(side, "", language) for side in "AB"], *buttons(open=False)]


def choose_example(chosen: str, visitor: Visitor, request: gr.Request) -> list[Any]:
    """The text of an example as the question, and its picture; what was compared of another picture is closed."""
    language, _ = words_for(request)
    example = example_called(chosen)
    if not DEMO.pictures:
        return [example["text"] if example else "", *[gr.skip() for _ in range(4 + len(CHOICES))]]
    visitor.duel = None
    sides = [answer(side, "", language) for side in "AB"]
    return [gr.skip(), picture(example, language), "", *sides, *buttons(open=False)]


def asked_about(country: str, question: str, chosen: str) -> dict[str, str] | None:
    """The example that is asked: the chosen picture of the country, or the question that was taken as it stood."""
    if DEMO.pictures:
        example = example_called(chosen)
        return example if example and example["country"] == country else None
    return next((p for p in DEMO.prompts if p["country"] == country and p["text"] == question), None)


def compare(
    country: str, question: str, chosen: str, may_use: bool, visitor: Visitor, request: gr.Request
) -> Iterator[list[Any]]:
    """Draw the sides, write that down, and let both answer: first A, then B, whichever is which."""
    language, texts = words_for(request)
    example = asked_about(country, question, chosen)
    if DEMO.pictures:
        question = example["text"] if example else ""
    wrong = "" if country in DEMO.countries else texts["no_country"]
    if DEMO.pictures and not example:
        wrong = wrong or texts["no_picture"]
    if reason := wrong or refusal(question, visitor, texts):
        yield [status(reason), *[gr.skip() for _ in "AB"], *[gr.skip() for _ in CHOICES]]
        return
    known = example["id"] if example else ""
    name, adapted, seed = uuid.uuid4().hex, secrets.choice("AB"), secrets.randbelow(2**31)
    written = ["", ""]

    def both(said: str, *, open: bool) -> list[Any]:
        sides = [answer(side, text, language) for side, text in zip("AB", written, strict=True)]
        return [status(texts[said]), *sides, *buttons(open=open)]

    visitor.duel = None
    try:
        file = VOTES.add(
            "begun",
            name,
            run=DEMO.run,
            adapter_sha256=DEMO.adapter_sha256,
            base=DEMO.base,
            base_version=DEMO.base_version,
            country=country,
            language=language,
            prompt_id=known,
            adapted=adapted,
            seed=seed,
            max_new_tokens=DEMO.max_new_tokens,
        )
        duel = Duel(name, file, adapted, "" if known else question, bool(may_use) and not known)
        visitor.duel = duel
        yield both("writing_a", open=False)
        messages = [*told(country), {"role": "user", "content": question}]
        shown = example.get("picture", "") if example else ""
        for side, text in answers(messages, [adapted == "A", adapted == "B"], seed=seed, picture=shown):
            written[side] = text
            yield both("writing_b" if side else "writing_a", open=False)
    except FAILURES:
        note_failure(visitor)
        yield both("failed", open=False)
        return
    duel.answers = (written[0], written[1])
    yield both("now_vote", open=True)


def vote(choice: str, visitor: Visitor, request: gr.Request) -> list[Any]:
    """Count a vote once, and say which side was which."""
    language, texts = words_for(request)
    duel = visitor.close_duel()
    if duel is None or duel.answers is None:
        return [status(texts["stale"]), gr.skip(), gr.skip(), *buttons(open=False)]
    kept = not duel.typed or duel.may_use
    a, b = duel.answers if kept else ("", "")
    typed = duel.typed if duel.may_use else ""
    try:
        VOTES.add("voted", duel.id, duel.file, choice=choice, may_use=duel.may_use, prompt=typed, a=a, b=b)
    except OSError:
        traceback.print_exc()
        duel.closed = False
        return [status(texts["failed"]), gr.skip(), gr.skip(), *buttons(open=True)]
    other = "B" if duel.adapted == "A" else "A"
    said = texts["revealed"].format(adapted=duel.adapted, other=other, base=base_name(language))
    sides = [
        answer(side, text, language, revealed="aligned" if side == duel.adapted else "base")
        for side, text in zip("AB", duel.answers, strict=True)
    ]
    return [status(f"{texts['thanks']} {said}"), *sides, *buttons(open=False)]


def pressed_for(choice: str) -> Callable[[Visitor, gr.Request], list[Any]]:
    """What the button of a choice does."""

    def press(visitor: Visitor, request: gr.Request) -> list[Any]:
        return [*vote(choice, visitor, request), False]  # the next question is another one: nothing is allowed yet

    return press


def talk(message: str, country: str, visitor: Visitor, request: gr.Request) -> Iterator[list[Any]]:
    """Let the aligned model answer in a conversation, which the server remembers and the browser only shows."""
    _, texts = words_for(request)
    if reason := refusal(message, visitor, texts):
        yield [status(reason), gr.skip(), gr.skip()]
        return
    visitor.messages.append({"role": "user", "content": message})
    conversation, reply = visitor.messages, {"role": "assistant", "content": ""}
    yield ["", escaped(conversation), ""]
    messages = [*told(country), *conversation[-MOST_MESSAGES:]]
    conversation.append(reply)
    try:
        for _, reply["content"] in answers(messages, [True], seed=secrets.randbelow(2**31)):
            yield ["", escaped(visitor.messages), gr.skip()]
            if visitor.messages is not conversation:  # the visitor began another one meanwhile
                break
    except FAILURES:
        note_failure(visitor)
        del conversation[-2:]
        yield [status(texts["failed"]), escaped(visitor.messages), message]
        return
    yield ["", escaped(visitor.messages), gr.skip()]


def forget(visitor: Visitor) -> list[Any]:
    """Begin another conversation."""
    visitor.messages = []
    return ["", []]


def page() -> tuple[gr.Blocks, gr.I18n]:
    """The page, and the words that browsers put into it."""
    words = gr.I18n(**TEXTS)
    # No event has a name that a program could call: see door.py.
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    model: dict[str, Any] = {**quiet, "concurrency_limit": 1, "concurrency_id": "model"}
    beside: dict[str, Any] = {**quiet, "concurrency_limit": None}
    with gr.Blocks(title=DEMO.title, analytics_enabled=False) as blocks:
        visitor = gr.State(Visitor())
        top = gr.HTML()
        # What may be chosen is known before anybody arrives: a page that was open while the server restarted goes on.
        country = gr.Dropdown(
            [(country_name(code, "en"), code) for code in DEMO.countries],
            label=words("country"),
            info=words("country_info"),
            filterable=False,
            elem_id="country",
        )
        with gr.Tab(words("tab_compare")):
            gr.Markdown(words("intro"))
            own = [] if DEMO.pictures else [(TEXTS["en"]["own"], "")]
            example = gr.Dropdown(
                [*own, *((prompt["text"], prompt["id"]) for prompt in DEMO.prompts)],
                value=None if DEMO.pictures else "",
                label=words("choose_picture" if DEMO.pictures else "example"),
                filterable=False,
                elem_id="example",
            )
            seen = gr.HTML(elem_id="picture", visible=DEMO.pictures)
            question = gr.Textbox(
                label=words("question"),
                placeholder=words("question_hint"),
                lines=2,
                max_length=MOST_CHARACTERS,
                elem_id="question",
                visible=not DEMO.pictures,
            )
            may_use = gr.Checkbox(
                False,
                label=words("may_use"),
                info=words("may_use_info"),
                elem_id="may_use",
                visible=not DEMO.pictures,
            )
            begin = gr.Button(words("compare"), variant="primary", elem_id="compare")
            with gr.Row(elem_id="sides"):
                sides = [gr.HTML(elem_id=f"side_{side}") for side in "AB"]
            said = gr.HTML(elem_id="said")
            with gr.Row():
                pressed = [
                    gr.Button(words(f"vote_{choice.lower()}"), interactive=False, elem_id=f"vote_{choice}")
                    for choice in CHOICES
                ]
            gr.Markdown(words("consent"))
        with gr.Tab(words("tab_chat"), visible=not DEMO.pictures):
            gr.Markdown(words("chat_info"))
            chat = gr.Chatbot(
                label=words("chat"), render_markdown=False, sanitize_html=True, buttons=[], feedback_options=None
            )
            message = gr.Textbox(label=words("message"), max_length=MOST_CHARACTERS, elem_id="message")
            noted = gr.HTML(elem_id="noted")
            with gr.Row():
                send = gr.Button(words("send"), variant="primary", elem_id="send")
                again = gr.Button(words("again"), elem_id="again")
        with gr.Tab(words("tab_about")):
            bottom = gr.HTML()
        blocks.load(arrive, None, [top, country, example, seen, *sides, bottom], **beside)
        duel = [said, *sides, *pressed]
        country.input(choose_country, [country, visitor], [example, seen, *duel], **beside)
        example.input(choose_example, [example, visitor], [question, seen, *duel], **beside)
        begin.click(None, js=SHOW_SIDES, **quiet)
        gr.on([begin.click], compare, [country, question, example, may_use, visitor], duel, **model)
        for choice, button in zip(CHOICES, pressed, strict=True):
            button.click(pressed_for(choice), visitor, [*duel, may_use], **beside)
        gr.on([send.click, message.submit], talk, [message, country, visitor], [noted, chat, message], **model)
        gr.on([again.click, chat.clear], forget, visitor, [noted, chat], **beside)
    blocks.queue(max_size=MOST_WAITING)
    return blocks, words


def main() -> None:
    """Serve the page until somebody ends it; then upload what is left."""
    blocks, words = page()
    uploader = Uploader(VOTES, DEMO.votes_repo, every_s=60 * DEMO.upload_minutes) if DEMO.votes_repo else None
    theme = gr.themes.Default(font=("system-ui", "sans-serif"), font_mono=("ui-monospace", "monospace"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        blocks.launch(
            app_kwargs={"middleware": [Middleware(Door)]},
            css_paths=HERE / "page.css",
            enable_monitoring=False,
            footer_links=[],
            i18n=words,
            prevent_thread_lock=True,
            quiet=True,
            run_history=False,
            share=False,
            show_error=False,
            ssr_mode=False,
            # gradio's own greys are hard to read on white.
            theme=theme.set(block_info_text_color="*neutral_600", input_placeholder_color="*neutral_500"),
        )
        if uploader:
            uploader.start()
        blocks.block_thread()
    finally:
        if uploader:
            uploader.close()


if __name__ == "__main__":
    main()
