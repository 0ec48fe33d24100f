"""Parts of JSON text are found as they are written, whatever they are and however deep."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchq.app.rawjson import elements, members

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
LAYOUTS = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n\t", "\r\n : ")])


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.text(), VALUES, max_size=5), LAYOUTS, st.booleans())
def test_members_are_the_texts_of_which_the_object_was_made(
    value: dict[str, Any], layout: tuple[str, str], is_ascii: bool
) -> None:
    def text(each: Any) -> str:
        return json.dumps(each, separators=layout, ensure_ascii=is_ascii)

    assert members(text(value)) == {name: text(each) for name, each in value.items()}
    assert elements(text(list(value.values()))) == [text(each) for each in value.values()]


def test_depth_is_no_matter() -> None:
    deep = "[" * 100_000 + "]" * 100_000
    assert members(f'{{"a": {deep}, "b": 1}}') == {"a": deep, "b": "1"}


@pytest.mark.parametrize("text", ["", "1", "[1", '{"a": [1}', '{"a"}'])
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"start|breaks off|shorter"):
        members(text)
