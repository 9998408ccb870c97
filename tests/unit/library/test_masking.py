"""Names of tables in the user's words."""

from __future__ import annotations

from flowsql.errors import StateError
from flowsql.library.masking import attach_text, short_names, short_text

HOME = ("default_catalog", "default_database")
LONG = "default_catalog.default_database.t"


def test_names_are_shortened_but_not_within_paths() -> None:
    """A path that is named must be there."""
    path = f"/data/out/.flowsql/j@{LONG}/committed.json"
    text = f'"{LONG}" and "{path}", "/x/{LONG}/y"'
    short = f'"t" and "{path}", "/x/{LONG}/y"'
    assert short_text(text, HOME) == short
    error = short_names(StateError(text, detail=text, hint=text), HOME)
    assert (error.message, error.detail, error.hint) == (short, short, short)


def test_a_password_that_is_the_users_name_leaves_that_name_alone() -> None:
    """Stars in its place would say that they are the same."""
    text = "WITH ('username' = 'annika', 'password' = 'annika', 'token' = 'mine')"
    error = attach_text(StateError('"annika" could not log in by mine'), text)
    assert error.message == '"annika" could not log in by ******'
    assert error.sql == "WITH ('username' = 'annika', 'password' = '******', 'token' = '****')"
