"""From text to statements and an AST with positions. Imports sqlglot: load it late."""

from __future__ import annotations
