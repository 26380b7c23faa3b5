"""Code that loads a released model and asks it something, as its card shows it; a test runs it."""

from __future__ import annotations

import json
from typing import Any

from annotation.images.question import QUESTION
from annotation.text.locales import country_line
from train.models.base import is_on_hub
from train.release.figures import Figures
from train.release.given import Given
from train.release.weights import Weights

LOADING = """```python
from transformers import AutoModelForCausalLM, AutoTokenizer
{imports}
name = "{name}"
tokenizer = AutoTokenizer.from_pretrained(name)
{load}
{ask}
answer = model.generate(**inputs.to(model.device), max_new_tokens=200)
print(tokenizer.decode(answer[0][inputs["input_ids"].shape[1] :], skip_special_tokens=True))
```"""

SEEING = """```python
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor
{imports}
name = "{name}"
processor = AutoProcessor.from_pretrained(name)
{load}
picture = {{"type": "image"}}
{ask}
text = processor.apply_chat_template(messages, add_generation_prompt=True)
inputs = processor(text=text, images=[Image.open("picture.jpg")], return_tensors="pt")
answer = model.generate(**inputs.to(model.device), max_new_tokens=200)
print(processor.decode(answer[0][inputs["input_ids"].shape[1] :], skip_special_tokens=True))
```"""
"""The same of a model that sees pictures."""

TEMPLATED = 'add_generation_prompt=True, return_dict=True, return_tensors="pt"'

QUESTIONS = {"es": "¿Qué se come en una fiesta del barrio?", "pt": "O que se come numa festa do bairro?"}
"""Language -> what the example asks."""


def loading_code(fig: Figures, weights: Weights, given: Given) -> list[str]:
    """Code that loads what is given away, which a test runs, and what it takes."""
    sees = sees_pictures(fig)
    auto = "AutoModelForImageTextToText" if sees else "AutoModelForCausalLM"
    imports, load, notes = "", f'model = {auto}.from_pretrained(name, dtype="auto")', []
    if weights.kind == "adapter":
        imports, revision, base = "from peft import PeftModel\n", "", "the folder of the base"
        if is_on_hub(fig.facts):
            base, revision = fig.facts["base"], f', revision="{fig.facts["base_version"]}"'
        else:
            notes.append("The base is not on the Hub: name the folder in which you have it.")
        load = (
            f'base = {auto}.from_pretrained("{base}"{revision}, dtype="auto")\n'
            "model = PeftModel.from_pretrained(base, name)"
        )
        if fig.value("run.json", "recipe", "base", "quantisation") not in (None, "none"):
            notes.append("It was trained and measured on the quantised base; loaded like this, the base is whole.")
    language = next((language for language in given.languages if language in QUESTIONS), "es")
    messages: list[dict[str, Any]] = [{"role": "user", "content": QUESTIONS[language]}]
    region = fig.value("run.json", "recipe", "region") or {}
    if region.get("in_prompt"):
        country = region.get("country") or next(iter(fig.value("preflight.json", "countries") or {}), "MX")
        messages.insert(0, {"role": "system", "content": country_line(country, language)})
        notes.append("It was trained with the country in a system message, as above.")
    said = json.dumps(messages, ensure_ascii=False)
    if sees:
        asked = {"type": "text", "text": QUESTION.get(language, QUESTION["en"])}
        before = [{**message, "content": [{"type": "text", "text": message["content"]}]} for message in messages[:-1]]
        parts = f'{{"role": "user", "content": [picture, {json.dumps(asked, ensure_ascii=False)}]}}'
        told = "".join(f"{json.dumps(message, ensure_ascii=False)}, " for message in before)
        ask = f"messages = [{told}{parts}]"
    elif (fig.run / "adapter" / "chat_template.jinja").exists():
        ask = f"messages = {said}\ninputs = tokenizer.apply_chat_template(\n    messages, {TEMPLATED}\n)"
    else:
        ask = f'inputs = tokenizer("{QUESTIONS[language]}", return_tensors="pt")'
    if given.model:
        notes.append("While a repository is private, `hf auth login` comes first.")
    code = (SEEING if sees else LOADING).format(
        imports=imports, name=given.model or "the folder of this card", load=load, ask=ask
    )
    return [*code.split("\n"), *(["", " ".join(notes)] if notes else [])]


def sees_pictures(fig: Figures) -> bool:
    """Whether the base sees pictures."""
    return fig.value("run.json", "recipe", "base", "vision") not in (None, "none")
