"""Bound expressions, the function registry, evaluation."""

from __future__ import annotations
