"""Templates: fields of an item in a text, in an address, in JSON and in a form; variables of the environment."""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from yarl import URL

from batchq.errors import MissingField, Permanent, TemplateFailed, UsageError
from batchq.ready import sandbox
from batchq.ready.address import method_and_address
from batchq.ready.bodies import Body
from batchq.ready.quota import seconds_until_more
from batchq.ready.templates import ANY_NAME, Template, missing
from batchq.ready.variables import Variables

NO_VARIABLES = Variables({})
ITEM: dict[str, Any] = {
    "id": 7,
    "text": "Tea",
    "author": {"name": "Ann", "items": 3},
    "tags": ["hot", "dry"],
    "none": None,
    "first-name": "A",
    "größe": 1.5,
    "First Name": "Ann",
    "Price (€)": 3,
}
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize(
    "text, made",
    [
        ("{text} by {author.name}", "Tea by Ann"),
        ("{tags.0}, {tags}, {none}, {id}", 'hot, ["hot", "dry"], null, 7'),
        ("{first-name} {größe}", "A 1.5"),
        ("{item.text} {item.author.name}", "Tea Ann"),
        ('{"a": {"b": [1]}, "n": {id}}', '{"a": {"b": [1]}, "n": 7}'),
        ("{} { text } {1} {a b} ${id} {text", "{} { text } {1} {a b} $7 {text"),
        ("{First Name}: {Price (€)}, {Frist Name}", "Ann: 3, {Frist Name}"),
        ("{{ id }} {First Name}: {Price (€)}, {Frist Name}", "7 Ann: 3, {Frist Name}"),
        ("{{ text | upper }} by {author.name}", "TEA by Ann"),
        ("{{ tags }} {{ none }} {{ author.items }} {{ item.text }}", '["hot", "dry"] null 3 Tea'),
        ("{%- for tag in tags -%} {tag}{% endfor %}", None),
        ("{% for tag in tags %}{{ tag }} {text};{% endfor %}\n", "hot Tea;dry Tea;\n"),
        ("{% raw %}{text} {{ text }}{% endraw %} {text}", "{text} {{ text }} Tea"),
        ("{{ nosuch | default('-') }}", "-"),
    ],
)  # fmt: skip
def test_fields_are_filled_in_and_all_else_stays(text: str, made: str | None) -> None:
    template = Template.of(text, "--body")
    if made is None:
        with pytest.raises(MissingField):
            template.render(ITEM)
        return
    assert template.render(ITEM) == made


def test_item_that_is_no_object_is_there_as_a_whole_only() -> None:
    assert Template.of("{item}! {{ item }}", "--body").render("a line") == "a line! a line"
    for text in ("{text}", "{{ text }}"):
        with pytest.raises(MissingField, match=r"no field 'text'; the item is a text, of which there is \{item\} only"):
            Template.of(text, "--body").render("a line")


@pytest.mark.parametrize(
    "text, told",
    [
        ("{txet}", f"item has no field 'txet'; it has {', '.join(ITEM)}. Did you mean text?"),
        ("{{ txet }}", f"item has no field 'txet'; it has {', '.join(ITEM)}. Did you mean text?"),
        ("{{ txet | tojson }}", f"item has no field 'txet'; it has {', '.join(ITEM)}. Did you mean text?"),
        ("{{ text }} {txet}", f"item has no field 'txet'; it has {', '.join(ITEM)}. Did you mean text?"),
        ("{author.nmae}", "item has no field 'author.nmae'; author has name, items. Did you mean author.name?"),
        ("{none.x}", "item has no field 'none.x'; none is null"),
        ("{tags.9}", "item has no field 'tags.9'; tags is a list of 2"),
    ],
)  # fmt: skip
def test_missing_field_is_told_with_those_that_there_are(text: str, told: str) -> None:
    with pytest.raises(MissingField) as missed:
        Template.of(text, "--body").render(ITEM)
    assert str(missed.value) == f"--body: {told}"
    assert isinstance(missed.value, Permanent), "it is not tried again"
    assert not [entry for entry in missed.traceback if "jinja2" in str(entry.path)]


