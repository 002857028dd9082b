# SPDX-License-Identifier: MIT
"""Acknowledgements, through the program: codes, fields, delimiters, ERR, and templates in ack.d."""
import datetime
import re
import threading

import pytest

from hl7test import (CR, EXIT_CONFIG, SAMPLES, TEMPLATES, Ack, acks, frame, header, message,
                     split_frames, no_samples)

ID = re.compile(rb"[0-9A-Z]{1,20}\Z")
NOW = re.compile(rb"\d{14}[+-]\d{4}\Z")


def answers_to(connection, *payloads):
    """Sends all, shuts down writing, and returns all answers; the process must end well."""
    for payload in payloads:
        connection.peer.send(frame(payload))
    connection.peer.half_close()
    connection.peer.read_to_end()
    assert connection.finish() == 0
    return acks(connection.peer.received)


@pytest.fixture
def ask(receive):
    """The one answer to a message over a connection of its own, or None."""

    def ask(payload, *options):
        answers = answers_to(receive(*options), payload)
        assert len(answers) <= 1
        return answers[0] if answers else None

    return ask


# --- codes --------------------------------------------------------------------------------------

BAD = ""  # an empty MSH-10: a content error

# mode, MSH-15, MSH-16, code of an accepted message, code of one with a content error
MODES = [
    ("auto", "", "", "AA", "AE"),
    ("auto", "NE", "AL", "AA", "AE"),
    ("auto", "NE", "NE", "AA", "AE"),
    ("auto", "AL", "NE", "CA", "CE"),
    ("auto", "AL", "AL", "CA", "CE"),
    ("auto", "AL", "", "CA", "CE"),
    ("auto", "ER", "NE", "AA", "CE"),
    ("auto", "SU", "NE", "CA", "AE"),
    ("auto", "xx", "", "AA", "AE"),
    ("auto", "", "AL", "AA", "AE"),
    ("original", "AL", "NE", "AA", "AE"),
    ("enhanced", "", "", "CA", "CE"),
    ("enhanced", "NE", "NE", "CA", "CE"),
    ("strict", "", "", "AA", "AE"),
    ("strict", "AL", "NE", "CA", "CE"),
    ("strict", "NE", "AL", "AA", "AE"),
    ("strict", "NE", "NE", "", ""),
    ("strict", "ER", "NE", "", "CE"),
    ("strict", "SU", "NE", "CA", ""),
    ("strict", "NE", "ER", "", "AE"),
    ("strict", "NE", "SU", "AA", ""),
]


@pytest.mark.parametrize("mode, accept, application, good, bad", MODES)
def test_code(receive, mode, accept, application, good, bad):
    fields = {"accept": accept, "application": application}
    payload = message("ID1", **fields)
    connection = receive("--messages=0", f"--ack-mode={mode}")
    answers = answers_to(connection, payload, message(BAD, **fields))
    assert [a.code for a in answers] == [code for code in (good, bad) if code]
    assert connection.store.messages() == [payload]
    assert [e["HL7_OUTCOME"] for e in connection.log] == ["stored", "no-control-id"]
    assert [e.get("HL7_ACK", "") for e in connection.log] == [good, bad]


@pytest.mark.parametrize("accept, code", [("", "AR"), ("AL", "CR"), ("ER", "CR"), ("SU", "AR"),
                                          ("NE", "AR"), ("xx", "AR")])
def test_code_of_a_rejection(ask, accept, code):
    answer = ask(message("ID1", filler=1000, accept=accept), "--max-message=1K")
    assert answer.code == code
    assert answer.error() == ("", "207")


# --- fields -------------------------------------------------------------------------------------

