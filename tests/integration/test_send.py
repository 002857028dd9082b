# SPDX-License-Identifier: MIT
"""hl7-send: what it reads, what it sends, how it judges answers, and its exit statuses."""
import re
import socket
import subprocess
import threading
import time

import pytest

from hl7test import (CR, EXIT_DATA, EXIT_IO, EXIT_NO_INPUT, EXIT_USAGE, FS, LF, NUL, PATIENCE, SEND,
                     VT, answer_to, answering, frame, free_port, message, need)

M, N, O = message("ID1"), message("ID2"), message("ID3")

pytestmark = pytest.mark.skipif(not SEND.exists(), reason=f"{SEND} is not built")

ACCEPTED, ERROR, REJECTED, UNANSWERED = 0, 1, 2, 3


@pytest.fixture
def send(run, tmp_path):
    """hl7-send to a port of this machine, files made of bytes: send(port, M, N, options=["-q"])."""

    def send(port, *files, options=(), **more):
        names = []
        for i, data in enumerate(files):
            path = tmp_path / f"{i:03d}.hl7"
            path.write_bytes(data)
            names.append(path)
        return run([SEND, *options, f"127.0.0.1:{port}", *names], **more)

    return send


def ids(server):
    return [p.split(b"|")[9].decode() for p in server.received]


# --- verdicts -----------------------------------------------------------------------------------

@pytest.mark.parametrize("code, status", [
    ("AA", ACCEPTED), ("CA", ACCEPTED), ("AE", ERROR), ("CE", ERROR), ("AR", REJECTED),
    ("CR", REJECTED), ("XX", UNANSWERED), ("", UNANSWERED), ("AAA", UNANSWERED), ("aa", UNANSWERED),
])
def test_exit_status_by_code(send, serve, code, status):
    server = serve(answering(code))
    done = send(server.port, M)
    assert done.returncode == status
    assert server.received == [M]
    assert f"MSA|{code}|ID1\n".encode() in done.stdout


@pytest.mark.parametrize("codes, status", [
    (("AA", "AE"), ERROR), (("AE", "AA"), ERROR), (("AE", "AR"), REJECTED),
    (("AR", "AE"), REJECTED), (("AR", "XX"), UNANSWERED), (("XX", "AA"), UNANSWERED),
])
def test_the_worst_counts_and_all_are_sent(send, serve, codes, status):
    def handler(server, peer, _number):
        payload = server.read(peer)
        peer.send(frame(answer_to(payload, codes[len(server.received) - 1])))

    server = serve(handler)
    assert send(server.port, M, N).returncode == status
    assert server.received == [M, N]


ANSWERS = [
    # name, bytes of the answer, status
    ("no FS CR ever, closed", VT + answer_to(M), UNANSWERED),
    ("FS without CR, closed", VT + answer_to(M) + FS, ACCEPTED),
    ("FS LF", VT + answer_to(M) + FS + LF, ACCEPTED),
    ("LF line ends", frame(answer_to(M, end=LF)), ACCEPTED),
    ("CRLF line ends", frame(answer_to(M, end=b"\r\n")), ACCEPTED),
    ("no CR behind the last segment", frame(answer_to(M)[:-1]), ACCEPTED),
    ("noise before the frame", b"\r\nnoise" + frame(answer_to(M)), ACCEPTED),
    ("not framed", answer_to(M), UNANSWERED),
    ("an empty frame", frame(b""), UNANSWERED),
    ("two MSA that contradict each other", frame(answer_to(M) + b"MSA|AE|ID1" + CR), UNANSWERED),
    ("two MSA that agree", frame(answer_to(M) + b"MSA|AA|ID1" + CR), UNANSWERED),
    ("no MSA", frame(b"MSH|^~\\&|S||||20260102||ACK|A1|P|2.5" + CR), UNANSWERED),
    ("no MSH", frame(b"MSA|AA|ID1" + CR), UNANSWERED),
    ("text", frame(b"OK"), UNANSWERED),
    ("of another message", frame(answer_to(M, control_id=b"ID9")), UNANSWERED),
    ("of no message", frame(answer_to(M, control_id=b"")), UNANSWERED),
    ("of an id that begins alike", frame(answer_to(M, control_id=b"ID11")), UNANSWERED),
    ("of an id with a blank behind", frame(answer_to(M, control_id=b"ID1 ")), UNANSWERED),
    ("other delimiters", frame(answer_to(M).replace(b"|", b"#")), ACCEPTED),
    ("a kilobyte of text behind", frame(answer_to(M) + b"NTE|1||" + b"x" * 1024 + CR), ACCEPTED),
    ("larger than --max-ack", frame(answer_to(M) + b"NTE|1||" + b"x" * 70_000 + CR), UNANSWERED),
    ("nothing, closed", b"", UNANSWERED),
    ("the first of two counts", frame(answer_to(M, "CA")) + frame(answer_to(M, "AE")), ACCEPTED),
]


