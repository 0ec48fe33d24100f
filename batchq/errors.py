"""Every error that batchq raises or records, in one tree.

    BatchqError
    ├── UsageError                 exit 2: wrong usage or input, nothing was started
    │   ├── ConfigError            an option or a setting has no such value
    │   ├── SettingsError          a file of settings says what it cannot say
    │   ├── TargetError            the function named by --func, --then or --setup cannot be used
    │   ├── InputError             the input cannot be read
    │   │   └── InputChanged       the input is not the one that the batch began with
    │   ├── BatchNotFound          no such batch in this home
    │   ├── ItemNotFound           no such item in this batch
    │   ├── BatchExists            the id is taken
    │   ├── SealBroken             the batch's folder names code, and did not come from this user
    │   ├── OutputError            the file for results cannot be made, or may not be replaced
    │   ├── HomeError              the home folder cannot be used
    │   ├── ClusterUnfit           the workers of the Dask cluster have another Python or batchq
    │   ├── ServerRefused          the server of --server does not do what it is asked for
    │   ├── NotAllowed             the owner of the server has not allowed that
    │   └── StoreError             batch.db is newer, damaged or no batch at all
    ├── BatchBusy                  exit 75: another process supervises that batch
    ├── ServerUnreachable          exit 69: the server of --server does not answer
    ├── ClusterUnreachable         exit 69: the Dask cluster does not answer, or has no worker
    ├── ServerFailed               exit 70: that server answers with a fault of its own
    ├── ServerBusy                 exit 75: another server runs on that home
    ├── ServerSilent               exit 75: the server of the home gives no answer
    ├── StorageFailed              exit 74: disk or I/O, once started
    │   ├── FileDamaged            batch.db has lost a part of what it held
    │   ├── DiskFull               there is no room for what has to be written
    │   └── OutputFailed           the file for results could not be written to its end
    ├── SystemRefused              exit 74: the system refuses what a running batch needs
    │   └── TooManyFiles           it can open no more files
    ├── SetupFailed                the --setup resource could not be entered; the batch halts
    ├── BatchHalted                a batch of the library stopped before its end
    ├── ItemFailed                 the item whose result was asked for has failed
    ├── RetriesExhausted           a single function failed in its last attempt as well
    ├── Permanent                  raised by a handler: do not try this item again
    │   ├── TemplateFailed         a template of ready-made work cannot be filled with this item
    │   │   └── MissingField       the item has no field of that name
    │   └── AnswerRefused          a language model gives no answer that can be used, nor would it the next time
    ├── RetryAfter                 raised by a handler: try this item again, but not before that
    ├── Halt                       raised by a handler: begin nothing more of the whole batch
    └── ItemError                  recorded as an outcome, never raised to a caller
        ├── InvalidInput           the record of the input cannot be read
        ├── ItemTimeout            an attempt took longer than its limit
        ├── UnserializableResult   the handler's result cannot be stored as JSON, or is not yet one
        ├── EmptyResult            the handler's result is empty, where that counts as a failure
        ├── HttpError              a server has answered a request of ready-made work with an error
        ├── NoAnswer               a server has not answered it, or not to the end
        ├── BadAnswer              its answer is not what it says it is
        ├── AnswerTooLarge         its answer is larger than it may be
        ├── BadRedirect            its answer redirects once too often, or to what is no HTTP
        ├── CommandFailed          a command of ready-made work has failed
        └── WorkerCrashed          the item killed its worker while it ran alone

An error carries fields, is worded once (``__str__``) and says what to do next (``hint``).  This module
imports nothing of batchq.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final


class BatchqError(Exception):
    """The base of every error of batchq.

    Attributes:
        exit_code: what the command line exits with (DESIGN 8).
        hint: one sentence on what to do next, or an empty string.

    Example:
        >>> issubclass(BatchNotFound, BatchqError)
        True
    """

    exit_code: ClassVar[int] = 70
    hint: str = ""


class UsageError(BatchqError):
    """The request cannot be carried out as it stands; nothing was started."""

    exit_code = 2

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class ConfigError(UsageError, ValueError):
    """A setting has a value that it cannot have; also a ValueError, which is what Python programs expect."""

    def __init__(self, name: str, value: object, expected: str) -> None:
        super().__init__(f"{name} must be {expected}, not {value!r}")
        self.name = name
        self.value = value
        self.expected = expected


class SettingsError(UsageError):
    """A file of settings cannot be read, or has an entry that cannot be used.

    Args:
        place: the file, with the line where it is known.
        key: of the entry; empty where the file as a whole is meant.
        reason: what is wrong with it.
        hint: what to do next.

    Example:
        >>> str(SettingsError("batchq.toml:3", "timeout", "must be a number, not 'long'"))
        "batchq.toml:3: timeout: must be a number, not 'long'"
    """

    def __init__(self, place: str, key: str, reason: str, hint: str = "") -> None:
        super().__init__(": ".join(filter(None, [place, key, reason])), hint)
        self.place = place
        self.key = key
        self.reason = reason


class TargetError(UsageError):
    """The function that a TARGET names cannot be found, loaded or called with an item."""

    def __init__(self, target: str, reason: str, hint: str = "") -> None:
        super().__init__(f"cannot use {target!r}: {reason}", hint)
        self.target = target
        self.reason = reason


class InputError(UsageError):
    """The input, or its first record, cannot be read.

    Args:
        path: the file as the user named it (``-`` is standard input).
        reason: what is wrong with it.
        line: 1-based line, where it is known.
        column: 1-based column, where it is known.
    """

    def __init__(
        self, path: str, reason: str, line: int | None = None, column: int | None = None, hint: str = ""
    ) -> None:
        place = path
        if line is not None:
            place += f", line {line}"
        if column is not None:
            place += f", column {column}"
        super().__init__(f"{place}: {reason}", hint)
        self.path = path
        self.reason = reason
        self.line = line
        self.column = column


class InputChanged(InputError):
    """The input differs from the one that the batch was reading."""


class BatchNotFound(UsageError):
    """There is no batch of that id in this home."""

    def __init__(self, batch_id: str, home: str, near: str | None = None) -> None:
        hint = f"Did you mean {near}?" if near else "`batchq status` lists the batches of this home."
        super().__init__(f"no batch {batch_id!r} in {home}", hint)
        self.batch_id = batch_id


class ItemNotFound(UsageError):
    """There is no item of that id, or at that place, in the batch.

    Example:
        >>> ItemNotFound("b1", "a44", "a4").hint
        'Did you mean a4?'
    """

    def __init__(self, batch_id: str, item: str, near: str | None = None, items: int = 0) -> None:
        hint = f"Did you mean {near}?" if near else f"Name one by its id, or by its place from #1 to #{items}."
        super().__init__(f"no item {item!r} in batch {batch_id!r}", hint if items or near else "It has no items.")
        self.batch_id = batch_id
        self.item = item


class BatchExists(UsageError):
    """A batch of that id exists already."""

    def __init__(self, batch_id: str) -> None:
        super().__init__(
            f"batch {batch_id!r} exists already",
            f"`batchq resume {batch_id}` goes on with what is left of it; or choose another --id.",
        )
        self.batch_id = batch_id


class SealBroken(UsageError):
    """A batch names code to run, and nothing shows that this user has put it there."""

    def __init__(self, batch_id: str, has_setup: bool, stages: int = 0) -> None:
        others = " --then TARGET" * stages + (" --setup TARGET" if has_setup else "")
        super().__init__(
            f"the function of batch {batch_id!r} was not stored by you on this machine, so it is not run",
            f"If you trust it, name what to run yourself: batchq resume {batch_id} --func TARGET{others}",
        )
        self.batch_id = batch_id


class OutputError(UsageError):
    """The file that results are to be written to cannot be made, or may not be replaced.

    Args:
        path: the file as the user named it.
        reason: what is wrong with it.
        hint: what to do next.

    Example:
        >>> str(OutputError("titles.csv", "is a folder"))
        'cannot write titles.csv: is a folder'
    """

    def __init__(self, path: str, reason: str, hint: str = "Name another file.") -> None:
        super().__init__(f"cannot write {path}: {reason}", hint)
        self.path = path
        self.reason = reason


class HomeError(UsageError):
    """The home folder cannot be made, written or locked."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"cannot use {path} as home: {reason}", "Name another folder with --home.")
        self.path = path

    @classmethod
    def because_of(cls, path: str, error: OSError) -> HomeError:
        """The same, with the reason that the system has."""
        if isinstance(error, (FileExistsError, NotADirectoryError)):
            return cls(path, "a file stands in its place")
        return cls(path, error.strerror or str(error))