def test_fields(ask):
    answer = ask(message("ID1", app="LAB^1.2.3^ISO", fac="A&1^B~C", to_app="RIS^X", to_fac="HOSP^Y",
                         mode="P^T", version="2.5.1^FRA^2.5.1", charset="UNICODE UTF-8~8859/1"))
    assert answer["MSH-3"] == b"RIS^X"
    assert answer["MSH-4"] == b"HOSP^Y"
    assert answer["MSH-5"] == b"LAB^1.2.3^ISO"
    assert answer["MSH-6"] == b"A&1^B~C"
    assert NOW.match(answer["MSH-7"])
    assert answer["MSH-8"] == b""
    assert answer["MSH-9"] == b"ACK^R01^ACK"
    assert ID.match(answer["MSH-10"])
    assert answer["MSH-11"] == b"P^T"
    assert answer["MSH-12"] == b"2.5.1^FRA^2.5.1"
    assert [answer[f"MSH-{n}"] for n in range(13, 18)] == [b""] * 5
    assert answer["MSH-18"] == b"UNICODE UTF-8~8859/1"
    assert answer.code == "AA"
    assert answer.control_id == b"ID1"
    assert [s[0] for s in answer.segments] == [b"MSH", b"MSA"]


def test_time_is_now(ask):
    answer = ask(message())
    told = datetime.datetime.strptime(answer["MSH-7"].decode(), "%Y%m%d%H%M%S%z")
    assert abs(datetime.datetime.now(datetime.timezone.utc) - told).total_seconds() < 30


@pytest.mark.parametrize("version, kind, expected", [
    ("2.1", "ORU^R01", "ACK"),
    ("2.2", "ORU^R01", "ACK"),
    ("2.3", "ORU^R01", "ACK^R01"),
    ("2.3.1", "ADT^A04", "ACK^A04"),
    ("2.3.z", "ADT^A04", "ACK^A04"),
    ("2.4", "ADT^A04", "ACK^A04^ACK"),
    ("2.5.1", "ORU^R01^ORU_R01", "ACK^R01^ACK"),
    ("2.8", "ORU^R01^ORU_R01", "ACK^R01^ACK"),
    ("2.4^^^", "ORU^R01", "ACK^R01^ACK"),
    ("2.5^FRA^2.5", "ORU^R01", "ACK^R01^ACK"),
    ("", "ORU^R01", "ACK"),
    ("1.0", "ORU^R01", "ACK"),
    ("2.", "ORU^R01", "ACK"),
    ("two", "ORU^R01", "ACK"),
    ("2.5", "ORU", "ACK"),
    ("2.5", "ORU^", "ACK"),
    ("2.5", "", "ACK"),
])
def test_message_type_by_version(ask, version, kind, expected):
    answer = ask(message("ID1", version=version, kind=kind))
    assert answer["MSH-9"].decode() == expected
    assert answer["MSH-12"].decode() == version


def test_shortest_header(ask):
    answer = ask(b"MSH|^~\\&|||||||A" + CR)
    assert (answer.code, answer.error()) == ("AE", ("MSH^1^10", "101"))
    answer = ask(b"MSH|^~\\&||||||||I")
    assert (answer.code, answer.control_id) == ("AA", b"I")
    assert [answer[f"MSH-{n}"] for n in (3, 4, 5, 6, 11, 12)] == [b""] * 6


@pytest.mark.parametrize("sep, chars", [
    ("|", "^~\\&"), ("|", "^~\\&#"), ("|", "^~\\"), ("#", "^~\\@"), ("*", "^~\\&"), ("!", "$%?+"),
    ("|", "@~&#\\"), (":", "^~\\&#"),
])
def test_delimiters_of_the_sender(receive, sep, chars):
    comp = chars[0]
    fields = {"sep": sep, "chars": chars, "kind": f"ORU{comp}R01", "app": f"LAB{comp}1.2"}
    good, bad = answers_to(receive("--messages=0"), message("ID1", **fields), message("", **fields))
    for answer in (good, bad):
        assert answer["MSH-1"].decode() == sep
        assert answer["MSH-2"].decode() == chars
        assert answer["MSH-5"].decode() == f"LAB{comp}1.2"
        assert answer["MSH-9"].decode() == f"ACK{comp}R01{comp}ACK"
    assert (good.code, good.control_id) == ("AA", b"ID1")
    assert bad.code == "AE"
    assert bad["ERR-2"].decode() == f"MSH{comp}1{comp}10"
    assert bad["ERR-3"].decode() == f"101{comp}Required field missing{comp}HL70357"


