# SPDX-License-Identifier: MIT
"""Conversion templates in the receiver: what is queued, what is refused and kept, the commit."""
import collections
import contextlib
import os
import re
import shutil

import pytest

from hl7test import (CR, EXIT_CONFIG, EXIT_IO, RECEIVE, Connection, Store, acks, check_log,
                     environment, frame, header, message, need, visible, CANARIES)
# small_disk is a fixture
from test_store import fill, places, small_disk  # noqa: F401 pylint: disable=unused-import

HEAD = "MSH|^~\\&|BROKER||RIS||||ORU^R01|{MSH-10}|P|2.5\n"
HEAD_OUT = b"MSH|^~\\&|BROKER||RIS||||ORU^R01|ID1|P|2.5\r"
M = message("ID1")
TO_RIS = "{to ris}\n" + HEAD + "PID|1||{PID-3.1}\n"
RIS = HEAD_OUT + b"PID|1||CANARYID\r"
ENTRY = re.compile(r"(\d{8}T\d{6}\.\d{6}Z-\d+-\d+)\.(\d{3})\.hl7\Z")


def writer(folder, suffix):
    def write(name, text):
        folder.mkdir(exist_ok=True)
        path = folder / f"{name}{suffix}"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    write.path = folder
    return write


@pytest.fixture
def convert_d(tmp_path):
    """Writes conversion templates: convert_d("name", "text")."""
    return writer(tmp_path / "convert.d", ".hl7t")


@pytest.fixture
def tables(tmp_path):
    """Writes tables: tables("name", "key\\tvalue\\n")."""
    return writer(tmp_path / "tables", ".tsv")


@pytest.fixture
def command(command, convert_d, tables):
    """hl7-receive's command line with this test's conversion templates and tables."""

    def with_templates(*options, **more):
        return command(f"--convert-templates={convert_d.path}", f"--tables={tables.path}",
                       *options, **more)

    return with_templates


def queue(store):
    """Every entry by its destination: {"ris": [contents in the order of their names]}."""
    folders = sorted((store.path / "queue").glob("*"))
    return {f.name: [p.read_bytes() for p in sorted(f.iterdir())] for f in folders}


def entries(store):
    """(name of the received file, number of the entry, destination), sorted by number."""
    found = []
    for path in (store.path / "queue").glob("*/*"):
        stem, number = ENTRY.match(path.name).groups()
        found.append((stem + ".hl7", int(number), path.parent.name))
    return sorted(found, key=lambda e: (e[0], e[1]))


def errors(answer):
    """(ERR-2, number of ERR-3) of each ERR segment."""
    found = [s + [b""] * 4 for s in answer.segments if s[0] == b"ERR"]
    return [(s[2].decode(), s[3].split(b"^")[0].decode()) for s in found]


def rejected(store):
    """The one message in rejected/ and its reason's text, in which no field's content stands."""
    names = sorted(p.name for p in (store.path / "rejected").iterdir())
    assert len(names) == 2 and names[0][:-4] == names[1][:-4], names
    assert [n[-4:] for n in names] == [".hl7", ".txt"]
    reason = (store.path / "rejected" / names[1]).read_text(encoding="utf-8")
    assert not any(c in reason for c in CANARIES), reason
    return (store.path / "rejected" / names[0]).read_bytes(), reason


@pytest.fixture
def convert(receive):
    """Sends one message that must be taken: the connection, ended."""

    def convert(payload=M, *options, code="AA", **more):
        connection = receive(*options, **more)
        assert connection.peer.ask(payload).code == code
        assert connection.finish() == 0
        return connection

    return convert


@pytest.fixture
def refuse(receive):
    """Sends one message that must be refused for its content and kept: its answer, its reason."""

    def refuse(payload, code, outcome, expected, *options):
        connection = receive(*options)
        answer = connection.peer.ask(payload)
        assert connection.finish() == 0
        assert (answer.code, errors(answer)) == (code, expected)
        assert not any(c.encode() in s for c in CANARIES for line in answer.segments[1:]
                       for s in line)
        kept, reason = rejected(connection.store)
        assert kept == payload
        assert f"outcome: {outcome}\nanswer: {code}\n" in reason
        assert connection.log[-1]["HL7_OUTCOME"] == outcome
        assert connection.store.names() == []
        assert not any(queue(connection.store).values())
        return answer, reason, connection.log[-1]

    return refuse


# --- what is queued -----------------------------------------------------------------------------

def test_one_template_one_destination(convert, convert_d):
    convert_d("ris", TO_RIS)
    connection = convert()
    assert queue(connection.store) == {"ris": [RIS]}
    assert connection.store.messages() == [M]
    name = connection.store.names()[0]
    assert entries(connection.store) == [(name, 0, "ris")]
    check_log(connection.log, [("message stored: AA sent",
                                {"HL7_QUEUED": 1, "HL7_STORE_NAME": name})])


def test_one_message_for_each_destination(convert, convert_d):
    convert_d("both", "{to ris archive}\n" + HEAD + "ZID|{id}\n")
    connection = convert()
    found = queue(connection.store)
    assert sorted(found) == ["archive", "ris"]
    ids = set()
    for content in found.values():
        assert len(content) == 1 and content[0].startswith(HEAD_OUT + b"ZID|")
        ids.add(content[0])
    assert len(ids) == 2, "each is rendered, so each {id} is its own"
    assert [e["HL7_QUEUED"] for e in connection.log] == ["2"]


def test_each_template_whose_when_holds(convert, convert_d):
    convert_d("a", '{when MSH-9.1 == "ORU"}\n{to oru}\n' + HEAD + "ZA|1\n")
    convert_d("b", '{when MSH-9.1 == "ADT"}\n{to adt}\n' + HEAD + "ZB|1\n")
    convert_d("c", '{when MSH-3 in ("RAD", "LAB")}\n{to lab}\n' + HEAD + "ZC|1\n")
    convert_d("d", "{to all}\n" + HEAD + "ZD|1\n")
    connection = convert()
    assert {k: v for k, v in queue(connection.store).items() if v} == {
        "oru": [HEAD_OUT + b"ZA|1\r"], "lab": [HEAD_OUT + b"ZC|1\r"], "all": [HEAD_OUT + b"ZD|1\r"]}
    name = connection.store.names()[0]
    assert entries(connection.store) == [(name, 0, "oru"), (name, 1, "lab"), (name, 2, "all")]


