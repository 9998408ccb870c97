"""A catalog, a connector that does nothing, and the road from SQL to plans."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import pytest

from flowsql.catalog import Catalog, declare_table, declare_view
from flowsql.changelog import ChangelogMode
from flowsql.config import Option, OptionType
from flowsql.connector import (
    Connector,
    ConnectorTable,
    Predicate,
    Role,
    Taken,
    columns_of_predicate,
)
from flowsql.errors import ConfigError, FlowSQLError
from flowsql.logical import Binder, Insert, LogicalPlan, PlanSettings
from flowsql.optimizer import optimize
from flowsql.physical import PhysicalPlan, explain_plan, plan_job, plan_select
from flowsql.sql import statements as s
from flowsql.sql.grammar import parse_script
from flowsql.types import BigIntType, VarCharType

_TEXT = OptionType.STRING

TABLES = """
CREATE TABLE t (a INT, b STRING, c BIGINT NOT NULL, d AS a + 1, ts TIMESTAMP(3),
  WATERMARK FOR ts AS ts - INTERVAL '4' SECOND) WITH ('connector' = 'toy', 'path' = '/t');
CREATE TABLE k (id INT, x STRING, PRIMARY KEY (id) NOT ENFORCED)
  WITH ('connector' = 'toy', 'path' = '/k');
CREATE TABLE r (id INT, x STRING, y INT, PRIMARY KEY (id) NOT ENFORCED)
  WITH ('connector' = 'toy', 'scan' = 'retract');
CREATE TABLE u (id INT, x STRING, y INT, PRIMARY KEY (id) NOT ENFORCED)
  WITH ('connector' = 'toy', 'scan' = 'upsert');
CREATE TABLE files (a BIGINT, b STRING) WITH ('connector' = 'toy', 'sink' = 'append');
CREATE TABLE log (a BIGINT, b STRING) WITH ('connector' = 'toy', 'sink' = 'append;retract');
CREATE TABLE kv (a INT, b STRING, PRIMARY KEY (a) NOT ENFORCED)
  WITH ('connector' = 'toy', 'sink' = 'upsert');
CREATE TABLE pairs (a INT, b STRING, PRIMARY KEY (a) NOT ENFORCED)
  WITH ('connector' = 'toy', 'sink' = 'append;retract');
CREATE TABLE bare (a INT, b STRING) WITH ('connector' = 'toy', 'sink' = 'upsert');
"""


class Toy(Connector):
    """Says what its options say; opens nothing."""

    name: ClassVar[str] = "toy"
    roles: ClassVar[frozenset[Role]] = frozenset({Role.SCAN, Role.SINK})
    metadata = {"offset": BigIntType(nullable=False), "topic": VarCharType()}  # noqa: RUF012
    options: ClassVar[tuple[Option, ...]] = (
        Option("scan", _TEXT, "What a scan carries.", "append"),
        Option("sink", _TEXT, "What a sink takes.", "append;retract;upsert"),
        Option("path", _TEXT, "Where.", identifying=True),
        Option("password", _TEXT, "A secret.", secret=True),
        Option("port", OptionType.INT, "A number.", 1),
        Option("exact", _TEXT, "Columns whose conditions it takes exactly.", ""),
        Option("coarse", _TEXT, "Columns whose conditions it takes coarsely.", ""),
    )

    def scan_mode(self, table: ConnectorTable) -> ChangelogMode:
        return ChangelogMode(table.options["scan"])

    def bounded(self, table: ConnectorTable) -> bool:
        return True

    def take_filters(
        self, table: ConnectorTable, predicates: Sequence[Predicate]
    ) -> Sequence[Taken]:
        exact, coarse = (table.options[k].split(";") for k in ("exact", "coarse"))

        def take(columns: frozenset[str]) -> Taken:
            if columns <= set(exact):
                return Taken.EXACT
            return Taken.COARSE if columns <= {*exact, *coarse} else Taken.NOT

        return [take(columns_of_predicate(p)) for p in predicates]

    def sink_modes(self, table: ConnectorTable) -> frozenset[ChangelogMode]:
        return frozenset(map(ChangelogMode, table.options["sink"].split(";")))


def find_connector(name: str) -> Connector:
    """The toy."""
    if name != "toy":
        raise ConfigError(f'connector "{name}" does not exist', hint='Did you mean "toy"?')
    return Toy()


class Planner:
    """A session without a runtime."""

    def __init__(self, settings: PlanSettings | None = None, tables: str = TABLES) -> None:
        self.catalog = Catalog()
        self.settings = settings or PlanSettings()
        self.binder = Binder(self.catalog, find_connector, lambda _: (), self.settings)
        self.bind(tables)

    def bind(self, sql: str) -> list[LogicalPlan]:
        """Runs the DDL of a text and binds its queries and INSERTs."""
        plans: list[LogicalPlan] = []
        for statement in parse_script(sql):
            match statement:
                case s.CreateTable():
                    table = declare_table(statement, self.catalog, sql)
                    self.binder.table(table)
                    self.catalog.create(table, span=statement.name.span)
                case s.CreateView():
                    view = declare_view(statement, self.catalog, sql)
                    self.binder.view(view)
                    self.catalog.create(view, span=statement.name.span)
                case s.QueryStatement():
                    plans.append(self.binder.query(statement.query))
                case s.Insert():
                    plans.append(self.binder.insert(statement))
                case s.StatementSet():
                    plans += [self.binder.insert(i) for i in statement.inserts]
        return plans

    def tree(self, sql: str) -> str:
        """The bound plan of the last query."""
        return self.bind(sql)[-1].tree()

    def optimized(self, sql: str) -> str:
        """The plans after all rules."""
        return "\n".join(p.tree() for p in optimize(self.bind(sql), self.settings))

    def plan(self, sql: str) -> PhysicalPlan:
        """The physical plan of the INSERTs, or of one query."""
        plans = self.bind(sql)
        inserts = [p for p in plans if isinstance(p, Insert)]
        if inserts:
            return plan_job(inserts, self.settings).plan
        return plan_select(plans[-1], self.settings).plan

    def physical(self, sql: str, *, changelog: bool = False) -> str:
        """The physical plan as text."""
        return explain_plan(self.plan(sql), changelog=changelog).replace(
            "default_catalog.default_database.", ""
        )

    def error(self, sql: str) -> str:
        """What the user reads of a wrong statement."""
        with pytest.raises(FlowSQLError) as caught:
            self.plan(sql)
        return str(caught.value.with_sql(sql)).replace("default_catalog.default_database.", "")


def text(block: str) -> str:
    """A block of a test without its first line end."""
    return block.strip("\n")
