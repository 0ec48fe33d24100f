"""Fields that are not to be shown: which they are, and that their values are found in texts, however quoted."""

from __future__ import annotations

import json
import traceback
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchq.engine.hiding import Hiding
from batchq.engine.lines import LineCleaner
from batchq.errors import ConfigError
from batchq.model import Item, Record
from batchq.redaction import REDACTED, Redaction, fields_of


@pytest.mark.parametrize(
    "fields, item, shown",
    [
        (["key"], {"key": 1, "a": {"key": [2]}, "b": [{"key": None}]}, {"key": 0, "a": {"key": 0}, "b": [{"key": 0}]}),
        (["user.mail"], {"user": {"mail": "a", "x": 1}, "mail": "b"}, {"user": {"mail": 0, "x": 1}, "mail": "b"}),
        (["m.text"], {"m": [{"text": "a"}, [{"text": "b"}]]}, {"m": [{"text": 0}, [{"text": 0}]]}),
        (["user.mail"], {"user.mail": "a column's name"}, {"user.mail": 0}),
        (["Key"], {"key": 1}, {"key": 1}),
        (["key"], "no field", "no field"),
    ],
)
def test_name_finds_a_field_at_any_depth_and_a_path_from_the_top(
    fields: list[str], item: object, shown: object
) -> None:
    expected = json.dumps(shown).replace("0", f'"{REDACTED}"')
    assert json.loads(Redaction(fields).hide_json(json.dumps(item))) == json.loads(expected)


def test_payload_without_such_a_field_stays_as_it_was_written() -> None:
    assert Redaction(["key"]).hide_json('{"a":  1.50}') == '{"a":  1.50}'


def test_payload_of_any_depth_is_hidden() -> None:
    deep = '{"a": ' * 900 + '{"key": "s3cret"}' + "}" * 900
    assert "s3cret" not in Redaction(["key"]).hide_json(deep)
    assert Redaction(["key"]).cleaner(deep)("s3cret") == REDACTED


@settings(max_examples=50, deadline=None)
@given(st.text(st.characters(codec="utf-8"), min_size=4).filter(lambda text: len(text.strip()) >= 4))
def test_text_is_found_however_it_is_quoted(secret: str) -> None:
    clean = Redaction(["key"]).cleaner(json.dumps({"key": secret}))
    forms = {
        secret, repr({"key": secret}), json.dumps([secret]), json.dumps([secret], ensure_ascii=False),
        f"https://api.example.org/?q={quote(secret)}", f"https://api.example.org/?q={quote_plus(secret)}",
    }  # fmt: skip
    around = {form.replace(secret, "") for form in forms}
    for form in forms:
        if secret not in REDACTED and not any(secret in other for other in around):
            assert secret not in clean(f"before {form} after").replace(REDACTED, "")


def test_short_texts_and_numbers_are_replaced_as_words_only() -> None:
    clean = Redaction(["key"]).cleaner('{"key": ["ab", 17, 2.5, true, null, "", {"in": "xyz"}]}')
    assert clean("ab (17, 2.5, xyz) tab 170 2.55 xyzzy true null") == (
        "[redacted] ([redacted], [redacted], [redacted]) tab 170 2.55 xyzzy true null"
    )


def test_value_within_another_and_within_the_mark_leaves_nothing_behind() -> None:
    clean = Redaction(["key"]).cleaner('{"key": ["redacted", "s3cret", "s3cret-longer", "first line\\nsecond line"]}')
    assert clean("s3cret-longer s3cret redacted") == "[redacted] [redacted] [redacted]"
    assert clean("  | first line\n  | second line") == "  | [redacted]\n  | [redacted]"


def test_value_in_the_chain_of_a_traceback_is_found() -> None:
    try:
        try:
            raise KeyError("s3cret\n2")
        except KeyError as error:
            raise ValueError({"key": "s3cret\n2"}) from error
    except ValueError as error:
        text = "".join(traceback.format_exception(error))
    payload = json.dumps({"key": "s3cret\n2"})
    # Of the file of this test its own lines are quoted: they are the program's.
    told = [line for line in Redaction(["key"]).cleaner(payload)(text).splitlines() if not line.startswith("    ")]
    assert "s3cret" not in "\n".join(told) and "\n".join(told).count(REDACTED) == 2


def test_item_is_not_called_by_a_value_that_is_not_to_be_shown() -> None:
    records = [
        Record('{"id": "ann@example.org", "age": 5}', "ann@example.org", 1, 10, 2),
        Record('{"idea_id": 5}', 5, 2, 20, 3),
        Record('"{oops"', None, 3, 30, 4, "not JSON"),
        Record("null", "bob@example.org", 4, 40, 5, "cannot be stored"),
    ]
    hiding = Hiding(["id", "age", "nosuch"])
    assert [record and record.item_id for record in hiding.nameless(iter([*records, None]))] == [
        None, 5, None, None, None,
    ]  # fmt: skip
    assert hiding.unseen == {"nosuch"}


@pytest.mark.parametrize("hidden", ["mail", "user", "user.mail"])
def test_item_is_not_called_by_a_hidden_field_that_it_was_left_without(hidden: str) -> None:
    record = Record('{"text": "tea"}', "ann@example.org", 1, 10, 2)
    named = [each and each.item_id for each in Hiding([hidden], "user.mail").nameless(iter([record]))]
    assert named == [None]
    assert list(Hiding(["text"], "user.mail").nameless(iter([record]))) == [record]


@pytest.mark.parametrize("texts", [("",), ("a,,b",), ("a", ",")])
def test_field_without_a_name_is_refused(texts: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="--redact"):
        fields_of(texts)


def test_log_line_of_what_outlives_its_item_is_cleaned_too() -> None:
    items = [Item(n, f"a{n}", json.dumps({"mail": f"ann{n}@example.org"}), 1, 0) for n in range(3)]
    here: list[Item] = []
    cleaner = LineCleaner(Redaction(["mail"]), lambda: here)
    for item in items:
        here[:] = [item]
        cleaner.ended(item)
    here.clear()
    assert cleaner("a mail to ann0@example.org and ann2@example.org") == f"a mail to {REDACTED} and {REDACTED}"
