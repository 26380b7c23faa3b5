"""HTML that the page shows: every text in it is escaped, whoever wrote it: a model, a visitor, or the project."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from html import escape

from settings import DEMO, HERE, TEXTS


def country_name(country: str, language: str) -> str:
    """Name of a country in the language of the page."""
    return DEMO.country_names.get(country, {}).get(language, country)


def heading(language: str) -> str:
    """Title, and the warnings that nobody may miss."""
    texts = TEXTS[language]
    wrong = [texts["ungated"]] if DEMO.ungated else []
    wrong += [texts["tiny"]] if DEMO.base_is_tiny_and_random else []
    wrong += [texts["simulated"]] if DEMO.simulated else []
    warnings = "".join(f'<p class="warning" role="alert">{escape(line)}</p>' for line in wrong)
    return f"<h1>{escape(DEMO.title)}</h1>{warnings}"


def answer(side: str, text: str, language: str, *, revealed: str = "") -> str:
    """The answer of a side, and which model wrote it once that is revealed: "aligned" or "base"."""
    texts = TEXTS[language]
    name = texts[side.lower()] + (f" · {texts[revealed]}" if revealed else "")
    return f'<h3>{escape(name)}</h3><div class="answer {revealed}">{escape(text)}</div>'


def picture(example: dict[str, str] | None, language: str) -> str:
    """A picture with who made it and its licence, inside of the page: nothing else is asked for."""
    if example is None:
        return ""
    content = b64encode((HERE / example["picture"]).read_bytes()).decode()
    name = escape(TEXTS[language]["picture"], quote=True)
    credit = f"<figcaption>{escape(example['credit'])}</figcaption>"
    return f'<figure><img alt="{name}" src="data:image/jpeg;base64,{content}">{credit}</figure>'


def escaped(messages: Iterable[dict[str, str]]) -> list[dict[str, str]]:
    """A conversation for gradio's chat, which takes a text for HTML with and without Markdown."""
    return [{**message, "content": escape(message["content"])} for message in messages]


def status(text: str) -> str:
    """A line that screen readers read out when it changes."""
    return f'<p class="status" role="status">{escape(text)}</p>'


def about(language: str) -> str:
    """Motivation, impact, team and links, and what was measured."""
    texts = TEXTS[language]
    own = [(texts["motivation"], DEMO.motivation), (texts["impact"], DEMO.impact)]
    parts = [f"<h2>{escape(name)}</h2>{_paragraphs(text)}" for name, text in own if text]
    if DEMO.team:
        parts.append(f"<h2>{escape(texts['team'])}</h2>{_list(map(escape, DEMO.team))}")
    if DEMO.links:
        parts.append(f"<h2>{escape(texts['links'])}</h2>{_list(_link(**link) for link in DEMO.links)}")
    lines = [
        texts["accuracy"].format(
            group=country_name(group["country"], language) if group["country"] else texts["everybody"],
            prompts=group["prompts"],
            **{name: f"{group[name]:.0%}" for name in ("value", "low", "high")},
        )
        for group in DEMO.card["groups"]
    ]
    reason = f" ({DEMO.gate_reason})" if language == "en" else ""
    gate = f"{texts['gate']}: {texts[f'gate_{DEMO.gate}']}{reason}."
    facts = texts["facts"].format(run=DEMO.run, base=base_name(language), adapter=DEMO.adapter_sha256[:12])
    parts.append(f"<h2>{escape(texts['measured'])}</h2>{_list(map(escape, [*lines, gate, facts]))}")
    return "".join(parts)


def base_name(language: str) -> str:
    """What the base is called."""
    return DEMO.base or TEXTS[language]["unnamed"]


def _paragraphs(text: str) -> str:
    return "".join(f"<p>{escape(part)}</p>" for part in text.split("\n\n"))


def _list(entries: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{entry}</li>' for entry in entries)}</ul>"


def _link(title: str, url: str) -> str:
    if not url.startswith(("https://", "http://")):
        return f"{escape(title)}: {escape(url)}"
    return f'<a href="{escape(url)}" target="_blank" rel="noopener noreferrer">{escape(title)}</a>'
