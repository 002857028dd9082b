# SPDX-License-Identifier: MIT
"""hl7-forward: what it sends in which order, what each answer leads to, and what is left when it ends."""
import contextlib
import datetime
import fcntl
import os
import random
import signal
import socket
import subprocess
import threading
import time

import pytest

from forwardtest import (BACK, DELIVERED, DOWN, EXIT_TEMPORARY, FAILED, FORWARD, HELD, NAME, QUICK,
                         Queue, accept, accept_all, answer_with, by_id, cpu_seconds, ids,
                         read_and_close, scripted, swallow)
from hl7test import (CR, FS, Peer, SEND, VT, answer_to, answering, check_log, environment, frame,
                     free_port, message, message_of, need, wait_until)

pytestmark = pytest.mark.skipif(not FORWARD.exists(), reason=f"{FORWARD} is not built")


@pytest.fixture
def queue(store):
    return Queue(store.path)


@pytest.fixture
def forward(start, store, tmp_path):
    """hl7-forward, running: forward(port, "--key=PID-3.1"). `to` may be a port, an address or None."""
    folder = tmp_path / "destinations"
    folder.mkdir()

    def forward(to, *options, name=NAME, quick=True, conf=None, wrapper=(), **more):
        if conf is not None:
            (folder / f"{name}.conf").write_text(conf, encoding="utf-8")
        if isinstance(to, int):
            to = f"mllp://127.0.0.1:{to}"
        return start([*wrapper, FORWARD, f"--store={store.path}", f"--destinations={folder}",
                      *(QUICK if quick else ()), *([f"--to={to}"] if to else []), *options, name], **more)

    forward.folder = folder
    return forward


def put_all(queue, n, first=1, **fields):
    return [queue.put(message(f"ID{i}", **fields)) for i in range(first, first + n)]


def names_of(n, first=1):
    return [f"ID{i}" for i in range(first, first + n)]


# --- order, and connections -----------------------------------------------------------------------

def test_in_the_order_of_their_names(forward, queue, serve):
    server = serve(answering())
    stems = [queue.stem() for _ in range(30)]
    for i in (7, 3, 29, 0, 12, *(n for n in range(30) if n not in (7, 3, 29, 0, 12))):
        queue.put(message(f"ID{i}"), stem=stems[i])
    process = forward(server.port)
    assert process.wait() == 0
    assert ids(server) == [f"ID{i}" for i in range(30)]
    assert queue.names() == [] and queue.failed_names() == []
    check_log(process.log, [(DELIVERED, {"HL7_CONTROL_ID": f"ID{i}", "HL7_ACK": "AA", "HL7_TRIES": 1,
                                         "HL7_DESTINATION": NAME}) for i in range(30)])


def test_several_of_one_message(forward, queue, serve):
    server = serve(answering())
    stem = queue.stem()
    for number in (2, 0, 1):
        queue.put(message(f"ID{number}"), stem=stem, number=number)
    assert forward(server.port).wait() == 0
    assert ids(server) == ["ID0", "ID1", "ID2"]


def test_bytes_as_they_are(forward, queue, serve):
    """Also what HL7 does not allow, as long as a frame can carry it."""
    server = serve(answering())
    payload = message("ID1", extra=["ZZZ|\0\udcff\n|"])[:-1]
    queue.put(payload)
    assert forward(server.port).wait() == 0
    assert server.received == [payload]


def test_one_connection_while_there_is_work(forward, queue, serve):
    server = serve(answering())
    put_all(queue, 50)
    assert forward(server.port).wait() == 0
    assert (len(server.received), server.connections) == (50, 1)


@pytest.mark.parametrize("n, connections", [(1, 10), (3, 4), (10, 1), (0, 1)])
def test_messages_per_connection(forward, queue, serve, n, connections):
    server = serve(answering())
    put_all(queue, 10)
    assert forward(server.port, f"--per-connection={n}").wait() == 0
    assert ids(server) == names_of(10)
    assert server.connections == connections


def test_linger(forward, queue, serve):
    """What comes while it stays goes over the same connection; then it ends."""
    server = serve(answering())
    put_all(queue, 1)
    process = forward(server.port, "--linger=2s")
    for i in range(2, 6):
        wait_until(lambda n=i: len(server.received) == n - 1 and queue.names() == [])
        time.sleep(0.2)
        queue.put(message(f"ID{i}"))
    wait_until(lambda: len(server.received) == 5)
    last = time.monotonic()
    assert process.wait() == 0
    assert 1.5 < time.monotonic() - last < 5
    assert ids(server) == names_of(5)
    assert server.connections == 1


def test_nothing_waits(forward, queue, serve):
    server = serve(answering())
    process = forward(server.port)
    assert process.wait() == 0
    assert server.connections == 0 and process.log_text == ""


def test_what_comes_while_it_drains(forward, queue, serve):
    server = serve(answering())
    put_all(queue, 20)
    process = forward(server.port, "--linger=1s")
    for i in range(21, 221):
        queue.put(message(f"ID{i}"))
    wait_until(lambda: len(server.received) == 220)
    assert process.wait() == 0
    assert ids(server) == names_of(220)
    assert server.connections == 1


def test_from_the_receiver(forward, store, ack_d, listener, run, serve, tmp_path):
    """Both programs: what is sent to one arrives at the other's destination, in order."""
    templates = tmp_path / "convert.d"
    templates.mkdir()
    (templates / "ris.hl7t").write_text("{to ris}\n{message}\n")
    server = serve(answering())
    port = listener("--messages=0", f"--convert-templates={templates}")
    files = []
    for i in range(1, 41):
        files.append(tmp_path / f"{i:03d}.hl7")
        files[-1].write_bytes(message(f"ID{i}"))
    assert run([SEND, "--keep-open", "-q", f"127.0.0.1:{port}", *files[:20]]).returncode == 0
    process = forward(server.port, "--linger=1s")
    assert run([SEND, "--keep-open", "-q", f"127.0.0.1:{port}", *files[20:]]).returncode == 0
    wait_until(lambda: len(server.received) == 40)
    assert process.wait() == 0
    assert ids(server) == names_of(40)
    assert {e["HL7_STORE_NAME"] for e in process.log} == set(store.names())


