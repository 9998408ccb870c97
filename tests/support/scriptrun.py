r"""Runs a parsed script in one variant.

A script is a plan of what happens, so it is read twice: first all that is pushed becomes one feed
of steps, then each look (`changes`, `rows`, `state` …) runs its view over the feed up to where the
look stands. A table without a connector is filled by `push`.

| command | input → expected |
| --- | --- |
| `sql` | statements → `ok` |
| `push T` | rows `+I \\| 1 \\| ann`, one step → nothing |
| `watermark T TIME`, `end T`, `advance 5s` | one step without rows; the clock begins at 2020 |
| `checkpoint`, `restart` | the next restart goes back to the last checkpoint |
| `changes V` | what the view gave since the last look: of each step first what goes |
| `rows V` | its table now, sorted |
| `state V` | state tables and their entries now |
| `plan V [logical\\|rules\\|physical]` | the plan; `rules` shows it after each rule that changed it |
| `oracle V` | DuckDB's answer over the same tables agrees → `agrees` |
| `eval` | an expression a line → `value : type` |
| `parse` | statements → their kinds |
| `error` | statements → the error's text |
| `set KEY=VALUE` | a setting of every run |
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import flowsql
from flowsql.config.options import parse_duration
from flowsql.types import RowType, TimestampType
from tests.support.cells import line_of, parse_line, parse_value, rows_text
from tests.support.connectors import Advance, End, Event, Rows, WatermarkAt
from tests.support.ddl import physical_columns
from tests.support.duck import duck_rows
from tests.support.engine import Change, Engine, Table, collected
from tests.support.fold import FoldError, fold, is_insert
from tests.support.script import Block, Script

__all__ = ["ALL_VARIANTS", "CANONICAL", "VARIANTS", "Variant", "run_script"]

_CREATE = re.compile(
    r"\s*CREATE\s+(?:TEMPORARY\s+)?TABLE\s+`?(\w+)`?\s*\((.*?)\)\s*"
    r"(?:WITH\s*\(\s*'changelog-mode'\s*=\s*'([^']*)'\s*\)\s*)?",
    re.IGNORECASE | re.DOTALL,
)
_VIEW = re.compile(
    r"\s*CREATE\s+(?:TEMPORARY\s+)?VIEW\s+`?(\w+)`?\s+AS\s+(.*)", re.IGNORECASE | re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Variant:
    """How a script is run.

    Attributes:
        name: for the test's id.
        rows: of a push in one step; None for all.
        restarts: whether the job is restarted after every push.
    """

    name: str
    rows: int | None = None
    restarts: bool = False


CANONICAL = Variant("whole")
VARIANTS = (CANONICAL, Variant("one-restart", 1, restarts=True), Variant("two", 2))
ALL_VARIANTS = (
    *VARIANTS,
    Variant("whole-restart", None, restarts=True),
    Variant("one", 1),
    Variant("two-restart", 2, restarts=True),
)


@dataclass
class _Run:
    variant: Variant
    engine: Engine
    steps: list[list[Event]] = field(default_factory=list)
    restarts: list[tuple[int, int]] = field(default_factory=list)
    checkpoint: int = 0
    tables: dict[str, RowType] = field(default_factory=dict)
    views: dict[str, str] = field(default_factory=dict)
    looked: dict[str, int] = field(default_factory=dict)
    answers: dict[str, tuple[RowType, tuple[Change, ...]]] = field(default_factory=dict)
    total: list[list[Event]] = field(default_factory=list)
    all_restarts: list[tuple[int, int]] = field(default_factory=list)


def run_script(script: Script, variant: Variant) -> list[Block]:
    """The blocks with the actual answers in place of the expected ones.

    Blocks that this variant does not judge keep their expectation.

    Raises:
        FoldError: a view's changes do not add up, or an append-only view took something back.
    """
    planned = _Run(variant, Engine())
    for block in script.blocks:
        _pushes(planned, block)
    run = _Run(variant, Engine(), total=planned.steps, all_restarts=planned.restarts)
    run.engine.config = {}
    done = []
    for block in script.blocks:
        _pushes(run, block)
        look = _LOOKS.get(block.command)
        if block.command not in _PUSHES and look is None:
            raise ValueError(f"{script.path}:{block.line}: unknown command {block.command!r}")
        judged = variant is CANONICAL or block.command in ("rows", "oracle", "sql")
        actual = look(run, block) if look is not None and judged else list(block.expected)
        done.append(block.answering([] if block.command in _PUSHES else actual))
    return done


def _statements(block: Block) -> list[str]:
    """Split at `;` at the end of a line or between statements on one line; no strings with `;`."""
    return [part.strip() for part in "\n".join(block.input).split(";") if part.strip()]


def _fed(statement: str) -> re.Match[str] | None:
    """CREATE TABLE of a table without a connector, which `push` fills."""
    return None if "'connector'" in statement else _CREATE.fullmatch(statement)


def _pushes(run: _Run, block: Block) -> None:
    """What a block adds to the feed."""
    match block.command:
        case "sql":
            for statement in _statements(block):
                if (found := _fed(statement)) is not None:
                    run.tables[found[1]] = physical_columns([found[2]])
        case "push":
            table = block.args[0]
            rows = tuple(parse_line(line, run.tables[table]) for line in block.input)
            size = run.variant.rows or max(1, len(rows))
            run.steps += [[Rows(table, rows[i : i + size])] for i in range(0, len(rows), size)]
            if run.variant.restarts:
                run.restarts.append((len(run.steps), len(run.steps)))
        case "watermark":
            table, text = block.args[0], " ".join(block.args[1:])
            micros = parse_value(text, TimestampType(6))
            run.steps.append([WatermarkAt(table, micros // 1000)])
        case "end":
            run.steps.append([End(block.args[0])])
        case "advance":
            run.steps.append([Advance(parse_duration(" ".join(block.args)))])
        case "checkpoint":
            run.checkpoint = len(run.steps)
        case "restart" if not run.variant.restarts:
            run.restarts.append((run.checkpoint, len(run.steps)))
        case "set":
            key, _, value = " ".join(block.args).partition("=")
            run.engine.config = {**run.engine.config, key: value}


def _answer(run: _Run, view: str) -> tuple[RowType, tuple[Change, ...]]:
    """The view's changes over the whole feed; computed once."""
    if view not in run.answers:
        query = f"SELECT * FROM `{view}`"
        schema = run.engine.schema(query)
        restarts = [r for r in run.all_restarts if r[1] <= len(run.total)]
        changes = run.engine.insert(
            f"INSERT INTO look {query}",
            {"look": collected("look", schema)},
            run.total,
            restarts=restarts,
            ends=False,
        )["look"]
        fold((kind, row) for _, kind, row in changes)
        plan = run.engine.explain(query)
        if "changelogMode=append" in plan[0]:
            check_append_only(changes)
        if gives_windows(plan):
            check_closed_windows(changes, schema)
        run.answers[view] = schema, changes
    return run.answers[view]


