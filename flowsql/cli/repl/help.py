"""What `HELP` says, and the short commands that begin with a backslash."""

from __future__ import annotations

__all__ = ["HELP", "SHORT"]

HELP = """\
A statement ends at ";" and may have several lines; Alt-Enter runs it without.
SQL is Apache Flink's: CREATE TABLE, INSERT INTO, SELECT, EXPLAIN, SHOW, SET ...

  SOURCE 'file.sql';   run the statements of a file
  HELP; CLEAR; QUIT;   this text; an empty screen; leave (also Ctrl-D)
  \\d [NAME]            tables and views, or the columns of one
  \\dv                  views
  \\df [PART]           functions; \\df json: those with "json" in their name
  \\j                   jobs that INSERT started
  \\s                   settings that were SET
  \\x                   results one column a line: on and off
  \\?                   this text, as HELP

  Tab                  what may come next
  Up, Ctrl-R           earlier statements, looked for
  Ctrl-X Ctrl-E        the statement in $EDITOR
  Ctrl-C               ends the query that runs, or forgets the line

SET 'sql-client.execution.result-mode' says how the rows of a query are shown:
'table' keeps them up to date, 'changelog' shows every change, 'tableau' is
plain text. SET 'execution.runtime-mode' = 'batch' computes bounded tables once.

The job of an INSERT runs until it is over, or until you leave: then it is
stopped with a checkpoint."""

SHORT = {
    "\\?": "HELP",
    "\\h": "HELP",
    "\\q": "QUIT",
    "\\d": "SHOW TABLES",
    "\\dt": "SHOW TABLES",
    "\\dv": "SHOW VIEWS",
    "\\s": "SET",
}
