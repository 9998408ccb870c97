"""Judges cases in processes of their own, each with its own deadline."""

from __future__ import annotations

import gzip
import json
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tests.cases.judge import JUDGES, Verdict, Word, judge
from tests.support.connectors import Event, Rows

__all__ = ["known_files", "load", "run_all"]

DEADLINE_S = 30


def known_files(folder: Path) -> list[tuple[str, Path]]:
    """(kind, file) of what this runner knows, in a fixed order."""
    found = [(kind, folder / f"{kind}.jsonl") for kind in JUDGES if kind != "nexmark"]
    found.append(("nexmark", folder / "nexmark" / "cases.jsonl.gz"))
    return [(kind, path) for kind, path in found if path.exists()]


def other_files(folder: Path) -> list[tuple[str, Path]]:
    """(kind, file) of case files under names of other sets, their kind read off their shape."""
    known = {path for _, path in known_files(folder)}
    others = []
    for path in sorted(folder.rglob("*.jsonl*")):
        if path in known or path.suffix not in (".jsonl", ".gz") or _kind(path) is None:
            continue
        others.append((str(_kind(path)), path))
    return others


def _kind(path: Path) -> str | None:
    first = next(_lines(path), "")
    try:
        case = json.loads(first)
    except ValueError:
        return None
    if not isinstance(case, dict) or "name" not in case:
        return None
    keys = set(case)
    errors = "errors" in path.name
    for marks, kind in (
        ({"source_schemas", "query"}, "nexmark"),
        ({"streaming_replay_on_flink_2_3_0"}, "batch"),
        ({"input_lines"}, "cdc_formats"),
        ({"source_type", "items"}, "aggregates"),
        ({"table", "items"}, "expressions"),
        ({"constant_folding", "items"}, "functions"),
        ({"sinks", "run"}, "programs_errors" if errors else "programs"),
        ({"sink_tables", "expectations"}, "stream_errors" if errors else "stream"),
    ):
        if marks <= keys:
            return kind
    return None


def _lines(path: Path) -> Iterator[str]:
    if path.suffix == ".gz":
        with gzip.open(path, "rt") as packed:
            yield from packed
    else:
        with path.open() as plain:
            yield from plain


def load(path: Path) -> list[dict[str, Any]]:
    """All cases of a file."""
    return [json.loads(line) for line in _lines(path) if line.strip()]


def run_all(
    tasks: Sequence[tuple[str, dict[str, Any], Path, Sequence[str]]],
) -> Iterator[Verdict]:
    """The verdicts, in the order of the tasks (kind, case, folder, error tokens)."""
    workers = max(1, min(4, os.cpu_count() or 1))
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(_one, tasks, chunksize=4)


def _one(task: tuple[str, dict[str, Any], Path, Sequence[str]]) -> Verdict:
    kind, case, folder, tokens = task
    if kind == "nexmark":
        case = {**case, "events": _nexmark_events(folder), "steps": _nexmark_steps}
    signal.signal(signal.SIGALRM, _late)
    signal.alarm(DEADLINE_S)
    try:
        return judge(kind, case, tokens)
    except TimeoutError:
        return Verdict(Word.REFUSED, f"CRASH no answer within {DEADLINE_S} s")
    finally:
        signal.alarm(0)


def _late(signum: int, frame: object) -> None:
    raise TimeoutError


@cache
def _nexmark_events(folder: Path) -> dict[str, list[list[Any]]]:
    return {
        name: [["+I", *json.loads(line)] for line in _lines(folder / f"{name}.jsonl")]
        for name in ("person", "auction", "bid")
    }


def _nexmark_steps(case: Mapping[str, Any]) -> list[list[Event]]:
    """The events in some twenty steps, each table's share in each."""
    from tests.cases.decode import plain_row
    from tests.support.ddl import physical_columns

    steps: list[list[Event]] = [[] for _ in range(20)]
    for table in case["source_tables"]:
        kind = physical_columns(table["schema"])
        rows = [plain_row(row, kind) for row in table["rows"]]
        share = -(-len(rows) // len(steps))
        for i, step in enumerate(steps):
            part = rows[i * share : (i + 1) * share]
            if part:
                step.append(Rows(table["name"], tuple(part)))
    return steps
