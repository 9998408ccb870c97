"""The options of the iceberg connector and of catalogs of type `iceberg`."""

from __future__ import annotations

from typing import Final

from flowsql.connector import Option, OptionType, OptionValues

__all__ = [
    "CATALOG_OPTIONS",
    "LEAST",
    "MADE_WITH",
    "OPTIONS",
    "READ_OPTIONS",
    "STRATEGIES",
    "WRITE_OPTIONS",
    "upserts",
]

# Properties of every table that is made, unless it is said otherwise: a commit leaves no metadata
# of long ago behind.
MADE_WITH: Final = {"write.metadata.delete-after-commit.enabled": "true"}

_NO_EFFECT: Final = "Accepted for Flink's sake: without effect here."
_NO_STATISTICS: Final = "Accepted for Flink's sake: plans do not depend on statistics."

# What numbers have to be at least.
LEAST: Final = {
    "flink-maintenance.expire-snapshots.max-snapshot-age-seconds": 0,
    "flink-maintenance.expire-snapshots.retain-last": 1,
    "flink-maintenance.expire-snapshots.schedule.commit-count": 1,
    "flink-maintenance.expire-snapshots.schedule.interval-second": 0,
}

STRATEGIES: Final = (
    "table_scan_then_incremental",
    "incremental_from_latest_snapshot",
    "incremental_from_latest_snapshot_exclusive",
    "incremental_from_earliest_snapshot",
    "incremental_from_snapshot_id",
    "incremental_from_snapshot_timestamp",
)

