"""From the grammar's rules to statements; a method here is a rule of `statements.lark`."""

from __future__ import annotations

import dataclasses

from flowsql.errors import Refusals, SqlError, nearest
from flowsql.sql import statements as s
from flowsql.sql.administration_rules import AdministrationRules
from flowsql.sql.alteration_rules import AlterationRules
from flowsql.sql.parts import NOWHERE, Leaf, Parts, Rule, leaf, must, one, value

__all__ = ["StatementBuilder"]

_NOT_ENFORCED = (
    "flowsql does not own the data and cannot enforce a key: write PRIMARY KEY … NOT ENFORCED."
)


_NEVER_OVERWRITTEN = {"ALL", "CONSTRAINTS", "DISTRIBUTION", "PARTITIONS"}


class StatementBuilder(AdministrationRules, AlterationRules):
    """Builds statements bottom-up, without their span, which the caller knows."""

    def start(self, parts: Parts) -> s.Statement:
        """The statement itself."""
        statement: s.Statement = parts[0]
        return statement

    # Small parts

    def name(self, parts: Parts) -> s.Name:
        """A name of one to three parts."""
        span = parts[0].span.to(parts[-1].span)
        if len(parts) > 3:
            raise SqlError("a name has at most three parts: catalog.database.name", span=span)
        return s.Name(tuple(p.value for p in parts), span)

    column_name = name

    def names(self, parts: Parts) -> tuple[s.Name, ...]:
        """Column names in brackets."""
        return tuple(parts)

    def comment(self, parts: Parts) -> Rule:
        """`COMMENT '…'`."""
        return Rule("comment", parts[0].value, parts[0].span)

    def temporary(self, parts: Parts) -> Rule:
        """`TEMPORARY`."""
        return Rule("temporary", True, parts[0].span)

    def if_not_exists(self, parts: Parts) -> Rule:
        """`IF NOT EXISTS`."""
        return Rule("if", True, parts[0].span)

    if_exists = if_not_exists

    # CREATE TABLE

    def physical(self, parts: Parts) -> tuple[s.Column, s.PrimaryKey | None]:
        """A column and the key that may be declared with it."""
        name, data_type = parts[0], parts[1].value
        key = one(parts, s.PrimaryKey)
        if key is not None:
            key = dataclasses.replace(key, columns=(name,))
        return s.PhysicalColumn(name, data_type, value(parts, "comment")), key

    def computed(self, parts: Parts) -> s.ComputedColumn:
        """A computed column."""
        return s.ComputedColumn(parts[0], parts[1].value, value(parts, "comment"))

    def metadata(self, parts: Parts) -> s.MetadataColumn:
        """A metadata column."""
        return s.MetadataColumn(
            parts[0],
            parts[1].value,
            value(parts, "key"),
            virtual=bool(value(parts, "virtual")),
            comment=value(parts, "comment"),
        )

    def metadata_key(self, parts: Parts) -> Rule:
        """`FROM 'key'`."""
        return Rule("key", parts[0].value, parts[0].span)

    def virtual(self, parts: Parts) -> Rule:
        """`VIRTUAL`."""
        return Rule("virtual", True, parts[0].span)

    def column_key(self, parts: Parts) -> s.PrimaryKey:
        """A key of one column, whose name comes later."""
        return _primary_key(parts, ())

    def primary_key(self, parts: Parts) -> s.PrimaryKey:
        """A key of the table."""
        columns = next(p for p in parts if isinstance(p, tuple))
        return _primary_key(parts, columns)

    def unique(self, parts: Parts) -> None:
        """Flink has no UNIQUE either."""
        raise SqlError(
            "UNIQUE constraint is not supported yet",
            span=parts[0].span,
            hint="A PRIMARY KEY … NOT ENFORCED says that rows are unique.",
        )

    unique_column = unique

    def watermark(self, parts: Parts) -> s.Watermark:
        """The watermark."""
        leaf = parts[4]
        return s.Watermark(parts[2], leaf.value, parts[0].span.to(leaf.span))

    def partitioned_by(self, parts: Parts) -> Rule:
        """`PARTITIONED BY (…)`."""
        return Rule("partitioned", parts[0], NOWHERE)

    def option(self, parts: Parts) -> s.Option:
        """One option."""
        key, value = parts
        return s.Option(key.value, value.value, key.span, value.span)

    def options(self, parts: Parts) -> Rule:
        """All options; a key stands once."""
        seen: set[str] = set()
        for option in parts:
            if option.key in seen:
                raise SqlError(f'option "{option.key}" is given twice', span=option.key_span)
            seen.add(option.key)
        return Rule("options", tuple(parts), NOWHERE)

    def bare(self, parts: Parts) -> Rule:
        """A column without a type."""
        return Rule("bare", parts[0], parts[0].span)

    def or_replace(self, parts: Parts) -> Rule:
        """`OR REPLACE`."""
        return Rule("replace", True, parts[0].span.to(parts[-1].span))

    replace = or_replace

    def distribution(self, parts: Parts) -> s.Distribution:
        """How rows are spread over buckets."""
        words = {p.type: p for p in parts if isinstance(p, Leaf)}
        number = words.get("NUMBER")
        if number is not None and not number.value.isdigit():
            raise SqlError("the number of buckets must be a whole number", span=number.span)
        return s.Distribution(
            kind="HASH" if "HASH" in words else "RANGE" if "RANGE" in words else None,
            columns=one(parts, tuple) or (),
            buckets=int(number.value) if number is not None else None,
            span=parts[0].span.to(parts[1].span),
        )

    def like_option(self, parts: Parts) -> s.LikeOption:
        """One option of LIKE."""
        strategy, what = parts
        if strategy.type == "OVERWRITING" and what.type in _NEVER_OVERWRITTEN:
            raise SqlError(
                f"OVERWRITING {what.type} is not possible",
                span=strategy.span.to(what.span),
                hint=f"Write INCLUDING {what.type} or EXCLUDING {what.type}.",
            )
        return s.LikeOption(strategy.type, what.type, strategy.span.to(what.span))

    def like(self, parts: Parts) -> s.TableLike:
        """`LIKE`; what is said of a feature is said once."""
        seen: set[str] = set()
        for option in parts[1:]:
            if option.what in seen:
                raise SqlError(f"LIKE says twice what becomes of {option.what}", span=option.span)
            seen.add(option.what)
        return s.TableLike(parts[0], tuple(parts[1:]))

    def as_query(self, parts: Parts) -> Rule:
        """`AS query`."""
        return Rule("query", parts[0].value, parts[0].span)

    def create_table(self, parts: Parts) -> s.CreateTable:
        """A table; it has one key and one watermark at most."""
        columns: list[s.Column] = []
        keys = [p for p in parts if isinstance(p, s.PrimaryKey)]
        for part in parts:
            if isinstance(part, tuple):
                columns.append(part[0])
                if part[1] is not None:
                    keys.append(part[1])
            elif isinstance(part, s.ComputedColumn | s.MetadataColumn):
                columns.append(part)
        watermarks = [p for p in parts if isinstance(p, s.Watermark)]
        refusals = Refusals()
        if len(keys) > 1:
            refusals.add(SqlError("a table has only one primary key", span=keys[1].span))
        if len(watermarks) > 1:
            refusals.add(SqlError("a table has only one watermark", span=watermarks[1].span))
        seen: dict[str, s.Column] = {}
        for column in columns:
            if seen.setdefault(column.name.parts[0], column) is not column:
                twice = f'column "{column.name}" is declared twice'
                refusals.add(SqlError(twice, span=column.name.span))
        columns = list(seen.values())
        like, query = one(parts, s.TableLike), value(parts, "query")
        names = [p for p in parts if isinstance(p, Rule) and p.rule == "bare"]
        if names and (query is None or columns or keys or watermarks):
            raise SqlError(
                f'column "{names[0].value}" has no type',
                span=names[0].span,
                hint="Names alone put the columns of CREATE TABLE … AS in order."
                if query is not None
                else None,
            )
        if value(parts, "replace") and query is None:
            raise SqlError(
                "CREATE OR REPLACE TABLE needs AS with a query",
                span=next(p.span for p in parts if isinstance(p, Rule) and p.rule == "replace"),
                hint="DROP TABLE IF EXISTS before CREATE TABLE does the same.",
            )
        name = must(parts, s.Name)
        if not columns and not names and like is None and query is None:
            raise SqlError(f'table "{name}" has no columns', span=name.span)
        if value(parts, "replace") and value(parts, "if"):
            raise SqlError("OR REPLACE and IF NOT EXISTS exclude each other", span=name.span)
        if keys and like is None and query is None:
            columns = list(_keyed(columns, keys[0], refusals))
            if refusals:
                keys = []
        made = s.CreateTable(
            name=name,
            columns=tuple(columns),
            primary_key=keys[0] if keys else None,
            watermark=watermarks[0] if watermarks else None,
            comment=value(parts, "comment"),
            partitioned_by=value(parts, "partitioned") or (),
            distribution=one(parts, s.Distribution),
            options=value(parts, "options") or (),
            temporary=bool(value(parts, "temporary")),
            if_not_exists=bool(value(parts, "if")),
            like=like,
            query=query,
            order=tuple(n.value for n in names),
            replace=bool(value(parts, "replace")),
            span=NOWHERE,
        )
        wrong = refusals.first()
        if wrong is not None:
            wrong.partly = made
            raise wrong
        return made

    # Views

    def create_view(self, parts: Parts) -> s.CreateView:
        """A view."""
        return s.CreateView(
            name=must(parts, s.Name),
            query=leaf(parts, "QUERY").value,
            columns=one(parts, tuple) or (),
            comment=value(parts, "comment"),
            temporary=bool(value(parts, "temporary")),
            if_not_exists=bool(value(parts, "if")),
            span=NOWHERE,
        )

    def drop(self, parts: Parts) -> s.DropTable | s.DropView:
        """DROP of either kind."""
        table = any(isinstance(p, Leaf) and p.type == "TABLE" for p in parts)
        return (s.DropTable if table else s.DropView)(
            name=must(parts, s.Name),
            temporary=bool(value(parts, "temporary")),
            if_exists=bool(value(parts, "if")),
            span=NOWHERE,
        )

    # Jobs

    def partition_value(self, parts: Parts) -> s.PartitionValue:
        """A column of PARTITION."""
        return s.PartitionValue(parts[0], parts[1].value if len(parts) > 1 else None)

    def partition(self, parts: Parts) -> Rule:
        """`PARTITION (…)`."""
        return Rule("partition", tuple(parts), NOWHERE)

    def on_conflict(self, parts: Parts) -> Rule:
        """`ON CONFLICT DO …`."""
        return Rule("on_conflict", parts[-1].value.upper(), parts[0].span.to(parts[-1].span))

    def insert(self, parts: Parts) -> s.Insert:
        """An INSERT."""
        query = leaf(parts, "QUERY")
        hints = [p for p in parts if isinstance(p, Leaf) and p.type == "HINTS"]
        conflict = [p for p in parts if isinstance(p, Rule) and p.rule == "on_conflict"]
        return s.Insert(
            table=must(parts, s.Name),
            query=query.value,
            partition=value(parts, "partition") or (),
            columns=next((p for p in parts if isinstance(p, tuple)), ()),
            hints=tuple(hints[0].value) if hints else (),
            on_conflict=conflict[0].value if conflict else None,
            overwrite=parts[1].type == "OVERWRITE",
            span=parts[0].span.to(conflict[0].span if conflict else query.span),
        )

    def statement_set(self, parts: Parts) -> s.StatementSet:
        """All INSERTs of a set."""
        return s.StatementSet(inserts=tuple(parts), span=NOWHERE)

    explained_set = statement_set

    def query(self, parts: Parts) -> s.QueryStatement:
        """A query by itself."""
        return s.QueryStatement(query=parts[0].value, span=parts[0].span)

    def compile_plan(self, parts: Parts) -> s.CompilePlan:
        """COMPILE PLAN."""
        path = leaf(parts, "STRING")
        return s.CompilePlan(
            path=path.value,
            path_span=path.span,
            statement=parts[-1],
            if_not_exists=bool(value(parts, "if")),
            execute=parts[1].type == "AND",
            span=NOWHERE,
        )

    def execute_plan(self, parts: Parts) -> s.ExecutePlan:
        """EXECUTE PLAN."""
        return s.ExecutePlan(path=parts[0].value, path_span=parts[0].span, span=NOWHERE)

    def detail(self, parts: Parts) -> str:
        """A word of EXPLAIN."""
        word: str = parts[0].value
        return word.upper()

    def details(self, parts: Parts) -> Rule:
        """The words of EXPLAIN."""
        return Rule("details", tuple(parts), NOWHERE)

    def explain(self, parts: Parts) -> s.Explain:
        """EXPLAIN; of a table only with the query that fills it."""
        explained = parts[-1]
        if isinstance(explained, s.CreateTable) and explained.query is None:
            raise SqlError(
                "only a CREATE TABLE … AS has a plan to explain",
                span=explained.name.span,
                hint="SHOW CREATE TABLE and DESCRIBE tell what a table is.",
            )
        return s.Explain(statement=parts[-1], details=value(parts, "details") or (), span=NOWHERE)

    # Session

    def set(self, parts: Parts) -> s.Set:
        """SET."""
        if not parts:
            return s.Set(span=NOWHERE)
        key, given = parts
        return s.Set(
            key=key.value,
            value=given.value,
            key_span=key.span,
            value_span=given.span,
            span=NOWHERE,
        )

    def reset(self, parts: Parts) -> s.Reset:
        """RESET."""
        if not parts:
            return s.Reset(span=NOWHERE)
        return s.Reset(key=parts[0].value, key_span=parts[0].span, span=NOWHERE)


