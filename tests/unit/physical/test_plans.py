"""Lowering: modes, keys, layouts, sinks."""

from __future__ import annotations

import pytest

from flowsql.changelog import ChangelogMode
from flowsql.logical import PlanSettings
from flowsql.physical import specs as p
from tests.unit.logical.planning import Planner, text


@pytest.fixture(scope="module")
def planner() -> Planner:
    """The tables of `planning`."""
    return Planner()


def only(plan: object, kind: type[p.Spec]) -> p.Spec:
    """The one spec of a kind."""
    found = [n.spec for n in plan.nodes if isinstance(n.spec, kind)]  # type: ignore[attr-defined]
    assert len(found) == 1
    return found[0]


def test_a_filter_and_a_projection(planner: Planner) -> None:
    """Choosing columns is no operator."""
    assert planner.physical("INSERT INTO log SELECT a + 1, b FROM t WHERE c > 3") == text("""
Sink(log, takes=append)
└─ Project(CAST(a + 1 AS BIGINT), b)
   └─ Filter(c > 3)
      └─ Scan(t, columns=[a, b, c])
""")


def test_a_scan_computes_and_marks(planner: Planner) -> None:
    """Computed columns over what is read; the watermark where the time is read."""
    scan = only(planner.plan("SELECT d, ts FROM t"), p.Scan)
    assert isinstance(scan, p.Scan)
    assert scan.columns == ("a", "ts")
    assert scan.projection is not None
    assert scan.watermark is not None
    assert scan.watermark.rowtime == 1
    plain = only(planner.plan("SELECT a FROM t"), p.Scan)
    assert isinstance(plain, p.Scan)
    assert plain.projection is plain.watermark is None


def test_the_job_of_two_inserts_reads_each_table_once(planner: Planner) -> None:
    """Equal parts are one node."""
    sql = """EXECUTE STATEMENT SET BEGIN
        INSERT INTO log SELECT c, x FROM t JOIN k ON t.a = k.id;
        INSERT INTO files SELECT n, x FROM (SELECT window_start, window_end, b AS x, COUNT(*) AS n
            FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
            GROUP BY window_start, window_end, b);
        END"""
    assert planner.physical(sql) == text("""
Sink(log, takes=append)
└─ Project(c, x)
   └─ Join(inner, a = id, left: no unique key, stores [c]; right: join key is unique [id], stores [x])
      ├─ #1 Scan(t, columns=[a, b, c, ts], watermark=ts - INTERVAL '4' SECOND on-event)
      └─ Scan(k, columns=[id, x])
Sink(files, takes=append)
└─ Project(COUNT(*), b)
   └─ WindowAggregate(window=[window_start, window_end], keys=[b], calls=[COUNT(*)])
      └─ TumbleAssign(ts, size=1 min)
         └─ Reused #1: Scan
""")


@pytest.mark.parametrize(
    ("sql", "keys"),
    [
        ("SELECT x, id FROM k", [(1,)]),
        ("SELECT x FROM k", []),
        ("SELECT id + 0 FROM k", []),
        ("SELECT id FROM k WHERE x = 'a'", [(0,)]),
        ("SELECT a, COUNT(*) FROM t GROUP BY a", [(0,)]),
        ("SELECT COUNT(*) FROM t", [()]),
        ("SELECT DISTINCT a, b FROM t", [(0, 1)]),
        ("SELECT id FROM k UNION ALL SELECT id FROM r", []),
        ("SELECT k.id, y FROM k JOIN r ON k.id = r.id", [(0,)]),
        ("SELECT r.id, y FROM k JOIN r ON k.id = r.id", [(0,)]),
        ("SELECT k.id, r.id FROM k LEFT JOIN r ON k.id = r.id", [(0,)]),
        ("SELECT k.id, r.id FROM k FULL JOIN r ON k.id = r.id", [(0, 1)]),
        ("SELECT r.id, k.id FROM r LEFT JOIN k ON r.y = k.id", [(0,)]),
        ("SELECT r.id, k.id FROM r RIGHT JOIN k ON r.y = k.id", [(0, 1)]),
        ("SELECT a, b, k.id FROM t JOIN k ON t.a = k.id", []),
    ],
)
def test_unique_keys(planner: Planner, sql: str, keys: list[tuple[int, ...]]) -> None:
    """Through projections, filters, aggregates and joins."""
    assert list(planner.plan(sql).nodes[-1].upsert_keys) == keys


