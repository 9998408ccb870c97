"""Writes `docs/reference/` from the tables that the code itself uses.

Run it with `make reference`; a test fails where a page differs from the code.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from flowsql import errors
from flowsql.config import Option, OptionType
from flowsql.config.engine import ENGINE_OPTIONS
from flowsql.connector import Connector
from flowsql.connector.plugins import installed_connectors
from flowsql.expr import all_aggregates, all_functions, all_table_functions
from flowsql.formats import Format, find_format, format_names
from flowsql.logical import table_options
from flowsql.runtime.metrics import METRICS, NAMES
from flowsql.sql.unsupported import REFUSED_CLAUSES, REFUSED_STATEMENTS
from flowsql.types import arrow

__all__ = ["FOLDER", "pages"]

FOLDER = Path(__file__).parent / "reference"
NOTE = "<!-- Made by docs/generate_reference.py from the code; change the code. -->\n"
# Shipped for tests of your own; told apart from what stands in a job.
TESTING = {"fake-database", "changelog-sqlite"}


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    lines = [head, ["---"] * len(head), *(list(row) for row in rows)]
    return "".join(f"| {' | '.join(_cell(c) for c in line)} |\n" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _default(option: Option) -> str:
    value = option.default
    if value is None:
        return "required" if option.required else "(none)"
    match option.type:
        case OptionType.DURATION:
            return _unit(value, ((3_600_000, "h"), (60_000, "min"), (1000, "s"), (1, "ms")))
        case OptionType.MEMORY:
            return _unit(value, ((1 << 30, "gb"), (1 << 20, "mb"), (1 << 10, "kb"), (1, "bytes")))
        case OptionType.BOOLEAN:
            return str(value).lower()
        case OptionType.LIST:
            return ";".join(value)
        case _:
            return str(value)


def _unit(value: int, units: tuple[tuple[int, str], ...]) -> str:
    size, name = next((u for u in units if value and value % u[0] == 0), units[-1])
    return f"{value // size} {name}"


def _options(options: Iterable[Option]) -> str:
    rows = []
    every = sorted(options, key=lambda o: o.key)
    refused = ", ".join(f"`{o.key}`" for o in every if o.refused)
    for option in every:
        if option.refused:
            continue
        kind = " | ".join(option.choices) if option.choices else option.type.value
        flink = option.flink_default if isinstance(option.flink_default, str) else "same"
        rows.append([f"`{option.key}`", kind, f"`{_default(option)}`", flink, option.doc])
    text = _table(("option", "type", "default", "Flink's default", "what it does"), rows)
    return f"{text}\nOf Flink's options, refused by name: {refused}.\n" if refused else text


def options_page() -> str:
    """Settings of the engine."""
    return (
        "# Settings\n\n`SET 'key' = 'value'`, or `flowsql.connect(config={…})`. A key that Apache "
        "Flink knows and flowsql does not need is accepted with one notice a run; a key that "
        "nobody knows is an error.\n\n" + _options(ENGINE_OPTIONS)
    )


def connectors_page() -> str:
    """What all tables have in common, then the connectors with what their packages say."""
    ours = {n: c for n, c in installed_connectors().items() if _is_ours(c)}
    names = ", ".join(f"[{name}](#{name})" for name in ours)
    formats = ", ".join(f"[{f.name}](format-{f.name}.md)" for f in _formats())
    parts = [
        (
            "# Connectors\n\nWhat stands in `WITH ('connector' = …)`: "
            f"{names}. Formats: {formats}.\n\n## Every table\n\n"
        ),
        _below_first_line(table_options),
        "\n\n",
        _options(table_options.TABLE_OPTIONS),
    ]
    for name, found in ours.items():
        roles = ", ".join(sorted(role.value for role in found.roles))
        about = " Made for tests." if name in TESTING else ""
        package = importlib.import_module(type(found).__module__.rpartition(".")[0])
        parts.append(f"\n## {name}\n\n{_doc(package)}\n\nUsed as: {roles}.{about}\n\n")
        if found.metadata:
            parts.append(_table(("metadata column", "type"), _metadata(found)) + "\n")
        parts.append(_options(found.options) if found.options else "No options.\n")
    return "".join(parts)


def format_page(found: Format) -> str:
    """One format: what its module says, and its options."""
    text = _below_first_line(importlib.import_module(type(found).__module__))
    return f"# Format {found.name}\n\n{text}\n\n" + _options(found.options)


def _formats() -> list[Format]:
    return [f for f in map(find_format, format_names()) if _is_ours(f)]


def _is_ours(thing: Connector | Format) -> bool:
    return type(thing).__module__.startswith(("flowsql.", "flowsql_connectors."))


def _metadata(connector: Connector) -> list[tuple[str, str]]:
    return [(f"`{key}`", str(kind)) for key, kind in sorted(connector.metadata.items())]


def _doc(module: ModuleType) -> str:
    return inspect.getdoc(module) or ""


def _below_first_line(module: ModuleType) -> str:
    return _doc(module).partition("\n\n")[2]


def functions_page() -> str:
    """Scalar functions and operators; aggregates stand in front."""
    by_name = sorted({f.name: f for f in all_functions().values()}.values(), key=lambda f: f.name)
    rows = []
    for function in by_name:
        aliases = "".join(f", `{name}`" for name in function.aliases)
        signatures = ", ".join(f"`{text}`" for text in function.supported())
        constant = "" if function.deterministic else " Not deterministic."
        rows.append((f"`{function.name}`{aliases}", signatures, function.doc + constant))
    aggregates = [(f"`{f.name}`", f"`{f.signature}`", f.doc) for f in all_aggregates()]
    tables = [(f"`{f.name}`", f"`{f.signature}`", f.doc) for f in all_table_functions()]
    return (
        "# Functions\n\n## Aggregates\n\nEach may be followed by `FILTER (WHERE …)`; over rows that come and "
        "go as over rows that only come.\n\n"
        + _table(("name", "arguments", "what it gives"), aggregates)
        + "\n## Table functions\n\nThey stand behind FROM, alone or as `TABLE(f(…))`; arguments go by name or by "
        "position. More on [the changelog functions](../changelog-functions.md).\n\n"
        + _table(("name", "call", "what it gives"), tables)
        + "\n## Scalar functions and operators\n\n"
        + _table(("name", "signatures", "what it gives"), rows)
    )


def metrics_page() -> str:
    """What Prometheus is told, and the keys of a job's status."""
    rows = []
    for metric in METRICS:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        flink = f"`{metric.flink}`" if metric.flink else ""
        rows.append(
            (f"`{metric.name}`", metric.kind, labels, f"`{metric.where}`", flink, metric.doc)
        )
    return (
        "# Metrics\n\nWith `SET 'metrics.port' = '9249'` Prometheus finds them at "
        "`http://127.0.0.1:9249/metrics`; [operations](../operations.md#watching) says more. All of them "
        "stand in `flowsql status --json` and `Job.status()` too, where times are milliseconds.\n\n"
        + _table(("metric", "type", "labels", "in the status", "in Flink", "what it is"), rows)
        + "\nThe process itself has the `process_*` metrics that every Prometheus client gives "
        "(`process_resident_memory_bytes`, `process_cpu_seconds_total`, …).\n\n## Keys of a job's status\n\n"
        + _table(("key", "what it is"), [(f"`{key}`", doc) for key, doc in NAMES.items()])
    )