def test_missing_field_of_an_item_with_very_many_is_told_at_once() -> None:
    item = {"a" * 200_000: 0, **dict.fromkeys((f"{n:05} field" * 5 for n in range(20_000)), 0)}
    began = time.process_time()
    told = str(missing(item, "00007 field" * 5 + "x", "--body"))
    assert time.process_time() - began < 1, "to compare all of them takes three seconds"
    assert len(told) < 3000 and told.endswith(f"Did you mean {'00007 field' * 5}?")


@pytest.mark.parametrize("text", ["{{ text", "{% for tag in tags %}", "{{ text | nofilter }}", "{% nothing %}"])
def test_wrong_syntax_is_told_with_its_line(text: str) -> None:
    with pytest.raises(UsageError, match=r"^--body, line 2: "):
        Template.of(f"a line\n{text}", "--body")


@pytest.mark.parametrize(
    "text", ["{{ id + text }}", "{{ id / 0 }}", "{{ text.__class__.__mro__ }}", "{% include 'x' %}", "{{ author.x.y }}"]
)
def test_template_can_do_no_harm_and_tells_what_fails(text: str) -> None:
    with pytest.raises(TemplateFailed, match=r"^--body: "):
        Template.of(text, "--body").render(ITEM)


@pytest.mark.parametrize(
    "text",
    [
        "{{ range(10**9) }}",
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% for a in range(999) %}{% for b in range(999) %}{{ 'a long, long text' }}{% endfor %}{% endfor %}",
        "{% set all = namespace(s='xx') %}{% for i in range(60) %}{% set all.s = all.s + all.s %}{% endfor %}",
        *("{{ 'x' * 10**10 }}", "{{ 10**10 * [1] }}", "{{ 2 ** 200000 }}", "{{ '%1000000000d' % 1 }}"),
        *("{{ '%*d' % (10**9, 1) }}", "{{ '%1000000000d' | format(1) }}", "{{ '{:{}}'.format(1, 10**9) }}"),
        *("{{ 'x'.center(10**10) }}", "{{ 'x' | center(10000000000) }}", "{{ [1] | tojson(10**10) }}"),
    ],
)
def test_template_cannot_take_all_memory_or_time(text: str) -> None:
    with pytest.raises(TemplateFailed, match=r"would be made|may count to|may not make"):
        Template.of(text, "--body").render(ITEM)


def test_bounds_leave_everything_else_as_it_is() -> None:
    sums = "{{ range(3) | list }}{{ 'a' * 2 }}{{ 2 ** 10 }}{{ 7 % 4 }}{{ 'a' + 'b' }}{{ [1] + [2] }}"
    assert Template.of(sums, "--body").render(ITEM) == "[0, 1, 2]aa10243ab[1, 2]"
    texts = "{{ '%s %05.1f' % ('a', 2.5) }}{{ '%s' | format([1]) }}{{ '{:>3}'.format(1) }}{{ 'x' | center(3) }}"
    texts += "{{ 99999999 | tojson }}"
    assert Template.of(texts, "--body").render(ITEM) == "a 002.5[1]  1 x 99999999"


@settings(max_examples=50)
@given(TEXTS, VALUES)
def test_text_without_braces_stays_and_a_text_is_filled_in_as_it_is(text: str, value: object) -> None:
    plain = text.replace("{", "(")
    made = Template.of(plain + "{v}" + plain, "--body").render({"v": value})
    assert made.startswith(plain) and made.endswith(plain)
    filled = made[len(plain) : len(made) - len(plain)]
    assert filled == value if isinstance(value, str) else json.loads(filled) == value


