# SPDX-License-Identifier: MIT
"""Framing, deadlines and closing: what hl7-receive answers, stores, logs, and how it ends."""
import dataclasses
import pathlib
import signal
import socket
import subprocess
import time

import pytest

from hl7test import (AS_SYSTEMD, CR, FS, LF, NUL, PATIENCE, VT, Peer, Process, acks, check_log,
                     environment, frame, message, message_of, split_frames, wait_until)

M, N, O = message("ID1"), message("ID2"), message("ID3")
ENHANCED = message("ID1", accept="AL", application="NE")
SOME = len(b"MSH|^~\\&|LAB|")  # a place inside the header
MIDDLE = M.index(b"OBR")       # a place inside the message, where a segment begins

STORED = ("message stored: AA sent", {"HL7_OUTCOME": "stored", "HL7_ACK": "AA"})
UNREAD = "frames behind the connection's last message were not taken"
SKIPPED = "bytes outside of a frame skipped"
DISCARDED = "a frame's beginning discarded"
LATE = "data followed the FS byte of a frame already answered"
EMPTY = "empty frames ignored"


@dataclasses.dataclass
class Case:
    name: str
    sends: list            # written one after another, each arriving alone
    codes: str = "AA"      # of the answers
    stored: tuple = (M,)
    log: tuple = (STORED,)
    options: tuple = ()
    ends: str = "us"       # who closes first: "us", or "peer" (it shuts down writing)


MANY = ("--messages=0",)


def stored(control_id, **fields):
    return (STORED[0], {**STORED[1], "HL7_CONTROL_ID": control_id, **fields})


def fault(outcome, answer, **fields):
    return (f"message {outcome}: {answer}", {"HL7_OUTCOME": outcome, **fields})


