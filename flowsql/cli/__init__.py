"""The command line: `flowsql run | explain | status | stop`."""

from __future__ import annotations