def test_two_templates_with_one_destination(convert, convert_d):
    convert_d("1", TO_RIS)
    convert_d("2", "{to ris archive}\n" + HEAD + "ZZZ|2\n")
    connection = convert()
    second = HEAD_OUT + b"ZZZ|2\r"
    assert queue(connection.store) == {"archive": [second], "ris": [RIS, second]}


def test_a_template_without_a_destination(convert, convert_d):
    """It is rendered, as it may refuse the message, and goes nowhere. The warning of it is at
    debug level, which only the journal takes."""
    convert_d("lost", HEAD + "PID|1||{PID-3.1:required}\n")
    connection = convert()
    assert connection.store.messages() == [M]
    assert not (connection.store.path / "queue").exists()
    check_log(connection.log, ["message stored: AA sent"])
    assert "HL7_QUEUED" not in connection.log[0]


def test_a_template_without_a_destination_refuses(refuse, convert_d):
    convert_d("check", HEAD + "PV1|1||{PV1-3:required}\n")
    convert_d("ris", TO_RIS)
    refuse(M, "AE", "value-refused", [("PV1^1^3", "101")])


def test_one_destination_is_no_reason_to_warn(convert, convert_d):
    convert_d("ris", TO_RIS)
    assert len(convert().log) == 1


def test_several_messages_on_a_connection(receive, convert_d):
    convert_d("ris", TO_RIS)
    connection = receive("--messages=0")
    for n in range(5):
        assert connection.peer.ask(message(f"N{n}")).code == "AA"
    assert connection.finish() == 0
    assert queue(connection.store)["ris"] == [RIS.replace(b"ID1", f"N{n}".encode())
                                              .replace(b"CANARYN", b"CANARYID") for n in range(5)]
    assert [e[0] for e in entries(connection.store)] == connection.store.names()


def test_a_message_for_each_order(convert, convert_d):
    """A template whose MSH stands inside of {each} makes several entries."""
    convert_d("split", "{to ris}\n{each OBR}\n" + HEAD + "OBR|{n}||{OBR-3}\n{end}\n")
    connection = convert(message("ID1", extra=("OBR|2||SECOND", "OBR|3||THIRD")))
    assert queue(connection.store) == {"ris": [
        HEAD_OUT + b"OBR|1||CANARYORDER\r", HEAD_OUT + b"OBR|2||SECOND\r",
        HEAD_OUT + b"OBR|3||THIRD\r"]}
    name = connection.store.names()[0]
    assert entries(connection.store) == [(name, n, "ris") for n in range(3)]


def test_more_messages_than_one_result_may_have(refuse, convert_d):
    convert_d("split", "{to ris}\n{each OBR}\n" + HEAD + "{end}\n")
    refuse(message("ID1", extra=["OBR|2"] * 1000), "AR", "result-too-large", [("", "207")])


def test_an_empty_result_is_not_queued(convert, convert_d):
    convert_d("empty", "{to ris}\n{if PV1}\n" + HEAD + "{end}\n")
    connection = convert()
    assert queue(connection.store) == {"ris": []}
    assert "HL7_QUEUED" not in connection.log[0]


def test_32_destinations(convert, convert_d):
    names = [f"D{n:02d}" for n in range(32)]
    convert_d("all", TO_RIS.replace("ris", " ".join(names)))
    connection = convert()
    assert queue(connection.store) == {n: [RIS] for n in names}
    assert [e[2] for e in entries(connection.store)] == names


def test_without_templates_nothing_is_queued(convert):
    connection = convert()
    assert connection.store.messages() == [M]
    assert visible(connection.store.path) == ["received"]


def test_an_acknowledgement_is_not_converted(receive, convert_d):
    convert_d("ris", TO_RIS)
    connection = receive()
    connection.peer.send(frame(header("ID1", kind="ACK") + CR + b"MSA|AA|X" + CR))
    connection.peer.half_close()
    assert connection.peer.read_to_end() == b""
    assert connection.finish() == 0
    assert queue(connection.store) == {"ris": []}
    assert len(connection.store.names()) == 1


def test_queue_modes(convert, convert_d):
    """As of received/: nobody else can read it."""
    convert_d("ris", TO_RIS)
    connection = convert()
    for path in [connection.store.path / "queue", *(connection.store.path / "queue").rglob("*")]:
        assert path.stat().st_mode & 0o027 == 0, path


def test_a_template_is_used_as_it_is_at_the_start_of_a_connection(convert, convert_d):
    convert_d("ris", TO_RIS)
    convert()
    convert_d("ris", "{to pacs}\n" + HEAD + "ZZZ|edited\n")
    connection = convert(M + b"NTE|2\r")
    assert queue(connection.store) == {"ris": [RIS], "pacs": [HEAD_OUT + b"ZZZ|edited\r"]}


def test_a_template_edited_under_way_waits_for_the_next_connection(receive, convert_d):
    convert_d("ris", TO_RIS)
    connection = receive("--messages=0")
    connection.peer.ask(M)
    convert_d("ris", "{broken")
    assert connection.peer.ask(M + b"NTE|2\r").code == "AA"
    assert connection.finish() == 0
    assert queue(connection.store) == {"ris": [RIS, RIS]}


# --- content ------------------------------------------------------------------------------------

def test_other_delimiters_become_the_templates(convert, convert_d):
    convert_d("ris", "{to ris}\n" + HEAD + "PID|1||{PID-3}||{PID-5}|{PID-5.2}\n")
    payload = (b"MSH#*@!%#LAB####20260102##ORU*R01#ID1#P#2.5\r"
               b"PID#1##A*B%C@D##O|Hara^&~!F!x*T!S!w\\\r")
    connection = convert(payload)
    assert connection.store.messages() == [payload]
    assert queue(connection.store) == {"ris": [
        HEAD_OUT + b"PID|1||A^B&C~D||O\\F\\Hara\\S\\\\T\\\\R\\#x^T*w\\E\\|T*w\\E\\\r"]}