@pytest.mark.parametrize(
    ("side", "on", "layout"),
    [
        ("k", "k.id = t.a", p.SideLayout.KEY_IS_UNIQUE),
        (
            "(SELECT id + 0, id, x, y FROM r) AS q",
            "q.y = t.a AND q.id > t.c",
            p.SideLayout.HAS_UNIQUE_KEY,
        ),
        ("(SELECT x, y FROM r) AS q", "q.y = t.a", p.SideLayout.NO_UNIQUE_KEY),
    ],
)
def test_layouts_of_a_join_side(planner: Planner, side: str, on: str, layout: object) -> None:
    """By the unique key and the join key."""
    sql = f"SELECT t.b, x FROM t JOIN {side} ON {on}"
    plan = planner.plan(sql)
    join = only(plan, p.Join)
    assert isinstance(join, p.Join)
    if layout is p.SideLayout.NO_UNIQUE_KEY:
        # The key is read by the scan only where the query reads it.
        assert join.right.unique_key == ()
    assert join.right.layout is layout
    assert join.left.layout is p.SideLayout.NO_UNIQUE_KEY


def test_a_join_stores_only_what_is_read_later(planner: Planner) -> None:
    """Not the key alone, not what nobody reads; what ON reads."""
    join = only(planner.plan("SELECT b FROM t JOIN r ON t.a = r.id AND t.c > r.y"), p.Join)
    assert isinstance(join, p.Join)
    assert len(join.left.columns) == 2
    assert len(join.right.columns) == 1
    assert join.condition is not None


def test_joins_without_an_equality(planner: Planner) -> None:
    """All rows have the one empty key."""
    for sql in ("SELECT a, id FROM t, k", "SELECT 1 FROM t JOIN k ON t.a < k.id",
                "SELECT COUNT(*) FROM t, k"):  # fmt: skip
        join = only(planner.plan(sql), p.Join)
        assert isinstance(join, p.Join)
        assert join.left.keys == join.right.keys == ()
        assert join.left.columns
        assert join.right.columns


def test_is_not_distinct_from_is_null_safe(planner: Planner) -> None:
    """Pair by pair."""
    sql = "SELECT 1 FROM t JOIN k ON t.a = k.id AND t.b IS NOT DISTINCT FROM k.x"
    join = only(planner.plan(sql), p.Join)
    assert isinstance(join, p.Join)
    assert join.null_safe == (False, True)


def test_upserts_are_normalised(planner: Planner) -> None:
    """Unless they go straight to a sink of the same key."""
    assert "Normalize(keys=[id])" in planner.physical("SELECT COUNT(*) FROM u")
    straight = planner.physical("INSERT INTO kv SELECT id, x FROM u WHERE id > 3")
    assert straight == text("""
Sink(kv, takes=upsert, key=[a])
└─ Project(id, x)
   └─ Filter(id > 3)
      └─ Scan(u, columns=[id, x])
""")
    for sql in (
        # A delete may hold nothing but its key.
        "INSERT INTO kv SELECT id, UPPER(x) FROM u",
        "INSERT INTO kv SELECT id, x FROM u WHERE x > 'a'",
        "INSERT INTO kv SELECT y, x FROM u ON CONFLICT DO DEDUPLICATE",
        "INSERT INTO log SELECT id, x FROM u",
    ):
        assert "Normalize(keys=[id])" in planner.physical(sql)


