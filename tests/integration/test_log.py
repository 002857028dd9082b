# SPDX-License-Identifier: MIT
"""What hl7-receive logs, as lines to standard error and as entries to the journal; and what never.

That no patient's data and no control byte is in any log is checked behind every test of this suite
(conftest.py).
"""
import re
import socket

import pytest

from hl7test import EXIT_USAGE, CR, FS, PATIENCE, VT, Logs, acks, check_log, frame, message

M = message("ID1")
FIELDS = {"HL7_CONTROL_ID": "ID1", "HL7_MESSAGE_TYPE": "ORU^R01", "HL7_SENDING_APPLICATION": "LAB",
          "HL7_OUTCOME": "stored", "HL7_ACK": "AA", "HL7_BYTES": str(len(M)), "HL7_OFFSET": "0",
          "HL7_PEER": "127.0.0.1"}


def test_one_line_per_message(receive):
    connection = receive("--messages=0")
    port = connection.peer.sock.getsockname()[1]
    for n in range(3):
        connection.peer.ask(message(f"ID{n}"))
    assert connection.finish() == 0
    lines = connection.log_text.splitlines()
    assert len(lines) == 3
    for n, entry in enumerate(connection.log):
        assert entry.text == "message stored: AA sent"
        assert set(entry) == {*FIELDS, "HL7_PEER_PORT", "HL7_DURATION_USEC", "HL7_STORE_NAME"}
        assert entry["HL7_CONTROL_ID"] == f"ID{n}"
        assert entry["HL7_PEER_PORT"] == str(port)
        assert 0 < int(entry["HL7_DURATION_USEC"]) < PATIENCE * 1_000_000


def test_fields(receive):
    connection = receive()
    connection.peer.ask(M)
    connection.finish()
    check_log(connection.log, [("message stored: AA sent", FIELDS)])


@pytest.mark.parametrize("field", ["control_id", "app", "kind"])
@pytest.mark.parametrize("value, shown", [
    ("a\x01b\x1b[31mc", r"a\x01b\x1b[31mc"),
    ("a\nb", r"a\x0ab"),
    ("a\x7f\0b", r"a\x7f\x00b"),
    ("\u00e4", r"\xc3\xa4"),
    ("\udce4", r"\xe4"),
    ("%s%n%x", "%s%n%x"),
    ("C:\\x", r"C:\x5cx"),
    ("x" * 128, "x" * 128),
    ("x" * 129, "x" * 128 + "..."),
    ("x" * 60_000, "x" * 128 + "..."),
    ("\x01" * 200, r"\x01" * 128 + "..."),
], ids=lambda v: ascii(v)[:20])
def test_bytes_of_the_peer_are_escaped_and_bounded(receive, field, value, shown):
    name = {"control_id": "HL7_CONTROL_ID", "app": "HL7_SENDING_APPLICATION",
            "kind": "HL7_MESSAGE_TYPE"}[field]
    connection = receive()
    connection.peer.ask(message(**{field: value}))
    connection.finish()
    assert len(connection.log_text.splitlines()) == 1
    assert connection.log[0][name] == shown


@pytest.mark.parametrize("control_id, shown", [
    ("ID1 HL7_ACK=CR", '"ID1 HL7_ACK=CR"'),
    ('ID1" HL7_STORE_NAME=../x', r'"ID1\x22 HL7_STORE_NAME=../x"'),
    (" HL7_PEER=1.2.3.4", '" HL7_PEER=1.2.3.4"'),
    ("a=b", "a=b"),
])
def test_a_peer_cannot_forge_a_field_of_the_line(receive, control_id, shown):
    """Blanks are common in these fields; what reads the line must still tell values from names."""
    connection = receive()
    connection.peer.ask(message(control_id))
    connection.finish()
    assert f" HL7_CONTROL_ID={shown} HL7_MESSAGE_TYPE=" in connection.log_text
    entry, = connection.log
    assert (entry["HL7_ACK"], entry["HL7_PEER"]) == ("AA", "127.0.0.1")


