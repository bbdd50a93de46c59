"""What each macro of `macros/cross_db` gives, on either warehouse.

A case is a query, in which only the macros know the warehouse, and its rows.
"""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple


class Case(NamedTuple):
    """A query and what it gives.

    Attributes:
        macro: The macro that it is about.
        sql: The query, a template.
        rows: Its rows, in any order.
    """

    macro: str
    sql: str
    rows: list[tuple[Any, ...]]


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


# Written with `chr`, as the warehouses read no escape alike. U+00E9 is a letter with its accent,
# U+0301 an accent by itself, U+FF5A a wide z, and U+1F600 a face, beyond the first 65,536.
TEXTS = {
    "e_acute": "chr(233)",
    "combining": "concat('e', chr(769))",
    "wide": "chr(65370)",
    "face": "chr(128512)",
    "quote": "chr(39)",
    "backslash": "chr(92)",
}
ACUTE, COMBINED, WIDE, FACE = "\u00e9", "e\u0301", "\uff5a", "\U0001f600"


def instant(text: str | None) -> str:
    return f"cast({_text(text)} as {{{{ timestamp_type() }}}})"


def day(text: str | None) -> str:
    return f"cast({_text(text)} as date)"


def text(value: str | None) -> str:
    return f"cast({_text(value)} as {{{{ text_type() }}}})"


def _text(value: str | None) -> str:
    return "null" if value is None else f"'{value}'"


def one(macro: str, *pairs: tuple[str, Any]) -> list[Case]:
    """A case of one value for each pair of an expression and that value."""
    return [Case(macro, f"select {expression} as value", [(value,)]) for expression, value in pairs]


def macro_of(name: str, *arguments: str) -> str:
    """A call of a macro with SQL expressions, which may be templates themselves."""
    blocks = "".join(
        f"{{% set argument_{place} %}}{argument}{{% endset %}}"
        for place, argument in enumerate(arguments)
    )
    names = ", ".join(f"argument_{place}" for place in range(len(arguments)))
    return f"{blocks}{{{{ {name}({names}) }}}}"


def each(name: str, *pairs: tuple[tuple[str, ...], Any]) -> list[Case]:
    """Cases of a macro whose arguments are all expressions."""
    return one(name, *((macro_of(name, *arguments), value) for arguments, value in pairs))


def rows(name: str, expressions: list[str]) -> str:
    """A common table of one column, ``x``."""
    lines = " union all ".join(
        f"select {expression} as x, {place} as place"
        for place, expression in enumerate(expressions)
    )
    return f"with {name} as ({lines})"


# A spring and an autumn night of New York's, midnights, a leap day and the ends of the contract
SPRING = "2026-03-08 02:30:00-05:00"
AUTUMN = "2026-11-01 01:30:00-04:00"
BEFORE_MIDNIGHT = "2026-03-01 23:59:59.999999+00:00"
LEAP_DAY = "2024-02-29 12:00:00+00:00"
FIRST, LAST = "2000-01-01 00:00:00+00:00", "2100-12-31 23:59:59.999999+00:00"

