"""Whether this machine and this home are fit for batches: each check says how it stands and what to do.

Nothing is left behind: an absent home is not made, and what is tried out is tried in a folder that goes away again.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Final, NamedTuple

from batchq.app import descriptors
from batchq.app.words import count
from batchq.config import BatchConfig
from batchq.store.home import Home
from batchq.store.seal import KEY_BYTES, Seal
from batchq.store.sqlite import has_reset_fault, is_too_old
from batchq.store.sqlite import version as sqlite_version
from batchq.store.trial import tries

OK: Final = "ok"
WARNING: Final = "warning"
FAULT: Final = "fault"

PYTHONS: Final = ((3, 10), (3, 13))
"""The oldest and the newest that batchq is tested with."""
PARTS: Final = ("click", "cloudpickle", "persist-queue", "platformdirs", "psutil", "tenacity", "tqdm")
LITTLE_SPACE: Final = 1 << 30
NO_SPACE: Final = 32 << 20
"""Not even room for the log of one running batch."""
NETWORK: Final = frozenset({
    "9p", "afpfs", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs",
    "nfs3", "nfs4", "ocfs2", "orangefs", "pvfs2", "smb2", "smb3", "smbfs", "vboxsf", "virtiofs", "webdav",
})  # fmt: skip
"""File systems of another machine, and those that a virtual machine shares with its host."""
NETWORK_FUSE: Final = ("sshfs", "rclone", "s3fs", "gcsfuse", "glusterfs", "davfs", "goofys", "blobfuse")
ELSEWHERE: Final = "Name a folder on a local disk with --home."


class Check(NamedTuple):
    """What one check found.

    Attributes:
        name: of what was checked.
        level: ``ok``, ``warning`` or ``fault``: with a fault, batches cannot be run.
        text: how it stands.
        advice: what to do about it; empty where nothing is to be done.
    """

    name: str
    level: str
    text: str
    advice: str = ""


def examine(home: Home) -> Iterator[Check]:
    """All checks, one after the other.

    Args:
        home: where batches are to be; it need not be there yet.

    Example:
        faults = [check for check in examine(Home.at()) if check.level == FAULT]
    """
    yield check_python(sys.version_info[:2])
    yield check_sqlite(sqlite_version())
    yield _parts()
    yield from _home(home.path)
    yield _key(home.path)
    yield check_descriptors(descriptors.soft_limit(), _cores())
    yield _clock(Path("/proc/sys/kernel/random/boot_id"))


def check_python(version: tuple[int, ...]) -> Check:
    """Whether this Python is one that batchq is tested with."""
    text = f"{sys.version.split()[0]}, {sys.executable}"
    if PYTHONS[0] <= version <= PYTHONS[1]:
        return Check("Python", OK, text)
    least, most = (".".join(map(str, each)) for each in PYTHONS)
    return Check("Python", WARNING, text, f"batchq is tested with Python {least} to {most}; take one of these.")


def check_sqlite(version: tuple[int, int, int]) -> Check:
    """Whether batches can be kept with this SQLite, and are not at its mercy."""
    text = ".".join(map(str, version))
    if is_too_old(version):
        return Check("SQLite", FAULT, text, "batchq needs 3.35 or newer; take a Python that has it.")
    if has_reset_fault(version):
        return Check(
            "SQLite",
            WARNING,
            f"{text} has the WAL-reset fault: a commit beside a checkpoint can damage a file",
            "batchq avoids it (one process alone checkpoints, while nobody can commit); SQLite 3.51.3 has it mended.",
        )
    return Check("SQLite", OK, text)


def check_descriptors(limit: int | None, workers: int) -> Check:
    """Whether a process may have enough files open for what a batch has in flight by default."""
    if limit is None:
        return Check("open files", OK, "no limit")
    room = descriptors.slots(workers, limit)
    text = f"{limit:,} a process: enough for {room:,} items at a time in {count(workers, 'worker')}, one file each"
    if room < BatchConfig.max_concurrent:
        need = descriptors.needed(BatchConfig.max_concurrent, workers)
        return Check("open files", WARNING, text, f"`ulimit -n {need}` raises that.")
    return Check("open files", OK, text)


def is_network(kind: str) -> bool:
    """Whether a file system of this type is that of another machine.

    Example:
        >>> is_network("nfs4"), is_network("fuse.sshfs"), is_network("ext4")
        (True, True, False)
    """
    return kind in NETWORK or (kind.startswith("fuse") and kind.partition(".")[2].startswith(NETWORK_FUSE))


def _parts() -> Check:
    from batchq import __version__

    found, missing = [f"batchq {__version__}"], []
    for name in PARTS:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        advice = f"pip install {' '.join(missing)}"
        return Check("parts", FAULT, f"{', '.join(found)}; missing: {', '.join(missing)}", advice)
    return Check("parts", OK, ", ".join(found))


def _home(path: Path) -> Iterator[Check]:
    base = next(each for each in (path, *path.parents) if each.exists())
    absent = base != path
    where = f"{path} (not there yet; {base} is looked at)" if absent else str(path)
    if not base.is_dir():
        yield Check("home", FAULT, f"{base} is no folder", "Name another folder with --home.")
        return
    yield Check("home", OK, where) if absent else _mode(path)
    yield _file_system(base)
    yield _space(base)
    try:
        with tempfile.TemporaryDirectory(prefix=".batchq-doctor-", dir=base) as folder:
            yield Check("writing", OK, f"{base} can be written")
            seen = tries(Path(folder))
    except OSError as error:
        yield Check("writing", FAULT, f"{base}: {error.strerror or error}", "Name another folder with --home.")
        return
    if seen.locked:
        yield Check("locks", OK, "a second process is refused what this one has locked")
    else:
        yield Check("locks", FAULT, seen.reason or "a second process got a lock that this one holds", ELSEWHERE)
    if seen.readable:
        yield Check("WAL", OK, "a second process reads what is only in the write-ahead log")
    else:
        yield Check("WAL", FAULT, seen.reason or "a second process does not see what this one has written", ELSEWHERE)


def _mode(path: Path) -> Check:
    now = path.stat()
    mode = stat.S_IMODE(now.st_mode)
    if now.st_uid != os.geteuid():
        return Check("home", WARNING, f"{path} belongs to another user ({now.st_uid})", "Name your own with --home.")
    if mode & 0o077:
        return Check("home", WARNING, f"{path} is open to others (mode {mode:04o})", f"chmod 700 {path}")
    return Check("home", OK, f"{path}, mode {mode:04o}")


def _file_system(path: Path) -> Check:
    import psutil

    real = path.resolve()
    try:
        mounted = [each for each in psutil.disk_partitions(all=True) if real.is_relative_to(each.mountpoint)]
    except (OSError, psutil.Error) as error:
        return Check("file system", WARNING, f"cannot be told ({error})", "Make sure that it is a local disk.")
    if not mounted:
        return Check("file system", WARNING, "cannot be told", "Make sure that it is a local disk.")
    # The last one mounted there hides those before it.
    nearest = max(enumerate(mounted), key=lambda each: (len(each[1].mountpoint), each[0]))[1]
    text = f"{nearest.fstype} at {nearest.mountpoint}"
    if is_network(nearest.fstype):
        advice = f"SQLite can lose or damage data there when several machines use it. {ELSEWHERE}"
        return Check("file system", WARNING, f"{text}: a network file system", advice)
    if nearest.fstype in ("tmpfs", "ramfs"):
        return Check("file system", WARNING, f"{text}: kept in memory", "It is gone at the next reboot. " + ELSEWHERE)
    return Check("file system", OK, text)


def _space(path: Path) -> Check:
    free = shutil.disk_usage(path).free
    text = f"{free / 1e9:,.1f} GB free" if free >= LITTLE_SPACE else f"{free / 1e6:,.0f} MB free"
    if free >= LITTLE_SPACE:
        return Check("space", OK, text)
    return Check("space", FAULT if free < NO_SPACE else WARNING, text, "Free some, or name another disk with --home.")


def _key(home: Path) -> Check:
    for place in Seal(home).places():
        try:
            now = place.stat()
        except OSError:
            continue
        mode = stat.S_IMODE(now.st_mode)
        if mode & 0o077:
            return Check("key", WARNING, f"{place} is open to others (mode {mode:04o})", f"chmod 600 {place}")
        if now.st_size != KEY_BYTES:
            return Check(
                "key", WARNING, f"{place} is cut short", "The next start replaces it; name --func at a resume."
            )
        return Check("key", OK, f"{place}, mode {mode:04o}")
    return Check("key", OK, "none yet; the first start makes it")


def _clock(boot_id: Path) -> Check:
    try:
        return Check("clock", OK, f"this boot is {boot_id.read_text().strip()}")
    except OSError as error:
        advice = "What is counted since the boot counts anew at each resume."
        return Check("clock", WARNING, f"which boot this is cannot be told ({error.strerror})", advice)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