@settings(max_examples=50)
@given(TEXTS, VALUES)
@example('a "b" \\ \n', {"x": ['"']})
def test_json_stays_json_whatever_the_item_has(text: str, value: object) -> None:
    item = {"text": text, "value": value}
    template = r'{"in": "a \" {text} b", "value": {value}, "text": {text}, "deep": [{"{text}": {item}}], "x": {}}'
    body, kind = Body.of(template, "--body", "").render(item)
    assert kind == "application/json"
    assert json.loads(body) == {
        "in": f'a " {text} b', "value": value, "text": text, "deep": [{text: item}], "x": {}
    }  # fmt: skip


def test_kinds_of_bodies() -> None:
    spaced = Body.of('{"by": "{First Name} {a b}", "n": {Price (€)}}', "--body", "")
    assert json.loads(spaced.render(ITEM)[0]) == {"by": "Ann {a b}", "n": 3}
    with pytest.raises(MissingField, match="no field 'Price"):  # a text would make it no JSON
        spaced.render({"First Name": "Ann"})
    assert Body().render("half \ud800") == (rb'"half \ud800"', "application/json")
    assert Body.of("{text} & more", "--body", "").render(ITEM) == (b"Tea & more", "text/plain; charset=utf-8")
    assert Body.of("[INST] {text}", "--body", "").render(ITEM)[1] == "text/plain; charset=utf-8"
    assert Body.of('{"t": {{ text | tojson }}}', "--body", "").render(ITEM) == (b'{"t": "Tea"}', "application/json")
    form = Body.of("q={q}&n={none}", "--body", "application/x-www-form-urlencoded")
    assert parse_qs(form.render({"q": "a&b=c +", "none": None})[0].decode(), True) == {"q": ["a&b=c +"], "n": [""]}
    with pytest.raises(UsageError, match="--body: it is no JSON, although its Content-Type says so"):
        Body.of('{"t": {text}', "--body", "application/json")


@given(TEXTS.filter(bool), TEXTS)
@example("../admin", "a&b")
@example("%2e%2e", "%26")
@example("..", "")
def test_value_stays_one_part_of_the_address(part: str, value: str) -> None:
    address = method_and_address("https://example.org/notes/{part}/all?q={value}&n=1")[1]
    if part in (".", ".."):
        with pytest.raises(TemplateFailed, match="the address would be another one"):
            address.render({"part": part, "value": value}, NO_VARIABLES)
        return
    made = address.render({"part": part, "value": value}, NO_VARIABLES)
    split = urlsplit(str(URL(made)))  # as the client sends it
    assert (split.netloc, split.fragment) == ("example.org", "")
    assert [unquote(each) for each in split.path.split("/")] == ["", "notes", part, "all"]
    assert parse_qs(split.query, keep_blank_values=True) == {"q": [value], "n": ["1"]}


@pytest.mark.parametrize("value, reason", [("", "is empty"), (None, "is null"), ("..", "another one")])
def test_field_that_would_make_it_another_address_fails_the_item(value: object, reason: str) -> None:
    for url in ("https://example.org/notes/{id}", "https://example.org/{{ id }}/x"):
        if value is None and "{{" in url:
            continue
        with pytest.raises(TemplateFailed, match=reason):
            method_and_address(f"DELETE {url}")[1].render({"id": value}, NO_VARIABLES)


@pytest.mark.parametrize(
    "text, told",
    [
        ("", "no http or https address"), ("GET", "no http or https address"),
        ("GET /notes", "no http or https address"),
        ("file:///etc/passwd", "no http or https address"), ("GOT https://example.org", "no method GOT"),
        ("https://{host}/x", "not in its host"), ("https://example.{tld}/", "not in its host"),
        ("https://ann:s3cret@example.org", "would be stored"), ("http://[::1/", "names no host"),
        ("http://example.org:99999/", "names no host"), ("http://example.org/a/../b", "with . or .."),
    ],
)  # fmt: skip
def test_address_that_cannot_be_is_refused(text: str, told: str) -> None:
    with pytest.raises(UsageError, match=f"^--http: .*{told}") as refused:
        method_and_address(text)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    "text, kind, made",
    [
        ('{"key": "${KEY}", "n": {n}, "raw": ${KEY}}', "", b'{"key": "a\\"/ b", "n": 1, "raw": "a\\"/ b"}'),
        ("key=${KEY}&n={n}", "application/x-www-form-urlencoded", b"key=a%22%2F+b&n=1"),
        ("key=${KEY}&n={{ n }}", "application/x-www-form-urlencoded", b"key=a%22%2F+b&n=1"),
        ("${n} and ${KEY}", "", b'$1 and a"/ b'),
    ],
)
def test_variable_stands_in_a_body_as_a_field_does_and_is_written_in_capitals(
    text: str, kind: str, made: bytes
) -> None:
    body = Body.of(text, "--body", kind)
    assert body.has_secrets
    assert body.render({"n": 1}, {"KEY": 'a"/ b'})[0] == made


