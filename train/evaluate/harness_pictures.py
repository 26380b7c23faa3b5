"""Requests of lm-evaluation-harness that show a picture: multiple choice, whose options are scored here.

The harness builds the prompts and computes its metrics as ever. Its own model of vision (`hf-multimodal`, 0.4.13)
refuses to score options and only lets models write, which small ones fail at for other reasons than not seeing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from annotation.errors import SettingsError
from train.evaluate.scores import EncodedAnswer, logits_of
from train.models.tokenizer import Vocabulary

PLACE = "<image>"
"""What a task of the harness writes into its prompt where the picture stands."""


def shows_picture(request: Any) -> bool:
    """Whether a request of the harness has a picture."""
    return len(request.args) > 2 and bool(_pictures(request))


def as_text(request: Any) -> Any:
    """A request without a picture as other models of the harness take it: without the place of one."""
    return request if len(request.args) < 3 else replace(request, arguments=request.args[:2])


def score_options(model: Any, vocabulary: Vocabulary, requests: Sequence[Any]) -> list[tuple[float, bool]]:
    """Log-prob of each request's option behind its prompt, and whether greedy decoding would give it.

    Args:
        model: That sees, with an adapter or without.
        vocabulary: Its words and processor.
        requests: Of the harness: prompt, option, and a picture.

    Raises:
        SettingsError: A prompt does not show one picture at one place.
    """
    import torch

    answers, seen = [], dict[str, Mapping[str, Any]]()
    for number, request in enumerate(requests):
        prompt, option = request.args[:2]
        pictures = _pictures(request)
        places = (prompt + option).count(PLACE)
        if len(pictures) != 1 or places != 1:
            raise SettingsError(
                f"a prompt of {request.task_name} shows {len(pictures)} pictures at {places} places; "
                "annot shows one, where the prompt says <image>, and no examples before it."
            )
        # A blank at the end of a prompt belongs to the option, as the harness has it.
        bare = prompt.rstrip()
        option = prompt[len(bare) :] + option
        before, whole = (_encoded(vocabulary, text, pictures[0]) for text in (bare, bare + option))
        start = len(before["input_ids"][0])
        name = str(number)
        seen[name] = {key: whole[key] for key in vocabulary.processor.image_processor.model_input_names if key in whole}
        answers.append(EncodedAnswer(whole["input_ids"][0].tolist(), start, name))
    found = []
    with torch.inference_mode():
        for logits, targets in logits_of(model, answers, vocabulary.pad, seen.__getitem__):
            likely = logits.float().log_softmax(-1)
            log_prob = likely.gather(1, targets[:, None]).double().sum()
            found.append((float(log_prob), bool((likely.argmax(-1) == targets).all())))
    return found


def _encoded(vocabulary: Vocabulary, text: str, picture: Any) -> Any:
    written = text.replace(PLACE, vocabulary.processor.image_token)
    shown = [[picture.convert("RGB")]]
    return vocabulary.processor(text=[written], images=shown, return_tensors="pt", add_special_tokens=False)


def _pictures(request: Any) -> list[Any]:
    found = request.args[2].get("visual") if isinstance(request.args[2], Mapping) else None
    return [one for one in (found if isinstance(found, list) else [found]) if one is not None]