def test_upserts_need_a_key(planner: Planner) -> None:
    """The cure is in the hint."""
    planner.bind("CREATE TABLE uu (a INT) WITH ('connector' = 'toy', 'scan' = 'upsert')")
    assert "needs a PRIMARY KEY" in planner.error("SELECT * FROM uu")


def test_the_form_a_sink_gets(planner: Planner) -> None:
    """Append where that is all, retract where it can, upsert by its key."""
    mode = ChangelogMode

    def sink(sql: str) -> tuple[ChangelogMode, tuple[int, ...]]:
        spec = only(planner.plan(sql), p.Sink)
        assert isinstance(spec, p.Sink)
        return spec.mode, spec.upsert_key

    assert sink("INSERT INTO log SELECT a, b FROM t") == (mode.APPEND, ())
    assert sink("INSERT INTO log SELECT COUNT(*), b FROM t GROUP BY b") == (mode.RETRACT, (1,))
    assert sink("INSERT INTO log SELECT y, x FROM r") == (mode.RETRACT, ())
    assert sink("INSERT INTO kv SELECT id, x FROM k") == (mode.UPSERT, (0,))
    assert sink("INSERT INTO kv SELECT a, MAX(b) FROM t GROUP BY a") == (mode.UPSERT, (0,))


def test_a_materialiser_where_the_keys_differ() -> None:
    """Unless it is switched off, or the query's key lies in the sink's."""
    other = "INSERT INTO kv SELECT y, x FROM r"
    same = "INSERT INTO kv SELECT id, x FROM r"
    for setting, expected in (("auto", (True, False)), ("none", (False, False)),
                              ("force", (True, True))):  # fmt: skip
        planner = Planner(PlanSettings(upsert_materialize=setting, require_on_conflict=False))
        found = tuple("SinkMaterialize(keys=[a])" in planner.physical(q) for q in (other, same))
        assert found == expected


def test_another_key_must_be_wanted(planner: Planner) -> None:
    """As in Flink since 2.3: ON CONFLICT says what happens to rows of one key."""
    assert planner.error("INSERT INTO kv SELECT y, x FROM r") == text("""
SqlError at 1:13: the query has an upsert key that differs from the primary key of the sink table "kv"
  INSERT INTO kv SELECT y, x FROM r
              ^^
Detail: Primary key: [a]. Upsert key: none.
Hint: Write INSERT INTO … ON CONFLICT DO DEDUPLICATE for the last row of each key to count.
""")
    assert planner.error("INSERT INTO kv SELECT a, b FROM t").endswith(
        "Hint: Write INSERT INTO … ON CONFLICT DO DEDUPLICATE for the last row of each key to count, "
        "DO NOTHING for the first one, or DO ERROR to fail where there are two."
    )
    plan = planner.physical("INSERT INTO kv SELECT y, x FROM r ON CONFLICT DO DEDUPLICATE")
    assert "SinkMaterialize(keys=[a])" in plan


KV = "default_catalog.default_database.kv"


