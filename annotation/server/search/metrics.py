"""The values that a metadata property takes, for the page's filters."""

from __future__ import annotations

import math

import numpy as np
from argilla_server.enums import MetadataPropertyType
from argilla_server.models import MetadataProperty, Record
from argilla_server.search_engine import FloatMetadataMetrics, IntegerMetadataMetrics, MetadataMetrics, TermsMetrics
from sqlalchemy import func, not_, select
from sqlalchemy.ext.asyncio import AsyncSession

from annotation.server.search.conditions import typed
from annotation.server.search.dialects import Dialect

# Argilla's own limit for the number of terms in a metric.
MAX_TERMS = 2**14


async def compute_metrics(
    session: AsyncSession, dialect: Dialect, metadata_property: MetadataProperty
) -> MetadataMetrics:
    """The values that a metadata property takes: terms with their counts, or the range of numbers."""
    element = dialect.elements(Record.metadata_, metadata_property.name)
    values = typed(dialect, element, metadata_property.type)
    assert values is not None, metadata_property.type
    present = (Record.dataset_id == metadata_property.dataset_id, not_(dialect.is_null(element)))
    if metadata_property.type == MetadataPropertyType.terms:
        counted = (
            select(values.column, func.count())
            .select_from(Record, element)
            .where(*present)
            .group_by(values.column)
            .order_by(func.count().desc(), values.column)
        )
        counts = (await session.execute(counted)).all()
        return TermsMetrics(
            total=sum(count for _, count in counts),
            values=[TermsMetrics.TermCount(term=term, count=count) for term, count in counts[:MAX_TERMS]],
        )
    extremes = select(func.min(values.column), func.max(values.column))
    low, high = (await session.execute(extremes.select_from(Record, element).where(*present))).one()
    if metadata_property.type == MetadataPropertyType.integer:
        return IntegerMetadataMetrics(min=None if low is None else int(low), max=None if high is None else int(high))
    return FloatMetadataMetrics(
        min=None if low is None else _single(low, towards=-math.inf),
        max=None if high is None else _single(high, towards=math.inf),
    )


def _single(value: float, towards: float) -> float:
    """The number in single precision, which Argilla promises, never on the wrong side of the value.

    The page puts the ends of its slider there: rounded inwards, they would shut out the extremes.
    """
    with np.errstate(over="ignore"):
        single = np.float32(value)
        if math.isinf(single):
            return value
        beyond = float(single) > value if towards < 0 else float(single) < value
        return float(np.nextafter(single, np.float32(towards)) if beyond else single)
