"""`batchq doctor`: what it finds on this machine, that it changes nothing, and the limits that `start` warns of."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command import Bench

from batchq.app import descriptors, doctor
from batchq.store import trial
from batchq.store.home import BatchFolder, Home
from batchq.store.sqlite import has_reset_fault, is_too_old


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    (tmp_path / "handlers.py").write_text("def ok(item): return item['n']\n")
    made = Bench(tmp_path)
    made.write_input(3)
    return made


def examined(bench: Bench, *arguments: str) -> dict[str, dict[str, Any]]:
    """What `doctor --json` says, by the name of the check."""
    said = json.loads(bench.run("doctor", "--json", *arguments).stdout)
    assert said["schema"] == 1
    return {check["name"]: check for check in said["checks"]}


def test_good_home_passes_and_an_absent_one_is_not_made(bench: Bench) -> None:
    said = bench.run("doctor")
    assert (said.returncode, said.stderr) == (0, "")
    assert not [line for line in said.stdout.splitlines() if line.startswith("fault")]
    assert not bench.home.exists()
    assert sorted(os.listdir(bench.folder)) == ["handlers.py", "input.jsonl"]
    checks = examined(bench)
    assert set(checks) == {
        "Python", "SQLite", "parts", "home", "file system", "space", "writing", "locks", "WAL", "key", "open files",
        "clock",
    }  # fmt: skip
    assert "not there yet" in checks["home"]["text"]
    assert all(bool(check["advice"]) == (check["level"] != "ok") for check in checks.values())


def test_home_of_a_batch_is_looked_at_itself(bench: Bench) -> None:
    assert bench.run("start", "input.jsonl", "--func", "handlers:ok", "--id", "b1", "-q").returncode == 0
    before = sorted(path.name for path in bench.home.iterdir())
    checks = examined(bench)
    assert checks["home"] == {"name": "home", "level": "ok", "text": f"{bench.home}, mode 0700", "advice": ""}
    assert checks["key"]["text"].endswith("mode 0600")
    assert (checks["locks"]["level"], checks["WAL"]["level"]) == ("ok", "ok")
    assert sorted(path.name for path in bench.home.iterdir()) == before


def test_what_others_could_read_is_a_warning_with_the_command_that_closes_it(bench: Bench) -> None:
    bench.home.mkdir(mode=0o755)
    key = bench.home / ".seal.key"
    key.write_bytes(b"k" * 32)
    key.chmod(0o644)
    (bench.folder / "config").mkdir()
    said = bench.run("doctor", XDG_CONFIG_HOME=str(bench.folder / "config"))
    assert said.returncode == 0
    assert f"chmod 700 {bench.home}" in said.stdout
    assert f"chmod 600 {key}" in said.stdout


def test_home_below_a_file_and_one_that_cannot_be_written_are_faults(bench: Bench) -> None:
    bench.home.write_text("no folder")
    below = bench.run("doctor")
    assert below.returncode == 2
    assert f"{bench.home} is no folder" in below.stdout and "--home" in below.stdout
    command = [sys.executable, "-m", "batchq", "doctor", "--home", "/proc/nowhere"]
    said = subprocess.run(command, capture_output=True, text=True, cwd=bench.folder)
    assert said.returncode == 2
    assert "fault    writing" in said.stdout and "Traceback" not in said.stderr


def test_second_process_is_what_tells_that_a_lock_is_held(tmp_path: Path) -> None:
    assert trial.look(tmp_path) == trial.Seen(False, False)
    lock = BatchFolder(tmp_path).lock
    assert lock.acquire()
    assert trial.look(tmp_path) == trial.Seen(True, False)
    lock.release()
    assert trial.tries(tmp_path) == trial.Seen(True, True)
    assert not BatchFolder(tmp_path).lock.is_held()


@pytest.mark.parametrize(
    "version, fault",
    [
        ((3, 7, 0), True), ((3, 40, 1), True), ((3, 44, 5), True), ((3, 44, 6), False), ((3, 45, 0), True),
        ((3, 50, 6), True), ((3, 50, 7), False), ((3, 51, 0), True), ((3, 51, 2), True), ((3, 51, 3), False),
        ((3, 52, 0), False), ((3, 53, 1), False), ((4, 0, 0), False),
    ],
)  # fmt: skip
def test_versions_with_the_wal_reset_fault(version: tuple[int, int, int], fault: bool) -> None:
    assert has_reset_fault(version) is fault
    if not is_too_old(version):
        found = doctor.check_sqlite(version)
        assert ("WAL-reset" in found.text, found.level) == (fault, "warning" if fault else "ok")


def test_sqlite_without_returning_is_a_fault() -> None:
    assert doctor.check_sqlite((3, 34, 1)).level == doctor.FAULT
    assert doctor.check_sqlite((3, 51, 3)).level == doctor.OK


@pytest.mark.parametrize(
    "kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "fuse.sshfs", "fuse.rclone", "fuse.s3fs"]
)
def test_network_file_systems_are_known(kind: str) -> None:
    assert doctor.is_network(kind)


@pytest.mark.parametrize(
    "kind", ["ext4", "xfs", "btrfs", "apfs", "tmpfs", "overlay", "zfs", "fuseblk", "fuse.mergerfs"]
)
def test_local_file_systems_are_no_network(kind: str) -> None:
    assert not doctor.is_network(kind)


def test_memory_is_told_from_a_disk() -> None:
    if not os.path.ismount("/dev/shm"):
        pytest.skip("there is no /dev/shm here")
    found = {check.name: check for check in doctor.examine(Home(Path("/dev/shm/nowhere")))}
    assert found["file system"].level == doctor.WARNING
    assert "/dev/shm" in found["file system"].text and "reboot" in found["file system"].advice


def test_as_many_slots_as_the_limit_has_room_for_raise_no_warning() -> None:
    room = descriptors.slots(2, 1024)
    assert descriptors.warning(room, 2, 1024) == ""
    assert f"ulimit -n {descriptors.needed(room + 1, 2)}" in descriptors.warning(room + 1, 2, 1024)
    assert descriptors.warning(100_000, 1, None) == ""
    assert descriptors.warning(400, 400, 1024)  # the supervisor has each worker's pipes
    assert doctor.check_descriptors(1024, 2).level == doctor.OK
    assert doctor.check_descriptors(65, 2).level == doctor.WARNING


def limited(bench: Bench, files: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command in a shell that lets a process open so many files."""
    line = f'ulimit -Sn {files}; exec "$@"'
    command = ["bash", "-c", line, "bash", sys.executable, "-m", "batchq", *arguments, "--home", str(bench.home)]
    return subprocess.run(command, capture_output=True, text=True, cwd=bench.folder, env=bench.environment())


