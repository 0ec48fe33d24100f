"""The options of `start` that ask for a language model instead of a function."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click

from batchq.errors import UsageError

BASE_URL: Final = "https://api.openai.com/v1"
KEY: Final = "OPENAI_API_KEY"
SCHEMA_ATTEMPTS: Final = 2
_LOOKS_LIKE_A_FILE: Final = re.compile(r"[!-~]*/[!-~]*|\S*\.(?:txt|md|jinja|j2|prompt)")
"""A slash in a text of a script without spaces makes it no path."""


LLM_OPTIONS: Final[tuple[Callable[[Any], Any], ...]] = (
    click.option(
        "--llm",
        metavar="PROMPT",
        help='Ask a language model instead of calling a function: "Write a title for: {text}", with fields of '
        "the item in braces, or @FILE with such a text; {{ … }} is Jinja. Needs --model and batchq[llm].",
    ),
    click.option(
        "--llm-batch",
        is_flag=True,
        help="INPUT is a file made for a provider's batch service (custom_id, method, url, body): make each of "
        "its calls as it stands. `results --format openai` writes what that service would.",
    ),
    click.option("--model", metavar="NAME", help="With --llm: the model."),
    click.option(
        "--base-url",
        metavar="URL",
        help=f"With --llm: the API, or a local server's.  [env var: OPENAI_BASE_URL; default: {BASE_URL}]",
    ),
    click.option(
        "--system",
        metavar="FILE",
        help="With --llm: the system prompt, a template too: a file, @FILE, or the text itself.",
    ),
    click.option(
        "--schema",
        metavar="FILE",
        help="With --llm: a JSON schema that answers have to fit; results are objects then. A model whose "
        "answer does not fit is asked again with the complaint.",
    ),
    click.option(
        "--schema-attempts",
        type=click.IntRange(0, 20),
        metavar="N",
        help="With --schema: ask again up to N times within an attempt; each is a call that is paid.  "
        f"[default: {SCHEMA_ATTEMPTS}]",
    ),
    click.option("--max-tokens", type=click.IntRange(1), metavar="N", help="With --llm: of an answer, at most."),
    click.option("--temperature", type=click.FloatRange(0), metavar="T", help="With --llm."),
    click.option(
        "--param",
        multiple=True,
        metavar="NAME=JSON",
        help="With --llm: another field of the request: seed=7, reasoning_effort=low, 'stop=[\"\\n\"]'. May be "
        "repeated.",
    ),
    click.option(
        "--api-key-env",
        metavar="NAME",
        help="With --llm: the variable of the environment that holds the API key. Only its name is stored.  "
        f"[default: {KEY}]",
    ),
    click.option(
        "--prices",
        metavar="FILE",
        help='With --llm: what models cost, in usd for 1M tokens: {"NAME": {"input": 0.15, "cached_input": '
        '0.075, "output": 0.6}}. The usd that are spent are shown, and count for --budget usd=20.',
    ),
)
OF_BOTH: Final = ("base_url", "api_key_env", "prices")
LLM_NAMES: Final = (
    *("llm", "model", "system", "schema", "schema_attempts", "max_tokens", "temperature", "param"),
    *OF_BOTH,
)
"""Their names, that of the kind first."""
LLM_BATCH_NAMES: Final = ("llm_batch", *OF_BOTH)
"""Likewise: in a batch file the request stands as it is."""


def llm_work(kind: str, given: Mapping[str, Any], budgets: Sequence[str]) -> dict[str, Any]:
    """The work that these options ask for.

    Args:
        kind: ``llm`` or ``llm_batch``.
        given: by name, what was given.
        budgets: what --budget says.

    Raises:
        UsageError: they do not go together, or a file that they name cannot be read.
    """
    usd = [text for text in budgets if text.partition("=")[0].strip() == "usd"]
    if usd and "prices" not in given:
        raise UsageError(
            f"--budget {usd[0]} would never be reached: without --prices it is not known what calls cost",
            "Name a table of prices with --prices, or limit --budget tokens=1m.",
        )
    work = {
        "kind": kind.replace("_", "-"),
        "base_url": given.get("base_url") or os.environ.get("OPENAI_BASE_URL") or BASE_URL,
        "key_env": given.get("api_key_env", KEY),
        "key_needed": "api_key_env" in given,
        "prices": _json_of("--prices", given.get("prices")),
    }
    if kind == "llm_batch":
        return work
    if "schema_attempts" in given and "schema" not in given:
        raise UsageError("--schema-attempts is of use with --schema only")
    return {
        **work,
        "prompt": _text_of("--llm", given["llm"]),
        "system": None if "system" not in given else _text_of("--system", given["system"], or_file=True),
        "model": given.get("model"),
        "schema": _json_of("--schema", given.get("schema")),
        "schema_attempts": given.get("schema_attempts", SCHEMA_ATTEMPTS),
        "max_tokens": given.get("max_tokens"),
        "temperature": given.get("temperature"),
        "params": _params_of(given.get("param", ())),
    }


def _text_of(option: str, text: str, or_file: bool = False) -> str:
    """The text itself, or what the file holds that is named with an @; `or_file`: that may be left away."""
    if text.startswith("@"):
        return _read(option, text[1:], "What begins with @ names a file; a space before it makes it a text.")
    if or_file and len(text) < 1000 and "\n" not in text:
        # Where a text is too long for a name, a Path raises; and a shell's <(…) is no regular file.
        if os.path.exists(text) and not os.path.isdir(text):
            return _read(option, text)
        if _LOOKS_LIKE_A_FILE.fullmatch(text):
            from batchq.inputs.files import near_file

            hint = near_file(text) or "Say what the model is told, or name a file."
            raise UsageError(f"{option}: there is no file {text}", hint)
    return text


def _json_of(option: str, name: str | None) -> Any:
    """What a file of JSON holds."""
    if name is None:
        return None
    try:
        value = json.loads(_read(option, name))
    except json.JSONDecodeError as error:
        place = f"{name}, line {error.lineno}, column {error.colno}"
        raise UsageError(f"{option}: {place}: not JSON: {error.msg}") from None
    except (ValueError, RecursionError):
        raise UsageError(f"{option}: {name} is nested too deeply, or has a huge number") from None
    if value is None:  # which would be as if the option had not been given
        raise UsageError(f"{option}: {name} holds null only")
    return value


def _read(option: str, name: str, hint: str = "") -> str:
    try:
        return Path(name).read_text(encoding="utf-8").rstrip("\n")
    except UnicodeDecodeError:
        raise UsageError(f"{option}: {name} is not UTF-8") from None
    except OSError as error:
        from batchq.inputs.files import near_file

        raise UsageError(f"{option}: {name}: {error.strerror}", near_file(name) or hint) from None


def _params_of(texts: tuple[str, ...]) -> Mapping[str, Any]:
    """Fields of a request; a single word need not be quoted."""
    params = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"--param {text!r} is no NAME=JSON", "Such as seed=7 or reasoning_effort=low.")
        try:
            parsed = json.loads(value)
        except json.JSONDecodeError as error:
            if not re.fullmatch(r"[\w.-]+", value):
                raise UsageError(f"--param {name}: {value!r} is not JSON: {error.msg}") from None
            parsed = value
        try:
            json.dumps(parsed, allow_nan=False)
        except ValueError:
            raise UsageError(f"--param {name}: {value!r} has a number that JSON does not have") from None
        params[name.strip()] = parsed
    return params