DATES = [
    *each(
        "utc_date",
        ((instant(SPRING),), date(2026, 3, 8)),
        ((instant("2026-03-07 23:30:00-05:00"),), date(2026, 3, 8)),
        ((instant(BEFORE_MIDNIGHT),), date(2026, 3, 1)),
        ((instant("2026-03-02 00:00:00+14:00"),), date(2026, 3, 1)),
        ((instant(LEAP_DAY),), date(2024, 2, 29)),
        ((instant(LAST),), date(2100, 12, 31)),
        ((instant(None),), None),
    ),
    *each(
        "is_on_utc_day",
        ((instant(BEFORE_MIDNIGHT), day("2026-03-01")), True),
        ((instant("2026-03-02 00:00:00+00:00"), day("2026-03-01")), False),
        ((instant("2026-03-01 00:00:00+00:00"), day("2026-03-01")), True),
        ((instant("2026-03-01 23:00:00-05:00"), day("2026-03-01")), False),
        ((instant(LEAP_DAY), day("2024-02-29")), True),
        ((instant(None), day("2024-02-29")), None),
    ),
    *one(
        "utc_start_of",
        *(
            (f"{{% set x %}}{instant(at_)}{{% endset %}}{{{{ utc_start_of('{part}', x) }}}}", value)
            for part, at_, value in (
                ("minute", BEFORE_MIDNIGHT, at(2026, 3, 1, 23, 59)),
                ("hour", SPRING, at(2026, 3, 8, 7)),
                ("hour", AUTUMN, at(2026, 11, 1, 5)),
                ("hour", "1969-12-31 23:59:59.999999+00:00", at(1969, 12, 31, 23)),
                ("day", "2026-03-01 23:30:00-05:00", at(2026, 3, 2)),
                ("month", LEAP_DAY, at(2024, 2, 1)),
                ("hour", None, None),
            )
        ),
    ),
    *one(
        "minutes_before",
        *(
            (f"{{% set x %}}{instant(when)}{{% endset %}}{{{{ minutes_before(x, {n}) }}}}", value)
            for when, n, value in (
                ("2026-03-01 00:00:00+00:00", 1, at(2026, 2, 28, 23, 59)),
                ("2024-03-01 00:30:00+00:00", 60, at(2024, 2, 29, 23, 30)),
                (AUTUMN, 1440, at(2026, 10, 31, 5, 30)),
                (SPRING, 0, at(2026, 3, 8, 7, 30)),
                (None, 5, None),
            )
        ),
    ),
    *each(
        "next_microsecond",
        ((instant(BEFORE_MIDNIGHT),), at(2026, 3, 2)),
        ((instant("1969-12-31 23:59:59.999999+00:00"),), at(1970, 1, 1)),
        ((instant(None),), None),
    ),
    *each(
        "microseconds_between",
        ((instant("2026-03-08 01:30:00-05:00"), instant(SPRING)), 3600 * 10**6),
        ((instant(BEFORE_MIDNIGHT), instant("2026-03-02 00:00:00+00:00")), 1),
        ((instant("2026-03-02 00:00:00+00:00"), instant(BEFORE_MIDNIGHT)), -1),
        ((instant(FIRST), instant(LAST)), 36890 * 86400 * 10**6 - 1),
        ((instant(None), instant(LAST)), None),
        ((instant(LAST), instant(None)), None),
    ),
    *each(
        "hours_after",
        ((instant("2026-03-08 01:30:00-05:00"), "1"), at(2026, 3, 8, 7, 30)),
        ((instant(LEAP_DAY), "cast('-12.5' as numeric)"), at(2024, 2, 28, 23, 30)),
        ((instant(AUTUMN), "cast('0.0001' as numeric)"), at(2026, 11, 1, 5, 30)),
        ((instant(AUTUMN), "cast('0.000138888' as numeric)"), at(2026, 11, 1, 5, 30)),
        ((instant(AUTUMN), "cast('0.000138889' as numeric)"), at(2026, 11, 1, 5, 30, 1)),
        ((instant(AUTUMN), "cast(null as numeric)"), None),
        ((instant(None), "1"), None),
    ),
    *each(
        "days_before",
        ((day("2024-03-01"), "1"), date(2024, 2, 29)),
        ((day("2023-03-01"), "1"), date(2023, 2, 28)),
        ((day("2026-01-01"), "0"), date(2026, 1, 1)),
        ((day("2026-01-01"), "-1"), date(2026, 1, 2)),
        ((day("2026-01-10"), "5 - 1"), date(2026, 1, 6)),
        ((day(None), "1"), None),
    ),
    *one(
        "iso_part",
        *(
            (f"{{% set x %}}{day(when)}{{% endset %}}{{{{ iso_part('{part}', x) }}}}", value)
            for part, when, value in (
                ("year", "2027-01-01", 2026),
                ("week", "2027-01-01", 53),
                ("day", "2027-01-01", 5),
                ("year", "2024-12-30", 2025),
                ("week", "2024-12-30", 1),
                ("day", "2026-03-01", 7),
                ("day", "2026-03-02", 1),
                ("day", None, None),
            )
        ),
    ),
    *each(
        "month_name",
        ((day("2024-02-29"),), "February"),
        ((day("2026-05-01"),), "May"),
        ((day("2026-09-30"),), "September"),
        ((day(None),), None),
    ),
    *each(
        "day_name",
        ((day("2024-02-29"),), "Thursday"),
        ((day("2026-03-01"),), "Sunday"),
        ((day(None),), None),
    ),
    Case(
        "every_day",
        "{{ every_day('2023-12-30', '2024-03-01') }}",
        [(date(2023, 12, 30) + timedelta(days=n),) for n in range(63)],
    ),
    Case("every_day", "{{ every_day('2024-02-29', '2024-02-29') }}", [(date(2024, 2, 29),)]),
]  # fmt: skip

