# SPDX-License-Identifier: MIT
"""Peers that take their time: 500 that send a byte a second, or none; and some that never read.

The timeouts are shortened by options, so that each of them is over several times: --idle-timeout and
--frame-timeout are 60 s as shipped, --write-timeout is 30 s.
"""
import socket
import time

import pytest

import flood
from flood import GOOD_SECONDS, Drippers, Good, Watch, sources
from hl7test import Peer, acks, frame, message, wait_until

SECONDS = 3
SHORT = [f"--idle-timeout={SECONDS}s", f"--frame-timeout={SECONDS}s", "--drain-timeout=500ms"]
# What a cut off may come later than the deadline: it is read by a busy Python
LATE = 4

# As documented for a connection without a large message
CONNECTION_KIB = 4 * 1024


def refused(target):
    """Connections that were closed for one of the limits."""
    return sum(int(e.get("HL7_CONNECTIONS", 0)) for e in target.log if "is reached" in e.text)


def check_slow(target, n, froms):
    """n drippers at each moment, until each was cut off twice; what they were told."""
    with Watch(target, pause=0.5) as watch, Good(target) as sender, \
            Drippers(target.port, n, flood.SLOW, froms) as drippers:
        wait_until(lambda: len(target.children()) >= n, f"{n} connections at once")
        wait_until(lambda: all(drippers.times[i] >= 2 for i in range(n)), "each was cut off")
    assert max(drippers.cut) < SECONDS + LATE, "no trick makes a deadline later"
    # all are cut off in the same moment, and those that come back at once may find the places still taken
    early = sum(seconds <= SECONDS - 1 for seconds in drippers.cut)
    wait_until(lambda: refused(target) >= early, "an entry for each that was not even let in")
    assert early <= n // 5, "a deadline came early"
    assert watch.peak <= CONNECTION_KIB
    # who has sent a header is told why; nobody is told anything else
    told = acks(drippers.answers)
    assert told and {(a.code, a.control_id) for a in told} == {("AR", b"SLOW3")}
    lines = [e for e in target.log if e.get("HL7_OUTCOME") != "stored"]
    assert {e.get("HL7_OUTCOME") for e in lines} <= {"frame-timeout", "frame-lost", "no-header", None}
    others = {e.text for e in lines if not e.get("HL7_OUTCOME") and not e.get("HL7_CONNECTIONS")}
    assert others <= {"bytes outside of a frame skipped"}
    return f"{drippers.connected} connections; {watch}; {sender}"


def test_500_slow_senders(waiting, figures):
    figures("wait mode, 500 slow: " + check_slow(waiting(*SHORT), 500, sources(10)))


def test_slow_senders_with_accept(accepting, figures):
    figures("Accept=yes, 100 slow: " + check_slow(accepting(*SHORT), 100, sources(10)))


def test_one_source_has_only_its_share(waiting):
    """500 from one address, which has the shipped limit: the others are closed at once, and told in few lines."""
    target = waiting(*SHORT)
    with Watch(target) as watch, Good(target), \
            Drippers(target.port, 500, flood.SLOW, ["127.0.9.1"], again=False) as drippers:
        wait_until(lambda: len(drippers.cut) >= 500, "the end of all")
    at_once = sum(s < SECONDS - 1 for s in drippers.cut)
    assert at_once == 500 - 64
    assert watch.most <= 64 + 2
    told = [e for e in target.log if "--max-connections-per-source is reached" in e.text]
    assert sum(int(e["HL7_CONNECTIONS"]) for e in told) == at_once and len(told) <= 1 + SECONDS + LATE


# --- those that do not read ---------------------------------------------------------------------

# Answers of this size are waited for soon, however large the kernel's buffers are
LARGE_ANSWER = '{when MSH-3 == "STALL"}\nMSH|^~\\&|A||||{now}||ACK|{id}|P|2.5\nMSA|{ack.code}|{MSH-10}\n' \
               "NTE|1||" + "x" * 500_000 + "\n"
FRAMES = 30


def stall(port, name, source):
    """A peer that sends many frames at once, and never reads an answer."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    s.bind((source, 0))
    s.connect(("127.0.0.1", port))
    s.setblocking(False)
    s.send(b"".join(frame(message(f"{name}-{n}", app="STALL")) for n in range(FRAMES)))
    return s


def check_stalled(target, n, ack_d):
    ack_d("large", LARGE_ANSWER)
    with Watch(target) as watch, Good(target) as sender:
        stalled = [stall(target.port, f"STALL{i}", source) for i, source in enumerate(sources(n))]
        wait_until(lambda: len(target.children()) >= n, f"{n} connections at once")
        began = time.monotonic()
        own = {e for e in target.children()}
        wait_until(lambda: sum("not taken by the peer" in e.text for e in target.log) == n, "an entry for each")
        wait_until(lambda: not own & set(target.children()), "their end")
        waited = time.monotonic() - began
    for s in stalled:
        s.close()
    assert waited < 2 + 0.5 + GOOD_SECONDS, "--write-timeout and --drain-timeout, and no more"
    # a message whose answer nobody takes is stored all the same: a resend gets it
    stored = [e for e in target.log if e.get("HL7_SENDING_APPLICATION") == "STALL"]
    assert {e["HL7_OUTCOME"] for e in stored} == {"stored"}
    target.others = len(stored)
    assert n <= len(stored) < n * FRAMES, "the frames behind an answer that nobody takes are not worked on"
    assert watch.peak <= CONNECTION_KIB + 1024, "one answer is in memory, however many wait"
    return f"{len(stored)} messages taken, {waited:.1f} s; {watch}; {sender}"


@pytest.mark.parametrize("way, n", [("waiting", 60), ("accepting", 20)])
def test_answers_that_nobody_reads(request, way, n, ack_d, figures):
    target = request.getfixturevalue(way)("--messages=0", "--write-timeout=2s", "--drain-timeout=500ms")
    figures(f"{way}, {n} that do not read: " + check_stalled(target, n, ack_d))


def test_a_resend_gets_the_answer_that_was_not_read(waiting, ack_d):
    def not_taken():
        return [e for e in target.log if "not taken by the peer" in e.text]

    target = waiting("--messages=0", "--write-timeout=500ms", "--drain-timeout=100ms")
    ack_d("large", LARGE_ANSWER)
    s = stall(target.port, "STALL", "127.0.9.1")
    wait_until(not_taken, "the entry")
    s.close()
    control_id = not_taken()[0]["HL7_CONTROL_ID"]
    target.others = sum(e.get("HL7_SENDING_APPLICATION") == "STALL" for e in target.log)
    peer = Peer(flood.raw_connection(target.port, "127.0.9.1"))
    answer = peer.ask(message(control_id, app="STALL"))
    peer.close()
    assert (answer.code, answer.control_id.decode()) == ("AA", control_id)
    assert len(answer.raw) > 500_000