@pytest.mark.parametrize("name, answer, status", ANSWERS, ids=[a[0] for a in ANSWERS])
def test_answer(send, serve, name, answer, status):
    def handler(server, peer, _number):
        server.read(peer)
        peer.send(answer)
        peer.half_close()
        peer.read_to_end()

    done = send(serve(handler).port, M, options=["--timeout=10s", "--max-ack=64K"])
    assert done.returncode == status, done.told
    if status == UNANSWERED:
        assert "000.hl7, message 1: " in done.told
    else:
        assert done.told == ""


@pytest.mark.parametrize("size", [1, 2, 7, 50])
def test_answer_in_pieces(send, serve, size):
    def handler(server, peer, _number):
        data = frame(answer_to(server.read(peer)))
        peer.send_apart(*[data[i:i + size] for i in range(0, len(data), size)], pause=0.002)

    assert send(serve(handler).port, M).returncode == ACCEPTED


def test_the_whole_id_is_compared(send, serve):
    """Long, with delimiters, in any bytes."""
    for control_id in ("X" * 300, "a^b~c\\d&e", "\u00c4\udcff", " a "):
        server = serve(answering())
        assert send(server.port, message(control_id)).returncode == ACCEPTED


def test_no_listener(send):
    port = free_port()
    done = send(port, M)
    assert done.returncode == UNANSWERED
    assert "Connection refused" in done.told


def test_silent_listener(send, serve):
    def handler(server, peer, _number):
        server.read(peer)
        peer.read_to_end()

    begin = time.monotonic()
    done = send(serve(handler).port, M, options=["--timeout=300ms"])
    assert done.returncode == UNANSWERED
    assert 0.3 <= time.monotonic() - begin < 3
    assert "--timeout" in done.told


def test_dripping_listener(send, serve):
    """One absolute deadline for the whole answer."""
    def handler(server, peer, _number):
        server.read(peer)
        while True:
            peer.send(b"\r")
            time.sleep(0.05)

    begin = time.monotonic()
    done = send(serve(handler).port, M, options=["--timeout=300ms"])
    assert done.returncode == UNANSWERED
    assert time.monotonic() - begin < 3


def test_listener_that_does_not_read(send, serve):
    def handler(_server, peer, _number):
        time.sleep(1)
        peer.close()

    begin = time.monotonic()
    done = send(serve(handler).port, message(filler=30_000_000), options=["--timeout=500ms"])
    assert done.returncode == UNANSWERED
    assert time.monotonic() - begin < 5


def test_listener_that_resets(send, serve):
    def handler(server, peer, _number):
        server.read(peer)
        peer.reset()

    done = send(serve(handler).port, M, N)
    assert done.returncode == UNANSWERED
    assert len(done.told.splitlines()) == 2


def test_answer_before_the_message_was_read(send, serve):
    """A listener with a limit may answer and close in the middle of a large message."""
    payload = message(filler=20_000_000)

    def handler(_server, peer, _number):
        peer.sock.recv(1000)
        peer.send(frame(answer_to(payload, "AR")))
        peer.half_close()
        peer.read_to_end()

    assert send(serve(handler).port, payload).returncode == REJECTED


# --- late and foreign answers -------------------------------------------------------------------

def test_late_answer_is_never_taken_for_the_next(send, serve):
    """The answer to the first comes when the second is on its way."""
    def handler(server, peer, number):
        payload = server.read(peer)
        if number == 0:
            time.sleep(0.6)
        peer.send(frame(answer_to(payload)))
        server.read(peer)

    server = serve(handler)
    done = send(server.port, M, N, options=["--keep-open", "--timeout=300ms"])
    assert done.returncode == UNANSWERED
    assert server.connections == 2
    assert ids(server) == ["ID1", "ID2"]
    assert b"MSA|AA|ID2" in done.stdout and b"MSA|AA|ID1" not in done.stdout
    assert done.told.count("message 1: ") == 1 and "000.hl7" in done.told


