"""Pages say what the code does: links lead somewhere, generated pages are up to date."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import flowsql
from flowsql.connector import Connector
from flowsql.connector.plugins import installed_connectors
from flowsql.formats import find_format, format_names
from flowsql.logical import TABLE_OPTIONS
from flowsql.sql import parse_script
from tests.support.pages import blocks, check_commands, check_statements

ROOT = Path(__file__).parents[2]
PAGES = sorted({*ROOT.glob("*.md"), *ROOT.glob("*/README.md"), *ROOT.glob("docs/**/*.md")})
PYTHON_PAGES = ("concepts", "library", "python-functions")
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+\s+(.*)$", re.MULTILINE)


def _anchor(heading: str) -> str:
    kept = re.sub(r"[^\w\s-]", "", heading.replace("`", "")).strip().lower()
    return re.sub(r"\s", "-", kept)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link names a file, and a heading where it names one."""
    text = page.read_text()
    broken = []
    for link in _LINK.findall(text):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists():
            broken.append(link)
        elif anchor and target.suffix == ".md":
            anchors = {_anchor(h) for h in _HEADING.findall(target.read_text())}
            broken += [] if anchor in anchors else [link]
    assert broken == []


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "generate_reference", ROOT / "docs" / "generate_reference.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_reference_is_up_to_date() -> None:
    """`make reference` would change nothing."""
    generator = _generator()
    made = generator.pages()
    assert sorted(made) == sorted(p.name for p in generator.FOLDER.iterdir())
    for name, text in made.items():
        assert text == (generator.FOLDER / name).read_text(), name


def test_the_reference_has_every_option() -> None:
    """Of tables, connectors and formats; each with its default."""
    pages = _generator().pages()
    every = [(o, "connectors.md") for o in TABLE_OPTIONS]
    every += [(o, "connectors.md") for c in installed_connectors().values() for o in c.options]
    every += [
        (o, f"format-{name}.md") for name in format_names() for o in find_format(name).options
    ]
    missing = [o.key for o, page in every if f"`{o.key}`" not in pages[page]]
    tests_own = {
        o.key for c in installed_connectors().values() if _is_foreign(c) for o in c.options
    }
    assert [key for key in missing if key not in tests_own] == []


def _is_foreign(connector: Connector) -> bool:
    return not type(connector).__module__.startswith(("flowsql.", "flowsql_connectors."))


REFUSED = {
    "`HOP`": "SELECT * FROM TABLE(HOP(TABLE t, DESCRIPTOR(ts), INTERVAL '1' DAY, INTERVAL '2' DAY))",
    "group windows": "SELECT COUNT(*) FROM t GROUP BY SESSION(ts, INTERVAL '1' MINUTE)",
    "`LATERAL TABLE`": "SELECT * FROM t, LATERAL TABLE(f(a))",
    "OVER windows": "SELECT COUNT(*) OVER (ORDER BY ts) FROM t",
    "row numbers by a time": "SELECT ROW_NUMBER() OVER (ORDER BY ts) FROM t",
    "`MATCH_RECOGNIZE`": "SELECT * FROM t MATCH_RECOGNIZE (PATTERN (A) DEFINE A AS TRUE)",
    "`ORDER BY` processing time": "SELECT a FROM (SELECT a, PROCTIME() AS p FROM t) ORDER BY p",
    "a sub-query in `ON` of an outer join": (
        "SELECT 1 FROM t LEFT JOIN t AS u ON t.a + u.a IN (SELECT a FROM t)"
    ),
    "with `LIMIT` but without `ORDER BY`": (
        "SELECT (SELECT u.a FROM t AS u WHERE u.a > t.a LIMIT 1) FROM t"
    ),
    "`ORDER BY` in an aggregate": "SELECT ARRAY_AGG(a ORDER BY a) FROM t",
}


