"""`flowsql`: arguments, exit codes, and how errors are shown."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence

from flowsql import __version__
from flowsql.errors import ConfigError, FlowSQLError, InternalError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives its exit code.

    0 finished or stopped, 1 a job failed, 2 bad SQL or option, 3 a preflight check failed,
    130 interrupted twice.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help(sys.stderr)
        return 2
    try:
        return _run(options)
    except FlowSQLError as error:
        return _failed(error, debug=options.debug)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain again when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001 - a user gets a message, whatever happened
        unexpected = InternalError(
            f"unexpected {type(error).__name__}: {error}",
            hint="Please report it with the output of --debug.",
        )
        unexpected.__cause__ = error
        return _failed(unexpected, debug=options.debug)


def _failed(error: FlowSQLError, *, debug: bool) -> int:
    if debug:
        traceback.print_exception(error)
    print(error, file=sys.stderr)
    return error.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="flowsql", description="Flink SQL in one Python process.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"flowsql {__version__}")
    parser.set_defaults(debug=False)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    run = commands.add_parser("run", help="run every statement of a file", allow_abbrev=False)
    _add_file(run)
    start = run.add_mutually_exclusive_group()
    start.add_argument(
        "--from",
        dest="start",
        metavar="latest|PATH",
        default="latest",
        help="checkpoint or savepoint to start from; default: the latest, if there is one",
    )
    start.add_argument("--fresh", action="store_true", help="begin anew, without a checkpoint")

    explain = commands.add_parser("explain", help="show the plans of a file", allow_abbrev=False)
    _add_file(explain)

    status = commands.add_parser("status", help="show jobs", allow_abbrev=False)
    _add_job(status, required=False)
    status.add_argument("--json", action="store_true", help="all that is known, as JSON")

    stop = commands.add_parser("stop", help="end a job with a last checkpoint", allow_abbrev=False)
    _add_job(stop, required=True)
    stop.add_argument(
        "--drain", action="store_true", help="let event time end first: every window is given"
    )
    for command in (run, explain, status, stop):
        command.add_argument("--debug", action="store_true", help="show stack traces")
    return parser


def _add_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", help="SQL statements; '-' for standard input")
    parser.add_argument(
        "-D",
        dest="settings",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="a setting, as SET 'KEY' = 'VALUE' in front of the file",
    )


def _add_job(parser: argparse.ArgumentParser, *, required: bool) -> None:
    parser.add_argument("job", nargs=None if required else "?", help="the job's id")
    parser.add_argument(
        "--dir",
        default=".flowsql",
        help="folder of the jobs (execution.checkpointing.dir); default: ./.flowsql",
    )


def _run(options: argparse.Namespace) -> int:
    # Each command is loaded when it is wanted: `--help` must not wait for Arrow.
    match options.command:
        case "run" | "explain":
            from flowsql.cli.run import explain_file, run_file  # noqa: PLC0415

            settings = dict(_setting(text) for text in options.settings)
            if options.command == "explain":
                return explain_file(options.file, settings)
            if options.start != "latest":
                settings["execution.state-recovery.path"] = options.start
            return run_file(options.file, settings, fresh=options.fresh, debug=options.debug)
        case "status":
            from flowsql.cli.control import show_status  # noqa: PLC0415

            return show_status(options.dir, options.job, as_json=options.json)
        case _:
            from flowsql.cli.control import stop_job  # noqa: PLC0415

            return stop_job(options.dir, options.job, drain=options.drain)


def _setting(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator:
        raise ConfigError(f'"-D {text}" has no value', hint="Write -D key=value.")
    return key.strip(), value.strip()


if __name__ == "__main__":
    sys.exit(main())
