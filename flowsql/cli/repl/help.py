"""What `HELP` says, and the short commands that begin with a backslash."""

from __future__ import annotations

__all__ = ["HELP", "SHORT"]

HELP = """\
A statement ends at ";" and may have several lines; Alt-Enter runs it without one.
SQL is Apache Flink's: CREATE TABLE, INSERT INTO, SELECT, EXPLAIN, SHOW, DESCRIBE, SET ...

  SOURCE 'file.sql';    run the statements of a file
  HELP; CLEAR; QUIT;    this text; an empty screen; leave (also Ctrl-D)
  \\d [NAME]             tables and views, or the columns of one
  \\df [PATTERN]         functions; \\df json: those with "json" in their name
  \\j                    jobs that INSERT started
  \\s                    settings

  Tab                   what may come next       Up, Ctrl-R     earlier statements
  Ctrl-C                ends the query that runs, or forgets the line

  SET 'sql-client.execution.result-mode' = 'table';       rows that are kept up to date
                                           'changelog'     every change
                                           'tableau'       plain text
  SET 'execution.runtime-mode' = 'batch';                  bounded tables, computed once

A job of an INSERT runs until it is over, or until you leave: then it is stopped with a checkpoint."""

SHORT = {
    "\\?": "HELP",
    "\\h": "HELP",
    "\\q": "QUIT",
    "\\d": "SHOW TABLES",
    "\\dt": "SHOW TABLES",
    "\\dv": "SHOW VIEWS",
    "\\s": "SET",
}
