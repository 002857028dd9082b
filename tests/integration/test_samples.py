# SPDX-License-Identifier: MIT
"""Public sample messages of five projects, over a real socket, as they are stored.

Each file is sent as one frame, then each message in it in a frame of its own, as senders of such
files do. A reference written here says what each must get: every message with a header and a
control id is acknowledged by that id and stored byte for byte. ODD says which files are no such
message, and what they get instead.
"""
import re

import pytest

from hl7test import CR, FS, LF, SAMPLES, VT, acks, frame, no_samples

# What the whole file in one frame gets, where that is not "stored".
ODD = {
    "prime-reportstream/0001-batch.hl7": "batch",
    "prime-reportstream/0002-batch.hl7": "batch",
    "prime-reportstream/0003-batch.hl7": "batch",
    "prime-reportstream/0005.hl7": "batch",
    "ruby-hl7/0016.hl7": "batch",
    "ruby-hl7/0017.hl7": "batch",
    # a VT stands behind the last segment: it begins a frame in which there is no message
    "ruby-hl7/0001.hl7": "no-header",
    "ruby-hl7/0006.hl7": "no-header",
    "ruby-hl7/0007.hl7": "no-header",
    "ruby-hl7/0026.hl7": "no-header",
    "ruby-hl7/0027.hl7": "no-header",
    "ruby-hl7/0028.hl7": "no-header",
}

FILES = sorted(p for ext in ("hl7", "er7") for p in SAMPLES.rglob(f"*.{ext}")) \
    if SAMPLES.is_dir() else []


def name_of(path):
    return str(path.relative_to(SAMPLES)) if path else "none"


@pytest.fixture(autouse=True)
def samples():
    if not FILES:
        no_samples()


def split_messages(data):
    """Each message: from a segment MSH to the next one, without what belongs to a batch."""
    starts = [m.start() for m in re.finditer(rb"(?:(?<=[\r\n])|\A|(?<=\xef\xbb\xbf))MSH", data)]
    for begin, end in zip(starts, [*starts[1:], len(data)]):
        yield re.sub(rb"(?<=[\r\n])(?:FHS|BHS|BTS|FTS)[^\r\n]*[\r\n]*", b"", data[begin:end])


def expect(payload):
    """(outcome, MSA-2) by the rules, not by our code."""
    if VT in payload:
        payload = payload[payload.rindex(VT) + 1:]
    if FS in payload:
        return "fs-inside-data", None
    text = re.sub(rb"\A(?:\xef\xbb\xbf|[\r\n \t\0])+", b"", payload).rstrip(CR + LF)
    segments = [s.lstrip(LF) for s in text.split(CR)] if CR in text else text.split(LF)
    if CR in text and segments[0].startswith(b"MSH"):  # a header that LF ends, CR the others
        segments[:1] = re.split(rb"\n(?=[A-Z][A-Z0-9]{2}\|)", segments[0])
    headers = [s for s in segments if s.startswith(b"MSH") and len(s) > 3]
    if not headers:
        return "no-header", None
    fields = headers[0].split(headers[0][3:4]) + [b""] * 20
    control_id, kind = fields[9], fields[8].split(headers[0][4:5])[0]
    if segments[0][:3] in (b"FHS", b"BHS"):
        return "batch", control_id
    if segments[0] != headers[0]:
        return "header-not-first", control_id
    if len(headers) > 1:
        return "several-messages", control_id
    if not control_id.strip():
        return "no-control-id", control_id
    return ("acknowledgement-received" if kind == b"ACK" else "stored"), control_id


def code_for(outcome, payload):
    header = payload[payload.index(b"MSH"):]
    fields = re.split(rb"[\r\n]", header)[0].split(header[3:4]) + [b""] * 20
    accept = fields[14].strip()
    if outcome == "stored":
        return "CA" if accept in (b"AL", b"SU") else "AA"
    return "CE" if accept in (b"AL", b"ER") else "AE"


def check_payload(receive, payload):
    """Sends it; answer, file and log entry must be those of the reference. Returns the outcome."""
    outcome, control_id = expect(payload)
    connection = receive()
    connection.peer.send(frame(payload))
    connection.peer.half_close()
    connection.peer.read_to_end()
    assert connection.finish() == 0
    told = [e for e in connection.log if "HL7_OUTCOME" in e]
    assert [e["HL7_OUTCOME"] for e in told] == [outcome]
    stored = payload[payload.rindex(VT) + 1:] if VT in payload else payload
    kept = outcome in ("stored", "acknowledgement-received")
    assert connection.store.messages() == ([stored] if kept else [])
    answers = acks(connection.peer.received)
    if outcome in ("no-header", "acknowledgement-received"):
        assert answers == []
        return outcome
    answer, = answers
    assert (answer.control_id, answer.code) == (control_id, code_for(outcome, stored))
    for path in (connection.store.path / "received").iterdir():
        path.unlink()
    check_no_patient(connection.log_text, payload)
    return outcome


def check_no_patient(log, payload):
    """Names, birth dates and addresses of every PID are looked for in the log."""
    for pid in re.findall(rb"(?:^|[\r\n])PID\|([^\r\n]*)", payload):
        fields = pid.split(b"|")
        for number in (5, 7, 11):
            value = fields[number - 1] if len(fields) >= number else b""
            assert len(value) < 6 or value.decode("latin-1") not in log


@pytest.mark.parametrize("path", FILES or [None], ids=name_of)
def test_file_as_it_is(receive, path):
    assert check_payload(receive, path.read_bytes()) == ODD.get(name_of(path), "stored")


@pytest.mark.parametrize("path", FILES or [None], ids=name_of)
def test_each_message_of_the_file(receive, path):
    for payload in split_messages(path.read_bytes()):
        assert check_payload(receive, payload) != "batch"
