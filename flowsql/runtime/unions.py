"""A union of several tables' times.

A row is late by what all inputs say of time, not by its own table alone: the mark of each row is
lowered to the watermark that the other inputs had when it came.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from flowsql.changelog import Changes
from flowsql.runtime.nodes import OperatorNode

__all__ = ["UnionNode"]


class UnionNode(OperatorNode):
    """Marks what it passes on with the time of the union."""

    def push(self, port: int, changes: Changes) -> None:
        marks = changes.marks
        if marks is not None and marks.watermark is not None:
            others = [n.time_now() for i, n in enumerate(self.inputs) if i != port]
            lowest = min((t for t in others if t is not None), default=None)
            if lowest is not None:
                lowered = np.maximum(np.minimum(marks.watermark, lowest), self.watermark)
                changes = Changes(
                    changes.batch,
                    changes.codes,
                    changes.unchanged,
                    replace(marks, watermark=lowered),
                )
        super().push(port, changes)
