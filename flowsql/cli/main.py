"""`flowsql`: arguments, exit codes, and how errors are shown."""

from __future__ import annotations

import argparse
import contextlib
import errno
import gc
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType
from typing import NoReturn

from flowsql.cli.console import Console
from flowsql.errors import ConfigError, ConnectorError, FlowSQLError, InternalError
from flowsql.version import __version__

__all__ = ["main"]

# Nothing more can be written, whoever is asked.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_RUN_RULES = """\
A job's id is its 'pipeline.name', else the file's name and a number: job.sql has job-1, job-2, ...;
statements from standard input have stdin-<hash of the text>-1, ...

Where a job starts: a job that was stopped, failed or was killed goes on from its last checkpoint. One
that finished, or was stopped with --drain, begins a new run: it reads all input again and adds its
rows to what the target tables hold. --from latest never does that: of several jobs of a file it
starts those that are not finished and leaves the others; if all are finished, it refuses. --fresh
begins a new run in either case; after a stop it is refused while an exactly-once target holds rows of
the run left behind.

Ctrl-C, SIGTERM or a terminal that is closed stops the jobs with a last checkpoint (nohup keeps them
running); a second signal, a second or more later, ends the process at once. Exit codes: 0 finished or stopped, 1 a job failed or was stopped without a last
checkpoint, 2 bad SQL or option, 3 a check before the start failed, 130 or 143 ended at once.

Before a job starts its connectors look for what they would fail at, as far as that takes
milliseconds; "flowsql check" looks at everything.
"""

_CHECK_RULES = """\
Every statement is planned, and whatever the plans read or write is asked: is it there, may it be read
or written, does it hold what the tables say? All that is found is listed, each with what mends it.
Nothing is changed and nothing is started. Exit codes: 0 nothing stands in the way, warnings and notes
apart; 2 bad SQL or option, 3 something does.
"""

_SLOTS_RULES = """\
The servers are those of the tables that the file declares; nothing of it is run. A slot makes its server
keep all of its log from where the slot stands, until the job that reads it goes on: what no job goes on
with fills the server's disk. Shown are the slots that the tables name, those that jobs of the folder
stand in, and those of queries that run.
"""

_SHELL_RULES = """\
flowsql                            a prompt, on a terminal
flowsql -e "SELECT 1"              one or more statements
flowsql --format csv < file.sql    statements through a pipe

Jobs that -e starts are called sql-<hash of the text>-1, ... unless 'pipeline.name' names them.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives its exit code.

    0 finished or stopped, 1 a job failed, 2 bad SQL or option, 3 a connector's check before the
    start failed, 130 or 143 ended at once by SIGINT or SIGTERM.
    """
    if arguments is None:
        # Nothing that is being loaded is garbage; `tune` turns the collector on again.
        gc.disable()
    with _ending_at_once(own_process=arguments is None):
        parser = _parser()
        options = parser.parse_args(arguments)
        if options.command is not None and (wrong := _shell_options(options)):
            parser.error(parser.misplaced(wrong, options.command))
        return _guarded(options)


def _guarded(options: argparse.Namespace) -> int:
    try:
        code = _run(options)
        sys.stdout.flush()
        return code
    except FlowSQLError as error:
        return _failed(error, debug=options.debug)
    except KeyboardInterrupt as interrupt:
        print("flowsql: interrupted, no job was running", file=sys.stderr)
        return 128 + (interrupt.args[0] if interrupt.args else signal.SIGINT)
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain again when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno not in _FULL or error.filename is not None:
            return _unexpected(error, debug=options.debug)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        full = ConnectorError(f"standard output cannot be written: {error.strerror}")
        return _failed(full, debug=options.debug)
    except Exception as error:  # noqa: BLE001 - a user gets a message, whatever happened
        return _unexpected(error, debug=options.debug)


def _unexpected(error: Exception, *, debug: bool) -> int:
    told = InternalError(
        f"unexpected {type(error).__name__}: {error}",
        hint="Please report it with the output of --debug.",
    )
    told.__cause__ = error
    return _failed(told, debug=debug)


@contextlib.contextmanager
def _ending_at_once(*, own_process: bool) -> Iterator[None]:
    """Until a command has handlers of its own, a signal ends the process with one line.

    Nothing runs yet: what is being imported or planned need not be unwound.

    Args:
        own_process: it ends right behind: a signal that comes then changes nothing any more.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        del frame
        os.write(2, b"flowsql: interrupted, no job was running\n")
        os._exit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if own_process else handler)


