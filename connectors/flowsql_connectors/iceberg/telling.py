"""What the client raises, told: whose fault it is, and the cure.

What may pass by itself (a server that is away, a storage that fails) is told as a fact, so that a job
tries again; what will not is told as final.
"""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from flowsql.errors import ConnectorError, FlowSQLError, nearest
from flowsql_connectors.iceberg.address import CatalogAddress, Identifier

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog

__all__ = ["missing", "needing_client", "telling"]

_MOST_LISTED: Final = 10
_MIN_LENGTH: Final = 4


@contextlib.contextmanager
def telling(
    address: CatalogAddress, catalog: Catalog | None = None, identifier: Identifier = ()
) -> Iterator[None]:
    """What the client raises within the context becomes a ConnectorError with its cure.

    Args:
        address: of the catalog that is used.
        catalog: to look up what there is instead, where something is not.
        identifier: the table or namespace that is asked for.
    """
    try:
        yield
    except FlowSQLError:
        raise
    except ImportError as error:
        raise missing(address, error) from None
    except Exception as error:  # noqa: BLE001 - whatever the client raises is told
        told = _told(error, address, catalog, identifier)
        for secret in address.secrets:
            told.message = _without(told.message, secret)
            told.detail = told.detail and _without(told.detail, secret)
        # The client's own text may hold a secret.
        raise told from None


def _without(text: str, secret: str) -> str:
    """The text without the secret; a short one may be part of any word and is hidden by itself only."""
    short = len(secret) < _MIN_LENGTH
    part = rf"(?<!\w){re.escape(secret)}(?!\w)" if short else re.escape(secret)
    return re.sub(part, "******", text) if secret else text


@contextlib.contextmanager
def needing_client() -> Iterator[None]:
    """That the client is not installed, noticed within the context, is told with its cure."""
    try:
        yield
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "pyiceberg":
            raise
        raise ConnectorError(
            'connector "iceberg" needs pyiceberg, which is not installed',
            hint='Run: pip install "flowsql[iceberg]"',
        ) from None


_EXTRAS: Final = {"hive": "pyiceberg[hive]", "glue": "pyiceberg[glue]"}


def missing(address: CatalogAddress, error: Exception) -> ConnectorError:
    """A package that is not installed, with the line that installs it."""
    if importlib.util.find_spec("pyiceberg") is None:
        what, package = "pyiceberg", "flowsql[iceberg]"
    elif address.properties.get("uri", "").startswith("postgresql"):
        what, package = "a driver of PostgreSQL", "flowsql[postgres]"
    else:
        what = getattr(error, "name", None) or address.kind
        package = _EXTRAS.get(address.kind, "flowsql[iceberg]")
    return ConnectorError(
        f'catalog "{address.name}" needs {what}, which is not installed',
        hint=f'Run: pip install "{package}"',
    )


def _told(
    error: Exception, address: CatalogAddress, catalog: Catalog | None, identifier: Identifier
) -> ConnectorError:
    from pyiceberg import exceptions as e  # noqa: PLC0415 - the client

    name = ".".join(identifier)
    match error:
        case e.NoSuchTableError():
            return _no_table(address, catalog, identifier)
        case e.NoSuchNamespaceError():
            return _no_database(address, catalog, identifier)
        case e.TableAlreadyExistsError():
            return ConnectorError(f'table "{name}" exists already in catalog "{address.name}"')
        case e.NamespaceNotEmptyError():
            return ConnectorError(f'database "{name}" of catalog "{address.name}" is not empty')
        case e.UnauthorizedError() | e.ForbiddenError() | e.OAuthError():
            return ConnectorError(
                f'catalog "{address.name}" at {address.place} refused the credentials',
                detail=_short(error),
                hint="Check 'credential', 'token' and 'scope'.",
            )
    where = f'catalog "{address.name}" at {address.place}'
    kinds = {c.__name__ for c in type(error).__mro__}
    if kinds & _AWAY and not kinds & _MISTAKEN:
        return ConnectorError(
            f"{where} did not answer: {_short(error)}",
            hint="Check 'uri', and that the server runs.",
        )
    if kinds & _TROUBLED or _status(error) >= _SERVERS_FAULT:
        return ConnectorError(
            f"{where} failed: {_short(error)}",
            hint="The server's log says more. Trying again is safe: a job looks what was committed.",
        )
    if "RequestException" in kinds:
        return ConnectorError(f"{where} cannot be used: {_short(error)}", hint="Check 'uri'.")
    if "SQLAlchemyError" in kinds:
        return ConnectorError(
            f"{where} cannot be used: {_short(error)}",
            hint=f"Check 'uri', and that \"{address.place}\" can be read and written.",
        )
    if isinstance(error, OSError):
        return _of_storage(error, address)
    if name and isinstance(error, ValueError | e.ValidationException | e.ValidationError):
        what = "table" if len(identifier) > 1 else "database"
        return ConnectorError(f'{what} "{name}" refuses this: {_short(error)}', final=True)
    return ConnectorError(f"{where} cannot be used: {_short(error)}")


