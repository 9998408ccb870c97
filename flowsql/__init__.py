"""Flink SQL in one Python process.

    import flowsql
    with flowsql.connect() as session:
        session.execute("CREATE TABLE … WITH ('connector' = …)")
        print(session.execute("SELECT …").to_arrow())

Importing this package loads nothing but the standard library; the first attribute that needs more
loads it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from flowsql.errors import (
    ConfigError,
    ConnectorError,
    DataError,
    FlowSQLError,
    InternalError,
    PreflightError,
    SqlError,
    StateError,
)
from flowsql.version import __version__

if TYPE_CHECKING:
    from flowsql.changelog import Changes
    from flowsql.expr.python_functions import udf
    from flowsql.library.embedded import Watermark
    from flowsql.library.result import Result
    from flowsql.session import Session, connect

__all__ = [
    "Changes",
    "ConfigError",
    "ConnectorError",
    "DataError",
    "FlowSQLError",
    "InternalError",
    "PreflightError",
    "Result",
    "Session",
    "SqlError",
    "StateError",
    "Watermark",
    "__version__",
    "connect",
    "udf",
]

_LAZY = {
    "Changes": "flowsql.changelog",
    "Result": "flowsql.library.result",
    "Session": "flowsql.session",
    "Watermark": "flowsql.library.embedded",
    "connect": "flowsql.session",
    "udf": "flowsql.expr.python_functions",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