@pytest.mark.parametrize("chars", ["", "^", "^~", "^~\\&#%", "^^\\&", "abcd", "^~\\\x01"], ids=repr)
def test_unusable_delimiters_are_answered_with_the_usual_ones(ask, chars):
    answer = ask(header("ID1", chars=chars, kind="ORU^R01") + CR)
    assert (answer.code, answer.control_id) == ("AA", b"ID1")
    assert answer["MSH-2"] == b"^~\\&"


@pytest.mark.parametrize("control_id", [
    "X" * 300, "X" * 5000, "a^b~c\\d&e", "4\\5", "\\F\\ \\X0D\\", "A B", "$HOME %s%n {0-9} {{",
    "\u00c4\u2713", "\udce4\udcff", "<&>\"'", "\x07\x7f\x01", "a\0b", " blanks around ",
    '""', "-1", "#",
], ids=lambda c: ascii(c)[:30])
def test_control_id_byte_for_byte(ask, control_id):
    answer = ask(message(control_id))
    assert answer.code == "AA"
    assert answer.control_id == control_id.encode("utf-8", "surrogateescape")


def test_line_feed_in_a_control_id_cannot_begin_a_segment(ask):
    """Where a segment follows it, the sender has mixed LF and CR; else it is data, and escaped."""
    answer = ask(message("ID1\nMSA|AA|FORGED"))
    assert answer.count("MSA") == 1
    assert answer.control_id == b"ID1"
    answer = ask(message("ID1\nFORGED"))
    assert answer.control_id == b"ID1\\X0A\\FORGED"


@pytest.mark.parametrize("control_id", ["", " ", "   "], ids=repr)
def test_empty_control_id(receive, control_id):
    connection = receive()
    answer, = answers_to(connection, message(control_id))
    assert (answer.code, answer.error()) == ("AE", ("MSH^1^10", "101"))
    assert connection.store.messages() == []


def test_control_ids_of_answers_are_unique(receive):
    """Of 200 processes at the same time."""
    connections = [receive("--no-store", store_options=()) for _ in range(200)]
    threads = [threading.Thread(target=c.peer.send, args=(frame(message()),)) for c in connections]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ids = set()
    for connection in connections:
        answer, = connection.peer.read_frames(1)
        assert ID.match(answer["MSH-10"])
        ids.add(answer["MSH-10"])
        assert connection.finish() == 0
    assert len(ids) == 200


def test_control_ids_of_one_connection_are_unique(receive):
    answers = answers_to(receive("--messages=0", "--no-store", store_options=()),
                         *[message()] * 500)
    assert len({a["MSH-10"] for a in answers}) == 500


# --- errors -------------------------------------------------------------------------------------

@pytest.mark.parametrize("version", ["2.1", "2.3", "2.4"])
def test_error_segment_up_to_2_4(ask, version):
    answer = ask(message("", version=version))
    assert answer["ERR-1"] == b"MSH^1^10^101&Required field missing"
    assert answer["MSA-3"]
    assert len(answer["MSA-3"]) <= 80


@pytest.mark.parametrize("version", ["2.5", "2.5.1", "2.9", ""])
def test_error_segment_from_2_5_on(ask, version):
    answer = ask(message("", version=version))
    assert answer["ERR-1"] == b""
    assert answer["ERR-2"] == b"MSH^1^10"
    assert answer["ERR-3"] == b"101^Required field missing^HL70357"
    assert answer["ERR-4"] == b"E"
    assert answer["ERR-8"] == answer["MSA-3"] != b""