def test_conflicts_are_judged_by_an_operator(planner: Planner) -> None:
    """Where the keys differ; over input that has event time."""
    for action in ("ERROR", "NOTHING"):
        conflict = f"ON CONFLICT DO {action}"
        plan = planner.plan(f"INSERT INTO kv SELECT a, b FROM t {conflict}")
        spec = p.OnConflict((0,), KV, action == "ERROR", ChangelogMode.APPEND)
        assert only(plan, p.OnConflict) == spec
        plan = planner.plan(
            f"INSERT INTO kv SELECT CAST(c AS INT), MAX(b) FROM t GROUP BY c {conflict}"
        )
        spec = p.OnConflict((0,), KV, action == "ERROR", ChangelogMode.RETRACT)
        assert only(plan, p.OnConflict) == spec
        assert not any(isinstance(n.spec, p.SinkMaterialize) for n in plan.nodes)
        same = planner.physical(f"INSERT INTO kv SELECT a, MAX(b) FROM t GROUP BY a {conflict}")
        assert "OnConflict" not in same
    assert f"OnConflict(keys=[a], do {action.lower()})" in planner.physical(
        f"INSERT INTO kv SELECT a, b FROM t {conflict}"
    )
    assert planner.error("INSERT INTO kv SELECT id, x FROM k ON CONFLICT DO ERROR") == text("""
SqlError at 1:34: ON CONFLICT DO ERROR requires all source tables to define watermarks, and table "k" does not
  INSERT INTO kv SELECT id, x FROM k ON CONFLICT DO ERROR
                                   ^
Hint: Declare WATERMARK FOR … in its CREATE TABLE, or write ON CONFLICT DO DEDUPLICATE.
""")
    scan = only(planner.plan(f"INSERT INTO kv SELECT a, b FROM t {conflict}"), p.Scan)
    assert isinstance(scan, p.Scan)
    assert scan.watermark is not None
    kept = Planner(PlanSettings(state_ttl=60_000))
    sql = f"INSERT INTO kv SELECT a, b FROM t {conflict}"
    assert "OnConflict(keys=[a], do nothing, ttl=1 min)" in kept.physical(sql)
    batch = Planner(PlanSettings(streaming=False))
    assert "OnConflict" in batch.physical("INSERT INTO kv SELECT y, x FROM r ON CONFLICT DO ERROR")
    for setting, expected in (("none", False), ("force", True)):
        planner = Planner(PlanSettings(upsert_materialize=setting))
        sql = "INSERT INTO kv SELECT a, MAX(b) FROM t GROUP BY a ON CONFLICT DO NOTHING"
        assert ("OnConflict" in planner.physical(sql)) == expected
        assert "SinkMaterialize" not in planner.physical(sql)


def test_a_cast_that_tells_values_apart_keeps_the_key() -> None:
    """As Flink has it: wider integers and texts, and texts of what has one each."""
    kept = [("INT", "BIGINT"), ("INT", "STRING"), ("VARCHAR(3)", "VARCHAR(5)"), ("DATE", "STRING"),
            ("DOUBLE", "STRING"), ("BINARY(3)", "BYTES"), ("CHAR(3)", "STRING")]  # fmt: skip
    lost = [("BIGINT", "INT"), ("INT", "DOUBLE"), ("INT", "DECIMAL(20, 2)"), ("STRING", "VARCHAR(5)"),
            ("DATE", "TIMESTAMP(3)"), ("DECIMAL(5, 2)", "STRING"), ("BINARY(3)", "STRING"),
            ("FLOAT", "DOUBLE")]  # fmt: skip
    for source, target in kept + lost:
        planner = Planner(
            tables=f"""
            CREATE TABLE t (k {source}) WITH ('connector' = 'toy');
            CREATE TABLE kv (k {target}, n BIGINT, PRIMARY KEY (k) NOT ENFORCED)
              WITH ('connector' = 'toy', 'sink' = 'upsert');"""
        )
        sql = f"INSERT INTO kv SELECT CAST(k AS {target}), COUNT(*) FROM t GROUP BY k"
        if (source, target) in kept:
            assert "SinkMaterialize" not in planner.physical(sql)
        else:
            assert "differs from the primary key" in planner.error(sql)


def test_batch_mode_gives_results_once() -> None:
    """Everything is read in one step: an append-only sink takes it."""
    planner = Planner(PlanSettings(streaming=False))
    plan = planner.plan("INSERT INTO files SELECT COUNT(*), b FROM t GROUP BY b")
    assert {n.mode for n in plan.nodes} == {ChangelogMode.APPEND}
    assert not plan.streaming
    total = only(planner.plan("SELECT COUNT(*) FROM t"), p.GroupAggregate)
    assert isinstance(total, p.GroupAggregate)
    assert total.emit_empty
    windows = planner.physical("""SELECT window_start, COUNT(*) FROM
        TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' DAY)) GROUP BY window_start, window_end""")
    assert "GroupAggregate(keys=[window_start, window_end]" in windows


