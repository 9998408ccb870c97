"""SHOW CREATE FUNCTION, and functions that a file catalog keeps."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import flowsql

CODE = """
def twice(x: int) -> int:
    return 2 * x


def repeat(text: str) -> str:
    return text * 2
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module of functions that SQL can name."""
    (tmp_path / "code_of_test.py").write_text(CODE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "code_of_test", raising=False)


def rows(session: flowsql.Session, sql: str) -> list[tuple[object, ...]]:
    """The rows of the last statement."""
    answer = session.execute(sql)
    assert isinstance(answer, flowsql.Result)
    return answer.fetchall()


@pytest.mark.parametrize(
    ("declared", "shown"),
    [
        ("FUNCTION Twice", "FUNCTION `default_catalog`.`default_database`.`twice`"),
        (
            "TEMPORARY FUNCTION default_database.twice",
            "TEMPORARY FUNCTION `default_catalog`.`default_database`.`twice`",
        ),
        ("TEMPORARY SYSTEM FUNCTION twice", "TEMPORARY SYSTEM FUNCTION `twice`"),
    ],
)
@pytest.mark.usefixtures("module")
def test_functions_are_shown_as_sql(declared: str, shown: str) -> None:
    """What is shown declares it again."""
    with flowsql.connect() as session:
        session.execute(f"CREATE {declared} AS 'code_of_test.twice' LANGUAGE PYTHON")
        (row,) = rows(session, "SHOW CREATE FUNCTION twice")
        assert row == (f"CREATE {shown}\nAS 'code_of_test.twice' LANGUAGE PYTHON",)
    with flowsql.connect() as session:
        session.execute(str(row[0]))
        assert rows(session, "SELECT twice(4)") == [(8,)]


def test_objects_have_no_statement() -> None:
    """They live in the program."""
    with flowsql.connect() as session:
        session.create_temporary_function(
            "half", flowsql.udf(lambda x: x // 2, ["BIGINT"], "BIGINT")
        )
        with pytest.raises(flowsql.SqlError, match="was given as an object"):
            session.execute("SHOW CREATE FUNCTION half")


@pytest.mark.usefixtures("module")
def test_file_catalogs_keep_functions(tmp_path: Path) -> None:
    """Their place, as SQL, over sessions; they are removed with DROP."""
    catalog = f"CREATE CATALOG c WITH ('type' = 'file', 'path' = '{tmp_path}/c'); USE CATALOG c"
    file = tmp_path / "c/default/functions/twice.sql"
    with flowsql.connect() as session:
        session.execute(catalog)
        session.execute("CREATE FUNCTION Twice AS 'code_of_test.twice' LANGUAGE PYTHON")
        assert rows(session, "SHOW TABLES") == []
    assert file.read_text() == "CREATE FUNCTION `Twice`\nAS 'code_of_test.twice' LANGUAGE PYTHON\n"
    with flowsql.connect() as session:
        session.execute(catalog)
        assert rows(session, "SHOW USER FUNCTIONS") == [("twice",)]
        assert rows(session, "SELECT TWICE(4), c.`default`.twice(5)") == [(8, 10)]
        session.execute("ALTER FUNCTION twice AS 'code_of_test.repeat' LANGUAGE PYTHON")
        assert rows(session, "SELECT twice('a')") == [("aa",)]
        session.execute(
            "CREATE DATABASE d; CREATE FUNCTION d.f AS 'code_of_test.twice' LANGUAGE PYTHON"
        )
        with pytest.raises(flowsql.SqlError, match='"d" is not empty'):
            session.execute("DROP DATABASE d")
        session.execute("DROP DATABASE d CASCADE; CREATE DATABASE d")
        assert rows(session, "SHOW USER FUNCTIONS FROM d") == []
        session.execute("DROP FUNCTION twice")
    assert not file.exists()


@pytest.mark.usefixtures("module")
def test_a_damaged_file_of_a_function(tmp_path: Path) -> None:
    """The error says where it stands."""
    folder = tmp_path / "c/default/functions"
    with flowsql.connect() as session:
        session.execute(f"CREATE CATALOG c WITH ('type' = 'file', 'path' = '{tmp_path}/c')")
        folder.mkdir()
        (folder / "f.sql").write_text("CREATE VIEW f AS SELECT 1")
        with pytest.raises(flowsql.ConfigError) as caught:
            session.execute("SELECT c.`default`.f(1)")
    assert "has no CREATE FUNCTION … LANGUAGE PYTHON" in str(caught.value)
    assert f'It stands in "{folder}/f.sql".' in str(caught.value)
