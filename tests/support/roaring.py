"""Sets of 32-bit integers in the portable Roaring format; written apart from the engine, to judge it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any

__all__ = ["bitmap_bytes", "bitmap_members", "bitmap_text", "jvm_members"]

_PLAIN, _RUNS = 12346, 12347


def bitmap_bytes(members: Iterable[int]) -> bytes:
    """The one stored form: in each container runs only where they are shorter."""
    by_key = groupby(sorted({m & 0xFFFFFFFF for m in members}), lambda m: m >> 16)
    containers = [(key, [m & 0xFFFF for m in part]) for key, part in by_key]
    bodies, flags = [], []
    for _, low in containers:
        runs = _runs(low)
        flat = min(2 * len(low), 8192)
        flags.append(2 + 4 * len(runs) < flat)
        if flags[-1]:
            words = [len(runs), *(w for run in runs for w in run)]
            bodies.append(b"".join(w.to_bytes(2, "little") for w in words))
        elif len(low) <= 4096:
            bodies.append(b"".join(w.to_bytes(2, "little") for w in low))
        else:
            bodies.append(sum(1 << m for m in low).to_bytes(8192, "little"))
    n = len(containers)
    if any(flags):
        bits = sum(1 << i for i, flag in enumerate(flags) if flag)
        head = (_RUNS | (n - 1) << 16).to_bytes(4, "little") + bits.to_bytes((n + 7) // 8, "little")
    else:
        head = _PLAIN.to_bytes(4, "little") + n.to_bytes(4, "little")
    for key, low in containers:
        head += key.to_bytes(2, "little") + (len(low) - 1).to_bytes(2, "little")
    if not any(flags) or n >= 4:
        at = len(head) + 4 * n
        for body in bodies:
            head += at.to_bytes(4, "little")
            at += len(body)
    return head + b"".join(bodies)


def _runs(low: list[int]) -> list[tuple[int, int]]:
    """(first, how many more) of each run."""
    runs: list[tuple[int, int]] = []
    for m in low:
        if runs and runs[-1][0] + runs[-1][1] + 1 == m:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((m, 0))
    return runs


def bitmap_members(data: bytes) -> list[int]:
    """What is in such bytes, ascending."""

    def word(at: int, width: int = 2) -> int:
        return int.from_bytes(data[at : at + width], "little")

    if word(0) == _RUNS:
        n = word(2) + 1
        width = (n + 7) // 8
        bits, at = word(4, width), 4 + width
    else:
        n, bits, at = word(4, 4), 0, 8
    heads = [(word(at + 4 * i), word(at + 4 * i + 2) + 1) for i in range(n)]
    at += 4 * n
    if word(0) != _RUNS or n >= 4:
        at += 4 * n
    found: list[int] = []
    for i, (key, count) in enumerate(heads):
        base = key << 16
        if bits >> i & 1:
            for run in range(word(at)):
                first, more = word(at + 2 + 4 * run), word(at + 4 + 4 * run)
                found += range(base + first, base + first + more + 1)
            at += 2 + 4 * word(at)
        elif count <= 4096:
            found += [base + word(at + 2 * j) for j in range(count)]
            at += 2 * count
        else:
            flat = word(at, 8192)
            found += [base + j for j in range(1 << 16) if flat >> j & 1]
            at += 8192
    return found


def bitmap_text(members: Iterable[int]) -> str:
    """`{1,2,3}`."""
    return "{" + ",".join(map(str, members)) + "}"


def jvm_members(value: dict[str, Any]) -> list[int] | None:
    """The members of a record's RoaringBitmapData, or None where it is something else."""
    kind = value.get("$java") or value.get("$class") or ""
    if not kind.endswith(".RoaringBitmapData"):
        return None
    if "str" in value:
        return [int(m) for m in value["str"].strip("{}").split(",") if m]
    found: list[int] = []
    content = value["$row_named"]["roaringBitmap"]["$row_named"]["highLowContainer"]["$row_named"]
    for i in range(content["size"]):
        container = content["values"][i]
        if not container["$class"].endswith(".ArrayContainer"):
            return None
        inside = container["$row_named"]
        low = map(ord, inside["content"][: inside["cardinality"]])
        found += [ord(content["keys"][i]) << 16 | m for m in low]
    return found
