"""Base64 columns, as csv and json write BYTES: the standard alphabet, padded, no line breaks."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

__all__ = ["decode_base64", "encode_base64"]

_ALPHABET: Final = np.frombuffer(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", np.uint8
)
_INVALID: Final = 255
_PAD: Final = ord("=")
_VALUES: Final = np.full(256, _INVALID, np.uint8)
_VALUES[_ALPHABET] = np.arange(64, dtype=np.uint8)


def _parts(array: pa.Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """Offsets from 0 (int64[n + 1]) and the bytes between them."""
    flat = pa.concat_arrays([array])
    buffers = flat.buffers()
    offsets = np.frombuffer(buffers[1], np.int32, len(flat) + 1, flat.offset * 4).astype(np.int64)
    data = np.frombuffer(buffers[2] or b"", np.uint8)
    return offsets - offsets[0], data[offsets[0] : offsets[-1]]


def _build(
    lengths: npt.NDArray[np.int64], data: npt.NDArray[np.uint8], like: pa.Array, kind: pa.DataType
) -> pa.Array:
    offsets = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    valid = None
    if like.null_count:
        valid = pa.array(like.is_valid()).buffers()[1]
    return pa.Array.from_buffers(
        kind, len(lengths), [valid, pa.py_buffer(offsets), pa.py_buffer(data.tobytes())]
    )


def encode_base64(array: pa.Array) -> pa.Array:
    """The bytes of a binary column as text."""
    offsets, data = _parts(array)
    lengths = np.diff(offsets)
    groups = -(-lengths // 3)
    padded = np.zeros(int(groups.sum()) * 3, np.uint8)
    starts = np.concatenate([[0], np.cumsum(groups * 3)[:-1]]) if len(lengths) else lengths
    # Every value is moved to where a whole group of three begins.
    place = np.arange(len(data)) + np.repeat(starts - offsets[:-1], lengths)
    padded[place] = data
    three = padded.reshape(-1, 3).astype(np.uint32)
    word = three[:, 0] << 16 | three[:, 1] << 8 | three[:, 2]
    sextets = np.stack([word >> 18, word >> 12 & 63, word >> 6 & 63, word & 63], axis=1)
    text = _ALPHABET[sextets]
    missing = groups * 3 - lengths
    last = np.cumsum(groups) - 1
    text[last[missing >= 1], 3] = _PAD
    text[last[missing == 2], 2] = _PAD
    return _build(groups * 4, text.reshape(-1), array, pa.string())


def decode_base64(array: pa.Array) -> tuple[pa.Array, npt.NDArray[np.bool_] | None]:
    """The bytes that a string column spells, and where it does not spell any (or None)."""
    offsets, data = _parts(array)
    lengths = np.diff(offsets)
    pads = np.zeros(len(lengths), np.int64)
    for back in (1, 2):
        at = np.clip(offsets[1:] - back, 0, max(len(data) - 1, 0))
        is_pad = (lengths >= 4) & (data[at] == _PAD) if len(data) else np.zeros(0, np.bool_)
        pads += is_pad & (pads == back - 1) if len(is_pad) else 0
    sextets = _VALUES[data]
    body = np.ones(len(data), np.bool_)
    for back in (1, 2):
        body[(offsets[1:] - back)[pads >= back]] = False
    wrong = np.zeros(len(data) + 1, np.int64)
    np.cumsum((sextets == _INVALID) & body, out=wrong[1:])
    bad = (lengths % 4 != 0) | (wrong[offsets[1:]] > wrong[offsets[:-1]])
    dropped = bad
    if array.null_count:
        # A NULL may have bytes all the same.
        valid = array.is_valid().to_numpy(zero_copy_only=False)
        dropped, bad = bad | ~valid, bad & valid
    if dropped.any():
        keep = np.repeat(~dropped, lengths)
        sextets, body = sextets[keep], body[keep]
        lengths = np.where(dropped, 0, lengths)
        pads = np.where(dropped, 0, pads)
    four = np.where(body, sextets, 0).astype(np.uint32).reshape(-1, 4)
    word = four[:, 0] << 18 | four[:, 1] << 12 | four[:, 2] << 6 | four[:, 3]
    three = np.stack([word >> 16, word >> 8 & 255, word & 255], axis=1).astype(np.uint8)
    kept = np.ones(three.shape, np.bool_)
    ends = np.cumsum(lengths // 4) - 1
    kept[ends[pads >= 1], 2] = False
    kept[ends[pads == 2], 1] = False
    values = _build(lengths // 4 * 3 - pads, three[kept], array, pa.binary())
    return values, bad if bad.any() else None
