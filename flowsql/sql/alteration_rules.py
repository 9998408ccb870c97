"""Rules of `statements.lark` for ALTER TABLE and ALTER VIEW."""

from __future__ import annotations

from flowsql.errors import SqlError
from flowsql.sql import alterations as a
from flowsql.sql import statements as s
from flowsql.sql.parts import NOWHERE, Leaf, Parts, Rule, must, one, value

__all__ = ["AlterationRules"]


class AlterationRules:
    """Part of `StatementBuilder`."""

    def first(self, parts: Parts) -> Rule:
        """`FIRST`."""
        return Rule("first", True, parts[0].span)

    def after(self, parts: Parts) -> Rule:
        """`AFTER column`."""
        return Rule("after", parts[0], parts[0].span)

    def placed(self, parts: Parts) -> a.PlacedColumn:
        """A column and where it goes."""
        column, key = parts[0] if isinstance(parts[0], tuple) else (parts[0], None)
        return a.PlacedColumn(
            column, key, first=bool(value(parts, "first")), after=value(parts, "after")
        )

    def add(self, parts: Parts) -> a.AddParts:
        """ADD."""
        return a.AddParts(_changes(parts))

    def modify(self, parts: Parts) -> a.ModifyParts:
        """MODIFY."""
        return a.ModifyParts(_changes(parts))

    def drop_columns(self, parts: Parts) -> a.DropColumns:
        """DROP of columns."""
        return a.DropColumns(parts[0] if isinstance(parts[0], tuple) else tuple(parts))

    def drop_key(self, parts: Parts) -> a.DropPart:
        """DROP PRIMARY KEY."""
        return a.DropPart("KEY", None, parts[1].span.to(parts[2].span))

    def drop_constraint(self, parts: Parts) -> a.DropPart:
        """DROP CONSTRAINT."""
        return a.DropPart("CONSTRAINT", parts[0], parts[0].span)

    def drop_watermark(self, parts: Parts) -> a.DropPart:
        """DROP WATERMARK."""
        return a.DropPart("WATERMARK", None, parts[1].span)

    def drop_distribution(self, parts: Parts) -> a.DropPart:
        """DROP DISTRIBUTION."""
        return a.DropPart("DISTRIBUTION", None, parts[1].span)

    def rename_column(self, parts: Parts) -> a.RenameColumn:
        """RENAME of a column."""
        return a.RenameColumn(*parts)

    def rename_table(self, parts: Parts) -> a.RenameTable:
        """RENAME of the table itself."""
        return a.RenameTable(parts[0])

    def alter_table(self, parts: Parts) -> a.AlterTable:
        """ALTER TABLE."""
        return a.AlterTable(
            name=must(parts, s.Name),
            alteration=parts[-1],
            if_exists=bool(value(parts, "if")),
            span=NOWHERE,
        )

    def alter_view(self, parts: Parts) -> a.AlterView:
        """ALTER VIEW."""
        query = parts[-1].value if isinstance(parts[-1], Leaf) else None
        return a.AlterView(
            name=must(parts, s.Name),
            rename=one(parts, a.RenameTable),
            query=query,
            if_exists=bool(value(parts, "if")),
            span=NOWHERE,
        )


def _changes(parts: Parts) -> tuple[a.SchemaPart, ...]:
    for kind, what in ((s.PrimaryKey, "primary key"), (s.Watermark, "watermark")):
        found = [p for p in parts if isinstance(p, kind)]
        if len(found) > 1:
            raise SqlError(f"a table has only one {what}", span=found[1].span)
    return tuple(parts)
