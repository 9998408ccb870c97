"""Rules of `statements.lark` about catalogs, databases, modules, jobs, and SHOW and DESCRIBE."""

from __future__ import annotations

from flowsql.errors import SqlError
from flowsql.sql import administration as a
from flowsql.sql import statements as s
from flowsql.sql.function_rules import FunctionRules
from flowsql.sql.parts import NOWHERE, Leaf, Parts, Rule, leaf, must, one, value

__all__ = ["AdministrationRules"]


class AdministrationRules(FunctionRules):
    """Part of `StatementBuilder`."""

    def catalog(self, parts: Parts) -> Rule:
        """The word CATALOG."""
        return Rule("catalog", True, parts[0].span)

    def use(self, parts: Parts) -> a.Use | a.UseCatalog:
        """USE of either kind."""
        name = must(parts, s.Name)
        if value(parts, "catalog"):
            return a.UseCatalog(name=_short(name, 1), span=NOWHERE)
        return a.Use(name=_short(name, 2), span=NOWHERE)

    def use_modules(self, parts: Parts) -> a.UseModules:
        """USE MODULES."""
        return a.UseModules(names=tuple(parts), span=NOWHERE)

    def module(self, parts: Parts) -> a.LoadModule | a.UnloadModule:
        """LOAD and UNLOAD MODULE."""
        kind = a.LoadModule if parts[0].type == "LOAD" else a.UnloadModule
        return kind(name=must(parts, s.Name), span=NOWHERE)

    def show(self, parts: Parts) -> a.Show:
        """SHOW of lists and of what is current."""
        words = _words(parts)
        end = next((i for i, w in enumerate(words) if w in _BEHIND), len(words))
        return a.Show(
            kind=" ".join(words[1:end]), name=one(parts, s.Name), like=_like(parts), span=NOWHERE
        )

    def show_columns(self, parts: Parts) -> a.Show:
        """SHOW COLUMNS."""
        name = must(parts, s.Name)
        return a.Show(kind="COLUMNS", name=name, like=_like(parts), span=NOWHERE)

    def show_partitions(self, parts: Parts) -> a.ShowPartitions:
        """SHOW PARTITIONS."""
        return a.ShowPartitions(
            name=must(parts, s.Name), partition=value(parts, "partition") or (), span=NOWHERE
        )

    def check_table(self, parts: Parts) -> a.CheckTable:
        """CHECK TABLE."""
        return a.CheckTable(name=must(parts, s.Name), span=NOWHERE)

    def show_create(self, parts: Parts) -> a.ShowCreate:
        """SHOW CREATE."""
        kind, name = parts[2].type, must(parts, s.Name)
        return a.ShowCreate(
            kind=kind, name=_short(name, 1) if kind == "CATALOG" else name, span=NOWHERE
        )

    def extended(self, parts: Parts) -> Rule:
        """The word EXTENDED."""
        return Rule("extended", True, parts[0].span)

    def describe(self, parts: Parts) -> a.Describe:
        """DESCRIBE of a table or view."""
        return a.Describe(
            name=must(parts, s.Name), extended=bool(value(parts, "extended")), span=NOWHERE
        )

    def function(self, parts: Parts) -> s.Name:
        """A function's name, which may be a reserved word."""
        word = parts[0]
        return s.Name((word.value,), word.span) if isinstance(word, Leaf) else must(parts, s.Name)

    def describe_object(self, parts: Parts) -> a.DescribeObject:
        """DESCRIBE of anything else that has a name."""
        kind = parts[1].type
        return a.DescribeObject(
            kind=kind,
            name=_short(must(parts, s.Name), {"CATALOG": 1, "DATABASE": 2}.get(kind, 3)),
            extended=bool(value(parts, "extended")),
            span=NOWHERE,
        )

    def describe_job(self, parts: Parts) -> a.DescribeJob:
        """DESCRIBE JOB."""
        return a.DescribeJob(job=parts[0].value, job_span=parts[0].span, span=NOWHERE)

    def stop_job(self, parts: Parts) -> a.StopJob:
        """STOP JOB."""
        job, words = leaf(parts, "STRING"), _words(parts)
        return a.StopJob(
            job=job.value,
            job_span=job.span,
            savepoint="SAVEPOINT" in words,
            drain="DRAIN" in words,
            span=NOWHERE,
        )

    # Catalogs and databases

    def create_catalog(self, parts: Parts) -> a.CreateCatalog:
        """CREATE CATALOG."""
        return a.CreateCatalog(
            name=must(parts, s.Name),
            options=value(parts, "options") or (),
            comment=value(parts, "comment"),
            if_not_exists=bool(value(parts, "if")),
            span=NOWHERE,
        )

    def create_database(self, parts: Parts) -> a.CreateDatabase:
        """CREATE DATABASE."""
        return a.CreateDatabase(
            name=_short(must(parts, s.Name), 2),
            options=value(parts, "options") or (),
            comment=value(parts, "comment"),
            if_not_exists=bool(value(parts, "if")),
            span=NOWHERE,
        )

    def drop_catalog(self, parts: Parts) -> a.DropCatalog:
        """DROP CATALOG."""
        return a.DropCatalog(
            name=must(parts, s.Name), if_exists=bool(value(parts, "if")), span=NOWHERE
        )

    def cascade(self, parts: Parts) -> Rule:
        """`CASCADE`."""
        return Rule("cascade", True, parts[0].span)

    def drop_database(self, parts: Parts) -> a.DropDatabase:
        """DROP DATABASE."""
        return a.DropDatabase(
            name=_short(must(parts, s.Name), 2),
            if_exists=bool(value(parts, "if")),
            cascade=bool(value(parts, "cascade")),
            span=NOWHERE,
        )

    def alter_catalog(self, parts: Parts) -> a.AlterCatalog:
        """ALTER CATALOG."""
        return a.AlterCatalog(
            name=must(parts, s.Name),
            change=one(parts, a.OptionChange),
            comment=value(parts, "comment"),
            span=NOWHERE,
        )

    def alter_database(self, parts: Parts) -> a.AlterDatabase:
        """ALTER DATABASE."""
        return a.AlterDatabase(
            name=_short(must(parts, s.Name), 2), change=must(parts, a.OptionChange), span=NOWHERE
        )

    def set_options(self, parts: Parts) -> a.OptionChange:
        """`SET (…)`; a key stands once."""
        seen: set[str] = set()
        for option in parts:
            if option.key in seen:
                raise SqlError(f'option "{option.key}" is given twice', span=option.key_span)
            seen.add(option.key)
        return a.OptionChange(set=tuple(parts))

    def reset_options(self, parts: Parts) -> a.OptionChange:
        """`RESET (…)`."""
        return a.OptionChange(
            reset=tuple(p.value for p in parts), spans=tuple(p.span for p in parts)
        )


_BEHIND = {"FROM", "IN", "NOT", "LIKE", "ILIKE", "STRING"}


def _words(parts: Parts) -> list[str]:
    return [p.type for p in parts if isinstance(p, Leaf)]


def _like(parts: Parts) -> a.Like | None:
    words = _words(parts)
    if words[-1] != "STRING":
        return None
    return a.Like(parts[-1].value, negated="NOT" in words, ignore_case="ILIKE" in words)


def _short(name: s.Name, most: int) -> s.Name:
    if len(name.parts) > most:
        raise SqlError(f'"{name}" has more than {most} part{"s" * (most > 1)}', span=name.span)
    return name
