"""Filters and orders of annotators where records are assigned: without what they are not told."""

from __future__ import annotations

from argilla_server.search_engine import AndFilter, Filter, Order, RecordFilterScope

from annotation.server.search.conditions import split_pending


def is_told(part: Filter | Order) -> bool:
    """Whether annotators are told what a filter or an order asks for: by all else control records could be found."""
    scope = getattr(part, "scope", None)
    return not (isinstance(scope, RecordFilterScope) and scope.property in {"status", "inserted_at", "updated_at"})


def as_told(filter_: Filter | None) -> Filter | None:
    """A filter without what annotators are not told."""
    parts = filter_.filters if isinstance(filter_, AndFilter) else [filter_] if filter_ is not None else []
    kept = [part for part in parts if is_told(part)]
    return AndFilter(kept) if kept else None


def is_queue(filter_: Filter | None) -> bool:
    """Whether a filter asks for nothing but what a person has not answered."""
    others, person = split_pending(as_told(filter_))
    return person is not None and isinstance(others, AndFilter) and not others.filters
