"""The trainer: transformers' own, fed with whole slates.

What it sees as a batch is an update: a fixed number of slates, whatever the card. `training_step` lays them
into packs that fit, adds up the gradients, and divides by what the objective counts in the whole update, over all
packs and processes. Everything else (optimiser, schedule, clipping, checkpoints, logs) is transformers' own.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from torch.distributed.tensor import DTensor
from transformers import Trainer

from annotation.errors import TrainError
from annotation.files import write_whole
from train.engine import distributed
from train.engine.batches import BatchStats, TrainingSet, UpdateLoader, Updates
from train.engine.dropout import Tokens
from train.engine.log_probs import answer_log_probs
from train.engine.losses import Targets, comparison_stats, objective, sft_term, targets
from train.engine.low_rank import fuse_adapter
from train.engine.memory import Schedule, checkpoint_layers
from train.engine.packing import Pack, Shape, in_one_pass, pack, tokens_of
from train.engine.reference import Pending, ReferenceCache, groups, key_of, per_slate
from train.models.pictures import Pictures
from train.run_folder import RunLog
from train.settings import Recipe

STATE = "engine.json"
"""In a checkpoint: the token budget by then, and how many batches were bad."""


ROUNDING = {True: 1e-6, False: 1e-3}
"""Nats per token that a log-prob may be off by rounding, in float32 and in anything shorter: packs differ from those in
which the reference was computed."""


class SlateTrainer(Trainer):  # type: ignore[misc]
    """Trains an adapter on ranked slates."""

    def __init__(
        self,
        *,
        model: Any,
        args: Any,
        recipe: Recipe,
        train: TrainingSet,
        held_out: TrainingSet,
        schedule: Schedule,
        shape: Shape,
        cache: ReferenceCache,
        log: RunLog,
        callbacks: list[Any],
        pictures: Pictures | None = None,
    ) -> None:
        """Prepare; nothing is computed yet.

        Args:
            model: A PEFT model whose base was given to `score_answers`.
            args: TrainingArguments; per_device_train_batch_size is the slates of a whole update, over all processes.
            recipe: Settings.
            train: Slates to train on.
            held_out: Slates to measure on, each args.eval_steps.
            schedule: What the planner chose.
            shape: How packs lie: what `choose_shape` found to be right for the base.
            cache: Where the base's own log-probs are kept.
            log: Of the run; batches whose gradient is not finite are kept in its folder.
            callbacks: The Trainer's.
            pictures: Where those of the slates are, if they have any.
        """
        super().__init__(model=model, args=args, train_dataset=train, eval_dataset=held_out, callbacks=callbacks)
        self.train_set, self.held_out = train, held_out
        self.settings, self.cache, self.run_log = recipe.dpo, cache, log
        self.token_budget, self.shape = schedule.token_budget, shape
        self.bad, self.most_bad = 0, recipe.engine.max_bad_batches
        self.window, self.logged = BatchStats(), 0
        self.learner, self.pictures = model, pictures
        frozen = {p.dtype for p in model.parameters() if not p.requires_grad}
        self.rounding = recipe.dpo.beta * ROUNDING[frozen == {torch.float32} and not args.bf16]
        self.reference: dict[int, list[tuple[float, ...]]] = {}
        self.tokens = Tokens(args.seed)
        fuse_adapter(model, self.tokens)
        checkpoint_layers(model, schedule.checkpoint_layers)

    # -- what the Trainer asks for -----------------------------------------------------------------------------

    def get_train_dataloader(self) -> UpdateLoader:
        """Whole updates, in an order that a resumed run finds again."""
        updates = Updates(len(self.train_set), self.args.per_device_train_batch_size, self.args.data_seed)
        return UpdateLoader(self.train_set, batch_sampler=updates, collate_fn=list)

    def _prepare_for_training(self, max_steps: int, train_dataloader: Any, resume_from_checkpoint: str | None) -> Any:
        prepared = super()._prepare_for_training(max_steps, train_dataloader, resume_from_checkpoint)
        if resume_from_checkpoint:
            state = json.loads((Path(resume_from_checkpoint) / STATE).read_text(encoding="utf-8"))
            self.token_budget, self.bad = state["token_budget"], state["bad"]
        # DDP's own forward is left alone: it would add up gradients after every pack. FSDP2's is the model's.
        self.learner = self.accelerator.unwrap_model(prepared[0])
        if self.sharded and not any(isinstance(p, DTensor) for p in self.learner.parameters()):
            raise RuntimeError("FSDP2 was asked for, and no weight is spread over the processes")
        # Here, because a base that is spread over several cards can compute from now on.
        for slates in (self.train_set, self.held_out):
            self.reference[id(slates)] = self.reference_of(slates)
        self.logged = self.state.global_step
        return prepared

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()
        if self.is_world_process_zero():
            state = {"token_budget": self.token_budget, "bad": self.bad}
            checkpoint = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
            write_whole(checkpoint / STATE, json.dumps(state).encode())

    def floating_point_ops(self, inputs: Any) -> int:  # noqa: ARG002
        """Not counted: a batch here has no shape."""
        return 0

    def training_step(self, model: Any, inputs: list[int], num_items_in_batch: Any = None) -> torch.Tensor:  # noqa: ARG002
        """Forward and backward of one update, in as many packs as it takes."""
        self.learner.train()
        stats = self.learn(inputs)
        if not self.sharded:
            self.add_up_gradients()
        if self.gradients_are_finite():
            self.window.add(stats)
        else:
            self.skip_batch(inputs)
        return torch.tensor(stats.loss, device=self.args.device)

    def evaluate(self, *_args: Any, metric_key_prefix: str = "eval", **_named: Any) -> dict[str, float]:
        """The objective on the held-out slates, and how many of their comparisons come out right."""
        slates, stats = self.held_out, BatchStats()
        batch = targets(slates.slates, self.kind)
        self.learner.eval()
        with torch.no_grad():
            for packed, numbers, weight in self.packs(slates, self.share(slates, range(len(slates)))):
                stats.add(self.forward(slates, packed, numbers, batch, weight)[1])
        stats = self.gathered(stats)
        metrics = {
            f"{metric_key_prefix}_loss": stats.loss / (stats.weight or 1.0),
            **stats.rewards(f"{metric_key_prefix}_"),
        }
        self.log(metrics)
        self.control: Any = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log a line, with the rewards since the last one."""
        if "loss" in logs:
            # The Trainer's own mean would count skipped batches.
            del logs["loss"]
            steps = self.state.global_step - self.logged
            if self.window.updates:
                # By the weights too: a slate with a fifth of the weight is no slate with a fifth of the loss.
                weight = self.window.weight or self.window.updates
                means = {"loss": self.window.loss / weight, "untrained_loss": self.window.untrained / weight}
                logs = {**means, **logs, **self.window.rewards()}
            if skipped := steps - round(self.window.updates):
                logs["skipped"] = float(skipped)
            self.window, self.logged = BatchStats(), self.state.global_step
        super().log(logs, start_time)

    # -- an update ---------------------------------------------------------------------------------------------

    @property
    def kind(self) -> Any:
        """Which objective."""
        return self.settings.objective

    def learn(self, update: Sequence[int]) -> BatchStats:
        """This process's part of the gradients of an update's mean loss; on out-of-memory again, in smaller packs."""
        batch = targets([self.train_set.slates[number] for number in update], self.kind)
        mine = self.share(self.train_set, update)
        # FSDP2 takes the mean over its processes; the loss is divided by what all of them count already.
        scale = self.args.world_size if self.sharded else 1
        while True:
            stats, full = BatchStats(), False
            try:
                for packed, numbers, weight in self.packs(self.train_set, mine):
                    self.tokens.enter(packed, torch.tensor(numbers, device=packed.ids.device), self.state.global_step)
                    loss, part = self.forward(self.train_set, packed, numbers, batch, weight)
                    self.accelerator.backward(loss * scale)
                    stats.add(part)
            except torch.OutOfMemoryError:
                if self.sharded:
                    raise TrainError(
                        "out of memory, and processes that share one base cannot go back: set a smaller "
                        f"engine.token_budget than {self.token_budget}."
                    ) from None
                full = True
            # Behind the except: until here the traceback holds what was computed.
            if not self.any_process(full):
                stats = self.gathered(stats)
                stats.updates = 1.0
                return stats
            self.halve_budget(mine, full)

    def forward(
        self, slates: TrainingSet, packed: Pack, numbers: Sequence[int], batch: Targets, weight: float = 1.0
    ) -> tuple[torch.Tensor, BatchStats]:
        """Loss of a pack's slates as part of the mean over a batch, and its sums for the log.

        Args:
            slates: Where the pack's slates are from.
            packed: On this process's device.
            numbers: Their numbers in `slates`, by what the pack calls them.
            batch: Of all slates that the mean is over, in all packs and processes.
            weight: 0 for a pack that is only there to keep processes in step.
        """
        members = [numbers[member] for member in packed.members]
        known = [value for number in members for value in self.reference[id(slates)][number]]
        with self.accelerator.autocast():
            policy = answer_log_probs(self.learner, packed)
        reference = torch.tensor(known, dtype=torch.float32, device=policy.device)
        rewards = self.settings.beta * (policy - reference)
        here = targets([slates.slates[number] for number in members], self.kind, policy.device)
        loss = objective(rewards, here) / max(batch.count, 1e-12)
        if batch.sft_count:
            loss = loss + self.settings.sft_weight * sft_term(policy, packed.lengths, here) / batch.sft_count
        if not weight:
            return loss * 0.0, BatchStats()
        with torch.no_grad():
            untrained = objective(torch.zeros_like(rewards), here) / max(batch.count, 1e-12)
            if batch.sft_count:
                untrained += self.settings.sft_weight * sft_term(reference, packed.lengths, here) / batch.sft_count
        right, lead, compared = comparison_stats(rewards, here, self.rounding * packed.lengths)
        better, worse = (float(rewards.detach()[which].double().sum()) for which in (here.better, here.worse))
        weighed = here.weighted_count / max(batch.count, 1e-12)
        return loss, BatchStats(
            float(loss.detach()), float(untrained), weighed, right, lead, better, worse, float(compared)
        )

    def packs(self, slates: TrainingSet, mine: Sequence[int]) -> Iterator[tuple[Pack, Sequence[int], float]]:
        """This process's slates in packs on its device, the numbers that their members index, and a weight of 1.

        Processes that share one base go forward together: who has fewer packs repeats a small one, with a weight of 0.
        """
        packs = pack([slates.encoded[number] for number in mine], self.token_budget, self.shape)
        for packed in packs:
            yield packed.to(self.args.device, self.pictures), mine, 1.0
        if self.sharded:
            smallest = min(range(len(slates)), key=lambda number: slates.encoded[number].tokens)
            for _ in range(self.most_of_any(len(packs)) - len(packs)):
                small = pack([slates.encoded[smallest]], self.token_budget, self.shape)[0]
                yield small.to(self.args.device, self.pictures), [smallest], 0.0

    def halve_budget(self, mine: Sequence[int], full: bool) -> None:
        """Make packs half as large from here on, on every process.

        Args:
            mine: This process's slates.
            full: It is this process that ran out of memory.

        Raises:
            TrainError: Its packs are single slates already.
        """
        self.learner.zero_grad()
        if self.args.device.type == "cuda":
            torch.cuda.empty_cache()
        largest = max((tokens_of(self.train_set.encoded[number], self.shape) for number in mine), default=0)
        if full and self.token_budget <= largest:
            raise TrainError(
                f"a slate of {largest} tokens does not fit into memory even alone; set engine.checkpoint_layers to all "
                "layers, lower data.max_length, or use a larger card."
            )
        self.token_budget = max(self.token_budget // 2, 1)
        self.run_log(f"out of memory: the batch is done again in packs of up to {self.token_budget} tokens.")

    def gradients_are_finite(self) -> bool:
        """Whether every gradient is a number, on every process."""
        gradients = [p.grad for p in self.learner.parameters() if p.grad is not None]
        largest = torch.stack([local(gradient).abs().max() for gradient in gradients if local(gradient).numel()]).max()
        return not self.any_process(not bool(largest.isfinite()))

    def skip_batch(self, update: Sequence[int]) -> None:
        """Keep a batch whose gradient is not finite in a file, and train on none of it.

        Raises:
            TrainError: There were too many of them.
        """
        self.bad += 1
        step, data, kept = self.state.global_step + 1, self.train_set, self.run_log.folder / "bad_batches"
        if self.is_world_process_zero():
            slates = [
                {"id": data.slates[n].id, "prompt": data.encoded[n].prompt, "answers": data.encoded[n].answers,
                 "image": data.encoded[n].image, "reference": self.reference[id(data)][n]}
                for n in update
            ]  # fmt: skip
            text = json.dumps({"step": step, "slates": slates}, ensure_ascii=False)
            write_whole(kept / f"step-{step}.json", text.encode())
            self.run_log(f"step {step}: the gradient is not finite; the batch is skipped and kept in {kept.name}.")
        if self.bad > self.most_bad:
            raise TrainError(
                f"the gradient was not finite in {self.bad} {'batch' if self.bad == 1 else 'batches'} (see "
                f"{kept}): training has diverged; lower the rate with --set optimiser.learning_rate=..., in a "
                "new --run."
            )
        # Without gradients the optimiser changes neither weights nor its own state.
        self.learner.zero_grad(set_to_none=True)

    # -- the reference -----------------------------------------------------------------------------------------

    def reference_of(self, slates: TrainingSet) -> list[tuple[float, ...]]:
        """Log-probs of each slate's answers under the base alone, from the cache where they are known."""
        wanted = groups(slates.encoded)
        # The first process's file counts: on other machines there may be another one.
        known: dict[bytes, list[float]] = distributed.broadcast(self.cache.read(key_of(group) for group in wanted))
        missing = [group for group in wanted if key_of(group) not in known]
        rounds = math.ceil(len(missing) / self.args.world_size)
        mine = missing[self.args.process_index :: self.args.world_size]
        if self.sharded:
            mine += wanted[:1] * (rounds - len(mine))
        found: dict[bytes, list[float]] = {}
        pending = Pending(self.cache)
        self.learner.eval()
        with torch.no_grad(), self.learner.disable_adapter(), self.accelerator.autocast():
            for done, (group, packed) in enumerate(zip(mine, in_one_pass(mine, self.shape), strict=True)):
                self.run_log.progress(done, len(mine), "groups of answers scored by the base")
                packed = packed.to(self.args.device, self.pictures)
                found[key_of(group)] = answer_log_probs(self.learner, packed).tolist()
                pending.add(key_of(group), found[key_of(group)])
        pending.flush()
        for part in gather_object([found]):
            known |= part
        return per_slate(slates.encoded, wanted, known)

    # -- several processes -------------------------------------------------------------------------------------

    @property
    def sharded(self) -> bool:
        """Whether the base is spread over the processes (FSDP2) and not held by each."""
        return bool(self.is_fsdp_enabled)

    def share(self, slates: TrainingSet, numbers: Sequence[int]) -> list[int]:
        """This process's part of some slates: long and short ones in turn, so that all have about as much to do."""
        order = sorted(numbers, key=lambda number: (-slates.encoded[number].tokens, number))
        return order[self.args.process_index :: self.args.world_size]

    def add_up_gradients(self) -> None:
        """Sum the gradients of all processes: once an update, whatever the packs of each."""
        if self.args.world_size == 1:
            return
        trained = [p for p in self.learner.parameters() if p.requires_grad]
        flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in trained])
        flat = self.accelerator.reduce(flat, reduction="sum")
        for parameter, gradient in zip(trained, flat.split([p.numel() for p in trained]), strict=True):
            parameter.grad = gradient.view_as(parameter)

    def gathered(self, stats: BatchStats) -> BatchStats:
        """The sums of all processes."""
        if self.args.world_size == 1:
            return stats
        sums = torch.tensor(list(vars(stats).values()), dtype=torch.float64, device=self.args.device)
        return BatchStats(*self.accelerator.reduce(sums, reduction="sum").tolist())

    def any_process(self, here: bool) -> bool:
        """Whether something is so on this process or another."""
        return self.most_of_any(int(here)) > 0

    def most_of_any(self, here: int) -> int:
        """The largest of a number that each process has."""
        if self.args.world_size == 1:
            return here
        return int(self.accelerator.gather(torch.tensor([here], device=self.args.device)).max())


def local(tensor: torch.Tensor) -> torch.Tensor:
    """The part of a tensor that is on this process."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
