# SPDX-License-Identifier: MIT
"""Behind a proxy: the PROXY header, what it changes, and what becomes of those that are none."""
import signal
import socket
import struct
import time

import pytest

from hl7test import EXIT_CONFIG, EXIT_USAGE, Peer, check_log, frame, message, wait_until

M, N = message("ID1"), message("ID2")

LINE = b"PROXY TCP4 10.1.2.3 10.0.0.1 41040 2575\r\n"
LINE_PEER = {"HL7_PEER": "10.1.2.3", "HL7_PEER_PORT": "41040"}
NO_TLS = {"HL7_TLS_VERSION": None, "HL7_TLS_CLIENT": None, "HL7_TLS_VERIFY_RESULT": None,
          "HL7_PROXY_ID": None}
SIGNATURE = bytes.fromhex("0d0a0d0a000d0a515549540a")
LOCAL = SIGNATURE + b"\x20\x00\x00\x00"


def field(kind, value):
    return struct.pack(">BH", kind, len(value)) + value


def tls(client=7, verify=0, version=b"TLSv1.3", name=b"analyzer01"):
    return field(0x20, struct.pack(">BI", client, verify) + field(0x21, version) + field(0x22, name))


def binary(*fields, family=0x11, addresses=bytes.fromhex("0a0102030a000001a0500a0f")):
    body = addresses + b"".join(fields)
    return SIGNATURE + struct.pack(">BBH", 0x21, family, len(body)) + body


@pytest.fixture
def proxied(receive):
    """hl7-receive behind a proxy: proxied(b"header", b"and bytes behind it", "--options")."""

    def proxied(*data, options=(), pause=0.02):
        connection = receive("--proxy-protocol", *options)
        connection.peer.send_apart(*data, pause=pause)
        return connection

    return proxied


def check_taken(connection, *fields, code="AA", status=0):
    """One message was answered, and all entries have these fields."""
    answers = connection.peer.read_frames(1)
    assert [a.code for a in answers] == [code]
    assert connection.finish() == status
    assert connection.log
    for entry in connection.log:
        for wanted in fields:
            assert {k: entry.get(k) for k in wanted} == wanted, entry


def check_refused(connection, why, **fields):
    """Closed without a byte, one entry, nothing of what came in it, and nothing stored."""
    assert connection.peer.read_to_end() == b""
    assert connection.finish() == 0
    check_log(connection.log, [(f"connection refused: {why}", fields)])
    assert "MSH" not in connection.log_text and "GET" not in connection.log_text
    assert not connection.store.names()


def test_the_first_bytes_of_the_message_come_with_the_header(proxied):
    connection = proxied(LINE + frame(M))
    check_taken(connection, LINE_PEER, NO_TLS, {"HL7_OFFSET": "0"})
    assert connection.store.messages() == [M]


def test_each_byte_by_itself(proxied):
    connection = proxied(*[bytes([b]) for b in LINE + frame(M)[:40]], frame(M)[40:], pause=0.002)
    check_taken(connection, LINE_PEER)
    assert connection.store.messages() == [M]


@pytest.mark.parametrize("cut", [1, 6, len(LINE) - 1, len(LINE), len(LINE) + 1, len(LINE) + 20])
def test_cut_anywhere(proxied, cut):
    data = LINE + frame(M)
    check_taken(proxied(data[:cut], data[cut:]), LINE_PEER)


def test_several_messages_in_one_segment(proxied):
    connection = proxied(LINE + frame(M) + frame(N), options=("--messages=0",))
    assert [a.code for a in connection.peer.read_frames(2)] == ["AA", "AA"]
    assert connection.finish() == 0
    assert [(e["HL7_PEER"], e["HL7_CONTROL_ID"]) for e in connection.log] == \
        [("10.1.2.3", "ID1"), ("10.1.2.3", "ID2")]


def test_large_message_behind_the_largest_header(proxied):
    header = binary(field(0xE0, bytes(4096 - 16 - 12 - 3)))
    assert len(header) == 4096
    large = message("ID1", filler=5_000_000)
    connection = proxied(header + frame(large))
    check_taken(connection, LINE_PEER)
    assert connection.store.messages() == [large]


@pytest.mark.parametrize("size", [3900, 4000, 4096 - len(LINE), 4096, 5000, 8192, 20000])
def test_what_is_read_with_the_header(proxied, size):
    payload = message("ID1", filler=size)
    connection = proxied(LINE + frame(payload), options=("--max-message=64K",))
    check_taken(connection, LINE_PEER)
    assert connection.store.messages() == [payload]


def test_small_maximum(proxied):
    connection = proxied(LINE + frame(message("ID1", filler=3000)), options=("--max-message=256",))
    check_taken(connection, LINE_PEER, {"HL7_OUTCOME": "too-large"}, code="AR")


def test_tls(proxied):
    connection = proxied(binary(tls(), field(5, b"id-7")) + frame(M))
    check_taken(connection, LINE_PEER, {
        "HL7_TLS_VERSION": "TLSv1.3", "HL7_TLS_CLIENT": "analyzer01", "HL7_TLS_VERIFY_RESULT": None,
        "HL7_PROXY_ID": "id-7"})


