"""Settings in files: the project's ``batchq.toml`` or ``[tool.batchq]``, then the user's own ``config.toml``.

    flag  >  environment  >  project  >  user  >  default

A file sets what an option of `start` that the environment knows too would set, and ``home`` and ``quiet``.  None may
name code to run: a file in a folder that somebody else has filled is read as soon as one stands in it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import click
from click.core import ParameterSource

from batchq.errors import ConfigError, SettingsError

CODE: Final = frozenset({"func", "then", "setup", "on_finish", "exec", "shell"})
OF_A_SERVER: Final = frozenset({"server", "token_file", "scheduler"})
"""A file that somebody else has written must not say to whom items and tokens are sent; a Dask cluster can run code in
the supervisor, too."""
OF_ONE_BATCH: Final = frozenset({"id", "input", "input_format", "limit", "shard", "detach"})
COMMON: Final = frozenset({"home", "quiet"})
WITHOUT_VARIABLE: Final = frozenset({"no_retry", "retry_on", "rate", "budget", "redact"})
"""Options that files know although the environment does not: they are lists."""
_KEPT: Final = "batchq.settings"
WORDS: Final = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", list: "a list of texts"}


@dataclass(frozen=True)
class Origin:
    """Where a setting of a file comes from.

    Attributes:
        path: the file.
        line: in it, from 1; None where that is not known.
    """

    path: Path
    line: int | None

    def __str__(self) -> str:
        return str(self.path) if self.line is None else f"{self.path}:{self.line}"


@dataclass(frozen=True)
class Setting:
    """A value that a file sets, by click's name of the parameter."""

    value: Any
    origin: Origin


class Settings:
    """What the files that are found say.

    Args:
        options: the options that a file may set, by key.
        parameters: every parameter of `start`, by key: to say why some of them are not among `options`.
    """

    def __init__(self, options: Mapping[str, click.Option], parameters: Mapping[str, click.Parameter]) -> None:
        self._options = options
        self._parameters = parameters
        self.found: dict[str, Setting] = {}

    @classmethod
    def of(cls, group: click.Group) -> Settings:
        """Those that `group` and its `start` know."""
        start = group.commands["start"]
        parameters = {key_of(each): each for each in [*start.params, *group.params]}
        options = {key: each for key, each in parameters.items() if isinstance(each, click.Option)}
        return cls({key: each for key, each in options.items() if _is_setting(key, each)}, parameters)

    @classmethod
    def within(cls, context: click.Context) -> Settings:
        """Those that `load` has read for the command that runs."""
        settings = context.find_root().meta[_KEPT]
        assert isinstance(settings, cls)
        return settings

    @property
    def options(self) -> Mapping[str, click.Option]:
        """What may be set, by key."""
        return self._options

    def read(self, context: click.Context, cwd: Path) -> None:
        """Read the files that hold here; raises `SettingsError` for what a file may not say."""
        for path, table in files(cwd):
            for key, (value, origin) in _entries(path, table).items():
                option = self._option(key, origin)
                name = str(option.name)
                if name not in self.found:  # what is nearer has been read before
                    self.found[name] = Setting(self._checked(context, key, option, value, origin), origin)

    def default_map(self) -> dict[str, Any]:
        """What click is to take for options that neither the command line nor the environment sets."""
        values = {name: each.value for name, each in self.found.items()}
        common = {name: values.pop(name) for name in COMMON & values.keys()}
        return {**common, "start": values, "try": values}

    def _option(self, key: str, origin: Origin) -> click.Option:
        option = self._options.get(key)
        if option is not None:
            return option
        place = str(origin)
        if key in CODE:
            flag = "--" + key.replace("_", "-")
            raise SettingsError(place, key, f"no file may name code to run; say {flag} on the command line")
        if key in OF_A_SERVER:
            said = f"--{key.replace('_', '-')}, or BATCHQ_{key.upper()}"
            raise SettingsError(place, key, f"no file may say where items are sent; say {said}")
        if key in self._parameters:
            raise SettingsError(place, key, "is said on the command line only")
        from difflib import get_close_matches

        near = get_close_matches(key, self._options, 1)
        hint = f"Did you mean {near[0]}?" if near else "`batchq config` lists all settings."
        raise SettingsError(place, key, "there is no such setting", hint)

    def _checked(self, context: click.Context, key: str, option: click.Option, value: Any, origin: Origin) -> Any:
        """`value` as the flag would have it."""
        kind = _kind(option)
        if not _is_of(value, kind):
            raise SettingsError(str(origin), key, f"must be {WORDS[kind]}, not {value!r}")
        try:
            cast = option.type_cast_value(context, value)
        except click.BadParameter as error:
            raise SettingsError(str(origin), key, error.message.rstrip(".")) from error
        if key == "home":
            return str(origin.path.parent / Path(value).expanduser())
        return cast