REFUSED = [
    # name, payload, outcome, MSA-2, ERR-2, ERR-3
    ("two messages in a frame", message("ID1") + message("ID2"), "several-messages", b"ID1",
     "MSH^2", "100"),
    ("batch", b"FHS|^~\\&\rBHS|^~\\&\r" + message("ID1") + b"BTS|1\rFTS|1\r",
     "batch", b"ID1", "MSH^1", "100"),
    ("batch of two", b"BHS|^~\\&" + CR + message("ID1") + message("ID2") + b"BTS|2" + CR, "batch",
     b"ID1", "MSH^1", "100"),
    ("another segment first", b"PID|1" + CR + message("ID1"), "header-not-first", b"ID1", "MSH^1",
     "100"),
    ("text first", b"hello" + CR + message("ID1"), "header-not-first", b"ID1", "MSH^1", "100"),
]


@pytest.mark.parametrize("name, payload, outcome, control_id, location, error", REFUSED,
                         ids=[r[0] for r in REFUSED])
def test_refused(receive, name, payload, outcome, control_id, location, error):
    """Never answered positively, never stored, and the next message is welcome."""
    connection = receive("--messages=0")
    bad, good = answers_to(connection, payload, message("ID9"))
    assert (bad.code, bad.control_id) == ("AE", control_id)
    assert bad.error() == (location, error)
    assert (good.code, good.control_id) == ("AA", b"ID9")
    assert connection.store.messages() == [message("ID9")]
    assert [e["HL7_OUTCOME"] for e in connection.log] == [outcome, "stored"]


# --- what is taken ------------------------------------------------------------------------------

TAKEN = [
    ("LF line ends", message("ID1", end=b"\n")),
    ("CRLF line ends", message("ID1", end=b"\r\n")),
    ("no end of the last segment", message("ID1")[:-1]),
    ("byte order mark", b"\xef\xbb\xbf" + message("ID1")),
    ("blank lines first", b"\r\n\r" + message("ID1")),
    ("blank lines between", message("ID1", end=b"\r\r\n\r")),
    ("blanks at the ends of segments", message("ID1").replace(CR, b"  " + CR)),
    ("separators at the ends of segments", message("ID1").replace(CR, b"|" + CR)),
    ("only a header", header("ID1") + CR),
    ("unknown segments", message("ID1", extra=["ZZZ|1|x", "zz1", "wrapped text", "DSC|1"])),
    ("an LF inside a field", message("ID1", extra=["NTE|1||one\ntwo\nMSH|^~\\&|x"])),
    ("a response that is no acknowledgement", message("ID1", kind="RSP^K22", extra=["MSA|AA|Q1"])),
    ("bytes of no character set", message("ID1", extra=["NTE|1||\udcff\udcfe\udc80"])),
    ("MSH inside a field", message("ID1", extra=["NTE|1||MSH|^~\\&|x"])),
]


@pytest.mark.parametrize("name, payload", TAKEN, ids=[t[0] for t in TAKEN])
def test_taken(receive, name, payload):
    connection = receive()
    answer, = answers_to(connection, payload)
    assert (answer.code, answer.control_id) == ("AA", b"ID1")
    assert connection.store.messages() == [payload]


@pytest.mark.parametrize("kind", ["ACK", "ACK^R01", "ACK^R01^ACK"])
def test_an_acknowledgement_is_stored_and_never_answered(receive, kind):
    payload = header("ID1", kind=kind, accept="AL", application="AL") + CR + b"MSA|AA|Q1" + CR
    connection = receive("--messages=0")
    answer, = answers_to(connection, payload, message("ID2"))
    assert answer.control_id == b"ID2"
    assert connection.store.messages() == [payload, message("ID2")]
    assert [e["HL7_OUTCOME"] for e in connection.log] == ["acknowledgement-received", "stored"]


