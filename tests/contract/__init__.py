"""One suite for each contract, over everything that implements it."""

from __future__ import annotations
