"""The engine: transformers' Trainer, fed with whole slates.

What the Trainer sees as a batch is an update: a fixed number of slates, whatever the card. `training_step` lays them
into packs that fit, adds up the gradients, and divides by what the objective counts in the whole update, over all
packs and processes. Everything else (optimiser, schedule, clipping, checkpoints, logs) is the Trainer's own.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import broadcast_object_list, gather_object
from torch.distributed.tensor import DTensor
from torch.utils.data import DataLoader, Dataset, Sampler
from transformers import Trainer

from annotation.errors import TrainError
from annotation.project import write_whole
from annotation.screen import Progress, silent
from train.dropout import Tokens, drop_by_token
from train.log_probs import answer_log_probs
from train.objective import Targets, objective, sft_term, targets, told_apart
from train.packing import EncodedSlate, Pack, Shape, in_one_pass, pack
from train.planner import Schedule, checkpoint_layers
from train.rankings import RankedSlate
from train.reference import Pending, ReferenceCache, groups, key_of, per_slate
from train.settings import DpoSettings

STATE = "engine.json"
"""In a checkpoint: the token budget by then, and how many batches were bad."""


ROUNDING = {True: 1e-6, False: 1e-3}
"""Nats per token that a log-prob may be off by rounding, in float32 and in anything shorter: packs differ from those in
which the reference was computed."""


@dataclass(frozen=True, eq=False)
class Taught(Dataset[int]):
    """Slates to learn from or to measure on.

    Attributes:
        slates: What people said.
        encoded: The same slates in tokens, in the same order.
    """

    slates: Sequence[RankedSlate]
    encoded: Sequence[EncodedSlate]

    def __len__(self) -> int:
        """How many slates."""
        return len(self.slates)

    def __getitem__(self, number: int) -> int:
        """A slate goes by its number: what a batch is made of."""
        return number


class Updates(Sampler[list[int]]):
    """The slates of each update: every slate once an epoch, in an order that seed and epoch decide."""

    def __init__(self, slates: int, size: int, seed: int) -> None:
        """`size` slates an update; the last one of an epoch has what is left."""
        self.slates, self.size, self.seed, self.epoch = slates, size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Which epoch the next iteration is."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[list[int]]:
        """Numbers of slates, an update at a time."""
        order = torch.randperm(self.slates, generator=torch.Generator().manual_seed(self.seed * 100003 + self.epoch))
        return ([int(number) for number in order[at : at + self.size]] for at in range(0, self.slates, self.size))

    def __len__(self) -> int:
        """Updates an epoch."""
        return math.ceil(self.slates / self.size)


class UpdateLoader(DataLoader[Any]):
    """Hands each process the whole update: the processes divide it among themselves."""

    def set_epoch(self, epoch: int) -> None:
        """The Trainer tells."""
        self.batch_sampler.set_epoch(epoch)  # type: ignore[union-attr]


@dataclass
class Told:
    """Sums over what went through the model, for the log; `weight` is the mean weight of what the loss is about."""

    loss: float = 0.0
    untrained: float = 0.0
    weight: float = 0.0
    right: float = 0.0
    lead: float = 0.0
    better: float = 0.0
    worse: float = 0.0
    compared: float = 0.0
    updates: float = 0.0

    def add(self, other: Told) -> None:
        """Add another's sums."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    def rewards(self, prefix: str = "") -> dict[str, float]:
        """Means over the comparisons, in the words of TRL's logs; empty where nothing was compared."""
        if not self.compared:
            return {}
        sums = {"accuracies": self.right, "margins": self.lead, "chosen": self.better, "rejected": self.worse}
        return {f"{prefix}rewards/{name}": total / self.compared for name, total in sums.items()}


