"""The options of the postgres-cdc connector."""

from __future__ import annotations

from typing import Final

from flowsql.connector import Option, OptionType

__all__ = ["OPTIONS"]

_NO_EFFECT: Final = "Accepted for Flink's sake: without effect here."

OPTIONS: Final = (
    Option(
        "hostname",
        OptionType.STRING,
        "The server's name or address, or the folder of its socket.",
        required=True,
        identifying=True,
    ),
    Option("port", OptionType.INT, "The server's port.", default=5432, identifying=True),
    Option(
        "username",
        OptionType.STRING,
        "The role to connect as; it needs REPLICATION, and SELECT on the tables.",
        required=True,
    ),
    Option(
        "password",
        OptionType.STRING,
        "The role's password; Flink demands one, here it may be left out where the server asks"
        " for none.",
        secret=True,
    ),
    Option("database-name", OptionType.STRING, "The database.", required=True, identifying=True),
    Option(
        "schema-name",
        OptionType.STRING,
        "A regular expression that the whole name of the table's schema matches.",
        required=True,
        identifying=True,
    ),
    Option(
        "table-name",
        OptionType.STRING,
        "A regular expression that the whole name of the table matches; all that match are read.",
        required=True,
        identifying=True,
    ),
    Option(
        "slot.name",
        OptionType.STRING,
        "The replication slot, which keeps the log for this job: lower case letters, digits and"
        " underscores. Tables of a job with one slot are read as one. What takes no checkpoints"
        " (a SELECT) uses a temporary slot of another name.",
        required=True,
        identifying=True,
    ),
    Option(
        "decoding.plugin.name",
        OptionType.ENUM,
        "How the server writes the log; pgoutput is part of every server.",
        default="pgoutput",
        flink_default="decoderbufs",
        choices=("pgoutput",),
    ),
    Option(
        "changelog-mode",
        OptionType.ENUM,
        "Whole updates, which need REPLICA IDENTITY FULL for updates and deletes; or the last row"
        " of a primary key, which is kept here where a query needs the rows before.",
        default="all",
        choices=("all", "upsert"),
        identifying=True,
    ),
    Option(
        "scan.startup.mode",
        OptionType.ENUM,
        "The rows that are there and then all changes; the rows that are there; the changes from"
        " now on; or those that the slot still keeps.",
        default="initial",
        choices=("initial", "snapshot", "latest-offset", "committed-offset"),
    ),
    Option(
        "scan.truncate",
        OptionType.ENUM,
        "What TRUNCATE of a table does where its rows are not kept here by their key (mode upsert,"
        " read by a query that needs the rows before): ends the job, or nothing (its rows stay)."
        " Where they are kept, all of them are taken back. So too what a partition does that is"
        " dropped, detached or truncated by itself, whoever keeps its rows.",
        default="fail",
        choices=("fail", "ignore"),
    ),
    Option(
        "scan.schema-change",
        OptionType.ENUM,
        "What a column that is added, dropped, renamed or retyped does: ends the job, or nothing"
        " as long as every declared column can still be read as declared.",
        default="fail",
        choices=("fail", "ignore"),
    ),
    Option(
        "scan.wal-lag-budget",
        OptionType.MEMORY,
        "How much of its log the server may keep for the slot; not set: as much as it takes.",
    ),
    Option(
        "scan.wal-lag-budget.exceeded",
        OptionType.ENUM,
        "What happens where it keeps more: that is said, once each time; or the job ends. A start"
        " that finds more waits until it has been read.",
        default="warn",
        choices=("warn", "fail"),
    ),
    Option(
        "heartbeat.interval.ms",
        OptionType.DURATION,
        "How often the position moves on while none of the tables changes.",
        default=30_000,
    ),
    Option(
        "scan.incremental.snapshot.enabled",
        OptionType.BOOLEAN,
        "The rows that are there are always read in chunks, by several readers.",
        default=True,
        flink_default="false",
    ),
    Option(
        "scan.incremental.snapshot.chunk.size",
        OptionType.INT,
        "About how many rows a chunk has; not set: as many as take 16 MiB in the server, at most"
        " 131072.",
        flink_default="8096",
    ),
    Option(
        "scan.incremental.snapshot.chunk.key-column",
        OptionType.STRING,
        "A column of the primary key to cut chunks by; not set: its first one.",
    ),
    Option(
        "chunk-key.even-distribution.factor.upper-bound",
        OptionType.FLOAT,
        "Up to so many values a row whole numbers are cut into ranges of one width.",
        default=1000.0,
    ),
    Option(
        "chunk-key.even-distribution.factor.lower-bound",
        OptionType.FLOAT,
        "From so many values a row on whole numbers are cut into ranges of one width.",
        default=0.05,
    ),
    Option(
        "connect.timeout",
        OptionType.DURATION,
        "How long one attempt to connect may take.",
        default=30_000,
    ),
    Option(
        "connect.max-retries",
        OptionType.INT,
        "How often a failed first connection is tried again.",
        default=3,
    ),
    Option(
        "scan.read-changelog-as-append-only.enabled",
        OptionType.BOOLEAN,
        "Every change is a row that is added; metadata column row_kind tells what it was.",
        default=False,
        identifying=True,
    ),
    Option(
        "scan.include-partitioned-tables.enabled",
        OptionType.BOOLEAN,
        "Partitioned tables are always read, by the name of the whole.",
        default=True,
        flink_default="false",
    ),
    Option(
        "scan.lsn-commit.checkpoints-num-delay",
        OptionType.INT,
        "How many checkpoints the slot stays behind the oldest one that is kept, so that savepoints"
        " of them can be started from.",
        default=0,
        flink_default="3",
    ),
    Option(
        "debezium.publication.name",
        OptionType.STRING,
        "The publication that names the tables to the server.",
        default="dbz_publication",
    ),
    Option(
        "debezium.publication.autocreate.mode",
        OptionType.ENUM,
        "What is done about the publication: it is made or extended for the tables of the job;"
        " made for all tables, which only a superuser may; or it must be there.",
        default="filtered",
        flink_default="all_tables",
        choices=("filtered", "all_tables", "disabled"),
    ),
    Option(
        "debezium.database.sslmode",
        OptionType.ENUM,
        "Whether the connection is encrypted, and what is verified.",
        default="prefer",
        choices=("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    ),
    Option(
        "debezium.database.sslrootcert",
        OptionType.STRING,
        "A file with the certificates of authorities that are trusted.",
    ),
    Option("debezium.database.sslcert", OptionType.STRING, "A file with our own certificate."),
    Option("debezium.database.sslkey", OptionType.STRING, "A file with its key."),
    Option(
        "debezium.slot.drop.on.stop",
        OptionType.BOOLEAN,
        "A slot that a job made stays: it keeps the changes for the next start.",
        default=False,
        refused=True,
    ),
    Option(
        "scan.newly-added-table.enabled",
        OptionType.BOOLEAN,
        "Which tables are read is decided at the first start.",
        refused=True,
    ),
    Option("scan.snapshot.fetch.size", OptionType.INT, _NO_EFFECT, default=1024),
    Option("chunk-meta.group.size", OptionType.INT, _NO_EFFECT, default=1000),
    Option("connection.pool.size", OptionType.INT, _NO_EFFECT, default=20),
    Option(
        "scan.incremental.close-idle-reader.enabled",
        OptionType.BOOLEAN,
        "Accepted for Flink's sake: readers of chunks let go of their connections at the end.",
        default=True,
        flink_default="false",
    ),
    Option(
        "scan.incremental.snapshot.backfill.skip",
        OptionType.BOOLEAN,
        "Accepted for Flink's sake: chunks need no second reading of the log.",
        default=False,
    ),
    Option(
        "scan.incremental.snapshot.unbounded-chunk-first.enabled",
        OptionType.BOOLEAN,
        _NO_EFFECT,
        default=True,
    ),
    # Behind all that are known: whatever else it is, it is named and not passed over.
    Option(
        "debezium.#",
        OptionType.STRING,
        "Debezium is not used; its options that have a meaning here are listed by name.",
        refused=True,
    ),
)