class NotAllowed(UsageError):
    """A caller of a server names a function or a file that its owner has not allowed."""


class StoreError(UsageError):
    """A batch.db that this batchq cannot work with."""

    def __init__(self, path: str, reason: str, hint: str = "") -> None:
        super().__init__(f"{path}: {reason}", hint)
        self.path = path


class ServerRefused(UsageError):
    """The server that ``--server`` names does not do what it is asked for: no token, the wrong one, not allowed."""


class ServerUnreachable(BatchqError):
    """The server that ``--server`` names does not answer, or no longer does.

    Args:
        url: of the server.
        reason: what went wrong.
        hint: what to do next.
        was_lost: there was a connection, so that the server may have heard what it was asked.

    Example:
        >>> str(ServerUnreachable("http://localhost:8765", "connection refused"))
        'cannot reach http://localhost:8765: connection refused'
    """

    exit_code = 69

    def __init__(
        self, url: str, reason: str, hint: str = "Is `batchq serve` running there?", was_lost: bool = False
    ) -> None:
        super().__init__(f"cannot reach {url}: {reason}")
        self.url = url
        self.reason = reason
        self.hint = hint
        self.was_lost = was_lost


class ClusterUnfit(UsageError):
    """No worker of the Dask cluster can run the batch.

    Args:
        why: in words.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why, "Install the same batchq, under the same Python, wherever a Dask worker runs.")


WITHOUT_IT: Final = "With `--engine local` it goes without."
RUNS_IT: Final = f"Are `dask scheduler` and `dask worker` running there? {WITHOUT_IT}"


class ClusterUnreachable(BatchqError):
    """The Dask cluster of a batch does not answer, or has no worker.

    Args:
        name: its scheduler.
        reason: what went wrong.
        hint: what to do; by default, to see to it that the cluster runs.

    Example:
        >>> str(ClusterUnreachable("tcp://10.0.0.5:8786", "it has had no worker for 60 s"))
        'cannot use tcp://10.0.0.5:8786: it has had no worker for 60 s'
    """

    exit_code = 69

    def __init__(self, name: str, reason: str, hint: str | None = None) -> None:
        super().__init__(f"cannot use {name}: {reason}")
        self.name = name
        self.reason = reason
        self.hint = hint or RUNS_IT


class ServerFailed(BatchqError):
    """The server that ``--server`` names answers with a fault of its own, or with what cannot be understood."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"{url} has failed: {reason}")
        self.url = url
        self.hint = "Its log, `server.log` in the folder `.server` of its home, tells more."