def test_many(forward, queue, serve):
    server = serve(answering())
    put_all(queue, 20_000)
    process = forward(server.port, stdout=subprocess.DEVNULL)
    assert process.wait(120) == 0
    assert ids(server) == names_of(20_000)
    assert server.connections == 1


def test_lock(forward, queue, serve):
    """Two of one destination never run together; of two destinations they do."""
    server = serve(answering())
    first = forward(server.port, "--linger=30s")
    wait_until(lambda: (queue.store / "queue" / f".{NAME}").exists())
    time.sleep(0.1)
    second = forward(server.port)
    assert second.wait() == EXIT_TEMPORARY
    check_log(second.log, ["another forwarder of this destination runs"])
    other = Queue(queue.store, "other")
    other.put(message("ID9"))
    assert forward(server.port, name="other").wait() == 0
    first.stop(signal.SIGKILL)
    queue.put(message("ID1"))
    assert forward(server.port).wait() == 0
    assert ids(server) == ["ID9", "ID1"]


# --- what an answer leads to ------------------------------------------------------------------------

@pytest.mark.parametrize("code", ["AA", "CA"])
def test_accepted(forward, queue, serve, code):
    server = serve(answering(code))
    put_all(queue, 2)
    process = forward(server.port)
    assert process.wait() == 0
    assert queue.names() == []
    check_log(process.log, [(DELIVERED, {"HL7_ACK": code})] * 2)
    assert queue.state()["state"] == "idle" and queue.state()["delivered"] == "2"


@pytest.mark.parametrize("code", ["AE", "CE"])
@pytest.mark.parametrize("option, tries", [((), 3), (("--on-error=fail:1",), 1), (("--on-error=fail:5",), 5),
                                           (("--on-error=fail",), 3)])
def test_error_then_failed(forward, queue, serve, code, option, tries):
    """Some tries with pauses between, then to failed/ with the reason; then the next one."""
    server = serve(by_id({"ID1": code}))
    names = put_all(queue, 2)
    process = forward(server.port, *option)
    assert process.wait() == 0
    assert ids(server) == ["ID1"] * tries + ["ID2"]
    # the answer to a try could not be told from that to the next
    assert server.connections == tries
    assert queue.names() == []
    assert queue.failed_names() == [names[0], names[0].replace(".hl7", ".txt")]
    reason = queue.reason(names[0])
    assert (reason["answer"], reason["tries"], reason["destination"]) == (code, str(tries), NAME)
    held = [(HELD, {"HL7_ACK": code, "HL7_TRIES": 1})] if tries > 1 else []
    check_log(process.log, [*held, (FAILED, {"HL7_ACK": code, "HL7_TRIES": tries}), DELIVERED])
    state = queue.state()
    assert (state["delivered"], state["failed"], state["retries"]) == ("1", "1", str(tries - 1))


def test_error_text_goes_nowhere(forward, queue, serve):
    """Of a negative answer only the code and the number of ERR-3 are kept."""
    def answer(payload):
        return frame(answer_to(payload, "AE") + b"ERR||PID^1^5|103^CANARYTEXT^HL70357|E||||CANARYNAME" + CR)

    server = serve(scripted(answer_with(answer)))
    name, = put_all(queue, 1)
    process = forward(server.port, "--on-error=fail:1")
    assert process.wait() == 0
    assert "error 103" in queue.reason(name)["reason"]
    assert "CANARY" not in (queue.failed / name.replace(".hl7", ".txt")).read_text()
    assert "CANARY" not in (queue.store / "queue" / f".{NAME}").read_text()
    assert "103" in process.log[0]["HL7_ERROR"]


@pytest.mark.parametrize("code", ["AR", "CR"])
def test_reject_is_tried_again(forward, queue, serve, code):
    """For as long as it takes; those behind wait, and are not sent out of turn."""
    server = serve(by_id({"ID2": [code] * 6}))
    put_all(queue, 4)
    process = forward(server.port)
    assert process.wait() == 0
    assert ids(server) == ["ID1"] + ["ID2"] * 7 + ["ID3", "ID4"]
    assert queue.failed_names() == []
    check_log(process.log, [DELIVERED, (HELD, {"HL7_ACK": code}), (DELIVERED, {"HL7_TRIES": 7}),
                            DELIVERED, DELIVERED])


@pytest.mark.parametrize("options, code, failed, sent", [
    (("--on-error=retry",), ["AE"] * 5, False, 6),
    (("--on-error=done",), "AE", False, 1),
    (("--on-reject=done",), "AR", False, 1),
    (("--on-reject=fail:2",), "AR", True, 2),
    (("--on-reject=fail:2", "--on-error=retry"), ["AE", "AE", "AE", "AR", "AR"], True, 5),
])
def test_policies(forward, queue, serve, options, code, failed, sent):
    server = serve(by_id({"ID1": code}))
    put_all(queue, 2)
    assert forward(server.port, *options).wait() == 0
    assert ids(server) == ["ID1"] * sent + ["ID2"]
    assert bool(queue.failed_names()) == failed


