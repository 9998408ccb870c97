"""What the library's face is made of: embedded inputs, results, statements that answer at once."""

from __future__ import annotations
