"""Functions of other dialects, and what does their work here: the cure where a name is not known."""

from __future__ import annotations

from typing import Final

__all__ = ["ELSEWHERE"]

_TO_TEXT = "CAST(… AS STRING)"
_NOW = "CURRENT_TIMESTAMP"

ELSEWHERE: Final = {
    "ANY_VALUE": "FIRST_VALUE(…)",
    "ARRAY_LENGTH": "CARDINALITY(…)",
    "ARRAY_SIZE": "CARDINALITY(…)",
    "CONVERT": "CAST(… AS …)",
    "CURDATE": "CURRENT_DATE",
    "CURTIME": "LOCALTIME",
    "DATEADD": "TIMESTAMPADD(DAY, days, time)",
    "DATEDIFF": "TIMESTAMPDIFF(DAY, from, to)",
    "DATE_ADD": "TIMESTAMPADD(DAY, days, time)",
    "DATE_DIFF": "TIMESTAMPDIFF(DAY, from, to)",
    "DATE_PART": "EXTRACT(YEAR FROM time)",
    "DATE_SUB": "TIMESTAMPADD(DAY, -days, time)",
    "DATE_TRUNC": "FLOOR(time TO DAY)",
    "GETDATE": _NOW,
    "GET_JSON_OBJECT": "JSON_VALUE(text, path)",
    "GROUP_CONCAT": "LISTAGG(…)",
    "IIF": "IF(condition, then, else)",
    "ISNULL": "… IS NULL, or IFNULL(…, …)",
    "JSON_EXTRACT": "JSON_VALUE(text, path)",
    "LEN": "CHAR_LENGTH(…)",
    "LENGTH": "CHAR_LENGTH(…)",
    "MEDIAN": "PERCENTILE(…, 0.5)",
    "NVL": "COALESCE(…, …)",
    "POW": "POWER(…, …)",
    "REGEXP_LIKE": "REGEXP(text, pattern)",
    "SAFE_CAST": "TRY_CAST(… AS …)",
    "SIZE": "CARDINALITY(…)",
    "STR": _TO_TEXT,
    "STRFTIME": "DATE_FORMAT(time, pattern)",
    "STRING": _TO_TEXT,
    "STRING_AGG": "LISTAGG(…)",
    "STRPOS": "POSITION(part IN text)",
    "SYSDATE": _NOW,
    "TODAY": "CURRENT_DATE",
    "TOFLOAT": "CAST(… AS DOUBLE)",
    "TOINT": "CAST(… AS INT)",
    "TOSTRING": _TO_TEXT,
    "TO_CHAR": "DATE_FORMAT(time, pattern), or CAST(… AS STRING)",
    "TO_DOUBLE": "CAST(… AS DOUBLE)",
    "TO_INT": "CAST(… AS INT)",
    "TO_NUMBER": "CAST(… AS DECIMAL(…, …))",
    "TO_STRING": _TO_TEXT,
    "ZEROIFNULL": "COALESCE(…, 0)",
}
