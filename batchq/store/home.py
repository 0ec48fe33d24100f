"""The home folder: one folder a batch, its id, and the lock of whoever supervises it.

    <home>/<batch_id>/batch.db      the batch
    <home>/<batch_id>/batch.log     what supervisor and workers had to say
    <home>/<batch_id>/lock          held by the supervisor
    <home>/<batch_id>/board         what each worker of this supervisor is at (engine/board.py)
    <home>/<batch_id>/worker-*.lock held by a worker that lives
    <home>/<batch_id>/notify.lock   held by whoever tells the addresses of --notify
    <home>/<batch_id>/input/      a file that was uploaded to a server
    <home>/<batch_id>/reserve       room for what is in memory when the disk is full (store/reserve.py)

Locks are flock: they end with the process, so none can go stale.  Not the filelock library, because opening a
lock there empties the file, and ours names its holder.  What only
few commands need is imported where it is used: `status` must feel instant.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from batchq.errors import BatchBusy, BatchExists, BatchNotFound, ConfigError, HomeError, StorageFailed, StoreError

BATCH_ID: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
LOCK_SECONDS: Final = 0.3
"""A look at a lock holds it for an instant, so a failure is tried again for that long before it counts."""
UNFINISHED: Final = frozenset(
    {"lock", "reserve", "input", "batch.new", "batch.new-journal", "batch.new-shm", "batch.new-wal"}
)
"""What lies in a batch's folder before there is a batch.db."""
SAME_START_SECONDS: Final = 2.0
"""Start times of a process, read twice, differ by the kernel's rounding and by small corrections of the clock."""


def default_home() -> Path:
    """The user's state folder for batchq, by the platform's conventions."""
    from platformdirs import user_state_path

    return user_state_path("batchq", appauthor=False)


