"""ALTER TABLE: one declaration becomes another. Data is never touched."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from sqlglot import expressions as exp

from flowsql.catalog.catalog import Catalog
from flowsql.catalog.declare import declare_column, distribution, watermark_of
from flowsql.catalog.derive import restated
from flowsql.catalog.objects import CatalogColumn, CatalogTable, ColumnKind
from flowsql.errors import Span, SqlError, nearest
from flowsql.sql import (
    AddParts,
    Alteration,
    Distribution,
    DropColumns,
    DropPart,
    ModifyParts,
    Name,
    OptionChange,
    PlacedColumn,
    PrimaryKey,
    RenameColumn,
    RenameTable,
    Watermark,
)
from flowsql.sql.dialect import ColumnReference

__all__ = ["altered", "changed_options", "named_columns"]


def altered(
    table: CatalogTable, alteration: Alteration, catalog: Catalog, script: str
) -> CatalogTable:
    """The table as the alteration leaves it; nothing is changed in the catalog.

    Args:
        table: as it is.
        alteration: any but RENAME TO.
        catalog: states the result anew.
        script: the text that the alteration's spans point into.

    Raises:
        SqlError: it names what is not there, or adds what is, or something needs what it drops.
    """
    match alteration:
        case AddParts(parts=parts):
            for part in parts:
                table = _with(table, part, script, new=True)
        case ModifyParts(parts=parts):
            for part in parts:
                table = _with(table, part, script, new=False)
        case DropColumns(columns=columns):
            table = _without(table, columns)
        case DropPart():
            table = _without_part(table, alteration)
        case RenameColumn(old=old, new=new):
            table = _renamed(table, old, new)
        case OptionChange():
            for key, span in zip(alteration.reset, alteration.spans, strict=True):
                if key == "connector":
                    raise SqlError("the connector of a table cannot be reset", span=span)
            options = changed_options(dict(table.options), alteration)
            table = replace(table, options=tuple(options.items()))
        case RenameTable():
            raise AssertionError(alteration)
    return restated(table, catalog)


def changed_options(options: dict[str, str], change: OptionChange) -> dict[str, str]:
    """The options after SET or RESET; what is not there is reset without a word, as in Flink."""
    kept = {k: v for k, v in options.items() if k not in change.reset}
    return kept | {o.key: o.value for o in change.set}


def named_columns(alteration: Alteration) -> dict[str, Span]:
    """The columns that an alteration names, as they are called after it → where.

    A column that it declares is shown there, though its key names it as well.
    """
    names: list[Name] = []
    match alteration:
        case AddParts(parts=parts) | ModifyParts(parts=parts):
            declared = [p for p in parts if isinstance(p, PlacedColumn)]
            keys = [p for p in (*parts, *(d.key for d in declared)) if isinstance(p, PrimaryKey)]
            names = [*(c for k in keys for c in k.columns), *(d.column.name for d in declared)]
        case DropColumns(columns=columns):
            names = list(columns)
        case RenameColumn(new=new):
            names = [new]
    return {str(name): name.span for name in names}


def _with(
    table: CatalogTable,
    part: PlacedColumn | PrimaryKey | Watermark | Distribution,
    script: str,
    *,
    new: bool,
) -> CatalogTable:
    names = [c.name for c in table.columns]
    match part:
        case PlacedColumn():
            return _with_column(table, part, script, new=new)
        case PrimaryKey(columns=columns, name=name, span=span):
            _check("primary key", there=bool(table.primary_key), new=new, span=span)
            return replace(table, primary_key=tuple(map(str, columns)), key_name=name)
        case Watermark(span=span):
            _check("watermark", there=table.watermark is not None, new=new, span=span)
            return replace(table, watermark=watermark_of(part, names, script))
        case Distribution(span=span):
            _check("distribution", there=table.distribution is not None, new=new, span=span)
            return replace(table, distribution=distribution(part, names))


def _check(what: str, *, there: bool, new: bool, span: Span) -> None:
    if there and new:
        raise SqlError(
            f"the table has a {what} already", hint="MODIFY changes it, DROP removes it.", span=span
        )
    if not there and not new:
        raise SqlError(f"the table has no {what}", hint="ADD gives it one.", span=span)


def _with_column(
    table: CatalogTable, placed: PlacedColumn, script: str, *, new: bool
) -> CatalogTable:
    written = placed.column
    name = str(written.name)
    names = [c.name for c in table.columns]
    in_key = name in table.primary_key or placed.key is not None
    column = declare_column(written, script, in_key=in_key)
    columns = list(table.columns)
    if new and name in names:
        raise SqlError(
            f'table "{table.path.name}" has column "{name}" already',
            hint="MODIFY changes it.",
            span=written.name.span,
        )
    at = len(columns)
    if not new:
        at = _index(table, written.name)
        if column.comment is None:
            column = replace(column, comment=columns[at].comment)
        del columns[at]
    if placed.first:
        at = 0
    elif placed.after is not None:
        if str(placed.after) == name:
            raise SqlError("a column cannot stand behind itself", span=placed.after.span)
        _index(table, placed.after)
        at = [c.name for c in columns].index(str(placed.after)) + 1
    columns.insert(at, column)
    table = replace(table, columns=tuple(columns))
    return table if placed.key is None else _with(table, placed.key, script, new=new)


def _index(table: CatalogTable, name: Name) -> int:
    names = [c.name for c in table.columns]
    text = str(name)
    if text not in names:
        near = nearest(text, names)
        raise SqlError(
            f'table "{table.path.name}" has no column "{text}"',
            hint=f'Did you mean "{near}"?' if near else f"It has: {', '.join(names)}.",
            span=name.span,
        )
    return names.index(text)


def _without(table: CatalogTable, dropped: Sequence[Name]) -> CatalogTable:
    gone = [str(n) for n in dropped]
    for i, name in enumerate(dropped):
        _index(table, name)
        if gone[i] in gone[:i]:
            raise SqlError(f'column "{name}" stands twice', span=name.span)
    left = tuple(c for c in table.columns if c.name not in gone)
    if not left:
        raise SqlError(
            f'table "{table.path.name}" would have no column left',
            hint="DROP TABLE removes it.",
            span=dropped[-1].span,
        )
    for name in dropped:
        _check_unused(table, name, left)
    return replace(table, columns=left)


def _check_unused(table: CatalogTable, name: Name, columns: Iterable[CatalogColumn]) -> None:
    """Nothing that stays may need the column."""
    text = str(name)
    uses = [
        f'computed column "{c.name}"'
        for c in columns
        if c.kind is ColumnKind.COMPUTED and text in _read(c.expression)
    ]
    mark = table.watermark
    if mark is not None and (mark.column == text or text in _read(mark.expression)):
        uses.append("the watermark")
    if text in table.primary_key:
        uses.append("the primary key")
    if text in table.partition_keys:
        uses.append("PARTITIONED BY")
    if table.distribution is not None and f"`{text}`" in table.distribution:
        uses.append("DISTRIBUTED BY")
    if uses:
        raise SqlError(
            f'column "{text}" is needed by {" and ".join(uses)}',
            hint="Drop or change that first.",
            span=name.span,
        )


def _read(expression: exp.Expr | None) -> set[str]:
    """All names in the references of an expression; which of them is the column is not known."""
    found = expression.find_all(ColumnReference) if expression is not None else ()
    return {part for reference in found for part in reference.parts}


def _without_part(table: CatalogTable, part: DropPart) -> CatalogTable:
    match part.kind:
        case "WATERMARK":
            _check("watermark", there=table.watermark is not None, new=False, span=part.span)
            return replace(table, watermark=None)
        case "DISTRIBUTION":
            _check("distribution", there=table.distribution is not None, new=False, span=part.span)
            return replace(table, distribution=None)
        case _:
            _check("primary key", there=bool(table.primary_key), new=False, span=part.span)
            known = table.key_name or f"PK_{'_'.join(table.primary_key)}"
            if part.name is not None and str(part.name) != known:
                raise SqlError(
                    f'table "{table.path.name}" has no constraint "{part.name}"',
                    hint=f'Its primary key is called "{known}".',
                    span=part.span,
                )
            return replace(table, primary_key=(), key_name=None)


def _renamed(table: CatalogTable, old: Name, new: Name) -> CatalogTable:
    at = _index(table, old)
    if str(new) in [c.name for c in table.columns]:
        raise SqlError(f'table "{table.path.name}" has column "{new}" already', span=new.span)
    # The key goes along; an expression would have to be written anew.
    _check_unused(replace(table, primary_key=()), old, table.columns)
    columns = list(table.columns)
    column = columns[at]
    columns[at] = replace(column, name=str(new))
    key = tuple(str(new) if k == str(old) else k for k in table.primary_key)
    return replace(table, columns=tuple(columns), primary_key=key)
