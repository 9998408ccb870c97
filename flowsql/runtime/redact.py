"""Nothing secret leaves with an error: what crosses a connector passes here."""

from __future__ import annotations

import re
from collections.abc import Iterable

from flowsql.connector import Connector, ConnectorTable
from flowsql.errors import ConnectorError, FlowSQLError, InternalError, StateError

__all__ = ["Redactor"]

_MASK = "'******'"
_MIN_LENGTH = 4  # a shorter value may be part of any word of a message


class Redactor:
    """Knows the secret option values of a job's tables.

    Args:
        tables: (connector, table) of the job.
    """

    def __init__(self, tables: Iterable[tuple[Connector, ConnectorTable]]) -> None:
        secrets: set[str] = set()
        plain: set[str] = set()
        for connector, table in tables:
            for option in connector.options:
                value = table.options.get(option.key)
                if value is not None and str(value) and "#" not in option.key:
                    (secrets if option.secret else plain).add(str(value))
        # Longest first: one secret may be part of another.
        self._secrets = sorted(secrets, key=len, reverse=True)
        # A user or a database may be called as the password is: a mask there would tell so.
        self._in_messages = [s for s in self._secrets if s not in plain]

    def text(self, text: str) -> str:
        """The text with every secret masked."""
        for secret in self._in_messages:
            text = _replaced(text, secret, _MASK)
        return text

    def _starred(self, sql: str) -> str:
        """SQL text with as many stars as a secret has characters: positions stay true."""
        for secret in self._secrets:
            for written in (secret.replace("'", "''"), secret):
                sql = _replaced(sql, written, "*" * len(written))
        return sql

    def error(self, error: BaseException) -> FlowSQLError:
        """The error as a user may see it; foreign exceptions get a class that says who must act."""
        if isinstance(error, FlowSQLError):
            if self._secrets:
                error.message = self.text(error.message)
                error.detail = error.detail and self.text(error.detail)
                error.hint = error.hint and self.text(error.hint)
                error.args = (error.message,)
                error.sql = error.sql and self._starred(error.sql)
            return error
        text = self.text(f"{type(error).__name__}: {error}")
        if isinstance(error, MemoryError):
            return StateError(
                "the process has no memory left", hint="Give it more, or keep less state."
            )
        made: FlowSQLError
        if isinstance(error, OSError | TimeoutError):
            made = ConnectorError(f"could not go on: {text}")
        else:
            made = InternalError(
                f"unexpected {text}", hint="Please report it with the output of --debug."
            )
        made.__cause__ = error
        return made


def _replaced(text: str, secret: str, mask: str) -> str:
    """The text with the mask for the secret; for a short one only where it is no part of a word."""
    if len(secret) >= _MIN_LENGTH:
        return text.replace(secret, mask)
    return re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", lambda _: mask, text)