class BatchBusy(BatchqError):
    """Another process supervises the batch."""

    exit_code = 75

    def __init__(self, batch_id: str, holder: str) -> None:
        super().__init__(f"batch {batch_id!r} is already running: {holder}")
        self.batch_id = batch_id
        self.hint = f"`batchq status {batch_id}` shows how far it is."


class ServerBusy(BatchqError):
    """Another server runs on the home.

    Args:
        home: the folder of the batches.
        server: the one that runs, in words.

    Example:
        >>> str(ServerBusy("/data/batches", "process 4711, since 2026-11-26 10:00:00 UTC"))
        'another server runs on /data/batches: process 4711, since 2026-11-26 10:00:00 UTC'
    """

    exit_code = 75

    def __init__(self, home: str, server: str) -> None:
        super().__init__(f"another server runs on {home}: {server}")
        self.hint = "`batchq serve --link` prints a link to it; another --home has a server of its own."


class ServerSilent(BatchqError):
    """The server of the home runs, and gives no answer."""

    exit_code = 75

    def __init__(self, server: str, reason: str) -> None:
        super().__init__(f"the server gives no answer ({server}): {reason}")
        self.hint = "Its log is server.log in the folder .server of the home."


class StorageFailed(BatchqError):
    """The batch's file can no longer be written."""

    exit_code = 74

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"cannot write {path}: {reason}")
        self.path = path
        self.hint = "What was committed is safe; `batchq resume` goes on when the disk is well again."


class FileDamaged(StorageFailed):
    """The batch's file has lost a part of what it held."""

    def __init__(self, path: str, batch_id: str, reason: str) -> None:
        super().__init__(path, f"the file is damaged ({reason})")
        self.hint = f"`batchq results {batch_id}` shows what can still be read; put a copy of the file back, if any."


class DiskFull(StorageFailed):
    """There is no room on the disk of the home; what ran until then is stored as far as it could be.

    Args:
        home: the folder of the batches.
        batch_id: the batch.
        free: bytes that are left there.
        limit: bytes that a file may have, where that is what stops it and not the disk.

    Example:
        >>> str(DiskFull("/data/batches", "b1", 200_000))
        'the disk of /data/batches is full (0.2 MB of space left): free 32 MB or more first'
    """

    def __init__(self, home: str, batch_id: str, free: int, limit: int | None = None) -> None:
        super().__init__(home, "no space left")
        if limit is None:
            reason = f"the disk of {home} is full ({free / 1e6:.1f} MB of space left): free 32 MB or more first"
        else:
            reason = f"no space left in {home}: a file may not exceed {limit / 1e6:.1f} MB here (ulimit -f)"
        self.args = (reason,)
        self.hint = f"Then: batchq resume {batch_id}"