def _sql(run: _Run, block: Block) -> list[str]:
    run.answers.clear()
    for statement in _statements(block):
        if (found := _fed(statement)) is not None:
            table = Table(found[1], (found[2],), found[3] or "I")
            run.engine.tables = [*run.engine.tables, table]
        else:
            if (view := _VIEW.fullmatch(statement)) is not None:
                run.views[view[1]] = view[2]
            run.engine.setup = [*run.engine.setup, statement]
    run.engine.schema("SELECT 1")  # every statement is executed, so that errors come here
    return ["ok"]


def _changes(run: _Run, block: Block) -> list[str]:
    view = block.args[0]
    schema, changes = _answer(run, view)
    begin, end = run.looked.get(view, 0), len(run.steps)
    run.looked[view] = end
    lines: list[str] = []
    for step in range(begin, end):
        # Between keys a step has no order; of one key, what goes stands before what comes.
        given = [(kind, line_of(row, schema)) for at, kind, row in changes if at == step]
        given.sort(key=lambda change: (is_insert(change[0]), change[1]))
        lines += [f"{kind} | {line}" for kind, line in given]
    return lines


def _rows(run: _Run, block: Block) -> list[str]:
    schema, changes = _answer(run, block.args[0])
    return rows_text(fold((k, row) for step, k, row in changes if step < len(run.steps)), schema)