CASES = [
    # what every listener must take
    Case("one frame in one write", [frame(M)]),
    Case("one frame, the connection kept", [frame(M)], options=MANY, ends="peer"),
    Case("VT, message, FS CR in three writes", [VT, M, FS + CR]),
    Case("FS and CR in two writes", [VT + M + FS, CR]),
    Case("FS and CR in two writes, another frame behind", [VT + M + FS, CR + frame(N)], "AA AA",
         (M, N), (stored("ID1"), stored("ID2")), MANY, "peer"),
    Case("two frames in one write", [frame(M) + frame(N)], "AA AA", (M, N),
         (stored("ID1", HL7_OFFSET=0), stored("ID2", HL7_OFFSET=len(M) + 3)), MANY, "peer"),
    Case("three frames in one write", [frame(M) + frame(N) + frame(O)], "AA AA AA", (M, N, O),
         (stored("ID1"), stored("ID2"), stored("ID3")), MANY, "peer"),
    Case("one and a half, then the rest", [frame(M) + frame(N)[:40], frame(N)[40:]], "AA AA",
         (M, N), (stored("ID1"), stored("ID2")), MANY, "peer"),
    Case("more frames than messages are taken", [frame(M) + frame(N) + frame(O)], log=(
        STORED, (UNREAD, {"HL7_BYTES": len(frame(N) + frame(O)), "HL7_OFFSET": len(frame(M))}))),
    Case("--messages=2 of three frames", [frame(M) + frame(N) + frame(O)], "AA AA", (M, N),
         (stored("ID1"), stored("ID2"), (UNREAD, {"HL7_BYTES": len(frame(O))})), ("--messages=2",)),
    Case("half-close behind the frame", [frame(M)], ends="peer"),
    Case("half-close behind the FS", [VT + M + FS], ends="peer"),
    Case("half-close, enhanced mode", [frame(ENHANCED)], "CA", (ENHANCED,),
         (("message stored: CA sent", {"HL7_ACK": "CA"}),), ends="peer"),

    # bytes outside of frames
    Case("noise before VT", [b"GET / HTTP/1.1\r\n" + frame(M)], log=(
        (SKIPPED, {"HL7_BYTES": 16, "HL7_OFFSET": 0}), stored("ID1", HL7_OFFSET=16))),
    Case("noise in a write of its own", [b"noise", frame(M)], log=(
        (SKIPPED, {"HL7_BYTES": 5, "HL7_OFFSET": 0}), STORED)),
    Case("CR, LF and NUL before VT are no noise", [CR + LF + NUL + frame(M)]),
    Case("lines before VT, then noise", [CR + LF + b"x" + frame(M)], log=(
        (SKIPPED, {"HL7_BYTES": 3, "HL7_OFFSET": 2}), STORED)),
    Case("CR, LF and NUL between frames", [frame(M) + CR + LF + NUL + frame(N)], "AA AA", (M, N),
         (stored("ID1"), stored("ID2")), MANY, "peer"),
    Case("noise between frames", [frame(M) + b"noise" + frame(N)], "AA AA", (M, N),
         (stored("ID1"), (SKIPPED, {"HL7_BYTES": 5, "HL7_OFFSET": len(M) + 3}), stored("ID2")),
         MANY, "peer"),
    Case("a message without VT", [M + FS + CR], "", (),
         ((SKIPPED, {"HL7_BYTES": len(M) + 2, "HL7_OFFSET": 0}),), ends="peer"),
    Case("only noise", [b"\x16\x03\x01\x02\x00\x01"], "", (),
         ((SKIPPED, {"HL7_BYTES": 6, "HL7_OFFSET": 0}),), ends="peer"),
    Case("only line ends", [CR + LF], "", (), (), ends="peer"),

    # ends of frames that are not FS CR
    Case("FS LF", [VT + M + FS + LF], ends="peer"),
    Case("FS CR LF", [VT + M + FS + CR + LF], ends="peer"),
    Case("FS NUL", [VT + M + FS + NUL], ends="peer"),
    Case("FS VT", [VT + M + FS + frame(N)], "AA AA", (M, N), (stored("ID1"), stored("ID2")), MANY,
         "peer"),
    Case("FS LF VT", [VT + M + FS + LF + frame(N)], "AA AA", (M, N),
         (stored("ID1"), stored("ID2")), MANY, "peer"),
    Case("FS NUL VT", [VT + M + FS + NUL + frame(N)], "AA AA", (M, N),
         (stored("ID1"), stored("ID2")), MANY, "peer"),
    Case("FS and never a CR", [VT + M + FS], ends="us"),

    # VT where none belongs
    Case("VT VT", [VT + frame(M)]),
    Case("VT inside: the part before is lost", [VT + M[:MIDDLE] + frame(N)], stored=(N,), log=(
        (DISCARDED, {"HL7_BYTES": MIDDLE, "HL7_OFFSET": MIDDLE + 1}),
        stored("ID2", HL7_OFFSET=MIDDLE + 1))),
    Case("two VT inside", [VT + b"MSH|" + VT + b"MSH" + frame(N)], stored=(N,), log=(
        (DISCARDED, {"HL7_BYTES": 7}), stored("ID2"))),
    Case("VT inside, what follows has no header", [VT + M[:MIDDLE] + VT + M[MIDDLE:] + FS + CR],
         "", (), ((DISCARDED, {"HL7_BYTES": MIDDLE}), fault("no-header", "no answer"))),

    Case("VT inside, nothing behind it", [VT + M[:MIDDLE] + VT + FS + CR], "", (),
         ((DISCARDED, {"HL7_BYTES": MIDDLE}), fault("no-header", "no answer"))),

    # FS where none belongs
    Case("FS inside the data", [VT + M[:MIDDLE] + FS + M[MIDDLE:] + FS + CR], "AE", (), (
        fault("fs-inside-data", "AE sent", HL7_FAULT_OFFSET=1 + MIDDLE, HL7_CONTROL_ID="ID1"),)),
    Case("FS inside the data, enhanced mode",
         [VT + ENHANCED[:MIDDLE] + FS + ENHANCED[MIDDLE:] + FS + CR], "CE", (),
         (fault("fs-inside-data", "CE sent", HL7_FAULT_OFFSET=1 + MIDDLE),)),
    Case("FS inside, the next frame is taken",
         [VT + M[:MIDDLE] + FS + M[MIDDLE:] + FS + CR + frame(N)], "AE AA", (N,),
         (fault("fs-inside-data", "AE sent", HL7_FAULT_OFFSET=1 + MIDDLE),
          (SKIPPED, {"HL7_BYTES": len(M) - MIDDLE + 2}), stored("ID2")), MANY, "peer"),
    Case("FS FS CR", [VT + M + FS + FS + CR], "AE", (),
         (fault("fs-inside-data", "AE sent", HL7_FAULT_OFFSET=1 + len(M)),)),
    Case("FS inside the header, before MSH-10", [VT + M[:SOME] + FS + M[SOME:] + FS + CR], "AE", (),
         (fault("fs-inside-data", "AE sent", HL7_FAULT_OFFSET=1 + SOME),)),
    Case("FS CR behind every segment: the first ends the frame",
         [VT + M.replace(CR, FS + CR) + FS + CR], "AA", (M[:M.index(CR)],), (STORED,)),

    # odd contents
    Case("NUL inside", [frame(M + b"NTE|1||a\0b" + CR)], stored=(M + b"NTE|1||a\0b" + CR,)),
    Case("bytes that are not UTF-8", [frame(M + b"NTE|1||\xe4\xff" + CR)],
         stored=(M + b"NTE|1||\xe4\xff" + CR,)),
    Case("no MSH", [frame(b"PID|1||x" + CR)], "", (), (fault("no-header", "no answer"),)),
    Case("only the letters MSH", [frame(b"MSH")], "", (), (fault("no-header", "no answer"),)),
    Case("not HL7 at all", [frame(b"hello")], "", (), (fault("no-header", "no answer"),)),
    Case("blanks, tab and NUL before MSH", [frame(b"  \t" + NUL + M)], "AA",
         (b"  \t" + NUL + M,)),
    Case("a control id of nothing but control characters", [frame(message("\t"))], "AE", (),
         (fault("no-control-id", "AE sent"),)),
    Case("no MSH, kept connection: no further frame", [frame(b"hello") + frame(M)], "", (),
         (fault("no-header", "no answer"), (UNREAD, {"HL7_BYTES": len(frame(M))})), MANY),

    # empty frames
    Case("an empty frame", [frame(b"")], "", (), ((EMPTY, {"HL7_FRAMES": 1}),), ends="peer"),
    Case("an empty frame and a message", [frame(b"") + frame(M)],
         log=(STORED, (EMPTY, {"HL7_FRAMES": 1}))),
    Case("three empty frames between messages", [frame(M) + 3 * frame(b"") + frame(N)], "AA AA",
         (M, N), (stored("ID1"), stored("ID2"), (EMPTY, {"HL7_FRAMES": 3})), MANY, "peer"),

    # a frame that never ends
    Case("end of input in mid-frame", [frame(M)[:-2]], "", (),
         (fault("frame-lost", "no answer", HL7_FAULT_OFFSET=len(M) + 1, HL7_CONTROL_ID="ID1"),),
         ends="peer"),
    Case("end of input behind VT", [VT], "", (),
         (fault("frame-lost", "no answer", HL7_FAULT_OFFSET=1),), ends="peer"),
    Case("end of input in the second frame", [frame(M) + VT + b"MSH|^~"], "AA", (M,),
         (stored("ID1"), fault("frame-lost", "no answer")), MANY, "peer"),
    Case("nothing at all", [], "", (), (), ends="peer"),
    Case("nothing at all, the connection kept", [], "", (), (), MANY, "peer"),
]


