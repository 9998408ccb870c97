"""Records `table.zip`: a table with deletion vectors, as Iceberg's own library writes them.

    python record.py path/to/iceberg-open-api-1.10.1.jar

Paths in it begin with `ROOT`; files are written so that another root of the same length can take its
place byte by byte: Avro and Parquet without compression, no checksums over texts.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

HERE = Path(__file__).parent
ROOT = "/" + "r" * 199


def main(jar: str) -> None:
    """Write the files of rows, let the library commit them, pack."""
    with tempfile.TemporaryDirectory() as work:
        root = Path(work) / ("r" * (len(ROOT) - len(work) - 1))
        _write_rows(root / "data")
        java = ["java", "-cp", jar, str(HERE / "WriteVectors.java"), str(root)]
        subprocess.run(java, check=True)
        newest = max(root.glob("metadata/*.json"), key=lambda p: int(p.name[1:].partition(".")[0]))
        with zipfile.ZipFile(HERE / "table.zip", "w", zipfile.ZIP_DEFLATED) as packed:
            for path in sorted(root.rglob("*")):
                older = path.suffix == ".json" and path != newest
                if path.is_dir() or older or path.suffix in {".crc", ".text"}:
                    continue
                name = "metadata/table.json" if path == newest else str(path.relative_to(root))
                content = path.read_bytes()
                if path.suffix == ".avro":
                    content = _without_compression(content)
                content = content.replace(str(root).encode(), ROOT.encode())
                packed.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)


def _write_rows(folder: Path) -> None:
    folder.mkdir(parents=True)
    schema = pa.schema([_field("id", pa.int64(), 1), _field("name", pa.string(), 2)])
    for name, first in (("a", 0), ("b", 10), ("c", 20)):
        ids = list(range(first, first + 10))
        rows = pa.table([ids, [f"n{i}" for i in ids]], schema=schema)
        pq.write_table(rows, folder / f"{name}.parquet")
    schema = pa.schema(
        [_field("file_path", pa.string(), 2147483546), _field("pos", pa.int64(), 2147483545)]
    )
    paths = [f"{folder}/a.parquet", f"{folder}/b.parquet"]
    pq.write_table(
        pa.table([paths, [9, 4]], schema=schema),
        folder / "deletes.parquet",
        compression="none",
        write_statistics=False,
    )


def _field(name: str, kind: pa.DataType, at: int) -> pa.Field:
    return pa.field(name, kind, metadata={"PARQUET:field_id": str(at)})


def _without_compression(content: bytes) -> bytes:
    """An Avro container of the codec `deflate` as one of the codec `null`."""
    begin = content.index(b"avro.codec") - 1
    assert content[begin + 11 : begin + 19] == b"\x0edeflate"
    end = _header_end(content)
    mark = content[end - 16 : end]
    made = content[: begin + 11] + b"\x08null" + content[begin + 19 : end]
    while end < len(content):
        count, end = _number(content, end)
        size, end = _number(content, end)
        block = zlib.decompress(content[end : end + size], -15)
        made += _written(count) + _written(len(block)) + block + mark
        end += size + 16
    return made


def _header_end(content: bytes) -> int:
    at = 4
    while True:
        count, at = _number(content, at)
        if not count:
            return at + 16
        assert count > 0
        for _ in range(2 * count):
            size, at = _number(content, at)
            at += size


def _number(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), at


def _written(value: int) -> bytes:
    rest, made = value << 1, bytearray()
    while rest > 0x7F:
        made.append(rest & 0x7F | 0x80)
        rest >>= 7
    made.append(rest)
    return bytes(made)


if __name__ == "__main__":
    main(sys.argv[1])