_OBJECT = (
    '{"text": " a\\u0041\\n ", "number": 1e400, "yes": true, "nothing": null, "list": [1, "b"],'
    ' "object": {"x": "y"}, "face": "😀", "empty": ""}'
)
MEMBERS = ["text", "number", "yes", "nothing", "list", "object", "face", "empty", "absent"]


def members(*expressions: str) -> str:
    """A select of expressions over the members of one JSON object."""
    return (
        # a backslash is an escape to BigQuery alone, so each is put in by its number
        f"with texts as (select {_from_parts(_OBJECT)} as payload),"
        " documents as (select {{ as_json('payload') }} as document from texts),"
        f" read as ({{{{ json_members('documents', 'document', {MEMBERS}) }}}})"
        f" select {', '.join(expressions)} from read"
    )


def _from_parts(value: str) -> str:
    parts = ", chr(92), ".join(f"'{part}'" for part in value.split("\\"))
    return f"concat({parts})"


def over_members(macro: str, values: list[Any]) -> Case:
    calls = [f"{{{{ {macro}('{member}_json') }}}} as v{n}" for n, member in enumerate(MEMBERS)]
    return Case(macro, members(*calls), [tuple(values)])


JSON = [
    over_members("is_json_object", [False, False, False, None, False, True, False, False, None]),
    over_members("is_json_nested", [False, False, False, None, True, True, False, False, None]),
    over_members("is_json_number", [False, True, False, None, False, False, False, False, None]),
    Case(
        "json_text",
        members(
            *(
                f"{{{{ json_text('{member}_json') }}}} as v{n}"
                for n, member in enumerate(["text", "yes", "nothing", "face", "empty", "absent"])
            ),
            # a number is as it is written, or could not be told from another
            "{{ matches(json_text('number_json'), '^1[eE][+]?400$') }} as v6",
        ),
        [(" aA\n ", "true", None, FACE, "", None, True)],
    ),
    Case(
        "json_members",
        members(*(f"{member}_json is null as v{n}" for n, member in enumerate(MEMBERS))),
        [(False, False, False, True, False, False, False, False, True)],
    ),
    Case(
        "json_member",
        "with texts as (select '{\"a\": [1], \"b\": null}' as payload union all select '{}'),"
        " documents as (select {{ as_json('payload') }} as document from texts),"
        " tokens as (select {{ json_member('document', 'a') }} as a,"
        " {{ json_member('document', 'b') }} as b, {{ json_member('document', 'c') }} as c"
        " from documents) select {{ is_json_nested('a') }} as a, {{ json_text('b') }} as b,"
        " c is null as c from tokens",
        [(True, None, True), (None, None, True)],
    ),
    Case(
        "as_json",
        "with texts as (select '{\"a\": 1}' as payload union all select null),"
        " documents as (select {{ as_json('payload') }} as document from texts)"
        " select document is null as value from documents",
        [(False,), (True,)],
    ),
    Case(
        "json_strings_agg",
        rows("texts", ["'b'", TEXTS["face"], TEXTS["wide"], "'B'", TEXTS["e_acute"],
                       f"concat('a', {TEXTS['quote']}, ',')", "''"])
        + " select {{ json_strings_agg('x') }} as value from texts",
        [(f'["","B","a\',","b","{ACUTE}","{WIDE}","{FACE}"]',)],
    ),
    Case(
        "unnest_json_strings",
        "with lists as (select 1 as place, '[\"b\",\"a,\",\"\"]' as x union all select 2, '[]'"
        " union all select 3, null)"
        " select place, element.value as value from {{ unnest_json_strings('lists', 'x') }}",
        [(1, "b"), (1, "a,"), (1, "")],
    ),
]  # fmt: skip

