# SPDX-License-Identifier: MIT
"""Scans: 10,000 connections without a byte, 10,000 with random bytes, what other protocols begin with.

A process for each, so the same against Accept=yes is made with 600: a start costs milliseconds there.
"""
import collections
import socket
import ssl
import time

import pytest

from flood import Good, Watch, abort, ask_noise, in_threads, noise, raw_connection, sources
from hl7test import FS, VT, wait_until

THREADS = 8
FROMS = sources(200)
CONNECTION_KIB = 4 * 1024

WAYS = pytest.mark.parametrize("way, n", [("waiting", 10_000), ("accepting", 600)])

OUTSIDE = "bytes outside of a frame skipped"


def flood_with(target, n, one):
    """one(number) n times, in several threads; the line for the report."""
    began = time.monotonic()
    with Watch(target) as watch, Good(target) as sender:
        in_threads(THREADS, lambda thread: [one(i) for i in range(thread, n, THREADS)])
        seconds = time.monotonic() - began
    assert watch.peak <= CONNECTION_KIB
    return f"{n} connections in {seconds:.1f} s; {watch}; {sender}"


def others(target):
    """What was logged that is not of the good sender, once all is logged."""
    wait_until(lambda: not target.children(), "the end of all")
    return [e for e in target.log if e.get("HL7_OUTCOME") != "stored"]


@WAYS
def test_connections_without_a_byte(request, way, n, figures):
    """Every second is reset. The log has not a line of them, as above debug level there is none.

    With Accept=yes all connections wait in one queue for their processes, the good ones behind the others:
    there the scanner has at most as many of them open as it has threads.
    """
    def one(i):
        s = raw_connection(target.port, FROMS[i % len(FROMS)])
        if i % 2:
            abort(s)
        elif way == "waiting":
            s.close()
        else:
            s.shutdown(socket.SHUT_WR)
            assert s.recv(1) == b""
            s.close()

    target = request.getfixturevalue(way)()
    figures(f"{way}, without a byte: " + flood_with(target, n, one))
    assert others(target) == []


@WAYS
def test_random_bytes(request, way, n, figures):
    """None is answered; each is told in a line or two, at most, without its bytes."""
    def one(i):
        answer = ask_noise(target.port, FROMS[i % len(FROMS)], noise(i))
        assert answer == b"", f"noise({i}) got an answer"

    target = request.getfixturevalue(way)()
    figures(f"{way}, random bytes: " + flood_with(target, n, one))
    told = collections.Counter((e["HL7_PEER"], e["HL7_PEER_PORT"], e.text) for e in others(target))
    assert 0 < len(told) <= 3 * n
    outcomes = {e.get("HL7_OUTCOME") for e in others(target)}
    assert outcomes <= {"frame-lost", "no-header", "fs-inside-data", None}, outcomes


def test_random_bytes_and_a_reset(waiting, figures):
    """What was read of them is judged, or not; nobody is there to be answered."""
    def one(i):
        s = raw_connection(target.port, FROMS[i % len(FROMS)])
        s.send(noise(i))
        abort(s)

    target = waiting()
    figures("waiting, random bytes and a reset: " + flood_with(target, 2_000, one))


# --- other protocols ------------------------------------------------------------------------------

TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def client_hello():
    """What a TLS client says first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = TLS.wrap_bio(incoming, outgoing, server_hostname="hl7.example")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


PROBES = {
    "TLS": client_hello,
    "HTTP": lambda: b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: scanner\r\n\r\n",
    "HTTP/2": lambda: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "SSH": lambda: b"SSH-2.0-scanner\r\n",
    "RDP": lambda: bytes.fromhex("0300001300e000000000000100080003000000"),
    "SMB": lambda: bytes.fromhex("00000054ff534d4272000000001801280000000000000000000000000000"),
    "line ends": lambda: b"\r\n\r\n",
    "a frame of nothing": lambda: VT + FS + b"\r",
    "a header alone": lambda: VT + b"MSH|^~\\&" + FS + b"\r",
    "half a header": lambda: VT + b"MSH|^~\\&|SCANNER|",
}


@pytest.mark.parametrize("way, n", [("waiting", 100), ("accepting", 10)])
@pytest.mark.parametrize("probe", PROBES)
def test_other_protocols(request, way, n, probe):
    """Each again and again: a few lines for each at most, and no answer that would name us."""
    target = request.getfixturevalue(way)()
    for i in range(n):
        data = PROBES[probe]()
        answer = ask_noise(target.port, FROMS[i % len(FROMS)], data)
        # an MSH that can be read is owed an answer
        assert (b"MSA|AE|" in answer) if probe == "a header alone" else answer == b""
    told = [e.text for e in others(target)]
    # with a VT, by chance: what was before it, two inside of a frame, the end without an FS
    limit = 4 if VT in data else 1
    assert len(told) <= limit * n, told[:10]
    if probe == "line ends":
        assert told == []
    elif probe in ("HTTP", "HTTP/2", "SSH"):
        assert set(told) == {OUTSIDE} and len(told) == n
