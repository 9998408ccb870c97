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

from tests.services.binaries import ServerUnavailable, cache_folder, only_one
from tests.services.fixtures import needing_servers

_VERSION = "1.5.5"
_PACKAGES = [f"{name}=={_VERSION}" for name in (
    "duckdb", "duckdb-extension-avro", "duckdb-extension-iceberg"
)]  # fmt: skip

_READ = """
import json, sys
from pathlib import Path
import duckdb
packages = Path(duckdb.__file__).parents[1]
connection = duckdb.connect(config={"allow_unsigned_extensions": "true"})
for name in ("avro", "iceberg"):
    (file,) = packages.glob(f"duckdb_extension_{name}/extensions/*/{name}.duckdb_extension")
    connection.load_extension(str(file))
print(json.dumps(connection.execute(sys.argv[1], [sys.argv[2]]).fetchall(), default=str))
"""


def rows_by_duckdb(metadata: str, columns: str = "*") -> list[tuple[Any, ...]]:
    """The rows of a table; values that JSON has not come as texts.

    Args:
        metadata: location of its metadata file.
        columns: what is selected.
    """
    query = f"SELECT {columns} FROM iceberg_scan(?)"
    path = metadata.removeprefix("file://")
    with needing_servers():
        python = _python()
    done = subprocess.run(
        [python, "-c", _READ, query, path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [tuple(row) for row in json.loads(done.stdout)]


def _python() -> Path:
    """Of the environment."""
    folder = cache_folder() / f"duckdb-iceberg-{_VERSION}-{sys.version_info.minor}"
    done = folder / "complete"
    with only_one(folder):
        if not done.exists():
            venv.create(folder, clear=True, with_pip=True)
            made = subprocess.run(
                [folder / "bin" / "pip", "install", "--quiet", *_PACKAGES],
                capture_output=True,
                text=True,
                check=False,
            )
            if made.returncode:
                raise ServerUnavailable(f"could not install {_PACKAGES}: {made.stderr[-500:]}")
            done.touch()
    return folder / "bin" / "python"