def test_pauses_grow(forward, queue, serve):
    times = []

    def handler(server, peer, _number):
        while (payload := server.read(peer)) is not None:
            times.append(time.monotonic())
            peer.send(frame(answer_to(payload, "AR" if len(times) < 7 else "AA")))

    put_all(queue, 1)
    process = forward(serve(handler).port, "--retry-min=100ms", "--retry-max=800ms")
    assert process.wait() == 0
    pauses = [b - a for a, b in zip(times, times[1:])]
    for pause, least, most in zip(pauses, (.05, .15, .3, .6, .6, .6), (.13, .25, .5, .8, .8, .8)):
        assert least <= pause <= most + 0.3, pauses


# --- answers that are none ----------------------------------------------------------------------

def longer(payload, n):
    return frame(answer_to(payload) + b"NTE|1||" + b"x" * n + CR)


NO_ANSWERS = [
    # name, what the first connection does
    ("of another message", answer_with(lambda p: frame(answer_to(p, control_id=b"ID9")))),
    ("of no message", answer_with(lambda p: frame(answer_to(p, control_id=b"")))),
    ("of an id that begins alike", answer_with(lambda p: frame(answer_to(p, control_id=b"ID11")))),
    ("an unknown code", answer_with(lambda p: frame(answer_to(p, "XX")))),
    ("no code", answer_with(lambda p: frame(answer_to(p, "")))),
    ("no MSA", answer_with(frame(b"MSH|^~\\&|S||||20260102||ACK|A1|P|2.5" + CR))),
    ("two MSA", answer_with(lambda p: frame(answer_to(p) + b"MSA|AA|ID1" + CR))),
    ("text", answer_with(frame(b"OK"))),
    ("an empty frame", answer_with(frame(b""))),
    ("not framed", answer_with(answer_to)),
    ("garbage", answer_with(b"HTTP/1.1 400 Bad Request\r\n\r\n")),
    ("no end", answer_with(lambda p: VT + answer_to(p))),
    ("larger than --max-ack", answer_with(lambda p: longer(p, 80_000))),
    ("a part, then closed", lambda s, p: (p.send(frame(answer_to(s.read(p)))[:30]))),
    ("read, then closed", read_and_close),
    ("read, then reset", lambda s, p: (s.read(p), p.reset())),
    ("closed at once", lambda s, p: None),
    ("nothing in time", swallow),
]


@pytest.mark.parametrize("name, step", NO_ANSWERS, ids=[n[0] for n in NO_ANSWERS])
def test_no_answer(forward, queue, serve, name, step):
    """It is sent again over another connection, in its turn."""
    server = serve(scripted(step, accept_all))
    put_all(queue, 2)
    process = forward(server.port, "--ack-timeout=300ms", "--max-ack=64K")
    assert process.wait() == 0
    assert ids(server)[-2:] == ["ID1", "ID2"]
    assert server.connections == 2
    assert queue.failed_names() == []
    check_log(process.log, [HELD, (DELIVERED, {"HL7_TRIES": 2}), DELIVERED])


ANSWERS = [
    ("in pieces of one byte", None),
    ("LF line ends", lambda p: frame(answer_to(p, end=b"\n"))),
    ("FS without CR", lambda p: VT + answer_to(p) + FS),
    ("noise before the frame", lambda p: b"\r\nnoise" + frame(answer_to(p))),
    ("as large as allowed", lambda p: longer(p, 64_000)),
    ("other delimiters", lambda p: frame(answer_to(p).replace(b"|", b"#"))),
]


@pytest.mark.parametrize("name, make", ANSWERS, ids=[a[0] for a in ANSWERS])
def test_answer(forward, queue, serve, name, make):
    def handler(server, peer, _number):
        while (payload := server.read(peer)) is not None:
            if make:
                peer.send(make(payload))
            else:
                peer.send_apart(*[bytes([b]) for b in frame(answer_to(payload))], pause=0.001)

    server = serve(handler)
    put_all(queue, 3)
    process = forward(server.port, "--max-ack=65K")
    assert process.wait() == 0
    assert (ids(server), server.connections) == (names_of(3), 1)
    check_log(process.log, [DELIVERED] * 3)


def test_answer_that_came_before_its_message(forward, queue, serve):
    """What is there when a message is sent is none of its: the connection is closed first."""
    def handler(server, peer, number):
        if number == 0:
            payload = server.read(peer)
            peer.send(frame(answer_to(payload)) + frame(answer_to(payload, control_id=b"ID2")))
            peer.read_to_end()
            return
        while (payload := server.read(peer)) is not None:
            peer.send(frame(answer_to(payload, "AR" if len(server.received) < 4 else "AA")))

    server = serve(handler)
    put_all(queue, 2)
    process = forward(server.port, "--per-connection=0")
    assert process.wait() == 0
    assert ids(server) == ["ID1", "ID2", "ID2", "ID2"]


def test_late_answer(forward, queue, serve):
    """It comes when its time is over: the connection is closed, the message sent over a new one."""
    closed = []

    def late(server, peer):
        payload = server.read(peer)
        time.sleep(0.6)
        closed.append(peer.read_some() == b"")
        with contextlib.suppress(OSError):
            peer.send(frame(answer_to(payload)))

    server = serve(scripted(late, accept_all))
    put_all(queue, 2)
    process = forward(server.port, "--ack-timeout=200ms")
    assert process.wait() == 0
    assert ids(server) == ["ID1", "ID1", "ID2"]
    wait_until(lambda: closed)
    assert closed == [True] and server.connections == 2
    check_log(process.log, [(HELD, {"HL7_ERROR": "no whole answer within the time for it"}),
                            (DELIVERED, {"HL7_TRIES": 2}), DELIVERED])