def test_two_messages_of_one_id_late_answer(send, serve):
    """Not even where both ids are the same: the connection of the first is closed."""
    def handler(server, peer, number):
        payload = server.read(peer)
        if number == 0:
            time.sleep(0.5)
            peer.send(frame(answer_to(payload, "AA")))
            server.read(peer)
        else:
            peer.send(frame(answer_to(payload, "AE")))

    server = serve(handler)
    done = send(server.port, M, M, options=["--keep-open", "--timeout=300ms"])
    assert done.returncode == UNANSWERED
    assert b"MSA|AE|ID1" in done.stdout and b"MSA|AA|ID1" not in done.stdout
    assert server.connections == 2


def test_second_answer_to_one_message(send, serve):
    """What came before a message was sent cannot be its answer, whatever id it has."""
    def handler(server, peer, number):
        while (payload := server.read(peer)) is not None:
            extra = frame(answer_to(payload, "AE", b"ID2")) if number == 0 else b""
            peer.send(frame(answer_to(payload)) + extra)

    server = serve(handler)
    done = send(server.port, M, N, O, options=["--keep-open"])
    assert done.returncode == ACCEPTED, done.told
    assert ids(server) == ["ID1", "ID2", "ID3"]
    assert server.connections == 2


def test_foreign_answer_closes_the_connection(send, serve):
    def handler(server, peer, number):
        while (payload := server.read(peer)) is not None:
            peer.send(frame(answer_to(payload, control_id=b"ID9" if number == 0 else None)))

    server = serve(handler)
    done = send(server.port, M, N, O, options=["--keep-open"])
    assert done.returncode == UNANSWERED
    assert server.connections == 2
    assert ids(server) == ["ID1", "ID2", "ID3"]
    assert done.told.count("MSA-2") == 1


# --- connections --------------------------------------------------------------------------------

def test_a_connection_for_each_message(send, serve):
    server = serve(answering())
    assert send(server.port, M, N, O).returncode == ACCEPTED
    assert (server.connections, ids(server)) == (3, ["ID1", "ID2", "ID3"])


def test_keep_open(send, serve):
    server = serve(answering())
    assert send(server.port, M, N, O, options=["--keep-open"]).returncode == ACCEPTED
    assert (server.connections, ids(server)) == (1, ["ID1", "ID2", "ID3"])


def test_keep_open_with_a_listener_that_closes(send, serve):
    """As many do: it is noticed, and no message is lost or sent twice."""
    server = serve(answering(messages=1))
    done = send(server.port, M, N, O, options=["--keep-open"])
    assert done.returncode == ACCEPTED, done.told
    assert ids(server) == ["ID1", "ID2", "ID3"]
    assert server.connections == 3


def test_a_message_that_a_closing_listener_left_unanswered_is_sent_once_more(send, serve):
    """It had taken it before it closed: sent again over a new connection, and no third time."""
    def handler(server, peer, number):
        payload = server.read(peer)
        if number == 0:
            peer.send(frame(answer_to(payload)))
            server.read(peer)

    server = serve(handler)
    done = send(server.port, M, N, options=["--keep-open"])
    assert done.returncode == UNANSWERED
    assert ids(server) == ["ID1", "ID2", "ID2"]


def test_the_first_message_of_a_connection_is_never_sent_twice(send, serve):
    server = serve(lambda server, peer, _number: server.read(peer))
    assert send(server.port, M, options=["--keep-open"]).returncode == UNANSWERED
    assert ids(server) == ["ID1"]


def test_half_an_answer_is_no_reason_to_send_again(send, serve):
    def handler(server, peer, number):
        while (payload := server.read(peer)) is not None:
            answer = frame(answer_to(payload))
            if len(server.received) == 2:
                peer.send(answer[:20])
                return
            peer.send(answer)

    server = serve(handler)
    assert send(server.port, M, N, options=["--keep-open"]).returncode == UNANSWERED
    assert ids(server) == ["ID1", "ID2"]


def test_repeat(send, serve):
    server = serve(answering())
    assert send(server.port, M, N, options=["--repeat=3", "--keep-open"]).returncode == ACCEPTED
    assert ids(server) == ["ID1", "ID2"] * 3
    assert server.connections == 1