def test_the_senders_delimiters(convert, convert_d):
    convert_d("ris", "{to ris}\n{delimiters source}\nMSH|^~\\&|B|{MSH-10}\nPID|1||{PID-3}^X\n")
    payload = b"MSH#*@!%#LAB####20260102##ORU*R01#ID1#P#2.5\rPID#1##A*B%C@D\r"
    assert queue(convert(payload).store) == {"ris": [b"MSH#*@!%#B#ID1\rPID#1##A*B%C@D*X\r"]}


def test_scope(convert, convert_d):
    """A result without an OBX never shows another's."""
    convert_d("ris", "{to ris}\n" + HEAD + "{each OBR}\nOBR|{n}|{OBR-3}|{OBX-5}|{PID-3.1}\n"
              "{each OBX}\nOBX|{n}|{OBX-5}|{OBR-3}\n{end}\n{end}\n")
    payload = b"\r".join([header("ID1"), b"PID|1||P1", b"OBR|1||A", b"OBR|2||B",
                          b"OBX|1|TX|||B1", b"OBX|2|TX|||B2", b"OBR|3||C", b"NTE|1",
                          b"OBR|4||D", b"OBX|1|TX|||D1", b""])
    assert queue(convert(payload).store) == {"ris": [
        HEAD_OUT + b"OBR|1|A||P1\rOBR|2|B|B1|P1\rOBX|1|B1|B\rOBX|2|B2|B\r"
        b"OBR|3|C||P1\rOBR|4|D|D1|P1\rOBX|1|D1|D\r"]}


PASSED = [
    M, M.replace(CR, b"\n"), M.replace(CR, b"\r\n"), M[:-1], M + CR * 3,
    M + bytes(b for b in range(256) if b not in (0x0b, 0x1c)),
    M.replace(b"|", b"#").replace(b"^~\\&", b"*@!%"),
    M + b"ZZZ|\\X0D\\ \\ \\F {MSH-10} {{ }}\r",
]


@pytest.mark.parametrize("payload", PASSED, ids=["CR", "LF", "CRLF", "no end", "blank lines",
                                                 "all bytes", "delimiters", "escapes"])
def test_pass_through_byte_for_byte(convert, convert_d, payload):
    convert_d("all", "# passes it on\n{to archive}\n{message}\n")
    connection = convert(payload)
    assert queue(connection.store) == {"archive": [payload]}
    assert connection.store.messages() == [payload]


def test_tables_and_dates(convert, convert_d, tables):
    tables("sex", "F\tW\nM\tM\n")
    convert_d("ris", "{to ris}\n" + HEAD + 'PID|{PID-8:map(sex)}|{PID-7:date("%d.%m.%Y")}\n')
    assert queue(convert().store) == {"ris": [HEAD_OUT + b"PID|W|03.02.1901\r"]}


def test_charset(convert, convert_d):
    convert_d("ris", "{to ris}\n{charset 8859/1}\n" + HEAD + "PID|{PID-5}\n")
    payload = message("ID1", charset="UNICODE UTF-8").replace(b"CANARYNAME", "Müller".encode())
    [result] = queue(convert(payload).store)["ris"]
    assert b"PID|M\xfcller^CANARYGIVEN\r" in result


# --- messages that no template wants ------------------------------------------------------------

OTHER = '{when MSH-9.1 == "ADT"}\n' + TO_RIS


@pytest.mark.parametrize("options", [(), ("--unmatched=accept",)], ids=["default", "accept"])
def test_unmatched_is_accepted(convert, convert_d, options):
    convert_d("adt", OTHER)
    connection = convert(M, *options)
    assert connection.store.messages() == [M]
    assert queue(connection.store) == {"ris": []}
    check_log(connection.log, ["message stored: AA sent"])
    assert "HL7_QUEUED" not in connection.log[0]


@pytest.mark.parametrize("accept, code", [("", "AR"), ("AL", "CR")])
def test_unmatched_is_rejected(refuse, convert_d, accept, code):
    convert_d("adt", OTHER)
    refuse(message("ID1", accept=accept), code, "unmatched", [("MSH^1^9", "200")],
           "--unmatched=reject")


def test_unmatched_without_any_template(refuse):
    refuse(M, "AR", "unmatched", [("MSH^1^9", "200")], "--unmatched=reject")


def test_matched_is_not_rejected(convert, convert_d):
    convert_d("adt", OTHER)
    convert_d("oru", HEAD)  # wants it, although it goes nowhere
    assert convert(M, "--unmatched=reject").store.messages() == [M]


# --- values that are refused --------------------------------------------------------------------

@pytest.mark.parametrize("accept, code", [("", "AE"), ("AL", "CE"), ("ER", "CE"), ("SU", "AE")])
def test_required(refuse, convert_d, accept, code):
    convert_d("ok", TO_RIS)
    convert_d("strict", "{to other}\n" + HEAD + "# a comment\nPV1|{PV1-19:required}\n")
    _, reason, log = refuse(message("ID1", accept=accept), code, "value-refused",
                            [("PV1^1^19", "101")])
    assert "template: strict.hl7t\n" in reason
    assert re.search(r"^value: PV1\^1\^19 \(template line 4\): ", reason, re.M), reason
    assert log["HL7_TEMPLATE"] == "strict.hl7t"


def test_the_occurrence_of_the_segment(refuse, convert_d):
    """Counted in the whole message, as a reader of the message counts."""
    convert_d("ris", "{to ris}\n" + HEAD + "{each OBR}\n{each OBX}\nOBX|{OBX-5:required}\n"
              "{end}\n{end}\n")
    refuse(message("ID1", extra=("OBR|2", "OBX|1|TX|||X", "OBX|2|TX", "OBR|3", "OBX|1|TX|||Y")),
           "AE", "value-refused", [("OBX^3^5", "101")])


