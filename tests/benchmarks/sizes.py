"""How much each benchmark does: long for numbers to quote, short for CI, a smoke for `make test`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from batch_share.common import Rate

LIMIT: Final = Rate(25, 5.0)
"""The real one. Whatever is shortened keeps its ratios."""


@dataclass(frozen=True, slots=True)
class ShareBatch:
    """Counts of rows, calls and runs. `rate` and `trips` (seconds, medians) are those of (a) alone."""

    name: str
    rate: Rate
    trips: tuple[float, ...]
    calls: int
    paced_runs: int
    job_rows: int
    bulk_rows: int
    job_seeds: tuple[int, ...]
    engine_rows: int
    engine_runs: int
    read_rows: tuple[int, ...]
    read_runs: int
    starts: int
    rest: float
    growth: tuple[int, ...]
    growth_runs: tuple[int, ...]
    most_rows: int
    resumes: int
    bad_rows: int
    bad_shares: tuple[float, ...]
    processing: tuple[float, ...]
    ledgers: int
    ledger_rows: int
    stored_rows: int
    commits: int


SIZES: Final = {
    sizes.name: sizes
    for sizes in (
        ShareBatch(
            "long",
            rate=LIMIT,
            trips=(0.05, 0.15, 0.4),
            calls=500,
            paced_runs=3,
            job_rows=1000,
            bulk_rows=10_000,
            job_seeds=(1, 2, 3),
            engine_rows=3000,
            engine_runs=5,
            read_rows=(100_000, 1_000_000),
            read_runs=3,
            starts=15,
            rest=5.0,
            growth=(1000, 10_000, 100_000),
            growth_runs=(5, 3, 1),
            most_rows=1_000_000,
            resumes=3,
            bad_rows=1000,
            bad_shares=(0.0, 0.001, 0.01, 0.05, 0.2),
            processing=(1.0, 10.0, 60.0),
            ledgers=1000,
            ledger_rows=500,
            stored_rows=1_000_000,
            commits=2000,
        ),
        ShareBatch(
            "short",
            rate=Rate(25, 1.0),
            trips=(0.01, 0.03, 0.08),
            calls=250,
            paced_runs=1,
            job_rows=200,
            bulk_rows=1000,
            job_seeds=(1,),
            engine_rows=500,
            engine_runs=3,
            read_rows=(10_000,),
            read_runs=1,
            starts=5,
            rest=3.0,
            growth=(200, 600, 2000),
            growth_runs=(1, 1, 1),
            most_rows=20_000,
            resumes=1,
            bad_rows=400,
            bad_shares=(0.0, 0.01, 0.05),
            processing=(1.0,),
            ledgers=20,
            ledger_rows=50,
            stored_rows=5_000,
            commits=200,
        ),
        ShareBatch(
            "smoke",
            rate=Rate(10, 0.4),
            trips=(0.012,),
            calls=30,
            paced_runs=1,
            job_rows=40,
            bulk_rows=60,
            job_seeds=(1,),
            engine_rows=20,
            engine_runs=1,
            read_rows=(50,),
            read_runs=1,
            starts=1,
            rest=0.2,
            growth=(10, 20),
            growth_runs=(1, 1),
            most_rows=40,
            resumes=1,
            bad_rows=30,
            bad_shares=(0.0, 0.05),
            processing=(1.0,),
            ledgers=3,
            ledger_rows=10,
            stored_rows=40,
            commits=10,
        ),
    )
}
