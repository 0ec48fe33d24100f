"""A library to load before a command, with which a folder looks as if it lay on a lesser file system.

``NO_LOCKS_UNDER``: flock is not known there, as on some network mounts.  ``NO_SHARED_MAPS_UNDER``: files there cannot
be mapped by several processes.  It stands between the command and the system's own library; nothing of batchq is
replaced.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

static int lies_there(int descriptor, const char *variable)
{
    char link[64], path[PATH_MAX];
    const char *folder = getenv(variable);
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (folder == NULL || length < 0)
        return 0;
    path[length] = 0;
    return strncmp(path, folder, strlen(folder)) == 0;
}

int flock(int descriptor, int operation)
{
    if (lies_there(descriptor, "NO_LOCKS_UNDER")) {
        errno = ENOLCK;
        return -1;
    }
    int (*real)(int, int) = dlsym(RTLD_NEXT, "flock");
    return real(descriptor, operation);
}

static void *map(const char *name, void *at, size_t length, int access, int flags, int descriptor, off_t offset)
{
    if ((flags & MAP_SHARED) && descriptor >= 0 && lies_there(descriptor, "NO_SHARED_MAPS_UNDER")) {
        errno = ENODEV;
        return MAP_FAILED;
    }
    void *(*real)(void *, size_t, int, int, int, off_t) = dlsym(RTLD_NEXT, name);
    return real(at, length, access, flags, descriptor, offset);
}

void *mmap(void *at, size_t length, int access, int flags, int descriptor, off_t offset)
{
    return map("mmap", at, length, access, flags, descriptor, offset);
}

void *mmap64(void *at, size_t length, int access, int flags, int descriptor, off_t offset)
{
    return map("mmap64", at, length, access, flags, descriptor, offset);
}
"""


def lesser_file_system(folder: Path) -> str:
    """Build the library in `folder`; the value for ``LD_PRELOAD``. Skips the test where that cannot be done."""
    compiler = shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("a library to preload is built, which takes Linux and a C compiler (cc)")
    source, library = folder / "lesser.c", folder / "lesser.so"
    source.write_text(SOURCE)
    built = subprocess.run(
        [compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], capture_output=True, text=True
    )
    if built.returncode:
        pytest.skip(f"the C compiler does not work here: {built.stderr.strip()[:200]}")
    return str(library)