def test_an_acknowledgement_with_a_fault_is_not_answered_either(receive):
    connection = receive()
    assert answers_to(connection, header("", kind="ACK") + CR + b"MSA|AA|Q1" + CR) == []


# --- templates in ack.d -------------------------------------------------------------------------

MINIMAL = """\
MSH|^~\\&|SENDING_APP|SENDING_FACILITY|{0-2}|{0-3}|{now}||ACK|{id}|P|2.4||||||UNICODE UTF-8
MSA|AA|{0-9}
"""

MISALIGNED = MINIMAL.replace("{now}", "||20230403111111").replace("{id}", "{0-9}")


def sample_oru():
    path = SAMPLES / "oru_r01.hl7"
    if not path.exists():
        no_samples()
    return path.read_bytes()


def own_oru():
    return message("ORU20260102030405006", app="Sender App", fac="A Hospital")


@pytest.mark.parametrize("payload", [own_oru, sample_oru], ids=["own", "sample"])
@pytest.mark.parametrize("text", [MINIMAL, MISALIGNED], ids=["minimal", "misaligned"])
def test_minimal_templates_filled_by_hand(ask, ack_d, payload, text):
    payload = payload()
    ack_d("minimal", text)
    raw = ask(payload).raw
    msh = payload.split(CR)[0].split(b"|")
    by_hand = text.encode().replace(b"\n", CR)
    for hole, value in ((b"{0-2}", msh[2]), (b"{0-3}", msh[3]), (b"{0-9}", msh[9])):
        by_hand = by_hand.replace(hole, value)
    fields = raw.split(CR)[0].split(b"|")
    if b"{now}" in by_hand:
        assert NOW.match(fields[6]) and ID.match(fields[9])
        by_hand = by_hand.replace(b"{now}", fields[6]).replace(b"{id}", fields[9])
    assert raw == by_hand


def test_shipped_minimal_template(ask, ack_d):
    ack_d("minimal", (TEMPLATES / "ack-minimal.hl7t").read_text(encoding="utf-8"))
    answer = ask(message("ID1"))
    assert answer.raw.startswith(b"MSH|^~\\&|SENDING_APP|SENDING_FACILITY|LAB|")
    assert (answer.code, answer.control_id) == ("AA", b"ID1")


def test_shipped_template_as_an_override_changes_nothing(receive, ack_d):
    def without_times(answer):
        return [f for s in answer.segments for i, f in enumerate(s)
                if s[0] != b"MSH" or i not in (7, 10)]

    payloads = [message("ID1"), message(""), message("ID2", sep="#", chars="^~\\@")]
    built_in = answers_to(receive("--messages=0"), *payloads)
    ack_d("ack", (TEMPLATES / "ack.hl7t").read_text(encoding="utf-8"))
    from_file = answers_to(receive("--messages=0"), *payloads)
    assert [without_times(a) for a in built_in] == [without_times(a) for a in from_file]


@pytest.mark.parametrize("payload, options, code", [
    (message(""), (), "AE"),
    (message("ID1", accept="AL"), (), "CA"),
    (message("ID1", filler=1000), ("--max-message=1K",), "AR"),
], ids=["content error", "enhanced mode", "rejection"])
def test_template_with_a_code_of_its_own_answers_nothing_else(ask, ack_d, payload, options, code):
    ack_d("minimal", MINIMAL)
    answer = ask(payload, *options)
    assert answer.code == code
    assert b"SENDING_APP" not in answer.raw


