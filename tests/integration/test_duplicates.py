# SPDX-License-Identifier: MIT
"""A resend is not a second message; a control id for other bytes; room that stays free."""
import concurrent.futures
import contextlib
import os
import threading

import pytest

from hl7test import (CR, EXIT_IO, Connection, acks, check_log, environment, frame, header,
                     message, need, visible, wait_until)
# fixtures
from test_convert import command, convert_d, tables  # noqa: F401 pylint: disable=unused-import
from test_store import ANSWERS, small_disk  # noqa: F401 pylint: disable=unused-import

M, N = message("ID1"), message("ID2")
OTHER = message("ID1", extra=("NTE|1||of another content",))
TO_RIS = "{to ris}\nMSH|^~\\&|BROKER||RIS||||ORU^R01|{MSH-10}|P|2.5\n"
DUPLICATE = "message duplicate"


def log_of(connection):
    """The entry of a connection's only message."""
    assert len(connection.log) == 1, connection.log
    return connection.log[0]


@pytest.fixture
def once(receive):
    """One message over a connection of its own: the connection, ended, with what was answered."""

    def once(payload=M, *options, **more):
        connection = receive(*options, **more)
        connection.peer.send(frame(payload))
        connection.peer.half_close()
        connection.raw = connection.peer.read_to_end()
        connection.answers = acks(connection.raw)
        connection.status = connection.finish()
        return connection

    return once


# --- resends --------------------------------------------------------------------------------------

def test_a_resend_gets_the_same_answer(once):
    """Byte for byte, with its time and its id; the log names the first one's file."""
    first, again, once_more = once(), once(), once()
    assert first.answers[0].code == "AA"
    assert again.raw == first.raw == once_more.raw
    assert first.store.messages() == [M]
    [name] = first.store.names()
    check_log(first.log, [("message stored: AA sent", {"HL7_STORE_NAME": name})])
    check_log(again.log, [(DUPLICATE + ": AA sent", {
        "HL7_OUTCOME": "duplicate", "HL7_ACK": "AA", "HL7_STORE_NAME": name,
        "HL7_CONTROL_ID": "ID1", "HL7_REUSED_ID": None, "HL7_QUEUED": None})])
    assert again.status == 0


def test_a_resend_on_the_same_connection(receive):
    connection = receive("--messages=0")
    connection.peer.send(frame(M) + frame(N) + frame(M) + frame(M))
    a, b, c, d = connection.peer.read_frames(4)
    assert a.raw == c.raw == d.raw != b.raw
    assert connection.finish() == 0
    assert connection.store.messages() == [M, N]
    assert [e["HL7_OUTCOME"] for e in connection.log] == ["stored", "stored", "duplicate",
                                                          "duplicate"]


def test_another_control_id_is_another_message(once):
    assert once(M).raw != once(message("ID1 ")).raw
    assert "HL7_REUSED_ID" not in log_of(once(N))
    assert len(once(message("id1")).store.names()) == 4


@pytest.mark.parametrize("how", ["a byte more", "a byte less", "a byte differs", "line feeds"])
def test_not_quite_the_same_bytes(once, how):
    other = {"a byte more": M + b"Z", "a byte less": M[:-2] + CR, "a byte differs": M[:-2] + b"g" + CR,
             "line feeds": M.replace(b"\r", b"\n")}[how]
    first = once(M)
    second = once(other)
    assert [a.code for a in second.answers] == ["AA"]
    assert second.raw != first.raw
    assert second.store.messages() == [M, other]


@pytest.mark.parametrize("template, kept", [
    ("MSH|^~\\&|CHANGED|||||ACK|{id}\nMSA|{ack.code}|{MSH-10}\n", "changed"),
    ("{broken", "broken"),
], ids=["changed", "broken"])
def test_templates_that_changed_do_not_matter(once, ack_d, convert_d, template, kept):
    """It is answered as it was then, not as it would be now."""
    ack_d("mine", "MSH|^~\\&|BEFORE|||||ACK|{id}\nMSA|{ack.code}|{MSH-10}\n")
    convert_d("ris", TO_RIS)
    first = once()
    assert first.answers[0]["MSH-3"] == b"BEFORE"
    ack_d("mine", template)
    convert_d("ris", TO_RIS.replace("ris", "pacs") if kept == "changed" else template)
    assert once().raw == first.raw
    assert len(first.store.entries("ris")) == 1
    assert first.store.entries("pacs") == []