def test_several_refused_values_are_told_at_once(refuse, convert_d, tables):
    tables("codes", "A\tB\n")
    convert_d("ris", "{to ris}\n" + HEAD + 'PID|{PID-18:required}|{PID-5:date("%Y")}\n'
              "{each OBX}\nOBX|{OBX-14:required}\n{end}\nOBR|{OBR-4:map(codes)}\n")
    answer, reason, _ = refuse(
        message("ID1", extra=("OBX|2",)), "AE", "value-refused",
        [("PID^1^18", "101"), ("PID^1^5", "102"), ("OBX^1^14", "101"), ("OBX^2^14", "101"),
         ("OBR^1^4", "103")])
    assert answer["MSA-3"], "the first one's text"
    assert re.findall(r"^value: (\S+) \(template line (\d+)\)", reason, re.M) == [
        ("PID^1^18", "3"), ("PID^1^5", "3"), ("OBX^1^14", "5"), ("OBX^2^14", "5"),
        ("OBR^1^4", "7")]


def test_more_refused_values_than_are_told(refuse, convert_d):
    convert_d("ris", "{to ris}\n" + HEAD + "{each OBX}\nOBX|{OBX-14:required}\n{end}\n")
    refuse(message("ID1", extra=("OBX|2",) * 20), "AE", "value-refused",
           [(f"OBX^{n}^14", "101") for n in range(1, 9)])


@pytest.mark.parametrize("hole, expected", [
    ('{PID-5.1:date("%Y")}', ("PID^1^5^1^1", "102")),
    ("{PID-8:map(codes)}", ("PID^1^8", "103")),
    ("{OBX[2]-5.1:map(codes)}", ("OBX^2^5^1^1", "103")),
    ("{PID-3[2].1:required}", ("PID^1^3^2^1", "101")),
    ("{PID-99 or PV1-2:required}", ("PID^1^99", "101")),  # the one that was wanted
])
def test_one_refused_value(refuse, convert_d, tables, hole, expected):
    tables("codes", "A\tB\n")
    convert_d("ris", "{to ris}\n" + HEAD + f"PID|{hole}\n")
    refuse(message("ID1", extra=("OBX|2|TX|||CANARY",)), "AE", "value-refused", [expected])


def test_error_location_of_an_old_version(refuse, convert_d):
    """ERR-1, as 2.4 and older read it, beside ERR-2."""
    convert_d("ris", "{to ris}\n" + HEAD + "PV1|{PV1-19:required}\n")
    answer, _, _ = refuse(message("ID1", version="2.3.1"), "AE", "value-refused",
                          [("PV1^1^19", "101")])
    assert answer["ERR-1"].startswith(b"PV1^1^19^101&")


def test_a_byte_that_is_not_in_the_character_set(refuse, convert_d):
    convert_d("ris", "{to ris}\n{charset UTF-8}\n" + HEAD + "PID|{PID-5}\n")
    payload = message("ID1", charset="UNICODE UTF-8", extra=("OBX|2", "OBX|3|TX|||CANARY\udcff"))
    assert b"\xff" in payload
    _, reason, _ = refuse(payload, "AE", "value-refused", [("OBX^3^5", "102")])
    assert "template: ris.hl7t\n" in reason
    assert re.search(r"^value: OBX\^3\^5", reason, re.M)
    assert "line 0" not in reason


def test_a_refusal_is_kept_byte_for_byte(refuse, convert_d):
    convert_d("ris", "{to ris}\n" + HEAD + "PV1|{PV1-19:required}\n")
    payload = M + bytes(b for b in range(256) if b not in (0x0b, 0x1c)) + b"\n"
    refuse(payload, "AE", "value-refused", [("PV1^1^19", "101")])


def test_the_next_message_is_taken(receive, convert_d):
    convert_d("ris", "{to ris}\n" + HEAD + "PV1|{PV1-3:required}\n")
    connection = receive("--messages=0")
    good, next_good = (message(i, extra=("PV1|1||WARD",)) for i in ("ID1", "ID2"))
    assert [connection.peer.ask(p).code for p in (good, M, next_good)] == ["AA", "AE", "AA"]
    assert connection.finish() == 0
    assert queue(connection.store) == {
        "ris": [HEAD_OUT.replace(b"ID1", i) + b"PV1|WARD\r" for i in (b"ID1", b"ID2")]}
    assert connection.store.messages() == [good, next_good]
    assert rejected(connection.store)[0] == M


def test_a_refusal_is_answered_by_a_template_of_ack_d(refuse, convert_d, ack_d):
    convert_d("ris", "{to ris}\n" + HEAD + "PV1|{PV1-3:required}\n")
    ack_d("mine", "MSH|^~\\&|MINE|||||ACK|{id}\nMSA|{ack.code}|{MSH-10}\n"
          "{each error}\nERR||{error.location}|{error.code}\n{end}\n")
    answer, _, _ = refuse(M, "AE", "value-refused", [("PV1^1^3", "101")])
    assert answer["MSH-3"] == b"MINE"


@pytest.mark.parametrize("accept, code", [("", "AR"), ("AL", "CR")])
def test_a_result_over_the_limit(refuse, convert_d, accept, code):
    convert_d("big", "{to ris}\n{message}\n")
    _, reason, log = refuse(message("ID1", filler=1000, accept=accept), code, "result-too-large",
                            [("", "207")], "--max-result=1000")
    assert "template: big.hl7t\n" in reason
    assert log["HL7_TEMPLATE"] == "big.hl7t"


def test_the_limit_is_for_each_result(convert, convert_d):
    convert_d("big", "{to a b c}\n{message}\n")
    payload = message("ID1", filler=1000)
    connection = convert(payload, f"--max-result={len(payload)}")
    assert queue(connection.store) == {n: [payload] for n in "abc"}


# --- templates that do not work -----------------------------------------------------------------

