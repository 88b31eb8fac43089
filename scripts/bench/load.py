"""What the tools are measured against: crowds of processes, trees, servers."""

import ctypes
import os
import resource
import select
import shutil
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from measure import ENVIRONMENT, wait_until

SLEEP = shutil.which("sleep") or "/bin/sleep"


def child(work: Callable[[], object]) -> int:
    """Forks a process that does `work`, dies with us, and never returns into our code."""
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() == parent:
            work()
    finally:
        os._exit(0)


def end(pid: int) -> None:
    """Kills a child of ours and reaps it; one that was reaped already is no error."""
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        pass


def sleepers(number: int) -> list[int]:
    """Starts processes that sleep for ever."""
    return [os.posix_spawn(SLEEP, ["sleep", "inf"], ENVIRONMENT) for _ in range(number)]


def asleep(pid: int) -> bool:
    """Whether a process has come to rest after its start (proc_pid_stat(5), field 3)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


@contextmanager
def crowd(number: int, descriptors: int = 0) -> Iterator[None]:
    """That many sleeping processes, and one more if it is to hold that many open files."""
    pids = sleepers(number)
    ready, tell = os.pipe()

    def hoard() -> None:
        _, limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
        for _ in range(min(descriptors, limit - 50)):
            os.open("/etc/passwd", os.O_RDONLY)
        os.write(tell, b"!")
        signal.pause()

    if descriptors:
        pids.append(child(hoard))
        os.read(ready, 1)
    os.close(ready), os.close(tell)
    wait_until("the crowd sleeps", lambda: all(asleep(pid) for pid in pids))
    try:
        yield
    finally:
        for pid in pids:
            end(pid)


class Tree:
    """A process in a session of its own with that many sleeping children.

    All hold the writing end of a pipe, so that its end of file is the death of the last one, seen
    without looking at any process.
    """

    def __init__(self, members: int) -> None:
        self.alive, held = os.pipe()
        ready, tell = os.pipe()

        def root() -> None:
            os.setsid()
            os.set_inheritable(held, True)
            pids = sleepers(members)
            wait_until("the tree sleeps", lambda: all(asleep(pid) for pid in pids))
            os.write(tell, b"!")
            os.execv(SLEEP, ["sleep", "inf"])

        self.pid = child(root)
        os.close(held), os.close(tell)
        os.read(ready, 1)
        os.close(ready)
        wait_until("the root sleeps", lambda: asleep(self.pid))

    def gone_within(self, seconds: float) -> bool:
        """Waits for the last member's death."""
        return bool(select.select([self.alive], [], [], seconds)[0])

    def clear(self) -> None:
        """Ends what is left."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.gone_within(10)
        os.close(self.alive)
        end(self.pid)


def free_port() -> int:
    """A port that nobody uses; in a network namespace of our own nobody takes it, either."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def bindable(port: int) -> bool:
    """Whether a server could start on the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
NOT_YET = OK.replace(b"200 OK", b"503 Not Yet")


class Server:
    """A process that serves HTTP on a port of its own after `delay` seconds.

    Before that it refuses connections, or answers them with 503 when `early`. `ready_at` is the
    moment it became ready, in nanoseconds of the system's clock.
    """

    def __init__(self, delay: float = 0, early: bool = False) -> None:
        self.port = free_port()
        self.ready, tell = os.pipe()
        begun = time.monotonic()

        def serve() -> None:
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", self.port))
            if early:
                listener.listen(64)
                while (left := begun + delay - time.monotonic()) > 0:
                    listener.settimeout(left)
                    try:
                        answer(listener.accept()[0], NOT_YET)
                    except TimeoutError:
                        break
            else:
                time.sleep(max(0, begun + delay - time.monotonic()))
            listener.settimeout(None)
            now = time.time_ns()
            listener.listen(64)
            os.write(tell, struct.pack("q", now))
            while True:
                answer(listener.accept()[0], OK)

        self.pid = child(serve)
        os.close(tell)

    def ready_at(self) -> int:
        """Waits until the server is ready."""
        return struct.unpack("q", os.read(self.ready, 8))[0]

    def clear(self) -> None:
        os.close(self.ready)
        end(self.pid)


def answer(connection: socket.socket, words: bytes) -> None:
    """One request, one answer; a client that only connects gets none."""
    with connection:
        connection.settimeout(0.5)
        try:
            head = b""
            while b"\r\n\r\n" not in head:
                piece = connection.recv(4096)
                if not piece:
                    return
                head += piece
            connection.sendall(words)
        except OSError:
            pass


@contextmanager
def server() -> Iterator[Server]:
    """A server that is ready."""
    this = Server()
    this.ready_at()
    try:
        yield this
    finally:
        this.clear()
