"""A base that sees pictures trains on slates of descriptions: picture and prompt once, each answer as if alone; its
adapter is on the language model alone.
"""

import importlib.util
import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from picture_files import as_file, keep_picture
from PIL import Image
from train_models import tiny_model
from vision_models import ALL_KINDS, KINDS, draw, make_vision_base, vision_base, vocabulary_of

from annotation.errors import TrainError
from annotation.images.store import LostPicture
from annotation.types import picture_file
from train.data.encoding import encode_slate
from train.data.slates import RankedSlate
from train.data.tokens import EncodedSlate
from train.engine.adapter import check_sight_untouched, check_targets, with_adapter
from train.engine.log_probs import answer_log_probs, score_answers, uncompiled
from train.engine.packing import Shape, pack
from train.models.base import Base
from train.models.pictures import pictures_of
from train.models.tokenizer import load_vocabulary
from train.models.vision import language_model_of, vision_modules
from train.settings import load_recipe

pytestmark = pytest.mark.usefixtures("one_thread")

FILES = {
    name: as_file(draw(colour, size), "JPEG")
    for name, colour, size in (("a", "red", (120, 80)), ("b", "blue", (80, 200)), ("c", "green", (300, 56)))
}
IDS = {name: sha256(data).hexdigest() for name, data in FILES.items()}


def write_pictures(folder: Path) -> None:
    """Pictures a, b and c, of three sizes and colours."""
    for data in FILES.values():
        keep_picture(folder, data)


def slate_of(picture: str, *answers: str) -> RankedSlate:
    """A slate of descriptions."""
    said = tuple(({"role": "assistant", "content": text},) for text in answers)
    asked = ({"role": "system", "content": "Eres de México."}, {"role": "user", "content": "Describe esta imagen."})
    return RankedSlate(f"slate-{picture}", asked, said, (), (), image=IDS.get(picture, picture))


DISHES = ("una arepa con queso", "a dish of corn", "um prato de milho com queijo branco", "arepa")


@pytest.mark.parametrize("picture", FILES)
@pytest.mark.parametrize("kind", ALL_KINDS)
def test_a_slate_is_written_in_the_tokens_of_the_processor_and_of_trl(kind: str, picture: str, tmp_path: Path) -> None:
    from trl.trainer.dpo_trainer import DataCollatorForVisionPreference

    _, processor = vision_base(kind, tmp_path)
    write_pictures(tmp_path)
    slate = slate_of(picture, *DISHES[:2])
    encoded = encode_slate(slate, vocabulary_of(processor), pictures=tmp_path)
    assert encoded.image == slate.image
    shown = [
        {"role": "system", "content": slate.prompt[0]["content"]},
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": slate.prompt[1]["content"]}]},
    ]
    ours = [[*encoded.prompt, *answer] for answer in encoded.answers]
    image = Image.open(tmp_path / picture_file(slate.image))
    for answer, ids in zip(DISHES, ours, strict=False):
        text = processor.apply_chat_template([*shown, {"role": "assistant", "content": answer}], tokenize=False)
        assert processor(images=[[image]], text=[text])["input_ids"][0] == ids
    chosen, rejected = ([dict(message) for message in answer] for answer in slate.answers)
    row = {"images": [image], "prompt": [dict(m) for m in slate.prompt], "chosen": chosen, "rejected": rejected}
    batch = DataCollatorForVisionPreference(processor)([row])
    theirs = [ids[mask.bool()].tolist() for ids, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True)]
    assert theirs == ours
    begin = [int(mask.argmax()) for mask in batch["completion_mask"]]
    assert begin == [len(encoded.prompt)] * 2


