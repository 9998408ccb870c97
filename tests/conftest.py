"""Script files are tests: each runs in every variant, `--rewrite` writes what it answers.

Here too: what workers of `pytest -n` are given, and lines that are shown at the end of the run.
"""

from __future__ import annotations

import difflib
import gc
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.services.fixtures import (  # noqa: F401 (fixtures of every test)
    postgres,
    postgres_servers,
    postgres_version,
)
from tests.support.workers import Scheduling, how_many, longest_first

# Every process that tests start would else compile what it imports: seconds each.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

ROOT = Path(__file__).parent
# The tests' own connectors are found as everybody's are: through entry points.
sys.path.insert(0, str(ROOT / "support" / "plugin"))

_CASES_LINE = "recorded cases"

# How long examples take to make says how much else the machine does, not what the code is worth.
hypothesis.settings.register_profile(
    "unhurried", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("unhurried")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The flag that turns answers into expectations."""
    parser.addoption(
        "--rewrite", action="store_true", help="write the actual output into script tests"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Nobody reviews what CI would write."""
    if config.getoption("--rewrite") and os.environ.get("CI"):
        raise pytest.UsageError("--rewrite is refused in CI: what scripts expect is reviewed")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A worker has the order in which the tests are handed out."""
    if hasattr(config, "workerinput"):
        longest_first(items)


def pytest_collection_finish() -> None:
    """What was imported and collected stays: looking for garbage in it again and again takes long."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """Libraries complain of what is still there when the interpreter ends."""
    gc.unfreeze()
    gc.collect()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """How many share the tests, unless a number is given."""
    return how_many()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    """How tests are handed out."""
    return Scheduling(config, log)


@pytest.fixture
def record_cases_line(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Takes a line for the end of the run; a property of the test, which a worker passes on."""
    return lambda line: record_property(_CASES_LINE, line)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The lines, behind everything else."""
    reports = [r for kind in terminalreporter.stats.values() for r in kind]
    lines = [
        value
        for report in reports
        if getattr(report, "when", None) == "call"
        for name, value in report.user_properties
        if name == _CASES_LINE
    ]
    if lines:
        terminalreporter.section("cases recorded from Apache Flink")
        for line in lines:
            terminalreporter.line(str(line))


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Script files, wherever they stand."""
    if file_path.suffix == ".script":
        return ScriptFile.from_parent(parent, path=file_path)
    return None


class ScriptMismatch(Exception):  # noqa: N818 (a report, not an error)
    """What a script answered otherwise; the message is the report."""


class ScriptFile(pytest.File):
    """One `.script`."""

    def collect(self) -> Iterator[pytest.Item]:
        from tests.support.scriptrun import ALL_VARIANTS, CANONICAL, VARIANTS

        variants = ALL_VARIANTS if os.environ.get("FLOWSQL_TEST_ALL") else VARIANTS
        for variant in [CANONICAL] if self.config.getoption("--rewrite") else variants:
            yield ScriptItem.from_parent(self, name=variant.name, variant=variant)


class ScriptItem(pytest.Item):
    """One script in one variant."""

    def __init__(self, *, variant: Any, **rest: Any) -> None:
        super().__init__(**rest)
        self.variant = variant

    def runtest(self) -> None:
        from tests.support.script import Script, parse, render
        from tests.support.scriptrun import run_script

        script = parse(self.path, self.path.read_text())
        answered = run_script(script, self.variant)
        if self.config.getoption("--rewrite"):
            self.path.write_text(render(Script(self.path, tuple(answered), script.tail)))
            return
        reports = []
        for asked, actual in zip(script.blocks, answered, strict=True):
            if asked.expected != actual.expected:
                diff = difflib.unified_diff(
                    asked.expected, actual.expected, "expected", "actual", lineterm="", n=9
                )
                place = f"{self.path}:{asked.line}: {asked.head}"
                reports.append("\n".join([place, *list(diff)[2:]]))
        if reports:
            raise ScriptMismatch("\n\n".join(reports))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, ScriptMismatch):
            return str(excinfo.value)
        return "".join(traceback.format_exception(excinfo.value, limit=-8))

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, 0, f"{self.path.name}[{self.name}]"