class OutputFailed(StorageFailed):
    """A file of results could not be written to its end; all of them are in the batch.

    Args:
        path: the file as the user named it.
        reason: what the system says.
        hint: what to do next.

    Example:
        >>> str(OutputFailed("titles.csv", "No space left on device"))
        'cannot write titles.csv: No space left on device'
    """

    def __init__(self, path: str, reason: str, hint: str = "Nothing is lost: all results are in the batch.") -> None:
        super().__init__(path, reason)
        self.hint = hint


class SystemRefused(BatchqError):
    """The system refuses what a batch needs: a process, memory, an open file."""

    exit_code = 74

    def __init__(self, reason: str) -> None:
        super().__init__(f"the system refuses what the batch needs: {reason}")


class TooManyFiles(SystemRefused):
    """This process, which may have `limit` descriptors (None: any number), can open no more files."""

    def __init__(self, limit: int | None) -> None:
        advice = f"; `ulimit -n {max(256, 4 * limit)}` raises the limit, which is {limit:,} here" if limit else ""
        super().__init__(f"too many open files{advice}")


class SetupFailed(BatchqError):
    """The resource that --setup names could not be entered in a worker."""

    exit_code = 3


class BatchHalted(BatchqError):
    """A batch stopped before its end; what is done is stored, and carried as `report` and `results`.

    Args:
        batch_id: the batch.
        reason: why it stopped.

    Example:
        >>> BatchHalted("b1", "a worker failed").hint
        "Run it again with the batch id 'b1': it goes on with what is left."
    """

    exit_code = 3

    def __init__(self, batch_id: str, reason: str) -> None:
        super().__init__(f"batch {batch_id!r} stopped: {reason}")
        self.batch_id = batch_id
        self.reason = reason
        self.hint = f"Run it again with the batch id {batch_id!r}: it goes on with what is left."


class ItemFailed(BatchqError):
    """The item whose result was asked for has failed.

    Attributes:
        idea_id: the item's id.
        error: text of its last error.
        error_type: class name of that error.
        attempts: attempts made.

    Example:
        >>> str(ItemFailed("a1", "no answer", "TimeoutError", 3))
        'item a1 failed after 3 attempts: TimeoutError: no answer'
    """

    def __init__(self, idea_id: object, error: str, error_type: str, attempts: int) -> None:
        tries = "1 attempt" if attempts == 1 else f"{attempts} attempts"
        super().__init__(f"item {idea_id} failed after {tries}: {error_type}: {error}")
        self.idea_id = idea_id
        self.error = error
        self.error_type = error_type
        self.attempts = attempts


class RetriesExhausted(BatchqError):
    """A function failed in its last attempt as well; the exception that it raised is the cause."""

    def __init__(self, attempts: int, error: str) -> None:
        super().__init__(f"Failed after {attempts} attempts: {error}")
        self.attempts = attempts
        self.error = error


class Permanent(BatchqError):
    """Raise it in a handler to say that trying this item again cannot help.

    Example:
        >>> def handler(item):
        ...     if "text" not in item:
        ...         raise Permanent("an idea without a text has no title")
    """


class TemplateFailed(Permanent):
    """A template of ready-made work cannot be filled with the item.

    Args:
        option: where the template was given.
        reason: what went wrong.

    Example:
        >>> str(TemplateFailed("--body", "division by zero"))
        '--body: division by zero'
    """

    def __init__(self, option: str, reason: str) -> None:
        super().__init__(f"{option}: {reason}")
        self.option = option
        self.reason = reason


class MissingField(TemplateFailed):
    """The item has no field that a template names.

    Args:
        option: where the template was given.
        field: its name, or names with dots between them.
        has: what there is instead, in words.
        near: a field that may be meant; empty where there is none.

    Example:
        >>> str(MissingField("--body", "txet", "it has id, text", "text"))
        "--body: item has no field 'txet'; it has id, text. Did you mean text?"
    """

    def __init__(self, option: str, field: str, has: str, near: str = "") -> None:
        super().__init__(option, f"item has no field {field!r}; {has}" + (f". Did you mean {near}?" if near else ""))
        self.field = field


class AnswerRefused(Permanent):
    """A language model gives no answer that can be used, and would not the next time: it refuses, or is cut off."""


class RetryAfter(BatchqError):
    """Raise it in a handler to say when trying this item again may help.

    Args:
        seconds: wait so long before the next attempt; it counts like any other.
        message: why.

    Example:
        >>> def handler(item):
        ...     raise RetryAfter(30, "the quota is used up until then")
    """

    def __init__(self, seconds: float, message: str = "") -> None:
        super().__init__(message or f"try again after {seconds:g} s")
        self.seconds = float(seconds)