def test_what_a_picture_slate_lacks_is_said_in_a_sentence(tmp_path: Path) -> None:
    _, processor = vision_base("llava", tmp_path)
    write_pictures(tmp_path)
    words = vocabulary_of(processor)
    with pytest.raises(TrainError, match=r"slate-a is about a picture, and the base reads text alone"):
        encode_slate(slate_of("a", *DISHES), words.tokenizer, pictures=tmp_path)
    with pytest.raises(TrainError, match=r"its texts hold <\|image\|>, which stands for a picture"):
        encode_slate(slate_of("a", "una <|image|>", "otra"), words, pictures=tmp_path)
    with pytest.raises(LostPicture, match=r"images/xx/xx.jpg is missing"):
        encode_slate(slate_of("xx", *DISHES), words, pictures=tmp_path)
    with pytest.raises(LostPicture, match=r"images/xx/xx.jpg is missing"):
        pictures_of(processor, tmp_path).pixels("xx")
    (tmp_path / picture_file(IDS["a"])).write_bytes(FILES["b"])
    with pytest.raises(LostPicture, match=r"was changed: its content is not what its name says"):
        encode_slate(slate_of("a", *DISHES), words, pictures=tmp_path)
    words.tokenizer.chat_template = "{% for m in messages %}{{ m['role'] }}{% endfor %}"
    with pytest.raises(TrainError, match=r"slate-b: the base's chat template has no place for a picture"):
        encode_slate(slate_of("b", *DISHES), words, pictures=tmp_path)


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_a_red_picture_gives_an_answer_another_log_prob_than_a_blue_one(kind: str, tmp_path: Path) -> None:
    model, processor = vision_base(kind, tmp_path)
    question = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Describe"}]}]
    answer = {"role": "assistant", "content": [{"type": "text", "text": "una arepa con queso"}]}
    text = processor.apply_chat_template([*question, answer], tokenize=False)
    scores = []
    for colour in ("red", "blue"):
        inputs = processor(images=[[draw(colour)]], text=[text], return_tensors="pt")
        with torch.no_grad():
            scores.append(model(**inputs).logits[0, -8:].log_softmax(-1))
    assert (scores[0] - scores[1]).abs().mean() > 0.01


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_the_language_model_and_the_rest_are_found_by_the_structure_of_the_model(kind: str, tmp_path: Path) -> None:
    model, _ = vision_base(kind, tmp_path)
    name, language_model = language_model_of(model)
    assert name == {"idefics3": "model.text_model"}.get(kind, "model.language_model")
    assert model.get_submodule(name) is language_model
    assert vision_modules(model) == {"idefics3": ("model.vision_model", "model.connector")}.get(
        kind, ("model.visual",) if kind == "qwen2_5_vl" else ("model.vision_tower", "model.multi_modal_projector")
    )
    seen = {
        f"{part}.{rest}" for part in vision_modules(model) for rest, _ in model.get_submodule(part).named_parameters()
    }
    read = {f"{name}.{rest}" for rest, _ in language_model.named_parameters()}
    assert seen | read | {"lm_head.weight"} >= {weight for weight, _ in model.named_parameters()}
    assert not seen & read


def test_a_model_that_reads_text_alone_has_no_vision_modules() -> None:
    with pytest.raises(TrainError, match=r"\(llama\) has no vision tower"):
        vision_modules(tiny_model("llama"))


def slates_of(processor: Any, folder: Path) -> list[EncodedSlate]:
    """Slates of three pictures of three sizes, one of them twice, and one without a picture."""
    write_pictures(folder)
    words = vocabulary_of(processor)
    about = [slate_of("a", *DISHES), slate_of("b", *DISHES[:2]), slate_of("c", *DISHES[1:]), slate_of("a", *DISHES[2:])]
    text = replace(slate_of("c", *DISHES[:3]), image="")
    return [encode_slate(slate, words, pictures=folder) for slate in (*about, text)]