BROKEN = [
    ("{to ris}\nMSH|^~\\&|{PDI-3}\n", r"t.hl7t:2:\d+: error: .*PID"),
    ("{to ris}\nMSH|^~\\&|{PID-3\n", r"t.hl7t:2:\d+: error: "),
    ("{to ris}\n{each OBX}\nMSH|^~\\&|\n", r"t.hl7t:\d+:\d+: error: "),
    ("{to ../evil}\n" + HEAD, r"t.hl7t:1:5: error: a destination's name"),
    ("{to ..}\n" + HEAD, r"t.hl7t:1:5: error: a destination's name"),
    ("{to .}\n" + HEAD, r"t.hl7t:1:5: error: a destination's name"),
    ("{to a/b}\n" + HEAD, r"t.hl7t:1:\d+: error: a destination's name"),
    ("{to ris /tmp}\n" + HEAD, r"t.hl7t:1:9: error: a destination's name"),
    ("{to ris\0x}\n" + HEAD, r"t.hl7t:1:\d+: error: "),
    ("{to ris\\}\n" + HEAD, r"t.hl7t:1:\d+: error: "),
    ("{to " + "x" * 65 + "}\n" + HEAD, r"t.hl7t:1:5: error: .*at most 64"),
    ("{to " + " ".join(f"D{n}" for n in range(33)) + "}\n" + HEAD, r"t.hl7t:1:\d+: error: .*32"),
    ("{to ris}\n" + HEAD + "PID|{PID-8:map(sex)}\n", r"t.hl7t:3:\d+: error: .*sex"),
    ("{to ris}\n" + HEAD + "MSA|{ack.code}\n", r"t.hl7t:3:\d+: error: "),
]


def check_broken(connection, expected, accept):
    """AR/CR 207 for a message; nothing is stored; told with its place; status 78."""
    answer = connection.peer.ask(message("ID1", accept=accept))
    assert (answer.code, errors(answer)) == ("CR" if accept else "AR", [("", "207")])
    assert connection.finish() == EXIT_CONFIG
    assert connection.store.names() == []
    assert not (connection.store.path / "rejected").exists()
    assert not any(queue(connection.store).values())
    assert any(re.search(expected, e.text) for e in connection.log), connection.log
    assert connection.log[-1]["HL7_OUTCOME"] == "template-broken"


@pytest.mark.parametrize("accept", ["", "AL"])
@pytest.mark.parametrize("text, expected", BROKEN, ids=range(len(BROKEN)))
def test_a_template_that_does_not_compile(receive, convert_d, tmp_path, text, expected, accept):
    convert_d("a", TO_RIS)
    convert_d("t", text)
    check_broken(receive(), re.escape(str(convert_d.path)) + "/" + expected, accept)
    outside = {p.name for p in tmp_path.iterdir()}
    assert outside <= {"convert.d", "store", "logs"}, outside
    assert {p.name for p in (tmp_path / "store").rglob("*")} <= {".order", "received", "queue", "ris"}


@pytest.mark.parametrize("text, expected", [
    (b"F W\n", r"sex.tsv:1:1: error: a tab"),
    (b"# sexes\nF\tW\nF\tX\n", r"sex.tsv:3:1: error: .*already"),
])
def test_a_broken_table(receive, convert_d, tables, text, expected):
    tables("sex", text)
    convert_d("t", "{to ris}\n" + HEAD + "PID|{PID-8:map(sex)}\n")
    check_broken(receive(), re.escape(str(tables.path)) + "/" + expected, "")


def test_a_template_that_cannot_be_read(receive, convert_d):
    convert_d.path.mkdir()
    (convert_d.path / "t.hl7t").mkdir()
    check_broken(receive(), r"/t\.hl7t:\d+:\d+: error: the file cannot be read", "")


def test_templates_that_are_no_folder(receive, convert_d):
    convert_d.path.write_text("in the way")
    check_broken(receive(), "the conversion templates cannot be read", "")


def test_a_broken_template_is_mended(receive, convert, convert_d):
    convert_d("ris", "{to ris}\n{broken}\n")
    check_broken(receive(), "ris.hl7t:2:", "")
    convert_d("ris", TO_RIS)
    assert queue(convert().store) == {"ris": [RIS]}


def test_other_files_are_no_templates(convert, convert_d):
    convert_d("ris", TO_RIS)
    for name in ("ris.hl7t~", ".hidden.hl7t", "README", "old.hl7t.disabled"):
        (convert_d.path / name).write_text("{broken")
    assert queue(convert().store) == {"ris": [RIS]}


# --- without a store, or with one that fails ----------------------------------------------------

def test_no_store(receive, convert_d, tmp_path):
    convert_d("ris", TO_RIS)
    connection = receive("--no-store", store_options=())
    assert connection.peer.ask(M).code == "AA"
    assert connection.finish() == 0
    assert {p.name for p in tmp_path.iterdir()} == {"convert.d", "logs"}
    check_log(connection.log, ["message stored: AA sent"])
    assert not {"HL7_QUEUED", "HL7_STORE_NAME"} & set(connection.log[0])


def test_no_store_refuses_all_the_same(receive, convert_d, tmp_path):
    convert_d("ris", "{to ris}\n" + HEAD + "PV1|{PV1-3:required}\n")
    connection = receive("--no-store", store_options=())
    assert errors(connection.peer.ask(M)) == [("PV1^1^3", "101")]
    assert connection.finish() == 0
    assert {p.name for p in tmp_path.iterdir()} == {"convert.d", "logs"}


def check_storage_failed(connection, store, code="AR"):
    """Never a positive answer, and nothing of it counts."""
    connection.peer.read_to_end()
    answers = acks(connection.peer.received)
    assert [(a.code, errors(a)) for a in answers] == ([(code, [("", "207")])] if code else [])
    assert connection.finish() == EXIT_IO
    assert connection.log[-1]["HL7_OUTCOME"] == "storage-failed"
    assert "HL7_QUEUED" not in connection.log[-1]
    assert store.names() == []


@pytest.mark.parametrize("way", ["queue", "queue/ris"])
def test_a_queue_that_cannot_be_made(receive, store, convert_d, way):
    convert_d("ris", TO_RIS)
    path = store.path / way
    path.parent.mkdir(parents=True)
    path.write_text("in the way")
    connection = receive()
    connection.peer.send(frame(M))
    check_storage_failed(connection, store)
    assert path.read_text() == "in the way"