def statements_page() -> str:
    """Statements that are refused by name."""
    rows = [(f"`{name}`", hint) for name, hint in sorted(REFUSED_STATEMENTS.items())]
    clauses = [(f"`{name}`", hint) for name, hint in sorted(REFUSED_CLAUSES.values())]
    return (
        "# Statements that are not there\n\nFlink, or its SQL client, has them. flowsql refuses them "
        'by name ("statement … is not supported"), never as a syntax error.\n\n'
        + _table(("begins with", "instead"), rows)
        + "\nAnd of statements that are there:\n\n"
        + _table(("clause", "instead"), clauses)
    )


def types_page() -> str:
    """Types and their storage, from the table in the module that maps them."""
    doc = inspect.getdoc(arrow) or ""
    return "# Types\n\n" + doc.partition("\n\n")[2] + "\n"


def errors_page() -> str:
    """The tree of errors."""
    tree = (inspect.getdoc(errors) or "").split("\n\n")
    lines = "\n\n".join(tree[1:])
    return (
        "# Errors\n\n```text\n"
        + re.sub(r"(?m)^    ", "", tree[1])
        + "\n```\n"
        + lines[len(tree[1]) :]
        + "\n"
    )


def pages() -> dict[str, str]:
    """File name → text of every page."""
    made = {
        "settings.md": options_page(),
        "metrics.md": metrics_page(),
        "connectors.md": connectors_page(),
        "functions.md": functions_page(),
        "statements.md": statements_page(),
        "types.md": types_page(),
        "errors.md": errors_page(),
    }
    made |= {f"format-{f.name}.md": format_page(f) for f in _formats()}
    return {name: NOTE + text.rstrip("\n") + "\n" for name, text in made.items()}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for page, text in pages().items():
        (FOLDER / page).write_text(text)
        sys.stdout.write(f"docs/reference/{page}\n")
