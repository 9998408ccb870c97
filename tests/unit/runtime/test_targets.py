"""What must be done to a job's targets before it may begin anew."""

from __future__ import annotations

import pytest

from flowsql.connector import Committed
from flowsql.runtime.targets import Holding, emptying

_FILES = Holding("parts", Committed("r", 1, "/out/_marker"))
_BARE_MARKER = Holding("other", Committed("r", 1))
_LAKE = Holding("lines", Committed("r", 1, instead='drop table "shop.lines" of catalog "lake"'))


@pytest.mark.parametrize(
    ("held", "bare", "told"),
    [
        ([], (), ""),
        ([], ("t",), 'empty "t"'),
        ([_FILES], (), 'empty "parts", remove "/out/_marker"'),
        ([_FILES], ("t",), 'empty "parts" and "t", remove "/out/_marker"'),
        ([_BARE_MARKER], (), 'empty "other" together with what it knows of the job'),
        ([_LAKE], (), 'drop table "shop.lines" of catalog "lake"'),
        ([_LAKE, _LAKE], ("t",), 'drop table "shop.lines" of catalog "lake", empty "t"'),
        (
            [_FILES, _LAKE],
            (),
            'drop table "shop.lines" of catalog "lake", empty "parts", remove "/out/_marker"',
        ),
        (
            [_FILES, _BARE_MARKER],
            (),
            'empty "parts" and "other" together with what it knows of the job',
        ),
    ],
)
def test_what_each_kind_of_target_needs(
    held: list[Holding], bare: tuple[str, ...], told: str
) -> None:
    """By its own words where it has some."""
    assert emptying(held, bare) == told