@pytest.mark.parametrize("pause", [0, 0.05])
def test_two_answers_each(forward, queue, serve, pause):
    """A commit and an application acknowledgement: the second is not taken for the next message's."""
    def handler(server, peer, _number):
        while (payload := server.read(peer)) is not None:
            peer.send(frame(answer_to(payload, "CA")))
            time.sleep(pause)
            peer.send(frame(answer_to(payload, "AE")))

    server = serve(handler)
    put_all(queue, 10)
    assert forward(server.port).wait() == 0
    assert ids(server) == names_of(10), "sent twice"
    assert queue.failed_names() == []


def test_two_answers_each_and_one_id(forward, queue, serve):
    """Two messages with the same control id: the second answer to the first is not that of the other."""
    def handler(server, peer, _number):
        while (payload := server.read(peer)) is not None:
            first = b"first" in payload
            peer.send(frame(answer_to(payload, "CA" if first else "AE")))
            time.sleep(0.05)
            peer.send(frame(answer_to(payload, "AA")))

    server = serve(handler)
    queue.put(message("ID1", extra=["NTE|1||first"]))
    name = queue.put(message("ID1", extra=["NTE|1||second"]))
    process = forward(server.port, "--on-error=fail:1")
    assert process.wait() == 0
    assert queue.failed_names()[0] == name and server.connections == 2


# --- connections that end -------------------------------------------------------------------------

def test_idle_connection_is_closed_by_the_peer(forward, queue, serve):
    """Nothing is lost, nothing sent twice, and the next one goes at once."""
    server = serve(scripted(accept(2), accept(1), accept_all))
    put_all(queue, 2)
    process = forward(server.port, "--linger=3s", "--retry-min=30s", "--retry-max=60s")
    wait_until(lambda: server.connections == 1 and queue.names() == [])
    time.sleep(0.2)
    put_all(queue, 2, first=3)
    wait_until(lambda: queue.names() == [])
    process.stop()
    assert ids(server) == names_of(4)
    assert server.connections == 3
    check_log(process.log, [DELIVERED] * 4)


def test_closed_after_each_answer(forward, queue, serve):
    server = serve(scripted(accept(1)))
    put_all(queue, 40)
    process = forward(server.port, "--retry-min=30s", "--retry-max=60s")
    assert process.wait() == 0
    assert ids(server) == names_of(40)
    check_log(process.log, [DELIVERED] * 40)


def test_used_connection_ends_without_answer(forward, queue, serve):
    """Most likely it was closed before: at once over a new one. But once only."""
    def two(server, peer):
        accept(1)(server, peer)
        server.read(peer)

    server = serve(scripted(two, read_and_close, accept_all))
    put_all(queue, 2)
    process = forward(server.port)
    assert process.wait() == 0
    assert ids(server) == ["ID1", "ID2", "ID2", "ID2"]
    check_log(process.log, [DELIVERED, HELD, (DELIVERED, {"HL7_TRIES": 2})])


def test_peer_that_does_not_read(forward, queue, logs):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        queue.put(message("ID1", filler=8_000_000))
        process = forward(listener.getsockname()[1], "--ack-timeout=300ms", "--once")
        assert process.wait() == EXIT_TEMPORARY
        check_log(process.log, [(HELD, {"HL7_ERROR": "the destination does not read the message"})])
    assert len(queue.names()) == 1


def test_refused(forward, queue, serve):
    port = free_port()
    put_all(queue, 1)
    process = forward(port, "--once")
    assert process.wait() == EXIT_TEMPORARY
    check_log(process.log, [(DOWN, {"HL7_ERROR": "no connection: Connection refused",
                                    "HL7_PEER": f"127.0.0.1:{port}"})])
    assert len(queue.names()) == 1 and queue.state()["state"] == "down"


def test_unknown_host(forward, queue):
    put_all(queue, 1)
    process = forward("mllp://no-such-host.invalid", "--once")
    assert process.wait() == EXIT_TEMPORARY
    check_log(process.log, [(DOWN, {"HL7_ERROR": "the destination's host is not known"})])


