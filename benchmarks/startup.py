"""How long until the first row, and the first prompt?

`import flowsql`; `flowsql run` of a job from `values` to `print`, up to its first line; `flowsql -e
"SELECT 1"`, to its end; `flowsql` alone in a terminal, until it shows its prompt.
"""

from __future__ import annotations

import os
import pty
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


def until_prompt(command: list[str], folder: str) -> float:
    """Seconds until a terminal shows the prompt."""
    home = {**os.environ, "HOME": folder, "TERM": "xterm"}
    master, slave = pty.openpty()
    start = time.perf_counter()
    with subprocess.Popen(
        command, stdin=slave, stdout=slave, stderr=slave, cwd=folder, env=home
    ) as process:
        shown = b""
        while b"flowsql>" not in shown:
            shown += os.read(master, 4096)
        seen = time.perf_counter() - start
        process.kill()
    os.close(slave)
    os.close(master)
    return seen


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
        one = [sys.executable, "-c", CLI, "-e", "SELECT 1"]
        print(
            'flowsql -e "SELECT 1": '
            f"{min(spent(one, folder)[1] for _ in range(REPEATS)):.2f} s of processor time to its end"
        )
        prompts = [until_prompt([sys.executable, "-c", CLI], folder) for _ in range(REPEATS)]
        print(f"flowsql: first prompt after {min(prompts):.2f} s by the clock")


if __name__ == "__main__":
    main()
