"""Tests of the connectors that come with flowsql."""

from __future__ import annotations