def test_connections(send, serve):
    """All are used at the same time, and nothing is lost or doubled."""
    barrier = threading.Barrier(4)

    def handler(server, peer, number):
        while (payload := server.read(peer)) is not None:
            if number < 4:
                barrier.wait(PATIENCE)
                number = 99
            peer.send(frame(answer_to(payload)))

    server = serve(handler)
    files = [message(f"ID{n}") for n in range(10)]
    done = send(server.port, *files, options=["--connections=4", "--keep-open", "--repeat=5"])
    assert done.returncode == ACCEPTED, done.told
    assert server.connections == 4
    assert {i: ids(server).count(i) for i in set(ids(server))} == {f"ID{n}": 5 for n in range(10)}


def test_rate(send, serve):
    server = serve(answering())
    begin = time.monotonic()
    done = send(server.port, M, options=["--rate=50", "--repeat=26", "--keep-open", "-q"])
    took = time.monotonic() - begin
    assert done.returncode == ACCEPTED
    assert 0.5 <= took < 2
    assert len(server.received) == 26


def test_new_id(send, serve):
    server = serve(answering())
    done = send(server.port, M,
                options=["--new-id", "--repeat=50", "--connections=3", "--keep-open"])
    assert done.returncode == ACCEPTED
    assert len(set(ids(server))) == 50
    for payload, control_id in zip(server.received, ids(server)):
        assert re.fullmatch("[0-9A-Z]{20}", control_id)
        assert payload == message(control_id)


def test_new_id_where_there_was_none(send, serve):
    server = serve(answering())
    short = b"MSH|^~\\&|A" + CR
    assert send(server.port, short, message(""), options=["--new-id"]).returncode == ACCEPTED
    one, two = (i.strip() for i in ids(server))
    assert server.received == [b"MSH|^~\\&|A|||||||" + one.encode() + CR, message(two)]


def test_ipv6(run, serve, tmp_path):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as e:
        pytest.skip(f"no IPv6 loopback here: {e}")
    server = serve(answering(), host="::1")
    (tmp_path / "m.hl7").write_bytes(M)
    assert run([SEND, f"[::1]:{server.port}", tmp_path / "m.hl7"]).returncode == ACCEPTED
    assert server.received == [M]


def test_a_host_that_is_not_known(run):
    """By a name that is too long for a question to a name server."""
    done = run([SEND, "x" * 100], input=M)
    assert done.returncode == UNANSWERED
    assert "not known" in done.told


# --- output -------------------------------------------------------------------------------------

def test_answers_are_printed(send, serve):
    server = serve(answering("AE"))
    done = send(server.port, M, N)
    assert done.stdout.splitlines() == [
        b"MSH|^~\\&|S||||20260102030405||ACK|A1|P|2.5", b"MSA|AE|ID1",
        b"MSH|^~\\&|S||||20260102030405||ACK|A1|P|2.5", b"MSA|AE|ID2"]


def test_quiet(send, serve):
    server = serve(answering("AE"))
    done = send(server.port, M, options=["-q"])
    assert (done.returncode, done.stdout, done.told) == (ERROR, b"", "")


def test_summary(send, serve):
    def handler(server, peer, _number):
        codes = {"ID1": "AA", "ID2": "AE", "ID3": "AR", "ID4": "XX"}
        payload = server.read(peer)
        peer.send(frame(answer_to(payload, codes[payload.split(b"|")[9].decode()])))

    server = serve(handler)
    done = send(server.port, M, N, O, message("ID4"), options=["-q", "--summary", "--repeat=3"])
    lines = done.stdout.decode().splitlines()
    assert done.returncode == UNANSWERED
    assert lines[0] == "messages:   12 (3 accepted, 3 error, 3 rejected, 3 unanswered)"
    assert re.match(r"time: +[\d.]+ s, [\d.]+ messages/s, [\d.]+ MB/s$", lines[1])
    latency = re.match(r"latency: +50% ([\d.]+) ms, 90% ([\d.]+) ms, 99% ([\d.]+) ms, "
                       r"slowest ([\d.]+) ms$", lines[2])
    numbers = [float(n) for n in latency.groups()]
    assert numbers == sorted(numbers)
    assert sum(int(line.split()[3]) for line in lines[3:]) == 9
    assert any("#" in line for line in lines[3:])


def test_latency_is_measured(send, serve):
    def handler(server, peer, _number):
        payload = server.read(peer)
        time.sleep(0.2)
        peer.send(frame(answer_to(payload)))

    done = send(serve(handler).port, M, options=["-q", "--summary"])
    assert 200 <= float(re.search(rb"slowest ([\d.]+)", done.stdout).group(1)) < 2000


def test_standard_output_that_cannot_be_written(send, serve):
    server = serve(answering())
    with open("/dev/full", "wb") as full:
        assert send(server.port, M, stdout=full).returncode == EXIT_IO