def exchange(connection, case):
    peer = connection.peer
    n = len(case.codes.split())
    if case.ends == "peer":
        peer.half_close()
    if n:
        peer.read_frames(n)
    peer.read_to_end()
    assert not peer.was_reset, "the connection was reset"
    assert connection.finish() == 0
    assert " ".join(a.code for a in acks(peer.received)) == case.codes
    assert connection.store.messages() == list(case.stored)
    check_log(connection.log, case.log)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_case(receive, case):
    """The table above, over a connection on which all bytes arrive while the process is waiting."""
    connection = receive(*case.options, "--idle-timeout=5s")
    connection.peer.send_apart(*case.sends)
    exchange(connection, case)


AT_ONCE = [c for c in CASES if len(c.sends) == 1 and c.name != "FS and never a CR"]


@pytest.mark.parametrize("way", ["systemd", "inetd"])
@pytest.mark.parametrize("case", AT_ONCE, ids=lambda c: c.name)
def test_case_all_there_before_the_process(receive, case, way):
    """The same table where the process finds all bytes waiting for it."""
    connection = receive(*case.options, "--idle-timeout=5s", way=way,
                         before=lambda peer: peer.send(case.sends[0]))
    exchange(connection, case)


def test_error_of_fs_inside_data(receive):
    """The answer says what is wrong, and nothing in it is taken from behind the fault."""
    connection = receive(before=lambda p: p.send(VT + M[:MIDDLE] + FS + M[MIDDLE:] + FS + CR))
    connection.peer.read_to_end()
    answer, = acks(connection.peer.received)
    assert answer.control_id == b"ID1"
    assert answer.error() == ("", "102")
    assert b"0x1C" in answer["ERR-8"]


