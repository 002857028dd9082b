# SPDX-License-Identifier: MIT
"""What floods have in common: who is flooded, who must not suffer from it, and who floods.

The bars of every flood: a good sender that works meanwhile is answered within GOOD_SECONDS each
time; the processes' memory stays below what is documented; afterwards no process, no descriptor of
the one that accepts, no file beside the messages that were acknowledged is left, and the next
connection is served.
"""
import collections
import contextlib
import os
import pathlib
import random
import selectors
import socket
import struct
import subprocess
import threading
import time

from hl7test import (BUILD, PATIENCE, VT, Peer, acks, environment, frame, message, peer_from,
                     wait_until)

QUEUE = BUILD / "src" / "queue" / "hl7-queue"

# The least patient senders give up then; it must hold on two cores that have other work as well
GOOD_SECONDS = 10

# Lines for the report
FIGURES = []


# --- processes --------------------------------------------------------------------------------

def read_line(path):
    with contextlib.suppress(OSError):
        return pathlib.Path(path).read_text(encoding="latin-1").rstrip("\n")
    return ""


def read_kib(path, name):
    """A value of /proc/PID/status or smaps_rollup in KiB; 0 where the process is gone."""
    with contextlib.suppress(OSError):
        for line in pathlib.Path(path).read_text(encoding="ascii").splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1])
    return 0


def peak_kib(pid):
    """0 for what is not, or not yet, the program that is looked at."""
    is_ours = read_line(f"/proc/{pid}/comm") == "hl7-receive"
    return read_kib(f"/proc/{pid}/status", "VmHWM") if is_ours else 0


def share_kib(pid):
    """Its own memory, and its share of what it has in common with others."""
    return read_kib(f"/proc/{pid}/smaps_rollup", "Pss")


def children_of(pid):
    """Zombies too."""
    with contextlib.suppress(OSError):
        return [int(n) for n in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def processor_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="latin-1").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Watch:
    """Looks at all processes of a target again and again: how many there were, what they needed."""

    def __init__(self, target, pause=0.2):
        self.target, self.pause = target, pause
        self.most = self.share = 0  # processes; KiB of all together
        self.peaks = {}             # KiB, by process
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def look(self):
        children = self.target.children()
        self.most = max(self.most, len(children))
        for pid in (self.target.pid(), *children):
            self.peaks[pid] = max(self.peaks.get(pid, 0), peak_kib(pid))
        self.share = max(self.share, sum(map(share_kib, (self.target.pid(), *children))))

    def run(self):
        while not self.done.wait(self.pause):
            self.look()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join(PATIENCE)

    peak = property(lambda self: max(self.peaks.values()))

    def __str__(self):
        return f"at most {self.most} processes, {self.peak / 1024:.1f} MiB one, {self.share / 1024:.1f} MiB all"


# --- who is flooded ---------------------------------------------------------------------------

class Target:
    """A listener, and how it was before the flood."""

    def __init__(self, port, store):
        self.port, self.store = port, store
        self.numbers = iter(range(1000000))
        self.good = 0
        self.serve("before")
        wait_until(lambda: not self.children(), "the child's end")
        self.descriptors = self.list_descriptors()

    def list_descriptors(self):
        """Which they are, and of what; a socket's number, a pipe's number stays the same."""
        folder = f"/proc/{self.pid()}/fd"
        return {n: os.readlink(f"{folder}/{n}") for n in os.listdir(folder)}

    def children(self):
        return children_of(self.pid())

    def serve(self, name, source="127.0.0.1"):
        """One message, which must be taken; the seconds from connecting to its answer."""
        control_id = f"{name}-{next(self.numbers)}"
        began = time.monotonic()
        peer = peer_from(self.port, source)
        try:
            peer.send(frame(message(control_id)))
            peer.half_close()
            answer, = acks(peer.read_to_end())
        finally:
            peer.close()
        assert (answer.code, answer.control_id) == ("AA", control_id.encode())
        self.good += 1
        return time.monotonic() - began

    def must_be_as_before(self, others=0):
        """Nobody is left, nothing is left, the next one is served; `others` stored messages are not
        of the good sender."""
        wait_until(lambda: not self.children(), "the end of all children")
        assert self.serve("after") < GOOD_SECONDS
        wait_until(lambda: not self.children(), "the last child's end")
        assert self.list_descriptors() == self.descriptors
        others += self.others
        names = self.store.names()
        assert len(names) == self.good + others, "each acknowledged message is stored, and no other"
        # the names by which a resend is found: of its bytes, its control id, an answer that is large
        kinds = collections.Counter(name[:2] for name in self.store.hidden(""))
        assert set(kinds) <= {".k", ".i", ".a"} and max(kinds.values()) <= len(names), kinds
        said = subprocess.run([QUEUE, f"--store={self.store.path}", "check"], capture_output=True,
                              check=False, text=True, env=environment(), timeout=PATIENCE)
        assert said.returncode == 0, said
        assert said.stdout.endswith("0 failed: 0 errors, 0 warnings, 0 leftovers\n"), said.stdout

    others = 0


class Waiting(Target):
    """Wait mode: the children are those of the supervisor."""

    def __init__(self, activator, store):
        self.activator = activator
        super().__init__(activator.port, store)
        self.supervisor = activator.supervisor()

    def pid(self):
        return self.activator.supervisor().popen.pid

    @property
    def log(self):
        return self.activator.log

    def must_be_as_before(self, others=0):
        super().must_be_as_before(others)
        assert self.activator.started == [self.supervisor], "the supervisor ended"