def test_on_a_terminal(serve, tmp_path):
    """No answer can steer the terminal, and a line there says how far a long run is."""
    need("script")

    def handler(server, peer, _number):
        while (payload := server.read(peer)) is not None:
            time.sleep(0.02)
            peer.send(frame(answer_to(payload) + b"NTE|1||\x1b[31mred\x07\x9b" + CR))

    (tmp_path / "m.hl7").write_bytes(M)
    line = f"{SEND} --keep-open --repeat=60 127.0.0.1:{serve(handler).port} {tmp_path}/m.hl7"
    said = subprocess.run(["script", "-qec", line, "/dev/null"], capture_output=True, check=False,
                          timeout=PATIENCE, stdin=subprocess.DEVNULL)
    assert said.returncode == 0
    assert b"\\x1b[31mred\\x07" in said.stdout
    assert b"\x1b[31m" not in said.stdout and b"\x07" not in said.stdout
    assert re.search(rb"\d+ of 60 messages answered", said.stdout)


# --- input --------------------------------------------------------------------------------------

INPUTS = [
    # name, files, what is sent
    ("CR", [M], [M]),
    ("LF", [M.replace(CR, LF)], [M]),
    ("CRLF", [M.replace(CR, b"\r\n")], [M]),
    ("no end of the last segment", [M[:-1]], [M]),
    ("LF, no end of the last segment", [M.replace(CR, LF)[:-1]], [M]),
    ("blank lines around", [b"\n\n" + M.replace(CR, LF) + b"\n\n"], [M]),
    ("byte order mark", [b"\xef\xbb\xbf" + M], [M]),
    ("two messages", [M + N], [M, N]),
    ("two messages, LF between", [M + LF + N + LF], [M, N]),
    ("two messages in LF", [(M + N).replace(CR, LF)], [M, N]),
    ("two messages in CRLF, blank line between",
     [(M + CR + N).replace(CR, b"\r\n")], [M, N]),
    ("two files", [M, N], [M, N]),
    ("framed", [frame(M)], [M]),
    ("framed, two", [frame(M) + frame(N)], [M, N]),
    ("framed, lines between", [frame(M) + LF + frame(N) + LF], [M, N]),
    ("framed, LF inside stays", [frame(M.replace(CR, LF))], [M.replace(CR, LF)]),
    ("framed, no CR behind FS", [VT + M + FS], [M]),
    ("framed, no end of the last segment", [frame(M[:-1])], [M[:-1]]),
    ("framed and bare", [frame(M) + N], [M, N]),
    ("batch", [b"FHS|^~\\&\rBHS|^~\\&\r" + M + N + b"BTS|2\rFTS|1\r"], [M, N]),
    ("an LF inside a field", [message("ID1", extra=["NTE|1||a\nb"])],
     [message("ID1", extra=["NTE|1||a\nb"])]),
    ("NUL and other bytes", [message("ID1", extra=["NTE|1||\0\udcff"])],
     [message("ID1", extra=["NTE|1||\0\udcff"])]),
    ("other delimiters", [message("ID1", sep="#", chars="^~\\@")], None),
    ("large", [message("ID1", filler=5_000_000)], [message("ID1", filler=5_000_000)]),
]


@pytest.mark.parametrize("name, files, sent", INPUTS, ids=[i[0] for i in INPUTS])
def test_input(send, serve, name, files, sent):
    server = serve(answering())
    done = send(server.port, *files)
    assert (done.returncode, done.told) == (ACCEPTED, "")
    assert server.received == (files if sent is None else sent)


@pytest.mark.parametrize("dash", [(), ("-",)], ids=["no file", "-"])
def test_standard_input(run, serve, dash):
    server = serve(answering())
    done = run([SEND, f"127.0.0.1:{server.port}", *dash], input=M + N)
    assert done.returncode == ACCEPTED
    assert server.received == [M, N]


def test_directory(run, serve, tmp_path):
    """Its files in the order of their names; hidden ones and folders inside are left out."""
    folder = tmp_path / "out"
    (folder / "sub").mkdir(parents=True)
    for name, data in (("b", N), ("a", M), ("B", O), (".hidden", M), ("sub/x", M)):
        (folder / name).write_bytes(data)
    server = serve(answering())
    done = run([SEND, f"127.0.0.1:{server.port}", folder])
    assert done.returncode == ACCEPTED
    assert ids(server) == ["ID3", "ID1", "ID2"]