CATALOG_OPTIONS: Final = (
    Option(
        "catalog-type",
        OptionType.ENUM,
        "Where the tables are looked up: a database (`jdbc`: SQLite or PostgreSQL), a REST server,"
        " a Hive metastore or AWS Glue. `hadoop` and `nessie` are Flink's, and refused.",
        default="jdbc",
        flink_default="hive",
        choices=("jdbc", "rest", "hive", "glue", "hadoop", "nessie"),
        identifying=True,
    ),
    Option(
        "uri",
        OptionType.STRING,
        "The catalog's address: `jdbc:sqlite:/path/catalog.db`, `jdbc:postgresql://host/database`,"
        " `http://host:8181`, `thrift://host:9083`. Left out with `jdbc` it is the SQLite file"
        " `catalog.db` in the warehouse.",
        identifying=True,
    ),
    Option(
        "warehouse",
        OptionType.STRING,
        "The folder or bucket in which tables are made that have no location of their own; of a"
        " REST server, the name of its warehouse.",
        identifying=True,
    ),
    Option("credential", OptionType.STRING, "`client-id:secret`, for REST.", secret=True),
    Option("token", OptionType.STRING, "A bearer token, for REST.", secret=True),
    Option("oauth2-server-uri", OptionType.STRING, "Where REST gets its token from."),
    Option("scope", OptionType.STRING, "The scope of the token that REST asks for."),
    Option("audience", OptionType.STRING, "The audience of the token that REST asks for."),
    Option("resource", OptionType.STRING, "The resource of the token that REST asks for."),
    Option("prefix", OptionType.STRING, "Stands in front of the paths of a REST server."),
    Option("header.#", OptionType.STRING, "A header of every request to REST.", secret=True),
    Option(
        "rest.#",
        OptionType.STRING,
        "Settings of REST: `rest.sigv4-enabled`, `rest.signing-region` and others.",
    ),
    Option("jdbc.user", OptionType.STRING, "The role that a `jdbc` catalog connects as."),
    Option("jdbc.password", OptionType.STRING, "Its password.", secret=True),
    Option("jdbc.#", OptionType.STRING, _NO_EFFECT),
    Option("s3.access-key-id", OptionType.STRING, "The key for S3.", secret=True),
    Option("s3.secret-access-key", OptionType.STRING, "The key's secret.", secret=True),
    Option("s3.session-token", OptionType.STRING, "The token of a temporary key.", secret=True),
    Option(
        "s3.path-style-access",
        OptionType.BOOLEAN,
        "Whether buckets stand in the path rather than in the host's name; where `s3.endpoint` is"
        " given they do unless this says false.",
    ),
    Option("s3.#", OptionType.STRING, "Settings of S3: `s3.endpoint`, `s3.region` and others."),
    Option("client.#", OptionType.STRING, "Settings of AWS: `client.region` and others."),
    Option("glue.access-key-id", OptionType.STRING, "The key for Glue.", secret=True),
    Option("glue.secret-access-key", OptionType.STRING, "The key's secret.", secret=True),
    Option("glue.session-token", OptionType.STRING, "The token of a temporary key.", secret=True),
    Option(
        "glue.#",
        OptionType.STRING,
        "Settings of Glue: `glue.id`, `glue.region`, `glue.endpoint` and others.",
    ),
    Option(
        "hive.#",
        OptionType.STRING,
        "Settings of Hive: `hive.hive2-compatible`, `hive.kerberos-authentication` and others.",
    ),
    Option(
        "gcs.oauth2.token", OptionType.STRING, "The token for Google Cloud Storage.", secret=True
    ),
    Option("gcs.#", OptionType.STRING, "Settings of Google Cloud Storage."),
    Option("adls.account-key", OptionType.STRING, "The key for Azure.", secret=True),
    Option("adls.sas-token", OptionType.STRING, "The token for Azure.", secret=True),
    Option("adls.client-secret", OptionType.STRING, "The client's secret for Azure.", secret=True),
    Option("adls.connection-string", OptionType.STRING, "The connection to Azure.", secret=True),
    Option("adls.#", OptionType.STRING, "Settings of Azure."),
    Option("io-impl", OptionType.STRING, _NO_EFFECT),
    Option("clients", OptionType.INT, _NO_EFFECT),
    Option("property-version", OptionType.INT, _NO_EFFECT, default=1),
    Option(
        "cache-enabled",
        OptionType.BOOLEAN,
        "Accepted for Flink's sake: a table is looked up whenever a statement names it.",
        default=False,
        flink_default="true",
    ),
    Option("cache.expiration-interval-ms", OptionType.INT, _NO_EFFECT),
    Option("cache.case-sensitive", OptionType.BOOLEAN, _NO_EFFECT),
    Option(
        "catalog-impl",
        OptionType.STRING,
        "Java classes cannot be loaded; choose a 'catalog-type'.",
        refused=True,
    ),
    Option(
        "hive-conf-dir",
        OptionType.STRING,
        "Give the metastore's address as 'uri' = 'thrift://host:9083'.",
        refused=True,
    ),
    Option(
        "hadoop-conf-dir",
        OptionType.STRING,
        "Give what it says of file systems as options, such as 's3.endpoint'.",
        refused=True,
    ),
)