def test_a_mode_that_changed_does_not_matter(once):
    first = once(M, "--ack-mode=original")
    again = once(M, "--ack-mode=enhanced")
    assert again.raw == first.raw
    assert log_of(again)["HL7_ACK"] == "AA"


def test_options_that_would_refuse_it_now_do_not_matter(once, convert_d):
    first = once()
    convert_d("ris", "{when MSH-3 = \"NOBODY\"}\n" + TO_RIS)
    assert once(M, "--unmatched=reject").raw == first.raw
    assert once(N, "--unmatched=reject").answers[0].code == "AR"


def test_a_received_acknowledgement_is_stored_once_and_never_answered(once):
    payload = header("ID1", kind="ACK") + CR + b"MSA|AA|X" + CR
    first, again = once(payload), once(payload)
    assert (first.raw, again.raw) == (b"", b"")
    assert first.store.messages() == [payload]
    check_log(again.log, [(DUPLICATE + ": no answer",
                           {"HL7_STORE_NAME": first.store.names()[0], "HL7_ACK": None})])


@pytest.mark.parametrize("accept, application, answered", [
    ("NE", "NE", False), ("ER", "ER", False), ("AL", "NE", True)])
def test_who_is_not_answered_stays_so(once, accept, application, answered):
    """With --ack-mode=strict, and also when it is not strict any more."""
    payload = message("ID1", accept=accept, application=application)
    first = once(payload, "--ack-mode=strict")
    assert bool(first.raw) == answered
    assert once(payload, "--ack-mode=strict").raw == first.raw
    assert once(payload).raw == first.raw
    assert len(first.store.names()) == 1


def test_a_conversion_is_queued_once(once, convert_d):
    convert_d("ris", TO_RIS)
    first, again = once(), once()
    assert again.raw == first.raw
    assert len(first.store.entries("ris")) == 1
    assert (log_of(first)["HL7_QUEUED"], log_of(again).get("HL7_QUEUED")) == ("1", None)


def test_a_refused_message_is_judged_each_time(once, convert_d):
    """Only what was taken is known: a refused one may be taken the next time."""
    convert_d("ris", TO_RIS + "PV1|{PV1-3:required}\n")
    assert once().answers[0].code == "AE"
    convert_d("ris", TO_RIS)
    connection = once()
    assert connection.answers[0].code == "AA"
    assert connection.store.messages() == [M]
    assert len(visible(connection.store.path / "rejected")) == 2


def test_without_a_store_nothing_is_known(receive):
    connection = receive("--no-store", "--messages=0", store_options=())
    connection.peer.send(frame(M) * 2)
    a, b = connection.peer.read_frames(2)
    assert a.raw != b.raw
    assert connection.finish() == 0
    assert [e["HL7_OUTCOME"] for e in connection.log] == ["stored", "stored"]


def test_a_large_message_and_its_resend(once):
    payload = message("BIG", filler=40 * 1024 * 1024)
    first, again = once(payload, "--max-message=48M"), once(payload, "--max-message=48M")
    assert first.answers[0].code == "AA"
    assert again.raw == first.raw
    assert first.store.messages() == [payload]


def test_an_answer_too_large_for_an_attribute(once, ack_d):
    """It is kept in a file of its own."""
    ack_d("large", "MSH|^~\\&|A|||||ACK|{id}\nMSA|{ack.code}|{MSH-10}\nZZZ|" + "x" * 100_000 + "\n")
    first = once()
    assert len(first.raw) > 100_000
    assert len(first.store.hidden("a")) == 1
    assert once().raw == first.raw
    assert first.store.messages() == [M]


# --- what became of the first ---------------------------------------------------------------------

