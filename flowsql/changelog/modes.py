"""Changelog modes: what a stream may carry."""

from __future__ import annotations

from enum import Enum

__all__ = ["ChangelogMode"]


class ChangelogMode(Enum):
    """What a stream, a source or a sink carries.

    APPEND: `+I` only. RETRACT: whole rows, added and taken away. UPSERT: the last row of a key;
    `+I`/`+U` set it, `-D` (of which only the key may be filled) ends it. Inside the engine only
    APPEND and RETRACT occur between operators; UPSERT lives at the edges (DESIGN 5).
    """

    APPEND = "append"
    RETRACT = "retract"
    UPSERT = "upsert"