class Halt(BatchqError):
    """Raise it in a handler to stop the whole batch: nothing new begins, what is in flight finishes.

    The item that raised it fails; `batchq resume` goes on with the rest, and `retry` with this one.

    Example:
        >>> def handler(item):
        ...     raise Halt("the account is closed")
    """


class ItemError(BatchqError):
    """Recorded as the error of an item."""


class InvalidInput(ItemError):
    """A record of the input that cannot be read; the others run."""


class ItemTimeout(ItemError):
    """An attempt took longer than its limit.

    Args:
        seconds: the limit.
        stderr: the end of what a command of ``--exec`` has written there until then.
    """

    def __init__(self, seconds: float, stderr: str = "") -> None:
        super().__init__(f"Timeout after {seconds}s")
        self.seconds = seconds
        self.stderr = stderr

    @property
    def told(self) -> str:
        """What is told of it where others have a traceback; empty where a command has said nothing."""
        return f"ItemTimeout: {self}\n{self.stderr}" if self.stderr.strip() else ""


class UnserializableResult(ItemError):
    """A result that JSON cannot hold; running the item again would not help."""

    def __init__(self, path: str, type_name: str, reason: str) -> None:
        super().__init__(f"result cannot be stored as JSON: {path} is {type_name} ({reason})")
        self.path = path
        self.type_name = type_name
        self.reason = reason


class EmptyResult(ItemError):
    """A result of nothing, where the user has said that this is a failure; tried again like any other."""

    def __init__(self, result: object) -> None:
        super().__init__(f"the result is empty: {result!r}")


BODY_SHOWN: Final = 2_000
"""Characters of an answer that are kept of an error: it may be a whole page."""


class HttpError(ItemError):
    """A server has answered a request with a status from 400; what follows is told by it and by its headers.

    Args:
        status: of the answer.
        reason: the words beside it, which may be empty.
        headers: of the answer, by their names in any case.
        body: the beginning of the answer.

    Example:
        >>> str(HttpError(429, "Too Many Requests", {"Retry-After": "2"}, '{"error": "slow down"}'))
        'HTTP 429 Too Many Requests: {"error": "slow down"}'
    """

    def __init__(self, status: int, reason: str, headers: Mapping[str, str], body: str) -> None:
        self.body = body[:BODY_SHOWN]
        said = " ".join(self.body.split())
        super().__init__(f"HTTP {status} {reason}".rstrip() + (f": {said}" if said else ""))
        self.status = status
        self.headers = headers


class NoAnswer(ItemError):
    """No whole answer came: no connection, a connection that broke, or an answer that breaks off."""


class BadAnswer(ItemError):
    """An answer is not what it says it is, say JSON; tried again, since most such answers come from an overload."""


class AnswerTooLarge(ItemError):
    """An answer is larger than it may be; it would be the next time too.

    Args:
        limit: bytes that it may have.

    Attributes:
        retryable: False, which is how any error says so.
    """

    retryable: ClassVar[bool] = False

    def __init__(self, limit: int) -> None:
        super().__init__(f"the answer has more than {limit:,} bytes")
        self.limit = limit


class BadRedirect(ItemError):
    """An answer redirects to where it is not followed; it would the next time too.

    Attributes:
        retryable: False, which is how any error says so.
    """

    retryable: ClassVar[bool] = False


class CommandFailed(ItemError):
    """A command of ``--exec`` has failed.

    Args:
        how: how it ended, or why it could not begin.
        stderr: the end of what it has written there; the last line of that is told.
        retryable: False where it would fail the next time too.

    Example:
        >>> str(CommandFailed("exit code 3", "reading a.jpg\\nno such file\\n"))
        'exit code 3: no such file'
    """

    def __init__(self, how: str, stderr: str = "", retryable: bool = True) -> None:
        last = stderr.rstrip().rpartition("\n")[2].strip()
        super().__init__(f"{how}: {last}" if last else how)
        self.stderr = stderr
        self.retryable = retryable

    @property
    def told(self) -> str:
        """What is told of it where others have a traceback."""
        return f"CommandFailed: {self}\n{self.stderr}" if "\n" in self.stderr.strip() else ""


class WorkerCrashed(ItemError):
    """The process that ran the item alone died of it."""

    def __init__(self, how: str, deaths: int) -> None:
        super().__init__(f"the worker died ({how}) while running this item alone, {deaths} times")
        self.how = how
        self.deaths = deaths