@pytest.mark.parametrize("size", [1 << n for n in range(12, 16)])
def test_fs_inside_data_at_the_end_of_a_read(receive, size):
    """What is there behind the FS is looked at before the message is stored, whatever one read takes."""
    half = message_of(size - 2)
    connection = receive(before=lambda p: p.send(VT + half + FS + b"NTE|1||x" + CR + FS + CR))
    connection.peer.read_to_end()
    answer, = acks(connection.peer.received)
    assert answer.code == "AE"
    assert connection.finish() == 0
    assert connection.store.messages() == []
    check_log(connection.log, [fault("fs-inside-data", "AE sent", HL7_FAULT_OFFSET=size - 1)])


def test_split_at_every_byte(receive):
    """Two pieces, cut at every place; one process takes them all."""
    def whole(i):
        return frame(b"MSH|^~\\&|A||||||ADT^A01|I%02d|P|2.3" % i + CR)

    connection = receive("--messages=0")
    for i in range(1, len(whole(0))):
        connection.peer.send_apart(whole(i)[:i], whole(i)[i:], pause=0.002)
        assert connection.peer.read_frames(i)[-1].code == "AA"
    connection.peer.half_close()
    connection.peer.read_to_end()
    assert connection.finish() == 0
    assert [frame(m) for m in connection.store.messages()] == [
        whole(i) for i in range(1, len(whole(0)))]


def test_byte_by_byte(receive):
    connection = receive()
    connection.peer.send_apart(*[bytes([b]) for b in frame(M)], pause=0.001)
    connection.peer.read_to_end()
    assert [a.code for a in acks(connection.peer.received)] == ["AA"]
    assert connection.finish() == 0
    assert connection.store.messages() == [M]


@pytest.mark.parametrize("options", [(), MANY], ids=["one message", "connection kept"])
def test_data_behind_an_answered_frame_is_told(receive, options):
    """The FS was the last byte of what had come; its message was answered, and then it went on."""
    connection = receive(*options)
    peer = connection.peer
    peer.send(VT + M[:MIDDLE] + FS)
    assert peer.read_frames(1)[0].code == "AA"
    peer.send(M[MIDDLE:] + FS + CR)
    peer.half_close()
    peer.read_to_end()
    assert connection.finish() == 0
    assert connection.store.messages() == [M[:MIDDLE]]
    first, late = connection.log[:2]
    assert first["HL7_OUTCOME"] == "stored"
    assert late.text.startswith(LATE)
    assert late["HL7_OFFSET"] == str(1 + MIDDLE)


