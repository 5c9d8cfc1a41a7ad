"""Confine this process for good, by Landlock (Linux 5.13 and newer): it writes only below some folders, and opens no TCP connection.

Reading stays free: libraries, models and caches lie anywhere. Children inherit the limits. They hold for the thread that asks and
what it starts later, so that a process confines itself while it has one thread. Numbers: linux/landlock.h, syscalls 444 to 446.
"""

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterable
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION = 1
_RULE_PATH_BENEATH = 1
_PR_SET_NO_NEW_PRIVS = 38
_WRITE_FILE, _REFER, _TRUNCATE = 1 << 1, 1 << 13, 1 << 14
_CHANGES = sum(1 << bit for bit in range(4, 13))
"""Remove and make: files, folders, links, sockets, pipes, devices."""
_TCP_BIND, _TCP_CONNECT = 1, 2
_SCOPE_SIGNAL = 2
_TCP_SINCE, _SCOPE_SINCE = 4, 6


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def landlock_version() -> int:
    """The version of the kernel's interface; 0 if there is none."""
    if sys.platform != "linux" or ctypes.sizeof(ctypes.c_void_p) != 8:
        return 0
    return max(0, int(ctypes.CDLL(None).syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION)))


def describe() -> str:
    """What confines a command on this machine, in a few words; empty if nothing does."""
    version = landlock_version()
    if not version:
        return ""
    return f"Landlock {version}: no writes outside the output's folder" + (", no TCP" if version >= _TCP_SINCE else "")


def confine(writable: Iterable[Path]) -> bool:
    """From now on write only below these folders, those that exist, and to devices; no TCP if the kernel can deny it.

    Returns whether it is done: False where the kernel has no Landlock.
    """
    version = landlock_version()
    if not version:
        return False
    files = _WRITE_FILE | _CHANGES | (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    net = _TCP_BIND | _TCP_CONNECT if version >= _TCP_SINCE else 0
    rules = _Ruleset(files, net, _SCOPE_SIGNAL if version >= _SCOPE_SINCE else 0)
    size = 24 if version >= _SCOPE_SINCE else 16 if version >= _TCP_SINCE else 8
    call = ctypes.CDLL(None, use_errno=True).syscall
    ruleset = call(_CREATE_RULESET, ctypes.byref(rules), ctypes.c_size_t(size), 0)
    if ruleset < 0:
        return False
    try:
        for folder in writable:
            _allow(call, ruleset, folder, files)
        for folder in (Path("/dev"), Path("/proc")):
            _allow(call, ruleset, folder, files if folder.name == "dev" else _WRITE_FILE | (files & _TRUNCATE))
        ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        return bool(call(_RESTRICT_SELF, ruleset, 0) == 0)
    finally:
        os.close(ruleset)


def _allow(call: "ctypes._NamedFuncPointer", ruleset: int, folder: Path, files: int) -> None:
    with contextlib.suppress(OSError):  # it does not exist, or may not be opened
        descriptor = os.open(folder, getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            call(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, ctypes.byref(_PathBeneath(files, descriptor)), 0)
        finally:
            os.close(descriptor)
