"""Workers that draft answers: calls within rates and budget, retries, and what stops a run.

A call is written to the ledger with the most it can cost before it is sent, and its outcome together with the candidate
that it brought in one transaction before anything else is done.
"""

from __future__ import annotations

import asyncio
import logging
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from annotation.drafting.pictures import read_picture
from annotation.drafting.plan import FREE, Slot, Todo
from annotation.drafting.prices import Price
from annotation.drafting.verdict import normal_form, verdict
from annotation.drafting.writer import DETAIL_CHARS, Fault, Reply, Writer, writable
from annotation.errors import BudgetExhausted, DraftError
from annotation.money import Call, Outcome, committed_usd, reserve, settle
from annotation.project import Project
from annotation.screen import Progress, counted
from annotation.text.privacy import mask, mask_json
from annotation.types import Candidate, Prompt

FAILURES = ("rate limited", "server error", "rejected", "unreachable", "timeout", "broken", "lost")
"""Outcomes that say something about the service, not about the prompt."""

FAILURES_IN_A_ROW = 5
"""After so many of them, one after the other, the run stops."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How often and how long a call that cost nothing is tried again in one run.

    Attributes:
        attempts: Calls for one answer at most.
        first_wait_s: Doubled after every attempt. Retry-After counts instead where the service names it.
        longest_wait_s: A Retry-After above it ends the run.
        jitter_s: Added at random, up to this.
    """

    attempts: int = 5
    first_wait_s: float = 1.0
    longest_wait_s: float = 300.0
    jitter_s: float = 1.0


class _Retry(Exception):
    """A call cost nothing and is worth another attempt."""

    def __init__(self, wait_s: float | None) -> None:
        super().__init__()
        self.wait_s = wait_s


class _NoneLeft(Exception):
    """The month's calls to a model are used up, and others may still be called."""


