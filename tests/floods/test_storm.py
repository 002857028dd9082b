# SPDX-License-Identifier: MIT
"""Wait mode forks: as fast as somebody connects, up to its limits, and to those of the system."""
import contextlib
import os
import resource
import select
import time

import pytest

from flood import GOOD_SECONDS, Good, Watch, abort, in_threads, processor_seconds, raw_connection, sources
from hl7test import Peer, VT, acks, frame, message, need, wait_until

SECONDS = 4
THREADS = 8

OVER = "connections refused: --max-connections is reached"
OVER_SOURCE = "connections refused: --max-connections-per-source is reached"
NO_PROCESS = "connections refused: the system has no process for them"


def storm(port, froms):
    """Connects as fast as it can for some seconds; each thread keeps 100 open, half of which it resets, and has
    sent the beginning of a frame on each. How many connections that were."""
    made = []

    def run(number):
        until, held, n = time.monotonic() + SECONDS, [], 0
        while time.monotonic() < until:
            s = raw_connection(port, froms[number % len(froms)])
            with contextlib.suppress(OSError):  # it was refused
                s.send(VT + b"MSH|")
            held.append(s)
            n += 1
            if len(held) == 100:
                old = held.pop(0)
                if n % 2:
                    abort(old)
                else:
                    old.close()
        for s in held:
            s.close()
        made.append(n)

    in_threads(THREADS, run)
    return sum(made)


def told(target, text):
    return [e for e in target.log if e.text == text]


def test_fork_storm(waiting, figures):
    """Eight threads from seven addresses; limits as shipped, 64 and 512. The good sender has another address."""
    target = waiting("--max-connections=512", "--max-connections-per-source=64")
    with Watch(target, pause=0.1) as watch, Good(target) as sender:
        n = storm(target.port, sources(7))
    assert watch.most <= 7 * 64 + 2
    lines = told(target, OVER_SOURCE)
    assert sum(int(e["HL7_CONNECTIONS"]) for e in lines) > 0, "the storm did not reach the limit"
    assert len(lines) <= SECONDS + GOOD_SECONDS, "a line a second"
    assert not told(target, OVER) and not told(target, NO_PROCESS)
    figures(f"fork storm, {n} connections in {SECONDS} s: {watch}; {sender}")


def test_fork_storm_from_everywhere(waiting, figures):
    """More addresses than the limit of all allows for: nobody is sure of a place, and the number of processes holds."""
    target = waiting("--max-connections=100", "--max-connections-per-source=64")
    with Watch(target, pause=0.1) as watch:
        n = storm(target.port, sources(THREADS))
    assert 64 < watch.most <= 100
    assert told(target, OVER)
    figures(f"fork storm above the limit of all, {n} connections: {watch}")


# --- the system's limits --------------------------------------------------------------------------

@pytest.fixture
def as_nobody_else():
    """Words that run a command as a user who has no other process, and with so many at most."""
    if os.geteuid() != 0:
        pytest.skip("another user's limits can be set by root only")
    user = 40000 + os.getpid() % 20000
    return lambda n: [need("prlimit"), f"--nproc={n}", need("setpriv"), f"--reuid={user}", f"--regid={user}",
                      "--clear-groups"]


@contextlib.contextmanager
def few_descriptors(pid, n):
    """The soft limit, as a hard one could not be raised again."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (n, before[1]))
    yield
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def first_free(target):
    return next(n for n in range(1000) if str(n) not in target.descriptors)


def test_no_more_processes(activate, as_nobody_else, figures):
    """RLIMIT_NPROC: who finds none is refused and told; it goes on as soon as there are some again."""
    limit = 10
    # whose folders of templates that user can read: there are none
    activator = activate("--no-store", "--ack-templates=/nonexistent", wrapper=as_nobody_else(limit),
                         store_options=())
    held = [Peer(raw_connection(activator.port, "127.0.9.1")) for _ in range(limit - 1)]
    wait_until(lambda: len(activator.children()) == limit - 1, "all processes that it may have")
    pid = activator.supervisor().popen.pid
    before = sorted(os.listdir(f"/proc/{pid}/fd"))
    used = processor_seconds(pid)
    refused = [Peer(raw_connection(activator.port, "127.0.9.2")) for _ in range(20)]
    assert [peer.read_to_end() for peer in refused] == [b""] * 20
    used = processor_seconds(pid) - used
    assert used < 0.5, "it does not try again without a pause"
    for peer in held[:5]:
        assert peer.ask(message()).code == "AA"
        peer.close()
    wait_until(lambda: len(activator.children()) == limit - 6, "the end of some")
    peer = Peer(raw_connection(activator.port, "127.0.9.2"))
    assert peer.ask(message()).code == "AA"
    for peer in (peer, *held, *refused):
        peer.close()
    wait_until(lambda: not activator.children(), "the end of all")
    assert sorted(os.listdir(f"/proc/{pid}/fd")) == before
    lines = [e for e in activator.log if e.text == NO_PROCESS]
    assert sum(int(e["HL7_CONNECTIONS"]) for e in lines) == 20
    assert len(activator.started) == 1
    figures(f"no process left: 20 refused in {len(lines)} lines, {used * 1000:.0f} ms of processor time")


def test_no_more_descriptors(waiting, figures):
    """EMFILE in the supervisor: connections wait in the socket's queue, and are served when there are some again."""
    target = waiting()
    pid = target.pid()
    with few_descriptors(pid, first_free(target)):
        used = processor_seconds(pid)
        peers = [Peer(raw_connection(target.port, "127.0.9.1")) for _ in range(20)]
        for i, peer in enumerate(peers):
            peer.send(frame(message(f"WAITS{i}")))
        time.sleep(1.5)
        used = processor_seconds(pid) - used
        assert not target.children() and not select.select([peer.sock for peer in peers], [], [], 0)[0]
    assert used < 0.5, "it does not try again without a pause"
    for i, peer in enumerate(peers):
        answer, = acks(peer.read_to_end())
        assert (answer.code, answer.control_id) == ("AA", f"WAITS{i}".encode())
        peer.close()
    target.others = 20
    assert told(target, NO_PROCESS), "nobody is told"
    figures(f"no descriptor left for 1.5 s: {used * 1000:.0f} ms of processor time")


def test_few_descriptors(waiting):
    """With each number that is too small for something, the supervisor goes on, and no answer is a wrong one."""
    target = waiting()
    codes = []
    for n in range(first_free(target), first_free(target) + 12):
        with few_descriptors(target.pid(), n):
            peer = Peer(raw_connection(target.port, "127.0.9.1"))
            peer.sock.settimeout(0.5)
            with contextlib.suppress(TimeoutError):
                peer.send(frame(message(f"FEW{n}")))
                peer.read_to_end()
            codes += [a.code for a in acks(peer.received)]
            peer.close()
    wait_until(lambda: not target.children(), "the end of all")
    # one that waited in the queue meanwhile is taken afterwards
    target.others = len([payload for payload in target.store.messages() if b"FEW" in payload])
    assert set(codes) == {"AR", "AA"} and codes.count("AA") <= target.others, codes
