"""The contract's other forms are fresh, agree with it, and do not break a reader."""

import copy
import json
from typing import Any

import jinja2
import pytest

from ingestion import contract
from ingestion.events import EVENT_TYPES, DeadLetter, Field, Kind, RawOrder
from pbm.errors import CheckFailedError
from pbm.settings import PROJECT_ROOT


def test_no_form_of_the_contract_is_stale() -> None:
    assert contract.stale_files() == [], "run `pbm contract write`"


def test_a_stale_form_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = {path: lambda: "something else" for path in contract.FILES}
    monkeypatch.setattr(contract, "FILES", changed)
    assert contract.stale_files() == list(changed)


def test_no_change_breaks_a_reader() -> None:
    kept = json.loads((contract.FOLDER / "order_event.contract.json").read_text())
    assert contract.breaking_changes(kept, contract.promises()) == []


PLACED = ("event_types", "order_placed", "data")
BREAKS: dict[str, tuple[tuple[str, ...], Any]] = {
    "a field is gone": ((*PLACED, "ndc"), None),
    "a nested field is gone": ((*PLACED, "patient.zip"), None),
    "an event type is gone": (("event_types", "order_shipped"), None),
    "a column is gone": (("tables", "raw_orders", "payload"), None),
    "a column changes its type": (("tables", "raw_orders", "publish_time", "type"), "text"),
    "a column may be null": (("tables", "raw_orders", "order_id", "is_required"), False),
    "a kind changes": ((*PLACED, "quantity", "kind"), "text"),
    "a field is no longer expected": ((*PLACED, "ndc", "is_expected"), False),
    "decimals change": ((*PLACED, "quantity", "decimals"), 2),
    "a code is gone": ((*PLACED, "priority", "codes"), ["standard", "stat"]),
    "ids grow": (("max_id_length",), 65),
    "one more field is required": (("required_fields",), ["event_id", "source_system"]),
}


@pytest.mark.parametrize("what", BREAKS)
def test_what_breaks_a_reader_is_named(what: str) -> None:
    path, value = BREAKS[what]
    new = json.loads(json.dumps(contract.promises()))
    place = new
    for name in path[:-1]:
        place = place[name]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    (change,) = contract.breaking_changes(contract.promises(), new)
    assert ".".join(path) in change


def test_what_is_new_breaks_nobody() -> None:
    new = copy.deepcopy(contract.promises())
    new["event_types"]["order_returned"] = {}
    new["event_types"]["order_placed"]["data"]["colour"] = {"kind": "text"}
    new["event_types"]["order_placed"]["data"]["priority"]["codes"].append("drone")
    new["tables"]["raw_orders"]["trace_id"] = {"type": "text", "is_required": False}
    assert contract.breaking_changes(contract.promises(), new) == []


def test_write_refuses_a_breaking_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contract, "promises", lambda: {"event_types": {}})
    with pytest.raises(CheckFailedError, match="is gone"):
        contract.write()


def test_the_tables_hold_the_rows_of_ingestion() -> None:
    raw_orders, dead_letters = contract.TABLES
    assert [column.name for column in raw_orders.columns] == [*RawOrder._fields, "ingested_at"]
    assert [column.name for column in dead_letters.columns] == [
        *DeadLetter._fields,
        *("failed_at", "replay_count", "replayed_at"),
    ]


def test_the_schemas_hold_every_field() -> None:
    schema = json.loads(contract.json_schema())
    by_type = {
        rule["if"]["properties"]["event_type"]["const"]: rule["then"]["properties"]["data"]
        for rule in schema["allOf"]
    }
    proto = contract.proto()
    for event_type in EVENT_TYPES.values():
        assert list(by_type[event_type.name]["properties"]) == [f.name for f in event_type.fields]
        for field in event_type.fields:
            assert f" {field.name} = " in proto


# -- silver, a reader of the contract --------------------------------------------------------

KINDS = {
    "plain_text": Kind.TEXT,
    "identifier": Kind.IDENTIFIER,
    "listed_code": Kind.LISTED_CODE,
    "upper_case_code": Kind.UPPER_CASE_CODE,
    "number_with_3_decimals": Kind.NUMBER,
    "whole_number": Kind.NUMBER,
    "money": Kind.MONEY,
    "true_or_false": Kind.BOOLEAN,
    "instant": Kind.TIMESTAMP,
    "ndc_in_eleven_digits": Kind.NDC,
    "first_three_of_zip": Kind.ZIP,
    "pooled_birth_year": Kind.BIRTH_DATE,
}
DECIMALS = {"number_with_3_decimals": 3, "whole_number": 0, "money": 2}


def fields_of_silver() -> list[dict[str, Any]]:
    """What the macro `order_event_fields` returns, with dbt's `return` played by a list."""
    returned: list[Any] = []
    environment = jinja2.Environment(extensions=["jinja2.ext.do"], autoescape=False)  # noqa: S701
    source = (PROJECT_ROOT / "macros" / "orders" / "order_event_fields.sql").read_text()
    template = environment.from_string(source + "{{ order_event_fields() }}")

    def keep(value: object) -> str:
        returned.append(value)
        return ""

    template.render({"return": keep})
    (fields,) = returned
    assert isinstance(fields, list)
    return fields


def field_of(event_type: str, flag: str) -> Field:
    fields = EVENT_TYPES[event_type].fields
    *outer, name = flag.split(".")
    for step in outer:
        fields = next(field for field in fields if field.name == step).fields
    return next(field for field in fields if field.name == name)


def test_silver_reads_every_field_as_the_contract_says() -> None:
    checked = 0
    for silver in fields_of_silver():
        for event_type in silver["event_types"]:
            field = field_of(event_type, silver["flag"])
            assert field.kind is KINDS[silver["kind"]], silver["flag"]
            assert field.decimals == DECIMALS.get(silver["kind"]), silver["flag"]
            assert field.is_expected == (event_type in silver["required_in"]), silver["flag"]
            assert list(field.codes) == silver["listed"].get(event_type, []), silver["flag"]
            checked += 1
    assert checked >= 30


def test_silver_reads_every_field_that_identifies_nobody() -> None:
    not_shown = {"reference", "tracking_number", "location", "reason", "prescriber_npi", "patient"}
    shown = {
        (event_type, silver["flag"])
        for silver in fields_of_silver()
        for event_type in silver["event_types"]
    }
    for event_type in EVENT_TYPES.values():
        for field in event_type.fields:
            assert ((event_type.name, field.name) in shown) != (field.name in not_shown)