def _keyed(columns: list[s.Column], key: s.PrimaryKey, refusals: Refusals) -> tuple[s.Column, ...]:
    """The columns, those of the key NOT NULL, as in Flink."""
    physical = {c.name.parts[0] for c in columns if isinstance(c, s.PhysicalColumn)}
    names = [name.parts[0] for name in key.columns]
    for i, name in enumerate(key.columns):
        if name.parts[0] not in physical:
            meant = nearest(name.parts[0], physical)
            refusals.add(
                SqlError(
                    f'primary key column "{name}" is not a physical column of the table',
                    span=name.span,
                    hint=f'Did you mean "{meant}"?' if meant else None,
                )
            )
        elif name.parts[0] in names[:i]:
            twice = f'column "{name}" stands in the primary key twice'
            refusals.add(SqlError(twice, span=name.span))
    return tuple(
        dataclasses.replace(c, type=c.type.not_null())
        if isinstance(c, s.PhysicalColumn) and c.name.parts[0] in names
        else c
        for c in columns
    )


def _primary_key(parts: Parts, columns: tuple[s.Name, ...]) -> s.PrimaryKey:
    words = [p for p in parts if isinstance(p, Leaf)]
    span = words[0].span.to(words[-1].span)
    types = [w.type for w in words]
    if "ENFORCED" not in types or "NOT" not in types:
        raise SqlError("PRIMARY KEY must be declared NOT ENFORCED", span=span, hint=_NOT_ENFORCED)
    name = words[1].value if types[0] == "CONSTRAINT" else None
    return s.PrimaryKey(columns, name, span)
