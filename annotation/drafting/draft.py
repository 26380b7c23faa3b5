"""`annot draft`: candidates are drafted until every prompt has enough, within the budget; nothing is paid twice.

What was sent and never settled (a kill, a power cut) counts as spent in full and is not sent again: a spare slot stands
in for it.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from annotation.drafting.cohere import Cohere
from annotation.drafting.pictures import require_pictures
from annotation.drafting.plan import ModelEstimate, Todo, estimate, plan
from annotation.drafting.prices import Price, place_of_prices, read_prices
from annotation.drafting.source import Source
from annotation.drafting.workers import Patience, Workers
from annotation.drafting.writer import Writer
from annotation.errors import DraftError
from annotation.images.store import read_pictures
from annotation.money import committed_usd, settle_lost
from annotation.project import Project
from annotation.prompts.review import only_accepted
from annotation.quota_groups import in_project
from annotation.rounds import current_round, open_prompts
from annotation.screen import Progress, silent
from annotation.tasks.page import own_texts
from annotation.types import Dropped, Prompt

UNCOUNTED = ("unreachable", "rate limited")
"""Calls that do not use up a monthly allowance: they did not get in."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Calls that ended in one way, and what they cost."""

    calls: int
    usd: float


@dataclass(frozen=True, slots=True)
class Drafted:
    """Result of a run.

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
    """Forecast of a run: what `annot draft` would do now.

    Attributes:
        prompts: Prompts that lack answers.
        models: One line per model.
        left_usd: What is left of the budget.
        monthly: (calls used this month, calls allowed, calls of this run), for models with a monthly limit together;
            None without one.
        prices_date: ISO date of the price table.
    """

    prompts: int
    models: tuple[ModelEstimate, ...]
    left_usd: float
    monthly: tuple[int, int, int] | None
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
    def free(self) -> bool:
        """Whether none of its calls is billed."""
        return bool(self.models) and self.most_usd == 0

    @property
    def months(self) -> int:
        """How many months the monthly limit makes it take, with this one, of which some calls are used."""
        used, most, needed = self.monthly or (0, 1, 0)
        return 1 + math.ceil(max(0, needed - max(0, most - used)) / max(1, most))

    @property
    def minutes(self) -> float:
        """How long the rate limits make it take: models work side by side."""
        return max((line.minutes for line in self.models), default=0.0)


def outlook(project: Project, *, limit: int | None = None, source: Source | None = None) -> Outlook:
    """Forecast a run, without a key and without changing anything; `source` as for `draft`.

    Raises:
        DraftError: There are no prompts, or the file of a picture is missing.
        SettingsError: A model has no price.
    """
    project, prices = source.drafted_in(project) if source else project, _prices(project, source)
    todo = _plan(project, source)[0][:limit]
    _require_pictures(project, todo)
    key = project.settings.draft.key
    models, monthly = tuple(estimate(todo, prices, key)), calls_this_month(project, prices)
    needed = sum(line.calls for line in models if prices[line.model].limit(key).per_month is not None)
    return Outlook(
        len(todo),
        models,
        project.settings.draft.budget_usd - committed_usd(project.ledger),
        monthly and (*monthly, needed),
        read_prices(project.folder).date.isoformat(),
    )


def draft(
    project: Project,
    *,
    limit: int | None = None,
    patience: Patience | None = None,
    progress: Progress = silent,
    writer: Callable[[str], Writer] | None = None,
    source: Source | None = None,
) -> Drafted:
    """Draft answers until every prompt has draft.candidates of them, or no slot is left to call.

    Whatever ends a run early, what was paid for is kept, and `drafted` says what came of it.

    Args:
        project: The project.
        limit: Work on so many prompts that lack answers; None is all of them.
        patience: How often a call that cost nothing is tried again.
        progress: Gets answers, answers wanted and dollars.
        writer: Makes the service out of the key; None is Cohere.
        source: Another model, whose own answers are drafted beside those that are there; None is Cohere.

    Raises:
        DraftError: There is no key or no prompt, the file of a picture is missing, Cohere refuses, too many calls
            failed in a row, or the month's calls to some models are used up.
        BudgetExhausted: The next call could cost more than is left of draft.budget_usd.
        KeyboardInterrupt: Ctrl-C. Calls under way were waited for; with a second Ctrl-C they count as spent.
    """
    project, prices = source.drafted_in(project) if source else project, _prices(project, source)
    with project.lock("draft"):
        mark = last_outcome(project)
        settle_lost(project.ledger)
        todo = _plan(project, source)[0][:limit]
        _require_pictures(project, todo)
        if todo:
            if source:
                service = source.opened(project.settings.draft)
            else:
                service = open_service(
                    project, writer, "answers written elsewhere come in with `annot draft --from FILE`"
                )
            wanted = sum(work.missing for work in todo)
            monthly = calls_this_month(project, prices)
            workers = Workers(project, prices, service, patience or Patience(), progress, wanted, monthly)
            try:
                asyncio.run(workers.work(todo))
            finally:
                settle_lost(project.ledger)
            workers.raise_what_stopped_it()
        return drafted(project, mark, source)


def open_service(project: Project, writer: Callable[[str], Writer] | None, otherwise: str) -> Writer:
    """Cohere with the project's key, or what `writer` makes of that.

    Raises:
        DraftError: There is no key; the sentence ends with `otherwise`, what helps without one.
    """
    settings, key = project.settings.draft, project.secret("CO_API_KEY")
    if key is None:
        raise DraftError(
            'There is no Cohere key: set CO_API_KEY in the environment, or write co_api_key = "..." into '
            f"{project.folder / 'secrets.toml'} (mode 0600){otherwise and f'; {otherwise}'}."
        )
    return writer(key) if writer else Cohere(key, timeout_s=settings.timeout_s, connections=settings.concurrency)


def last_outcome(project: Project) -> int:
    """A mark: outcomes after it belong to what happens from now on."""
    return int(project.ledger.rows("select coalesce(max(rowid), 0) as mark from outcomes")[0]["mark"])


def outcomes_since(project: Project, mark: int) -> dict[str, Tally]:
    """Outcome -> calls and dollars of the calls since a mark, the most frequent first."""
    rows = project.ledger.rows(
        """select outcome, count(*) as calls, sum(usd) as usd from outcomes where rowid > ?
           group by outcome order by calls desc, outcome""",
        mark,
    )
    return {row["outcome"]: Tally(row["calls"], row["usd"]) for row in rows}


def drafted(project: Project, mark: int, source: Source | None = None) -> Drafted:
    """Result of the calls since a mark, from the ledger."""
    project = source.drafted_in(project) if source else project
    outcomes = outcomes_since(project, mark)
    todo, short = _plan(project, source)
    wanted = project.settings.draft.candidates
    return Drafted(
        outcomes["answer"].calls if "answer" in outcomes else 0,
        outcomes,
        sum(tally.usd for tally in outcomes.values()),
        len(todo),
        tuple(Dropped(prompt_id, "no slot left", f"{has} of {wanted}") for prompt_id, has in short.items()),
    )


# -- what the ledger knows ----------------------------------------------------------------------------------


def _prices(project: Project, source: Source | None) -> dict[str, Price]:
    """Prices of what the project's prompts need: a team without pictures needs no price of a model that sees."""
    if source:
        return source.prices(read_prices(project.folder).models)
    draft = project.settings.draft
    rows = project.ledger.rows("select distinct image != '' as seen from current_prompts where not removed")
    seen = {bool(row["seen"]) for row in rows} or {False}
    models = [*(draft.models if False in seen else ()), *(draft.picture_models if True in seen else ())]
    return read_prices(project.folder).of(models, place=str(place_of_prices(project.folder)))