def test_windows_of_an_aggregate(planner: Planner) -> None:
    """The window's columns stand behind; only those that are asked for are made."""
    plan = planner.plan("""SELECT b, window_end, SUM(c), window_time FROM
        TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' DAY))
        GROUP BY window_start, window_end, window_time, b""")
    spec = only(plan, p.WindowAggregate)
    assert isinstance(spec, p.WindowAggregate)
    assert spec.window_columns == ("window_start", "window_end", "window_time")
    assert not spec.local_time
    assert plan.nodes[-1].mode is ChangelogMode.APPEND
    assign = only(planner.plan("""SELECT window_start FROM
        TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' DAY))"""), p.TumbleAssign)  # fmt: skip
    assert isinstance(assign, p.TumbleAssign)
    assert assign.window_columns == ("window_start",)


def test_bad_records_go_to_their_table(planner: Planner) -> None:
    """Once a scan, whatever reads it."""
    planner.bind("""CREATE TABLE dead (table_name STRING, place STRING, record BYTES, reason STRING)
        WITH ('connector' = 'toy', 'sink' = 'append');
        CREATE TABLE dirty (a INT, b STRING) WITH ('connector' = 'toy', 'scan.bad-record' =
        'dead-letter', 'scan.dead-letter.table' = 'dead')""")
    sql = "INSERT INTO log SELECT a, b FROM dirty; INSERT INTO files SELECT a, b FROM dirty"
    assert planner.physical(sql) == text("""
Sink(log, takes=append)
└─ #2 Project(CAST(a AS BIGINT), b)
   └─ #1 Scan(dirty, columns=[a, b], bad records=dead-letter)
Sink(files, takes=append)
└─ Reused #2: Project
Sink(dead, takes=append)
└─ DeadLetters()
   └─ Reused #1: Scan
""")
    planner.bind("""CREATE TABLE dirty2 (a INT) WITH ('connector' = 'toy', 'scan.bad-record' =
        'dead-letter', 'scan.dead-letter.table' = 'dead', 'path' = '/dirty2')""")
    both = planner.physical("SELECT a FROM dirty UNION ALL SELECT a FROM dirty2")
    assert both.split("\n", 4)[4] == text("""
Sink(dead, takes=append)
└─ Union()
   ├─ DeadLetters()
   │  └─ Reused #1: Scan
   └─ DeadLetters()
      └─ Reused #2: Scan
""")
    shown = planner.error(f"INSERT INTO dead SELECT b, b, x'00', b FROM dirty; {sql}")
    assert 'table "dead" takes the bad records of table "dirty" and cannot be written' in shown
    planner.bind("""CREATE TABLE other (a INT, b STRING) WITH ('connector' = 'toy',
        'scan.bad-record' = 'dead-letter', 'scan.dead-letter.table' = 'log')""")
    assert "has other columns than bad records have" in planner.error("SELECT * FROM other")
    planner.bind("""CREATE TABLE nowhere (a INT) WITH ('connector' = 'toy',
        'scan.bad-record' = 'dead-letter')""")
    assert 'needs option "scan.dead-letter.table"' in planner.error("SELECT * FROM nowhere")


def test_a_union_of_a_table_with_itself(planner: Planner) -> None:
    """One node may be read twice by one reader."""
    plan = planner.plan("SELECT id FROM k UNION ALL SELECT id FROM k")
    assert len(plan.nodes) == 3
    assert plan.nodes[1].inputs == (plan.nodes[0].id,) * 2


def test_explain_changelog_mode(planner: Planner) -> None:
    """Modes, keys and state are shown when asked for."""
    shown = planner.physical("SELECT a, COUNT(*) FROM t GROUP BY a", changelog=True)
    assert "changelogMode=retract  keys=[a]  state=[groups, accumulators]" in shown


