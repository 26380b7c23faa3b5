"""Callbacks between the steps of a training: logs, warnings, seals on checkpoints."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from annotation.errors import TrainError
from train.data.plan import Plan
from train.engine.adapter import check_float32
from train.engine.divergence import FEWEST, why_diverged
from train.run_folder import RunLog, seal


def show_no_logs_twice(trainer: Any) -> None:
    """Take out the callback that prints every log as a dict: ours writes it to metrics.jsonl."""
    from transformers import PrinterCallback

    trainer.remove_callback(PrinterCallback)


def kept_metrics(line: Mapping[str, Any]) -> dict[str, Any]:
    """A log line of the trainer without times: the same run writes the same lines. It may be empty."""
    if "train_runtime" in line:
        return {}
    clock = ("_runtime", "_per_second", "num_tokens")  # tokens are counted from the last start only
    return {"step": line["step"], **{key: line[key] for key in sorted(line) if not key.endswith(clock)}}


def metrics_sentence(line: Mapping[str, Any]) -> str:
    """A line of metrics for a person; what is not in it is left out."""
    kind = "eval_" if "eval_loss" in line else ""
    known = (
        ("loss", f"{'held-out ' if kind else ''}loss {{:.4f}}"),
        ("rewards/margins", "reward margin {:+.4f}"),
        ("rewards/accuracies", "accuracy {:.1%}"),
        ("skipped", "{:.0f} batches skipped"),
    )
    return ", ".join(form.format(line[kind + key]) for key, form in known if kind + key in line)


def log_at_the_end() -> Any:
    """Callback that logs the last step too; in every process, since a log gathers from all."""
    from transformers import TrainerCallback

    class AtTheEnd(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
            control.should_log |= state.global_step >= state.max_steps

    return AtTheEnd()


def run_callback(plan: Plan, log: RunLog, keep_energy: Callable[[], None]) -> Any:
    """Callback of the first process: metrics to the file, progress to the screen, a seal on each checkpoint.

    Args:
        plan: Of the run.
        log: Of the run.
        keep_energy: Called at each checkpoint.

    Raises:
        TrainError: While training: the loss is not finite.
    """
    from transformers import TrainerCallback

    steps = plan.steps

    class Between(TrainerCallback):  # type: ignore[misc]
        warned = False

        def on_train_begin(self, args: Any, state: Any, control: Any, *, model: Any, **kwargs: Any) -> None:  # noqa: ARG002
            check_float32(model)

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
            log.progress(state.global_step, steps, "steps")

        def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
            line = kept_metrics(state.log_history[-1])
            if not line:
                return
            with (log.folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            if not math.isfinite(line.get("loss", line.get("eval_loss", 0.0))):
                raise TrainError(
                    f"the loss is not finite at step {line['step']}: training has diverged; lower the "
                    "rate with --set optimiser.learning_rate=..., in a new --run."
                )
            log.step(f"step {line['step']} of {steps}: {metrics_sentence(line)}")
            if (
                not self.warned
                and FEWEST <= line["step"] < steps
                and (why := why_diverged(state.log_history, plan.recipe))
            ):
                self.warned = True
                log(f"warning at step {line['step']}: {why} The run goes on; Ctrl-C ends it.")

        def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
            seal(Path(args.output_dir) / f"checkpoint-{state.global_step}")
            keep_energy()

    return Between()
