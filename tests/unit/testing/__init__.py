"""Tests of flowsql.testing."""

from __future__ import annotations