READ_OPTIONS: Final = (
    Option(
        "streaming",
        OptionType.BOOLEAN,
        "Whether a scan goes on with every new snapshot, or ends with the rows of one.",
        default=False,
        identifying=True,
    ),
    Option(
        "monitor-interval",
        OptionType.DURATION,
        "How often a streaming scan looks for new snapshots.",
        default=60_000,
    ),
    Option(
        "starting-strategy",
        OptionType.ENUM,
        "Where a streaming scan begins.",
        default="incremental_from_latest_snapshot",
        choices=STRATEGIES,
        identifying=True,
    ),
    Option(
        "start-snapshot-id",
        OptionType.INT,
        "The snapshot with which a streaming scan begins; its own rows are read. Of a scan that ends:"
        " the one behind which it begins, so that rows are read that later snapshots added.",
        identifying=True,
    ),
    Option(
        "end-snapshot-id",
        OptionType.INT,
        "The last snapshot of those whose added rows a scan reads; its own rows are read. Without"
        " `start-snapshot-id` or `start-tag`: from the oldest snapshot on.",
        identifying=True,
    ),
    Option(
        "start-tag",
        OptionType.STRING,
        "As `start-snapshot-id`, by a tag; for scans that end.",
        identifying=True,
    ),
    Option("end-tag", OptionType.STRING, "As `end-snapshot-id`, by a tag.", identifying=True),
    Option(
        "start-snapshot-timestamp",
        OptionType.INT,
        "Milliseconds since 1970: a streaming scan begins with the first snapshot from then on.",
        identifying=True,
    ),
    Option(
        "snapshot-id",
        OptionType.INT,
        "The snapshot that a scan reads; not set: the current one.",
        identifying=True,
    ),
    Option(
        "as-of-timestamp",
        OptionType.INT,
        "Milliseconds since 1970: a scan reads the snapshot that was current then.",
        identifying=True,
    ),
    Option("tag", OptionType.STRING, "A scan reads the snapshot of this tag.", identifying=True),
    Option(
        "branch",
        OptionType.STRING,
        "The branch that is read, or written.",
        default="main",
        identifying=True,
    ),
    Option("case-sensitive", OptionType.BOOLEAN, _NO_EFFECT, default=False),
    Option(
        "split-size",
        OptionType.MEMORY,
        "Accepted for Flink's sake: a split is a file.",
        default=128 << 20,
    ),
    Option("split-lookback", OptionType.INT, _NO_EFFECT, default=10),
    Option("split-file-open-cost", OptionType.MEMORY, _NO_EFFECT, default=4 << 20),
    Option(
        "max-planning-snapshot-count",
        OptionType.INT,
        "Accepted for Flink's sake: each snapshot is read by itself.",
    ),
    Option(
        "max-allowed-planning-failures",
        OptionType.INT,
        "How often in a row a streaming scan may fail to look for new snapshots before it ends with"
        " the error; -1: for ever.",
        default=3,
    ),
    Option("include-column-stats", OptionType.BOOLEAN, _NO_STATISTICS, default=False),
    Option("limit", OptionType.INT, "Write LIMIT in the query.", refused=True),
    Option(
        "watermark-column",
        OptionType.STRING,
        "Declare WATERMARK FOR the column in CREATE TABLE.",
        refused=True,
    ),
    Option(
        "watermark-column-time-unit",
        OptionType.STRING,
        "Declare WATERMARK FOR the column in CREATE TABLE.",
        refused=True,
    ),
)