def test_what_is_not_there_yet_is_refused() -> None:
    """Who builds one of these takes it from the page, and from this list."""
    page = (ROOT / "docs" / "flink-compatibility.md").read_text().partition("## Not there yet")[2]
    session = flowsql.connect()
    session.execute(
        "CREATE TABLE t (a INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) "
        "WITH ('connector' = 'datagen')"
    )
    for name, sql in REFUSED.items():
        assert name in page
        with pytest.raises(flowsql.SqlError, match="is not supported"):
            session.prepare(sql)


def test_tables_of_the_reference_can_be_created() -> None:
    """Every CREATE TABLE that stands there as an example is taken as it is."""
    page = (ROOT / "docs" / "reference" / "connectors.md").read_text()
    examples = re.findall(r"(?m)^    CREATE TABLE (?:.*\n)(?:    .*\n)*?    .*\);$", page)
    assert len(examples) >= 8
    for example in examples:
        with flowsql.connect() as session:
            session.execute(example)


def test_make_help_names_every_target() -> None:
    """`make` alone is the way in."""
    shown = subprocess.run(["make", "-C", ROOT], capture_output=True, text=True, check=True).stdout
    targets = re.search(r"\.PHONY: (.*)", (ROOT / "Makefile").read_text())
    assert targets is not None
    for target in set(targets[1].split()) - {"help", "install"}:
        assert f"make {target}" in shown


@pytest.mark.parametrize("page", ["README", "docs/concepts"])
def test_commands_show_what_happens(page: str, tmp_path: Path) -> None:
    """With the files that stand there, in the order that they stand in."""
    check_commands(ROOT / f"{page}.md", tmp_path)


@pytest.mark.parametrize("page", ["docs/sql", "docs/connectors"])
def test_statements_show_what_happens(page: str, tmp_path: Path) -> None:
    """All of the page, run as one file."""
    check_statements(ROOT / f"{page}.md", tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_statements_can_be_read(page: Path) -> None:
    """Also those that need a server, or tables of the reader's own."""
    for block in blocks(page):
        if block.kind == "sql":
            parse_script(block.text)


def test_the_first_job_with_postgres_can_be_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its tables and its query fit together."""
    monkeypatch.setenv("DB_PASSWORD", "one")
    (job,) = [b.text for b in blocks(ROOT / "docs" / "postgres.md") if b.kind == "sql"]
    with flowsql.connect() as session:
        assert session.prepare(job)


def test_tables_of_the_page_on_iceberg_can_be_made(tmp_path: Path) -> None:
    """A catalog, its tables, one with a watermark; and one that is declared by itself."""
    page = blocks(ROOT / "docs" / "iceberg.md")
    catalog, watermark, *_, written = [
        b.text.replace("/data/lake", str(tmp_path)) for b in page if "CREATE " in b.text
    ]
    with flowsql.connect() as session:
        assert session.execute(catalog).fetchall() == []
        session.execute("CREATE TABLE shop.clicks (page STRING, ts TIMESTAMP(6))")
        session.execute(watermark)
    with flowsql.connect({"execution.checkpointing.dir": str(tmp_path / "jobs")}) as session:
        assert session.execute(written).wait(60)
        shown = session.execute("SELECT order_id, product FROM order_lines").fetchall()
    assert shown == [(1, "tea")]


@pytest.mark.parametrize("page", ["README", *(f"docs/{page}" for page in PYTHON_PAGES)])
def test_python_shows_what_happens(page: str, tmp_path: Path) -> None:
    """Its blocks run one after the other and print what stands behind `#` and below them."""
    text = (ROOT / f"{page}.md").read_text()
    found = re.findall(r"```(python|text)\n(.*?)```", text, re.DOTALL)
    expected = ""
    for kind, block in found:
        shown = re.findall(r"(?m)^ *print\(.*\)  # (.*)$", block)
        expected += block if kind == "text" else "".join(f"{line}\n" for line in shown)
    code = "\n".join(block for kind, block in found if kind == "python")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == (expected, "")
