"""What a server keeps for a job that reads its log."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ServerSlot"]


@dataclass(frozen=True, slots=True)
class ServerSlot:
    """A slot: a server keeps its log from where it stands.

    Attributes:
        name: in the server.
        server: which one, for people.
        active: somebody reads it now: who, for people; else None.
        state: what the server says of the log it needs (`reserved`, `extended`, `lost` …); `gone`:
            there is no slot any more, only the publication that a killed query made for it.
        kept_bytes: of its log, kept for it.
        publication: that its readers use, where one of that name is there.
        jobs: ids of the jobs whose position is in it.
    """

    name: str
    server: str
    active: str | None
    state: str | None
    kept_bytes: int | None
    publication: str | None
    jobs: tuple[str, ...] = ()