def _failed(error: FlowSQLError, *, debug: bool) -> int:
    if debug:
        traceback.print_exception(error)
    Console().fail(error)
    return error.exit_code


class _Parser(argparse.ArgumentParser):
    """Names the command where a file stands in its place.

    Attributes:
        commands: by their names.
    """

    commands: Mapping[str, argparse.ArgumentParser]

    def error(self, message: str) -> NoReturn:
        if file := re.search(r"invalid choice: '(.+\.sql)'", message):
            message = f"{file[1]!r} is no command; a file is run by: flowsql run {file[1]}"
        super().error(message)

    def misplaced(self, option: str, command: str) -> str:
        """What is wrong with an option of the prompt that stands before a command."""
        if f"[{option}" in self.commands[command].format_usage():
            return f"{option} stands behind the command: flowsql {command} {option} …"
        return f"{option} is not for {command!r}"


def _parser() -> _Parser:
    parser = _Parser(
        prog="flowsql",
        description="Flink SQL in one Python process. Without a command: a prompt, or the statements "
        "that come through a pipe.",
        epilog=_SHELL_RULES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"flowsql {__version__}")
    parser.set_defaults(debug=False)
    parser.add_argument("-e", dest="statements", metavar="SQL", help="run these statements")
    parser.add_argument(
        "--format",
        choices=("table", "csv", "json"),
        help="of results, with -e or through a pipe; json: an object a line",
    )
    parser.add_argument(
        "-i", dest="init", metavar="FILE", help="run these statements before the prompt"
    )
    parser.add_argument(
        "-D",
        dest="shell_settings",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="a setting of the session",
    )
    parser.add_argument(
        "--debug", dest="shell_debug", action="store_true", help="show stack traces"
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    parser.commands = commands.choices

    run = commands.add_parser(
        "run",
        help="run every statement of a file",
        epilog=_RUN_RULES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_file(run)
    start = run.add_mutually_exclusive_group()
    start.add_argument(
        "--from",
        dest="start",
        metavar="latest|PATH",
        help="checkpoint or savepoint to start from; latest: go on, and begin no new run",
    )
    start.add_argument("--fresh", action="store_true", help="begin anew, without a checkpoint")

    run.add_argument(
        "-q",
        "--quiet",
        action="store_true",
        help="neither plan nor status lines: of the log only warnings and errors",
    )

    explain = commands.add_parser("explain", help="show the plans of a file", allow_abbrev=False)
    _add_file(explain)

    check = commands.add_parser(
        "check",
        help="connect to all that a file names, and tell what stands in the way of it",
        epilog=_CHECK_RULES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_file(check)

    status = commands.add_parser("status", help="show jobs", allow_abbrev=False)
    _add_job(status, required=False)
    status.add_argument("--json", action="store_true", help="all that is known, as JSON")

    _add_slots(commands)

    stop = commands.add_parser("stop", help="end a job with a last checkpoint", allow_abbrev=False)
    _add_job(stop, required=True)
    stop.add_argument(
        "--drain", action="store_true", help="let event time end first: every window is given"
    )
    stop.add_argument(
        "--savepointPath",
        dest="savepoint",
        metavar="PATH",
        nargs="?",
        const=True,
        help="keep a copy of the last checkpoint, in a new folder PATH or where 'savepoint' puts it",
    )

    save = commands.add_parser(
        "savepoint", help="take a checkpoint of a running job and keep it", allow_abbrev=False
    )
    _add_job(save, required=True)
    save.add_argument(
        "path",
        nargs="?",
        metavar="PATH",
        help="new folder; default: one of its own in execution.checkpointing.savepoint-dir, or in "
        "'savepoints' of the job's folder",
    )
    for command in (run, explain, check, status, stop, save):
        command.add_argument("--debug", action="store_true", help="show stack traces")
    return parser


def _add_slots(commands: argparse._SubParsersAction[_Parser]) -> None:
    slots = commands.add_parser(
        "slots",
        help="show what servers keep of their logs for jobs, or make them let go",
        epilog=_SLOTS_RULES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    actions = slots.add_subparsers(dest="action", metavar="list|drop", required=True)
    shown = actions.add_parser("list", help="show the slots", allow_abbrev=False)
    dropped = actions.add_parser("drop", help="drop a slot", allow_abbrev=False)
    for action in (shown, dropped):
        _add_file(action)
        action.add_argument(
            "--dir", help="folder of the jobs; default: where the file's settings put them"
        )
        action.add_argument("--debug", action="store_true", help="show stack traces")
    dropped.add_argument("slot", metavar="SLOT", help="its name")
    dropped.add_argument(
        "--force", action="store_true", help="also where a job would go on with it"
    )


def _shell_options(options: argparse.Namespace) -> str | None:
    """The first option given that has no meaning with a command."""
    given = {
        "-e": options.statements,
        "--format": options.format,
        "-i": options.init,
        "-D": options.shell_settings,
        "--debug": options.shell_debug,
    }
    return next((name for name, value in given.items() if value), None)


def _add_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", help="SQL statements; '-' for standard input")
    parser.add_argument(
        "-D",
        dest="settings",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="a setting of the session; a SET in the file wins, RESET brings this one back",
    )


def _add_job(parser: argparse.ArgumentParser, *, required: bool) -> None:
    parser.add_argument("job", metavar="JOB", nargs=None if required else "?", help="the job's id")
    parser.add_argument(
        "--dir",
        default=".flowsql",
        help="folder of the jobs (execution.checkpointing.dir); default: ./.flowsql",
    )


def _run(options: argparse.Namespace) -> int:
    # Each command is loaded when it is wanted: `--help` must not wait for Arrow.
    match options.command:
        case None:
            return _shell(options)
        case "run" | "explain" | "check":
            from flowsql.cli.run import explain_file, run_file  # noqa: PLC0415

            settings = dict(_setting(text) for text in options.settings)
            if options.command == "check":
                from flowsql.cli.check import check_file  # noqa: PLC0415

                return check_file(options.file, settings)
            if options.command == "explain":
                return explain_file(options.file, settings)
            return run_file(
                options.file,
                settings,
                start=options.start,
                fresh=options.fresh,
                debug=options.debug,
                quiet=options.quiet,
            )
        case "slots":
            from flowsql.cli.slots import drop_slot, list_slots  # noqa: PLC0415

            settings = dict(_setting(text) for text in options.settings)
            if options.action == "list":
                return list_slots(options.file, settings, options.dir)
            return drop_slot(options.file, options.slot, settings, options.dir, force=options.force)
        case "status":
            from flowsql.cli.control import show_status  # noqa: PLC0415

            return show_status(options.dir, options.job, as_json=options.json)
        case "savepoint":
            from flowsql.cli.control import save_job  # noqa: PLC0415

            return save_job(options.dir, options.job, options.path)
        case _:
            from flowsql.cli.control import stop_job  # noqa: PLC0415

            return stop_job(
                options.dir, options.job, drain=options.drain, savepoint=options.savepoint
            )


def _shell(options: argparse.Namespace) -> int:
    """Without a command: statements of the command line or of a pipe, else the prompt."""
    options.debug = options.shell_debug
    if "" not in sys.path:
        sys.path.append("")  # modules of Python functions in the current folder
    settings = dict(_setting(text) for text in options.shell_settings)
    form = options.format or "table"
    piped = options.statements is not None or not (sys.stdin.isatty() and sys.stdout.isatty())
    if not piped:
        if options.format is not None:
            raise ConfigError(
                "--format is for -e and pipes",
                hint="At the prompt, SET 'sql-client.execution.result-mode' says how results look.",
            )
        from flowsql.cli.repl.prompt import run_prompt  # noqa: PLC0415

        return run_prompt(settings, init=options.init, debug=options.debug)
    if options.init is not None:
        raise ConfigError(
            "-i is for the prompt", hint="Write SOURCE 'file'; in front of the statements."
        )
    from flowsql.cli.run import run_file, run_text  # noqa: PLC0415

    if options.statements is None:
        return run_file("-", settings, debug=options.debug, form=form)
    return run_text(options.statements, None, settings, debug=options.debug, form=form)


def _setting(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator:
        raise ConfigError(f'"-D {text}" has no value', hint="Write -D key=value.")
    return key.strip(), value.strip()


if __name__ == "__main__":
    sys.exit(main())
