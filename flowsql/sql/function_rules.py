"""Rules of `statements.lark` about functions that users write."""

from __future__ import annotations

from typing import Any

from flowsql.errors import SqlError
from flowsql.sql import function_statements as f
from flowsql.sql import statements as s
from flowsql.sql.parts import NOWHERE, Parts, Rule, leaf, must, value

__all__ = ["FunctionRules"]

_LANGUAGES = ("PYTHON", "JAVA", "SCALA")


class FunctionRules:
    """Part of `StatementBuilder`."""

    def system(self, parts: Parts) -> Rule:
        """`TEMPORARY SYSTEM`."""
        return Rule("system", True, parts[0].span.to(parts[-1].span))

    def language(self, parts: Parts) -> Rule:
        """`LANGUAGE word`."""
        word = parts[-1]
        if word.value.upper() not in _LANGUAGES:
            raise SqlError(
                f'there is no language "{word.value}" for functions',
                span=word.span,
                hint="Write LANGUAGE PYTHON.",
            )
        return Rule("language", word.value.upper(), word.span)

    def jars(self, parts: Parts) -> None:
        """`USING JAR` or `ARTIFACT`: there is no Java to run."""
        raise SqlError(
            f"USING {parts[1].type} is not supported",
            span=parts[0].span.to(parts[1].span),
            hint="flowsql runs functions written in Python: AS 'module.name' LANGUAGE PYTHON.",
        )

    def function_options(self, parts: Parts) -> None:
        """`WITH (…)`, which Flink hands to runtimes of its own."""
        raise SqlError(
            "WITH options of a function are not supported",
            span=parts[0].span.to(parts[-1].span),
            hint="They would have no effect: leave them out.",
        )

    def create_function(self, parts: Parts) -> f.CreateFunction:
        """CREATE FUNCTION."""
        return f.CreateFunction(
            **_named(parts), **_place(parts), if_not_exists=bool(value(parts, "if")), span=NOWHERE
        )

    def alter_function(self, parts: Parts) -> f.AlterFunction:
        """ALTER FUNCTION."""
        return f.AlterFunction(
            **_named(parts), **_place(parts), if_exists=bool(value(parts, "if")), span=NOWHERE
        )

    def drop_function(self, parts: Parts) -> f.DropFunction:
        """DROP FUNCTION."""
        return f.DropFunction(**_named(parts), if_exists=bool(value(parts, "if")), span=NOWHERE)


def _named(parts: Parts) -> dict[str, Any]:
    name, system = must(parts, s.Name), bool(value(parts, "system"))
    if system and len(name.parts) > 1:
        raise SqlError(
            f'system function "{name}" has more than 1 part',
            span=name.span,
            hint="System functions belong to no database.",
        )
    return {
        "name": name,
        "temporary": system or bool(value(parts, "temporary")),
        "system": system,
    }


def _place(parts: Parts) -> dict[str, Any]:
    place = leaf(parts, "STRING")
    language = next((p for p in parts if isinstance(p, Rule) and p.rule == "language"), None)
    found: dict[str, Any] = {"place": place.value, "place_span": place.span}
    if language is not None:
        found |= {"language": language.value, "language_span": language.span}
    return found