def test_certificate_that_the_proxy_found_wrong(proxied):
    """Its name is anybody's: it is not told."""
    connection = proxied(binary(tls(verify=18)) + frame(M))
    check_taken(connection, LINE_PEER, {"HL7_TLS_VERSION": "TLSv1.3", "HL7_TLS_CLIENT": None,
                                        "HL7_TLS_VERIFY_RESULT": "18"})


def test_no_certificate(proxied):
    connection = proxied(binary(tls(client=1, name=b"")) + frame(M))
    check_taken(connection, {"HL7_TLS_VERSION": "TLSv1.3", "HL7_TLS_CLIENT": None,
                             "HL7_TLS_VERIFY_RESULT": None})


def test_no_tls(proxied):
    check_taken(proxied(binary(tls(client=0)) + frame(M)), LINE_PEER, NO_TLS)


def test_name_that_would_be_another_field(proxied):
    connection = proxied(binary(tls(name=b'a HL7_PEER=10.9.9.9"\nPRIORITY=0\x1b[2J' + b"x" * 200)) + frame(M))
    check_taken(connection, LINE_PEER)
    log = connection.log_text
    assert 'HL7_TLS_CLIENT="a HL7_PEER=10.9.9.9\\x22\\x0aPRIORITY=0\\x1b[2Jxxx' in log
    assert "x" * 130 not in log and '..."' in log


def test_ipv6(proxied):
    header = b"PROXY TCP6 2001:db8::1 2001:db8::2 41040 2575\r\n"
    check_taken(proxied(header + frame(M)), {"HL7_PEER": "2001:db8::1", "HL7_PEER_PORT": "41040"})


def test_mapped_address(proxied):
    header = b"PROXY TCP6 ::ffff:10.1.2.3 ::ffff:10.0.0.1 41040 2575\r\n"
    check_taken(proxied(header + frame(M)), LINE_PEER)


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", LOCAL, binary(family=0, addresses=b"")],
                         ids=["UNKNOWN", "LOCAL", "unspecified"])
def test_real_peer_where_the_header_has_none(proxied, header):
    check_taken(proxied(header + frame(M)), {"HL7_PEER": "127.0.0.1"}, NO_TLS)


def test_unix_addresses(proxied):
    header = binary(family=0x31, addresses=b"/run/a".ljust(216, b"\0"))
    check_taken(proxied(header + frame(M)), {"HL7_PEER": "127.0.0.1"})


def test_templates_and_reasons_have_the_peer(proxied, ack_d):
    ack_d("peer", "MSH|^~\\&|A||||{now}||ACK|{id}|P|2.5\nMSA|{ack.code}|{MSH-10}|"
                  "{peer.address} {local.port}")
    connection = proxied(LINE + frame(message("")))
    answer, = connection.peer.read_frames(1)
    assert answer["MSA-3"] == b"10.1.2.3 2575"
    assert connection.finish() == 0
    reason, = (connection.store.path / "rejected").glob("*.txt")
    assert "peer: 10.1.2.3\n" in reason.read_text()


def test_entries_that_were_held_have_the_peer(proxied, ack_d):
    ack_d("broken", "{")
    connection = proxied(LINE + frame(M))
    check_taken(connection, LINE_PEER, code="AR", status=EXIT_CONFIG)
    assert len(connection.log) == 2


def test_allow_is_about_the_peer(proxied):
    """And not about the proxy."""
    check_taken(proxied(LINE + frame(M), options=("--allow=10.1.2.0/24",)), LINE_PEER)
    connection = proxied(LINE + frame(N), options=("--allow=127.0.0.0/8",))
    assert connection.peer.read_to_end() == b""
    assert connection.finish() == 0
    assert [e["HL7_PEER"] for e in connection.log] == ["10.1.2.3"]
    assert connection.store.messages() == [M]