def test_the_three_longest_values_together(receive):
    """A line has room for all of them and for the fields behind."""
    long = "\x01" * 1000
    connection = receive()
    connection.peer.ask(message(long, app=long, kind=long))
    connection.finish()
    entry, = connection.log
    assert set(FIELDS) | {"HL7_STORE_NAME"} <= set(entry)
    assert len(connection.log_text) < 4096


def test_nothing_but_these_fields_is_in_the_log(receive, ack_d):
    """Every part of a message but MSH-3, 9 and 10 has a canary; faults and refusals included."""
    full = message("ID1", extra=["ZZZ|CANARY|CANARY", "CANARY"], mode="CANARY", version="CANARY",
                   charset="CANARY", to_app="CANARY")
    middle = full.index(b"OBR")
    connection = receive("--messages=0", "--max-message=2K", "--frame-timeout=300ms")
    peer = connection.peer
    peer.send(frame(full) + frame(full.replace(b"ID1", b"")) + b"CANARY noise" + frame(full + full)
              + frame(b"BHS|^~\\&|CANARY" + CR + full)
              + VT + full[:middle] + FS + full[middle:] + FS + CR + VT + full[:middle]
              + frame(full) + frame(full + b"NTE|CANARY" * 500)
              + frame(full.replace(b"LAB", b"A\\B")) + VT + full)
    peer.read_to_end()
    codes = [a.code for a in acks(peer.received)]
    assert codes == ["AA", "AE", "AE", "AE", "AE", "AA", "AR", "AA", "AR"]
    connection.finish()
    assert len(connection.log) >= len(codes) + 3


def test_no_template_text_with_a_value_is_in_the_log(receive, ack_d):
    ack_d("a", "MSH|^~\\&|A||||{now}||ACK|{id}|P|2.4\n"
          "MSA|{ack.code}|{MSH-10}|{PV1-1:required}{PID-5}\n")
    connection = receive()
    connection.peer.ask(M)
    connection.finish()
    assert [e["HL7_OUTCOME"] for e in connection.log] == ["value-refused"]


def test_the_check_of_the_logs_works(tmp_path):
    """The fixture would see a canary, a control byte and a sanitizer's report."""
    for text in ("x CANARYNAME", "19010203", "a\x1bb", "ERROR: AddressSanitizer: x",
                 "a.c:1: runtime error: x"):
        logs = Logs(tmp_path / str(abs(hash(text))))
        logs.new().write_text(text, encoding="ascii")
        with pytest.raises(AssertionError):
            logs.check()


# --- the journal's native protocol ----------------------------------------------------------------

@pytest.fixture
def receive_to(receive, journal):
    return lambda *options, **more: receive("--log=journal", *options, wrapper=journal.enter,
                                            **more)


def test_entry(receive_to, journal):
    connection = receive_to()
    connection.peer.ask(M)
    connection.finish()
    entry, = journal.entries(1)
    assert {k: entry[k] for k in FIELDS} == FIELDS
    assert entry["MESSAGE"] == "message stored: AA sent"
    assert entry["PRIORITY"] == "6"
    assert re.fullmatch("[0-9a-f]{32}", entry["MESSAGE_ID"])
    assert entry["SYSLOG_IDENTIFIER"] == "hl7-receive"
    assert entry["HL7_DURATION_USEC"].isdigit()
    journal.no_more()
    assert connection.log_text == "", "not on standard error as well"


def test_no_entry_for_an_empty_connection(receive_to, journal):
    assert receive_to().finish() == 0
    journal.no_more()