@pytest.mark.parametrize("field", ["{n}", "{{ n }}"])
def test_variable_is_quoted_once_in_an_address(field: str) -> None:
    address = method_and_address(f"https://example.org/{field}?key=${{KEY}}")[1]
    key = Variables({"KEY": "a/b"})
    assert address.render({"n": 1}, key) == "https://example.org/1?key=a%2Fb"
    assert address.shown({"n": 1}, key) == "https://example.org/1?key=${KEY}"


def test_variables_are_looked_up_at_once_and_never_shown() -> None:
    template = Template.of("Bearer ${KEY} for {{ text }} {id}", "--header X", variables=ANY_NAME)
    assert template.variables == ("KEY",)
    for environment, why in (({}, "not set"), ({"KEY": ""}, "empty"), ({"KEY": "s3cret\n"}, "line break")):
        with pytest.raises(UsageError, match=f"--header X wants the variable KEY of the environment, .*{why}") as told:
            Variables.wanted([template], environment)
        assert "s3cret" not in str(told.value)
    key = Variables.wanted([template], {"KEY": "s3cret/key=="})
    assert template.render({"id": 1, "text": "${KEY}"}, key) == "Bearer s3cret/key== for ${KEY} 1", "of the item: no"
    assert key.clean("s3cret/key== s3cret%2Fkey%3D%3D") == "[redacted] [redacted]"
    assert "s3cret" not in f"{key} {key!r} {vars(template)}"


@pytest.mark.parametrize(
    "text",
    [
        "{% for a in xs %}{% for b in xs %}{% for c in xs %}{% endfor %}{% endfor %}{% endfor %}",
        "{% macro m(l) %}{% for x in l if x < 0 %}{% endfor %}{% endmacro %}{% for a in xs %}{{ m(xs) }}{% endfor %}",
        "{% for a in xs recursive %}{% if loop.depth < 4 %}{{ loop(xs) }}{% endif %}{% endfor %}",
    ],
)
def test_loops_over_an_items_own_lists_within_each_other_end(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "MOST_SECONDS", 0.1)
    with pytest.raises(TemplateFailed, match=r"^--body: its loops take more than 0\.1 s"):
        Template.of(text, "--body").render({"xs": list(range(10_000))})


def test_loops_are_what_they_are_in_jinja() -> None:
    text = (
        "{% for a in xs %}{{ loop.index }}/{{ loop.length }}{{ ',' if not loop.last }}{% endfor %} "
        "{% for k, v in d.items() %}{{ k }}={{ v }}{% endfor %} {% for x in [] %}{% else %}none{% endfor %} "
        "{% for t in tree recursive %}{{ t.n }}({{ loop(t.kids) }}){% endfor %}"
    )
    item = {"xs": [7, 8], "d": {"k": "v"}, "tree": [{"n": 1, "kids": [{"n": 2, "kids": []}]}]}
    assert Template.of(text, "--body").render(item) == "1/2,2/2 k=v none 1(2())"


