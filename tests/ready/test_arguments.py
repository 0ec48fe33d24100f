"""The arguments of a command: what a field holds stays within its own, whatever it is."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchq.errors import MissingField, TemplateFailed, UsageError
from batchq.ready.arguments import CommandLine

HOSTILE = [
    "a b",
    "; touch x",
    "$(touch x)",
    "`touch x`",
    "'",
    '"',
    "\\",
    "\n",
    "*",
    "~",
    "",
    "-n",
    "${HOME}",
    "{id}",
    "#",
]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))))
@settings(max_examples=50)
def test_a_field_never_leaves_its_argument(texts: list[str]) -> None:
    item = {f"f{n}": text for n, text in enumerate(texts)}
    line = CommandLine(" ".join(["run", *[f"'a {{{name}}}' --x={{{name}}}" for name in item]]))
    expected = ["run", *[each for text in texts for each in (f"a {text}", f"--x={text}")]]
    assert [each.decode() for each in line.arguments(item)] == expected


@pytest.mark.parametrize(
    "text",
    ['printf "%s" {a}x', 'printf "%s" "{a}x"', 'printf "%s" "$(printf "%s" {a}x)"', 'v={a}; printf "%s" "$v"x'],
)
def test_a_shell_has_each_value_as_it_is(text: str) -> None:
    for value in HOSTILE:
        done = subprocess.run(CommandLine(text, shell=True).arguments({"a": value}), capture_output=True, check=True)
        assert done.stdout.decode() == f"{value}x"


@pytest.mark.parametrize(
    "text, item, expected",
    [
        ("a {n} {t} {z} {l} {o.k.0} x{n}y", {"n": 5, "t": True, "z": None, "l": [1, "b"], "o": {"k": ["v"]}},
         ["a", "5", "true", "null", '[1, "b"]', "v", "x5y"]),
        ("a '{item}'", "tea time", ["a", "tea time"]),
        ("a \\\n  {n}\\\nb", {"n": 5}, ["a", "5b"]),
        (r'''a "\$A \\\$ \" \x" '\$B' \$C''', {}, ["a", r'$A \$ " \x', r"\$B", "$C"]),
        ("a ${HOME} {} '{ print $1 }'", {}, ["a", "${HOME}", "{}", "{ print $1 }"]),
    ],
)  # fmt: skip
def test_fields_are_filled_in_and_other_braces_left_alone(text: str, item: Any, expected: list[str]) -> None:
    assert [each.decode() for each in CommandLine(text).arguments(item)] == expected


@pytest.mark.parametrize(
    "text, shell, said",
    [
        ("", False, "needs a command"), ("   ", True, "needs a command"), ("a 'b", False, "no closing quotation"),
        ("echo '{a}'", True, "between single quotes"), ("echo \\{a}", True, "after a backslash"),
        ("echo $(( {a} + 1 ))", True, "arithmetic"), ("true # {a}", True, "in a comment"),
        ("cat <<END\n{a}\nEND", True, "here-document"), ("((1 + {a}))", True, "arithmetic"),
        ("echo $[ {a} ]", True, "arithmetic"), ("[[ {a} -gt 1 ]]", True, "arithmetic"),
        ('echo "${HOME:{a}}"', True, "arithmetic"), ('echo "${x[{a}]}"', True, "arithmetic"),
    ],
)  # fmt: skip
def test_what_a_shell_would_not_take_as_it_is_is_refused_at_the_start(text: str, shell: bool, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        CommandLine(text, shell)


@pytest.mark.parametrize(
    "text",
    [
        "true # it's\necho {a}", "echo a#{a}", "echo $# {a}", "(echo 'x'; echo {a})", "echo $((1 + (2))) {a}",
        "[[ a > b ]] && [ {a} ]", "((echo 1); echo {a})", 'echo "${HOME:1}" "${B:-{a}}"', "{ echo x; }; echo {a}",
        "grep [[:space:]] {a}", "echo ${x[1]} {a}",
    ],
)  # fmt: skip
def test_what_only_looks_like_such_a_place_is_taken(text: str) -> None:
    assert CommandLine(text, shell=True).arguments({"a": "v"})[-1] == b"v"


def test_values_that_can_be_no_argument_are_told() -> None:
    line = CommandLine("a {v}")
    for value, said in (("a\0b", "NUL"), ("\ud800", "half of a character")):
        with pytest.raises(TemplateFailed, match=said):
            line.arguments({"v": value})
    with pytest.raises(MissingField, match=r"no field 'v'; it has u$"):
        line.arguments({"u": 1})
