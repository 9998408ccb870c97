"""A reader of Iceberg tables that shares nothing with what wrote them: DuckDB's, in C++.

Its extension has to fit DuckDB's version, and ours has none: it lives in an environment of its own,
made once in the folder of cached test programs.
"""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

from tests.services.binaries import cache_folder, fetched, only_one
from tests.services.fixtures import needing_servers

_VERSION = "1.5.5"
_PACKAGES = [f"{name}=={_VERSION}" for name in (
    "duckdb", "duckdb-extension-avro", "duckdb-extension-iceberg"
)]  # fmt: skip

_READ = """
import json, sys, time
from pathlib import Path
import duckdb
packages = Path(duckdb.__file__).parents[1]
connection = duckdb.connect(config={"allow_unsigned_extensions": "true"})
connection.execute("SET enable_progress_bar = false")
for name in ("avro", "iceberg"):
    (file,) = packages.glob(f"duckdb_extension_{name}/extensions/*/{name}.duckdb_extension")
    connection.load_extension(str(file))
took, turns = [], int(sys.argv[3])
while len(took) < turns and sum(took) < 10:
    began = time.perf_counter()
    rows = connection.execute(sys.argv[1], [sys.argv[2]]).fetchall()
    took.append(time.perf_counter() - began)
print(json.dumps([rows, min(took)], default=str))
"""


def rows_by_duckdb(metadata: str, columns: str = "*") -> list[tuple[Any, ...]]:
    """The rows of a table; values that JSON has not come as texts.

    Args:
        metadata: location of its metadata file.
        columns: what is selected.
    """
    return seconds_by_duckdb(metadata, columns, turns=1)[1]


def seconds_by_duckdb(
    metadata: str, columns: str = "*", turns: int = 3, patience: float | None = None
) -> tuple[float, list[tuple[Any, ...]]]:
    """How long it takes to read a table, its metadata included; and its rows.

    Args:
        metadata: location of its metadata file.
        columns: what is selected.
        turns: so many times, if it does not take long; the quickest counts.
        patience: seconds after which it is given up.

    Raises:
        TimeoutError: it was given up.
    """
    query = f"SELECT {columns} FROM iceberg_scan(?)"
    path = metadata.removeprefix("file:").removeprefix("//")
    with needing_servers():
        python = reader()
    command = [python, "-c", _READ, query, path, str(turns)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=patience
        )
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"not read in {patience} s") from None
    assert done.returncode == 0, done.stderr
    rows, seconds = json.loads(done.stdout)
    return seconds, [tuple(row) for row in rows]


def reader() -> Path:
    """The Python of the environment."""
    folder = cache_folder() / f"duckdb-iceberg-{_VERSION}-{sys.version_info.minor}"
    done = folder / "complete"
    with only_one(folder):
        if not done.exists():
            venv.create(folder, clear=True, with_pip=True)
            fetched([folder / "bin" / "pip", "install", "--quiet", *_PACKAGES], "DuckDB's reader")
            done.touch()
    return folder / "bin" / "python"