@pytest.mark.parametrize("text", [
    'MSH|^~\\&|X||||{now}||ACK|{id}|P|2.4\nMSA|{"AA"}|{MSH-10}\n',
    "MSH|^~\\&|X||||{now}||ACK|{id}|P|2.4\nMSA|A{MSH-11 or \"A\"}|{MSH-10}\n",
    "MSH|^~\\&|X||||{now}||ACK|{id}|P|2.4\nMSA|AA|{MSH-10}\nMSA|{ack.code}|{MSH-10}\n",
    "MSH|^~\\&|X||||{now}||ACK|{id}|P|2.4\n",
    "MSA|AA|{MSH-10}\n",
    "{message}\n",
], ids=["code from a text hole", "code from the message", "two MSA", "no MSA", "no MSH", "echo"])
def test_no_template_can_say_what_is_not_so(ask, ack_d, text):
    ack_d("liar", text)
    answer = ask(message("", mode="A"))
    assert answer.code == "AE"
    assert b"|X|" not in answer.raw


def test_a_sender_cannot_choose_the_code(ask, ack_d):
    """A message that holds an MSA of its own is not echoed as an answer to itself."""
    ack_d("echo", "{message}\n")
    answer = ask(message("", kind="RSP^K22", extra=["MSA|AA|Q1"]))
    assert answer.code == "AE"
    assert answer.error() == ("MSH^1^10", "101")


def test_first_template_that_applies(receive, ack_d):
    text = "MSH|^~\\&|{name}|||{{MSH-4}}|{{now}}||ACK|{{id}}|P|2.4\nMSA|{{ack.code}}|{{MSH-10}}\n"
    ack_d("20-any", text.format(name="ANY"))
    ack_d("10-lab", '{when MSH-3 == "LAB"}\n' + text.format(name="FOR-LAB"))
    ack_d("05-rad", '{when MSH-3 in ("RAD", "CT")}\n' + text.format(name="FOR-RAD"))
    answers = answers_to(receive("--messages=0"), message("1", app="LAB"), message("2", app="RAD"),
                         message("3", app="PATH"), message("", app="LAB"))
    assert [a["MSH-3"] for a in answers] == [b"FOR-LAB", b"FOR-RAD", b"ANY", b"FOR-LAB"]
    assert [a.code for a in answers] == ["AA", "AA", "AA", "AE"]


def test_template_changed_between_two_connections(ask, ack_d):
    for name in ("ONE", "TWO"):
        ack_d("minimal", MINIMAL.replace("SENDING_APP", name))
        assert ask(message(name))["MSH-3"] == name.encode()
    (ack_d.path / "minimal.hl7t").unlink()
    assert ask(message("THREE"))["MSH-3"] == b"RIS"


def test_files_that_are_no_templates(ask, ack_d):
    ack_d("x", "{broken")
    (ack_d.path / "x.hl7t").rename(ack_d.path / "x.hl7t.bak")
    ack_d(".hidden", "{broken")
    (ack_d.path / "README").write_text("{broken")
    assert ask(message()).code == "AA"


BROKEN = [
    # text, line:column, what the message says
    ("MSH|^~\\&|{MSH-5\nMSA|AA|{MSH-10}\n", "1:10"),
    ("# a comment\n\nMSH|^~\\&|{MSH-5}\nMSA|AA|{MSH10}\n", "4:"),
    ("MSH|^~\\&|A\nMSA|AA|{PID-5(1)}\n", "2:"),
    ("{if MSH-3}\nMSH|^~\\&|A\nMSA|AA|{MSH-10}\n", "1:"),
    ("MSH|^~\\&|A\nMSA|AA|{nonsense}\n", "2:"),
]


@pytest.mark.parametrize("text, place", BROKEN)
def test_broken_template(receive, ack_d, text, place):
    """The message is refused, not lost: its sender can send it again, when all is mended."""
    ack_d("mine", text)
    connection = receive()
    connection.peer.send(frame(message("ID1")))
    connection.peer.read_to_end()
    answer = Ack(split_frames(connection.peer.received)[0])
    assert (answer.code, answer.control_id, answer.error()) == ("AR", b"ID1", ("", "207"))
    assert connection.finish() == EXIT_CONFIG
    assert connection.store.messages() == []
    errors = [entry for entry in connection.log if ": error: " in entry.text]
    told, refused = errors[0], connection.log[-1]
    assert re.search(rf"/ack\.d/mine\.hl7t:{place}", told.text), told
    assert refused["HL7_OUTCOME"] == "template-broken"