def test_directory_with_other_files(run, serve, tmp_path):
    (tmp_path / "LICENSE").write_text("no message")
    (tmp_path / "empty").write_text("")
    (tmp_path / "m.hl7").write_bytes(M)
    server = serve(answering())
    done = run([SEND, f"127.0.0.1:{server.port}", tmp_path])
    assert done.returncode == ACCEPTED
    assert server.received == [M]
    assert "LICENSE" in done.told and "warning" in done.told


def test_bytes_that_are_no_message_are_told(send, serve):
    server = serve(answering())
    done = send(server.port, b"some text\n" + M)
    assert done.returncode == ACCEPTED
    assert server.received == [M]
    assert "warning" in done.told


@pytest.mark.parametrize("data", [b"", b"\n", b"hello", b"PID|1||x", NUL * 100, b"MSH", frame(b"")],
                         ids=repr)
def test_no_message_in_a_file(send, serve, data):
    """Nothing is sent, also not of the files before it."""
    server = serve(answering())
    done = send(server.port, M, data)
    assert done.returncode == EXIT_DATA
    assert "001.hl7" in done.told
    assert server.connections == 0


def test_empty_directory(run, tmp_path):
    (tmp_path / "empty").mkdir()
    assert run([SEND, "127.0.0.1:1", tmp_path / "empty"]).returncode == EXIT_DATA


def test_a_message_that_no_frame_can_carry(send, serve):
    """VT or FS inside: whatever is sent, the listener gets no broken frame."""
    server = serve(answering())
    bad = M.replace(b"CANARYFINDING", b"a\x1cb\x0bc")
    done = send(server.port, bad)
    for payload in server.received:
        assert VT not in payload and FS not in payload
    assert done.told != "" or done.returncode != 0


def test_a_file_that_is_not_there(run, serve, tmp_path):
    server = serve(answering())
    (tmp_path / "m.hl7").write_bytes(M)
    done = run([SEND, f"127.0.0.1:{server.port}", tmp_path / "m.hl7", tmp_path / "none"])
    assert done.returncode == EXIT_NO_INPUT
    assert "none: No such file" in done.told
    assert server.connections == 0


@pytest.mark.parametrize("line", [
    [], ["--nonsense", "h"], ["--repeat=0", "h"], ["--connections=0", "h"],
    ["--connections=1001", "h"], ["--rate=0", "h"], ["--rate=x", "h"], ["--timeout=soon", "h"],
    ["--max-ack=1", "h"], ["--via="], ["--via"],
    ["127.0.0.1:"], ["127.0.0.1:0"], ["127.0.0.1:65536"], ["127.0.0.1:x"],
    ["127.0.0.1:5123x"], [":5123"], ["[::1"], [""],
], ids=" ".join)
def test_usage(run, line):
    done = run([SEND, *line], input=M)
    assert done.returncode == EXIT_USAGE
    assert "--help" in done.told


def test_help_and_version(run):
    said = run([SEND, "--help"]).stdout.decode()
    assert said.startswith("Usage: hl7-send ")
    assert all(len(line) <= 100 for line in said.splitlines())
    assert run([SEND, "--version"]).stdout.startswith(b"hl7-send (hl7-inetd) ")


# --- with our own listener ----------------------------------------------------------------------

@pytest.mark.parametrize("options", [(), ("--messages=0",)], ids=["one a connection", "kept"])
def test_to_our_own_listener(send, listener, store, options):
    """Whether it keeps connections or not: each message is stored once, in order, and a resend not
    at all."""
    payloads = [message(f"ID{n:02d}") for n in range(20)]
    done = send(listener(*options), *payloads, options=["--keep-open", "--repeat=2"])
    assert (done.returncode, done.told) == (ACCEPTED, "")
    assert store.messages() == payloads


def test_load_on_our_own_listener(send, listener, store):
    done = send(listener(), M, options=["--connections=8", "--repeat=200", "--new-id", "-q",
                                        "--summary"])
    assert done.returncode == ACCEPTED, done.told
    assert len({m.split(b"|")[9] for m in store.messages()}) == 200


@pytest.mark.parametrize("payload, status", [
    (message(""), ERROR), (message(filler=10_000), REJECTED),
    (message("ID1", kind="ACK"), UNANSWERED),
], ids=["error", "rejected", "unanswered"])
def test_verdicts_of_our_own_listener(send, listener, payload, status):
    done = send(listener("--max-message=4K"), payload, options=["--timeout=5s"])
    assert done.returncode == status