class SlateTrainer(Trainer):  # type: ignore[misc]
    """Trains an adapter on ranked slates."""

    def __init__(
        self,
        *,
        model: Any,
        args: Any,
        taught: Taught,
        held_out: Taught,
        settings: DpoSettings,
        schedule: Schedule,
        cache: ReferenceCache,
        keep_bad: Path,
        most_bad: int,
        callbacks: list[Any],
        tell: Callable[[str], None],
        progress: Progress = silent,
    ) -> None:
        """Prepare; nothing is computed yet.

        Args:
            model: A PEFT model whose base was given to `score_answers`.
            args: TrainingArguments; per_device_train_batch_size is the slates of a whole update, over all processes.
            taught: What is learnt from.
            held_out: What is measured on, each args.eval_steps.
            settings: The objective.
            schedule: What the planner chose.
            cache: Where the base's own log-probs are kept.
            keep_bad: Folder for batches whose gradient is not finite.
            most_bad: How many of them are skipped before the run stops.
            callbacks: The Trainer's.
            tell: Says a line to the person.
            progress: Told how far the reference is.
        """
        super().__init__(model=model, args=args, train_dataset=taught, eval_dataset=held_out, callbacks=callbacks)
        self.taught, self.held_out = taught, held_out
        self.settings, self.schedule, self.cache = settings, schedule, cache
        self.token_budget = schedule.token_budget
        self.keep_bad, self.most_bad, self.bad = keep_bad, most_bad, 0
        self.tell, self.progress = tell, progress
        self.window, self.logged = Told(), 0
        self.learner = model
        frozen = {p.dtype for p in model.parameters() if not p.requires_grad}
        self.rounding = settings.beta * ROUNDING[frozen == {torch.float32} and not args.bf16]
        self.reference: dict[int, list[tuple[float, ...]]] = {}
        self.tokens = Tokens(args.seed)
        drop_by_token(model, self.tokens)
        checkpoint_layers(model, schedule.checkpoint_layers)

    # -- what the Trainer asks for -----------------------------------------------------------------------------

    def get_train_dataloader(self) -> UpdateLoader:
        """Whole updates, in an order that a resumed run finds again."""
        updates = Updates(len(self.taught), self.args.per_device_train_batch_size, self.args.data_seed)
        return UpdateLoader(self.taught, batch_sampler=updates, collate_fn=list)

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
        for taught in (self.taught, self.held_out):
            self.reference[id(taught)] = self.reference_of(taught)
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
        told = self.learn(inputs)
        if not self.sharded:
            self.add_up_gradients()
        if self.gradients_are_finite():
            self.window.add(told)
        else:
            self.set_aside(inputs)
        return torch.tensor(told.loss, device=self.args.device)

    def evaluate(self, *_args: Any, metric_key_prefix: str = "eval", **_named: Any) -> dict[str, float]:
        """The objective on the held-out slates, and how many of their comparisons come out right."""
        taught, told = self.held_out, Told()
        said = targets(taught.slates, self.kind)
        self.learner.eval()
        with torch.no_grad():
            for packed, numbers, weight in self.packs(taught, self.share(taught, range(len(taught)))):
                told.add(self.forward(taught, packed, numbers, said, weight)[1])
        told = self.gathered(told)
        metrics = {
            f"{metric_key_prefix}_loss": told.loss / (told.weight or 1.0),
            **told.rewards(f"{metric_key_prefix}_"),
        }
        self.log(metrics)
        self.control: Any = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """With the rewards since the last line."""
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
            self.window, self.logged = Told(), self.state.global_step
        super().log(logs, start_time)

    # -- an update ---------------------------------------------------------------------------------------------

    @property
    def kind(self) -> Any:
        """Which objective."""
        return self.settings.objective

    @property
    def shape(self) -> Shape:
        """How packs lie: FlexAttention skips what is not seen, a dense mask does not."""
        return "row" if self.model.config._attn_implementation == "flex_attention" else "rows"

    def learn(self, update: Sequence[int]) -> Told:
        """This process's part of the gradients of an update's mean loss; on out-of-memory again, in smaller packs."""
        said = targets([self.taught.slates[number] for number in update], self.kind)
        mine = self.share(self.taught, update)
        # FSDP2 takes the mean over its processes; the loss is divided by what all of them count already.
        scale = self.args.world_size if self.sharded else 1
        while True:
            told, full = Told(), False
            try:
                for packed, numbers, weight in self.packs(self.taught, mine):
                    self.tokens.enter(packed, torch.tensor(numbers, device=packed.ids.device), self.state.global_step)
                    loss, part = self.forward(self.taught, packed, numbers, said, weight)
                    self.accelerator.backward(loss * scale)
                    told.add(part)
            except torch.OutOfMemoryError:
                if self.sharded:
                    raise TrainError(
                        "out of memory, and processes that share one base cannot go back: set a smaller "
                        f"engine.token_budget than {self.token_budget}."
                    ) from None
                full = True
            # Behind the except: until here the traceback holds what was computed.
            if not self.any_process(full):
                told = self.gathered(told)
                told.updates = 1.0
                return told
            self.halve_budget(mine, full)

    def forward(
        self, taught: Taught, packed: Pack, numbers: Sequence[int], said: Targets, weight: float = 1.0
    ) -> tuple[torch.Tensor, Told]:
        """The part of a mean loss that a pack's slates give, and what there is to log.

        Args:
            taught: Where the slates are from.
            packed: On this process's device.
            numbers: The slates' numbers in `taught`, by what the pack calls them.
            said: Of all slates that the mean is over, in all packs and processes.
            weight: 0 for a pack that is only there to keep processes in step.
        """
        members = [numbers[member] for member in packed.members]
        known = [value for number in members for value in self.reference[id(taught)][number]]
        with self.accelerator.autocast():
            policy = answer_log_probs(self.learner, packed)
        reference = torch.tensor(known, dtype=torch.float32, device=policy.device)
        rewards = self.settings.beta * (policy - reference)
        here = targets([taught.slates[number] for number in members], self.kind, policy.device)
        loss = objective(rewards, here) / max(said.count, 1e-12)
        if said.sft_count:
            loss = loss + self.settings.sft_weight * sft_term(policy, packed.lengths, here) / said.sft_count
        if not weight:
            return loss * 0.0, Told()
        with torch.no_grad():
            untrained = objective(torch.zeros_like(rewards), here) / max(said.count, 1e-12)
            if said.sft_count:
                untrained += self.settings.sft_weight * sft_term(reference, packed.lengths, here) / said.sft_count
        right, lead, compared = told_apart(rewards, here, self.rounding * packed.lengths)
        better, worse = (float(rewards.detach()[which].double().sum()) for which in (here.better, here.worse))
        weighed = here.weighted_count / max(said.count, 1e-12)
        return loss, Told(float(loss.detach()), float(untrained), weighed, right, lead, better, worse, float(compared))

    def packs(self, taught: Taught, mine: Sequence[int]) -> Iterator[tuple[Pack, Sequence[int], float]]:
        """This process's slates in packs on its device, the numbers that their members index, and a weight of 1.

        Processes that share one base go forward together: who has fewer packs repeats a small one, with a weight of 0.
        """
        packs = pack([taught.encoded[number] for number in mine], self.token_budget, self.shape)
        for packed in packs:
            yield packed.to(self.args.device), mine, 1.0
        if self.sharded:
            smallest = min(range(len(taught)), key=lambda number: taught.encoded[number].tokens)
            for _ in range(self.most_of_any(len(packs)) - len(packs)):
                small = pack([taught.encoded[smallest]], self.token_budget, self.shape)[0]
                yield small.to(self.args.device), [smallest], 0.0

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
        largest = max((self.taught.encoded[number].tokens for number in mine), default=0)
        if full and self.token_budget <= largest:
            raise TrainError(
                f"a slate of {largest} tokens does not fit into memory even alone; set engine.checkpoint_layers to all "
                "layers, lower data.max_length, or use a larger card."
            )
        self.token_budget = max(self.token_budget // 2, 1)
        self.tell(f"out of memory: the batch is done again in packs of up to {self.token_budget} tokens.")

    def gradients_are_finite(self) -> bool:
        """Whether every gradient is a number, on every process."""
        gradients = [p.grad for p in self.learner.parameters() if p.grad is not None]
        largest = torch.stack([local(gradient).abs().max() for gradient in gradients if local(gradient).numel()]).max()
        return not self.any_process(not bool(largest.isfinite()))

    def set_aside(self, update: Sequence[int]) -> None:
        """Keep a batch whose gradient is not finite in a file, and learn nothing from it.

        Raises:
            TrainError: There were too many of them.
        """
        self.bad += 1
        step = self.state.global_step + 1
        if self.is_world_process_zero():
            slates = [
                {"id": self.taught.slates[n].id, "prompt": self.taught.encoded[n].prompt,
                 "answers": self.taught.encoded[n].answers, "reference": self.reference[id(self.taught)][n]}
                for n in update
            ]  # fmt: skip
            text = json.dumps({"step": step, "slates": slates}, ensure_ascii=False)
            write_whole(self.keep_bad / f"step-{step}.json", text.encode())
            self.tell(
                f"step {step}: the gradient is not finite; the batch is skipped and kept in {self.keep_bad.name}."
            )
        if self.bad > self.most_bad:
            raise TrainError(
                f"the gradient was not finite in {self.bad} {'batch' if self.bad == 1 else 'batches'} (see "
                f"{self.keep_bad}): training has diverged; lower the rate with --set optimiser.learning_rate=..., in a "
                "new --run."
            )
        # Without gradients the optimiser changes neither weights nor its own state.
        self.learner.zero_grad(set_to_none=True)

    # -- the reference -----------------------------------------------------------------------------------------

    def reference_of(self, taught: Taught) -> list[tuple[float, ...]]:
        """What the base alone thinks of each slate's answers, from the cache where it is known."""
        wanted = groups(taught.encoded)
        # The first process's file counts: on other machines there may be another one.
        known: dict[bytes, list[float]] = self.agreed(self.cache.read(key_of(group) for group in wanted))
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
                self.progress(done, len(mine), "groups of answers scored by the base")
                found[key_of(group)] = answer_log_probs(self.learner, packed.to(self.args.device)).tolist()
                pending.add(key_of(group), found[key_of(group)])
        pending.flush()
        for part in gather_object([found]):
            known |= part
        return per_slate(taught.encoded, wanted, known)

    # -- several processes -------------------------------------------------------------------------------------

    @property
    def sharded(self) -> bool:
        """Whether the base is spread over the processes (FSDP2) and not held by each."""
        return bool(self.is_fsdp_enabled)

    def share(self, taught: Taught, numbers: Sequence[int]) -> list[int]:
        """This process's part of some slates: long and short ones in turn, so that all have about as much to do."""
        order = sorted(numbers, key=lambda number: (-taught.encoded[number].tokens, number))
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

    def gathered(self, told: Told) -> Told:
        """The sums of all processes."""
        if self.args.world_size == 1:
            return told
        sums = torch.tensor(list(vars(told).values()), dtype=torch.float64, device=self.args.device)
        return Told(*self.accelerator.reduce(sums, reduction="sum").tolist())

    def any_process(self, here: bool) -> bool:
        """Whether something is so on this process or another."""
        return self.most_of_any(int(here)) > 0

    def most_of_any(self, here: int) -> int:
        """The largest of a number that each process has."""
        if self.args.world_size == 1:
            return here
        return int(self.accelerator.gather(torch.tensor([here], device=self.args.device)).max())

    def agreed(self, here: Any) -> Any:
        """What the first process has."""
        return broadcast_object_list([here])[0]


def local(tensor: torch.Tensor) -> torch.Tensor:
    """The part of a tensor that is on this process."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