def test_late_data_is_not_told_of_a_clean_end(receive):
    connection = receive()
    connection.peer.send(VT + M + FS)
    connection.peer.read_frames(1)
    connection.peer.send(CR)
    assert connection.finish() == 0
    check_log(connection.log, [STORED])


# --- sizes --------------------------------------------------------------------------------------

@pytest.mark.parametrize("over, code", [(-1, "AA"), (0, "AA"), (1, "AR"), (5000, "AR")])
def test_the_size_limit_is_exact(receive, over, code):
    payload = message_of(4096 + over)
    connection = receive("--max-message=4096")
    connection.peer.send(frame(payload))
    connection.peer.read_to_end()
    answer, = acks(connection.peer.received)
    assert answer.code == code
    assert answer.control_id == b"MSG00001"
    assert connection.finish() == 0
    assert connection.store.messages() == ([payload] if code == "AA" else [])
    if code == "AR":
        assert answer.error() == ("", "207")
        check_log(connection.log, [fault("too-large", "AR sent", HL7_FAULT_OFFSET=1 + 4096)])


def test_behind_a_message_that_is_too_large_the_next_is_taken(receive):
    connection = receive("--max-message=4K", "--messages=0")
    peer = connection.peer
    assert peer.ask(message("BIG", filler=100_000)).code == "AR"
    assert peer.ask(M).code == "AA"
    peer.send(frame(message("BIG2", filler=20_000)) + frame(N))
    assert [a.code for a in peer.read_frames(4)] == ["AR", "AA", "AR", "AA"]
    peer.half_close()
    peer.read_to_end()
    assert connection.finish() == 0
    assert connection.store.messages() == [M, N]


def test_40_mb_against_the_default_limit(receive):
    """A peer that writes all before it reads still gets its rejection, and no reset."""
    payload = message(filler=40_000_000)
    connection = receive()
    connection.peer.send(frame(payload))
    connection.peer.read_to_end()
    assert not connection.peer.was_reset
    answer, = acks(connection.peer.received)
    assert (answer.code, answer.error()) == ("AR", ("", "207"))
    assert connection.finish() == 0
    assert connection.store.messages() == []


def test_32_mib_are_taken_by_default(receive):
    payload = message_of(32 << 20)
    connection = receive()
    connection.peer.send(frame(payload))
    connection.peer.read_to_end()
    assert [a.code for a in acks(connection.peer.received)] == ["AA"]
    assert connection.finish() == 0
    assert connection.store.messages() == [payload]


def test_10_mb_in_one_field(receive):
    payload = message(extra=["OBX|2|ED|PDF||^application^pdf^Base64^" + "QUJD" * 2_500_000])
    connection = receive()
    connection.peer.send(frame(payload))
    connection.peer.read_to_end()
    assert [a.code for a in acks(connection.peer.received)] == ["AA"]
    assert connection.finish() == 0
    assert connection.store.messages() == [payload]


# --- deadlines ----------------------------------------------------------------------------------

class Stopwatch:
    def __init__(self):
        self.start = time.monotonic()

    def between(self, least, most):
        took = time.monotonic() - self.start
        assert least <= took <= most, f"it took {took:.2f} s, not {least} to {most} s"


def test_silent_peer_is_closed_quietly(receive):
    watch = Stopwatch()
    connection = receive("--idle-timeout=300ms")
    assert connection.peer.read_to_end() == b""
    watch.between(0.3, 3)
    assert connection.finish() == 0
    assert connection.log == []


def test_idle_again_behind_an_answer(receive):
    connection = receive("--messages=0", "--idle-timeout=900ms")
    for _ in range(3):
        assert connection.peer.ask(M).code == "AA"
        time.sleep(0.35)
    watch = Stopwatch()
    connection.peer.read_to_end()
    watch.between(0.1, 3)
    assert connection.finish() == 0
    assert len(connection.log) == 3


