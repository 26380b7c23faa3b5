"""Marks of chat templates inside texts: a tokenizer makes control tokens of them, so they are written out visibly."""

from __future__ import annotations

import re
from collections.abc import Sequence

from annotation.filtering.rows import Row
from annotation.filtering.rule import Finding, Found, Look

MARK = re.compile(
    r"<([|｜][^<>\s|｜]{1,40}[|｜])>"  # ChatML, Llama 3, Cohere, Phi, GPT, DeepSeek: <|im_start|>
    r"|<(/?(?:s|bos|eos|pad|unk|mask|sop|cls|sep|think|tool_call|tool_response|start_of_turn|end_of_turn"
    r"|BOS_TOKEN|EOS_TOKEN|PAD_TOKEN|start_of_image|image_soft_token|fim_(?:prefix|middle|suffix)))>"
    r"|<(</?SYS>)>"  # Llama 2
    r"|\[(/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|gMASK|sMASK|CLS|SEP|MASK|PAD"
    r"|UNK|BOS|EOS|IMG|PREFIX|SUFFIX|MIDDLE))\]"  # Mistral, GLM, BERT
)
"""What tokenizers of common models read as one control token; the text between its brackets is a group."""

_HEADER = re.compile(
    r"(?:^|\n)[ \t]*(?:\#{2,3}[ ]?(?:Instruction|Input|Response|Human|Assistant|System|User|Instrucción|Respuesta"
    r"|Instrução|Resposta)[ ]?:|(?:Human|Assistant|USER|ASSISTANT|SYSTEM):(?=[ \n]))"
)
"""The head of a turn as Alpaca, Vicuna and hh-rlhf write it: behind it another turn begins."""


def show_marks(text: str) -> str:
    """Write marks with other brackets: <|im_start|> becomes ⟨|im_start|⟩, which is text for every tokenizer."""
    return MARK.sub(lambda mark: f"⟨{(mark[1] or mark[2] or mark[3] or mark[4]).strip('<>')}⟩", text)


def marks(rows: Sequence[Row], look: Look, _threshold: float) -> Found:
    """Rows with a mark in the prompt, the system text or an answer."""
    findings = []
    for place, row in enumerate(rows):
        look.progress(place, len(rows), "marks of chat templates")
        for text in (*(turn.text for turn in row.turns), *(answer.text for answer in row.answers)):
            if mark := MARK.search(text):
                findings.append(Finding(place, mark[0]))
                break
    return Found(findings)


def turns_inside(rows: Sequence[Row], look: Look, _threshold: float) -> Found:
    """Answers that go on with another turn ("Human: …", "### Response:"): more was glued into them than an answer."""
    findings = []
    for place, row in enumerate(rows):
        look.progress(place, len(rows), "turns inside answers")
        for number, answer in enumerate(row.answers):
            if head := _HEADER.search(answer.text):
                findings.append(Finding(place, f"holds {head[0].strip()!r}", number))
    return Found(findings)


def masked(rows: Sequence[Row], _look: Look, _threshold: float) -> Found:
    """Rows in which personal data was masked while they were read."""
    found = ((place, row.masked) for place, row in enumerate(rows) if row.masked)
    return Found([Finding(place, ", ".join(f"{token} × {n}" for token, n in of.items())) for place, of in found])
