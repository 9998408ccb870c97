"""What names mean inside a query: relations in FROM, their columns, the names of WITH."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from flowsql.errors import Span, SqlError, nearest
from flowsql.expr import Column, Expression, columns_read, render, transform
from flowsql.expr.nodes import FieldAccess
from flowsql.logical.correlation import Outer
from flowsql.logical.plan import without_time
from flowsql.types import DataType, Field, RowType, VariantType

__all__ = ["Relation", "Resolve", "Scope", "around", "member", "unused"]


Resolve = Callable[[Sequence[str], Span | None], Expression | None]


@dataclass(frozen=True, slots=True)
class Relation:
    """One relation of FROM.

    Attributes:
        path: the alias, or the parts of a table's full name; empty for a sub-query without alias.
        start: position of its first column in the scope's row.
        width: number of its columns.
    """

    path: tuple[str, ...]
    start: int
    width: int

    def answers_to(self, qualifier: Sequence[str]) -> bool:
        """Whether `qualifier.column` may mean one of its columns."""
        return 0 < len(qualifier) <= len(self.path) and self.path[-len(qualifier) :] == tuple(
            qualifier
        )

    @property
    def label(self) -> str:
        """How messages call it."""
        return f'table "{self.path[-1]}"' if self.path else "the sub-query"


@dataclass(frozen=True, slots=True)
class Scope:
    """The columns that an expression may name.

    Attributes:
        row: all columns, those of the relations one after the other.
        relations: in order.
        merged: columns of JOIN … USING: the name stands for this expression.
        hidden: positions that unqualified names and `*` pass over, for they are merged.
        outer: what a name means in the query around this one, or None where there is none.
    """

    row: RowType
    relations: tuple[Relation, ...] = ()
    merged: Mapping[str, Expression] = field(default_factory=dict)
    hidden: frozenset[int] = frozenset()
    outer: Resolve | None = None

    def column(self, index: int, span: Span | None = None) -> Column:
        """The column at a position."""
        found = self.row.fields[index]
        return Column(type=found.type, index=index, name=found.name, span=span)

    def resolve(self, parts: Sequence[str], span: Span | None) -> Expression:
        """The expression that `a`, `t.a` or `t.a.member` means; here, or in the query around.

        Raises:
            SqlError: there is no such column, or more than one.
        """
        found = self.look(parts, span)
        return self._resolve(parts, span) if found is None else found

    def look(self, parts: Sequence[str], span: Span | None) -> Expression | None:
        """As `resolve`; None where neither this query nor one around it knows the name."""
        if self.outer is None or self._knows(parts):
            return self._resolve(parts, span) if self._knows(parts) else None
        found = self.outer(parts, span)
        return None if found is None else around(found, span)

    def _knows(self, parts: Sequence[str]) -> bool:
        """Whether the name belongs here, right or wrong."""
        if any(r.answers_to(parts[:cut]) for r in self.relations for cut in range(1, len(parts))):
            return True
        if parts[0] in self.merged:
            return True
        shown = self._shown()
        return any(self.row.fields[i].name == parts[0] for i in shown) or bool(
            self._within(parts[0], shown, None)
        )

    def _resolve(self, parts: Sequence[str], span: Span | None) -> Expression:
        for cut in range(len(parts) - 1, 0, -1):
            owners = [r for r in self.relations if r.answers_to(parts[:cut])]
            if not owners:
                continue
            if len(owners) > 1:
                raise SqlError(
                    f'name "{".".join(parts[:cut])}" is ambiguous',
                    hint="Give the tables different aliases.",
                    span=span,
                )
            owner = owners[0]
            found = [i for i in self._of(owner) if self.row.fields[i].name == parts[cut]]
            if found:
                value: Expression = self._only(found, parts[cut], span)
            else:
                value = self._member_of(parts[cut], self._of(owner), [owner], span)
            return self._members(value, parts[cut + 1 :], span)
        name = parts[0]
        if name in self.merged:
            return self._members(replace(self.merged[name], span=span), parts[1:], span)
        shown = self._shown()
        found = [i for i in shown if self.row.fields[i].name == name]
        if found:
            return self._members(self._only(found, name, span), parts[1:], span)
        if len(parts) > 1 and not self._within(name, shown, span):
            raise self._no_relation(parts, span)
        return self._members(self._member_of(name, shown, self.relations, span), parts[1:], span)

    def _shown(self) -> Sequence[int]:
        """The columns that an unqualified name may mean."""
        return [i for i in range(len(self.row.fields)) if i not in self.hidden]

    def _member_of(
        self, name: str, columns: Sequence[int], relations: Sequence[Relation], span: Span | None
    ) -> Expression:
        """The member that goes by its own name, for no column has it."""
        found = self._within(name, columns, span)
        if not found:
            raise self._unknown(name, relations, span)
        if len(found) > 1:
            ways = " or ".join(self._written(e) for e in found)
            raise SqlError(f'column "{name}" is ambiguous', hint=f"Write {ways}.", span=span)
        return found[0]

    def _written(self, value: Expression) -> str:
        """A member with its table in front."""
        index = min(columns_read(value))
        owner = next(r for r in self.relations if index in self._of(r))
        return ".".join([*owner.path[-1:], render(value)])

    def _within(self, name: str, columns: Sequence[int], span: Span | None) -> list[Expression]:
        """The members of this name in the ROWs of some columns; only those least deep."""
        level: list[Expression] = [self.column(i, span) for i in columns]
        while level:
            rows = [e for e in level if isinstance(e.type, RowType)]
            level = [member(e, n, span) for e in rows for n in e.type.names]  # type: ignore[attr-defined]
            found = [e for e in level if isinstance(e, FieldAccess) and _name(e) == name]
            if found:
                return list(found)
        return []

    def _of(self, relation: Relation) -> range:
        return range(relation.start, relation.start + relation.width)

    def _only(self, found: Sequence[int], name: str, span: Span | None) -> Column:
        if len(found) > 1:
            owners = [r.path[-1] for r in self.relations if r.path and set(self._of(r)) & {*found}]
            hint = f"Write {' or '.join(f'{o}.{name}' for o in owners)}." if owners else None
            raise SqlError(f'column "{name}" is ambiguous', hint=hint, span=span)
        return self.column(found[0], span)

    def _members(self, value: Expression, names: Sequence[str], span: Span | None) -> Expression:
        for name in names:
            value = member(value, name, span)
        return value

    def _unknown(self, name: str, relations: Sequence[Relation], span: Span | None) -> SqlError:
        known = [self.row.fields[i].name for r in relations for i in self._of(r)]
        near = nearest(name, known)
        tables = [
            f"{r.label} has columns "
            + ", ".join(f'"{self.row.fields[i].name}"' for i in self._of(r))
            for r in relations
        ]
        listed = "; ".join(tables)
        hint = f"{listed[:1].upper()}{listed[1:]}." if listed else None
        if near is not None:
            hint = f'Did you mean "{near}"? {hint or ""}'.rstrip()
        return SqlError(f'column "{name}" does not exist', hint=hint, span=span)

    def _no_relation(self, parts: Sequence[str], span: Span | None) -> SqlError:
        names = [r.path[-1] for r in self.relations if r.path]
        near = nearest(parts[0], names)
        if near is None:
            near = nearest(parts[0], [f.name for f in self.row.fields])
        hint = f'Did you mean "{near}"?' if near else None
        if hint is None and names:
            hint = f"In FROM stand: {', '.join(names)}."
        return SqlError(f'there is no table or row "{parts[0]}" here', hint=hint, span=span)

    def star(self, qualifier: Sequence[str], span: Span | None) -> list[Expression]:
        """The columns of `*` (empty qualifier) or `t.*`; merged columns come first."""
        if not qualifier:
            if not self.relations:
                raise SqlError("* needs a FROM", span=span)
            plain: list[Expression] = [
                self.column(i, span) for i in range(len(self.row.fields)) if i not in self.hidden
            ]
            return [replace(e, span=span) for e in self.merged.values()] + plain
        owners = [r for r in self.relations if r.answers_to(qualifier)]
        if len(owners) > 1:
            raise SqlError(f'name "{".".join(qualifier)}" is ambiguous', span=span)
        if owners:
            return [self.column(i, span) for i in self._of(owners[0])]
        column = any(f.name == qualifier[0] for f in self.row.fields)
        table = any(r.answers_to(qualifier[:n]) for r in self.relations for n in (1, 2, 3))
        if column or (table and len(qualifier) > 1):
            value = self.resolve(qualifier, span)
            if isinstance(value.type, RowType):
                return [member(value, f.name, span) for f in value.type.fields]
            kind = value.type.with_nullable(True)
            raise SqlError(f'"{qualifier[-1]}" is {kind}, which is no ROW', span=span)
        raise self._no_relation(qualifier, span)

    def beside(self, other: Scope, row: RowType) -> Scope:
        """This scope's relations and then the other's, over the joined `row`."""
        width = len(self.row.fields)
        moved = tuple(replace(r, start=r.start + width) for r in other.relations)
        return Scope(
            row,
            self.relations + moved,
            {},
            self.hidden | {i + width for i in other.hidden},
            self.outer,
        )


def unused(name: str, used: Sequence[str]) -> str:
    """The name with digits behind where it is used already (`a`, then `a0`), as in Flink."""
    chosen, attempt = name, 0
    while chosen in used:
        chosen, attempt = f"{name}{attempt}", attempt + 1
    return chosen


def around(found: Expression, span: Span | None) -> Expression:
    """What a name means in the query around, as the query inside sees it."""

    def put(e: Expression) -> Expression:
        if isinstance(e, Outer):
            return replace(e, level=e.level + 1, span=span)
        if isinstance(e, Column):
            return Outer(type=without_time(e.type), index=e.index, name=e.name, span=span)
        return e

    return transform(found, put)


def _name(value: FieldAccess) -> str:
    row = value.arg.type
    assert isinstance(row, RowType)
    return row.fields[value.index].name


def member(value: Expression, name: str, span: Span | None) -> Expression:
    """`value.name` of a ROW.

    Raises:
        SqlError: it is no ROW, or has no such member.
    """
    row = value.type
    if not isinstance(row, RowType):
        raise SqlError(
            f'"{name}" cannot be taken from {row}, which is no ROW',
            span=span,
            hint=f"Write …['{name}'] for a part of a VARIANT."
            if isinstance(row, VariantType)
            else None,
        )
    for i, found in enumerate(row.fields):
        if found.name == name:
            return FieldAccess(
                type=_member_type(found, nullable=row.nullable), arg=value, index=i, span=span
            )
    near = nearest(name, row.names)
    hint = f'Did you mean "{near}"?' if near else f"Members: {', '.join(row.names)}."
    raise SqlError(f'there is no member "{name}" in {row}', hint=hint, span=span)


def _member_type(found: Field, *, nullable: bool) -> DataType:
    return found.type.with_nullable(found.type.nullable or nullable)
