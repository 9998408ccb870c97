"""Catalogs that last: `CREATE CATALOG c WITH ('type' = 'file', 'path' = '…')`.

One readable file for each table, view, function and database, holding the statement that makes it:

    path/shop.sql          CREATE DATABASE `shop` …
    path/shop/orders.sql   CREATE TABLE `orders` (…) WITH (…)
    path/shop/daily.sql    USE `shop`; CREATE VIEW `daily` AS SELECT …
    path/shop/functions/net.sql   CREATE FUNCTION `net` AS 'prices.net' LANGUAGE PYTHON

In front of a view stands what was current when it was made, where that is not its own database:
its query's names are looked up there. The file's name is the object's; characters that may not
stand in one are written as in a URL (`a%2Fb`). Files are read again when they change, so that
several sessions, and an editor, may share a folder. A file appears whole or not at all. A function's code
stays in its module, which is imported when it is called. Options
are written as they were given: give passwords as `${NAME}`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, unquote

from flowsql.catalog import (
    Catalog,
    CatalogObject,
    CatalogTable,
    CatalogView,
    Database,
    MemoryStore,
    ObjectPath,
    ShadowStore,
    Store,
    UserFunction,
    declare_table,
    declare_view,
    show_create_database,
    show_create_function,
    show_create_table,
    show_create_view,
)
from flowsql.config import Option, OptionType, parse_options
from flowsql.connector import CatalogKind, durable
from flowsql.connector.plugins import catalog_kind_names, find_catalog_kind
from flowsql.errors import ConfigError, FlowSQLError, nearest
from flowsql.expr import written_place
from flowsql.library.external_store import ExternalStore
from flowsql.logical.table_options import parse_unresolved, resolve_references
from flowsql.sql import (
    CreateDatabase,
    CreateFunction,
    CreateTable,
    CreateView,
    Use,
    UseCatalog,
    parse_script,
)
from flowsql.types import quote_identifier

__all__ = ["CATALOG_OPTIONS", "STORE_TYPES", "FileStore", "open_store"]

STORE_TYPES = ("file", "generic_in_memory")
_TYPE = Option("type", OptionType.STRING, "The kind of the catalog.", required=True)
_DEFAULT = Option(
    "default-database", OptionType.STRING, "The database that USE CATALOG chooses.", "default"
)
_PATH = Option("path", OptionType.STRING, "The folder of a `file` catalog.", required=True)
# Of all catalogs, whatever their type; first that.
CATALOG_OPTIONS = (_TYPE, _DEFAULT)
_SUFFIX = ".sql"
_FUNCTIONS = "functions"

_Kept = CatalogObject | Database | UserFunction


def open_store(name: str, given: Mapping[str, str], *, lasting: bool = True) -> Store:
    """The store of a catalog, by the options of CREATE CATALOG.

    Args:
        name: of the catalog.
        given: its options.
        lasting: False: nothing is written before `ShadowStore.keep`.

    Raises:
        ConfigError: an option is wrong, or the folder cannot be used.
    """
    where = f'catalog "{name}"'
    kind = given.get("type")
    types = (*STORE_TYPES, *catalog_kind_names())
    if kind is None:
        raise ConfigError(
            f"{where} has no type",
            hint=f"Add WITH ('type' = {' | '.join(repr(t) for t in types)}).",
        )
    if kind not in STORE_TYPES:
        external = find_catalog_kind(kind)
        if external is not None:
            return _external_store(name, external, given, lasting=lasting)
        near = nearest(kind, types)
        raise ConfigError(
            f'{where}: there is no catalog type "{kind}"',
            hint=f'Did you mean "{near}"?' if near else f"Known types: {', '.join(types)}.",
            option="type",
        )
    declared = (_TYPE, _DEFAULT, _PATH) if kind == "file" else (_TYPE, _DEFAULT)
    options = parse_options(declared, given, where=where)
    default = options["default-database"]
    if kind == "file" and not lasting:
        kept = FileStore(name, Path(options["path"]).absolute(), default, make=False)
        return ShadowStore(kept, default, kept.make)
    if kind == "file":
        return FileStore(name, Path(options["path"]).absolute(), default)
    return MemoryStore(default)


def _external_store(
    name: str, kind: CatalogKind, given: Mapping[str, str], *, lasting: bool
) -> Store:
    where = f'catalog "{name}" (type "{kind.name}")'
    declared = (_TYPE, _DEFAULT, *kind.options)
    # What is written wrong is told though a variable be missing.
    kind.check(parse_unresolved(declared, given, where=where))
    options = parse_options(declared, resolve_references(given, where=where), where=where)
    kind.check(options)
    written = {k: v for k, v in given.items() if k not in (_TYPE.key, _DEFAULT.key)}
    default = options[_DEFAULT.key]
    store = ExternalStore(name, kind, kind.open(name, options, written), default)
    if not lasting:
        return ShadowStore(store, default, store.make)
    store.make()
    return store


class FileStore(Store):
    """One catalog in a folder.

    Args:
        catalog: its name in this session; the files do not hold it.
        folder: made if it is missing.
        default: its default database; made if it is missing.
        make: False: nothing is made before `make`.
    """

    def __init__(
        self, catalog: str, folder: Path, default: str = "default", *, make: bool = True
    ) -> None:
        self.default = default
        self._catalog = catalog
        self._folder = folder
        self._read: dict[Path, tuple[tuple[int, int, int], _Kept]] = {}
        if make:
            self.make()

    def make(self) -> None:
        """The folder and the default database, where they are missing."""
        with self._changing(self._folder):
            durable.make_dirs(self._folder)
        if self.database(self.default) is None:
            self.put_database(Database(self.default))

    def databases(self) -> list[str]:
        return self._listed(self._folder)

    def database(self, name: str) -> Database | None:
        found = self._get(self._file(name), lambda text: self._as_database(name, text))
        assert found is None or isinstance(found, Database)
        return found

    def put_database(self, database: Database) -> None:
        with self._changing(self._folder):
            durable.make_dirs(_folder_of(self._file(database.name)))
        self._write(self._file(database.name), show_create_database(database))

    def remove_database(self, name: str) -> None:
        file = self._file(name)
        # Without its own file the database is gone, whatever is left of the folder.
        self._remove(file)
        with self._changing(file):
            durable.remove_tree(_folder_of(file))

    def names(self, database: str) -> list[str]:
        return self._listed(_folder_of(self._file(database)))

    def get(self, path: ObjectPath) -> CatalogObject | None:
        found = self._get(
            self._file(path.database, path.name), lambda text: self._as_object(path, text)
        )
        assert found is None or isinstance(found, CatalogTable | CatalogView)
        return found

    def put(self, added: CatalogObject) -> None:
        name = quote_identifier(added.path.name)
        if isinstance(added, CatalogView):
            text = _context(added) + show_create_view(added, name=name)
        else:
            text = show_create_table(added, lambda _: False, name=name)
        self._write(self._file(added.path.database, added.path.name), text)

    def remove(self, path: ObjectPath) -> None:
        self._remove(self._file(path.database, path.name))

    def function_names(self, database: str) -> list[str]:
        return self._listed(self._functions(database))

    def function(self, path: ObjectPath) -> UserFunction | None:
        found = self._get(self._function_file(path), lambda text: _as_function(path, text))
        assert found is None or isinstance(found, UserFunction)
        return found

    def put_function(self, function: UserFunction) -> None:
        assert function.path is not None
        folder = self._functions(function.path.database)
        with self._changing(folder):
            durable.make_dirs(folder)
        name = quote_identifier(function.name)
        self._write(self._function_file(function.path), show_create_function(function, name=name))

    def remove_function(self, path: ObjectPath) -> None:
        self._remove(self._function_file(path))

    # Files

    def _functions(self, database: str) -> Path:
        return _folder_of(self._file(database)) / _FUNCTIONS

    def _function_file(self, path: ObjectPath) -> Path:
        return self._functions(path.database) / (_file_name(path.name) + _SUFFIX)

    def _file(self, *names: str) -> Path:
        *folders, last = (_file_name(n) for n in names)
        return self._folder.joinpath(*folders, last + _SUFFIX)

    @contextlib.contextmanager
    def _changing(self, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ConfigError(
                f'catalog "{self._catalog}" cannot use "{path}": {error.strerror or error}'
            ) from error

    def _listed(self, folder: Path) -> list[str]:
        with self._changing(folder):
            found = [e.name for e in os.scandir(folder) if e.is_file()] if folder.is_dir() else []
        return sorted(
            unquote(n.removesuffix(_SUFFIX))
            for n in found
            if n.endswith(_SUFFIX) and not n.startswith(".")
        )

    def _get(self, file: Path, made: Callable[[str], _Kept]) -> _Kept | None:
        with self._changing(file):
            try:
                status = file.stat()
                stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
                known = self._read.get(file)
                if known is not None and known[0] == stamp:
                    return known[1]
                text = file.read_text(encoding="utf-8")
            except FileNotFoundError:
                return None
        try:
            found = made(text)
        except FlowSQLError as error:
            if error.span is None:
                error.detail = " ".join(filter(None, (error.detail, f'It stands in "{file}".')))
            raise error.with_sql(text).in_file(text, str(file)) from None
        self._read[file] = (stamp, found)
        return found

    def _write(self, file: Path, text: str) -> None:
        new = file.with_name(f".{file.name}.{os.getpid()}.new")
        with self._changing(file):
            durable.write_file(new, f"{text}\n".encode())
            durable.replace(new, file)
            durable.fsync_dir(file.parent)
        self._read.pop(file, None)

    def _remove(self, file: Path) -> None:
        with self._changing(file):
            durable.remove(file)
            durable.fsync_dir(file.parent)
        self._read.pop(file, None)

    # Their text

    def _as_database(self, name: str, text: str) -> Database:
        for statement in parse_script(text):
            if isinstance(statement, CreateDatabase):
                options = tuple((o.key, o.value) for o in statement.options)
                return Database(name, statement.comment, options)
        raise ConfigError(f'the file of database "{name}" has no CREATE DATABASE')

    def _as_object(self, path: ObjectPath, text: str) -> CatalogTable | CatalogView:
        scratch = Catalog(path.catalog, path.database)
        file = str(self._file(path.database, path.name))
        for statement in parse_script(text):
            match statement:
                case UseCatalog(name=name):
                    scratch.current_catalog = str(name)
                case Use(name=name):
                    scratch.current_database = name.parts[-1]
                case CreateTable():
                    return replace(declare_table(statement, scratch, text), path=path, file=file)
                case CreateView():
                    return replace(declare_view(statement, scratch, text), path=path, file=file)
                case _:
                    break
        raise ConfigError(f'the file of "{path}" has no CREATE TABLE and no CREATE VIEW')


def _as_function(path: ObjectPath, text: str) -> UserFunction:
    for statement in parse_script(text):
        if isinstance(statement, CreateFunction) and statement.language == "PYTHON":
            place = written_place(statement.place)
            return UserFunction(statement.name.parts[-1], place, path, temporary=False)
    raise ConfigError(f'the file of "{path}" has no CREATE FUNCTION … LANGUAGE PYTHON')


def _file_name(name: str) -> str:
    # A leading dot hides a file.
    quoted = quote(name, safe=" ")
    return quoted if not quoted.startswith(".") else f"%2E{quoted[1:]}"


def _folder_of(file: Path) -> Path:
    return file.with_name(file.name.removesuffix(_SUFFIX))


def _context(view: CatalogView) -> str:
    catalog, database = view.database
    text = ""
    if catalog != view.path.catalog:
        text += f"USE CATALOG {quote_identifier(catalog)};\n"
    if text or database != view.path.database:
        text += f"USE {quote_identifier(database)};\n"
    return text