@pytest.mark.parametrize("how, code", [("reject", "AR"), ("error", "AE"), ("close", None)])
def test_full_disk(receive, small_disk, convert_d, how, code):  # noqa: F811
    convert_d("ris", TO_RIS)
    convert_d("zall", "{to archive}\n{message}\n")
    store = Store(small_disk.path(small_disk.disk / "store"))
    small_disk.run('mkdir -p "$1/store/received" "$1/store/queue/ris" "$1/store/queue/archive"',
                   small_disk.disk)
    fill(small_disk)
    connection = receive(f"--on-storage-error={how}", wrapper=small_disk.enter,
                         store_options=small_disk.store_options)
    connection.peer.send(frame(message("ID1", filler=8192)))
    check_storage_failed(connection, store, code)
    assert queue(store) == {"archive": [], "ris": []}


def test_disk_that_fills_up_between_the_entries(receive, small_disk, convert_d):  # noqa: F811
    """The received file and some entries find their room, the last one does not."""
    convert_d("all", "{to a b c d e}\n{message}\n")
    connection = receive("--messages=0", wrapper=small_disk.enter,
                         store_options=small_disk.store_options)
    assert connection.peer.ask(message("ID1", filler=60_000)).code == "AR"
    assert connection.peer.ask(M).code == "AA"
    assert connection.finish() == EXIT_IO
    store = Store(small_disk.path(small_disk.disk / "store"))
    assert store.messages() == [M]
    assert queue(store) == {n: [M] for n in "abcde"}


@pytest.mark.parametrize("made", ["received queue/ris", "received queue", "received", "."])
def test_read_only_disk(receive, small_disk, convert_d, made):  # noqa: F811
    """Told as such, also where the folders are missing."""
    convert_d("ris", TO_RIS)
    small_disk.run('mkdir "$1/store"; cd "$1/store"; mkdir -p $2; mount -o remount,ro "$1"',
                   small_disk.disk, made)
    connection = receive(wrapper=small_disk.enter, store_options=small_disk.store_options)
    connection.peer.send(frame(M))
    check_storage_failed(connection, Store(small_disk.path(small_disk.disk / "store")))
    assert connection.log[-1]["ERRNO"] == "30"


def test_queue_of_another_user(receive, world_path):
    if os.geteuid() != 0:
        pytest.skip("root is needed to become another user")
    need("setpriv")
    shutil.copy2(RECEIVE, world_path / "hl7-receive")  # also where the build is not public
    store = Store(world_path / "store")
    for name in ("received", "queue/ris"):
        (store.path / name).mkdir(parents=True)
    os.chown(store.path / "received", 65534, 65534)
    (store.path / "received").chmod(0o700)
    (store.path / "queue" / "ris").chmod(0o755)
    templates = writer(world_path / "convert.d", ".hl7t")
    templates("ris", TO_RIS)
    user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
    connection = receive(f"--convert-templates={templates.path}",
                         f"--ack-templates={world_path}/ack.d", f"--tables={world_path}/tables",
                         wrapper=user, store_options=(f"--store={store.path}",))
    connection.peer.send(frame(M))
    check_storage_failed(connection, store)
    assert connection.log[-1]["ERRNO"] == "13"
    assert queue(store) == {"ris": []}


# --- when the cause is gone ---------------------------------------------------------------------

def check_recovers(connect_once, store, breaks, repairs, errno):
    """One message goes in; then the store is broken: the next is refused and leaves nothing behind;
    then it is whole again: the same message goes in, once."""
    payload, before = message("ID2", filler=8192), message("ID1")
    assert [a.code for a in connect_once(before).answers] == ["AA"]
    first = (store.names(), store.hidden(""), store.entries("ris"))
    breaks()
    connection = connect_once(payload)
    assert [(a.code, errors(a)) for a in connection.answers] == [("AR", [("", "207")])]
    assert connection.status == EXIT_IO
    assert (connection.log[-1]["HL7_OUTCOME"], connection.log[-1]["ERRNO"]) == (
        "storage-failed", str(errno))
    assert not {"HL7_QUEUED", "HL7_STORE_NAME"} & set(connection.log[-1])
    repairs()
    assert (store.names(), store.hidden(""), store.entries("ris")) == first, "nothing half done"
    later, again = connect_once(payload), connect_once(payload)
    assert [a.code for a in later.answers] == ["AA"]
    assert later.log[-1]["HL7_OUTCOME"] == "stored"
    assert again.answers[0].raw == later.answers[0].raw
    assert store.messages() == [before, payload]
    assert len(store.entries("ris")) == 2


@pytest.fixture
def connect_once(receive):
    """One message over a connection of its own: the connection, ended, with its answers."""

    def connect_once(payload, *options, **more):
        connection = receive(*options, **more)
        connection.peer.send(frame(payload))
        connection.peer.read_to_end()
        connection.answers = acks(connection.peer.received)
        connection.status = connection.finish()
        return connection

    return connect_once


@pytest.mark.parametrize("cause", ["full", "read-only"])
def test_a_disk_that_gets_well(connect_once, small_disk, convert_d, cause):  # noqa: F811
    convert_d("ris", TO_RIS)
    breaks, repairs, errno = {
        "full": (lambda: fill(small_disk),
                 lambda: small_disk.run('rm "$1/filler"', small_disk.disk), 28),
        "read-only": (lambda: small_disk.run('mount -o remount,ro "$1"', small_disk.disk),
                      lambda: small_disk.run('mount -o remount,rw "$1"', small_disk.disk), 30),
    }[cause]
    check_recovers(
        lambda payload: connect_once(payload, wrapper=small_disk.enter,
                                     store_options=small_disk.store_options),
        Store(small_disk.path(small_disk.disk / "store")), breaks, repairs, errno)


