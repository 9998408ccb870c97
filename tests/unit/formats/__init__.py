"""Tests of flowsql.formats."""

from __future__ import annotations
