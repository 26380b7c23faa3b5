"""Answers of the Hub that stop a push: which of them are worth waiting for, and each in one sentence."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from annotation.errors import TrainError, TrainLater

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError

LONGEST_WAIT_S = 600.0
"""How long the Hub may ask a push to wait before it is left to a person to run it again."""

STORAGE = ("storage", "quota")
"""Words of the Hub's answer where an account is full; it sends them with the status of a missing right."""


def token_pages() -> str:
    """Where a person gets a token of this Hub."""
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/settings/tokens"


def cause_of(error: Exception) -> Exception:
    """The error below the one with which the client ends the threads of an upload."""
    below = error.__cause__
    return below if isinstance(error, RuntimeError) and isinstance(below, Exception) else error


def wait_before_retry(error: Exception) -> bool | float:
    """Whether to try again: after a pause of our own, after the seconds that the Hub names, or not at all."""
    from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled  # type: ignore[attr-defined]

    error = cause_of(error)
    if isinstance(error, HfHubHTTPError):
        asked = _asked_to_wait(error)
        if asked is not None and asked > LONGEST_WAIT_S:
            return False
        # 409 and 412: somebody else was quicker; what there is to do is looked at again.
        again = error.response.status_code in (408, 409, 412, 429) or error.response.status_code >= 500
        return again if asked is None or not again else asked
    if isinstance(error, OfflineModeIsEnabled):
        return False
    return isinstance(error, (HTTPError, ConnectionError, TimeoutError, json.JSONDecodeError))


def in_words(error: Exception, kind: str, repo: str) -> TrainError | None:
    """What stopped a push, in one sentence; None where it is our own bug or this machine's disk.

    Args:
        error: What the client of the Hub raised.
        kind: "model", "dataset" or "space".
        repo: OWNER/NAME.
    """
    from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled  # type: ignore[attr-defined]

    error = cause_of(error)
    what, owner = f"the {kind} {repo}", repo.partition("/")[0]
    if isinstance(error, OfflineModeIsEnabled):
        return TrainError(f"HF_HUB_OFFLINE forbids sending {what}; unset it, then run the same command again.")
    if isinstance(error, HfHubHTTPError):
        return _refusal(error, what, owner)
    if isinstance(error, PermissionError) and error.errno is None:  # the storage of large files refuses the token
        return _not_allowed(what, owner, _first_line(error))
    if isinstance(error, (HTTPError, ConnectionError, TimeoutError, json.JSONDecodeError)):
        return TrainLater(
            f"the Hub cannot be reached for {what} ({_first_line(error)}); nothing is lost and nothing half done: "
            "connect, then run the same command again."
        )
    return None


def _refusal(error: HfHubHTTPError, what: str, owner: str) -> TrainError:
    status, said = error.response.status_code, _said(error)
    if any(word in said.lower() for word in STORAGE) and status in (402, 403, 413):
        return TrainError(
            f"the Hub has no room for {what} ({said}): delete what {owner} no longer needs, or take a larger plan, "
            "then run the same command again."
        )
    match status:
        case 401:
            return TrainError(
                f"the Hub does not know your token (401: {said}): it is mistyped, expired or revoked; make one that "
                f"may write at {token_pages()}, and set HF_TOKEN to it."
            )
        case 402:
            return TrainError(
                f"the Hub asks for a paid plan for {what} ({said}); choose one for {owner}, or push to another owner."
            )
        case 403:
            return _not_allowed(what, owner, said)
        case 404:
            return TrainError(
                f"the Hub shows your token no {what.removeprefix('the ')} (404: {said}); check the name, and that the "
                f"token may read and write what belongs to {owner}."
            )
        case 409 | 412:
            return TrainLater(f"somebody else is changing {what} ({said}); run the same command again in a minute.")
        case 413:
            return TrainError(f"the Hub finds a file of {what} too large ({said}); release a smaller model.")
        case 429:
            asked = _asked_to_wait(error)
            when = f"in {max(1, round(asked / 60))} min" if asked else "in some minutes"
            return TrainLater(f"the Hub takes no more requests for now ({said}); run the same command again {when}.")
        case _ if status >= 500 or status == 408:
            return TrainLater(
                f"the Hub is out of order ({status}: {said}) and {what} is as it was; what was uploaded is kept: run "
                "the same command again."
            )
    return TrainError(f"the Hub refuses {what} ({status}: {said}); mend that, then run the same command again.")


def _not_allowed(what: str, owner: str, said: str) -> TrainError:
    return TrainError(
        f"your token may not write {what} ({said}): take a token with write access at {token_pages()}, of somebody who "
        f"may write for {owner}, and set HF_TOKEN to it."
    )


def _asked_to_wait(error: HfHubHTTPError) -> float | None:
    from huggingface_hub.utils import parse_ratelimit_headers  # type: ignore[attr-defined]

    headers = error.response.headers
    if (named := headers.get("retry-after", "")).isdigit():
        return float(named)
    limit = parse_ratelimit_headers(headers)
    return float(limit.reset_in_seconds) if limit and not limit.remaining else None


def _said(error: HfHubHTTPError) -> str:
    said = error.server_message or error.response.reason_phrase
    return " ".join(str(said).split())[:200].rstrip(".") or "no reason given"


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])[:200].rstrip(".") if lines else type(error).__name__