def test_broken_template_and_no_message(receive, ack_d):
    """A port scan leaves nothing in the log, whatever is wrong with a template."""
    ack_d("broken", "MSH|^~\\&|{")
    connection = receive()
    assert connection.finish() == 0
    assert connection.log == []


def test_one_broken_template_of_two(receive, ack_d):
    """Also where the broken one would not have been used: nobody can know."""
    ack_d("10-good", MINIMAL)
    ack_d("20-broken", "MSH|^~\\&|{")
    connection = receive()
    connection.peer.send(frame(message("ID1")))
    answer, = connection.peer.read_frames(1)
    assert answer.code == "AR"
    assert connection.finish() == EXIT_CONFIG


def test_template_that_is_no_file(receive, ack_d):
    ack_d.path.mkdir()
    (ack_d.path / "x.hl7t").mkdir()
    connection = receive()
    connection.peer.send(frame(message("ID1")))
    assert connection.peer.read_frames(1)[0].code == "AR"
    assert connection.finish() == EXIT_CONFIG


def test_required_value_that_is_absent(receive, ack_d):
    """A content error with its place, and nothing stored."""
    ack_d("strict", "MSH|^~\\&|A||||{now}||ACK|{id}|P|2.4\n"
          "MSA|{ack.code}|{MSH-10}|{PV1-19:required}\n")
    connection = receive()
    answer, = answers_to(connection, message("ID1"))
    assert (answer.code, answer.control_id) == ("AE", b"ID1")
    assert answer.error() == ("PV1^1^19", "101")
    assert connection.store.messages() == []


def test_answer_with_frame_bytes_in_it_is_never_sent(receive, ack_d):
    """What no frame can carry is refused, not sent broken."""
    ack_d("bad", "MSH|^~\\&|A\x0bB||||{now}||ACK|{id}|P|2.4\nMSA|{ack.code}|{MSH-10}\n")
    connection = receive()
    connection.peer.send(frame(message("ID1")))
    connection.peer.read_to_end()
    for payload in split_frames(connection.peer.received):
        assert b"\x0b" not in payload and b"\x1c" not in payload
    connection.finish()


def test_answer_that_would_be_too_large(receive, ack_d):
    """The shipped template answers in its place: the message itself is fine."""
    ack_d("huge", "MSH|^~\\&|A||||{now}||ACK|{id}|P|2.4\nMSA|{ack.code}|{MSH-10}\n"
          + "NTE|1||{OBX-5}{OBX-5}{OBX-5}\n")
    payload = message("ID1", filler=400_000)
    connection = receive()
    connection.peer.send(frame(payload))
    connection.peer.read_to_end()
    answer, = acks(connection.peer.received)
    assert (answer.code, answer.count("NTE")) == ("AA", 0)
    assert connection.store.messages() == [payload]


def test_values_cannot_leave_their_field(ask, ack_d):
    """A sender with other delimiters puts ours into its data."""
    ack_d("mine", "MSH|^~\\&|A||{MSH-3}||{now}||ACK|{id}|P|2.4\nMSA|{ack.code}|{MSH-10}|{PID-5}\n")
    payload = header("I|D^1", sep="#", chars="@!\\%", app="L|A~B@C", kind="ORU@R01") + CR \
        + b"PID#1####x|y&z@w\\F\\!q" + CR
    answer = ask(payload)
    assert answer["MSH-5"] == b"L\\F\\A\\R\\B^C"
    assert answer.control_id == b"I\\F\\D\\S\\1"
    assert answer["MSA-3"] == b"x\\F\\y\\T\\z^w#~q"