def test_inserts_into_one_table_are_one_sink(planner: Planner) -> None:
    """Their union; NOT NULL of any of them holds for all."""
    sql = "INSERT INTO log SELECT c, b FROM t; INSERT INTO log SELECT id, x FROM k"
    assert planner.physical(sql) == text("""
Sink(log, takes=append)
└─ Union()
   ├─ Scan(t, columns=[b, c])
   └─ Project(CAST(id AS BIGINT), x)
      └─ Scan(k, columns=[id, x])
""").replace("Scan(t, columns=[b, c])", "Project(c, b)\n   │  └─ Scan(t, columns=[b, c])")
    plan = planner.plan("INSERT INTO kv SELECT id, x FROM u WHERE FALSE OR id > 0")
    assert only(plan, p.Sink).not_null == ()  # type: ignore[attr-defined]
    both = """INSERT INTO kv SELECT id, x FROM u ON CONFLICT DO DEDUPLICATE;
              INSERT INTO kv SELECT a, b FROM t ON CONFLICT DO DEDUPLICATE"""
    plan = planner.plan(both)
    assert only(plan, p.Sink).not_null == (0,)  # type: ignore[attr-defined]
    assert only(plan, p.SinkMaterialize) == p.SinkMaterialize((0,))


def test_a_unique_key_does_not_survive_the_union_of_inserts(planner: Planner) -> None:
    """One INSERT alone would be by the sink's key; both together must say what counts."""
    one = "INSERT INTO kv SELECT id, x FROM k"
    other = "INSERT INTO kv SELECT id, x FROM r"
    planner.plan(one)
    planner.plan(other)
    shown = planner.error(f"{one}; {other} ON CONFLICT DO DEDUPLICATE")
    assert "differs from the primary key of the sink table" in shown
    assert "Detail: Primary key: [a]. Upsert key: none. A union has none." in shown
    retract = planner.plan(
        "INSERT INTO log SELECT id, x FROM r; INSERT INTO log SELECT y, x FROM r"
    )
    sink = only(retract, p.Sink)
    assert isinstance(sink, p.Sink)
    assert (sink.mode, sink.upsert_key) == (ChangelogMode.RETRACT, ())


def test_hints_of_one_sink(planner: Planner) -> None:
    """To other places they are sinks of their own; to the same place they must agree."""
    planner.bind("CREATE TABLE dest (a INT) WITH ('connector' = 'toy', 'path' = '/out')")
    insert = "INSERT INTO dest /*+ OPTIONS({}) */ SELECT a FROM t"
    apart = [insert.format(f"'path' = '/{i}'") for i in range(2)]
    assert len([n for n in planner.plan(";".join(apart)).nodes if isinstance(n.spec, p.Sink)]) == 2
    equal = [insert.format("'port' = '1'"), insert.format("'port' = '1'")]
    assert only(planner.plan(";".join(equal)), p.Sink)
    shown = planner.error(";".join([insert.format("'port' = '1'"), insert.format("'port' = '2'")]))
    assert 'table "dest" is written with different options by one job' in shown


def test_a_job_does_not_read_what_it_writes(planner: Planner) -> None:
    """By name, by place, and by way of bad records; another place of the table is another table."""
    planner.bind("""CREATE TABLE loop (a INT) WITH ('connector' = 'toy', 'path' = '/loop');
        CREATE TABLE loop2 (a INT) WITH ('connector' = 'toy', 'path' = '/loop')""")
    shown = planner.error("INSERT INTO loop SELECT a + 1 FROM loop WHERE a < 10")
    assert shown == text("""
SqlError at 1:13: table "loop" is read and written by one job
  INSERT INTO loop SELECT a + 1 FROM loop WHERE a < 10
              ^^^^
Detail: What the job writes would be its input again.
Hint: Write to another table.
""")
    shown = planner.error(
        "INSERT INTO loop SELECT a FROM loop2; INSERT INTO log SELECT a, '' FROM t"
    )
    assert 'table "loop" is read as "loop2" and written by one job' in shown
    planner.plan("INSERT INTO loop /*+ OPTIONS('path' = '/there') */ SELECT a FROM loop")
