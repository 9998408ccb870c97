"""How long until the first row?

`import flowsql`, and `flowsql run` of a job from `values` to `print`, up to its first line.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

JOB = """
CREATE TABLE v (id BIGINT, name STRING) WITH ('connector' = 'values', 'data' = '[1, "a"]
[2, "b"]');
CREATE TABLE p (id BIGINT, name STRING) WITH ('connector' = 'print');
INSERT INTO p SELECT id, name FROM v WHERE id > 0;
"""
CLI = "import sys; from flowsql.cli.main import main; sys.exit(main(sys.argv[1:]))"
REPEATS = 5


def spent(command: list[str], folder: str) -> tuple[float, float, str]:
    """Seconds to the first line of output and of processor time in all, and that line."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=folder
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        first = time.perf_counter() - start
        process.stdout.read()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return first, cpu, line.strip()


def main() -> None:
    """The best of a few."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as folder:
        job = Path(folder) / "job.sql"
        job.write_text(JOB, encoding="utf-8")
        code = (
            "import time; t = time.process_time(); import flowsql; print(time.process_time() - t)"
        )
        imports = [float(spent([sys.executable, "-c", code], folder)[2]) for _ in range(REPEATS)]
        print(f"import flowsql: {min(imports) * 1e3:.0f} ms of processor time")
        run = [sys.executable, "-c", CLI, "run", "--fresh", str(job)]
        runs = [spent(run, folder) for _ in range(REPEATS)]
        assert all(r[2] for r in runs), runs
        first, _, line = min(runs)
        print(
            f"flowsql run, values to print: first row ({line}) after {first:.2f} s by the clock; "
            f"{min(r[1] for r in runs):.2f} s of processor time to its end"
        )


if __name__ == "__main__":
    main()
