"""What all operators' specs are."""

from __future__ import annotations

__all__ = ["Spec"]


class Spec:
    """Base of all specs."""

    __slots__ = ()