LISTS = [
    *one(
        "comma_join",
        ("{{ comma_join([\"'b'\", \"cast(null as \" ~ text_type() ~ \")\", \"'a'\"]) }}", "b,a"),
        ('{{ comma_join(["cast(null as " ~ text_type() ~ ")"]) }}', None),
        ("{{ comma_join(['chr(128512)', \"'x'\"]) }}", f"{FACE},x"),
    ),
    *each(
        "sorted_distinct",
        ((text("b,a,b,B"),), "B,a,b"),
        ((f"concat('z,', {TEXTS['face']}, ',', {TEXTS['wide']}, ',', {TEXTS['e_acute']})",),
         f"z,{ACUTE},{WIDE},{FACE}"),
        ((f"concat('f,', {TEXTS['combining']}, ',e')",), f"e,{COMBINED},f"),
        ((text("one"),), "one"),
        ((text(None),), None),
    ),
]  # fmt: skip

NUMBERS = [
    *one(
        "square_root",
        *(
            (f"{{{{ square_root({number!r}) }}}}", None if root is None else Decimal(root))
            for number, root in (
                ("0", "0"),
                ("2", "1.414213562"),
                ("1000000", "1000"),
                ("cast('0.00000025' as numeric)", "0.0005"),
                ("nullif(1, 1)", None),
            )
        ),
    ),
    Case(
        "federated_rows",  # a unit test's table; the builds send the query of a real one
        "with given as (select 1 as a, 2 as b) "
        "{{ federated_rows(api.Relation.create(identifier='given', type='cte'), ['b']) }}",
        [(2,)],
    ),
    *one(
        "rounded_quotient",
        *(
            (f"{{{{ rounded_quotient('{top}', '{bottom}', {places}) }}}}", value)
            for top, bottom, places, value in (
                ("1", "8", 2, Decimal("0.13")),  # a half, away from zero
                ("-1", "8", 2, Decimal("-0.13")),
                ("1", "3", 4, Decimal("0.3333")),
                ("-2", "3", 4, Decimal("-0.6667")),
                ("44999999999999", "1000000000000", 0, Decimal(45)),
                ("49999999999999", "100000000000000", 0, Decimal(0)),  # just below a half
                ("1800000", "3600000000", 4, Decimal("0.0005")),
                ("179999", "3600000000", 4, Decimal(0)),
                ("180000", "3600000000", 4, Decimal("0.0001")),
                ("-180000", "3600000000", 4, Decimal("-0.0001")),
                ("3", "nullif(0, 0)", 4, None),
                ("nullif(1, 1)", "3", 4, None),
            )
        ),
    ),
]

_TIMES = rows("given", ["'b'", "'a'", "cast(null as {{ text_type() }})", TEXTS["face"]])
AGGREGATES = [
    Case(
        name,
        f"{_TIMES} select {{{{ {name}('x', '{condition}', ['place']) }}}} as value from given",
        [(value,)],
    )
    for name, condition, value in (
        ("first_value_where", "place >= 0", "b"),
        ("first_value_where", "place >= 1", "a"),
        ("first_value_where", "place >= 2", None),
        ("first_value_where", "place > 9", None),
        ("last_value_where", "place >= 0", FACE),
        ("last_value_where", "place < 3", None),
        ("last_value_where", "place < 2", "a"),
        ("last_value_where", "nullif(place, place) = 1", None),
    )
]