def _oracle(run: _Run, block: Block) -> list[str]:
    view = block.args[0]
    schema, changes = _answer(run, view)
    ours = fold((k, row) for step, k, row in changes if step < len(run.steps))
    pushed = [e for step in run.steps for e in step if isinstance(e, Rows)]
    tables = {
        name: (
            kind,
            fold(change for e in pushed if e.table == name for change in e.rows).elements(),
        )
        for name, kind in run.tables.items()
    }
    theirs = duck_rows(run.views[view], run.views, tables, schema)
    if ours == theirs:
        return ["agrees"]
    return [
        "differs",
        *rows_text(theirs - ours, schema),
        "instead of",
        *rows_text(ours - theirs, schema),
    ]


def _plan(run: _Run, block: Block) -> list[str]:
    view, which = block.args[0], block.args[1] if block.args[1:] else None
    if which == "rules":
        return run.engine.rules(f"SELECT * FROM `{view}`")
    lines = run.engine.explain(f"SELECT * FROM `{view}`", which)
    return [line.rstrip() for line in lines if line.strip()]


def _state(run: _Run, block: Block) -> list[str]:
    return run.engine.state(f"SELECT * FROM `{block.args[0]}`", run.total, len(run.steps))


def _error(run: _Run, block: Block) -> list[str]:
    try:
        run.engine.execute("\n".join(block.input), run.total)
    except flowsql.FlowSQLError as error:
        return [line for line in str(error).splitlines() if line.strip()]
    return ["no error"]


def _eval(run: _Run, block: Block) -> list[str]:
    lines = []
    for text in block.input:
        try:
            answer = run.engine.select(f"SELECT {text}", ())
        except flowsql.FlowSQLError as error:
            lines.append(f"{type(error).__name__}: {error.message}")
            continue
        ((_, _, row),) = answer.changes
        lines.append(f"{line_of(row, answer.schema)} : {answer.schema.types[0]}")
    return lines


def _parse(run: _Run, block: Block) -> list[str]:
    from flowsql.sql import parse_script

    return [type(s).__name__ for s in parse_script("\n".join(block.input))]


_PUSHES = {"push", "watermark", "end", "advance", "checkpoint", "restart", "set"}
_LOOKS: dict[str, Callable[[_Run, Block], list[str]]] = {
    "sql": _sql,
    "changes": _changes,
    "rows": _rows,
    "oracle": _oracle,
    "plan": _plan,
    "state": _state,
    "error": _error,
    "eval": _eval,
    "parse": _parse,
}


def check_append_only(changes: tuple[Change, ...]) -> None:
    """Raises FoldError where an append-mode stream took something back."""
    for step, kind, row in changes:
        if not is_insert(kind):
            raise FoldError(f"step {step}: an append-only view gave {kind} {row!r}")


def gives_windows(plan: Sequence[str]) -> bool:
    """Whether a view's rows are those of a window aggregate, as they were given or fewer."""
    operators = [line.lstrip(" └─").partition("(")[0] for line in plan]
    below = next((o for o in operators[1:] if o not in ("Project", "Filter")), "")
    return below == "WindowAggregate"


def check_closed_windows(changes: Sequence[Change], schema: RowType) -> None:
    """Raises FoldError where a window comes after one that ends later.

    A window is given when the watermark passes its end: all that end before are closed.
    """
    for name in ("window_end", "window_start"):
        if name not in schema.names:
            continue
        at, closed = schema.names.index(name), None
        for step, _, row in changes:
            if closed is not None and row[at] < closed:
                text = line_of(row, schema)
                raise FoldError(f"step {step}: the watermark had closed this window: {text}")
            closed = row[at]
