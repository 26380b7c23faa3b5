"""Errors in the form of Argilla's own: what is refused, and what the database's and the disk's errors are told as."""

from __future__ import annotations

import logging

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

log = logging.getLogger("annot")


def refusal(status: int, sentence: str) -> Response:
    """An answer in the form of Argilla's own errors: the page shows `detail`."""
    return JSONResponse({"detail": sentence}, status_code=status)


def log_no_texts() -> None:
    """Log what Argilla refuses without what was sent: it may be what a person wrote."""
    from fastapi.exceptions import RequestValidationError

    def bare(record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, RequestValidationError):
            record.msg = f"Refused: {[(one['type'], one['loc']) for one in error.errors()]}"
            record.args, record.exc_info = (), None
        return True

    logging.getLogger("argilla").addFilter(bare)


def refuse_what_a_database_cannot_hold(api: FastAPI) -> None:
    """What is a mistake of who sent it, and no failure of ours.

    NUL in a text (SQLite stores it, PostgreSQL does not), a number beyond 64 bits, and what is there already: Argilla
    looks first, and of two requests at the same moment both find nothing.
    """
    from sqlalchemy.exc import DBAPIError

    too_large = "A number is larger than the server's database can hold."

    async def tell(_request: Request, error: Exception) -> Response:
        assert isinstance(error, DBAPIError)
        if "value out of int" in str(error.orig):
            return refusal(422, too_large)
        if "UNIQUE constraint failed" in str(error.orig) or "duplicate key value" in str(error.orig):
            return refusal(409, "The same is there already: another request has just made it.")
        if "invalid byte sequence" not in str(error.orig):
            raise error
        return refusal(422, "A text has the character NUL in it, which the server's database cannot hold.")

    async def tell_of_number(_request: Request, error: Exception) -> Response:
        if "too large to convert to SQLite" not in str(error):
            raise error
        return refusal(422, too_large)

    api.add_exception_handler(DBAPIError, tell)
    api.add_exception_handler(OverflowError, tell_of_number)


def say_plainly_when_the_disk_fails(api: FastAPI) -> None:
    """A full or read-only disk is one sentence, not an error of ours."""
    from sqlalchemy.exc import OperationalError

    sentences = {
        "disk is full": "The disk of the server is full: nothing was stored. Make room, then do it again.",
        "readonly database": "The disk of the server is read-only: nothing was stored.",
        "disk I/O error": "The disk of the server is full, read-only or broken: nothing was stored.",
        "No space left": "The disk of the server is full: nothing was stored. Make room, then do it again.",
    }

    async def tell(_request: Request, error: Exception) -> Response:
        assert isinstance(error, OperationalError)
        sentence = next((plain for sign, plain in sentences.items() if sign in str(error)), "")
        if not sentence:
            raise error
        log.error("%s (%s)", sentence, error.orig)
        return refusal(507, sentence)

    api.add_exception_handler(OperationalError, tell)
