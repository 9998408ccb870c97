"""What packages show, how big their modules are, and who may import whom."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = [ROOT / "flowsql", ROOT / "connectors" / "flowsql_connectors"]
PACKAGES = sorted(p for source in SOURCES for p in source.rglob("__init__.py"))
MODULES = sorted(
    p
    for folder in (*SOURCES, ROOT / "tests", ROOT / "benchmarks", ROOT / "docs")
    for p in folder.rglob("*.py")
)
LONGEST = 600


def _name(path: Path) -> str:
    base = ROOT / "connectors" if "flowsql_connectors" in path.parts else ROOT
    return ".".join(path.parent.relative_to(base).parts)


def _order(name: str) -> tuple[int, str]:
    """Constants, classes, functions; each by name, as the linter sorts them."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


@pytest.mark.parametrize("path", PACKAGES, ids=_name)
def test_a_package_only_re_exports(path: Path) -> None:
    """An `__init__` holds a docstring, imports and a sorted `__all__` whose names exist."""
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), "no docstring"
    if path == ROOT / "flowsql" / "__init__.py":  # loads the rest when it is asked for
        tree.body = [
            s for s in tree.body if not isinstance(s, ast.FunctionDef | ast.If | ast.Assign)
        ]
    allowed = (ast.Expr, ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign, ast.If)
    extra = [ast.unparse(s)[:60] for s in tree.body if not isinstance(s, allowed)]
    assert extra == []
    package = importlib.import_module(_name(path))
    names = list(getattr(package, "__all__", []))
    assert sorted(names, key=_order) == names
    assert [name for name in names if not hasattr(package, name)] == []


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_a_module_can_be_read(path: Path) -> None:
    """No module is longer than one can read in a sitting."""
    assert len(path.read_text().splitlines()) <= LONGEST


def test_importing_flowsql_loads_nothing_heavy() -> None:
    """`import flowsql` loads the standard library and its errors."""
    code = (
        "import sys, flowsql; "
        "print([m for m in ('pyarrow', 'numpy', 'duckdb', 'sqlglot', 'lark') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


_PRINTED = (
    "CREATE TABLE v (a INT) WITH ('connector' = 'values', 'data' = '[1]');"
    "CREATE TABLE p (a INT) WITH ('connector' = 'print');"
    "INSERT INTO p SELECT a FROM v;"
)


@pytest.mark.parametrize(
    ("text", "parser"), [("SELECT 1", []), (_PRINTED, ["flowsql.sql.lalr"])], ids=["query", "job"]
)
def test_statements_load_what_they_need(text: str, parser: list[str]) -> None:
    """Operators, state tables, formats and the statement parser wait until something has them."""
    code = (
        f"import sys; from flowsql.cli.main import main; main(['-e', {text!r}]); "
        "print([m for m in ('flowsql.sql.lalr', 'flowsql.operators.join', 'flowsql.state.ordered', "
        "'flowsql.formats.csv_format', 'prompt_toolkit', 'lark', 'duckdb', 'pandas', 'pyiceberg', "
        "'pyarrow.parquet', 'pyarrow.dataset') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.splitlines()[-1] == str(parser)


def test_every_public_name_can_be_had() -> None:
    """`flowsql.__all__` is sorted and holds what can be had from it."""
    import flowsql

    assert sorted(flowsql.__all__, key=_order) == flowsql.__all__
    assert [name for name in flowsql.__all__ if getattr(flowsql, name, None) is None] == []


@pytest.mark.parametrize("path", PACKAGES, ids=_name)
def test_a_name_loaded_late_is_no_module(path: Path) -> None:
    """Loading the module for another name would put the module in the name's place."""
    text = path.read_text()
    if "__getattr__ = lazily(" not in text:
        return
    given = importlib.import_module(_name(path)).__all__
    assert sorted(set(given) & {p.stem for p in path.parent.iterdir()}) == []


def test_layers_hold() -> None:
    """The contracts of `pyproject.toml` are kept."""
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