def test_start_and_resume_warn_of_a_limit_that_is_too_low_and_ulimit_cures_it(bench: Bench) -> None:
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 1024:
        pytest.skip("the hard limit is too low here")
    start = ["start", "input.jsonl", "--func", "handlers:ok", "-c", "400", "-w", "1"]
    said = limited(bench, 256, *start, "--id", "b1", "--limit", "2")
    assert said.returncode == 0, said.stderr
    warned = [line for line in said.stderr.splitlines() if "ulimit" in line]
    assert len(warned) == 1 and "256" in warned[0] and "400" in warned[0]
    cure = warned[0].split("`ulimit -n ")[1].split("`")[0]
    assert "ulimit" not in limited(bench, int(cure), *start, "--id", "b2").stderr
    detached = limited(bench, 256, *start, "--id", "b3", "--detach")
    assert detached.stdout == "b3\n" and "ulimit" in detached.stderr
    assert bench.run("wait", "b3", "-q").returncode == 0


def test_resume_warns_too(bench: Bench) -> None:
    (bench.folder / "mine.py").write_text("def pool(): raise RuntimeError('no database')\n")
    start = ["start", "input.jsonl", "--func", "handlers:ok", "--setup", "mine:pool", "-c", "400", "-w", "1"]
    assert bench.run(*start, "--id", "b1", "-q").returncode == 3
    said = limited(bench, 256, "resume", "b1")
    assert said.returncode == 3
    assert "ulimit -n" in said.stderr
