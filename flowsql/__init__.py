"""Flink SQL in one Python process."""

from __future__ import annotations

__all__: list[str] = []
