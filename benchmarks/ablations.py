"""Features of the engine switched off one at a time, for benchmarks/dpo.py."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

ABLATIONS = {
    "every answer with its own prompt": "copies",
    "one slate per forward pass": "alone",
    "scores of the whole vocabulary at once": "whole_head",
    "reference computed in every update": "reference",
}


def switch_off(trainer: Any, feature: str) -> None:
    """Take one feature out of the engine."""
    import train.engine.trainer as engine
    from train.data.tokens import EncodedSlate
    from train.engine.packing import lay_out

    if feature == "copies":

        def packs(data: Any, mine: Any) -> Any:
            # Every answer with a prompt of its own, as many slates as fit the budget: packing without sharing.
            at = 0
            while at < len(mine):
                end, width, rows = at, 0, 0
                while end < len(mine):
                    slate = data.encoded[mine[end]]
                    wide, tall = max(width, slate.longest), rows + len(slate.answers)
                    if end > at and wide * tall > trainer.token_budget:
                        break
                    end, width, rows = end + 1, wide, tall
                alone = [
                    EncodedSlate(data.encoded[n].prompt, (answer,))
                    for n in mine[at:end]
                    for answer in data.encoded[n].answers
                ]
                laid = lay_out(alone, [[row] for row in range(len(alone))])
                yield replace(laid, members=tuple(range(at, end))).to(trainer.args.device), mine, 1.0
                at = end

        trainer.packs = packs
    elif feature == "whole_head":

        def score(model: Any, packed: Any) -> Any:
            import torch

            from train.engine.log_probs import activation_dtype
            from train.engine.packing import attention_masks

            config = model.config.get_text_config()
            mask = attention_masks(packed, config, activation_dtype(model, packed.ids.device.type))
            logits = model(
                input_ids=packed.ids, position_ids=packed.positions, attention_mask=mask, use_cache=False
            ).logits.float()
            chosen = logits.log_softmax(-1).flatten(0, 1)[packed.scored, packed.targets]
            return torch.segment_reduce(chosen, "sum", lengths=packed.lengths, unsafe=True)

        engine.answer_log_probs = score
    elif feature == "reference":
        learn = trainer.learn

        def learn_with_reference(update: Any) -> Any:
            import torch

            with torch.no_grad(), trainer.learner.disable_adapter(), trainer.accelerator.autocast():
                for packed, _, _ in trainer.packs(trainer.train_set, trainer.share(trainer.train_set, update)):
                    engine.answer_log_probs(trainer.learner, packed)
            return learn(update)

        trainer.learn = learn_with_reference
