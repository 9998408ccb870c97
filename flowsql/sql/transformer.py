"""From the grammar's rules to statements; a method here is a rule of `statements.lark`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeVar

from lark import Transformer

from flowsql.errors import Span, SqlError, nearest
from flowsql.sql import statements as s

__all__ = ["Leaf", "StatementBuilder"]

T = TypeVar("T")
Parts = list[Any]


@dataclass(frozen=True, slots=True)
class Leaf:
    """A token as the grammar sees it: `type` names the terminal, `value` is what was read."""

    type: str
    value: Any
    span: Span


@dataclass(frozen=True, slots=True)
class _Rule:
    """A rule that is only a part of others."""

    rule: str
    value: Any
    span: Span


_NOWHERE = Span(0, 0)
_NOT_ENFORCED = (
    "flowsql does not own the data and cannot enforce a key: write PRIMARY KEY … NOT ENFORCED."
)


class StatementBuilder(Transformer[Leaf, Any]):
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

    def comment(self, parts: Parts) -> _Rule:
        """`COMMENT '…'`."""
        return _Rule("comment", parts[0].value, parts[0].span)

    def temporary(self, parts: Parts) -> _Rule:
        """`TEMPORARY`."""
        return _Rule("temporary", True, parts[0].span)

    def if_not_exists(self, parts: Parts) -> _Rule:
        """`IF NOT EXISTS`."""
        return _Rule("if", True, parts[0].span)

    if_exists = if_not_exists

    # CREATE TABLE

    def physical(self, parts: Parts) -> tuple[s.Column, s.PrimaryKey | None]:
        """A column and the key that may be declared with it."""
        name, data_type = parts[0], parts[1].value
        key = _one(parts, s.PrimaryKey)
        if key is not None:
            key = replace(key, columns=(name,))
        return s.PhysicalColumn(name, data_type, _value(parts, "comment")), key

    def computed(self, parts: Parts) -> s.ComputedColumn:
        """A computed column."""
        return s.ComputedColumn(parts[0], parts[1].value, _value(parts, "comment"))

    def metadata(self, parts: Parts) -> s.MetadataColumn:
        """A metadata column."""
        return s.MetadataColumn(
            parts[0],
            parts[1].value,
            _value(parts, "key"),
            virtual=bool(_value(parts, "virtual")),
            comment=_value(parts, "comment"),
        )

    def metadata_key(self, parts: Parts) -> _Rule:
        """`FROM 'key'`."""
        return _Rule("key", parts[0].value, parts[0].span)

    def virtual(self, parts: Parts) -> _Rule:
        """`VIRTUAL`."""
        return _Rule("virtual", True, parts[0].span)

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

    def partitioned_by(self, parts: Parts) -> _Rule:
        """`PARTITIONED BY (…)`."""
        return _Rule("partitioned", parts[0], _NOWHERE)

    def option(self, parts: Parts) -> s.Option:
        """One option."""
        key, value = parts
        return s.Option(key.value, value.value, key.span, value.span)

    def options(self, parts: Parts) -> _Rule:
        """All options; a key stands once."""
        seen: set[str] = set()
        for option in parts:
            if option.key in seen:
                raise SqlError(f'option "{option.key}" is given twice', span=option.key_span)
            seen.add(option.key)
        return _Rule("options", tuple(parts), _NOWHERE)

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
        if len(keys) > 1:
            raise SqlError("a table has only one primary key", span=keys[1].span)
        if len(watermarks) > 1:
            raise SqlError("a table has only one watermark", span=watermarks[1].span)
        seen: set[str] = set()
        for column in columns:
            if column.name.parts[0] in seen:
                raise SqlError(f'column "{column.name}" is declared twice', span=column.name.span)
            seen.add(column.name.parts[0])
        return s.CreateTable(
            name=_must(parts, s.Name),
            columns=_keyed(columns, keys[0]) if keys else tuple(columns),
            primary_key=keys[0] if keys else None,
            watermark=watermarks[0] if watermarks else None,
            comment=_value(parts, "comment"),
            partitioned_by=_value(parts, "partitioned") or (),
            options=_value(parts, "options") or (),
            temporary=bool(_value(parts, "temporary")),
            if_not_exists=bool(_value(parts, "if")),
            span=_NOWHERE,
        )

    # Views

    def create_view(self, parts: Parts) -> s.CreateView:
        """A view."""
        return s.CreateView(
            name=_must(parts, s.Name),
            query=_leaf(parts, "QUERY").value,
            columns=_one(parts, tuple) or (),
            comment=_value(parts, "comment"),
            temporary=bool(_value(parts, "temporary")),
            if_not_exists=bool(_value(parts, "if")),
            span=_NOWHERE,
        )

    def drop(self, parts: Parts) -> s.DropTable | s.DropView:
        """DROP of either kind."""
        table = any(isinstance(p, Leaf) and p.type == "TABLE" for p in parts)
        return (s.DropTable if table else s.DropView)(
            name=_must(parts, s.Name),
            temporary=bool(_value(parts, "temporary")),
            if_exists=bool(_value(parts, "if")),
            span=_NOWHERE,
        )

    # Jobs

    def partition_value(self, parts: Parts) -> s.PartitionValue:
        """A column of PARTITION."""
        return s.PartitionValue(parts[0], parts[1].value if len(parts) > 1 else None)

    def partition(self, parts: Parts) -> _Rule:
        """`PARTITION (…)`."""
        return _Rule("partition", tuple(parts), _NOWHERE)

    def on_conflict(self, parts: Parts) -> _Rule:
        """`ON CONFLICT DO …`."""
        return _Rule("on_conflict", parts[-1].value.upper(), parts[0].span.to(parts[-1].span))

    def insert(self, parts: Parts) -> s.Insert:
        """An INSERT."""
        query = _leaf(parts, "QUERY")
        hints = [p for p in parts if isinstance(p, Leaf) and p.type == "HINTS"]
        conflict = [p for p in parts if isinstance(p, _Rule) and p.rule == "on_conflict"]
        return s.Insert(
            table=_must(parts, s.Name),
            query=query.value,
            partition=_value(parts, "partition") or (),
            columns=next((p for p in parts if isinstance(p, tuple)), ()),
            hints=tuple(hints[0].value) if hints else (),
            on_conflict=conflict[0].value if conflict else None,
            span=parts[0].span.to(conflict[0].span if conflict else query.span),
        )

    def statement_set(self, parts: Parts) -> s.StatementSet:
        """All INSERTs of a set."""
        return s.StatementSet(inserts=tuple(parts), span=_NOWHERE)

    explained_set = statement_set

    def query(self, parts: Parts) -> s.QueryStatement:
        """A query by itself."""
        return s.QueryStatement(query=parts[0].value, span=parts[0].span)

    def detail(self, parts: Parts) -> str:
        """A word of EXPLAIN."""
        word: str = parts[0].value
        return word.upper()

    def details(self, parts: Parts) -> _Rule:
        """The words of EXPLAIN."""
        return _Rule("details", tuple(parts), _NOWHERE)

    def explain(self, parts: Parts) -> s.Explain:
        """EXPLAIN."""
        return s.Explain(statement=parts[-1], details=_value(parts, "details") or (), span=_NOWHERE)

    # Session

    def set(self, parts: Parts) -> s.Set:
        """SET."""
        if not parts:
            return s.Set(span=_NOWHERE)
        return s.Set(
            key=parts[0].value, value=parts[1].value, key_span=parts[0].span, span=_NOWHERE
        )

    def reset(self, parts: Parts) -> s.Reset:
        """RESET."""
        if not parts:
            return s.Reset(span=_NOWHERE)
        return s.Reset(key=parts[0].value, key_span=parts[0].span, span=_NOWHERE)

    def catalog(self, parts: Parts) -> _Rule:
        """The word CATALOG."""
        return _Rule("catalog", True, parts[0].span)

    def use(self, parts: Parts) -> s.Use | s.UseCatalog:
        """USE of either kind."""
        kind = s.UseCatalog if _value(parts, "catalog") else s.Use
        name = _must(parts, s.Name)
        most = 1 if kind is s.UseCatalog else 2
        if len(name.parts) > most:
            raise SqlError(f'"{name}" has more than {most} part{"s" * (most > 1)}', span=name.span)
        return kind(name=name, span=_NOWHERE)

    def show_tables(self, parts: Parts) -> s.ShowTables:
        """SHOW TABLES and SHOW VIEWS."""
        words = [p.type for p in parts if isinstance(p, Leaf)]
        return s.ShowTables(
            kind=words[1],
            database=_one(parts, s.Name),
            like=parts[-1].value if words[-1] == "STRING" else None,
            negated="NOT" in words,
            span=_NOWHERE,
        )

    def show_create(self, parts: Parts) -> s.ShowCreate:
        """SHOW CREATE."""
        return s.ShowCreate(kind=parts[2].type, name=parts[3], span=_NOWHERE)

    def extended(self, parts: Parts) -> _Rule:
        """The word EXTENDED."""
        return _Rule("extended", True, parts[0].span)

    def describe(self, parts: Parts) -> s.Describe:
        """DESCRIBE."""
        return s.Describe(
            name=_must(parts, s.Name), extended=bool(_value(parts, "extended")), span=_NOWHERE
        )


def _one(parts: Parts, kind: type[T]) -> T | None:
    return next((p for p in parts if isinstance(p, kind)), None)


def _must(parts: Parts, kind: type[T]) -> T:
    return next(p for p in parts if isinstance(p, kind))


def _leaf(parts: Parts, terminal: str) -> Leaf:
    return next(p for p in parts if isinstance(p, Leaf) and p.type == terminal)


def _value(parts: Parts, rule: str) -> Any:
    return next((p.value for p in parts if isinstance(p, _Rule) and p.rule == rule), None)


def _keyed(columns: list[s.Column], key: s.PrimaryKey) -> tuple[s.Column, ...]:
    """The columns, those of the key NOT NULL, as in Flink."""
    physical = {c.name.parts[0] for c in columns if isinstance(c, s.PhysicalColumn)}
    names = [name.parts[0] for name in key.columns]
    for i, name in enumerate(key.columns):
        if name.parts[0] not in physical:
            meant = nearest(name.parts[0], physical)
            raise SqlError(
                f'primary key column "{name}" is not a physical column of the table',
                span=name.span,
                hint=f'Did you mean "{meant}"?' if meant else None,
            )
        if name.parts[0] in names[:i]:
            raise SqlError(f'column "{name}" stands in the primary key twice', span=name.span)
    return tuple(
        replace(c, type=c.type.not_null())
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