def test_kinds_of_events_have_ids_and_priorities_of_their_own(receive_to, journal):
    connection = receive_to("--messages=0")
    connection.peer.send(b"noise" + frame(M) + frame(message("")) + VT + M[:60] + FS + M[60:] + FS
                         + frame(message("ID2")) + frame(b"hello"))
    connection.peer.read_to_end()
    connection.finish()
    entries = journal.entries(7)
    assert [(e["PRIORITY"], e["MESSAGE"].split(":")[0]) for e in entries] == [
        ("5", "bytes outside of a frame skipped"),
        ("6", "message stored"),
        ("4", "message no-control-id"),
        ("4", "message fs-inside-data"),
        ("5", "bytes outside of a frame skipped"),
        ("6", "message stored"),
        ("4", "message no-header"),
    ]
    ids = [e["MESSAGE_ID"] for e in entries]
    assert ids[0] == ids[4] and ids[1] == ids[5] and ids[3] == ids[6]
    assert len(set(ids)) == 4


def test_deviations_are_there_for_who_asks_for_debug(receive_to, journal):
    connection = receive_to("--idle-timeout=300ms")
    connection.peer.read_to_end()
    connection.finish()
    entry, = journal.entries(1)
    assert (entry["PRIORITY"], entry["MESSAGE"]) == ("7", "no message within --idle-timeout")


def test_storage_failure(receive_to, journal, tmp_path):
    connection = receive_to(store_options=(f"--store={tmp_path}/no/store",))
    connection.peer.ask(M)
    connection.finish()
    told, refused = journal.entries(2)
    for entry in (told, refused):
        assert (entry["PRIORITY"], entry["ERRNO"]) == ("3", "2")
    assert refused["HL7_OUTCOME"] == "storage-failed"


def test_escaped_in_the_journal_too(receive_to, journal):
    connection = receive_to()
    connection.peer.ask(message("a\nPRIORITY=0\x1b\u00e4", app="x" * 500))
    connection.finish()
    entry, = journal.entries(1)
    assert entry["HL7_CONTROL_ID"] == r"a\x0aPRIORITY=0\x1b\xc3\xa4"
    assert entry["PRIORITY"] == "6"
    assert entry["HL7_SENDING_APPLICATION"] == "x" * 128 + "..."


def test_no_journal_is_no_reason_to_fail(receive, namespace):
    namespace.run("mount -t tmpfs tmpfs /run")
    connection = receive("--log=journal", wrapper=namespace.enter)
    assert connection.peer.ask(M).code == "AA"
    assert connection.finish() == 0


def test_a_journal_that_does_not_read_is_not_waited_for(receive, namespace):
    """A full socket must not keep a message from being answered."""
    namespace.run("mount -t tmpfs tmpfs /run; mkdir -p /run/systemd/journal")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(str(namespace.path("/run/systemd/journal/socket")))
        connection = receive("--log=journal", "--messages=0", wrapper=namespace.enter)
        for n in range(5):
            assert connection.peer.ask(message(f"ID{n}")).code == "AA"
        connection.peer.close()
        assert connection.wait() == 0


def test_standard_error_that_is_the_journals_stream(receive, journal):
    """JOURNAL_STREAM names it, so entries take the native way and not that stream."""
    script = 'exec 2>"$1"; shift; JOURNAL_STREAM=$(stat -L -c %d:%i /dev/fd/2) exec "$@"'
    connection = receive(wrapper=[*journal.enter, "sh", "-c", script, "sh", "/run/stream"])
    connection.peer.ask(M)
    connection.finish()
    entry, = journal.entries(1)
    assert entry["HL7_CONTROL_ID"] == "ID1"
    assert journal.path("/run/stream").read_bytes() == b""


@pytest.mark.parametrize("level, told", [("debug", 2), ("info", 2), ("notice", 1), ("warning", 1), ("err", 0)])
def test_level(receive, level, told):
    """A message that is taken is information, one that is refused a warning."""
    connection = receive("--messages=0", f"--log-level={level}")
    assert connection.peer.ask(message("ID1")).code == "AA"
    assert connection.peer.ask(message("")).code == "AE"
    assert connection.finish() == 0
    assert len(connection.log) == told


def test_level_that_there_is_none(run, command):
    done = run(command("--log-level=loud"))
    assert done.returncode == EXIT_USAGE and "--log-level" in done.told