_NUMBERS = "select cast({} as numeric) as x, 0 as place"
PERCENTILES = [
    Case(
        name,
        f"with given as ({_NUMBERS.format(values[0])}"
        + "".join(f" union all select {v}, {n}" for n, v in enumerate(values) if n)
        + f"), sorted as (select {{{{ sorted_values('x', '{condition}') }}}} as x_all from given)"
        f" select {{{{ percentile_of_sorted('x_all', '{percentile}') }}}} as value from sorted",
        [(None if result is None else Decimal(result),)],
    )
    for name in ("percentile_of_sorted", "sorted_values")
    for percentile, values, condition, result in (
        ("0.5", [40, 20, 10, 30], "true", "25"),
        ("0.9", [10, 30, 20, 40], "true", "37"),
        ("0.9", [7], "true", "7"),
        ("0.5", [0, -1], "true", "-0.5"),
        ("0.1", ["0.0002", "0.0001"], "true", "0.00011"),
        ("0.5", ["null", 3, "null", 1], "true", "2"),
        ("0.5", [3, 1, 2, 8], "place > 0", "2"),
        ("0.5", [3, 1], "nullif(place, place) = 1", None),
        ("0.5", ["null"], "true", None),
    )
]

CASTS = [
    *each(
        "try_date",
        ((text("2024-02-29"),), date(2024, 2, 29)),
        ((text("2023-02-29"),), None),
        ((text("2024-13-01"),), None),
        ((text(""),), None),
        ((text(None),), None),
    ),
    *each(
        "try_timestamp",
        ((text("2026-03-08T02:30:00-05:00"),), at(2026, 3, 8, 7, 30)),
        ((text("2026-03-08T02:30:00.123456Z"),), at(2026, 3, 8, 2, 30, 0, 123456)),
        ((text("2024-02-29T23:59:59+14:00"),), at(2024, 2, 29, 9, 59, 59)),
        ((text("2023-02-29T00:00:00Z"),), None),
        ((text(""),), None),
        ((text(None),), None),
    ),
]

TEXT = [
    Case(
        "by_code_point",
        rows("texts", ["'b'", TEXTS["face"], TEXTS["wide"], "'B'", "'_'", TEXTS["e_acute"],
                       TEXTS["combining"], "''"])
        + " select x, row_number() over (order by {{ by_code_point('x') }}) as place_of from texts",
        list(zip(["", "B", "_", "b", COMBINED, ACUTE, WIDE, FACE], range(1, 9), strict=True)),
    ),
    *each(
        "trim_json_space",
        (("concat(chr(9), chr(10), chr(13), ' a b ', chr(10))",), "a b"),
        (("concat(' ', chr(160), 'a', chr(11), ' ')",), "\u00a0a\v"),  # not JSON's
        ((text(""),), ""),
        ((text(" "),), ""),
        ((text(None),), None),
    ),
    *one(
        "matches",
        *(
            (f"{{% set x %}}{value}{{% endset %}}{{{{ matches(x, '{pattern}') }}}}", result)
            for value, pattern, result in (
                (text("12"), "^[0-9]+$", True),
                (text(""), "^[0-9]+$", False),
                (text(None), "^[0-9]+$", None),
                (f"concat('12', {'chr(10)'})", "^[0-9]+$", False),
                (TEXTS["face"], "^.$", True),
                (TEXTS["combining"], "^..$", True),
                (text("-1.50"), "^-?(0|[1-9][0-9]{0,14})([.][0-9]+)?$", True),
            )
        ),
    ),
    *one(
        "first_group",
        *(
            (f"{{% set x %}}{value}{{% endset %}}{{{{ first_group(x, '{pattern}') }}}}", result)
            for value, pattern, result in (
                (text("-1.50"), "^(-?)", "-"),
                (text("1.50"), "^(-?)", ""),
                (text("1.50"), "[.]([0-9]{1,4})", "50"),
                (text("x"), "([0-9]+)", None),
                (f"concat('a', {TEXTS['face']}, 'b')", "a(.)b", FACE),
                (text(None), "(.)", None),
            )
        ),
    ),
    *one(
        "replace_with_group",
        *(
            (f"{{% set x %}}{x}{{% endset %}}{{{{ replace_with_group(x, '{pattern}') }}}}", result)
            for x, pattern, result in (
                (text("1.1234567Z"), "([.][0-9]{6})[0-9]+", "1.123456Z"),
                (text("1.12Z"), "([.][0-9]{6})[0-9]+", "1.12Z"),
                (text(""), "(a)b", ""),
                (text(None), "(a)b", None),
            )
        ),
    ),
    *each(
        "md5_hex",
        ((text("abc"),), "900150983cd24fb0d6963f7d28e17f72"),
        ((text(""),), "d41d8cd98f00b204e9800998ecf8427e"),
        ((TEXTS["face"],), "2a02eac39d716a70ecf37579185927b6"),
        ((text(None),), None),
    ),
]  # fmt: skip

