"""No secret leaves with an error."""

from __future__ import annotations

from typing import ClassVar

import pytest

from flowsql.config import OptionValues
from flowsql.connector import Connector, ConnectorTable, Option, OptionType, Role
from flowsql.errors import ConnectorError, FlowSQLError, InternalError, StateError
from flowsql.runtime.redact import Redactor
from flowsql.types import RowType

OPTIONS = (
    Option("password", OptionType.STRING, "Secret.", secret=True),
    Option("user", OptionType.STRING, "Not secret."),
)


class Server(Connector):
    """With a secret."""

    name: ClassVar[str] = "server"
    roles: ClassVar[frozenset[Role]] = frozenset({Role.SCAN})
    options = OPTIONS


def redactor(password: str) -> Redactor:
    """For one table."""
    options = OptionValues(OPTIONS, {"password": password, "user": "ann"})
    return Redactor([(Server(), ConnectorTable("t", RowType(()), options))])


def test_every_part_of_an_error_is_masked() -> None:
    """Message, detail and hint."""
    error = ConnectorError(
        "could not log in as ann with s3cret", detail="s3cret is wrong.", hint="Not s3cret."
    )
    shown = str(redactor("s3cret").error(error))
    assert "s3cret" not in shown
    assert "as ann with '******'" in shown


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (ConnectionResetError("bye s3cret"), ConnectorError),
        (KeyError("s3cret"), InternalError),
        (MemoryError(), StateError),
    ],
)
def test_foreign_exceptions_get_a_class(raised: Exception, kind: type[FlowSQLError]) -> None:
    """And are masked as well."""
    made = redactor("s3cret").error(raised)
    assert type(made) is kind
    assert "s3cret" not in str(made)


def test_a_short_secret_leaves_the_words_of_a_statement_alone() -> None:
    """What is to be run in the server must stay what it is, and the secret still be masked."""
    hint = "ALTER SYSTEM SET max_slot_wal_keep_size = '50GB';"
    error = ConnectorError("password=x is wrong", detail="'x'", hint=hint, sql="max = 'x'")
    shown = redactor("x").error(error)
    assert shown.hint == hint
    assert shown.message == "password='******' is wrong"
    assert shown.detail == "''******''"
    assert shown.sql == "max = '*'"


def test_a_password_that_is_the_users_name_leaves_that_name_alone() -> None:
    """A mask in its place would say that they are the same."""
    error = ConnectorError('"ann" could not log in')
    error.sql = "WITH ('password' = 'ann')"
    shown = redactor("ann").error(error)
    assert shown.message == '"ann" could not log in'
    assert shown.sql == "WITH ('password' = '***')"
