"""A query ends soon after it is asked to, however long its step would take."""

from __future__ import annotations

import threading

import pytest

import flowsql


@pytest.mark.parametrize("mode", ["batch", "streaming"])
def test_a_query_is_stopped_within_a_step(mode: str) -> None:
    """Also where the step would take for ever: between two batches of an operator's output."""
    with flowsql.connect({"execution.runtime-mode": mode}) as session:
        session.execute(
            "CREATE TABLE big (a INT) WITH ('connector' = 'datagen', 'fields.a.min' = '1',"
            " 'fields.a.max' = '3', 'number-of-rows' = '500000')"
        )
        answer = session.execute(
            "SELECT x.a, COUNT(*) FROM big x JOIN big y ON x.a = y.a GROUP BY x.a"
        )
        assert isinstance(answer, flowsql.Result)
        failed: list[flowsql.FlowSQLError] = []

        def read() -> None:
            try:
                answer.to_arrow()
            except flowsql.FlowSQLError as error:
                failed.append(error)

        reading = threading.Thread(target=read)
        reading.start()
        while not session.running:
            assert reading.is_alive()
        reading.join(1.5)
        assert reading.is_alive()
        session.stop()
        reading.join(60)
        assert not reading.is_alive()
        assert failed[0].message.startswith("the query was stopped before its end")