@pytest.mark.parametrize("drip", [b"x", VT, VT + FS + CR, CR], ids=repr)
def test_dripping_bytes_do_not_move_the_idle_deadline(receive, drip):
    """Noise, empty frames and line ends are no message; VT begins a frame, which has a deadline."""
    connection = receive("--idle-timeout=500ms", "--frame-timeout=500ms")
    drip_until_closed(connection, drip, 2.5)
    assert acks(connection.peer.received) == []
    assert connection.finish() == 0


def drip_until_closed(connection, drip, most):
    """Sends `drip` every 30 ms until the other side closes, which must be before `most` seconds."""
    watch = Stopwatch()
    peer = connection.peer
    peer.sock.settimeout(0.03)
    data = None
    while data != b"":
        watch.between(0, most)
        try:
            peer.send(drip)
            data = peer.read_some()
        except TimeoutError:
            continue
        except OSError:
            break
    peer.sock.settimeout(PATIENCE)


def test_slow_sender_is_rejected_and_closed(receive):
    connection = receive("--frame-timeout=500ms")
    connection.peer.send(VT + M[:MIDDLE])
    drip_until_closed(connection, b"x", 2.5)
    answer, = acks(connection.peer.received)
    assert (answer.code, answer.error()) == ("AR", ("", "207"))
    assert answer.control_id == b"ID1"
    assert connection.finish() == 0
    assert connection.store.messages() == []
    check_log(connection.log, [fault("frame-timeout", "AR sent")])
    assert int(connection.log[0]["HL7_DURATION_USEC"]) >= 500_000


def test_half_a_control_id_is_not_answered(receive):
    """What is there of MSH-10 may be another message's id."""
    connection = receive("--frame-timeout=300ms")
    connection.peer.send(VT + b"MSH|^~\\&|APP|FAC|RA|RF|20200101||ADT^A01|ID1")
    connection.peer.read_to_end()
    assert connection.peer.received == b""
    assert connection.finish() == 0
    check_log(connection.log, [fault("no-header", "no answer")])


@pytest.mark.parametrize("payload", [
    b"MSH|^~\\&|A|B|||20200101||ADT^A01|ID7\nPID|1||CANARYID||CANARYNAME\r",
    b"MSH|^~\\&|A|B|||20200101||ADT^A01|ID7\nPID|1||CANARYID||CANARYNAME\rPV1|1|O\r",
    b"MSH|^~\\&|A|B|||20200101||ADT^A01|ID7\r\nPID|1||CANARYID||CANARYNAME\r\n",
], ids=["LF, and one CR at the end", "LF behind the header, CR behind the others", "CRLF"])
def test_mixed_line_ends(receive, payload):
    """No field of another segment is taken for one of the header's: not in the answer, not in the log."""
    connection = receive()
    connection.peer.send(frame(payload))
    connection.peer.read_to_end()
    answer, = acks(connection.peer.received)
    assert (answer.code, answer.control_id) == ("AA", b"ID7")
    assert connection.finish() == 0
    assert connection.log[0]["HL7_MESSAGE_TYPE"] == "ADT^A01"
    assert connection.store.messages() == [payload]


def test_slow_sender_without_a_header_gets_no_answer(receive):
    connection = receive("--frame-timeout=300ms")
    connection.peer.send(VT + b"MS")
    assert connection.peer.read_to_end() == b""
    assert connection.finish() == 0
    assert connection.log[0].text.startswith("message ")
    assert len(connection.log) == 1


def flood(connection, block, most):
    """Writes as fast as it goes, until the other side closes; fails when it never does."""
    deadline = time.monotonic() + most
    peer = connection.peer
    peer.sock.settimeout(1)
    try:
        while time.monotonic() < deadline:
            peer.send(block)
    except OSError:
        pass
    assert time.monotonic() < deadline, f"still reading after {most} s"
    peer.sock.settimeout(PATIENCE)