def test_wait_mode(activate, tmp_path, store):
    """One proxy's connections are no source of their own, and each has its own header."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "socket"))
    listener.listen()
    activator = activate("--proxy-protocol", "--max-connections-per-source=2", sockets=[listener])
    peers = []
    for n in range(4):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(tmp_path / "socket"))
        peers.append(Peer(sock))
        peers[-1].send(b"PROXY TCP4 10.1.2.%d 10.0.0.1 41040 2575\r\n" % n)
    for n, peer in enumerate(peers):
        assert peer.ask(message(f"ID{n}")).code == "AA"
        peer.close()
    wait_until(lambda: len(activator.log) == 4, "the entries")
    assert [(e["HL7_CONTROL_ID"], e["HL7_PEER"]) for e in activator.log] == \
        [(f"ID{n}", f"10.1.2.{n}") for n in range(4)]


# --- those that are none --------------------------------------------------------------------------

NOT_ONE = [
    ("a message at once", frame(M), "no PROXY header", 0),
    ("a web browser", b"GET / HTTP/1.1\r\n\r\n", "no PROXY header", 0),
    ("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "no PROXY header", 0),
    ("a bare LF", b"PROXY TCP4 10.1.2.3 10.0.0.1 41040 2575\n" + frame(M),
     "the PROXY header's line is malformed", 39),
    ("an endless line", b"PROXY UNKNOWN " + b"x" * 10000, "the PROXY header's line is malformed", 106),
    ("a leading zero", b"PROXY TCP4 010.1.2.3 10.0.0.1 41040 2575\r\n" + frame(M),
     "the PROXY header's line is malformed", 12),
    ("version 3", SIGNATURE + b"\x31\x11\x00\x0c" + bytes(12), "the PROXY header has an unknown version", 12),
    ("a wrong checksum", binary(field(3, bytes(4))) + frame(M), "the PROXY header's checksum is wrong", 31),
    ("two certificates", binary(tls(), tls(name=b"other")) + frame(M),
     "a field of the PROXY header is malformed", None),
    ("too large", SIGNATURE + b"\x21\x11\xff\xff" + bytes(70000), "the PROXY header is too large", 14),
]


@pytest.mark.parametrize("data, why, offset", [c[1:] for c in NOT_ONE], ids=[c[0] for c in NOT_ONE])
def test_refused_at_once(receive, data, why, offset):
    """Not only when the time for a header has passed, nor when the peer closes."""
    connection = receive("--proxy-protocol", before=lambda peer: peer.send(data[:4096]))
    began = time.monotonic()
    check_refused(connection, why, **({} if offset is None else {"HL7_FAULT_OFFSET": offset}))
    assert time.monotonic() - began < 4


@pytest.mark.parametrize("data", [LINE[:1], LINE[:-1], SIGNATURE[:5], binary(tls())[:-1]],
                         ids=["a byte", "all but the LF", "half a signature", "all but a byte"])
@pytest.mark.parametrize("ends", [True, False], ids=["the peer closes", "it comes no more"])
def test_half_a_header(proxied, data, ends):
    connection = proxied(data, options=(f"--proxy-timeout={'10s' if ends else '300ms'}",))
    if ends:
        connection.peer.half_close()
        check_refused(connection, "the PROXY header is not complete", HL7_BYTES=len(data))
    else:
        check_refused(connection, "the PROXY header was not complete in time", HL7_BYTES=len(data))


def test_one_byte_after_another_does_not_make_it_longer(receive):
    connection = receive("--proxy-protocol", "--proxy-timeout=400ms")
    began = time.monotonic()
    try:
        for byte in LINE:
            connection.peer.send(bytes([byte]))
            time.sleep(0.05)
    except (BrokenPipeError, ConnectionResetError):
        pass
    assert time.monotonic() - began < 1.8, "it took all of it"
    assert connection.finish() == 0
    check_log(connection.log, ["connection refused: the PROXY header was not complete in time"])


@pytest.mark.parametrize("ends", [True, False], ids=["the peer closes", "nothing comes"])
@pytest.mark.parametrize("data", [b"", LOCAL, b"PROXY UNKNOWN\r\n", LINE],
                         ids=["no byte", "LOCAL", "UNKNOWN", "a line"])
def test_probe_leaves_no_trace(proxied, ack_d, data, ends):
    ack_d("broken", "{")
    connection = proxied(data, options=("--proxy-timeout=1s", "--idle-timeout=200ms"))
    if ends:
        connection.peer.half_close()
    assert connection.peer.read_to_end() == b""
    assert connection.finish() == 0
    assert connection.log_text == ""


def test_reset(proxied):
    connection = proxied(LINE[:9])
    connection.peer.reset()
    assert connection.wait() == 0
    assert len(connection.log) <= 1


def test_sigterm_before_the_header(proxied):
    connection = proxied(b"")
    time.sleep(0.2)
    connection.popen.send_signal(signal.SIGTERM)
    assert connection.wait() == 0
    assert connection.log_text == ""


def test_never_guessed(receive):
    """Without the option a header is noise in front of a message: no peer can say that it is another."""
    connection = receive()
    connection.peer.send(LINE + frame(M))
    assert [a.code for a in connection.peer.read_frames(1)] == ["AA"]
    assert connection.finish() == 0
    assert {e["HL7_PEER"] for e in connection.log} == {"127.0.0.1"}
    check_log(connection.log, [("bytes outside of a frame", {"HL7_BYTES": len(LINE)}), "message stored"])


def test_second_header_is_noise(proxied):
    connection = proxied(LINE + b"PROXY TCP4 10.9.9.9 10.0.0.1 1 2\r\n" + frame(M))
    check_taken(connection, LINE_PEER)


@pytest.mark.parametrize("option", ["--proxy-timeout=0", "--proxy-timeout=soon", "--proxy-protocol=2"])
def test_bad_option(start, command, option):
    process = start(command(option))
    assert process.wait() == EXIT_USAGE
    assert "--help" in process.log_text
