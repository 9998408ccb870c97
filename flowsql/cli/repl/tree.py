"""Plans in a terminal: a line that is too long goes on below itself, within its branch."""

from __future__ import annotations

import re

__all__ = ["wrapped_plan"]

_NODE = re.compile(r"^(?P<branch>[│ ]*)(?P<knee>[├└]─ )?(?P<rest>.*)$")
_INDENT = "    "
_NARROWEST = 24


def wrapped_plan(text: str, width: int) -> str:
    """The text with lines of at most so many columns where it is a plan; else as it is."""
    if "─ " not in text:
        return text
    lines = text.split("\n")
    return "\n".join(
        part
        for line, below in zip(lines, [*lines[1:], ""], strict=True)
        for part in _wrapped(line, below, width)
    )


def _wrapped(line: str, below: str, width: int) -> list[str]:
    found = _NODE.match(line)
    if found is None or len(line) <= width:
        return [line]
    branch, knee, rest = found["branch"], found["knee"] or "", found["rest"]
    # The branch goes on beside what is wrapped: to the next sibling, and to the children.
    side = {"├─ ": "│  ", "└─ ": "   ", "": ""}[knee]
    column = len(branch) + len(side)
    child = "│" if below[column : column + 1] in {"├", "└"} else " "
    front = f"{branch}{side}{child}{_INDENT[1:]}"
    room = max(_NARROWEST, width - len(front))
    parts = [branch + knee]
    for word in rest.split(" "):
        limit = width if len(parts) == 1 else len(front) + room
        if len(parts[-1]) + len(word) > limit and parts[-1].strip(" │├└─"):
            parts.append(front)
        parts[-1] += word + " "
    return [part.rstrip() for part in parts]