def test_endless_noise_as_fast_as_it_comes(receive):
    """A deadline holds also when there is always something to read."""
    connection = receive("--idle-timeout=500ms", "--drain-timeout=300ms")
    flood(connection, b"n" * 65536, 5)
    assert connection.finish() == 0
    assert connection.store.messages() == []
    assert connection.log[0].text.startswith(SKIPPED)


def test_endless_frame_as_fast_as_it_comes(receive):
    connection = receive("--frame-timeout=500ms", "--drain-timeout=300ms", "--max-message=64K",
                         before=lambda peer: peer.send(VT + M))
    flood(connection, b"x" * 65536, 5)
    assert connection.finish() == 0
    assert connection.store.messages() == []
    assert connection.log[0]["HL7_ACK"] == "AR"


def test_endless_empty_frames_as_fast_as_they_come(receive):
    connection = receive("--idle-timeout=500ms", "--drain-timeout=300ms")
    flood(connection, frame(b"") * 20_000, 5)
    assert connection.finish() == 0
    assert connection.log[-1].text.startswith(EMPTY)


def test_a_peer_that_goes_on_behind_the_answer_is_left(receive):
    """Draining has its end too."""
    connection = receive("--drain-timeout=300ms", before=lambda peer: peer.send(frame(M)))
    flood(connection, b"x" * 65536, 5)
    assert connection.finish() == 0
    assert connection.store.messages() == [M]


def test_a_peer_that_keeps_the_connection_open_is_left(receive):
    watch = Stopwatch()
    connection = receive("--drain-timeout=500ms")
    assert connection.peer.ask(M).code == "AA"
    assert connection.peer.read_some() == b""
    watch.between(0, 0.45)  # writing is shut down behind the last answer
    assert connection.wait() == 0
    watch.between(0.5, 3)


BIG_ANSWER = "MSH|^~\\&|A|B|C|D|{now}||ACK|{id}|P|2.5\nMSA|AA|{MSH-10}\nNTE|1||" \
    + "x" * 900_000 + "\n"


def test_reader_that_never_reads(receive, ack_d):
    """The answer does not fit into the buffers: the write deadline ends it, and the log says so."""
    ack_d("big", BIG_ANSWER)
    watch = Stopwatch()
    connection = receive("--write-timeout=500ms", "--drain-timeout=100ms", buffers=4096)
    connection.peer.send(frame(M))
    assert connection.wait() == 0
    watch.between(0.5, 4)
    assert connection.store.messages() == [M]
    check_log(connection.log, [("message stored: AA not taken by the peer",
                                {"HL7_ACK_DELIVERED": "no", "ERRNO": 110})])


def test_reader_that_reads_slowly(receive, ack_d):
    """Taking some bytes now and then does not move the write deadline."""
    ack_d("big", BIG_ANSWER)
    watch = Stopwatch()
    connection = receive("--write-timeout=500ms", "--drain-timeout=100ms", buffers=4096)
    connection.peer.send(frame(M))
    while connection.popen.poll() is None:
        watch.between(0, 5)
        connection.peer.sock.recv(512)
        time.sleep(0.005)
    assert connection.log[0]["HL7_ACK_DELIVERED"] == "no"


def test_sender_that_never_reads_any_answer(receive):
    """Pipelining without reading: the answers pile up until the write deadline."""
    connection = receive("--messages=0", "--no-store", "--write-timeout=500ms",
                         "--drain-timeout=100ms", buffers=4096)
    flood(connection, frame(M) * 500, 15)
    assert connection.finish() == 0
    undelivered = [entry for entry in connection.log if "HL7_ACK_DELIVERED" in entry]
    assert [entry["HL7_ACK_DELIVERED"] for entry in undelivered] == ["no"]


# --- peers that go away -------------------------------------------------------------------------

def test_connect_and_close(receive):
    connection = receive()
    assert connection.finish() == 0
    assert connection.log == []


def test_gone_before_the_process_starts(receive):
    connection = receive(before=lambda peer: peer.reset())
    assert connection.wait() == 0
    assert connection.log == []


