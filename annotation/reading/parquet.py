"""Rows of a parquet file; only columns that can hold words are read."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from annotation.errors import SourceError
from annotation.reading.names import ORDERS, RANKS, SCORES
from annotation.reading.rows import Limits, Row, Table, too_much_text
from annotation.text.locales import fold


def read_parquet_file(path: Path, source: str, limits: Limits) -> Table:
    """Read a parquet file; `source` is its name in sentences."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            columns = text_columns(file.schema_arrow)
            _check_size(file.metadata, columns, source, limits)
            batches = (batch.to_pylist() for batch in file.iter_batches(batch_size=1024, columns=columns))
            rows = tuple(Row(str(n), values) for n, values in enumerate(itertools.chain.from_iterable(batches), 1))
    except (pa.ArrowException, OSError, EOFError, UnicodeDecodeError) as error:
        if isinstance(error, PermissionError):
            raise
        raise SourceError(
            f"{source} is cut off, damaged or no parquet file ({str(error)[:80]}); copy or download it again."
        ) from error
    return Table(path.name, tuple(columns), rows)


def _check_size(metadata: Any, columns: Sequence[str], source: str, limits: Limits) -> None:
    wanted = set(columns)
    total = 0
    for group in range(metadata.num_row_groups):
        for number in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(number)
            if chunk.path_in_schema.partition(".")[0] in wanted:
                total += chunk.total_uncompressed_size
    if total > limits.total:
        raise too_much_text(source, limits)


def text_columns(schema: Any) -> list[str]:
    """Names of the columns that can hold words, or ranks and scores of answers: no images, no vectors."""
    import pyarrow as pa

    def words(kind: Any) -> bool:
        if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
            return words(kind.value_type) and not pa.types.is_primitive(kind.value_type)
        if pa.types.is_struct(kind):
            return all(words(kind.field(number).type) for number in range(kind.num_fields))
        return not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind))

    ordering = {*RANKS, *SCORES, *ORDERS}
    return [field.name for field in schema if fold(field.name) in ordering or words(field.type)]
