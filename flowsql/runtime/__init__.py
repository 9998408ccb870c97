"""Running jobs: steps, readers, watermarks, checkpoints, restarts, control."""

from __future__ import annotations
