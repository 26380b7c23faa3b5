"""Pictures beside tokens: every kind of base sees in a batch what it sees alone, and what its processor would give."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from picture_files import as_file, keep_picture
from PIL import Image
from vision_models import ALL_KINDS, draw, vision_base, vocabulary_of

from annotation.types import picture_file
from train.data.encoding import encode_prompt, encode_slate
from train.data.slates import RankedSlate
from train.data.texts import as_answer, as_question
from train.evaluate.scores import EncodedAnswer, token_log_probs
from train.models.generation import sample_answers
from train.models.pictures import pictures_of
from train.models.seen import seen_with
from train.models.vision import picture_tokens


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_scores_of_a_batch_of_pictures_of_many_sizes_are_those_of_one_by_one(kind: str, tmp_path: Path) -> None:
    model, processor = vision_base(kind, tmp_path)
    sizes = ((120, 80), (60, 120), (112, 112))
    names = [
        keep_picture(tmp_path, as_file(draw(colour, size), "JPEG"))
        for colour, size in zip(("red", "blue", "green"), sizes, strict=True)
    ]
    vocabulary, pictures, answers = vocabulary_of(processor), pictures_of(processor, tmp_path), []
    for name in names:
        answered = (as_answer("una arepa con queso"), as_answer("un plato"))
        slate = RankedSlate(name, as_question("Describe esta imagen."), answered, (), (), image=name)
        row = encode_slate(slate, vocabulary, pictures=tmp_path)
        answers += [EncodedAnswer((*row.prompt, *answer), len(row.prompt), name) for answer in row.answers]
    together = token_log_probs(model, answers, pad=vocabulary.pad, pixels=pictures.pixels)
    alone = [token_log_probs(model, [one], pad=vocabulary.pad, pixels=pictures.pixels)[0] for one in answers]
    for one, other in zip(together, alone, strict=True):
        assert one == pytest.approx(other, abs=2e-4)
    swapped = replace(answers[0], image=keep_picture(tmp_path, as_file(draw("yellow", sizes[0]), "JPEG")))
    assert token_log_probs(model, [swapped], pad=vocabulary.pad, pixels=pictures.pixels)[0] != alone[0]
    # The definition: the processor's own arguments, and a plain forward pass.
    text = processor.apply_chat_template(
        [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Describe esta imagen."}]}],
        add_generation_prompt=True,
    )
    with Image.open(tmp_path / picture_file(names[0])) as picture:
        told = processor(text=[text], images=[[picture.convert("RGB")]], return_tensors="pt", add_special_tokens=False)
    assert told["input_ids"][0].tolist() == list(answers[0].ids[: answers[0].start])
    with torch.no_grad():
        exact = model(**told).logits[0, -1].log_softmax(-1)[answers[0].ids[answers[0].start]]
    assert alone[0][0] == pytest.approx(float(exact), abs=2e-4)


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_what_is_written_about_pictures_in_a_batch_is_what_whole_passes_would_write(kind: str, tmp_path: Path) -> None:
    model, processor = vision_base(kind, tmp_path)
    vocabulary, prompts, pixels = replace(vocabulary_of(processor), ends=frozenset({-1})), [], []
    for colour, size, words in (
        ("red", (120, 80), "Describe."),
        ("blue", (60, 120), "Describe esta imagen y di qué se ve en el plato."),
    ):
        name = keep_picture(tmp_path, as_file(draw(colour, size), "JPEG"))
        slate = RankedSlate(name, as_question(words), (), (), (), image=name)
        prompts.append(encode_prompt(slate, vocabulary, tmp_path))
        pixels.append(pictures_of(processor, tmp_path).pixels(name))
    assert len(prompts[0]) != len(prompts[1]), "one of them is filled up on the left"
    settings = {"ends": vocabulary.ends, "pad": vocabulary.pad, "limit": 4, "seed": 0, "top_p": 1e-6}
    written = sample_answers(model, prompts, pictures=pixels, **settings)
    for prompt, seen, sample in zip(prompts, pixels, written, strict=True):
        found: list[int] = []
        for _ in range(4):
            ids = torch.tensor([[*prompt, *found]])
            with torch.no_grad():
                logits = model(input_ids=ids, attention_mask=ids.ge(0).long(), **seen_with(model, ids, [seen])).logits
            found.append(int(logits[0, -1].argmax()))
        assert list(sample.tokens) == found


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_a_model_never_writes_the_tokens_of_a_picture(kind: str, tmp_path: Path) -> None:
    model, _ = vision_base(kind, tmp_path)
    places = picture_tokens(model.config)
    assert model.config.image_token_id in places
    with torch.no_grad():  # nothing else is half as likely
        head = model.get_output_embeddings()
        head.bias = torch.nn.Parameter(torch.zeros(head.out_features))
        head.bias[[token for token in places if token < head.out_features]] = 50.0
    (written,) = sample_answers(model, [[5, 6]], ends=frozenset({-1}), pad=0, limit=8, seed=0)
    assert len(written.tokens) == 8
    assert not {*places} & {*written.tokens}