@dataclass(frozen=True)
class Holder:
    """Who holds a lock, as it wrote itself into the file.

    Attributes:
        pid: the process.
        started: when it began, seconds since 1970 by the clock of that time.
        since: when it took the lock, likewise.
        uptime: when it began, seconds since the boot; None where an older batchq wrote it.
    """

    pid: int
    started: float
    since: float
    uptime: float | None = None

    def __str__(self) -> str:
        from datetime import datetime, timezone

        when = datetime.fromtimestamp(self.since, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
        return f"process {self.pid}, since {when}"

    @classmethod
    def myself(cls) -> Holder:
        """The calling process."""
        import psutil

        started = psutil.Process().create_time()
        return cls(os.getpid(), started, time.time(), started - psutil.boot_time())

    def is_alive(self) -> bool:
        """Whether that very process still runs: same pid and same start, not a later one of the same number."""
        import psutil

        try:
            process = psutil.Process(self.pid)
            started = process.create_time()
            # When the clock is set, every start on record moves with it on Linux; since the boot it stays what it was.
            up = None if self.uptime is None else abs(started - psutil.boot_time() - self.uptime)
            is_it = min(abs(started - self.started), SAME_START_SECONDS if up is None else up) < SAME_START_SECONDS
            return is_it and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False


class FileLock:
    """An exclusive lock on a file, held until `release` or the end of the process.

    Args:
        path: the lock file; it is made when missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    @classmethod
    def of(cls, path: Path, descriptor: int) -> FileLock:
        """The lock that another process has taken, and has passed on with its open file."""
        lock = cls(path)
        lock._descriptor = descriptor
        return lock

    @property
    def descriptor(self) -> int:
        """The open file of a lock that was taken: whoever gets it holds the lock, too."""
        assert self._descriptor is not None
        return self._descriptor

    def acquire(self, seconds: float = 0.0) -> bool:
        """Try for up to `seconds` to take the lock, and write this process into the file."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + seconds
        try:
            while not _try_flock(descriptor):
                if time.monotonic() >= deadline:
                    os.close(descriptor)
                    return False
                time.sleep(0.02)
        except OSError:  # a file system that knows no locks
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        # Written over what is there and not into an emptied file: on a full disk that keeps its block.
        with contextlib.suppress(OSError):
            holder = json.dumps(vars(Holder.myself())).encode()
            os.ftruncate(descriptor, os.pwrite(descriptor, holder, 0))
        return True

    def release(self) -> None:
        """Give the lock up."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def remove(self) -> None:
        """Give the lock up and delete its file: nobody will take it again."""
        self.path.unlink(missing_ok=True)
        self.release()

    def holder(self) -> Holder | None:
        """Who wrote itself into the file, whether it still holds the lock or not; None where that is unreadable."""
        try:
            data = json.loads(self.path.read_bytes())
            uptime = data.get("uptime")
            since_boot = None if uptime is None else float(uptime)
            return Holder(int(data["pid"]), float(data["started"]), float(data["since"]), since_boot)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None

    def is_held(self) -> bool:
        """Whether some process holds the lock now."""
        try:
            descriptor = _open_to_look(self.path)
        except FileNotFoundError:
            return False
        try:
            return not _try_flock(descriptor)
        finally:
            os.close(descriptor)


def _open_to_look(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR)  # over NFS only what could be written can be locked
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        return os.open(path, os.O_RDONLY)


def _try_flock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@dataclass(frozen=True)
class BatchFolder:
    """The folder of one batch."""

    path: Path

    @property
    def batch_id(self) -> str:
        """The batch's id, which is the folder's name."""
        return self.path.name

    @property
    def database(self) -> Path:
        """The batch's file."""
        return self.path / "batch.db"

    @property
    def has_lost_its_file(self) -> bool:
        """Whether a batch has run here whose file is gone."""
        # One that is only being made has neither yet.
        remains = self.log.exists() or Path(f"{self.database}-wal").exists()
        return remains and not self.database.exists()

    @property
    def log(self) -> Path:
        """What the supervisor and the workers had to say."""
        return self.path / "batch.log"

    @property
    def board(self) -> Path:
        """What each worker is at."""
        return self.path / "board"

    @property
    def lock(self) -> FileLock:
        """The supervisor's lock (a new object at each access)."""
        return FileLock(self.path / "lock")

    def worker_lock(self, claimant: str) -> FileLock:
        """The lock that a living worker holds."""
        return FileLock(self.path / f"worker-{claimant}.lock")

    def supervise(self) -> FileLock:
        """Take the supervisor's lock.

        Raises:
            BatchBusy: another process holds it; names that process.
            StorageFailed: it cannot be taken at all.
        """
        lock = self.lock
        try:
            is_ours = lock.acquire(LOCK_SECONDS)
        except OSError as error:
            raise StorageFailed(str(lock.path), error.strerror or str(error)) from error
        if not is_ours:
            raise BatchBusy(self.batch_id, str(lock.holder() or "its lock is held by a process unknown"))
        return lock

    def remove(self) -> None:
        """Delete the folder and all that is in it."""
        import shutil

        shutil.rmtree(self.path)


class Home:
    """A folder of batches.

    Args:
        path: the folder; made with mode 0700 when the first batch is.

    Example:
        >>> Home(Path("/tmp/nowhere")).batch_ids()
        []
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def at(cls, path: str | os.PathLike[str] | None = None) -> Home:
        """The home at `path`; without one that of ``$BATCHQ_HOME``, else the user's state folder."""
        named = path or os.environ.get("BATCHQ_HOME")
        return cls(Path(named).expanduser().absolute() if named else default_home())

    @property
    def server_folder(self) -> Path:
        """Where a server of this home keeps what is its own; no batch can have that name."""
        return self.path / ".server"

    def claim(self, batch_id: str | None = None, suffix: str = "") -> BatchFolder:
        """Make the folder of a new batch; making it claims the id.

        Args:
            batch_id: the user's own id; None chooses ``batch-YYYYMMDD-NNN``.
            suffix: what comes behind one that is chosen.

        Raises:
            ConfigError: the id has characters that an id cannot have.
            BatchExists: the id is taken.
            HomeError: the folder cannot be made or written.
        """
        if batch_id is not None:
            check_batch_id(batch_id)
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            return self._claim_given(batch_id) if batch_id else self._claim_next(suffix)
        except OSError as error:
            raise HomeError.because_of(str(self.path), error) from error

    def cut_short(self, batch_id: str) -> BatchFolder:
        """The folder of a batch that was not made to its end, because its maker died or is at it right now.

        Raises:
            BatchExists: there is more in it, such as a batch.
        """
        folder = BatchFolder(self.path / batch_id)
        if not folder.path.is_dir() or not UNFINISHED.issuperset(os.listdir(folder.path)):
            raise BatchExists(batch_id)
        return folder

    def find(self, batch_id: str, whole: bool = True) -> BatchFolder:
        """The folder of an existing batch.

        Args:
            batch_id: the batch.
            whole: refuse what is no longer a whole batch; False for what needs no batch.db, like deleting it.

        Raises:
            BatchNotFound: there is none; names the nearest id.
            StoreError: its file is missing, or is that of another batch.
        """
        folder = BatchFolder(self.path / batch_id)
        if BATCH_ID.fullmatch(batch_id):
            if folder.database.is_file():
                self._check_owner(folder, whole)
                return folder
            if folder.has_lost_its_file:
                if whole:
                    from batchq.store.connection import spoilt_hint

                    raise StoreError(str(folder.database), "is missing", spoilt_hint(folder.database))
                return folder
        import difflib

        near = difflib.get_close_matches(batch_id, self.batch_ids(), 1)
        raise BatchNotFound(batch_id, str(self.path), near[0] if near else None)

    def _check_owner(self, folder: BatchFolder, whole: bool) -> None:
        if not whole:
            return
        from batchq.store.connection import owner_of

        # A copy under another name would otherwise tell of a batch that it is not.
        owner = owner_of(folder.database)
        if owner is not None and owner != folder.batch_id:
            raise StoreError(
                str(folder.database),
                f"is the file of batch {owner!r}, not of {folder.batch_id!r}",
                f"If it is meant to be here, name its folder {owner!r}.",
            )

    def batch_ids(self, whole: bool = True) -> list[str]:
        """The ids of all batches, sorted; opens none of them. Unless `whole`, of those without a file too."""
        try:
            with os.scandir(self.path) as entries:
                folders = [entry for entry in entries if entry.is_dir() and BATCH_ID.fullmatch(entry.name)]
        except (FileNotFoundError, NotADirectoryError):
            return []
        found = [BatchFolder(Path(entry.path)) for entry in folders]
        return sorted(
            each.batch_id for each in found if each.database.is_file() or (not whole and each.has_lost_its_file)
        )

    def _claim_given(self, batch_id: str) -> BatchFolder:
        folder = self.path / batch_id
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            raise BatchExists(batch_id) from None
        return BatchFolder(folder)

    def _claim_next(self, suffix: str) -> BatchFolder:
        from datetime import datetime, timezone

        today = datetime.now(timezone.utc).strftime("batch-%Y%m%d-")
        used = [name[len(today) :] for name in os.listdir(self.path) if name.startswith(today)]
        number = max((int(text) for text in used if text.isdecimal()), default=0)
        while True:
            number += 1
            try:
                return self._claim_given(f"{today}{number:03d}{suffix}")
            except BatchExists:
                continue


def check_batch_id(batch_id: str) -> None:
    """Raise `ConfigError` unless `batch_id` can be the name of a batch."""
    if not isinstance(batch_id, str) or not BATCH_ID.fullmatch(batch_id):
        expected = "1 to 100 letters, digits, '.', '_' or '-', not beginning with '.'"
        raise ConfigError("batch id", batch_id, expected)
