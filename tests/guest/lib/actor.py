# SPDX-License-Identifier: GPL-2.0-or-later
"""Processes that do what a test tells them, and end when it says so."""

import functools
import multiprocessing
import os
import select
import signal

from guest import LIMIT


class Actor:
    """A process with an object that nobody else has.

    actor.method(arguments) calls the object's method there, and returns or raises what
    that does.
    """

    def __init__(self, cls, *args):
        here, there = multiprocessing.Pipe()
        self._spare, spare = multiprocessing.Pipe()  # see fork()
        pid = os.fork()
        if pid == 0:
            _serve(there, spare, cls, args)
        there.close()
        spare.close()
        self._start(here, pid)
        self._answer()  # the object is there

    def _start(self, connection, pid):
        self._connection, self.pid = connection, pid
        self._pidfd = os.pidfd_open(pid)

    def _call(self, method, *args):
        self._connection.send((method, args))
        return self._answer()

    def _answer(self):
        if not self._connection.poll(LIMIT):
            raise TimeoutError(f"process {self.pid} did not answer in {LIMIT} s")
        good, value = self._connection.recv()
        if not good:
            raise value
        return value

    def __getattr__(self, method):
        return functools.partial(self._call, method)

    def fork(self):
        """A copy of this actor, which inherits its mappings and can outlive it. Only one."""
        copy = object.__new__(Actor)
        copy._start(self._spare, self._call("_fork"))
        return copy

    def kill(self):
        """Ends it by SIGKILL. When this returns, what it had open and mapped is released."""
        if self._connection.closed:  # it has ended
            return
        os.kill(self.pid, signal.SIGKILL)
        self._wait()

    def exit(self):
        """Has it end by itself, likewise."""
        self._connection.send(("_exit", ()))
        self._wait()

    def _wait(self):
        if not select.select([self._pidfd], [], [], LIMIT)[0]:
            raise TimeoutError(f"process {self.pid} did not end in {LIMIT} s")
        try:
            os.waitpid(self.pid, 0)
        except ChildProcessError:  # what fork() made is somebody else's child
            pass
        os.close(self._pidfd)
        self._connection.close()


def _serve(connection, spare, cls, args):
    """The process of an actor."""
    code = 1
    try:
        role = None
        method, args = "_make", (cls, args)
        while method != "_exit":
            try:
                if method == "_make":
                    role = args[0](*args[1])
                    answer = True, None
                elif method == "_fork":
                    answer = True, os.fork()
                    if answer[1] == 0:
                        connection.close()
                        connection, answer = spare, None
                else:
                    answer = True, getattr(role, method)(*args)
            except Exception as error:  # pylint: disable=broad-except
                answer = False, error
            if answer:
                connection.send(answer)
            method, args = connection.recv()
        code = 0
    finally:
        os._exit(code)