def _require_pictures(project: Project, todo: Sequence[Todo]) -> None:
    require_pictures(project.folder, (work.prompt.image for work in todo if work.prompt.image))


def _plan(project: Project, source: Source | None = None) -> tuple[list[Todo], dict[str, int]]:
    prompts = project.ledger.prompts()
    if not prompts:
        raise DraftError("There are no prompts to answer yet; run `annot prompts add FILE` first.")
    prompts = [prompt for prompt in prompts if in_project(prompt, project.settings)]
    if not prompts:
        raise DraftError("All prompts are of countries that annot.toml does not name; add those to project.countries.")
    if (accepted := only_accepted(project.ledger, project.settings)) is not None:
        prompts = [prompt for prompt in prompts if prompt.id in accepted]
        if not prompts:
            only = project.settings.prompts.reviewed_only
            why = (
                "prompts.reviewed_only is true"
                if only
                else "visitors of a demo typed all that are here, or a model proposed them"
            )
            raise DraftError(
                f"No prompt is accepted yet, and {why}; run `annot prompts review`, then `annot sync` when people have "
                "answered."
            )
    asked = open_prompts(project.ledger)
    return what_to_draft(project, [prompt for prompt in prompts if asked is None or prompt.id in asked], source)


def what_to_draft(
    project: Project, prompts: Sequence[Prompt], source: Source | None = None
) -> tuple[list[Todo], dict[str, int]]:
    """What these prompts still lack, as `plan` says it: an answer counts wherever it came from, or a source's.

    A source is not asked about prompts that have their slate of this round already: nobody would see its answers.
    """
    now = current_round(project.ledger)
    if source:
        rows = project.ledger.rows("select prompt_id from items where round = ?", now)
        seated = {row["prompt_id"] for row in rows}
        prompts = [prompt for prompt in prompts if source.takes(prompt) and prompt.id not in seated]
    if not prompts:
        return [], {}
    calls = project.ledger.rows(
        """select c.slot_id, c.attempt, o.outcome from calls c left join outcomes o using (slot_id, attempt)
           where c.prompt_id in (select value from json_each(?)) order by c.attempt""",
        json.dumps([prompt.id for prompt in prompts]),
    )
    return plan(
        prompts,
        project.settings.draft,
        project.settings.project.seed,
        answered=project.ledger.count_candidates(
            (prompt.id for prompt in prompts), fresh=True, model=source.model if source else ""
        ),
        called={row["slot_id"]: (int(row["attempt"]), row["outcome"]) for row in calls},
        texts=own_texts(project.folder),
        pictures=read_pictures(project.ledger, {prompt.image for prompt in prompts if prompt.image}),
        number_of_round=now,
        persona=source.persona if source else None,
    )


def calls_this_month(project: Project, prices: Mapping[str, Price]) -> tuple[int, int] | None:
    """Calls of this month (UTC) to models with a monthly limit, and that limit.

    A key has one such limit for all models that have one: those that are not called now have used it up as well.
    """
    key = project.settings.draft.key
    limits = [most for price in prices.values() if (most := price.limit(key).per_month) is not None]
    if not limits:
        return None
    every = read_prices(project.folder).models
    limited = {model for model, price in every.items() if price.limit(key).per_month is not None}
    rows = project.ledger.rows(
        """select c.model, count(*) as calls from calls c left join outcomes o using (slot_id, attempt)
           where c.at >= ? and coalesce(o.outcome, '') not in (?, ?) group by c.model""",
        datetime.now(UTC).strftime("%Y-%m-01"),
        *UNCOUNTED,
    )
    return sum(row["calls"] for row in rows if row["model"] in limited), min(limits)