_GIVEN = "with given as (select 1 as a, 'x' as b union all select 2, null union all select 1, 'y')"
PLANNING = [
    Case(
        "computed_once",
        f"{_GIVEN}, computed as ({{{{ computed_once('given', {{'c': 'a + 1'}}) }}}})"
        " select a, b, c from computed",
        [(1, "x", 2), (2, None, 3), (1, "y", 2)],
    ),
    Case(
        "inlined",
        "with given as {{ inlined() }}(select 1 as a) select x.a + y.a as value from given as x"
        " cross join given as y",
        [(2,)],
    ),
    Case(
        "newest",
        f"with given as (select {instant(FIRST)} as x union all select {instant(LAST)}"
        " union all select null) select {{ newest('given', 'x') }} as value",
        [(at(2100, 12, 31, 23, 59, 59, 999999),)],
    ),
    Case(
        "newest",
        f"with given as (select {instant(None)} as x)"
        " select {{ newest('given', 'x') }} as value",
        [(None,)],
    ),
    Case(
        "distinct_values",
        f"{_GIVEN}, found as ({{{{ distinct_values('given', 'b') }}}}) select b from found",
        [("x",), ("y",)],
    ),
    Case(
        "distinct_values",
        f"{_GIVEN}, found as ({{{{ distinct_values('given', 'a') }}}}) select a from found",
        [(1,), (2,)],
    ),
    Case(
        # nothing is sent twice here: PostgreSQL's key refuses it before
        "without_resent_rows",
        "with given as (select 'm1' as k, 1 as n union all select 'm2', 2),"
        " kept as ({{ without_resent_rows('given', 'k', 'n') }}) select k, n from kept",
        [("m1", 1), ("m2", 2)],
    ),
]

TYPES = [
    *one("timestamp_type", (instant("2026-03-08 02:30:00-05:00"), at(2026, 3, 8, 7, 30))),
    *one(
        "whole_number_type", ("cast('9223372036854775807' as {{ whole_number_type() }})", 2**63 - 1)
    ),
    *one("text_type", ("cast(12 as {{ text_type() }})", "12")),
    *one(
        "length_type",
        ("rpad('a', cast('3' as {{ length_type() }}), '0')", "a00"),
        ("substr(concat(chr(128512), 'bc'), cast('2' as {{ length_type() }}))", "bc"),
    ),
]

CASES = [
    *DATES,
    *JSON,
    *LISTS,
    *NUMBERS,
    *AGGREGATES,
    *PERCENTILES,
    *CASTS,
    *TEXT,
    *PLANNING,
    *TYPES,
]