@pytest.mark.parametrize("folder", [".", "received", "queue/ris"])
def test_a_store_that_gets_its_owner_back(connect_once, world_path, folder):
    """It belonged to another user for a while, all of it or a part."""
    if os.geteuid() != 0:
        pytest.skip("root is needed to become another user")
    need("setpriv")
    shutil.copy2(RECEIVE, world_path / "hl7-receive")  # also where the build is not public
    store = Store(world_path / "store")
    store.path.mkdir()
    os.chown(store.path, 65534, 65534)
    templates = writer(world_path / "convert.d", ".hl7t")
    templates("ris", TO_RIS)
    user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]

    def give_to(uid):
        for path in [store.path / folder, *(store.path / folder).rglob("*")]:
            os.chown(path, uid, uid, follow_symlinks=False)

    check_recovers(
        lambda payload: connect_once(
            payload, f"--convert-templates={templates.path}", f"--ack-templates={world_path}/ack.d",
            f"--tables={world_path}/tables", wrapper=user, store_options=(f"--store={store.path}",)),
        store, lambda: give_to(0), lambda: give_to(65534), 13)


# --- the one commit -----------------------------------------------------------------------------

CALLS = ("openat", "write", "fsetxattr", "fsync", "linkat", "utimensat")
STEP = re.compile(rf"({'|'.join(CALLS)})\(")

# Three entries in two queues beside the received file: what each of the calls does for them.
N_FILES, N_QUEUES = 4, 2


@pytest.fixture
def two_queues(convert_d):
    convert_d("1", TO_RIS)
    convert_d("2", "{to archive ris}\n{message}\n")
    return {"archive": [M], "ris": [RIS, M]}


def old_store(path):
    """A store whose folders are there since long: they need no sync themselves."""
    for name in ("received", "queue/ris", "queue/archive"):
        (path / name).mkdir(parents=True)
    for folder in (path / "queue", path, path.parent):
        os.utime(folder, (0, 0))
    return Store(path)