def _of_storage(error: OSError, address: CatalogAddress) -> ConnectorError:
    text, folder = _short(error), address.folder
    if folder is not None and error.errno is not None:
        text = os.strerror(error.errno)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            hint = f'Make room on the disk of "{folder}".'
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            hint = f'Let this user read and write in "{folder}".'
        else:
            hint = f'Check that "{folder}" is a folder that can be read and written.'
        return ConnectorError(
            f'the storage of catalog "{address.name}" at {folder} failed: {text}', hint=hint
        )
    return ConnectorError(
        f'the storage of catalog "{address.name}" failed: {text}',
        hint="Check 'warehouse' and the settings of its storage, such as 's3.endpoint' and "
        "'s3.region'.",
        final=any(code in text for code in _FORBIDDEN),
    )


# Classes of the libraries below the client, by name: none of them need be installed.
_AWAY: Final = frozenset(
    {
        "ConnectionError",
        "Timeout",
        "TimeoutError",
        "ChunkedEncodingError",
        "TTransportException",
        "EndpointConnectionError",
        "HTTPClientError",
        "OperationalError",
        "InterfaceError",
    }
)
_MISTAKEN: Final = frozenset({"SSLError", "InvalidProxyURL"})
_TROUBLED: Final = frozenset(
    {
        "ServerError",
        "ServiceUnavailableError",
        "TooManyRequestsError",
        "CommitStateUnknownException",
    }
)
_SERVERS_FAULT: Final = 500
_FORBIDDEN: Final = (
    "ACCESS_DENIED",
    "NO_SUCH_BUCKET",
    "INVALID_ACCESS_KEY_ID",
    "INVALID_CLIENT_TOKEN_ID",
    "SIGNATURE_DOES_NOT_MATCH",
)


def _status(error: Exception) -> int:
    """Of an answer of AWS; 0 of any other error."""
    response = getattr(error, "response", None)
    if not isinstance(response, dict):
        return 0
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _no_table(
    address: CatalogAddress, catalog: Catalog | None, identifier: Identifier
) -> ConnectorError:
    *space, name = identifier
    database = ".".join(space)
    there: list[str] = []
    if catalog is not None:
        # What is asked here only makes the message better.
        with contextlib.suppress(Exception):
            if not catalog.namespace_exists(tuple(space)):
                return _no_database(address, catalog, tuple(space))
            there = [t[-1] for t in catalog.list_tables(tuple(space))]
    return ConnectorError(
        f'table "{name}" does not exist in database "{database}" of catalog "{address.name}"',
        hint=_instead(name, there, "Tables") or f'Database "{database}" has no tables.',
    )


def _no_database(
    address: CatalogAddress, catalog: Catalog | None, identifier: Identifier
) -> ConnectorError:
    name = ".".join(identifier)
    there: list[str] = []
    if catalog is not None:
        with contextlib.suppress(Exception):
            there = [".".join(n) for n in catalog.list_namespaces()]
    return ConnectorError(
        f'database "{name}" does not exist in catalog "{address.name}"',
        hint=_instead(name, there, "Databases") or "The catalog has no databases yet.",
    )


def _instead(name: str, there: list[str], what: str) -> str | None:
    near = nearest(name, there)
    if near is not None:
        return f'Did you mean "{near}"?'
    more = ", …" if len(there) > _MOST_LISTED else ""
    return f"{what} there: {', '.join(sorted(there)[:_MOST_LISTED])}{more}." if there else None


def _short(error: BaseException) -> str:
    """The first line of what a library says, in our form."""
    inner = _cause(error)
    if inner is not None:
        return _short(inner)
    found = getattr(error, "errors", None)
    if callable(found):  # of a model: the text begins with its name
        text = "; ".join(str(problem["msg"]) for problem in found())
    else:
        last = error.args[-1] if error.args else None
        text = last if isinstance(last, str) and len(error.args) > 1 else str(error)
    text = text.strip().partition("\n")[0]
    if _POOL in text:
        # Behind the address, which is told already.
        text = text.rpartition(": ")[2]
    return (text or type(error).__name__).rstrip(".")


_POOL: Final = "(host="


def _cause(error: BaseException) -> BaseException | None:
    """The error that another was made of: the first that happened says most."""
    for inner in (getattr(error, "orig", None), getattr(error, "reason", None), *error.args):
        if isinstance(inner, BaseException):
            return inner
    return None
