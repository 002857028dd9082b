# SPDX-License-Identifier: MIT
"""What a connection needs of memory, and that a sender of the largest messages on every slot takes no more.

Measured is the peak of each process (VmHWM), so that it also holds where no kernel enforces a unit's limit.
"""
import time

import pytest

from flood import Good, Watch, in_threads, peak_kib, raw_connection, share_kib, sources
from hl7test import CR, FS, VT, Peer, acks, frame, header, message, message_of, wait_until

KIB, MIB = 1024, 1024 * 1024
MAX_MESSAGE = 32 * MIB

# A connection without its message; and what the documented exceptions add
CONNECTION_KIB = 4 * 1024
INDEX_KIB = 8 * 1024

STORES = pytest.mark.parametrize("stored", [False, True], ids=["no store", "store"])


def segments_of(n_bytes, segment):
    head = message()
    return head + segment * ((n_bytes - len(head)) // len(segment))


def padded_header(n_bytes):
    """Of so many bytes, nearly all of which are in the field that an answer repeats."""
    return header("X" * (n_bytes - len(header("")) - 1)) + CR


MESSAGES = {
    "1 KiB": (message_of(KIB), 0),
    "1 MiB": (message_of(MIB), 0),
    "1 MiB of short segments": (segments_of(MIB, b"OBX|1|NM|1^A||0.87|||||F\r"), 0),
    "32 MiB": (message_of(MAX_MESSAGE), 0),
    # the index of segments: 8 bytes for each, up to a million of them
    "32 MiB of short segments": (segments_of(MAX_MESSAGE, b"OBX|1|NM|1^A||0.87 and so on|||||F\r"), INDEX_KIB),
    # an answer as large as the message
    "32 MiB of header": (padded_header(MAX_MESSAGE), MAX_MESSAGE // KIB + 1024),
}


@STORES
@pytest.mark.parametrize("name", MESSAGES)
def test_memory_of_a_connection(receive, name, stored, figures):
    """Peak: 4 MiB and the message."""
    payload, more = MESSAGES[name]
    connection = receive("--messages=0", *([] if stored else ["--no-store"]))
    connection.peer.send(frame(payload))
    data = bytearray()
    while not data.endswith(FS + CR):
        data += connection.peer.sock.recv(MIB)
    peak = peak_kib(connection.popen.pid)
    assert acks(bytes(data))[0].code == "AA"
    assert len(payload) / KIB < peak <= CONNECTION_KIB + len(payload) / KIB + more
    figures(f"{name}, {'stored' if stored else 'not stored'}: {peak / KIB:.1f} MiB at most")
    connection.finish()


# --- on every slot --------------------------------------------------------------------------------

def hold_frame(port, source, control_id):
    """A connection that has sent 32 MiB, and not the end of the frame."""
    peer = Peer(raw_connection(port, source))
    peer.send(VT + message_of(MAX_MESSAGE, control_id))
    return peer


def check_large(target, n):
    """Each slot but one is held by a frame of 32 MiB at the same moment; then all end at once."""
    limit = CONNECTION_KIB + MAX_MESSAGE // KIB
    held = [None] * n
    froms = sources(n)

    def hold(i):
        held[i] = hold_frame(target.port, froms[i], f"LARGE{i}")

    def end(i):
        held[i].send(FS + CR)
        answer, = acks(held[i].read_to_end())
        held[i].close()
        assert (answer.code, answer.control_id) == ("AA", f"LARGE{i}".encode())

    began = time.monotonic()
    with Watch(target, pause=0.1) as watch, Good(target) as sender:
        in_threads(4, lambda t: [hold(i) for i in range(t, n, 4)])
        wait_until(lambda: sum(share_kib(pid) > MAX_MESSAGE // KIB for pid in target.children()) >= n,
                   "all frames are in memory")
        share = sum(map(share_kib, target.children()))
        in_threads(n, end)
    assert watch.peak <= limit
    assert watch.share <= n * limit + 4 * CONNECTION_KIB
    return f"{n} times 32 MiB, {share / KIB:.0f} MiB while all are held, {time.monotonic() - began:.1f} s; {watch}; {sender}"


@pytest.mark.parametrize("way", ["waiting", "accepting"])
def test_32_mib_on_every_slot(request, way, tmp_path, figures):
    limits = ["--max-connections=13"] if way == "waiting" else []
    target = request.getfixturevalue(way)(*limits)
    figures(f"{way}, " + check_large(target, 12))
    target.others = 12


def test_too_large_on_every_slot(waiting, figures):
    """Twice what is taken: as much is read, and no more than the maximum is kept."""
    def send(i):
        peer = Peer(raw_connection(target.port, froms[i]))
        peer.send(frame(message_of(2 * MAX_MESSAGE, f"LARGE{i}")))
        assert [a.code for a in acks(peer.read_to_end())] == ["AR"]
        peer.close()

    target, froms = waiting(), sources(12)
    with Watch(target, pause=0.05) as watch, Good(target) as sender:
        in_threads(4, lambda t: [send(i) for i in range(t, 12, 4)])
    assert watch.peak <= CONNECTION_KIB + MAX_MESSAGE // KIB
    figures(f"12 times 64 MiB where 32 are taken: {watch}; {sender}")
