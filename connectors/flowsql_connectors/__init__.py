"""The connectors that come with flowsql; found by entry points, never imported by the engine."""

from __future__ import annotations
