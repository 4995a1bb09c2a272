"""Machine code kept on disk, so that other processes need not compile it.

Code from disk is executed: files count only if nobody but their owner, the user of this process, can write them.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

MAGIC = b"parscan object code 1\n"

MOST = 2000
"""Largest number of files; if there are more, the older half is removed."""


def folder() -> Path | None:
    """The folder for machine code: `PARSCAN_CACHE_DIR`, or one in the user's cache; None if there is none."""
    if chosen := os.environ.get("PARSCAN_CACHE_DIR"):
        return Path(chosen)
    try:
        if sys.platform == "win32":
            return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "parscan" / "Cache"
        if sys.platform == "darwin":
            return Path.home() / "Library" / "Caches" / "parscan"
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "parscan"
    except RuntimeError:  # no home
        return None


def load(key: str) -> bytes | None:
    """Machine code of a key; None if there is none that can be read and trusted."""
    home = folder()
    if home is None:
        return None
    try:
        with open(home / f"{key}.o", "rb") as file:
            if not _is_ours(os.fstat(file.fileno())):
                return None
            content = file.read()
    except OSError:
        return None
    head = len(MAGIC) + hashlib.sha256().digest_size
    code = content[head:]
    return code if content[:head] == MAGIC + _checksum(key, code) else None


def save(key: str, code: bytes) -> None:
    """Keep machine code, if that is possible: others read either all of it or nothing."""
    home = folder()
    if home is None:
        return
    with suppress(OSError):
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        number, name = tempfile.mkstemp(dir=home, suffix=".tmp")  # with the owner's rights only
        try:
            with open(number, "wb") as file:
                file.write(MAGIC + _checksum(key, code) + code)
            os.replace(name, home / f"{key}.o")
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise
        _tidy(home)


def _tidy(home: Path) -> None:
    """Remove the older half of too many files, now and then."""
    if os.urandom(1)[0]:
        return
    files = sorted(home.glob("*.o"), key=lambda file: file.stat().st_mtime)
    for file in files[: len(files) // 2] if len(files) > MOST else []:
        file.unlink(missing_ok=True)


def _checksum(key: str, code: bytes) -> bytes:
    return hashlib.sha256(key.encode() + code).digest()


def _is_ours(status: os.stat_result) -> bool:
    if not hasattr(os, "getuid"):  # Windows: folders of users are theirs
        return True
    return status.st_uid == os.getuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
