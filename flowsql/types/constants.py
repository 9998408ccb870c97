"""Arrow values that stand for text in the code, made with their type.

Where Arrow has to guess the type of a Python value it looks for `dateutil`, anew each time where that is
not installed: 40 µs, ten times what most kernels take over a small batch. Kernels are therefore
given scalars, never strings or numbers.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["NO_TEXT", "join_texts", "text_constant"]

NO_TEXT = pa.scalar(None, pa.string())


@lru_cache(maxsize=1 << 10)
def text_constant(value: str) -> pa.StringScalar:
    """A text of the code or of an option; not for values of rows."""
    return pa.scalar(value, pa.string())


def join_texts(*parts: Any, separator: str = "") -> Any:
    """Texts, and constants given as `str`, one behind the other; NULL where a part is."""
    made = [text_constant(p) if isinstance(p, str) else p for p in parts]
    return pc.binary_join_element_wise(*made, text_constant(separator))