class _RateLimit:
    """Rate limit of one model: calls are evenly spaced, so that no minute holds more than the limit, and may pause."""

    def __init__(self, per_minute: float) -> None:
        from aiolimiter import AsyncLimiter

        # A bucket of one: a larger one would let a burst through on top of the rate.
        self._limiter = AsyncLimiter(1, 60 / per_minute)
        self._resume_at = 0.0

    def pause(self, seconds: float) -> None:
        self._resume_at = max(self._resume_at, asyncio.get_running_loop().time() + seconds)

    async def wait(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            while (wait_s := self._resume_at - loop.time()) > 0:
                await asyncio.sleep(wait_s)
            await self._limiter.acquire()
            if self._resume_at <= loop.time():
                return


class Workers:
    """Workers of one run: each takes a prompt and calls its slots in order.

    Answers to one prompt are drafted one after the other, so that what counts as a duplicate never depends on
    who was quicker. Workers may be stopped at any moment; a call under way is never cut off by that.
    """

    def __init__(
        self,
        project: Project,
        prices: Mapping[str, Price],
        service: Writer,
        patience: Patience,
        progress: Progress,
        wanted: int,
        monthly: tuple[int, int] | None,
        *,
        judge: Callable[[str, str, Prompt, set[str]], str] = verdict,
        candidates: bool = True,
    ) -> None:
        """Workers for `wanted` answers.

        Args:
            project: Its settings say how they call, its ledger keeps what comes.
            prices: Of every model that is called.
            service: What answers.
            patience: How often a call that cost nothing is tried again.
            progress: Gets answers, answers wanted and dollars.
            wanted: How many answers are.
            monthly: Calls used and allowed this month; None without a limit.
            judge: Says what outcome a paid answer is.
            candidates: An answer becomes a candidate; otherwise the ledger keeps its body alone.
        """
        self._folder, self._ledger = project.folder, project.ledger
        self._settings = project.settings.draft
        self._prices = prices
        self._service, self._name = service, service.name
        self._patience = patience
        self._progress = progress
        self._wanted, self._answers = wanted, 0
        self._monthly = monthly
        self._judge, self._makes_candidates = judge, candidates
        self._limits: dict[str, _RateLimit] = {}
        self._workers: list[asyncio.Task[None]] = []
        self._under_way: set[asyncio.Task[Outcome]] = set()
        self._proven: set[str] = set()  # Models that have answered in this run.
        self._failed_in_a_row = 0
        self._away = False
        self._stopped_by: DraftError | None = None
        self._for_next_month: DraftError | None = None
        self._interrupted = False

    def raise_what_stopped_it(self) -> None:
        """Raise why the run ended before its end, if it did."""
        if self._stopped_by is not None:
            raise self._stopped_by
        if self._interrupted:
            raise KeyboardInterrupt
        if self._for_next_month is not None:
            raise self._for_next_month

    async def work(self, todo: Sequence[Todo]) -> None:
        """Draft what is missing, until all is done or something stops the run."""
        # The retry library logs every retry to the root logger; the ledger holds all of them.
        logging.getLogger("stamina").addHandler(logging.NullHandler())
        key = self._settings.key
        self._limits = {model: _RateLimit(price.limit(key).per_minute) for model, price in self._prices.items()}
        queue = iter(todo)
        try:
            async with asyncio.TaskGroup() as calls:
                self._calls = calls
                try:
                    async with asyncio.TaskGroup() as workers:
                        for _ in range(min(self._settings.concurrency, len(todo))):
                            self._workers.append(workers.create_task(self._draft_prompts(queue)))
                except asyncio.CancelledError:  # The first Ctrl-C; a second one ends the loop itself.
                    task = asyncio.current_task()
                    if task is None or not task.cancelling():
                        raise
                    task.uncancel()
                    self._interrupted = True
                    if self._under_way:
                        print(
                            f"annot: waiting for {counted(len(self._under_way), 'call')} under way; Ctrl-C again "
                            "leaves at once and counts what is under way as spent.",
                            file=sys.stderr,
                        )
        finally:
            await self._service.close()

    async def _draft_prompts(self, queue: Iterator[Todo]) -> None:
        for work in queue:
            earlier = {normal_form(candidate.text) for candidate in self._ledger.candidates(work.prompt.id)}
            missing = work.missing
            for slot, attempt in work.open:
                if missing == 0:
                    break
                try:
                    outcome = await self._draft(work, slot, attempt, earlier)
                except _NoneLeft:
                    missing -= 1
                    continue
                # A slot that cost nothing is called again by the next run: no spare stands in for it.
                if outcome.outcome == "answer" or outcome.outcome in FREE:
                    missing -= 1

    async def _draft(self, work: Todo, slot: Slot, attempt: int, earlier: set[str]) -> Outcome:
        """Draft one answer, with retries while they cost nothing and may help."""
        import stamina

        outcome = None
        patience = self._patience
        retries = stamina.retry_context(
            on=_wait_before_retry,
            attempts=patience.attempts,
            timeout=None,
            wait_initial=patience.first_wait_s,
            wait_max=patience.longest_wait_s,
            wait_jitter=patience.jitter_s,
        )
        try:
            async for trial in retries:
                with trial:
                    outcome, wait_s = await self._call(work, slot, attempt, earlier)
                    attempt += 1
                    self._tell_reach(outcome)
                    if outcome.outcome in FREE and outcome.outcome != "rejected":
                        raise _Retry(wait_s)
        except _Retry:
            pass  # Enough attempts in this run: the last outcome stands.
        if outcome is None:
            raise AssertionError("a retry loop without a single attempt")
        self._count_failures(slot, outcome)
        return outcome

    def _tell_reach(self, outcome: Outcome) -> None:
        """Say once that the service cannot be reached, and when it is again: retries would look like slowness."""
        away = outcome.outcome == "unreachable"
        if away and not self._away:
            print(
                f"annot: cannot reach {self._name} ({outcome.detail}); trying again.",
                file=sys.stderr,
                flush=True,
            )
        elif self._away and not away:
            print(f"annot: {self._name} is reached again.", file=sys.stderr, flush=True)
        self._away = away

    async def _call(self, work: Todo, slot: Slot, attempt: int, earlier: set[str]) -> tuple[Outcome, float | None]:
        await self._use_allowance(slot)  # First: thousands of slots that have none left would each wait their turn.
        await self._limits[slot.model].wait()
        most_usd = slot.most_usd(self._prices[slot.model])
        voice = slot.persona.description
        call = Call(slot.id, attempt, slot.prompt_id, slot.number, slot.model, voice, slot.recorded, most_usd)
        picture = await self._picture(slot)
        await self._reserve(call)
        waits: list[float | None] = []
        task = self._calls.create_task(self._send(work, slot, picture, call, earlier, waits))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task), waits[0]

    async def _picture(self, slot: Slot) -> bytes:
        """The file that a slot shows; one that is unfit ends the run before anything is set aside for it."""
        try:
            return read_picture(self._folder, slot.shown.picture) if slot.shown else b""
        except DraftError as error:
            await self._stop_here(error)
            raise

    async def _reserve(self, call: Call) -> None:
        """Set the cost aside; while calls under way may still give back some of theirs, wait for them."""
        budget = self._settings.budget_usd if call.reserved_usd else math.inf  # what is free needs none
        while True:
            try:
                reserve(self._ledger, call, budget)
            except BudgetExhausted as error:
                if not self._under_way:
                    await self._stop_here(error)
                await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
            else:
                return

    async def _send(
        self, work: Todo, slot: Slot, picture: bytes, call: Call, earlier: set[str], waits: list[float | None]
    ) -> Outcome:
        """Send a reserved call and settle it. Nothing but a second Ctrl-C cuts this off."""
        reply = await self._service.answer(slot, picture)
        candidate = None
        raw = writable(mask_json(reply.raw, work.prompt.country))
        waits.append(None)
        if isinstance(reply, Reply):
            price = self._prices[slot.model]
            usd = call.reserved_usd
            if reply.input_tokens is not None and reply.output_tokens is not None:
                usd = price.usd(reply.input_tokens, reply.output_tokens)
            text, _ = mask(writable(reply.text), work.prompt.country)
            finish = writable(reply.finish)[:DETAIL_CHARS]
            kind = self._judge(text, finish, work.prompt, earlier)
            if kind == "answer" and self._makes_candidates:
                candidate = Candidate.make(
                    slot.prompt_id,
                    text,
                    model=slot.model,
                    voice=slot.persona.description,
                    settings=slot.recorded,
                    cost_usd=usd,
                )
            outcome = Outcome(kind, usd, reply.input_tokens or 0, reply.output_tokens or 0, finish, raw=raw)
        else:
            free = reply.outcome in FREE
            reply = replace(reply, detail=writable(reply.detail))
            outcome = Outcome(reply.outcome, 0.0 if free else call.reserved_usd, detail=reply.detail, raw=raw)
        settle(self._ledger, call, outcome, candidate)
        if isinstance(reply, Fault):
            waits[0] = self._handle_fault(slot, reply)
        else:
            self._proven.add(slot.model)
            if outcome.usd > call.reserved_usd + 1e-9:
                self._stop_new_calls(
                    DraftError(
                        f"{self._name} billed {outcome.usd:.6f} dollars for a call to {slot.model} that could cost "
                        f"{call.reserved_usd:.6f} at most; check its price in prices.toml before going on."
                    )
                )
        if candidate is not None:
            earlier.add(normal_form(candidate.text))
        self._answers += outcome.outcome == "answer"
        note = f"${committed_usd(self._ledger):.4f} of ${self._settings.budget_usd:.2f}" if call.reserved_usd else ""
        self._progress(self._answers, self._wanted, note)
        return outcome

    def _handle_fault(self, slot: Slot, fault: Fault) -> float | None:
        """Stop or pause the run where a fault says so; returns how long to wait before the next attempt."""
        if fault.outcome == "rejected":
            if fault.status in (401, 402, 498):
                self._stop_new_calls(DraftError(fault.detail))
            elif fault.status not in (400, 422) or slot.model not in self._proven:
                # A model that has answered others dislikes this prompt; one that never did is called wrongly.
                self._stop_new_calls(
                    DraftError(
                        f"{self._name} rejected a call to {slot.model} ({fault.detail}); mend "
                        f"{self._service.chosen_with} or the prompt {slot.prompt_id}, then run the same command again."
                    )
                )
        if fault.retry_after_s is None:
            return None
        if fault.retry_after_s > self._patience.longest_wait_s:
            self._stop_new_calls(
                DraftError(
                    f"{self._name} asks to wait {fault.retry_after_s / 60:.0f} minutes before calling {slot.model} "
                    f"again ({fault.detail}); run `annot draft` then."
                )
            )
        self._limits[slot.model].pause(fault.retry_after_s)
        return fault.retry_after_s

    def _count_failures(self, slot: Slot, outcome: Outcome) -> None:
        self._failed_in_a_row = self._failed_in_a_row + 1 if outcome.outcome in FAILURES else 0
        if self._failed_in_a_row >= FAILURES_IN_A_ROW:
            self._stop_new_calls(
                DraftError(
                    f'{FAILURES_IN_A_ROW} calls in a row failed, the last one to {slot.model} with "{outcome.outcome}" '
                    f"({outcome.detail}); wait a little, then run the same command again."
                )
            )

    async def _use_allowance(self, slot: Slot) -> None:
        if self._monthly is None or self._prices[slot.model].limit(self._settings.key).per_month is None:
            return
        used, most = self._monthly
        if used >= most:
            key, prices = self._settings.key, self._prices.values()
            cure = ', or get a production key and set draft.key = "production"'
            reason = DraftError(
                f"{used} calls were made this month, and a {key} key allows {most} a month to these models; go on next "
                f"month{cure * (self._prices[slot.model].production.per_month is None)}."
            )
            if all(price.limit(key).per_month is not None for price in prices):
                await self._stop_here(reason)
            self._for_next_month = self._for_next_month or reason
            raise _NoneLeft
        self._monthly = (used + 1, most)

    def _stop_new_calls(self, reason: DraftError) -> None:
        """Let no new call start. Calls under way go on to their end."""
        self._stopped_by = self._stopped_by or reason
        for worker in self._workers:
            worker.cancel()

    async def _stop_here(self, reason: DraftError) -> None:
        self._stop_new_calls(reason)
        await asyncio.sleep(0)  # Where the cancellation reaches this worker.


def _wait_before_retry(error: Exception) -> bool | float:
    if not isinstance(error, _Retry):
        return False
    return True if error.wait_s is None else error.wait_s