@pytest.mark.parametrize(
    "text, kind, name",
    [
        ('{"n": {n}, "password": "hunter"}', "", "password"),
        ('{"pin": 1, "secret": 1234}', "", "secret"),
        ('[{"deep": {"access_token": "gho_16C7e42F292c6912E7"}}]', "", "access_token"),
        ('{"key": "9f86d081884c7d65", "key": "title"}', "", "key"),
        ('{"credentials": ["ann", "x7Gh29sLq"]}', "", "credentials"),
        ('{"api_key": "abc", "tags": [{% for t in tags %}{{ t | tojson }}{% endfor %}]}', "", "api_key"),
        ("text={text}&client_secret=abc", "application/x-www-form-urlencoded", "client_secret"),
    ],
)
def test_secret_that_is_written_out_in_a_body_is_refused_with_the_way_out(text: str, kind: str, name: str) -> None:
    with pytest.raises(UsageError, match=f"^--body: the value of {name} would be stored$") as refused:
        Body.of(text, "--body", kind).refuse_secrets()
    assert (f"{name}=${{KEY}}" if kind else f'"{name}": "${{KEY}}"') in refused.value.hint


@pytest.mark.parametrize(
    "text, kind",
    [
        ('{"password": "${PASSWORD}", "token": "Bearer {token}", "secret": {secret}, "api_key": {{ key }}}', ""),
        ('{"password": "", "secret": null, "auth": true, "max_tokens": 500, "keyword": "abc123def"}', ""),
        ('{"key": "title", "pass": "economy class", "sig": "hmac-sha256", "auth": "none", "stop_token": "</s>"}', ""),
        ('{"sort": {"key": "address2"}, "token": "END", "text": "the password: hunter2, the token is abc123"}', ""),
        ("Your password: hunter2, token=abc123abc123, for {name}", ""),
        ("q={q}&max_tokens=5&password=${PASSWORD}", "application/x-www-form-urlencoded"),
    ],
)
def test_places_and_ordinary_words_in_a_body_are_no_secrets(text: str, kind: str) -> None:
    Body.of(text, "--body", kind).refuse_secrets()


def test_answer_that_repeats_a_secret_stays_json_and_short_values_stand_in_it_by_chance() -> None:
    key = Variables({"KEY": "12345678", "QUOTED": 'a"b\\c', "LANGUAGE": "en", "ONE": "1"})
    answer = {"n": 1, "id": 12345678, "in": "en", "deep": [{"12345678": 'says a"b\\c'}, None, True, 2.5]}
    assert json.loads(key.clean_answer(json.dumps(answer), is_json=True)) == {
        "n": 1, "id": "[redacted]", "in": "en", "deep": [{"[redacted]": "says [redacted]"}, None, True, 2.5]
    }  # fmt: skip
    assert key.clean_answer('{"n": 12345678', is_json=True) == '{"n": [redacted]'
    assert key.clean_answer("en: 12345678", is_json=False) == "en: [redacted]"
    assert key.clean("en: 12345678") == "[redacted]: [redacted]", "an error has it seldom by chance"


@pytest.mark.parametrize(
    "headers, seconds",
    [
        ({"remaining-requests": "0", "reset-requests": "1s"}, 1.0),
        ({"remaining-requests": "0", "reset-requests": "1h2m3.5s"}, 3723.5),
        ({"remaining-tokens": "0", "reset-tokens": "120ms", "remaining-requests": "5", "reset-requests": "9s"}, 0.12),
        ({"remaining": "0", "reset": "30"}, 30.0), ({"remaining": "0", "reset": "1000000060"}, 60.0),
        ({"remaining": "0", "reset": "999999999999999999999"}, 0.0), ({"remaining": "0"}, 0.0),
        ({"remaining": "0", "reset": "soon"}, 0.0), ({"remaining": "1", "reset": "30"}, 0.0), ({}, 0.0),
    ],
)  # fmt: skip
def test_quota_that_is_used_up_is_understood(headers: dict[str, str], seconds: float) -> None:
    named = {f"x-ratelimit-{name}": value for name, value in headers.items()}
    assert seconds_until_more(named, now=lambda: 1_000_000_000.0) == pytest.approx(seconds)
