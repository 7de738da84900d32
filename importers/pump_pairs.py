"""Two rows, one dose: the row that says what was programmed and the later row that says what was delivered.

They are joined by the device's own number and what both repeat (amount, type, source), never by a time window
alone: the time between them is the time the delivery took, from seconds to hours. A number of one byte comes back
after 256 boluses, hence the limit of eight hours, the longest extended bolus. Reasons of cancelled deliveries
stand on a third row and are joined within a second; on both sides some stay alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

PAIR_LIMIT_S = 8 * 3600
REASON_LIMIT_S = 1


def pair_doses(rows: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """Pair each delivered row with the programmed row of the same dose.

    ``rows``: line, seq (order of the device), running (Datetime without clock changes), delivered (Boolean) and the
    ``keys`` columns; no two equal rows. Returns ``delivered_line``, ``programmed_line``: one row per pair.

    First each delivered row takes the programmed row just before it in the device's order; what is left (rows written
    a second out of order) takes the nearest earlier one in time.
    """
    import polars as pl

    if rows.is_empty():
        return pl.DataFrame(schema={"delivered_line": pl.Int64, "programmed_line": pl.Int64})
    first = _adjacent(rows.sort("seq"), keys)
    rest = rows.filter(~pl.col("line").is_in(first["delivered_line"].implode()))
    rest = rest.filter(~pl.col("line").is_in(first["programmed_line"].implode()))
    second = _adjacent(rest.sort("running", "delivered", "seq"), keys)
    return pl.concat([first, second])


def _adjacent(rows: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    import polars as pl

    before = rows.with_columns(
        before_line=pl.col("line").shift(1).over(keys),
        before_delivered=pl.col("delivered").shift(1).over(keys),
        before_running=pl.col("running").shift(1).over(keys),
    )
    took = (pl.col("running") - pl.col("before_running")).dt.total_seconds()
    paired = pl.col("delivered") & ~pl.col("before_delivered") & took.is_between(0, PAIR_LIMIT_S)
    return before.filter(paired).select(delivered_line="line", programmed_line="before_line")


def join_reasons(doses: pl.DataFrame, reasons: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """Add ``reason`` to doses: the reason row with the same keys within a second, NULL where there is none.

    ``doses``: running and keys, sorted or not; ``reasons``: running, keys, reason.
    """
    import polars as pl

    if reasons.is_empty() or doses.is_empty():
        return doses.with_columns(reason=pl.lit(None, dtype=pl.String))
    return (
        doses.sort("running")
        .join_asof(
            reasons.select("running", *keys, "reason").sort("running"),
            on="running",
            by=list(keys),
            strategy="nearest",
            tolerance=f"{REASON_LIMIT_S}s",
            check_sortedness=False,
        )
        .sort("line")
    )


def status_expr(programmed: str, delivered: str, *, tolerance: float = 0.0) -> pl.Expr:
    """completed, partial or none_delivered from the two amounts; unknown where the delivered one is not reported.

    ``tolerance``: half a display step, for logs that round the two amounts differently.
    """
    import polars as pl

    short = pl.col(programmed) - pl.col(delivered) > tolerance
    return (
        pl.when(pl.col(delivered).is_null())
        .then(pl.lit("unknown"))
        .when((pl.col(delivered) == 0) & short)
        .then(pl.lit("none_delivered"))
        .when(short)
        .then(pl.lit("partial"))
        .otherwise(pl.lit("completed"))
    )