def run_traced(logs, store, command, trace, *strace):
    """One message over a connection under strace; the connection, ended."""
    need("strace")
    # as an inetd would: LISTEN_PID would name strace. It and the leak sanitizer exclude each other
    env = environment(ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0")
    line = ["strace", "-y", "-o", trace, *strace,
            *command(store_options=(f"--store={store.path}",))]
    connection = Connection(line, logs.new("strace"), store.path, env=env)
    connection.peer.send(frame(M))
    with contextlib.suppress(ConnectionResetError):
        connection.peer.half_close()
    connection.peer.read_to_end()
    connection.status = connection.finish()
    return connection


def read_trace(path):
    return path.read_text(encoding="latin-1").splitlines()


def steps_of(logs, command, tmp_path):
    """The steps of a commit: (call, its number among all of its kind in the process)."""
    (tmp_path / "first").mkdir()
    store = old_store(tmp_path / "first" / "store")
    run_traced(logs, store, command, tmp_path / "first" / "trace", "-e", "trace=" + ",".join(CALLS))
    counts, steps = collections.Counter(), []
    for line in read_trace(tmp_path / "first" / "trace"):
        found = STEP.match(line)
        if not found:
            continue
        call = found.group(1)
        counts[call] += 1
        if call == "openat" and "O_TMPFILE" not in line:
            continue
        if str(store.path) in line:
            steps.append((call, counts[call]))
    assert collections.Counter(c for c, _ in steps) == {
        "openat": N_FILES, "write": N_FILES, "fsetxattr": 1, "fsync": N_FILES + N_QUEUES + 1,
        "linkat": 2 + N_FILES, "utimensat": 1}
    return steps


def test_all_is_on_disk_before_the_answer(logs, tmp_path, command, two_queues):
    """Each file synced, the entries linked and their folders synced, the received file linked and
    its folder synced; only then is anything sent."""
    store = old_store(tmp_path / "store")
    connection = run_traced(logs, store, command, tmp_path / "trace", "-e",
                            "trace=" + ",".join(CALLS) + ",sendto")
    assert [a.code for a in acks(connection.peer.received)] == ["AA"]
    assert queue(store) == two_queues
    lines = read_trace(tmp_path / "trace")
    root = re.escape(str(store.path))
    linked = rf'linkat\(.*<{root}/received>, "\d'  # not the hidden name, which says that it begins
    for folder, n in (("ris", 2), ("archive", 1)):
        place = rf"{root}/queue/{folder}"
        one = (rf"openat\(\d+<{place}>.*O_TMPFILE.* = \d+", rf"write\(\d+<{place}/.* = \d+",
               rf"fsync\(\d+<{place}/.*\) += 0", rf"linkat\(.*<{place}>.* = 0")
        places(lines, *one * n, rf"fsync\(\d+<{place}>\) += 0",
               rf"{linked}.* = 0", rf"fsync\(\d+<{root}/received>\) += 0", r"sendto\(")
    order = places(lines, rf"fsync\(\d+<{root}/received/.*\) += 0",
                   rf"{linked}.* = 0", rf"fsync\(\d+<{root}/received>\) += 0",
                   r"sendto\(")
    queued = [i for i, line in enumerate(lines)
              if re.match(rf"(write|fsync|linkat)\(.*{root}/queue/", line)]
    assert max(queued) < order[1], "no entry is touched once the received file is linked"
    assert [i for i, line in enumerate(lines) if line.startswith("sendto(")] == [order[3]]
    n_files = sum(bool(re.match(rf"fsync\(\d+<{root}/(received|queue/\w+)/", s)) for s in lines)
    assert n_files == N_FILES


def test_new_queues_are_synced_into_their_folders(logs, tmp_path, command, two_queues):
    connection = run_traced(logs, Store(tmp_path / "store"), command, tmp_path / "trace",
                            "-e", "trace=fsync,mkdirat,sendto")
    assert [a.code for a in acks(connection.peer.received)] == ["AA"]
    assert queue(connection.store) == two_queues
    lines = read_trace(tmp_path / "trace")
    root = re.escape(str(tmp_path / "store"))
    places(lines, r'mkdirat\(.*"queue", 0750\) = 0', rf"fsync\(\d+<{root}>\) += 0", r"sendto\(")
    for name in two_queues:
        places(lines, rf'mkdirat\(\d+<{root}/queue>, "{name}", 0750\) = 0',
               rf"fsync\(\d+<{root}/queue>\) += 0", r"sendto\(")


ERROR_OF = {"openat": "EMFILE", "write": "ENOSPC", "fsetxattr": "EIO", "fsync": "EIO",
            "linkat": "EDQUOT", "utimensat": "EIO"}


def test_a_failing_step_is_never_answered_positively(logs, tmp_path, command, two_queues):
    """Every step of the commit fails in turn, by strace's fault injection."""
    steps = steps_of(logs, command, tmp_path)
    steps.remove([s for s in steps if s[0] == "linkat"][-1])  # the note of the control id: without it
    for n, (call, when) in enumerate(steps):                  # a message is taken all the same
        folder = tmp_path / f"{n}-{call}-{when}"
        folder.mkdir()
        store = old_store(folder / "store")
        inject = f"inject={call}:error={ERROR_OF[call]}:when={when}"
        connection = run_traced(logs, store, command, folder / "trace", "-e", inject)
        assert "(INJECTED)" in "\n".join(read_trace(folder / "trace")), folder.name
        assert [a.code for a in acks(connection.peer.received)] == ["AR"], folder.name
        assert connection.status == EXIT_IO, folder.name
        assert connection.log[-1]["HL7_OUTCOME"] == "storage-failed", folder.name
        # also when received/ itself cannot be synced: what was linked is removed again
        assert store.messages() == [], folder.name
        assert queue(store) == {"archive": [], "ris": []}, folder.name
        assert store.hidden("k") == [], folder.name
        again = run_traced(logs, store, command, folder / "trace")
        assert [a.code for a in acks(again.peer.received)] == ["AA"], folder.name
        assert (store.messages(), queue(store)) == ([M], two_queues), folder.name


def check_whole(store, whole):
    """Nothing but whole commits: an entry counts if its received file is there."""
    received = store.names()
    assert store.messages() == [M] * len(received)
    counting = collections.defaultdict(list)
    for path in sorted((store.path / "queue").glob("*/*")):
        if ENTRY.match(path.name).group(1) + ".hl7" in received:
            counting[path.parent.name].append(path.read_bytes())
    assert counting == {k: v * len(received) for k, v in whole.items() if received}


def test_killed_at_any_step(logs, tmp_path, command, two_queues):
    """SIGKILL at each step: no answer, nothing half of it counts, and a resend is taken."""
    committed = 0
    for n, (call, when) in enumerate(steps_of(logs, command, tmp_path)):
        folder = tmp_path / f"{n}-{call}-{when}"
        folder.mkdir()
        store = old_store(folder / "store")
        inject = f"inject={call}:signal=KILL:when={when}"
        connection = run_traced(logs, store, command, folder / "trace", "-e", inject)
        assert "killed by SIGKILL" in read_trace(folder / "trace")[-1], folder.name
        assert connection.peer.received == b"", folder.name
        assert connection.status != 0, folder.name
        check_whole(store, two_queues)
        committed += len(store.names())
        again = run_traced(logs, store, command, folder / "trace")
        assert [a.code for a in acks(again.peer.received)] == ["AA"], folder.name
        check_whole(store, two_queues)
        assert (store.messages(), len(store.hidden("k"))) == ([M], 1), folder.name
    assert committed <= 3, "only the link of the received file commits"


def test_entries_that_cannot_be_removed_do_not_count(logs, tmp_path, command, two_queues):
    """The link in received/ fails, and then the entries cannot be taken away either."""
    linkats = [when for call, when in steps_of(logs, command, tmp_path) if call == "linkat"]
    store = old_store(tmp_path / "store")
    connection = run_traced(logs, store, command, tmp_path / "trace",
                            "-e", f"inject=linkat:error=EIO:when={linkats[-2]}",
                            "-e", "inject=unlinkat:error=EIO")
    assert [a.code for a in acks(connection.peer.received)] == ["AR"]
    assert queue(store) == two_queues, "they are there"
    check_whole(store, two_queues)
    assert store.names() == []


def test_a_message_that_cannot_be_removed_keeps_its_entries(logs, tmp_path, command, two_queues):
    """received/ cannot be synced, nor the message taken away: it was not acknowledged, but if it
    counts, so do its entries, as a resend is answered with an AA."""
    syncs = [when for call, when in steps_of(logs, command, tmp_path) if call == "fsync"]
    store = old_store(tmp_path / "store")
    connection = run_traced(logs, store, command, tmp_path / "trace",
                            "-e", f"inject=fsync:error=EIO:when={syncs[-1]}",
                            "-e", "inject=unlinkat:error=EROFS:when=1")
    assert [a.code for a in acks(connection.peer.received)] == ["AR"]
    check_whole(store, two_queues)
    again = run_traced(logs, store, command, tmp_path / "trace")
    assert [a.code for a in acks(again.peer.received)] == ["AA"]
    assert (store.messages(), queue(store)) == ([M], two_queues)


def test_a_refusal_that_cannot_be_kept(logs, tmp_path, command, convert_d):
    """The peer has its message, and is told so: the answer is the same."""
    convert_d("ris", "{to ris}\n" + HEAD + "PV1|{PV1-3:required}\n")
    for call in ("linkat", "write", "mkdirat"):
        folder = tmp_path / call
        folder.mkdir()
        store = old_store(folder / "store")
        inject = f"inject={call}:error=ENOSPC"
        if call == "write":
            inject = f"inject={call}:error=ENOSPC:when=1"
        elif call == "mkdirat":
            inject = f"inject={call}:error=ENOSPC:when=5"
        connection = run_traced(logs, store, command, folder / "trace", "-e", inject)
        assert "(INJECTED)" in "\n".join(read_trace(folder / "trace")), call
        [answer] = acks(connection.peer.received)
        assert (answer.code, errors(answer)) == ("AE", [("PV1^1^3", "101")]), call
        assert "a refused message cannot be kept" in connection.log_text, call
        assert "HL7_STORE_NAME" not in connection.log[-1], call
        assert list((store.path / "rejected").glob("*.hl7") if call != "mkdirat" else []) == []
        assert store.names() == [] and queue(store)["ris"] == []