WRITE_OPTIONS: Final = (
    Option(
        "format-version",
        OptionType.INT,
        "The version of the format of a table that is made.",
        default=2,
    ),
    Option(
        "partitioning",
        OptionType.STRING,
        "What a table that is made is partitioned by, where PARTITIONED BY does not suffice:"
        " `day(ts), bucket(16, id), truncate(4, name), region`; also `year`, `month`, `hour`.",
    ),
    Option(
        "write.upsert.enabled",
        OptionType.BOOLEAN,
        "Whether a row takes the place of the one with its key.",
    ),
    Option(
        "upsert-enabled",
        OptionType.BOOLEAN,
        "The same for one INSERT, as a hint; goes before `write.upsert.enabled`.",
    ),
    Option(
        "write-format",
        OptionType.ENUM,
        "What data files are written as.",
        default="parquet",
        choices=("parquet",),
    ),
    Option(
        "target-file-size-bytes",
        OptionType.MEMORY,
        "A data file that reaches this size is followed by another; goes before"
        " `write.target-file-size-bytes`.",
    ),
    Option(
        "compression-codec", OptionType.STRING, "Goes before `write.parquet.compression-codec`."
    ),
    Option(
        "compression-level", OptionType.STRING, "Goes before `write.parquet.compression-level`."
    ),
    Option("compression-strategy", OptionType.STRING, _NO_EFFECT),
    Option("write-parallelism", OptionType.INT, "Accepted for Flink's sake: there is one writer."),
    Option(
        "distribution-mode", OptionType.STRING, "Accepted for Flink's sake: there is one writer."
    ),
    Option("range-distribution-statistics-type", OptionType.STRING, _NO_STATISTICS),
    Option("range-distribution-sort-key-base-weight", OptionType.FLOAT, _NO_STATISTICS),
    Option("uid-suffix", OptionType.STRING, _NO_EFFECT),
    Option("shred-variants", OptionType.BOOLEAN, "Not written yet.", refused=True),
    Option("overwrite-enabled", OptionType.BOOLEAN, "Write INSERT OVERWRITE.", refused=True),
    Option(
        "flink-maintenance.rewrite.enabled",
        OptionType.BOOLEAN,
        "Whether small data files become larger ones while the job runs; not set: in tables that are"
        " kept by key.",
        flink_default="false",
    ),
    Option(
        "compaction-enabled",
        OptionType.BOOLEAN,
        "The former name of `flink-maintenance.rewrite.enabled`, which goes before it.",
    ),
    Option(
        "flink-maintenance.rewrite.max-bytes",
        OptionType.MEMORY,
        "How much data one checkpoint rewrites at most.",
        default=64 << 20,
        flink_default="9223372036854775807",
    ),
    Option(
        "flink-maintenance.rewrite.min-input-files",
        OptionType.INT,
        "So many files of about one size become one.",
        default=5,
    ),
    Option(
        "flink-maintenance.expire-snapshots.enabled",
        OptionType.BOOLEAN,
        "Whether snapshots that are too old leave the table while the job runs, with the files that"
        " only they had.",
        default=False,
    ),
    Option(
        "flink-maintenance.expire-snapshots.max-snapshot-age-seconds",
        OptionType.INT,
        "How old a snapshot gets before it may leave; goes before the table's"
        " `history.expire.max-snapshot-age-ms`, which is 5 days if it says nothing.",
    ),
    Option(
        "flink-maintenance.expire-snapshots.retain-last",
        OptionType.INT,
        "So many snapshots of a branch stay whatever their age; goes before the table's"
        " `history.expire.min-snapshots-to-keep`, which is 1 if it says nothing.",
    ),
    Option(
        "flink-maintenance.expire-snapshots.schedule.commit-count",
        OptionType.INT,
        "Old snapshots are looked for after so many commits of the job.",
        default=10,
    ),
    Option(
        "flink-maintenance.expire-snapshots.schedule.interval-second",
        OptionType.INT,
        "Old snapshots are looked for at the first commit after so many seconds.",
        default=3600,
    ),
    Option("flink-maintenance.#", OptionType.STRING, _NO_EFFECT),
    Option("write.#", OptionType.STRING, "A property of a table that is made."),
    Option("commit.#", OptionType.STRING, "A property of a table that is made."),
    Option("read.#", OptionType.STRING, "A property of a table that is made."),
    Option("history.#", OptionType.STRING, "A property of a table that is made."),
    Option("gc.#", OptionType.STRING, "A property of a table that is made."),
    Option("schema.#", OptionType.STRING, "A property of a table that is made."),
)

OPTIONS: Final = (
    Option(
        "catalog-name",
        OptionType.STRING,
        "The catalog's name; a `jdbc` catalog keeps its tables under it.",
        required=True,
        identifying=True,
    ),
    Option(
        "catalog-database",
        OptionType.STRING,
        "The table's database (namespace) in the catalog; a dot divides levels.",
        default="default",
        identifying=True,
    ),
    Option(
        "catalog-table",
        OptionType.STRING,
        "The table's name in the catalog; the name of the declared table if not given.",
        identifying=True,
    ),
    *CATALOG_OPTIONS,
    *READ_OPTIONS,
    *WRITE_OPTIONS,
)


def upserts(options: OptionValues) -> bool | None:
    """Whether a row takes the place of the one with its key; None where nothing says so."""
    hinted: bool | None = options["upsert-enabled"]
    declared: bool | None = options["write.upsert.enabled"]
    return declared if hinted is None else hinted