def test_without_its_attribute_it_is_answered_anew(once):
    """As after a backup that keeps none: stored it is, how it was answered is not known."""
    first = once()
    path = first.store.path / "received" / first.store.names()[0]
    try:
        os.removexattr(path, "user.hl7.receipt")
    except OSError as e:
        pytest.skip(f"no attributes here: {e}")
    again = once()
    assert [a.code for a in again.answers] == ["AA"]
    assert again.raw != first.raw
    assert again.answers[0].control_id == b"ID1"
    assert log_of(again)["HL7_OUTCOME"] == "duplicate"
    assert first.store.messages() == [M]


def test_deleted_by_hand_it_is_stored_anew(once, convert_d):
    convert_d("ris", TO_RIS)
    first = once()
    (first.store.path / "received" / first.store.names()[0]).unlink()
    again = once()
    assert again.answers[0].code == "AA"
    assert log_of(again)["HL7_OUTCOME"] == "stored"
    assert "HL7_REUSED_ID" not in log_of(again)
    assert again.store.messages() == [M]
    assert len(again.store.hidden("k")) == 1
    assert once().raw == again.raw


def test_killed_before_the_commit(logs, tmp_path, command, once):
    """At each link: the resend is stored, exactly once."""
    need("strace")
    for n in (1, 2):
        line = ["strace", "-o", tmp_path / "trace", "-e", f"inject=linkat:signal=KILL:when={n}",
                *command()]
        env = environment(ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0")
        connection = Connection(line, logs.new("strace"), tmp_path / "store", env=env)
        connection.peer.send(frame(message(f"ID{n}")))
        assert connection.peer.read_to_end() == b""
        assert connection.finish() != 0
        again = once(message(f"ID{n}"))
        assert again.answers[0].code == "AA"
        assert again.store.messages() == [message(f"ID{i + 1}") for i in range(n)]
        assert len(again.store.hidden("k")) == n
        assert once(message(f"ID{n}")).raw == again.raw


def test_killed_behind_the_commit(logs, tmp_path, command, once):
    """It is on disk, nobody was told: the resend gets the answer that was made for it then."""
    need("strace")
    env = environment(ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0")
    line = ["strace", "-o", tmp_path / "trace", "-e", "inject=sendto:signal=KILL", *command()]
    connection = Connection(line, logs.new("strace"), tmp_path / "store", env=env)
    connection.peer.send(frame(M))
    connection.peer.read_to_end()
    connection.finish()
    assert connection.store.messages() == [M]
    again = once()
    assert again.answers[0].code == "AA"
    assert log_of(again)["HL7_OUTCOME"] == "duplicate"
    assert again.store.messages() == [M]


# --- at the same moment ---------------------------------------------------------------------------

def race(receive, payload, n, *options):
    """The same bytes over n connections at the same moment; what each was answered."""
    connections = [receive(*options) for _ in range(n)]
    for connection in connections:  # each process waits for its last bytes
        connection.peer.send(frame(payload)[:-2])
    gate = threading.Barrier(n)

    def finish(connection):
        gate.wait()
        connection.peer.send(frame(payload)[-2:])
        connection.peer.half_close()
        raw = connection.peer.read_to_end()
        assert connection.finish() == 0
        return raw

    with concurrent.futures.ThreadPoolExecutor(n) as pool:
        answers = list(pool.map(finish, connections))
    return connections, answers


@pytest.mark.parametrize("n, rounds", [(2, 25), (8, 5)])
def test_at_the_same_moment(receive, convert_d, n, rounds):
    convert_d("ris", TO_RIS)
    for i in range(rounds):
        connections, answers = race(receive, message(f"ID{i:02d}"), n)
        assert acks(answers[0])[0].code == "AA"
        assert set(answers) == {answers[0]}, "all get the one answer"
        assert sorted(log_of(c)["HL7_OUTCOME"] for c in connections) == [
            *["duplicate"] * (n - 1), "stored"]
        assert len({log_of(c)["HL7_STORE_NAME"] for c in connections}) == 1
    store = connections[0].store
    assert store.messages() == [message(f"ID{i:02d}") for i in range(rounds)]
    assert len(store.entries("ris")) == rounds
    assert len(store.hidden("k")) == rounds


def test_the_same_id_at_the_same_moment(receive):
    """Of other bytes: both are stored; which of them is told as the reused one, the disk decides."""
    for i in range(10):
        pair = [receive(), receive()]
        payloads = [message(f"ID{i}"), message(f"ID{i}", extra=("NTE|1||other",))]
        for connection, payload in zip(pair, payloads):
            connection.peer.send(frame(payload))
        assert [c.peer.read_frames(1)[0].code for c in pair] == ["AA", "AA"]
        assert [c.finish() for c in pair] == [0, 0]
        assert len(pair[0].store.names()) == 2 * (i + 1)


def test_a_process_that_is_stopped_holds_others_up_for_a_while_only(receive, tmp_path):
    """A name that a living process holds is waited for, and then there is an answer all the same."""
    need("strace")
    # in the middle of its commit, the link made: it stops
    line = ["strace", "-o", tmp_path / "trace", "-e", "inject=linkat:delay_exit=3000000:when=1"]
    env = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}
    slow = receive(wrapper=line, way="inetd", env=env)
    slow.peer.send(frame(M))
    wait_until(lambda: (slow.store.path / "received").is_dir() and slow.store.hidden("k"),
               "the first link")
    fast = receive()
    answer = fast.peer.ask(M)
    assert slow.peer.read_frames(1)[0].raw == answer.raw
    assert fast.finish() == 0
    slow.finish()
    assert slow.store.messages() == [M]


# --- control ids ----------------------------------------------------------------------------------

def test_a_reused_control_id_is_told(once):
    first = once(M)
    second = once(OTHER)
    assert second.answers[0].code == "AA"
    assert second.store.messages() == [M, OTHER]
    assert "HL7_REUSED_ID" not in log_of(first)
    check_log(second.log, [("message stored: AA sent", {"HL7_REUSED_ID": "yes"})])
    again = once(OTHER)
    assert again.raw == second.raw
    assert log_of(again)["HL7_OUTCOME"] == "duplicate"
    assert once(M).raw == first.raw


@pytest.mark.parametrize("accept, code", [("", "AE"), ("AL", "CE")])
def test_a_reused_control_id_is_refused(once, accept, code):
    first = once(M, "--reused-id=reject")
    other = message("ID1", accept=accept, extra=("NTE|1||other",))
    second = once(other, "--reused-id=reject")
    assert second.answers[0].code == code
    assert second.answers[0].error() == ("MSH^1^10", "205")
    assert second.status == 0
    assert second.store.messages() == [M]
    name = log_of(second)["HL7_STORE_NAME"]
    check_log(second.log, [("message reused-id: " + code, {
        "HL7_OUTCOME": "reused-id", "HL7_REUSED_ID": "yes"})])
    rejected = second.store.path / "rejected"
    assert (rejected / name).read_bytes() == other
    assert "outcome: reused-id\n" in (rejected / name.replace(".hl7", ".txt")).read_text()
    assert once(M, "--reused-id=reject").raw == first.raw
    assert len(second.store.hidden("k")) == 1


def test_an_id_of_another_sender_is_not_reused(once):
    for sender in ({"app": "LAB"}, {"app": "RAD"}, {"app": "LA", "fac": "BCANARYFAC"}):
        connection = once(message("ID1", **sender), "--reused-id=reject")
        assert connection.answers[0].code == "AA"
        assert "HL7_REUSED_ID" not in log_of(connection)


def test_an_id_is_free_when_its_message_is_deleted(once):
    first = once(M, "--reused-id=reject")
    (first.store.path / "received" / first.store.names()[0]).unlink()
    second = once(OTHER, "--reused-id=reject")
    assert second.answers[0].code == "AA"
    assert "HL7_REUSED_ID" not in log_of(second)
    assert once(M, "--reused-id=reject").answers[0].code == "AE"


# --- room -----------------------------------------------------------------------------------------

def check_full(connection, code):
    assert [a.code for a in connection.answers] == ([code] if code else [])
    for answer in connection.answers:
        assert answer.error() == ("", "207")
    assert connection.status == EXIT_IO
    entry = log_of(connection)
    assert entry["HL7_OUTCOME"] == "store-full"
    assert "HL7_STORE_NAME" not in entry
    assert connection.store.names() == []
    assert connection.store.hidden("") == []


@pytest.mark.parametrize("how, accept, code", ANSWERS)
@pytest.mark.parametrize("option", ["--min-free=1000000G", "--min-free-inodes=1000000000000"])
def test_too_little_room(once, convert_d, tmp_path, option, how, accept, code):
    if "inodes" in option and os.statvfs(tmp_path).f_files == 0:
        pytest.skip("this file system does not count inodes")
    convert_d("ris", TO_RIS)
    connection = once(message("ID1", accept=accept), option, f"--on-storage-error={how}")
    check_full(connection, code)
    assert connection.store.entries("ris") == []
    assert once(message("ID1", accept=accept)).answers[0].code == ("CA" if accept else "AA")


def test_a_resend_needs_no_room(once):
    first = once()
    assert once(M, "--min-free=1000000G", "--min-free-inodes=1000000000000").raw == first.raw
    assert once(N, "--min-free=1000000G").answers[0].code == "AR"


def test_a_refused_message_is_not_kept_without_room(once):
    connection = once(message(""), "--min-free=1000000G")
    assert [a.code for a in connection.answers] == ["AE"]
    assert connection.status == 0
    assert "a refused message cannot be kept" in connection.log_text
    assert visible(connection.store.path / "rejected") == []


@pytest.fixture
def on_small_disk(once, small_disk):
    """One message into the store on a tmpfs of 256 KiB and 50 inodes; limits come from options."""

    def on_small_disk(payload, *options):
        return once(payload, *options, wrapper=small_disk.enter,
                    store_options=small_disk.store_options)

    return on_small_disk


def test_a_store_on_tmpfs(on_small_disk, small_disk):
    first, again = on_small_disk(M), on_small_disk(M)
    assert first.answers[0].code == "AA"
    assert again.raw == first.raw
    assert len(small_disk.received()) == 1


def test_inodes_of_a_small_disk(on_small_disk, small_disk):
    """Of 50, some stay free; when others are given back, the same message goes in."""
    n, connection = 0, None
    while n < 50:
        connection = on_small_disk(message(f"ID{n}"), "--min-free-inodes=20")
        if connection.answers[0].code != "AA":
            break
        n += 1
    assert connection.answers[0].code == "AR"
    assert log_of(connection)["HL7_OUTCOME"] == "store-full"
    assert len(small_disk.received()) == n > 3
    assert 20 - 2 <= os.statvfs(small_disk.path(small_disk.disk)).f_favail <= 23
    assert on_small_disk(message("ID0"), "--min-free-inodes=20").answers[0].code == "AA", "a resend"
    small_disk.run('rm "$1"/store/received/2*', small_disk.disk)
    small_disk.run('rm "$1"/store/received/.k* "$1"/store/received/.i*', small_disk.disk)
    assert on_small_disk(message(f"ID{n}"), "--min-free-inodes=20").answers[0].code == "AA"


def test_bytes_of_a_small_disk(on_small_disk, small_disk):
    """A message that would leave too little is not taken, a smaller one is."""
    big = message("BIG", filler=150_000)
    connection = on_small_disk(big, "--min-free=128K")
    assert connection.answers[0].code == "AR"
    assert log_of(connection)["HL7_OUTCOME"] == "store-full"
    assert on_small_disk(M, "--min-free=128K").answers[0].code == "AA"
    assert on_small_disk(big, "--min-free=64K").answers[0].code == "AA"
    assert len(small_disk.received()) == 2


def test_the_defaults_keep_a_small_disk_free(once, small_disk):
    """64 MiB and 1000 inodes are more than it has."""
    connection = once(M, wrapper=small_disk.enter, store_options=small_disk.store_options[:1])
    assert connection.answers[0].code == "AR"
    assert log_of(connection)["HL7_OUTCOME"] == "store-full"
    with contextlib.suppress(FileNotFoundError):
        assert small_disk.received() == []
