"""What a batch is: where its items come from, what runs over them, and within which limits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from batchq import urls

STDIN: Final = "-"
"""How an input is named that is read from standard input."""
PROGRAM: Final = "<program>"
"""The path of an input that a program hands over, item by item."""
LOCAL: Final = "local"
DASK: Final = "dask"
ENGINES: Final = (LOCAL, DASK)
"""What runs the workers of a batch: processes of this machine, or a Dask cluster."""
_OF_A_FILE: Final = ("path", "name", "format", "size", "mtime_ns")
"""What is stored of each of several files."""


@dataclass(frozen=True)
class SourceSpec:
    """Which input a batch reads, and which of its records.

    Attributes:
        path: absolute path, ``-`` for standard input, or `PROGRAM`; of several files that of the first.
        name: the input as the user named it, for messages.
        format: one of `inputs.FORMATS`, perhaps with ``.gz``, ``.bz2`` or ``.zst``; ``several`` where files differ;
            ``values`` from a program.
        size: bytes at the start of the batch; None for standard input.
        mtime_ns: time of the last change at the start of the batch, nanoseconds; None likewise.
        limit: read at most that many records; None reads all.
        files: each of several files, with its own path, name, format, size and time; empty for a single one.
        encoding: of text.
        csv_types: cells of a table become numbers, true, false and null where they look like it.
        max_item_size: bytes; a larger record fails. None for no limit.
        id_field: the field that an item's id is taken from, as a dotted path; None for the usual ones.
        select: the fields that an item keeps, as dotted paths; empty for all.
        where: the expression that a record has to fulfil; None for none.
        unique: the field by which later records of the same value are left out; None for none.
        skip: records that are left out at the beginning.
        sample: so many records are drawn at random; None takes all.
        shuffle: they come in a random order.
        seed: of what is random.
        shard: the part of what is chosen that becomes items, such as ``3/10``; None for all. See `shards`.
        digest: of a shard, once the input was read to its end: a hash over all of the input, which is that of the
            other shards, too. None before, and of an input that is not shared out.
        within: the folder in which the file has to lie, reached without symbolic links, each time that it is opened;
            None where the batch's own user has named it.
    """

    path: str
    name: str
    format: str
    size: int | None = None
    mtime_ns: int | None = None
    limit: int | None = None
    files: tuple[SourceSpec, ...] = ()
    encoding: str = "utf-8"
    csv_types: bool = False
    max_item_size: int | None = None
    id_field: str | None = None
    select: tuple[str, ...] = ()
    where: str | None = None
    unique: str | None = None
    skip: int = 0
    sample: int | None = None
    shuffle: bool = False
    seed: int = 0
    within: str | None = None
    shard: str | None = None
    digest: str | None = None

    @property
    def parts(self) -> tuple[SourceSpec, ...]:
        """Each file as an input of its own, all records of which are read."""
        whole = SourceSpec(self.path, self.name, self.format, self.size, self.mtime_ns)
        return tuple(
            replace(
                file,
                encoding=self.encoding,
                csv_types=self.csv_types,
                max_item_size=self.max_item_size,
                within=self.within,
            )
            for file in self.files or (whole,)
        )

    @property
    def is_plain(self) -> bool:
        """Whether it is one file, or standard input, whose records all become items as they stand."""
        chosen = (self.id_field, self.select, self.where, self.unique, self.skip, self.shuffle, self.shard)
        return not self.files and self.sample is None and not any(chosen)

    @property
    def is_stdin(self) -> bool:
        """Whether it is standard input, which nobody can read a second time."""
        return self.path == STDIN

    @property
    def is_once(self) -> bool:
        """Whether nobody can read it a second time but whoever handed it over."""
        return self.is_stdin or self.is_program

    @property
    def is_program(self) -> bool:
        """Whether a program hands it over, which only that program can do a second time."""
        return self.path == PROGRAM


@dataclass(frozen=True)
class BatchSpec:
    """What a batch is: everything a supervisor needs to run it, frozen when the batch is made.

    Attributes:
        target: ``package.module:function`` or ``/absolute/path/file.py:function``; of a function that is stored by
            value its name, for messages.
        setup: TARGET of the (async) context manager that each worker enters once, or None.
        folder: the folder put on ``sys.path`` to find the target.
        cwd: the working directory of the workers.
        python: the interpreter that made the batch.
        concurrency: items in flight in the whole batch, whatever the number of workers.
        workers: processes, at most.
        timeout: seconds per attempt; None for no limit.
        retry_attempts: attempts of an item, the first included.
        retry_delay: seconds before the second attempt.
        retry_backoff: factor from one delay to the next.
        retry_max_delay: seconds; no delay is longer.
        retry_jitter: share of the delay that is drawn at random and added (0.1: up to 10%).
        no_retry: names of exceptions that are not tried again.
        retry_on: names of exceptions that are, although they would not be.
        retry_budget: share of the attempts that may be retries; 1 for no such limit.
        halt: failed items (``100``) or share of them (``20%``) that halts the batch; None for no such limit.
        breaker: pause when everything fails.
        rates: limits of what begins (``600/m``) or is spent (``tokens=90k/m``); see `pace.Rate`.
        budgets: how much may be spent in all (``usd=20``).
        adaptive: lower the concurrency while the server that items call is overloaded.
        deadline: seconds since 1970; what has not begun by then never does. None for no such limit.
        memfree: bytes of memory below which nothing new begins; None for no such limit.
        on_finish: a command for the shell when the batch has ended, or waits for somebody; None for none.
        notify: addresses that are told how the batch ends, by signed requests.
        notify_at: share of failed among done items that is told them once; None for none.
        notify_by_variable: the secret of these requests is in the environment, and not in the home.
        max_tasks_per_worker: items after which a worker is replaced; None for no such limit.
        max_worker_memory: bytes; a worker that has more in memory is replaced. None for no such limit.
        out: absolute path of the file to which results are written while it runs; None for none.
        chunk_size: items in a chunk.
        durability: ``normal`` (safe against crashes of processes) or ``full`` (and power cuts).
        crash_attempts: deaths of a worker with this item alone before the item is failed.
        max_uncommitted: outcomes that are uncommitted at most, over all workers; their slots wait then.
        grace: seconds that items in flight have to finish after a first Ctrl-C.
        fail_empty: an empty result fails its item.
        redact: names and paths of fields that logs and reports do not show; see `redaction.Redaction`.
        nan: what becomes of NaN and the infinities in a result: ``fail`` (its item fails) or ``null``.
        strict: the first record that cannot be read halts the batch.
        fingerprint: hash of the source of the function; None where it is not known.
        handler_changed: when a batch went on with another function, seconds since 1970.
        pickled_by: version of the Python that stored the function by value (``3.11``); None where it has a TARGET.
        reuse: earlier batches, whose results are taken for items that are the same.
        reuse_changed: also where these have run another function.
        cache: absolute path of the folder of results that batches share; None for none.
        stages: TARGETs, as `target` is one, of the functions that run after the first, each with what the one before
            has returned; empty for none.
        work: ready-made work that runs instead of a function, as `ready.Kind.check` returned it; `target` is its title
            then. None for a function.
        engine: one of `ENGINES`.
        scheduler: address of the Dask scheduler; None for a cluster that is started for the batch.
        all_workers: as many as that cluster has when the batch begins; `workers` says how many these are from then on.
    """

    target: str
    folder: str
    cwd: str
    python: str
    source: SourceSpec
    setup: str | None = None
    concurrency: int = 5
    workers: int = 1
    timeout: float | None = 300.0
    retry_attempts: int = 3
    retry_delay: float = 1.0
    retry_backoff: float = 2.0
    retry_max_delay: float = 60.0
    retry_jitter: float = 0.1
    chunk_size: int = 50
    durability: str = "normal"
    crash_attempts: int = 2
    max_uncommitted: int = 1000
    grace: float = 8.0
    fail_empty: bool = False
    pickled_by: str | None = None
    no_retry: tuple[str, ...] = ()
    retry_on: tuple[str, ...] = ()
    retry_budget: float = 1.0
    halt: str | None = None
    breaker: bool = False
    rates: tuple[str, ...] = ()
    budgets: tuple[str, ...] = ()
    adaptive: bool = False
    deadline: float | None = None
    memfree: int | None = None
    on_finish: str | None = None
    notify: tuple[str, ...] = ()
    notify_at: float | None = None
    notify_by_variable: bool = False
    max_tasks_per_worker: int | None = None
    max_worker_memory: int | None = None
    redact: tuple[str, ...] = ()
    nan: str = "fail"
    strict: bool = False
    fingerprint: str | None = None
    handler_changed: tuple[float, ...] = ()
    out: str | None = None
    stages: tuple[str, ...] = ()
    work: Mapping[str, Any] | None = None
    reuse: tuple[str, ...] = ()
    reuse_changed: bool = False
    cache: str | None = None
    engine: str = LOCAL
    scheduler: str | None = None
    all_workers: bool = False

    @property
    def has_commands(self) -> bool:
        """Whether its items are processes of their own, which a worker that is killed leaves behind."""
        return self.work is not None and self.work["kind"] == "exec"

    def shown(self) -> BatchSpec:
        """The same for people and logs: without what addresses may carry of secrets."""
        return replace(self, notify=tuple(urls.shown(address) for address in self.notify))

    def to_json(self) -> str:
        """The specification as JSON text, as it is stored in the batch's row."""
        data = asdict(self)
        data["source"]["files"] = [{key: file[key] for key in _OF_A_FILE} for file in data["source"]["files"]]
        return json.dumps(data, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> BatchSpec:
        """The specification that `to_json` wrote; keys of later releases are ignored."""
        return cls.from_dict(json.loads(text))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> BatchSpec:
        """The specification of which `dataclasses.asdict` made `data`; keys of later releases are ignored."""
        source = dict(data["source"])
        files = tuple(SourceSpec(**_known(SourceSpec, file)) for file in source.pop("files", ()))
        return cls(source=SourceSpec(**_known(SourceSpec, source), files=files), **_known(cls, data))


def _known(cls: type, data: Mapping[str, Any]) -> dict[str, Any]:
    names = cls.__dataclass_fields__  # type: ignore[attr-defined]
    known = {key: value for key, value in data.items() if key in names and key != "source"}
    return {key: tuple(value) if isinstance(value, list) else value for key, value in known.items()}