def test_blackhole(forward, queue):
    """A full backlog: the connection is never made."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        put_all(queue, 1)
        begin = time.monotonic()
        process = forward(listener.getsockname()[1], "--once", "--connect-timeout=500ms")
        assert process.wait() == EXIT_TEMPORARY
        assert 0.4 < time.monotonic() - begin < 5
        check_log(process.log, [(DOWN, {"HL7_ERROR": "no connection: Connection timed out"})])
        for filler in fillers:
            filler.close()


def test_down_for_a_while(forward, queue, serve, run):
    """Pauses between the tries, no work in them, one log entry when it goes and one when it is back."""
    server = serve(answering())
    put_all(queue, 50)
    port = free_port()
    process = forward(port, "--retry-min=100ms", "--retry-max=400ms")
    wait_until(lambda: DOWN in process.log_text)
    before = cpu_seconds(process.popen.pid)
    time.sleep(3)
    assert cpu_seconds(process.popen.pid) - before < 0.3
    assert queue.state()["state"] == "down"
    tries = int(queue.state()["retries"])
    assert 5 <= tries <= 20
    with contextlib.closing(socket.create_server(("127.0.0.1", port))) as listener:
        sock, _ = listener.accept()
        peer_thread = threading.Thread(target=server.serve, daemon=True,
                                       args=(Peer(sock), 0))
        peer_thread.start()
        assert process.wait() == 0
    assert ids(server) == names_of(50)
    log = process.log
    check_log(log, [DOWN, BACK] + [DELIVERED] * 50)
    assert int(log[1]["HL7_TRIES"]) >= tries


# --- messages that cannot go ----------------------------------------------------------------------

@pytest.mark.parametrize("payload, reason", [
    (message(""), "no control id"),
    (b"PID|1||x\r", "no control id"),
    (b"", "no control id"),
    (message("ID1", extra=["NTE|1||a\x1cb"]), "VT or FS"),
    (message("ID1", extra=["NTE|1||a\x0bb"]), "VT or FS"),
    (message("ID1", filler=20_000), "larger than --max-message"),
], ids=["empty MSH-10", "no MSH", "empty", "FS", "VT", "too large"])
def test_never(forward, queue, serve, payload, reason):
    """At once to failed/, and the next one goes."""
    server = serve(answering())
    name = queue.put(payload)
    put_all(queue, 1, first=2)
    process = forward(server.port, "--max-message=16K")
    assert process.wait() == 0
    assert ids(server) == ["ID2"]
    assert queue.failed_names() == [name, name.replace(".hl7", ".txt")]
    assert (queue.failed / name).read_bytes() == payload
    assert reason in queue.reason(name)["reason"]
    check_log(process.log, [(FAILED, {"HL7_QUEUE_NAME": name}), DELIVERED])


def test_max_message_exactly(forward, queue, serve):
    server = serve(answering())
    queue.put(message_of(16 * 1024, "ID1"))
    queue.put(message_of(16 * 1024 + 1, "ID2"))
    assert forward(server.port, "--max-message=16K").wait() == 0
    assert ids(server) == ["ID1"]


def test_no_contact_is_no_sign_of_life(forward, queue):
    """Messages that fail by themselves say nothing of a destination that is down."""
    for i in range(5):
        queue.put(message(""))
    put_all(queue, 1)
    process = forward(free_port())
    wait_until(lambda: DOWN in process.log_text)
    for _ in range(3):
        queue.put(message(""), stem=f"20250101T000000.00000{_}Z-1-1")
        wait_until(lambda: len(queue.names()) == 1)
    process.stop()
    assert process.log_text.count(DOWN) == 1 and BACK not in process.log_text


def now_stem(seconds):
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return at.strftime("%Y%m%dT%H%M%S.%fZ-1-1")


def test_give_up_after(forward, queue, serve):
    """By the time since it was stored: the old one fails, the new one is held."""
    server = serve(answering("AR"))
    old = queue.put(message("ID1"), stem=now_stem(-3600))
    queue.put(message("ID2"), stem=now_stem(0))
    process = forward(server.port, "--give-up-after=30m", "--once")
    assert process.wait() == EXIT_TEMPORARY
    assert ids(server) == ["ID1", "ID2"]
    assert queue.failed_names() == [old, old.replace(".hl7", ".txt")]


def test_give_up_after_is_no_reason_to_fail_untried(forward, queue, serve):
    server = serve(answering())
    queue.put(message("ID1"), stem=now_stem(-3600))
    assert forward(server.port, "--give-up-after=30m").wait() == 0
    assert ids(server) == ["ID1"] and queue.failed_names() == []


def test_many_too_old_while_down(forward, queue, strace_connects):
    """One connection is tried for all of them."""
    for i in range(50):
        queue.put(message(f"ID{i}"), stem=now_stem(-3600 + i))
    # the leak sanitizer does not work where strace does
    env = environment(ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0")
    process = forward(free_port(), "--give-up-after=30m", wrapper=strace_connects.wrapper, env=env)
    assert process.wait() == 0
    assert len(queue.failed_names()) == 100
    assert strace_connects.count() == 1


@pytest.fixture
def strace_connects(tmp_path):
    class Connects:
        path = tmp_path / "connects"
        wrapper = (need("strace"), "-f", "-qq", "-e", "trace=connect", "-o", str(path))

        def count(self):
            return self.path.read_text().count("AF_INET")
    return Connects()


# --- signals and crashes --------------------------------------------------------------------------

def test_sigterm_while_it_lingers(forward, queue, serve):
    process = forward(serve(answering()).port, "--linger=1h")
    time.sleep(0.3)
    process.popen.send_signal(signal.SIGTERM)
    assert process.wait(5) == 0


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_signal_in_a_pause(forward, queue, serve, sign):
    server = serve(answering("AR"))
    put_all(queue, 2)
    process = forward(server.port, "--retry-min=1h", "--retry-max=2h")
    wait_until(lambda: HELD in process.log_text)
    process.popen.send_signal(sign)
    assert process.wait(5) == 0
    assert ids(server) == ["ID1"] and len(queue.names()) == 2


def test_sigterm_while_it_is_down(forward, queue):
    put_all(queue, 2)
    process = forward(free_port(), "--retry-min=1h", "--retry-max=2h")
    wait_until(lambda: DOWN in process.log_text)
    process.popen.send_signal(signal.SIGTERM)
    assert process.wait(5) == 0
    assert len(queue.names()) == 2


def test_sigterm_in_the_middle(forward, queue, serve):
    """The answer is awaited; no further message is sent."""
    def handler(server, peer, _number):
        payload = server.read(peer)
        time.sleep(1)
        peer.send(frame(answer_to(payload)))
        server.read(peer)

    server = serve(handler)
    put_all(queue, 2)
    process = forward(server.port)
    wait_until(lambda: server.received)
    process.popen.send_signal(signal.SIGTERM)
    assert process.wait(5) == 0
    assert ids(server) == ["ID1"] and len(queue.names()) == 1
    check_log(process.log, [DELIVERED])


def test_killed_in_the_middle(forward, queue, serve):
    """It is delivered again: at least once."""
    server = serve(scripted(swallow, accept_all))
    put_all(queue, 2)
    process = forward(server.port)
    wait_until(lambda: server.received)
    process.stop(signal.SIGKILL)
    assert len(queue.names()) == 2
    assert forward(server.port).wait() == 0
    assert ids(server) == ["ID1", "ID1", "ID2"]


# --- the queue's folder -----------------------------------------------------------------------------

def test_what_was_never_committed_is_swept(forward, queue, serve):
    server = serve(answering())
    queue.put(message("ID1"), committed=False)
    put_all(queue, 1, first=2)
    process = forward(server.port)
    assert process.wait() == 0
    assert ids(server) == ["ID2"] and queue.names() == []
    check_log(process.log, [DELIVERED, ("entries of unfinished commits removed", {"HL7_QUEUED": 1})])


def test_not_swept_while_a_commit_is_in_the_middle(forward, queue, serve):
    server = serve(answering())
    name = queue.put(message("ID1"), committed=False)
    with queue.commit_in_the_middle():
        process = forward(server.port)
        time.sleep(0.5)
        before = cpu_seconds(process.popen.pid)
        time.sleep(1.5)
        assert queue.names() == [name] and server.received == []
        assert cpu_seconds(process.popen.pid) - before < 0.15
        queue.commit(name)
    assert process.wait() == 0
    assert ids(server) == ["ID1"]


@pytest.mark.parametrize("option", [(), ("--key=PID-3.1",)], ids=["", "keyed"])
def test_seen_before_its_commit(forward, queue, serve, option):
    """The entry's appearance wakes the forwarder, its commit does not: it looks again."""
    server = serve(by_id({"A1": "AR"}))
    if option:
        put_keyed(queue, ("A1", "A"))
    process = forward(server.port, "--linger=30s", "--retry-min=1h", "--retry-max=2h", *option)
    for i in range(1, 6):
        with queue.commit_in_the_middle():
            name = queue.put(message(f"ID{i}"), committed=False)
            time.sleep(0.1)
            queue.commit(name)
        wait_until(lambda n=i: ids(server)[-1:] == [f"ID{n}"])
    process.stop()
    assert [i for i in ids(server) if i != "A1"] == names_of(5)


