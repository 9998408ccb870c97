"""What Apache Flink answered, case by case.

The cases are no part of this repository: `FLOWSQL_CASES` names their folder. Shares of agreement
stand in `shares.json` and only rise. What differs is listed in the report file that the last line
names; `FLOWSQL_CASES_REPORT` moves it. `FLOWSQL_CASES_ONLY=<part of file and name>` runs some of them,
`FLOWSQL_CASES_RAISE=1` writes the shares that are reached.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.cases.judge import Verdict, Word
from tests.cases.worker import known_files, load, other_files, run_all

SHARES = Path(__file__).with_name("shares.json")
REPORT = Path(os.environ.get("FLOWSQL_CASES_REPORT", "build/cases-report.txt"))


def _folder() -> Path:
    name = os.environ.get("FLOWSQL_CASES")
    if not name:
        pytest.skip("FLOWSQL_CASES names no folder of recorded cases")
    return Path(name)


# Processing time, and rows that tie: no one answer.
_NEXMARK_OUT = {"q12", "q18", "q19"}


def _in_scope(scope: dict[str, str] | None, kind: str, case: dict[str, Any]) -> bool:
    """What the folder says; it says nothing of the benchmark's queries."""
    if scope is not None and case["name"] in scope:
        return scope[case["name"]] == "in"
    if kind == "nexmark":
        return case["query"] not in _NEXMARK_OUT
    return scope is None


def _line(counted: Counter[tuple[bool, Word]]) -> str:
    inside = {word: counted[True, word] for word in Word}
    scope = sum(inside.values())
    percent = 100 * inside[Word.AGREE] / scope if scope else 0.0
    return (
        f"agree {inside[Word.AGREE]} of {scope} in scope ({percent:.1f} %), "
        f"{inside[Word.WRONG]} wrong rows, {inside[Word.REFUSED]} refused"
    )


def _report(path: Path, judged: dict[str, list[tuple[str, bool, Verdict]]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as report:
        for word in (Word.WRONG, Word.REFUSED):
            for file, verdicts in judged.items():
                for name, inside, verdict in verdicts:
                    if verdict.word is word:
                        where = "" if inside else " (not in scope)"
                        report.write(f"{word.value.upper()} {file} {name}{where}\n")
                        report.write("".join(f"  {s}\n" for s in verdict.why.splitlines()) + "\n")


def _digest(names: Iterable[str]) -> str:
    """Tells one set of cases from another."""
    return hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()[:16]


def _raise_shares(
    committed: dict[str, dict[str, Any]],
    judged: dict[str, list[tuple[str, bool, Verdict]]],
    shares: dict[str, float],
) -> None:
    """Writes the shares that are now reached; none falls."""
    for file, verdicts in judged.items():
        cases = _digest(name for name, _, _ in verdicts)
        before = committed.get(file, {})
        least = before["share"] if before.get("cases") == cases else 0.0
        reached = max(least, math.floor(shares[file] * 10_000) / 10_000)
        committed[file] = {"cases": cases, "share": reached}
    SHARES.write_text(json.dumps(committed, indent=2, sort_keys=True) + "\n")


@pytest.mark.timeout(1200)
def test_agreement_with_flink(record_cases_line: Any) -> None:
    """We agree with Flink in at least the share of cases that is committed."""
    folder = _folder()
    scope_file = folder / "scope.json"
    about: dict[str, Any] = json.loads(scope_file.read_text()) if scope_file.exists() else {}
    scope, tokens = about.get("scope"), about.get("error_tokens", {})
    only = os.environ.get("FLOWSQL_CASES_ONLY", "")
    known, others = known_files(folder), other_files(folder)
    tasks, owners = [], []
    for kind, path in known + others:
        for case in load(path):
            name = case["name"]
            if only not in f"{path.name} {name}":
                continue
            inside = _in_scope(scope, kind, case)
            tasks.append((kind, case, path.parent, tokens.get(name, ())))
            owners.append((path.relative_to(folder).as_posix(), name, inside))
    judged: dict[str, list[tuple[str, bool, Verdict]]] = {}
    for (file, name, inside), verdict in zip(owners, run_all(tasks), strict=True):
        judged.setdefault(file, []).append((name, inside, verdict))
    total: Counter[tuple[bool, Word]] = Counter()
    shares: dict[str, float] = {}
    for file, verdicts in judged.items():
        counted = Counter((inside, verdict.word) for _, inside, verdict in verdicts)
        total += counted
        agreed = sum(n for (_, word), n in counted.items() if word is Word.AGREE)
        record_cases_line(f"{file}: {_line(counted)}; {agreed} of {len(verdicts)} in file")
        in_scope = sum(n for (inside, _), n in counted.items() if inside)
        shares[file] = counted[True, Word.AGREE] / in_scope if in_scope else 0.0
    _report(REPORT, judged)
    record_cases_line(f"differences are listed in {REPORT}")
    record_cases_line(_line(total))
    if only:
        return
    committed: dict[str, dict[str, Any]] = json.loads(SHARES.read_text())
    fallen = {}
    for file, verdicts in judged.items():
        known_as = committed.get(file, {})
        if known_as.get("cases") != _digest(name for name, _, _ in verdicts):
            continue  # another set of cases: only reported
        if shares[file] < known_as["share"]:
            fallen[file] = f"{shares[file]:.4f} < {known_as['share']}"
    if os.environ.get("FLOWSQL_CASES_RAISE"):
        _raise_shares(committed, judged, shares)
    assert fallen == {}, "shares of agreement fell"
