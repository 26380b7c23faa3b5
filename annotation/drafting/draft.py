"""`annot draft`: ask Cohere for candidates until every prompt has enough, within the budget, paying for nothing twice.

A call is written to the ledger with the most it can cost before it is sent, and its outcome together with the candidate
that it brought in one transaction before anything else is done. What was sent and never settled (a kill, a power
cut) counts as spent in full and is not sent again: a spare slot stands in for it.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from annotation.drafting.answer import same, verdict
from annotation.drafting.cohere import Cohere, Fault, Reply, Writer
from annotation.drafting.plan import FREE, ModelEstimate, Slot, Todo, estimate, plan
from annotation.drafting.prices import Price, place_of_prices, read_prices
from annotation.errors import BudgetExhausted, DraftError
from annotation.ledger import Call, Outcome
from annotation.project import Project
from annotation.screen import Progress, silent
from annotation.types import Candidate, Dropped

HARD = ("rate limited", "server error", "rejected", "unreachable", "timeout", "broken", "lost")
"""Outcomes that say something about the service, not about the prompt."""

HARD_IN_A_ROW = 5
"""After so many of them, one after the other, the run stops."""

UNCOUNTED = ("unreachable", "rate limited")
"""Calls that do not use up a monthly allowance: they did not get in."""


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


@dataclass(frozen=True, slots=True)
class Tally:
    """Calls that ended in one way, and what they cost."""

    calls: int
    usd: float


@dataclass(frozen=True, slots=True)
class Drafted:
    """What a run brought.

    Attributes:
        answers: New candidates.
        outcomes: Outcome -> calls and dollars, most frequent first; "lost" also holds calls that an earlier run left.
        usd: Dollars of this run.
        open: Prompts that lack answers which another run would ask for.
        short: Prompts that lack answers and have no slot left to ask; because_of says "5 of 8".
    """

    answers: int
    outcomes: Mapping[str, Tally]
    usd: float
    open: int
    short: tuple[Dropped, ...]


@dataclass(frozen=True, slots=True)
class Outlook:
    """What `annot draft` would do now.

    Attributes:
        prompts: Prompts that lack answers.
        models: One line per model.
        left_usd: What is left of the budget.
        monthly: (calls used this month, calls allowed), for models with a monthly limit together; None without one.
        prices_date: ISO date of the price table.
    """

    prompts: int
    models: tuple[ModelEstimate, ...]
    left_usd: float
    monthly: tuple[int, int] | None
    prices_date: str

    @property
    def usd(self) -> float:
        """What the plan will cost, roughly, in dollars."""
        return sum(line.usd for line in self.models)

    @property
    def most_usd(self) -> float:
        """What the plan can cost at most, spares not counted, in dollars."""
        return sum(line.most_usd for line in self.models)

    @property
    def minutes(self) -> float:
        """How long the rate limits make it take: models work side by side."""
        return max((line.minutes for line in self.models), default=0.0)


def outlook(project: Project, *, limit: int | None = None) -> Outlook:
    """Say what a run would do, without a key and without changing anything.

    Raises:
        DraftError: There are no prompts.
        SettingsError: A model has no price.
    """
    prices = _prices(project)
    todo = _plan(project)[0][:limit]
    return Outlook(
        len(todo),
        tuple(estimate(todo, prices, project.settings.draft.key)),
        project.settings.draft.budget_usd - project.ledger.committed_usd(),
        _monthly(project, prices),
        read_prices(project.folder).date.isoformat(),
    )


def draft(
    project: Project,
    *,
    limit: int | None = None,
    patience: Patience | None = None,
    progress: Progress = silent,
    writer: Callable[[str], Writer] | None = None,
) -> Drafted:
    """Draft answers until every prompt has draft.candidates of them, or no slot is left to ask.

    Whatever ends a run early, what was paid for is kept, and `drafted` says what came of it.

    Args:
        project: The project.
        limit: Work on so many prompts that lack answers; None is all of them.
        patience: How often a call that cost nothing is tried again.
        progress: Told answers, answers wanted and dollars.
        writer: Makes the service out of the key; None is Cohere.

    Raises:
        DraftError: There is no key or no prompt, Cohere refuses, or too many calls failed in a row.
        BudgetExhausted: The next call could cost more than is left of draft.budget_usd.
        KeyboardInterrupt: Ctrl-C. Calls under way were waited for; with a second Ctrl-C they count as spent.
    """
    draft_settings = project.settings.draft
    prices = _prices(project)
    with project.lock("draft"):
        mark = last_outcome(project)
        project.ledger.settle_lost()
        todo = _plan(project)[0][:limit]
        if todo:
            key = project.secret("CO_API_KEY")
            if key is None:
                raise DraftError(
                    'There is no Cohere key: set CO_API_KEY in the environment, or write co_api_key = "..." into '
                    f"{project.folder / 'secrets.toml'} (mode 0600); answers written elsewhere come in with "
                    "`annot draft --from FILE`."
                )
            service = (
                writer(key)
                if writer is not None
                else Cohere(key, timeout_s=draft_settings.timeout_s, connections=draft_settings.concurrency)
            )
            run = _Run(project, prices, service, patience or Patience(), progress, sum(work.missing for work in todo))
            try:
                asyncio.run(run.work(todo))
            finally:
                project.ledger.settle_lost()
            run.raise_what_stopped_it()
        return drafted(project, mark)


def last_outcome(project: Project) -> int:
    """A mark: outcomes after it belong to what happens from now on."""
    return int(project.ledger.rows("select coalesce(max(rowid), 0) as mark from outcomes")[0]["mark"])


def drafted(project: Project, mark: int) -> Drafted:
    """What calls brought since a mark, from the ledger."""
    rows = project.ledger.rows(
        """select outcome, count(*) as calls, sum(usd) as usd from outcomes where rowid > ?
           group by outcome order by calls desc, outcome""",
        mark,
    )
    outcomes = {row["outcome"]: Tally(row["calls"], row["usd"]) for row in rows}
    todo, short = _plan(project)
    wanted = project.settings.draft.candidates
    return Drafted(
        outcomes["answer"].calls if "answer" in outcomes else 0,
        outcomes,
        sum(tally.usd for tally in outcomes.values()),
        len(todo),
        tuple(Dropped(prompt_id, "no slot left", f"{has} of {wanted}") for prompt_id, has in short.items()),
    )


# -- what the ledger knows ----------------------------------------------------------------------------------


def _prices(project: Project) -> dict[str, Price]:
    return read_prices(project.folder).of(project.settings.draft.models, place=str(place_of_prices(project.folder)))


def _plan(project: Project) -> tuple[list[Todo], dict[str, int]]:
    prompts = project.ledger.prompts()
    if not prompts:
        raise DraftError("There are no prompts to answer yet; run `annot prompts add FILE` first.")
    calls = project.ledger.rows(
        """select c.slot_id, c.prompt_id, c.attempt, o.outcome
           from calls c left join outcomes o using (slot_id, attempt) order by c.attempt"""
    )
    return plan(
        prompts,
        project.settings.draft,
        project.settings.project.seed,
        answered=Counter(row["prompt_id"] for row in calls if row["outcome"] == "answer"),
        called={row["slot_id"]: (int(row["attempt"]), row["outcome"]) for row in calls},
    )


def _monthly(project: Project, prices: Mapping[str, Price]) -> tuple[int, int] | None:
    """Calls of this month (UTC) to models with a monthly limit, and that limit."""
    key = project.settings.draft.key
    limited = {model: most for model, price in prices.items() if (most := price.limit(key).per_month) is not None}
    if not limited:
        return None
    rows = project.ledger.rows(
        """select c.model, count(*) as calls from calls c left join outcomes o using (slot_id, attempt)
           where c.at >= ? and coalesce(o.outcome, '') not in (?, ?) group by c.model""",
        datetime.now(UTC).strftime("%Y-%m-01"),
        *UNCOUNTED,
    )
    return sum(row["calls"] for row in rows if row["model"] in limited), min(limited.values())


# -- the run ------------------------------------------------------------------------------------------------


class _TryAgain(Exception):
    """Tells the retry loop that a call cost nothing and is worth another attempt."""

    def __init__(self, wait_s: float | None) -> None:
        super().__init__()
        self.wait_s = wait_s


class _Lane:
    """Turns at one model: evenly spaced, so that no minute ever holds more calls than the limit; and its pauses."""

    def __init__(self, per_minute: float) -> None:
        from aiolimiter import AsyncLimiter

        # A bucket of one: a larger one would let a burst through on top of the rate.
        self._limiter = AsyncLimiter(1, 60 / per_minute)
        self._resume_at = 0.0

    def pause(self, seconds: float) -> None:
        self._resume_at = max(self._resume_at, asyncio.get_running_loop().time() + seconds)

    async def turn(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            while (wait_s := self._resume_at - loop.time()) > 0:
                await asyncio.sleep(wait_s)
            await self._limiter.acquire()
            if self._resume_at <= loop.time():
                return


class _Run:
    """One run: workers that take a prompt each and ask its slots in order, and the calls that they have under way.

    Answers to one prompt are asked for one after the other, so that what counts as a duplicate never depends on
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
    ) -> None:
        self._ledger = project.ledger
        self._settings = project.settings.draft
        self._languages = project.settings.project.languages
        self._prices = prices
        self._service = service
        self._patience = patience
        self._progress = progress
        self._wanted, self._answers = wanted, 0
        self._monthly = _monthly(project, prices)
        self._lanes: dict[str, _Lane] = {}
        self._workers: list[asyncio.Task[None]] = []
        self._under_way: set[asyncio.Task[Outcome]] = set()
        self._proven: set[str] = set()  # Models that have answered in this run.
        self._failed_in_a_row = 0
        self._stopped_by: DraftError | None = None
        self._interrupted = False

    def raise_what_stopped_it(self) -> None:
        """Raise why the run ended before its end, if it did."""
        if self._stopped_by is not None:
            raise self._stopped_by
        if self._interrupted:
            raise KeyboardInterrupt

    async def work(self, todo: Sequence[Todo]) -> None:
        # The retry library tells the root logger of every retry; the ledger tells it better.
        logging.getLogger("stamina").addHandler(logging.NullHandler())
        key = self._settings.key
        self._lanes = {model: _Lane(price.limit(key).per_minute) for model, price in self._prices.items()}
        queue = iter(todo)
        try:
            async with asyncio.TaskGroup() as calls:
                self._calls = calls
                try:
                    async with asyncio.TaskGroup() as workers:
                        for _ in range(min(self._settings.concurrency, len(todo))):
                            self._workers.append(workers.create_task(self._take(queue)))
                except asyncio.CancelledError:  # The first Ctrl-C; a second one ends the loop itself.
                    task = asyncio.current_task()
                    if task is None or not task.cancelling():
                        raise
                    task.uncancel()
                    self._interrupted = True
                    if self._under_way:
                        print(
                            f"annot: waiting for {len(self._under_way)} calls that are under way; Ctrl-C again leaves "
                            "at once and counts them as spent.",
                            file=sys.stderr,
                        )
        finally:
            await self._service.close()

    async def _take(self, queue: Iterator[Todo]) -> None:
        for work in queue:
            earlier = {same(candidate.text) for candidate in self._ledger.candidates(work.prompt.id)}
            missing = work.missing
            for slot, attempt in work.open:
                if missing == 0:
                    break
                outcome = await self._ask(work, slot, attempt, earlier)
                # A slot that cost nothing is asked again by the next run: no spare stands in for it.
                if outcome.outcome == "answer" or outcome.outcome in FREE:
                    missing -= 1

    async def _ask(self, work: Todo, slot: Slot, attempt: int, earlier: set[str]) -> Outcome:
        """Ask for one answer, again and again while that costs nothing and may help."""
        import stamina

        outcome = None
        patience = self._patience
        retries = stamina.retry_context(
            on=_wait_before_next,
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
                    if outcome.outcome in FREE and outcome.outcome != "rejected":
                        raise _TryAgain(wait_s)
        except _TryAgain:
            pass  # Enough attempts in this run: the last outcome stands.
        if outcome is None:
            raise AssertionError("a retry loop without a single attempt")
        self._watch(slot, outcome)
        return outcome

    async def _call(self, work: Todo, slot: Slot, attempt: int, earlier: set[str]) -> tuple[Outcome, float | None]:
        await self._lanes[slot.model].turn()
        await self._use_allowance(slot)
        most_usd = slot.most_usd(self._prices[slot.model])
        call = Call(
            slot.id, attempt, slot.prompt_id, slot.number, slot.model, slot.voice.persona, slot.settings, most_usd
        )
        await self._reserve(call)
        waits: list[float | None] = []
        task = self._calls.create_task(self._send(work, slot, call, earlier, waits))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task), waits[0]

    async def _reserve(self, call: Call) -> None:
        """Set the cost aside; while calls under way may still give back some of theirs, wait for them."""
        while True:
            try:
                self._ledger.reserve(call, self._settings.budget_usd)
            except BudgetExhausted as error:
                if not self._under_way:
                    await self._stop(error)
                await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
            else:
                return

    async def _send(self, work: Todo, slot: Slot, call: Call, earlier: set[str], waits: list[float | None]) -> Outcome:
        """Send a reserved call and settle it. Nothing but a second Ctrl-C cuts this off."""
        reply = await self._service.answer(slot)
        candidate = None
        waits.append(None)
        if isinstance(reply, Reply):
            price = self._prices[slot.model]
            usd = call.reserved_usd
            if reply.input_tokens is not None and reply.output_tokens is not None:
                usd = price.usd(reply.input_tokens, reply.output_tokens)
            kind = verdict(reply.text, reply.finish, work.prompt, earlier, self._languages)
            if kind == "answer":
                candidate = Candidate.make(
                    slot.prompt_id,
                    reply.text,
                    model=slot.model,
                    voice=slot.voice.persona,
                    settings=slot.settings,
                    cost_usd=usd,
                )
            outcome = Outcome(kind, usd, reply.input_tokens or 0, reply.output_tokens or 0, reply.finish, reply.raw)
        else:
            free = reply.outcome in FREE
            outcome = Outcome(reply.outcome, 0.0 if free else call.reserved_usd, detail=reply.detail, raw=reply.raw)
        self._ledger.settle(call, outcome, candidate)
        if isinstance(reply, Fault):
            waits[0] = self._heed(slot, reply)
        else:
            self._proven.add(slot.model)
            if outcome.usd > call.reserved_usd + 1e-9:
                self._end(
                    DraftError(
                        f"Cohere billed {outcome.usd:.6f} dollars for a call to {slot.model} that could cost "
                        f"{call.reserved_usd:.6f} at most; check its price in prices.toml before going on."
                    )
                )
        if candidate is not None:
            earlier.add(same(candidate.text))
            self._answers += 1
        note = f"${self._ledger.committed_usd():.4f} of ${self._settings.budget_usd:.2f}"
        self._progress(self._answers, self._wanted, note)
        return outcome

    def _heed(self, slot: Slot, fault: Fault) -> float | None:
        """Draw the consequences of a refusal for the whole run; returns how long to wait before the next attempt."""
        if fault.outcome == "rejected":
            if fault.status in (401, 402, 498):
                self._end(DraftError(fault.detail))
            elif fault.status not in (400, 422) or slot.model not in self._proven:
                # A model that has answered others dislikes this prompt; one that never did is asked wrongly.
                self._end(
                    DraftError(
                        f"Cohere rejected a call to {slot.model} ({fault.detail}); mend draft.models or the prompt "
                        f"{slot.prompt_id}, then run `annot draft` again."
                    )
                )
        if fault.retry_after_s is None:
            return None
        if fault.retry_after_s > self._patience.longest_wait_s:
            self._end(
                DraftError(
                    f"Cohere asks to wait {fault.retry_after_s / 60:.0f} minutes before calling {slot.model} again "
                    f"({fault.detail}); run `annot draft` then."
                )
            )
        self._lanes[slot.model].pause(fault.retry_after_s)
        return fault.retry_after_s

    def _watch(self, slot: Slot, outcome: Outcome) -> None:
        self._failed_in_a_row = self._failed_in_a_row + 1 if outcome.outcome in HARD else 0
        if self._failed_in_a_row >= HARD_IN_A_ROW:
            self._end(
                DraftError(
                    f'{HARD_IN_A_ROW} calls in a row failed, the last one to {slot.model} with "{outcome.outcome}" '
                    f"({outcome.detail}); wait a little, then run `annot draft` again."
                )
            )

    async def _use_allowance(self, slot: Slot) -> None:
        if self._monthly is None or self._prices[slot.model].limit(self._settings.key).per_month is None:
            return
        used, most = self._monthly
        if used >= most:
            await self._stop(
                DraftError(
                    f"{used} calls were made this month, and a {self._settings.key} key allows {most} a month to these "
                    'models; go on next month, or get a production key and set draft.key = "production".'
                )
            )
        self._monthly = (used + 1, most)

    def _end(self, reason: DraftError) -> None:
        """Let no new call start. Calls under way go on to their end."""
        self._stopped_by = self._stopped_by or reason
        for worker in self._workers:
            worker.cancel()

    async def _stop(self, reason: DraftError) -> None:
        self._end(reason)
        await asyncio.sleep(0)  # Where the cancellation reaches this worker.


def _wait_before_next(error: Exception) -> bool | float:
    if not isinstance(error, _TryAgain):
        return False
    return True if error.wait_s is None else error.wait_s