def test_committed_between_the_look_and_the_sweep(forward, queue, serve):
    """It did not count when it was looked for, and is no leftover: it is looked for again."""
    server = serve(answering())
    # the leak sanitizer does not work where strace does
    env = environment(ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0")
    with queue.commit_in_the_middle():
        name = queue.put(message("ID1"), committed=False)
        process = forward(server.port, env=env, wrapper=(
            need("strace"), "-qq", "-o", "/dev/null", "-e", "inject=flock:delay_enter=2s:when=1"))
        time.sleep(1)
        queue.commit(name)
    assert process.wait() == 0
    assert ids(server) == ["ID1"] and queue.names() == []


def test_foreign_file(forward, queue, serve):
    """As long as it is there the path unit would start the next one at once: this one stays."""
    server = serve(answering())
    (queue.waiting / "README").write_text("CANARY")
    (queue.waiting / ".hidden").write_text("")
    put_all(queue, 1)
    process = forward(server.port, "--linger=200ms")
    wait_until(lambda: queue.names() == ["README"])
    before = cpu_seconds(process.popen.pid)
    time.sleep(1.5)
    assert process.popen.poll() is None
    assert cpu_seconds(process.popen.pid) - before < 0.1
    put_all(queue, 1, first=2)
    wait_until(lambda: queue.names() == ["README"])
    (queue.waiting / "README").unlink()
    assert process.wait() == 0
    assert ids(server) == names_of(2)
    check_log(process.log, [("files in the queue's folder are not ours", {"HL7_FILES": 1}),
                            DELIVERED, DELIVERED])


def test_foreign_file_keeps_no_connection(forward, queue, serve):
    ended = threading.Event()

    def handler(server, peer, _number):
        accept_all(server, peer)
        ended.set()

    server = serve(handler)
    (queue.waiting / "README").write_text("")
    put_all(queue, 1)
    process = forward(server.port, "--linger=200ms")
    assert ended.wait(5)
    assert process.popen.poll() is None


def test_entry_that_an_operator_has_in_hand(forward, queue, serve):
    server = serve(answering())
    first, _ = put_all(queue, 2)
    fd = os.open(queue.waiting / first, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    process = forward(server.port)
    time.sleep(1.6)
    assert server.received == []
    os.close(fd)
    assert process.wait() == 0
    assert ids(server) == names_of(2)


def test_delivered_but_not_removable(forward, queue, serve):
    """It is not sent again, however long it takes; then the next ones go."""
    server = serve(answering())
    put_all(queue, 2)
    with immutable(queue.waiting):
        process = forward(server.port)
        wait_until(lambda: DOWN in process.log_text)
        time.sleep(1)
        assert ids(server) == ["ID1"]
    assert process.wait() == 0
    assert ids(server) == names_of(2)
    check_log(process.log, [DELIVERED, DOWN, BACK, DELIVERED])


@contextlib.contextmanager
def immutable(folder):
    """Nobody can add or remove a name."""
    if subprocess.run(["chattr", "+i", folder], capture_output=True, check=False).returncode:
        pytest.skip("the file system has no chattr +i, or this is not root")
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", folder], check=True)


def test_missing_store(forward, store, serve):
    assert forward(serve(answering()).port).wait() == 71


# --- keys ---------------------------------------------------------------------------------------

def keyed(control_id, key, **more):
    return message(control_id, **more).replace(b"CANARYID", key.encode())


def put_keyed(queue, *pairs):
    return [queue.put(keyed(control_id, key)) for control_id, key in pairs]


@pytest.mark.parametrize("blocked", ["AR", None], ids=["AR", "no answer"])
def test_one_key_waits_and_others_flow(forward, queue, serve, blocked):
    times = []

    def handler(server, peer, _number):
        while (payload := server.read(peer)) is not None:
            if payload.split(b"|")[9] == b"A1" and not free.is_set():
                if blocked:
                    peer.send(frame(answer_to(payload, blocked)))
            else:
                peer.send(frame(answer_to(payload)))
                times.append(time.monotonic())

    free = threading.Event()
    server = serve(handler)
    put_keyed(queue, ("A1", "A"), ("B1", "B"), ("A2", "A"), ("C1", "C"), ("B2", "B"), ("A3", "A"))
    process = forward(server.port, "--key=PID-3.1", "--ack-timeout=200ms")
    wait_until(lambda: [i for i in ids(server) if i[0] != "A"] == ["B1", "C1", "B2"])
    put_keyed(queue, ("D1", "D"))
    wait_until(lambda: "D1" in ids(server))
    assert {i for i in ids(server) if i[0] == "A"} == {"A1"}
    free.set()
    assert process.wait() == 0
    order = list(dict.fromkeys(i for i in ids(server) if i[0] == "A"))
    assert order == ["A1", "A2", "A3"]
    assert process.log_text.count(HELD) == 1 and DOWN not in process.log_text


def test_without_a_key_all_wait(forward, queue, serve):
    server = serve(by_id({"A1": ["AR"] * 3}))
    put_keyed(queue, ("A1", "A"), ("B1", "B"))
    assert forward(server.port).wait() == 0
    assert ids(server) == ["A1"] * 4 + ["B1"]


def test_messages_without_the_field_are_one_key(forward, queue, serve):
    server = serve(by_id({"N1": ["AR"] * 3}))
    queue.put(message("N1").replace(b"CANARYID^^^HOSP^MR", b""))
    queue.put(keyed("B1", "B"))
    queue.put(b"".join(s + CR for s in message("N2").split(CR) if s and not s.startswith(b"PID")))
    assert forward(server.port, "--key=PID-3.1").wait() == 0
    assert [i for i in ids(server) if i[0] == "N"] == ["N1"] * 4 + ["N2"]
    assert ids(server).index("B1") < len(ids(server)) - 2


def test_order_inside_each_key(forward, queue, serve):
    """Any of them may be refused now and then."""
    chance = random.Random(1)

    def handler(server, peer, _number):
        while (payload := server.read(peer)) is not None:
            code = "AR" if chance.random() < 0.2 else "AA"
            if code == "AA":
                taken.append(payload.split(b"|")[9].decode())
            peer.send(frame(answer_to(payload, code)))

    taken = []
    counts = {}
    for _ in range(300):
        key = chance.choice("ABCDEFGH")
        counts[key] = counts.get(key, 0) + 1
        queue.put(keyed(f"{key}{counts[key]}", key))
    process = forward(serve(handler).port, "--key=PID-3.1", "--retry-min=10ms", "--retry-max=40ms")
    assert process.wait() == 0
    for key, n in counts.items():
        assert [i for i in taken if i[0] == key] == [f"{key}{i}" for i in range(1, n + 1)]


def test_more_keys_wait_than_are_known(forward, queue, serve):
    """Then all others wait as well; nothing is lost, and the log stays short."""
    refuse = threading.Event()
    refuse.set()

    def handler(server, peer, _number):
        while (payload := server.read(peer)) is not None:
            peer.send(frame(answer_to(payload, "AR" if refuse.is_set() else "AA")))

    server = serve(handler)
    put_keyed(queue, *((f"{key}-{n}", f"K{key}") for n in range(2) for key in range(1100)))
    process = forward(server.port, "--key=PID-3.1", "--retry-min=200ms", "--retry-max=1s")
    wait_until(lambda: len(set(ids(server))) >= 1000)
    time.sleep(2)
    assert len(set(ids(server))) == 1000, "more than can be held back in order"
    assert process.log_text.count(DOWN) + process.log_text.count(BACK) <= 1
    refuse.clear()
    assert process.wait(60) == 0
    seen = list(dict.fromkeys(ids(server)))
    for key in range(1100):
        assert seen.index(f"{key}-0") < seen.index(f"{key}-1")
    assert queue.names() == [] and queue.failed_names() == []


def test_room_that_becomes_free_overtakes_nobody(forward, queue, serve):
    """One that could not be held back is not overtaken by the next of its key, when another makes room."""
    refuse = threading.Event()
    refuse.set()

    def handler(server, peer, _number):
        while (payload := server.read(peer)) is not None:
            peer.send(frame(answer_to(payload, "AR" if refuse.is_set() else "AA")))

    server = serve(handler)
    old = queue.stem()
    put_keyed(queue, *((f"K{i}", f"K{i}") for i in range(1000)), ("X2", "X"))
    process = forward(server.port, "--key=PID-3.1", "--retry-min=300ms", "--retry-max=600ms")
    wait_until(lambda: len(set(ids(server))) == 1000)
    queue.put(keyed("X1", "X"), stem=old)
    time.sleep(0.7)
    refuse.clear()
    assert process.wait(60) == 0
    assert [i for i in ids(server) if i[0] == "X"] == ["X1", "X2"]


def test_many_held_keys_do_not_starve_the_others(forward, queue, serve):
    """Each of them is due again at any time; the others have their turn all the same."""
    def handler(server, peer, _number):
        while (payload := server.read(peer)) is not None:
            held = payload.split(b"|")[9].startswith(b"H")
            time.sleep(0.02 if held else 0)
            peer.send(frame(answer_to(payload, "AR" if held else "AA")))

    server = serve(handler)
    put_keyed(queue, *((f"H{i}", f"H{i}") for i in range(20)), *((f"F{i}", f"F{i}") for i in range(500)))
    process = forward(server.port, "--key=PID-3.1", "--retry-min=10ms", "--retry-max=20ms")
    wait_until(lambda: sum(i[0] == "F" for i in ids(server)) == 500)
    assert [i for i in ids(server) if i[0] == "F"] == [f"F{i}" for i in range(500)]
    process.stop()


def test_silent_destination_is_not_asked_for_each_key_at_once(forward, queue, serve):
    """It takes connections, and closes them: pauses between the tries all the same."""
    server = serve(lambda server, peer, number: None)
    put_keyed(queue, *((f"K{i}", f"K{i}") for i in range(500)))
    process = forward(server.port, "--key=PID-3.1", "--retry-min=100ms", "--retry-max=400ms")
    time.sleep(3)
    assert server.connections <= 25
    process.stop()


@pytest.mark.parametrize("option", [(), ("--key=PID-3.1",)], ids=["", "keyed"])
def test_held_message_is_taken_away(forward, queue, serve, option):
    """By an operator, while it waits: the next one begins anew, and nothing spins."""
    server = serve(by_id({"A1": "AE", "A2": "AE", "B1": "AR"}))
    names = put_keyed(queue, ("A1", "A"), ("A2", "A"))
    if option:
        put_keyed(queue, ("B1", "B"))
    process = forward(server.port, "--on-error=fail:4", "--retry-min=300ms", "--retry-max=600ms", *option)
    wait_until(lambda: ids(server).count("A1") == 2)
    os.unlink(queue.waiting / names[0])
    wait_until(lambda: queue.failed_names())
    assert ids(server).count("A2") == 4
    before = cpu_seconds(process.popen.pid)
    time.sleep(1)
    assert process.popen.poll() is not None or cpu_seconds(process.popen.pid) - before < 0.15
    process.stop()


def test_only_message_of_its_key_is_taken_away(forward, queue, serve):
    """What is known of it is forgotten: nothing spins, and the others are not kept from their turn."""
    server = serve(by_id({"A1": "AR", "B1": "AR"}))
    name, _ = put_keyed(queue, ("A1", "A"), ("B1", "B"))
    process = forward(server.port, "--key=PID-3.1", "--retry-min=200ms", "--retry-max=200ms")
    wait_until(lambda: "A1" in ids(server) and "B1" in ids(server))
    os.unlink(queue.waiting / name)
    time.sleep(0.5)
    before, n = cpu_seconds(process.popen.pid), len(server.received)
    put_keyed(queue, *((f"C{i}", "C") for i in range(200)))
    time.sleep(1)
    assert cpu_seconds(process.popen.pid) - before < 0.3
    assert ids(server).count("C199") == 1
    assert "A1" not in ids(server)[n:]
    process.stop()


@pytest.mark.parametrize("option", [(), ("--key=PID-3.1",)], ids=["", "keyed"])
def test_an_older_one_is_put_back(forward, queue, serve, option):
    """By an operator, in front of one that waits: it has its place before it."""
    server = serve(by_id({"A2": ["AR"] * 4}))
    old = queue.stem()
    put_keyed(queue, ("A2", "A"), ("A3", "A"))
    process = forward(server.port, "--retry-min=200ms", "--retry-max=200ms", *option)
    wait_until(lambda: server.received)
    queue.put(keyed("A1", "A"), stem=old)
    assert process.wait() == 0
    taken = list(dict.fromkeys(ids(server)))
    assert taken == ["A2", "A1", "A3"]
    assert ids(server).count("A1") == 1 and ids(server).count("A2") == 5


def test_waiting_behind_a_key_costs_little(forward, queue, serve):
    """Ten thousand wait behind one that is refused, and others come by: each costs little."""
    server = serve(by_id({"A0": "AR"}))
    put_keyed(queue, *((f"A{i}", "A") for i in range(10_000)))
    process = forward(server.port, "--key=PID-3.1", "--retry-min=200ms", "--retry-max=200ms")
    wait_until(lambda: ids(server).count("A0") > 3)
    before = cpu_seconds(process.popen.pid)
    for i in range(50):
        put_keyed(queue, (f"B{i}", f"B{i}"))
        time.sleep(0.05)
    wait_until(lambda: "B49" in ids(server))
    assert cpu_seconds(process.popen.pid) - before < 1.5
    process.stop()


def test_no_gaps_while_names_are_made(forward, queue, serve):
    """A listing is no snapshot: it may have a later one and lack one before it."""
    server = serve(answering())
    put_all(queue, 3000)
    process = forward(server.port, "--linger=2s")
    put_all(queue, 6000, first=3001)
    assert process.wait(60) == 0
    assert ids(server) == names_of(9000)


# --- once -------------------------------------------------------------------------------------------

def test_once(forward, queue, serve):
    server = serve(by_id({"ID2": "AR"}))
    put_all(queue, 3)
    process = forward(server.port, "--once")
    assert process.wait() == EXIT_TEMPORARY
    assert ids(server) == ["ID1", "ID2"] and len(queue.names()) == 2


def test_once_and_nothing_is_left(forward, queue, serve):
    server = serve(answering())
    put_all(queue, 3)
    assert forward(server.port, "--once", "--linger=1h").wait(5) == 0
    assert ids(server) == names_of(3)


def test_once_keyed(forward, queue, serve):
    """Each is tried once, also when the first is due again by then."""
    server = serve(by_id({"A1": "AR", "B1": "AR"}))
    put_keyed(queue, ("A1", "A"), ("B1", "B"), ("C1", "C"), ("A2", "A"), ("C2", "C"))
    process = forward(server.port, "--once", "--key=PID-3.1", "--retry-min=1ms", "--retry-max=1ms")
    assert process.wait() == EXIT_TEMPORARY
    assert ids(server) == ["A1", "B1", "C1", "C2"]