def load(group: click.Group, context: click.Context) -> None:
    """Let the files that hold here set what the command line and the environment leave open.

    Raises:
        SettingsError: one of them cannot be read, or says what a file may not say.
    """
    settings = context.meta[_KEPT] = Settings.of(group)
    try:
        cwd = Path.cwd()
    except OSError:  # the folder is gone, and with it the project
        cwd = Path()
    try:
        settings.read(context, cwd)
    except SettingsError:
        if not context.resilient_parsing:  # whoever presses Tab wants no message
            raise
    context.default_map = settings.default_map()


@contextmanager
def blamed(context: click.Context) -> Iterator[None]:
    """Let a value that cannot be used name the file that set it, where one did.

    Raises:
        SettingsError: a file set it.
        ConfigError: somebody else did.
    """
    try:
        yield
    except ConfigError as error:
        name = error.name.lstrip("-").replace("-", "_")
        setting = Settings.within(context).found.get(name)
        if setting is None or context.get_parameter_source(name) is not ParameterSource.DEFAULT_MAP:
            raise
        reason = f"must be {error.expected}, not {error.value!r}"
        raise SettingsError(str(setting.origin), name, reason) from error


def files(cwd: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The files that hold in `cwd`, the project's before the user's, with their tables of settings."""
    for folder in (cwd, *cwd.parents):
        if (table := _read(folder / "batchq.toml")) is not None:
            yield folder / "batchq.toml", table
            break
        if (table := _read_project(folder / "pyproject.toml")) is not None:
            yield folder / "pyproject.toml", table
            break
    from platformdirs import user_config_path

    own = user_config_path("batchq", appauthor=False) / "config.toml"
    if (table := _read(own)) is not None:
        yield own, table


def key_of(parameter: click.Parameter) -> str:
    """The name in files: that of the flag, with _ for -."""
    longest = max(parameter.opts, key=len)
    return longest.lstrip("-").replace("-", "_")


def _is_setting(key: str, option: click.Option) -> bool:
    if key in CODE | OF_A_SERVER | OF_ONE_BATCH:
        return False
    return key in COMMON | WITHOUT_VARIABLE or option.envvar is not None


def _kind(option: click.Option) -> type:
    """The type that TOML has for it."""
    if option.is_flag:
        return bool
    if option.multiple:
        return list
    return {"integer": int, "float": float}.get(option.type.name, str)


def _is_of(value: Any, kind: type) -> bool:
    if kind is list:
        return isinstance(value, list) and all(isinstance(each, str) for each in value)
    if isinstance(value, bool) and kind is not bool:
        return False
    return isinstance(value, (int, float) if kind is float else kind)


def _read_project(path: Path) -> dict[str, Any] | None:
    """The table of batchq in a pyproject.toml; None where there is none."""
    try:
        if b"batchq" not in path.read_bytes():
            return None  # most have none, and need not be parsed
    except OSError:
        return None
    tool = (_read(path) or {}).get("tool")
    table = tool.get("batchq") if isinstance(tool, dict) else None
    if table is not None and not isinstance(table, dict):
        raise SettingsError(str(path), "tool.batchq", "must be a table")
    return table


def _read(path: Path) -> dict[str, Any] | None:
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is not UTF-8"
        raise SettingsError(str(path), "", f"cannot be read: {reason}") from error
    toml = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        table: dict[str, Any] = toml.loads(text)
        return table
    except ValueError as error:
        raise SettingsError(str(path), "", f"is not TOML: {error}") from error


def _entries(path: Path, table: Mapping[str, Any]) -> dict[str, tuple[Any, Origin]]:
    """Each key of `table`, with _ for -, its value and where it stands."""
    lines = path.read_text(encoding="utf-8").splitlines()
    begin = 0
    if path.name == "pyproject.toml":
        heads = [at for at, line in enumerate(lines) if re.match(r"\s*\[\s*tool\s*\.\s*[\"']?batchq[\"']?\s*\]", line)]
        begin = heads[0] + 1 if heads else len(lines)
    found = {}
    for written, value in table.items():
        key_line = re.compile(rf"\s*[\"']?{re.escape(written)}[\"']?\s*[=.]|\s*\[\[?\s*{re.escape(written)}\b")
        line = next((at for at, text in enumerate(lines[begin:], begin + 1) if key_line.match(text)), None)
        found[written.replace("-", "_")] = (value, Origin(path, line))
    return found
