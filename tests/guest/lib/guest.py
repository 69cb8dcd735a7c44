# SPDX-License-Identifier: GPL-2.0-or-later
"""What the guest tests share: TAP output, touching memory that may be SIGBUS, waiting."""

import contextlib
import ctypes
import mmap
import os
import select
import signal
import socket
import subprocess
import sys
import time
import unittest

IVSHMEM, EDU, TESTDEV = "0000:00:10.0", "0000:00:11.0", "0000:00:12.0"

DEBUG_KERNEL = os.uname().release.endswith("-debug")

_LIBC = ctypes.CDLL(None, use_errno=True)

LIMIT = 60  # seconds until a wait is a failure


class _TapResult(unittest.TestResult):
    def _line(self, word, test, more=""):
        name = test.id().split(".", 1)[-1]
        print(f"{word} {self.testsRun} - {name}{more}", flush=True)

    def addSuccess(self, test):
        super().addSuccess(test)
        self._line("ok", test)

    def _failed(self, test, err):
        self._line("not ok", test)
        for line in self._exc_info_to_string(err, test).splitlines():
            print(f"# {line}", flush=True)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._failed(test, err)

    def addError(self, test, err):
        super().addError(test, err)
        self._failed(test, err)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._line("ok", test, f" # SKIP {reason}")

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._failed(subtest, err)


def main():
    """Runs the tests of the calling file, or those that its arguments name."""
    loader = unittest.defaultTestLoader
    module = sys.modules["__main__"]
    names = sys.argv[1:]
    suite = loader.loadTestsFromNames(names, module) if names else \
        loader.loadTestsFromModule(module)
    print(f"1..{suite.countTestCases()}")
    result = _TapResult()
    suite.run(result)
    sys.exit(not result.wasSuccessful())


def outcome(touch):
    """Runs touch() in a child: 0 if it came through, else the signal that ended it."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            touch()
            code = 0
        finally:
            os._exit(code)
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status):
        return os.WTERMSIG(status)
    if os.WEXITSTATUS(status):
        raise RuntimeError("the child failed otherwise")
    return 0


def libc(function, *args):
    """Calls a function of libc that takes integers; raises OSError where it returns -1."""
    function = getattr(_LIBC, function)
    function.restype = ctypes.c_long
    result = function(*map(ctypes.c_size_t, args))
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def run(*command, **kwargs):
    """Runs a command and returns its standard output; it must succeed."""
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE,
                          **kwargs).stdout


def descriptors(pid="self"):
    """What the descriptors of a process lead to, by their numbers."""
    names = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):  # closed since, as the directory's own
            names[int(fd)] = os.readlink(f"/proc/{pid}/fd/{fd}")
    return names


def kernel_log():
    return run("dmesg")


_LOCKDOWN = "/sys/kernel/security/lockdown"
_LEVELS = ("none", "integrity", "confidentiality")


def locked_down():
    """How far the kernel is locked down: 0 is not at all."""
    with open(_LOCKDOWN, encoding="ascii") as f:
        at = f.read()
    return next(i for i, level in enumerate(_LEVELS) if f"[{level}]" in at)


def lock_down(level):
    """Locks the kernel down, which lasts until the guest ends; further down stays."""
    if locked_down() < _LEVELS.index(level):
        with open(_LOCKDOWN, "w", encoding="ascii") as f:
            f.write(level)


def until(condition, what="the condition"):
    """Waits for what nothing tells of; see Watch and Uevents for what is told."""
    deadline = time.monotonic() + LIMIT
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come about in {LIMIT} s")
        time.sleep(0.02)
    return value


class Eventfd:
    """An eventfd that waits no longer than a test should."""

    def __init__(self, case):
        self.fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        case.addCleanup(os.close, self.fd)

    def wait(self):
        if not select.select([self.fd], [], [], LIMIT)[0]:
            raise TimeoutError(f"no event in {LIMIT} s")
        return os.eventfd_read(self.fd)

    def fired(self):
        return bool(select.select([self.fd], [], [], 0)[0])


class Watch:
    """Waits for a condition that changes with the files of a directory."""

    CHANGES = 0x0FCE  # all that inotify(7) has but access and open

    def __init__(self, directory):
        libc = ctypes.CDLL(None, use_errno=True)
        self.fd = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if libc.inotify_add_watch(self.fd, directory.encode(), self.CHANGES) < 0:
            raise OSError(ctypes.get_errno(), directory)

    def until(self, condition, what="the condition"):
        deadline = time.monotonic() + LIMIT
        while True:
            value = condition()
            if value:
                return value
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                raise TimeoutError(f"{what} did not come about in {LIMIT} s")
            os.read(self.fd, 65536)

    def close(self):
        os.close(self.fd)


class Uevents:
    """Waits for a condition that changes with the kernel's devices."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC,
                                    15)  # NETLINK_KOBJECT_UEVENT
        self.socket.bind((0, 1))  # the kernel's own, not udev's

    def until(self, condition, what="the condition"):
        deadline = time.monotonic() + LIMIT
        while True:
            value = condition()
            if value:
                return value
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.socket], [], [], left)[0]:
                raise TimeoutError(f"{what} did not come about in {LIMIT} s")
            self.socket.recv(65536)

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def map_file(path, size, offset=0, flags=os.O_RDWR):
    """Maps a file as tools do: open, mmap, close."""
    fd = os.open(path, flags | os.O_CLOEXEC)
    try:
        prot = mmap.PROT_READ | (mmap.PROT_WRITE if flags & os.O_RDWR else 0)
        return mmap.mmap(fd, size, mmap.MAP_SHARED, prot, offset=offset)
    finally:
        os.close(fd)


SIGBUS = signal.SIGBUS
