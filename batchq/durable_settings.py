"""What a program may ask of a batch that has a file and processes, and what no batch in memory can do."""

from __future__ import annotations

import os
from collections.abc import Sequence

from batchq.errors import ConfigError, UsageError
from batchq.redaction import fields_of
from batchq.units import bytes_of, moment_of, share_of
from batchq.urls import addresses_of


class DurableSettings:
    """The fields of `config.BatchConfig`, which has and explains them, that need ``mode="queue"``."""

    redact: str | Sequence[str]
    out: str | os.PathLike[str] | None
    overwrite: bool
    notify: str | Sequence[str]
    notify_at: str | None
    deadline: str | None
    memfree: str | None
    max_tasks_per_worker: int | None
    max_worker_memory: str | None
    reuse: str | Sequence[str]
    reuse_changed: bool
    cache: str | os.PathLike[str] | None

    def check_durable(self, is_durable: bool) -> None:
        """Check them.

        Args:
            is_durable: the mode is ``queue``.

        Raises:
            ConfigError: a value cannot be used.
            UsageError: one stands alone that another belongs to, or the batch would be in memory.
        """
        for name in DurableSettings.__annotations__:
            value = getattr(self, name)
            if not is_durable and value not in (None, False, "") and value != () and value != []:
                hint = "A batch in memory has no file and no processes of its own."
                raise UsageError(f"{name} needs mode='queue'", hint)
        for name, needed in (("overwrite", "out"), ("notify_at", "notify"), ("reuse_changed", "reuse")):
            if getattr(self, name) and not getattr(self, needed):
                raise UsageError(f"{name} is of use with {needed} only")
        for name in ("out", "cache"):
            if getattr(self, name) is not None and not os.fspath(getattr(self, name)):
                raise ConfigError(name, "", "a path")
        _ = self.hidden, self.addresses, self.share, self.moment, self.least_free, self.most_memory

    @property
    def hidden(self) -> tuple[str, ...]:
        """The fields that are not to be shown, one by one."""
        return fields_of(texts_of(self.redact), "redact")

    @property
    def addresses(self) -> tuple[str, ...]:
        """Whom to tell how the batch ends."""
        return addresses_of("notify", texts_of(self.notify))

    @property
    def share(self) -> float | None:
        """Of failed items, at which they are told as well."""
        return None if self.notify_at is None else share_of("notify_at", self.notify_at)

    @property
    def moment(self) -> float | None:
        """The deadline, seconds since 1970; counted from now where it is a duration."""
        return None if self.deadline is None else moment_of("deadline", self.deadline)

    @property
    def least_free(self) -> int | None:
        """Bytes of memory below which nothing begins."""
        return None if self.memfree is None else bytes_of("memfree", self.memfree)

    @property
    def most_memory(self) -> int | None:
        """Bytes of memory that a worker may have."""
        return None if self.max_worker_memory is None else bytes_of("max_worker_memory", self.max_worker_memory)


def texts_of(value: str | Sequence[str]) -> tuple[str, ...]:
    """One text, or several, as a tuple.

    Example:
        >>> texts_of("600/m"), texts_of(["600/m", "tokens=90k/m"])
        (('600/m',), ('600/m', 'tokens=90k/m'))
    """
    return (value,) if isinstance(value, str) else tuple(value)
