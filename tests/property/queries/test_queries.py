"""Generated (query, data, cut, restart) triples: every way to run a query gives its answer."""

from __future__ import annotations

import os
import traceback
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from flowsql import FlowSQLError
from tests.property.queries.data import make_events
from tests.property.queries.grammar import TABLES, make_query
from tests.property.queries.triple import check

CUTS = 3


def _block(seeds: range) -> tuple[int, list[str]]:
    """Triples compared, and what differed, for a block of seeds."""
    done, reports = 0, []
    for seed in seeds:
        try:
            done += check(seed, cuts=CUTS)
        except AssertionError as error:
            reports.append(str(error))
        except FlowSQLError as error:
            reports.append(f"seed {seed}: refused: {error}\n{make_query(seed).flink}")
        except Exception:  # noqa: BLE001 (a crash is a finding, with its query)
            crash = traceback.format_exc(limit=-6)
            reports.append(f"seed {seed}: {crash}\n{make_query(seed).flink}")
    return done, reports


@pytest.mark.timeout(3600)
def test_every_way_to_run_a_query_agrees() -> None:
    """Any cut into steps and any restart gives the answer of the finest run, of batch, of DuckDB."""
    triples = int(os.environ.get("FLOWSQL_TRIPLES", "0"))
    triples = triples or (30_000 if os.environ.get("FLOWSQL_TEST_ALL") else 2_001)
    first = int(os.environ.get("FLOWSQL_SEED", "0"))
    seeds = range(first, first + -(-triples // CUTS))
    blocks = [range(i, min(i + 8, seeds.stop)) for i in range(seeds.start, seeds.stop, 8)]
    done, reports = 0, []
    with ProcessPoolExecutor(min(4, os.cpu_count() or 1), get_context("spawn")) as pool:
        for compared, differences in pool.map(_block, blocks):
            done += compared
            reports += differences
    assert reports[:3] == [], f"{len(reports)} differences\n\n" + "\n\n".join(reports[:3])
    assert done >= triples


def test_seeds_are_stable() -> None:
    """A seed names the same query and data in every process."""
    assert make_query(7) == make_query(7)
    assert make_events(7, ["app", "ups"], late=False) == make_events(7, ["app", "ups"], late=False)


def test_the_grammar_reaches_everything() -> None:
    """A thousand seeds hold every table, every kind of join, windows, views and WITH."""
    queries = [make_query(seed) for seed in range(1000)]
    texts = "\n".join(q.flink for q in queries)
    assert set(TABLES) == set().union(*(q.tables for q in queries))
    for word in (
        *("LEFT JOIN", "RIGHT JOIN", "FULL JOIN", " JOIN ", "IS NOT DISTINCT FROM", "UNION ALL"),
        *("UNION SELECT", "SELECT DISTINCT", "GROUP BY", "HAVING", "TUMBLE", "WITH ", "CASE"),
        *("COUNT(DISTINCT", "SUM(", "AVG(", "MIN(", "MAX(", "FILTER (WHERE", "CAST("),
    ):
        assert word in texts, word
    assert any(q.views for q in queries)
    assert sum(q.duck is not None for q in queries) > 700
