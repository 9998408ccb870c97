"""Files in a folder, read and written.

    CREATE TABLE bid (
      auction BIGINT, price BIGINT, ts TIMESTAMP(3), dt STRING
    ) PARTITIONED BY (dt) WITH (
      'connector' = 'filesystem',
      'path' = '/data/bids',
      'format' = 'parquet',
      'source.monitor-interval' = '1s'
    );

| role | guarantee |
| --- | --- |
| scan | replayable: a file is read again from any row |
| sink | exactly-once: files are renamed into place when their checkpoint is complete |

**Which files.** All files of the folder and of the folders below it, links followed, in the order of
their modification time, then name. A file or folder whose name begins with `.` or `_` is not there;
nor is one whose absolute path `source.path.regex-pattern` does not match. The path may also be one
file. A file must hold nothing but the table's records: a CSV header is a record like any other.

**Watched folders.** With `source.monitor-interval` the folder is searched for new files at that
interval and the scan never ends. Write a file under a name that begins with `.` or `_`, in the
same folder, and rename it when it is complete: it is read at the next look, whole. A file that is
written in place is waited for until its size and time stood still for one interval; should the
writer pause for longer, the job ends with an error, as it does when a file changes after it was
read: each file is read once, and rows added to it would be lost. Bring new rows in new files. A
file that was read may be removed; one that was read in part must stay until it is read.

**Partitions.** PARTITIONED BY columns are not in the files but in the names of their folders,
in the order of the clause: `dt=2020-01-05/kind=a%2Fb/`. Characters that do not go into a name are
written as `%XX`; NULL and empty text as `partition.default-name`. A file in another folder is
refused. `INSERT INTO t PARTITION (dt = '…') SELECT …` gives the query's rows the values that the query
leaves out; `SHOW PARTITIONS t` lists the folders.

**What is not read.** A condition that reads partition columns (`WHERE dt = '2020-01-05'`) decides which
folders are looked into; of Parquet files, row groups are passed over in which no row can fulfil the conditions, by
the smallest and largest values in the file's footer. So a file in another partition is never seen, be it
damaged or its records bad, and a bad value in such a row group fails no job. Where the table's event
time is read in streaming mode, all rows are read, for each raises the watermark.

**Sink.** Rows go to files in `<path>/.flowsql/<job>@<table>/`, where readers do not look, and are
renamed to `<path>/part-<run>-<attempt>-<checkpoint>-<opening>-<n>.<format>` when their checkpoint is
complete. `.flowsql` also holds the marker `committed.json`, by which a restart knows what the
folder has: remove it only together with the rows, and while no job runs. The path must be a folder
or one that can be made. Only inserts are taken, but for formats of changes.

**Complete partitions.** With `'sink.partition-commit.policy.kind' = 'success-file'` an empty file `_SUCCESS` is put into each partition
that is complete, in the same commit as its last rows or a later one. With the trigger `process-time` (default) that is
when the partition is `sink.partition-commit.delay` old; with `partition-time` when the watermark has passed the time that
the partition names and the delay: `'1 h'` for `PARTITIONED BY (dt, hour)` with the pattern `$dt $hour:00:00`. Where event time is a
TIMESTAMP_LTZ, `sink.partition-commit.watermark-time-zone` says whose days these are. At the end of the input all
partitions are complete. Rows that come later are written all the same, and the file again behind them. What waits is in the
checkpoint: no restart forgets a partition or marks it too early.

**Changes.** With a format of changes (`debezium-json`) a sink takes every change, and a scan gives them back:
a changelog is recorded in files and read again. Its order counts, so files are read one after the other by one
reader, in the order of their path within the folder, numbers in it by their value (`9.json` before
`10.json`), whatever their modification time. The sink's files begin with a number that rises,
`part-<number>-<run>-…`. In a watched folder nothing is read behind a file that is still being written; a
file whose name sorts before one that was read ends the job. In partitioned tables that order is one within
each partition; partition columns must be in the PRIMARY KEY, if there is one, as a row that moves to another
partition could be read there before it leaves its own. Two jobs that write to one folder at once keep no order
between them. The format's metadata can be read beside the files'.

**INSERT OVERWRITE** (batch mode) puts the new files in place and then removes the old ones, of the
whole table, or of each partition that gets rows. A process that dies in between leaves both; its
restart removes the old ones.
"""

from __future__ import annotations

from flowsql_connectors.filesystem.connector import FilesystemConnector

__all__ = ["CONNECTOR"]

CONNECTOR = FilesystemConnector()
