"""GNU parallel with `--joblog`: a process for each item; what it keeps is a line with the exit code."""

from __future__ import annotations

import csv
import subprocess

from benchmarks.handlers import WAIT_SECONDS
from benchmarks.peers import work
from benchmarks.peers.work import Done, Job, clock


def run(job: Job) -> Done:
    """`true ID`, or `sleep` and the ID behind a comment."""
    log = f"{work.folder()}/joblog"
    command = "true {}" if job.handler == "noop" else f"sleep {WAIT_SECONDS} # {{}}"
    names = "".join(f"{item['id']}\n" for item in job.items)
    with clock() as elapsed:
        parallel = ["parallel", "--will-cite", "-j", str(job.slots), "--joblog", log, command]
        subprocess.run(parallel, input=names, text=True, check=True, stdout=subprocess.DEVNULL)
    with open(log, encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t"))
    return Done(elapsed(), [row["Command"].split()[-1] for row in rows if row["Exitval"] == "0"])