class Accepting(Target):
    """Accept=yes: the children are those of systemd-socket-activate."""

    def __init__(self, port, process, store):
        self.process = process
        super().__init__(port, store)

    def pid(self):
        return self.process.popen.pid

    @property
    def log(self):
        return [e for e in self.process.log if e.text and "HL7_PEER" in e]


# --- who must not suffer ----------------------------------------------------------------------

class Good:
    """Sends one message after another, with a connection for each; all must be answered in time."""

    def __init__(self, target, pause=0.05, source="127.0.0.1"):
        self.target, self.pause, self.source = target, pause, source
        self.seconds, self.problem = [], None
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        try:
            while not self.done.wait(self.pause):
                self.seconds.append(self.target.serve("good", self.source))
        except Exception as e:  # pylint: disable=broad-except
            self.problem = e

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, kind, *_):
        self.done.set()
        self.thread.join(2 * PATIENCE)
        if kind is None:
            self.check()

    def check(self):
        assert self.problem is None, f"after {len(self.seconds)} messages: {self.problem!r}"
        assert self.seconds, "the flood was over before the good sender had begun"
        assert max(self.seconds) < GOOD_SECONDS, f"an answer after {max(self.seconds):.1f} s"

    def __str__(self):
        middle = sorted(self.seconds)[len(self.seconds) // 2]
        return f"{len(self.seconds)} good messages, {middle * 1000:.0f} ms, at most {max(self.seconds) * 1000:.0f} ms"


# --- who floods -------------------------------------------------------------------------------

def sources(n):
    """So many addresses of this machine."""
    return [f"127.0.{9 + i // 250}.{1 + i % 250}" for i in range(n)]


def in_threads(n, work):
    """work(number) in n threads at once; what any of them raises is raised."""
    problems = []

    def run(number):
        try:
            work(number)
        except Exception as e:  # pylint: disable=broad-except
            problems.append(e)

    threads = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems, problems


def raw_connection(port, source):
    s = socket.socket()
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    s.settimeout(PATIENCE)
    # bind() without a port would take one of the few that are free for all destinations
    s.setsockopt(socket.SOL_IP, getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24), 1)
    s.bind((source, 0))
    s.connect(("127.0.0.1", port))
    return s


def abort(s):
    """Closes with a reset."""
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


class Drippers:
    """Keeps so many connections open, each of which sends the next byte of its words once in a while,
    and makes a new one for each that is cut off."""

    def __init__(self, port, n, words, froms, pause=1.0, again=True):
        self.port, self.n, self.words, self.pause, self.again = port, n, words, pause, again
        self.froms = froms
        self.cut = []       # seconds from connecting to the end, of each that was ended by the peer
        self.times = collections.Counter()  # how often each of them was
        self.answers = b""
        self.connected = 0
        self.open = {}      # socket -> [number, when it began, bytes sent]
        self.selector = selectors.DefaultSelector()
        self.done = threading.Event()
        self.problem = None
        self.thread = threading.Thread(target=self.run, daemon=True)

    def connect(self, number):
        s = raw_connection(self.port, self.froms[number % len(self.froms)])
        s.setblocking(False)
        self.connected += 1
        self.open[s] = [number, time.monotonic(), 0]
        self.selector.register(s, selectors.EVENT_READ)

    def drip(self, s):
        number, _, sent = self.open[s]
        at_once, slowly = self.words[number % len(self.words)]
        with contextlib.suppress(OSError):
            if sent == 0 and at_once:
                s.send(at_once)
            s.send(slowly[sent:sent + 1])
        self.open[s][2] += 1

    def read(self, s):
        with contextlib.suppress(ConnectionResetError):
            data = s.recv(65536)
            if data:
                self.answers += data
                return
        number, began, _ = self.open.pop(s)
        self.selector.unregister(s)
        s.close()
        self.cut.append(time.monotonic() - began)
        self.times[number] += 1
        if self.again:
            self.connect(number)

    def run(self):
        try:
            for number in range(self.n):
                self.connect(number)
            next_drip = 0
            while not self.done.is_set():
                if time.monotonic() >= next_drip:
                    for s in list(self.open):
                        self.drip(s)
                    next_drip = time.monotonic() + self.pause
                for key, _ in self.selector.select(0.05):
                    self.read(key.fileobj)
        except Exception as e:  # pylint: disable=broad-except
            self.problem = e
        for s in self.open:
            s.close()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join(PATIENCE)
        assert self.problem is None, repr(self.problem)


# What is sent at once, and what byte for byte: nothing at all, noise, a frame, a header's first half
# and then nothing, a header and then the rest
SLOW = [(b"", b""), (b"", b"hello, is there anybody?"), (b"", VT + message("SLOW1")),
        (VT + message("SLOW2")[:20], b""), (VT + message("SLOW3")[:80], message("SLOW3")[80:])]


def noise(seed):
    """Some hundred bytes, the same for the same seed."""
    r = random.Random(seed)
    return r.randbytes(r.randrange(1, 600))


def ask_noise(port, source, data):
    """All that is answered to these bytes."""
    with raw_connection(port, source) as s:
        peer = Peer(s)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            peer.send(data)
            peer.half_close()
        return peer.read_to_end()