def test_gone_before_the_answer(receive):
    """Reset with the message on its way: stored, and the log says that the answer was not taken."""
    connection = receive(before=lambda peer: (peer.send(frame(M)), peer.reset()))
    assert connection.wait() == 0
    assert connection.store.messages() == [M]
    check_log(connection.log, [("message stored: AA not taken by the peer",
                                {"HL7_ACK_DELIVERED": "no"})])
    assert connection.log[0]["ERRNO"] in ("32", "104")


def test_gone_before_the_first_of_two_answers(receive):
    """Nothing behind it is taken: its sender will send all of it again."""
    connection = receive("--messages=0",
                         before=lambda peer: (peer.send(frame(M) + frame(N)), peer.reset()))
    assert connection.wait() == 0
    assert connection.store.messages() == [M]


def test_reset_in_mid_frame(receive):
    connection = receive("--messages=0")
    peer = connection.peer
    assert peer.ask(M).code == "AA"
    peer.send(VT + N[:MIDDLE])
    time.sleep(0.05)
    peer.reset()
    assert connection.wait() == 0
    assert connection.store.messages() == [M]
    check_log(connection.log, [stored("ID1"), fault("frame-lost", "no answer", ERRNO=104)])


def test_reset_while_idle(receive):
    connection = receive("--messages=0")
    assert connection.peer.ask(M).code == "AA"
    connection.peer.reset()
    assert connection.wait() == 0
    check_log(connection.log, [stored("ID1")])


# --- SIGTERM ------------------------------------------------------------------------------------

def is_waiting(connection):
    """In poll(), and deaf to SIGPIPE: so its signals are set."""
    status = pathlib.Path(f"/proc/{connection.popen.pid}/status").read_text(encoding="ascii")
    ignored = int(status.split("SigIgn:")[1].split()[0], 16)
    return ignored >> (signal.SIGPIPE - 1) & 1 and "State:\tS" in status


def test_sigterm_while_idle(receive):
    connection = receive("--messages=0")
    wait_until(lambda: is_waiting(connection))
    watch = Stopwatch()
    connection.popen.send_signal(signal.SIGTERM)
    assert connection.peer.read_to_end() == b""
    watch.between(0, 2)
    assert connection.finish() == 0
    assert connection.log == []


def test_sigterm_between_messages(receive):
    connection = receive("--messages=0")
    assert connection.peer.ask(M).code == "AA"
    connection.popen.send_signal(signal.SIGTERM)
    connection.peer.read_to_end()
    assert connection.finish() == 0
    check_log(connection.log, [stored("ID1")])


def test_sigterm_in_mid_frame(receive):
    """The frame in hand is finished and answered, the one behind it is not begun."""
    connection = receive("--messages=0")
    peer = connection.peer
    assert peer.ask(M).code == "AA"
    peer.send(VT + N[:MIDDLE])
    time.sleep(0.1)
    connection.popen.send_signal(signal.SIGTERM)
    time.sleep(0.1)
    peer.send(N[MIDDLE:] + FS + CR + frame(O))
    peer.read_to_end()
    assert [a.control_id for a in acks(peer.received)] == [b"ID1", b"ID2"]
    assert connection.finish() == 0
    assert connection.store.messages() == [M, N]


# --- how the answer goes out --------------------------------------------------------------------

def test_the_answer_arrives_whole_in_one_read(receive):
    """Several real clients read once."""
    connection = receive("--messages=0")
    for _ in range(50):
        connection.peer.send(frame(M))
        assert len(split_frames(connection.peer.sock.recv(65536))) == 1


def test_unix_sockets_are_taken(command, logs, store):
    """systemd can listen on one for a local TLS terminator; there is no peer address then."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours:
        process = Process([*AS_SYSTEMD, *command()], logs.new(), stdin=ours,
                          stdout=subprocess.DEVNULL, env=environment())
    peer = Peer(theirs)
    assert peer.ask(M).code == "AA"
    peer.close()
    assert process.wait() == 0
    assert store.messages() == [M]
    assert "HL7_PEER" not in process.log[0]
