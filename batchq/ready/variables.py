"""Variables of the environment in templates, ``${KEY}``: looked up where they are used, and kept out of all texts."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from batchq.errors import UsageError
from batchq.ready.templates import Template
from batchq.redaction import REDACTED, SHORT, Values, texts_as_values, without


class Variables(Mapping[str, str]):
    """The values of the variables that templates want; they are secrets.

    What it is made of is kept out of `repr`, so that no traceback or log line can have it.

    Args:
        values: by the names of the variables.

    Example:
        >>> key = Variables({"KEY": "s3cret-s3cret"})
        >>> key.clean("Bearer s3cret-s3cret is not valid"), repr(key)
        ('Bearer [redacted] is not valid', 'Variables(KEY)')
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)
        self._hidden = texts_as_values(self._values.values())
        self._long = texts_as_values(value for value in self._values.values() if len(value) >= SHORT)

    @classmethod
    def wanted(cls, templates: Iterable[Template], environment: Mapping[str, str] | None = None) -> Variables:
        """Those that `templates` want, as they are in the environment now.

        Args:
            templates: any.
            environment: instead of the process's own.

        Raises:
            UsageError: one is not set, or empty, or has a line break, which no header can have.
        """
        known = os.environ if environment is None else environment
        values: dict[str, str] = {}
        for template in templates:
            for name in template.variables:
                value = known.get(name, "")
                if not value:
                    why = "is empty" if name in known else "is not set"
                    raise UsageError(
                        f"{template.option} wants the variable {name} of the environment, which {why}",
                        f"Set it where batchq runs, without storing it: read -rs {name} && export {name}",
                    )
                if not value.isprintable():
                    raise UsageError(
                        f"{template.option} wants the variable {name} of the environment, whose value has a line break "
                        "or another character that cannot be sent",
                        "Look at how it is set.",
                    )
                values[name] = value
        return cls(values)

    def clean(self, text: str) -> str:
        """An error's text without these values."""
        return without(text, [self._hidden]) if self._values else text

    def clean_answer(self, text: str, is_json: bool) -> str:
        """The text of an answer without these values, but for short ones, which it has by chance.

        Args:
            text: as it came.
            is_json: it is JSON, and stays that: only what its texts and numbers say is replaced.

        Example:
            >>> key = Variables({"KEY": "1234567", "LANGUAGE": "en"})
            >>> key.clean_answer('{"in": "en", "for": "key 1234567", "n": 1234567}', is_json=True)
            '{"in": "en", "for": "key [redacted]", "n": "[redacted]"}'
        """
        cleaned = without(text, [self._long]) if self._values else text
        if cleaned == text or not is_json:
            return cleaned
        try:
            return json.dumps(_without(json.loads(text), self._long), ensure_ascii=False)
        except (ValueError, RecursionError):  # it is none, which whoever reads it will say
            return cleaned

    @property
    def names(self) -> dict[str, str]:
        """What to show in the place of each value: its name, as in the template."""
        return {name: f"${{{name}}}" for name in self._values}

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self._values)})"


def _without(value: Any, hidden: Values) -> Any:
    if isinstance(value, str):
        return without(value, [hidden])
    if isinstance(value, dict):
        return {without(name, [hidden]): _without(member, hidden) for name, member in value.items()}
    if isinstance(value, list):
        return [_without(member, hidden) for member in value]
    return value if without(text := json.dumps(value), [hidden]) == text else REDACTED