def alone(model: Any, processor: Any, slate: EncodedSlate, folder: Path) -> list[torch.Tensor]:
    """Log-prob of each answer by a plain forward pass of the model with what the processor gives."""
    sums = []
    for answer in slate.answers:
        ids = torch.tensor([[*slate.prompt, *answer]])
        inputs: dict[str, Any] = {"input_ids": ids}
        if slate.image:
            image = Image.open(folder / picture_file(slate.image))
            inputs = processor(images=[[image]], text=[processor.image_token], return_tensors="pt")
            for name in ("token_type_ids", "mm_token_type_ids"):
                if name in inputs:
                    inputs[name] = (ids == model.config.image_token_id).long()
            inputs |= {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        scores = model(**inputs, use_cache=False).logits[0, :-1].float().log_softmax(-1)
        sums.append(scores.gather(1, ids[0, 1:, None])[len(slate.prompt) - 1 :].sum())
    return sums


@pytest.mark.parametrize("shape", ["rows", "row", "alone"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("kind", ALL_KINDS)
def test_packed_log_probs_and_their_gradients_are_those_of_each_answer_with_its_picture_alone(
    kind: str, attention: str, shape: Shape, tmp_path: Path
) -> None:
    model, processor = vision_base(kind, tmp_path, attention=attention)
    slates = slates_of(processor, tmp_path)
    expected = torch.stack([value for slate in slates for value in alone(model, processor, slate, tmp_path)])
    weights = torch.randn(len(expected), generator=torch.Generator().manual_seed(1))
    (expected * weights).sum().backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    assert any(name.startswith(vision_modules(model)) for name in gradients)
    model.zero_grad()
    score_answers(model, vocabulary_chunk=40)
    pictures = pictures_of(processor, tmp_path)
    found: dict[int, torch.Tensor] = {}
    for packed in pack(slates, 400, shape):
        sums = answer_log_probs(model, packed.to("cpu", pictures))
        found |= dict(zip(packed.members, sums.split([len(slates[n].answers) for n in packed.members]), strict=True))
    ours = torch.cat([found[number] for number in range(len(slates))])
    (ours * weights).sum().backward()
    assert (ours - expected).abs().max() < 1e-5 * expected.abs().max()
    for name, parameter in model.named_parameters():
        if name in gradients:
            near = 1e-6 + 2e-5 * float(
                gradients[name].abs().max()
            )  # a key's bias has a gradient of 0, but for rounding
            assert torch.allclose(parameter.grad, gradients[name], rtol=1e-3, atol=near), name


def test_flex_attention_gives_pictures_the_log_probs_of_the_dense_mask(tmp_path: Path) -> None:
    """Its blocks are made of the same `visible`, with a picture's parts that see each other both ways."""
    dense, processor = vision_base("gemma3", tmp_path)
    flex, _ = vision_base("gemma3", tmp_path, attention={"text_config": "flex_attention"})
    slates, pictures = slates_of(processor, tmp_path), pictures_of(processor, tmp_path)
    found = []
    for model, shape in ((dense, "rows"), (flex, "row")):
        assert model.config.get_text_config()._attn_implementation == ("sdpa" if model is dense else "flex_attention")
        score_answers(model, vocabulary_chunk=40)
        with torch.no_grad(), uncompiled():
            (packed,) = pack(slates, 4096, shape)
            sums = answer_log_probs(model, packed.to("cpu", pictures))
        found.append(
            dict(zip(packed.members, sums.split([len(slates[n].answers) for n in packed.members]), strict=True))
        )
    for number in range(len(slates)):
        assert torch.allclose(found[0][number], found[1][number], rtol=1e-4)


def test_a_template_that_knows_parts_alone_writes_plain_texts_too(tmp_path: Path) -> None:
    """As LLaVA's and Idefics' own do: with a text in place of parts they would write nothing, or one letter a line."""
    folder = make_vision_base("llava", tmp_path / "base")
    parts = (
        "{% for m in messages %}<|{{ m['role'] }}|>{% for p in m['content'] %}"
        "{% if p['type'] == 'text' %}{{ p['text'] }}{% else %}<|image|>{% endif %}{% endfor %}{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    template = tmp_path / "template.jinja"
    template.write_text(parts, encoding="utf-8")
    whole = (folder / "chat_template.jinja").read_text(encoding="utf-8")
    recipe = load_recipe("cpu-smoke-vlm", [f"base.chat_template={template}"], base=str(folder))
    words = load_vocabulary(Base("x", folder, ""), recipe.base)
    write_pictures(tmp_path)
    encoded = encode_slate(slate_of("a", *DISHES), words, pictures=tmp_path)
    said = words.tokenizer.decode(encoded.prompt)
    assert said == "<|system|>Eres de México.<|user|>" + "<|image|>" * 4 + "Describe esta imagen.<|assistant|>"
    assert words.tokenizer.decode(encoded.answers[0]) == DISHES[0]
    recipe = load_recipe("cpu-smoke-vlm", base=str(folder))
    assert load_vocabulary(Base("x", folder, ""), recipe.base).tokenizer.chat_template == whole


def test_a_base_whose_processor_needs_torchvision_says_so(tmp_path: Path) -> None:
    """Qwen's and SmolVLM's: they read films with it."""
    from transformers.utils import is_torchvision_available

    model, processor = vision_base("qwen2_5_vl", tmp_path)
    folder = tmp_path / "qwen"
    model.save_pretrained(folder)
    processor.tokenizer.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(
        json.dumps({"processor_class": "Qwen2_5_VLProcessor", "image_processor_type": "Qwen2VLImageProcessor"})
    )
    recipe = load_recipe("cpu-smoke-vlm", base=str(folder))
    if is_torchvision_available():
        pytest.skip("torchvision is here")
    with pytest.raises(TrainError, match=r"qwen: its processor needs torchvision; install the one that was built for"):
        load_vocabulary(Base("qwen", folder, ""), recipe.base)


@pytest.mark.skipif(not importlib.util.find_spec("torchvision"), reason="Qwen's own processor needs torchvision")
def test_qwens_own_processor_writes_the_tokens_of_the_one_without_films(tmp_path: Path) -> None:
    from transformers import Qwen2_5_VLProcessor, Qwen2VLVideoProcessor

    _, mine = vision_base("qwen2_5_vl", tmp_path)
    write_pictures(tmp_path)
    films = Qwen2VLVideoProcessor()
    own = Qwen2_5_VLProcessor(mine.image_processor, mine.tokenizer, films, chat_template=mine.chat_template)
    for picture in FILES:
        one, other = (
            encode_slate(slate_of(picture, *DISHES), vocabulary_of(some), pictures=tmp_path) for some in (mine, own)
        )
        assert one == other


def adapted(kind: str, folder: Path, *overrides: str) -> Any:
    """A base of a kind with a fresh adapter."""
    model, _ = vision_base(kind, folder)
    recipe = load_recipe("cpu-smoke-vlm", overrides)
    check_targets(model, recipe)
    return with_adapter(model, recipe)


def trained_names(model: Any) -> set[str]:
    """Names of the base's layers that have a trained adapter."""
    plain = model.get_base_model()
    return {name.partition(".lora_")[0] for name, weights in plain.named_parameters() if weights.requires_grad}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("targets", ['"all-linear"', '["q_proj", "self_attn.v_proj"]'])
def test_the_language_model_alone_is_adapted_although_the_vision_tower_has_layers_of_the_same_name(
    kind: str, targets: str, tmp_path: Path
) -> None:
    model = adapted(kind, tmp_path, f"lora.targets={targets}")
    plain = model.get_base_model()
    way, language = language_model_of(plain)
    names = trained_names(model)
    assert names
    assert all(name.startswith(f"{way}.layers.") for name in names)
    seen = {name for part in vision_modules(plain) for name, _ in plain.get_submodule(part).named_modules()}
    assert any(name.endswith("q_proj") for name in seen)
    layers = {name.rpartition(".")[2] for name in names}
    every = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert layers == (every if "all" in targets else {"q_proj", "v_proj"})
    assert len(names) == len(layers) * len(language.layers)


def test_the_vision_tower_is_adapted_where_the_settings_say_so_and_a_check_would_tell(tmp_path: Path) -> None:
    model = adapted("llava", tmp_path, "base.vision=adapted")
    assert any("vision_tower" in name for name in trained_names(model))
    with pytest.raises(RuntimeError, match=r"model.vision_tower.* is trained, and base.vision is frozen"):
        check_sight_untouched(model)


def test_a_layer_that_only_the_vision_tower_has_is_refused_with_those_of_the_language_model(tmp_path: Path) -> None:
    with pytest.raises(TrainError, match='the base\'s language model has no linear layer "fc1"; it has down_proj'):
        adapted("llava", tmp_path, 'lora.targets=["q_proj", "fc1"]')
