"""Generated (query, data, cut, restart) triples: every way to run a query gives its answer."""

from __future__ import annotations

import os
import random
import traceback

import pytest

from flowsql import FlowSQLError
from tests.property.queries.data import cut, make_events
from tests.property.queries.grammar import TABLES, make_job, make_query
from tests.property.queries.triple import check, check_batch, make_triple
from tests.support.connectors import Rows

CUTS = 3


# The seeds are dealt to as many tests, for workers to share.
SLICES = 16


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(SLICES))
def test_every_way_to_run_a_query_agrees(part: int) -> None:
    """Any cut into steps and any restart gives the answer of the finest run, of batch, of DuckDB."""
    triples = int(os.environ.get("FLOWSQL_TRIPLES", "0"))
    triples = triples or (30_000 if os.environ.get("FLOWSQL_TEST_ALL") else 2_001)
    first = int(os.environ.get("FLOWSQL_SEED", "0"))
    done, reports = 0, []
    seeds = range(first, first + -(-triples // CUTS))[part::SLICES]
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
    assert reports[:3] == [], f"{len(reports)} differences\n\n" + "\n\n".join(reports[:3])
    assert done == CUTS * len(seeds)


def test_what_only_batch_mode_answers_agrees() -> None:
    """Ranks of all rows and approximate counts, as DuckDB has them."""
    assert sum(check_batch(seed) for seed in range(60)) > 30


def test_seeds_are_stable() -> None:
    """A seed names the same query and data in every process."""
    assert make_query(7) == make_query(7)
    assert make_events(7, ["app", "ups"], late=False) == make_events(7, ["app", "ups"], late=False)


def test_the_grammar_reaches_everything() -> None:
    """A thousand seeds hold every table, every kind of join, windows, views and WITH."""
    jobs = [make_job(seed) for seed in range(1000)]
    queries = [query for job in jobs for query in job]
    texts = "\n".join(q.flink for q in queries)
    assert set(TABLES) == set().union(*(q.tables for q in queries))
    for word in (
        *("LEFT JOIN", "RIGHT JOIN", "FULL JOIN", " JOIN ", "CROSS JOIN", "UNION ALL"),
        *("UNION SELECT", "SELECT DISTINCT", "GROUP BY", "HAVING", "TUMBLE", "WITH ", "CASE"),
        *("COUNT(DISTINCT", "SUM(", "AVG(", "MIN(", "MAX(", "FILTER (WHERE", "CAST(", "NULLIF"),
        *(
            "IS NOT DISTINCT FROM",
            "BETWEEN",
            "NOT IN",
            "EXTRACT",
            "REPLACE",
            ".x AS",
            "GROUP BY UPPER",
        ),
        *(
            "NOT IN (SELECT",
            " IN (SELECT",
            "NOT EXISTS (SELECT",
            "< (SELECT M",
            "INTERSECT",
            "EXCEPT ALL",
        ),
        *(
            "ROW_NUMBER",
            "LIMIT",
            "OFFSET",
            "GROUPING SETS",
            "ROLLUP",
            "CUBE",
            "GROUPING_ID",
            ", ())",
        ),
        *("QUALIFY", "ORDER BY ts DESC", "ORDER BY p)", "ORDER BY p DESC", "> ALL (", "= ANY ("),
        *("VALUES", "UNNEST(", "WITH ORDINALITY", "LEFT JOIN UNNEST", "LATERAL (SELECT", "ON TRUE"),
        *("(SELECT COUNT(", "(SELECT SUM(", ") NOT IN (SELECT", "(EXISTS (SELECT", "COLLECT("),
        *("LISTAGG(", "LISTAGG(DISTINCT", "ARRAY_AGG(", "FIRST_VALUE(", "LAST_VALUE(", "VAR_SAMP("),
        *("STDDEV_POP(", "PERCENTILE(", "JSON_ARRAYAGG(", "JSON_OBJECTAGG(", "NULL ON NULL"),
        *("ARRAY[", "MAP[", "CAST(ROW(", "CARDINALITY(", "ARRAY_CONTAINS(", "ARRAY_SORT(", ")[1]"),
    ):
        assert word in texts, word
    assert any(q.views for q in queries)
    assert sum(" LEFT JOIN " in t or " JOIN " in t for t in texts.splitlines()) > 200
    assert any("FROM view" in text for query in queries for _, text, _ in query.views)
    assert sum(q.duck is not None for q in queries) > 700
    assert sum(len(job) > 1 for job in jobs) > 100


def test_the_data_is_nasty() -> None:
    """A hundred feeds hold what sources do when they are nasty, and empty steps."""
    seen: set[str] = set()
    for seed in range(100):
        events = make_events(seed, ["app", "evt", "ret", "ups"], late=True)
        ends = cut(random.Random(seed), events)
        seen |= {"an empty step"} if len(set(ends)) < len(ends) else set()
        for event in events:
            assert isinstance(event, Rows)
            kinds = tuple(kind for kind, _ in event.rows)
            bare = all(value is None for value in event.rows[0][1][1:])
            seen |= {"another split"} if event.split else set()
            seen |= {"many rows of a key"} if len(kinds) > 30 else set()
            seen |= {"half a pair"} if kinds == ("-U",) else set()
            seen |= {"a delete, then an insert"} if kinds == ("-D", "+I") else set()
            seen |= {"a delete of only a key"} if kinds == ("-D",) and bare else set()
    assert len(seen) == 6, seen


def test_every_kind_of_sink_is_written() -> None:
    """Sinks without a key, and with one in all forms."""
    targets = [output.target for seed in range(80) for output in make_triple(seed).outputs]
    assert any(not target.keys for target in targets)
    modes = ("I,UA,D", "I,UB,UA,D")
    assert {t.mode for t in targets if t.keys and t.appends} == set(modes)
    kinds = {(t.mode, t.conflict) for t in targets if t.keys and not t.appends}
    assert kinds == {(mode, said) for mode in modes for said in (False, True)}
    assert any(len(target.keys) == 2 for target in targets)
