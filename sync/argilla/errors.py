"""Errors of httpx and Argilla, translated into one sentence for a person."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import httpx

from annotation.errors import ArgillaError
from sync.argilla.protocol import WRITTEN, Named


@contextlib.contextmanager
def translated(url: str, what: str, named: Named = WRITTEN) -> Iterator[None]:
    """Turn httpx's errors into one sentence. Bodies that we sent never appear in it: they may hold a password."""
    try:
        yield
    except httpx.HTTPStatusError as error:
        status, detail = error.response.status_code, detail_of(error.response)
        if status == httpx.codes.UNAUTHORIZED:
            raise ArgillaError(
                f"Argilla at {url} does not know this key or password; check {named.key} or the log-in, and whether it "
                "is the Argilla that you mean (`annot status` names this project's own)."
            ) from None
        if status == httpx.codes.FORBIDDEN:
            raise ArgillaError(f"Argilla at {url} allows {what} to owners only; use an owner's key.") from None
        if status >= 500:
            raise ArgillaError(
                f"Argilla at {url} failed at {what} (status {status}); look at its log (`annot logs`), then run the "
                "same command again."
            ) from None
        raise ArgillaError(f"Argilla at {url} refused {what} (status {status}): {detail}.") from None
    except httpx.TimeoutException:
        raise ArgillaError(
            f"Argilla at {url} did not answer {what} in time; see whether it is overloaded, then run the same "
            "command again."
        ) from None
    except (httpx.UnsupportedProtocol, httpx.InvalidURL):
        raise ArgillaError(
            f'"{url}" is no address; write for example "https://argilla.example.org" as {named.address}.'
        ) from None
    except httpx.TransportError as error:
        raise ArgillaError(
            f"Argilla at {url} cannot be reached ({first_line(str(error))}); start it (with `annot up`, where it is "
            f"an embedded one), or check {named.address}."
        ) from None
    except json.JSONDecodeError:
        raise ArgillaError(f"What answers at {url} is no Argilla; check {named.address}.") from None


def json_of(answer: httpx.Response) -> dict[str, Any]:
    answer.raise_for_status()
    if not answer.content:
        return {}
    payload: dict[str, Any] = answer.json()
    return payload


def detail_of(answer: httpx.Response) -> str:
    """Why Argilla refused: its own words without what we sent."""
    try:
        detail = answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return "no reason given"
    if isinstance(detail, dict):
        errors = detail.get("params", {}).get("errors", ())
        reasons = [f"{'.'.join(str(part) for part in e.get('loc', ()))} {e.get('msg', '')}" for e in errors]
        return first_line("; ".join(reasons) or str(detail.get("code", "no reason given")))
    return first_line(str(detail))


def first_line(text: str) -> str:
    line = next(iter(text.strip().splitlines()), "") or "no reason given"
    return (line if len(line) <= 300 else line[:299] + "…").rstrip(".")
