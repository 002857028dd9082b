# SPDX-License-Identifier: MIT
"""hl7-queue: each command, what its exit status says, and that it is right while messages flow."""
import collections
import contextlib
import fcntl
import hashlib
import os
import pathlib
import pwd
import re
import subprocess
import tempfile
import threading
import time

import pytest

import hl7test
from hl7test import BUILD, EXIT_NO_INPUT, EXIT_USAGE, environment, journal_file, message, missing, need

QUEUE = BUILD / "src" / "queue" / "hl7-queue"
HOUR, DAY = 3600, 86400
NO_LOGIN = 2**32 - 1

TEMPLATES = {
    "a-ris": "{to ris}\nMSH|^~\\&|B|H|||{MSH-7}||ORU^R01|{MSH-10}|P|2.5\nOBX|1||{OBX-3}||{OBX-5}\n",
    "b-pacs": "{to pacs}\nMSH|^~\\&|B|H|||{MSH-7}||ORU^R01|OF-{MSH-10}|P|2.5\n",
}


@pytest.fixture
def convert_d(tmp_path):
    folder = tmp_path / "convert.d"
    folder.mkdir()
    for name, text in TEMPLATES.items():
        (folder / f"{name}.hl7t").write_text(text)
    return folder


@pytest.fixture
def take(receive, convert_d):
    """Receives messages; each makes an entry for ris and one for pacs."""

    def take(*payloads):
        connection = receive("--messages=0", f"--convert-templates={convert_d}")
        answers = [connection.peer.ask(p) for p in payloads]
        assert connection.finish() == 0
        return answers

    return take


@pytest.fixture
def queue(run, store):
    """hl7-queue on this test's store: queue("list", "--failed").stdout as text."""

    def queue(*arguments, status=0, **options):
        done = run([QUEUE, f"--store={store.path}", *arguments], **options)
        done.text = done.stdout.decode()
        assert status is None or done.returncode == status, (done.returncode, done.text, done.told)
        return done

    return queue


def ids(done):
    return [line.split()[0] for line in done.text.splitlines()[1:]]


def found(done):
    """{severity: [(path, text)]} of check."""
    result = collections.defaultdict(list)
    for line in done.text.splitlines()[:-1]:
        severity, path, text = line.split(": ", 2)
        result[severity].append((path, text))
    return dict(result)


def clean(queue, **more):
    done = queue("check", "--deep", **more)
    assert done.text.endswith("0 errors, 0 warnings, 0 leftovers\n"), done.text


def age(store, seconds, keep=lambda name: False):
    """All that is in the store becomes older: by its names."""
    now = time.time() - seconds
    for path in [p for p in store.path.rglob("*") if re.match(r"20\d{6}T", p.name)]:
        if not keep(path.name):
            path = path.rename(path.with_name(older(path.name, now)))
            if path.parent.name == "received":
                keep_receipt(path)


def keep_receipt(path, answer=b"MSH|^~\\&|\rMSA|AA|1\r"):
    """A message's file tells its own name."""
    with contextlib.suppress(OSError):
        _, _, answer = os.getxattr(path, "user.hl7.receipt").partition(b"\n")
    with contextlib.suppress(OSError):  # a file system without attributes
        os.setxattr(path, "user.hl7.receipt", path.name.encode() + b"\n" + answer)


def older(name, at):
    return time.strftime("%Y%m%dT%H%M%S", time.gmtime(at)) + name[15:]


# --- what waits ---------------------------------------------------------------------------------

def test_an_empty_store(queue, store):
    store.path.mkdir(mode=0o750)
    assert queue("list").text == ""
    assert len(queue("status").text.splitlines()) == 1
    assert queue("check").text.startswith("0 received")
    queue("expire", "--keep-received=1d")
    queue("retry", "--all")


def test_no_store(queue):
    for command in ("list", "status", "check", "metrics"):
        assert "No such file" in queue(command, status=EXIT_NO_INPUT).told
    queue("expire", "--keep-received=1d", status=EXIT_NO_INPUT)


def test_list(queue, take):
    take(message("ID1"), message("ID2"))
    lines = [line.split() for line in queue("list").text.splitlines()]
    assert [line[0].split("/")[0] for line in lines[1:]] == ["pacs", "pacs", "ris", "ris"]
    assert [line[6] for line in lines[1:]] == ["OF-ID1", "OF-ID2", "ID1", "ID2"]
    assert {line[3] for line in lines[1:]} == {"waiting"}
    assert len(ids(queue("list", "--limit=3"))) == 3
    assert len(ids(queue("list", "--destination=ris"))) == 2
    assert queue("list", "--failed").text == ""
    queue("list", "--destination=nobody", status=EXIT_NO_INPUT)


def test_no_message_can_steer_a_terminal(queue, take, start):
    take(message("ID\x1b[2J", kind="A\x07B"))
    for text in queue("list").text, queue("why", ids(queue("list"))[0]).text:
        assert "\x1b" not in text and "\x07" not in text
    assert "ID\\x1b[2J" in queue("list").text
    script = hl7test.need("script")
    shown = subprocess.run([script, "-qec", f"{QUEUE} --store={take_path(queue)} show "
                            f"{ids(queue('list', '--destination=ris'))[0]}", "/dev/null"],
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True).stdout
    assert b"\x1b" not in shown and b"\\x1b[2J" in shown


def take_path(queue):
    return queue("list").args[1].removeprefix("--store=")


def test_show_is_byte_for_byte(queue, take, store):
    take(message("ID1"))
    for name in ids(queue("list")):
        path = store.path / "queue" / (name + ".hl7")
        assert queue("show", name).stdout == path.read_bytes()
        assert queue("show", name + ".hl7").stdout == path.read_bytes()
    received = store.names()[0]
    for name in received, received[:-4], "received/" + received:
        assert queue("show", name).stdout == message("ID1")


@pytest.mark.parametrize("name", ["", "x", "../../etc/passwd", "ris/../x", "/", "ris/", "a" * 500,
                                  "ris/20261123T201117.812810Z-1-1.000", "20261123T201117.812810Z-1-1",
                                  "rejected/20261123T201117.812810Z-1-1"])
def test_what_is_not_there(queue, take, name):
    take(message("ID1"))
    for command in "show", "why", "retry", "drop":
        done = queue(command, name, status=1)
        assert done.told.startswith("hl7-queue: ")


def test_why_waiting(queue, take):
    take(message("ID1"), message("ID2"))
    text = queue("why", "ID2").text
    assert "waiting since: " in text and "messages in front of it: 1\n" in text
    assert "forwarder: none ever ran" in text
    assert queue("why", ids(queue("list"))[0]).text.count("in front of it: 0") == 1
    queue("why", "ID", status=1)


def test_why_rejected(queue, take, store):
    take(message(""))
    name = sorted(os.listdir(store.path / "rejected"))[0][:-4]
    assert "no-control-id" in queue("why", f"rejected/{name}").text
    assert queue("show", f"rejected/{name}").stdout == message("")


# --- moving -------------------------------------------------------------------------------------

def test_drop_and_retry(queue, take, store):
    take(message("ID1"), message("ID2"))
    first, second = ids(queue("list", "--destination=ris"))
    before = (store.path / "queue" / (first + ".hl7")).read_bytes()
    assert queue("drop", first).text == "1 message moved to the failed ones\n"
    assert ids(queue("list", "--failed")) == [first]
    assert "dropped by the operator" in queue("list", "--failed").text
    assert "reason: dropped by the operator" in queue("why", first).text
    clean(queue)
    # nothing is deleted without being told twice
    assert "--yes" in queue("drop", first, status=1).told
    assert ids(queue("list", "--failed")) == [first]
    queue("retry", second, status=1)
    assert queue("retry", first).text == "1 message put back\n"
    assert ids(queue("list", "--destination=ris")) == [first, second]
    assert (store.path / "queue" / (first + ".hl7")).read_bytes() == before
    assert not list((store.path / "failed" / "ris").iterdir())
    clean(queue)


def test_drop_for_good(queue, take, store):
    take(message("ID1"))
    name = ids(queue("list", "--destination=ris"))[0]
    # what waits only moves
    assert queue("drop", "--yes", name).text == "1 message moved to the failed ones\n"
    assert ids(queue("list", "--failed")) == [name]
    assert queue("drop", "--yes", name).text == "1 message deleted for good\n"
    assert not list((store.path / "failed" / "ris").iterdir())
    assert len(store.names()) == 1
    clean(queue)


def test_drop_of_both_kinds(queue, take):
    take(message("ID1"), message("ID2"))
    first, second = ids(queue("list", "--destination=ris"))
    queue("drop", first)
    assert queue("drop", "--yes", first, second).text == \
        "1 message moved to the failed ones\n1 message deleted for good\n"


def test_all(queue, take):
    take(*(message(f"ID{n}") for n in range(5)))
    queue("drop", "--all", "--destination=ris")
    assert len(ids(queue("list", "--failed"))) == 5
    queue("drop", "--all")
    assert len(ids(queue("list", "--failed"))) == 10
    assert queue("retry", "--all", "--destination=pacs").text == "5 messages put back\n"
    assert queue("drop", "--all", "--failed", "--yes").text == "5 messages deleted for good\n"
    assert len(ids(queue("list"))) == 5


def test_retry_where_the_queue_has_no_folder(queue, take, store):
    take(message("ID1"))
    queue("drop", "--all")
    (store.path / "queue" / "ris").rmdir()
    assert queue("retry", "--all").text == "2 messages put back\n"


def test_retry_keeps_what_would_not_count(queue, take, store):
    take(message("ID1"))
    queue("drop", "--all")
    (store.path / "received" / store.names()[0]).unlink()
    assert "received message" in queue("retry", "--all", status=1).told
    assert len(ids(queue("list", "--failed"))) == 2


def test_what_is_in_hand_is_left_alone(queue, take, store):
    take(message("ID1"))
    name = ids(queue("list", "--destination=ris"))[0]
    with open(store.path / "queue" / (name + ".hl7"), "rb") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        assert "being worked on" in queue("drop", name, status=1).told
        assert queue("drop", "--all", status=1).text == "1 message moved to the failed ones\n"
        assert ids(queue("list", "--destination=ris")) == [name]
    queue("drop", name)


def test_export(queue, take, tmp_path, store):
    take(message("ID1"), message("ID2"))
    out = tmp_path / "out"
    queue("export", "--all", str(out), status=hl7test.EXIT_IO)
    out.mkdir()
    queue("drop", ids(queue("list"))[0])
    assert queue("export", "--all", str(out)).text == "4 messages exported\n"
    assert len(list(out.iterdir())) == 4
    assert all(p.stat().st_mode & 0o777 == 0o600 for p in out.iterdir())
    queue("export", ids(queue("list"))[0], str(out), status=71)  # nothing is written over
    for path in out.iterdir():
        path.unlink()
    queue("export", "--all", "--failed", str(out))
    assert len(list(out.iterdir())) == 1


@pytest.mark.parametrize("arguments", [
    [], ["nonsense"], ["list", "x"], ["list", "--yes"], ["status", "--limit=1"], ["drop"],
    ["drop", "--all", "x"], ["retry", "--destination=ris", "x"], ["drop", "--all", "--failed"],
    ["export"], ["export", "dir"], ["trace"], ["trace", "a", "b"], ["list", "--failed", "--waiting"],
    ["status", "--warn-age=soon"], ["expire", "--keep-received=-1d"],
    ["trace", "--no-journal", "--journal-file=x", "a"]])
def test_usage(queue, arguments):
    assert "--help" in queue(*arguments, status=EXIT_USAGE).told


def test_root_works_as_the_owner(queue, take, store, world_path):
    """Else a forwarder could not write into the folders that it made."""
    if os.geteuid() != 0:
        pytest.skip("not root")
    store.path = world_path / "store"
    take(message("ID1"))
    for path in [store.path, *store.path.rglob("*")]:
        os.chown(path, 65534, 65534, follow_symlinks=False)
    queue("drop", "--all")
    for path in store.path.rglob("*"):
        assert path.lstat().st_uid == 65534, path
    clean(queue)


# --- monitoring ---------------------------------------------------------------------------------

def test_status_exit(queue, take, store):
    take(message("ID1"), message("ID2"))
    queue("drop", ids(queue("list", "--destination=ris"))[0])
    for arguments, status in (
            ([], 0), (["--warn-age=1h", "--crit-age=2h"], 0), (["--warn-count=1"], 1),
            (["--warn-count=2"], 0), (["--warn-count=0", "--crit-count=1"], 2),
            (["--warn-failed=1"], 0), (["--warn-failed=0"], 1), (["--crit-failed=0"], 2),
            (["--crit-failed=0", "--destination=pacs"], 0)):
        queue("status", *arguments, status=status)
        queue("status", "--nagios", *arguments, status=status)
    age(store, 90 * 60)
    queue("status", "--warn-age=1h", "--crit-age=2h", status=1)
    queue("status", "--warn-age=1h", "--crit-age=80m", status=2)


def test_nagios_line(queue, take):
    take(message("ID1"))
    line = queue("status", "--nagios", "--warn-age=5m", "--crit-age=1h").text.splitlines()[0]
    assert re.match(r"HL7 OK - 2 destinations, 2 waiting, 0 failed \|", line)
    figures = re.findall(r" '([^'=]+)'=(\d+)(s?);(\d*);(\d*);0(?= |$)", line)
    assert [f[0] for f in figures] == [f"{d} {n}" for d in ("pacs", "ris")
                                       for n in ("oldest", "waiting", "failed")]
    assert figures[0][2:] == ("s", "300", "3600")
    line = queue("status", "--nagios", "--crit-count=0", status=2).text.splitlines()[0]
    assert line.startswith("HL7 CRITICAL - pacs: 1 waiting, oldest ")


def test_nagios_unknown(run, tmp_path):
    done = run([QUEUE, f"--store={tmp_path}/no", "status", "--nagios"])
    assert done.returncode == 3 and done.stdout.startswith(b"HL7 UNKNOWN - ")


STATE = """state: down
since: 1700000000000000
delivered: 12
failed: 3
retries: 7
last-delivery: 1700000001000000
last-error-at: 1700000002000000
last-error: connection refused
"""


def test_status_of_a_forwarder(queue, take, store):
    take(message("ID1"))
    state = store.path / "queue" / ".ris"
    state.write_text(STATE)
    row = queue("status", "--destination=ris").text.splitlines()[1]
    assert "stopped" in row and "connection refused (20" in row
    with open(state, "r+b") as f:
        fcntl.lockf(f, fcntl.LOCK_EX)  # POSIX and OFD locks conflict
        assert " down " in queue("status", "--destination=ris").text.splitlines()[1]
        assert "forwarder: down since" in queue("why", "ID1").text
    clean(queue)


def parse_metrics(text):
    try:
        from prometheus_client.openmetrics import parser
    except ImportError:
        missing("python3-prometheus-client is not installed")
    return {(s.name, s.labels.get("destination")): s.value
            for family in parser.text_string_to_metric_families(text) for s in family.samples}


def test_metrics(queue, take, store, tmp_path):
    take(message("ID1"), message("ID2"), message(""))
    queue("drop", ids(queue("list", "--destination=pacs"))[0])
    (store.path / "queue" / ".ris").write_text(STATE)
    values = parse_metrics(queue("metrics").text)
    assert values["hl7_queue_messages", "ris"] == 2
    assert values["hl7_queue_messages", "pacs"] == 1
    assert values["hl7_queue_failed_messages", "pacs"] == 1
    assert 0 < values["hl7_queue_oldest_seconds", "ris"] < 100
    assert values["hl7_forward_up", "ris"] == 0
    assert values["hl7_forward_running", "ris"] == 0
    assert values["hl7_forward_delivered_total", "ris"] == 12
    assert values["hl7_forward_failed_total", "ris"] == 3
    assert values["hl7_forward_retries_total", "ris"] == 7
    assert values["hl7_forward_last_delivery_timestamp_seconds", "ris"] == 1700000001
    assert ("hl7_forward_up", "pacs") not in values
    assert values["hl7_received_messages", None] == 2
    assert values["hl7_rejected_messages", None] == 1
    for name in "received", "rejected":
        assert 0 <= time.time() - values[f"hl7_{name}_last_timestamp_seconds", None] < 100
    assert values["hl7_store_free_bytes", None] > 0
    assert values["hl7_build_info", None] == 1

    path = tmp_path / "x.prom"
    path.write_text("old")
    queue("metrics", f"--output={path}")
    assert path.stat().st_mode & 0o777 == 0o644
    assert parse_metrics(path.read_text())["hl7_queue_messages", "ris"] == 2
    assert list(tmp_path.glob("x.prom*")) == [path]
    queue("metrics", f"--output={tmp_path}/no/x.prom", status=hl7test.EXIT_IO)
    os.mkfifo(tmp_path / "fifo")
    queue("metrics", f"--output={tmp_path}/fifo", status=hl7test.EXIT_IO)
    assert (tmp_path / "fifo").is_fifo(), "a device stays what it is"


def test_last_messages_in_figures(queue, take, store):
    """The youngest that is kept, whatever else lies there; none, no figure."""
    take(message("ID1"))
    age(store, 2 * HOUR)
    (store.path / "received" / "zzz.hl7").touch()
    (store.path / "received" / "zzz.txt").touch()
    values = parse_metrics(queue("metrics").text)
    assert ("hl7_rejected_last_timestamp_seconds", None) not in values
    assert 2 * HOUR - 5 < time.time() - values["hl7_received_last_timestamp_seconds", None] < 2 * HOUR + 100


def test_metrics_for_the_older_parser(queue, take):
    """node_exporter's: only types that it knows."""
    take(message("ID1"))
    types = set(re.findall(r"^# TYPE \S+ (\S+)$", queue("metrics").text, re.M))
    assert types == {"gauge", "counter"}


# --- tracing ------------------------------------------------------------------------------------

def test_trace_of_the_store(queue, take, store):
    take(message("ID1"), message("ID2"))
    stem = store.names()[0][:-4]
    queue("drop", f"ris/{stem}.000")
    for name in "ID1", "OF-ID1", stem, f"ris/{stem}.000":
        text = queue("trace", name, "--no-journal").text
        assert text.startswith(stem + "\n") and "ID2" not in text
        assert "store: received: ORU^R01 ID1 from LAB" in text
        assert f"store: converted for ris, failed: ris/{stem}.000" in text
        assert f"store: converted for pacs, waiting: pacs/{stem}.001" in text
        assert "store: failed for ris: dropped by the operator" in text
    queue("trace", "ID", "--no-journal", status=1)
    queue("trace", "ID1", "--no-journal", "--since=1h")
    age(store, 2 * HOUR)
    queue("trace", "ID1", "--no-journal", "--since=1h", status=1)


def test_trace_tells_nothing_of_the_patient(queue, take):
    take(message("ID1"))
    text = queue("trace", "ID1", "--no-journal").text + queue("list").text + queue("why", "ID1").text
    assert not any(canary in text for canary in hl7test.CANARIES)


def test_trace_of_the_journal(queue, take, store, tmp_path):
    take(message("ID1"))
    name = store.names()[0]
    path = journal_file(tmp_path, [
        {"MESSAGE": "message stored: AA sent", "SYSLOG_IDENTIFIER": "hl7-receive", "HL7_ACK": "AA",
         "HL7_CONTROL_ID": "ID1", "HL7_STORE_NAME": name, "HL7_QUEUED": 2},
        {"MESSAGE": "message stored: AA sent", "SYSLOG_IDENTIFIER": "hl7-receive",
         "HL7_CONTROL_ID": "ID2", "HL7_STORE_NAME": "20250101T000000.000000Z-1-1.hl7"},
        {"MESSAGE": "message delivered", "SYSLOG_IDENTIFIER": "hl7-forward", "HL7_ACK": "CA",
         "HL7_CONTROL_ID": "OTHER", "HL7_STORE_NAME": name, "HL7_DESTINATION": "ris"}])
    for what in "ID1", "OTHER":  # what was made of it, and is no longer there
        text = queue("trace", what, f"--journal-file={path}").text
        assert text.count("\n" + "  ") >= 5
        assert "hl7-receive: message stored: AA sent HL7_CONTROL_ID=ID1 HL7_ACK=AA HL7_QUEUED=2" in text
        assert "hl7-forward: message delivered HL7_DESTINATION=ris" in text
        times = [line[2:28] for line in text.splitlines() if line.startswith("  20")]
        assert times == sorted(times)
    # of what the store no longer has
    text = queue("trace", "ID2", f"--journal-file={path}").text
    assert text.startswith("20250101T000000.000000Z-1-1\n") and "it is no longer in the store" in text
    told = queue("trace", "ID3", f"--journal-file={path}", status=1).told
    assert "ID3: no message is known by it" in told and "journalctl" in told
    queue("trace", "ID1", f"--journal-file={tmp_path}/none", status=EXIT_NO_INPUT)


def test_trace_of_a_refused_message(queue, receive, store, tmp_path):
    """Why, with address and line of the template, without the journal."""
    folder = tmp_path / "strict.d"
    folder.mkdir()
    (folder / "ris.hl7t").write_text("{to ris}\nMSH|^~\\&|B|H|||{MSH-7}||ORU^R01|{MSH-10}|P|2.5\nPV1|{PV1-2:required}\n")
    connection = receive(f"--convert-templates={folder}")
    assert connection.peer.ask(message("ID1")).code == "AE"
    connection.finish()
    stem = next((store.path / "rejected").glob("*.hl7")).stem
    for name in "ID1", stem, f"rejected/{stem}":
        text = queue("trace", name, "--no-journal").text
        assert "store: rejected: ORU^R01 ID1 from LAB" in text
        assert "outcome: value-refused, answer: AE, reason: " in text and "template: ris.hl7t" in text
        assert re.search(r"store: refused: value: PV1\^1\^2\S* \(template line 3\): .*absent", text)
        assert "nothing of it waits or failed" in text
    for name in "ID1", stem, f"rejected/{stem}":
        text = queue("why", name).text
        assert text.startswith(f"rejected/{stem}: rejected\n") and "(template line 3)" in text
    queue("why", "ID2", status=1)


def test_trace_of_a_message_that_waits(queue, take, store):
    take(message("ID1"), message("ID2"))
    text = queue("trace", "ID2", "--no-journal").text
    assert "store: waits for ris, 1 in front of it; no forwarder ever ran" in text
    (store.path / "queue" / ".ris").write_text(
        "state: down\nsince: 1700000000000000\nlast-error: no connection: Connection refused\n")
    text = queue("trace", "ID2", "--no-journal").text
    assert re.search(r"waits for ris, 1 in front of it; the forwarder does not run, and was down since "
                     r"2023-11-1\d \S+: no connection: Connection refused\n", text), text


def test_trace_of_what_was_never_stored(queue, store, tmp_path):
    """The disk was full: it has no file's name, and is found by its control id."""
    store.path.mkdir(exist_ok=True)
    path = journal_file(tmp_path, [
        {"MESSAGE": "message store-full: AR sent", "SYSLOG_IDENTIFIER": "hl7-receive", "HL7_ACK": "AR",
         "HL7_CONTROL_ID": "ID9", "HL7_PEER": "10.0.0.1"}])
    text = queue("trace", "ID9", f"--journal-file={path}").text
    assert text.startswith("not in the store\n")
    assert "hl7-receive: message store-full: AR sent HL7_CONTROL_ID=ID9 HL7_ACK=AR HL7_PEER=10.0.0.1" in text


FORWARD_REPORT = (hl7test.SOURCE / "src/forward/report.c").read_text()


def forward_id(name):
    return re.search(rf'#define ID_{name}\s+"(\w+)"', FORWARD_REPORT)[1]


def test_trace_has_what_kept_it_waiting(queue, take, store, tmp_path):
    """When its destinations were down and came back; not others, and not later."""
    take(message("ID1"))
    name = store.names()[0]
    began = int(time.time()) * 1000000
    entries = [
        ("destination down", "DOWN", "ris"), ("destination down", "DOWN", "other"),
        ("destination back", "UP", "ris"), ("message delivered", "DELIVERED", "ris"),
        ("destination down", "DOWN", "ris")]
    for destination in "ris", "pacs":
        for entry in store.entries(destination):
            (store.path / "queue" / destination / entry).unlink()
    path = journal_file(tmp_path, [
        {"MESSAGE": text, "SYSLOG_IDENTIFIER": "hl7-forward", "MESSAGE_ID": forward_id(kind),
         "HL7_DESTINATION": destination, "__REALTIME_TIMESTAMP": began + 5000000 + n,
         **({"HL7_STORE_NAME": name, "HL7_CONTROL_ID": "ID1"} if kind == "DELIVERED" else {})}
        for n, (text, kind, destination) in enumerate(entries)])
    text = queue("trace", "ID1", f"--journal-file={path}").text
    told = re.findall(r"hl7-forward: (\w+ \w+) HL7_DESTINATION=(\w+)", text)
    assert told == [("destination down", "ris"), ("destination back", "ris"), ("message delivered", "ris")]


def operator():
    """Who logged in; where nobody did, or the kernel does not know, whose process this is."""
    try:
        login = int(pathlib.Path("/proc/self/loginuid").read_text())
    except FileNotFoundError:
        login = NO_LOGIN
    user = os.getuid() if login == NO_LOGIN else login
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


def test_operators_are_in_the_journal(run, take, store, journal):
    """Each entry names the message as the other programs do, and who it was."""
    take(message("ID1"))
    name = store.names()[0]
    entry = name.replace(".hl7", ".000.hl7")

    def queue(*arguments):
        done = run([*journal.enter, QUEUE, f"--store={store.path}", *arguments])
        assert done.returncode == 0, done.told

    queue("drop", f"ris/{entry}")
    queue("retry", f"ris/{entry}")
    queue("drop", f"ris/{entry}")
    queue("drop", "--yes", f"ris/{entry}")
    told = journal.entries(4)
    assert [e["MESSAGE"] for e in told] == [
        "message dropped by an operator", "message put back by an operator",
        "message dropped by an operator", "failed message deleted by an operator"]
    assert len({e["MESSAGE_ID"] for e in told}) == 3
    for e in told:
        assert e["SYSLOG_IDENTIFIER"] == "hl7-queue" and e["PRIORITY"] == "5"
        assert (e["HL7_DESTINATION"], e["HL7_CONTROL_ID"], e["HL7_MESSAGE_TYPE"]) == ("ris", "ID1", "ORU^R01")
        assert (e["HL7_STORE_NAME"], e["HL7_QUEUE_NAME"]) == (name, entry)
        assert e["HL7_OPERATOR"] == operator()
    queue("drop", f"pacs/{name.replace('.hl7', '.001.hl7')}")
    queue("drop", "--yes", "--all", "--failed")
    journal.entries(2)
    age(store, 40 * DAY)
    queue("expire", "--keep-received=30d", "--dry-run")
    journal.no_more()
    queue("expire", "--keep-received=30d")
    removed, = journal.entries(1)
    assert removed["MESSAGE"] == "old messages removed"
    assert (removed["HL7_RECEIVED"], removed["HL7_REJECTED"], removed["HL7_FAILED"]) == ("1", "0", "0")
    queue("expire", "--keep-received=30d")
    journal.no_more()


# --- check --------------------------------------------------------------------------------------

def entry_of(store, destination="ris"):
    return store.path / "queue" / destination / store.entries(destination)[0]


def write(path, data=b"x"):
    path.write_bytes(data)
    path.chmod(0o640)


def corrupt_both(store, queue):
    entry = entry_of(store)
    queue("drop", f"ris/{entry.name}")
    write(entry)


def corrupt_no_reason(store, queue):
    queue("drop", "--all", "--destination=ris")
    next((store.path / "failed" / "ris").glob("*.txt")).unlink()


def corrupt_lone_reason(store, queue):
    queue("drop", "--all", "--destination=ris")
    next((store.path / "failed" / "ris").glob("*.hl7")).unlink()


def corrupt_failed_without_received(store, queue):
    queue("drop", "--all")
    (store.path / "received" / store.names()[0]).unlink()


def corrupt_bytes(store, _queue):
    with open(store.path / "received" / store.names()[0], "r+b") as f:
        f.write(b"X")


def corrupt_twice(store, _queue):
    path = store.path / "received" / store.names()[0]
    again = older(path.name, 1700000000)
    write(path.parent / again, path.read_bytes())


def corrupt_unfinished(store, _queue):
    """As a crash before the commit leaves it."""
    (store.path / "received" / store.names()[0]).unlink()
    for note in store.hidden("i"):
        (store.path / "received" / note).unlink()


def corrupt_hard_link(store, _queue):
    path = store.path / "received" / store.names()[0]
    path.rename(store.path.parent / "elsewhere.hl7")


def note(store, name):
    """A note of a control id, of a message of which it is all that is left."""
    path = store.path / "received" / (".i" + "0" * 32)
    path.touch(mode=0o640)
    os.setxattr(path, "user.hl7.receipt", name.encode() + b"\nanswer")


CORRUPTIONS = {
    "in both folders": (corrupt_both, {"error": ["waits in the queue as well"]}),
    "failed without a reason": (corrupt_no_reason, {"error": ["its reason is not there"]}),
    "a reason without its message": (corrupt_lone_reason, {"leftover": ["a reason without"]}),
    "failed, and not received": (corrupt_failed_without_received, {
        "error": ["cannot be put back", "cannot be put back"],
        "leftover": [".k", ".i"]}),
    "removed by hand": (
        lambda s, q: (s.path / "received" / s.names()[0]).unlink(), {
            "error": ["never be delivered", "never be delivered"], "leftover": [".k", ".i"]}),
    "a commit that was not finished": (corrupt_unfinished, {
        "leftover": ["not finished", "not finished", ".k"]}),
    "other bytes": (corrupt_bytes, {"error": ["its bytes are not"]}),
    "stored twice": (corrupt_twice, {"error": ["is stored twice"], "warning": ["no .k name"]}),
    "a hard link elsewhere": (corrupt_hard_link, {
        "error": ["never be delivered", "never be delivered"], "leftover": [".k", ".i"]}),
    "no .k": (lambda s, q: [(s.path / "received" / n).unlink() for n in s.hidden("k")],
              {"warning": ["no .k name"]}),
    "an answer of none": (lambda s, q: write(s.path / "received" / (".a" + "0" * 32)),
                          {"leftover": [".a"]}),
    "a note of none": (lambda s, q: note(s, "20200101T000000.000000Z-1-1.hl7"), {"leftover": [".i"]}),
    "a note of nonsense": (lambda s, q: note(s, "/etc"), {"error": ["names no message"]}),
    "empty": (lambda s, q: os.truncate(entry_of(s), 0), {"error": ["is empty"]}),
    "a folder": (lambda s, q: entry_of(s).unlink() or entry_of_name(s).mkdir(0o750),
                 {"error": ["no regular file"]}),
    "readable by all": (lambda s, q: entry_of(s).chmod(0o644), {"warning": ["others"]}),
    "foreign in the store": (lambda s, q: (s.path / "x").touch(), {"warning": ["no file of"]}),
    "foreign in received": (lambda s, q: (s.path / "received/x\x1b").touch(),
                            {"warning": ["received/x\\x1b"]}),
    "foreign in queue": (lambda s, q: (s.path / "queue/a b").touch(), {"warning": ["queue/a b"]}),
    "foreign in a queue": (lambda s, q: (s.path / "queue/ris/x.tmp").touch(), {"warning": ["x.tmp"]}),
    "foreign in rejected": (lambda s, q: (s.path / "rejected/x").touch(), {"warning": ["rejected/x"]}),
    "refused without a reason": (lambda s, q: next((s.path / "rejected").glob("*.txt")).unlink(),
                                 {"error": ["its reason is not there"]}),
    "an old reason of a refused one": (lambda s, q: write(
        s.path / "rejected/20200101T000000.000000Z-1-1.txt"),
        {"leftover": ["a reason without"]}),
    "another owner": (lambda s, q: os.geteuid() == 0 and os.chown(entry_of(s), 65534, 65534)
                      or os.geteuid() != 0 and pytest.skip("not root"), {"error": ["another user"]}),
}


def entry_of_name(store):
    return store.path / "queue" / "ris" / (store.names()[0][:-4] + ".000.hl7")


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_check_finds(queue, take, store, name):
    corrupt, expected = CORRUPTIONS[name]
    take(message("ID1"), message(""))
    clean(queue)
    corrupt(store, queue)
    before = sorted(str(p) for p in store.path.rglob("*"))
    done = queue("check", "--deep", status=1 if "error" in expected else 0)
    told = found(done)
    assert {s: len(t) for s, t in told.items()} == {s: len(t) for s, t in expected.items()}, done.text
    for severity, texts in expected.items():
        lines = [f"{path}: {text}" for path, text in told[severity]]
        assert all(any(text in line for line in lines) for text in texts), lines
    assert sorted(str(p) for p in store.path.rglob("*")) == before


def test_leftovers_are_cleared_away(queue, take, store):
    take(message("ID1"))
    corrupt_unfinished(store, queue)
    assert "\n0 received, 0 rejected, 0 waiting, 0 failed: " in queue("check").text, "what does not count is not counted"
    queue("expire")
    clean(queue)
    assert not store.hidden("k") and not store.entries("ris")
    take(message("ID1"))
    assert len(store.names()) == 1


def test_a_commit_in_the_middle_is_nothing_wrong(queue, take, store):
    """With the lock of a claimed message, and that of its queue, as a receiver holds them."""
    take(message("ID1"))
    path = store.path / "received" / store.names()[0]
    with open(path, "rb") as claimed:
        fcntl.flock(claimed, fcntl.LOCK_EX)
        path.unlink()
        for note in store.hidden("i"):
            (store.path / "received" / note).unlink()
        told = found(queue("check"))
        assert not any(".k" in line for line, _ in told.get("leftover", []))
        queue("expire")
        assert store.hidden("k")
        folder = os.open(store.path / "queue" / "ris", os.O_RDONLY)
        os.close(folder)


def test_expire_leaves_the_entries_of_a_commit_in_the_middle(queue, take, store):
    take(message("ID1"))
    corrupt_unfinished(store, queue)
    folder = os.open(store.path / "queue" / "ris", os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_SH)
    queue("expire")
    assert len(store.entries("ris")) == 1 and not store.entries("pacs")
    os.close(folder)
    queue("expire")
    assert not store.entries("ris")


# --- expire -------------------------------------------------------------------------------------

def removed(done):
    match = re.search(r"(\d+) received, (\d+) rejected and (\d+) failed messages \((\d+) bytes\), "
                      r"(\d+) leftovers\n$", done.text)
    return tuple(map(int, match.groups()))


def deliver_all(store):
    for destination in "ris", "pacs":
        for name in store.entries(destination):
            (store.path / "queue" / destination / name).unlink()


def test_expire_by_age(queue, take, store):
    take(message("ID1"), message("ID2"), message(""))
    deliver_all(store)
    queue("expire", "--keep-received=1ms", "--keep-rejected=1ms")
    assert len(store.names()) == 2, "nothing that is younger than an hour goes"
    age(store, 3 * DAY)
    assert removed(queue("expire"))[:3] == (0, 0, 0), "by itself nothing goes"
    assert removed(queue("expire", "--keep-received=4d", "--keep-rejected=4d"))[:3] == (0, 0, 0)
    dry = removed(queue("expire", "--keep-received=2d", "--keep-rejected=2d", "--dry-run"))
    assert len(store.names()) == 2
    done = removed(queue("expire", "--keep-received=2d", "--keep-rejected=2d"))
    assert dry[:4] == done[:4] and done[:3] == (2, 1, 0) and done[3] > 0
    assert not os.listdir(store.path / "received"), "with all hidden names"
    assert not os.listdir(store.path / "rejected")
    clean(queue)
    take(message("ID1"))
    assert len(store.names()) == 1, "it is a new message again"


def test_expire_minds_what_waits_and_failed(queue, take, store):
    take(message("ID1"), message("ID2"), message("ID3"))
    waits, failed, _ = [n[:-4] for n in store.names()]
    queue("drop", f"pacs/{failed}.001")
    for path in list((store.path / "queue").glob("*/*.hl7")):
        if not path.name.startswith(waits):
            path.unlink()
    age(store, 100 * DAY)
    arguments = ["expire", "--keep-received=1d", "--max-received=1"]
    assert removed(queue(*arguments))[:3] == (1, 0, 0)
    assert len(store.names()) == 2 and len(store.hidden("k")) == 2 and len(store.hidden("i")) == 2
    clean(queue)
    queue("drop", "--all", "--failed", "--yes")
    assert removed(queue(*arguments))[:3] == (1, 0, 0)
    deliver_all(store)
    assert removed(queue(*arguments))[:3] == (1, 0, 0)
    clean(queue)


def test_expire_removes_nothing_when_it_cannot_see_what_waits(run, take, store, tmp_path):
    """Each reading of a folder fails in turn, by strace's fault injection: a queue that was not seen holds nothing."""
    take(message("ID1"), message("ID2"))
    age(store, 100 * DAY)
    before = store.names(), store.entries("ris"), store.entries("pacs")
    trace = tmp_path / "trace"
    for n in range(1, 100):
        done = run([need("strace"), "-o", trace, "-e", f"inject=getdents64:error=EIO:when={n}",
                    QUEUE, f"--store={store.path}", "expire", "--keep-received=1d"],
                   env=environment(ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"))
        assert (store.names(), store.entries("ris"), store.entries("pacs")) == before, n
        if "INJECTED" not in trace.read_text():
            break
        assert done.returncode != 0, n
    assert done.returncode == 0 and n > 10


def test_expire_by_size(queue, take, store):
    take(*(message(f"ID{n}", filler=40000) for n in range(5)))
    deliver_all(store)
    names = store.names()
    size = sum(max(p.stat().st_blocks * 512, p.stat().st_size)
               for p in (store.path / "received").glob("20*"))
    assert removed(queue("expire", "--max-received=1"))[0] == 0, "all are young"
    age(store, 2 * HOUR, keep=lambda name: name[:-4] == names[4][:-4])
    assert removed(queue("expire", f"--max-received={size}"))[0] == 0
    assert removed(queue("expire", f"--max-received={size - 1}"))[0] == 1
    assert removed(queue("expire", f"--max-received={size * 2 // 5}"))[0] == 2
    assert removed(queue("expire", "--max-received=1"))[0] == 1, "the youngest is younger than an hour"
    assert store.names() == [names[4]]
    clean(queue)


def test_expire_failed(queue, take, store):
    take(message("ID1"), message("ID2"))
    queue("drop", "--all", "--destination=ris")
    age(store, 10 * DAY)
    first, second = sorted((store.path / "failed" / "ris").glob("*.txt"))
    os.utime(first, (time.time() - 5 * DAY,) * 2)
    assert removed(queue("expire"))[2] == 0
    assert removed(queue("expire", "--keep-failed=4d", "--dry-run"))[2] == 1
    assert removed(queue("expire", "--keep-failed=4d"))[2] == 1
    assert sorted((store.path / "failed" / "ris").glob("*.txt")) == [second]
    clean(queue)


def test_expire_with_answers_in_files(queue, take, store):
    take(message("ID1"), message("ID2"))
    deliver_all(store)
    first, second = store.hidden("k")
    for name in first, second:
        (store.path / "received" / (".a" + name[2:])).write_bytes(b"MSH|")
    lone = store.path / "received" / (".a" + "0" * 32)
    young = store.path / "received" / (".a" + "1" * 32)
    for path in lone, young:
        path.write_bytes(b"MSH|")
    os.utime(lone, (time.time() - DAY,) * 2)
    age(store, 3 * DAY, keep=lambda name: name == store.names()[1])
    queue("expire", "--keep-received=1d")
    assert len(store.names()) == 1 and len(store.hidden("k")) == 1
    assert store.hidden("a") == sorted([".a" + store.hidden("k")[0][2:], young.name])


def test_only_one_expire(queue, store, take):
    take(message("ID1"))
    folder = os.open(store.path, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    assert "another" in queue("expire", status=1).told
    os.close(folder)
    queue("expire")


# --- while messages flow ------------------------------------------------------------------------

class Traffic:
    """Receivers that commit, a forwarder that delivers and fails, an operator, all at once."""

    def __init__(self, receive, convert_d, store, queue):
        self.store, self.queue = store, queue
        self.stop = threading.Event()
        self.problems, self.sent, self.delivered = [], [], []
        self.connections = [receive("--messages=0", f"--convert-templates={convert_d}")
                            for _ in range(3)]
        calls = [lambda n=n: self.send(n) for n in range(3)] + [self.deliver, self.operate]
        self.threads = [threading.Thread(target=self.guard, args=(call,)) for call in calls]
        for thread in self.threads:
            thread.start()

    def guard(self, call):
        try:
            while not self.stop.is_set():
                call()
        except Exception as e:  # pylint: disable=broad-except
            self.problems.append(e)

    def send(self, n):
        payload = message(f"T{n}-{len(self.sent)}-{time.monotonic_ns()}")
        assert self.connections[n].peer.ask(payload).code == "AA"
        self.sent.append(payload)

    def deliver(self):
        """As hl7-forward does it, with the same locks."""
        folder, received = self.store.path / "queue" / "ris", self.store.path / "received"
        for name in sorted(os.listdir(folder)) if folder.is_dir() else []:
            try:
                with open(folder / name, "rb") as f:
                    fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if (received / re.sub(r"\.\d{3}\.hl7$", ".hl7", name)).exists():
                        (folder / name).unlink()
                        self.delivered.append(name)
            except (BlockingIOError, FileNotFoundError):
                pass
        time.sleep(0.01)

    def operate(self):
        self.queue("drop", "--all", "--destination=pacs", status=None)
        self.queue("retry", "--all", "--destination=pacs", status=None)

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join(hl7test.PATIENCE)
        assert not self.problems, self.problems
        for connection in self.connections:
            assert connection.finish() == 0


def test_check_gives_no_false_alarm(receive, convert_d, store, queue):
    traffic = Traffic(receive, convert_d, store, queue)
    try:
        hl7test.wait_until(lambda: len(traffic.sent) > 5, "traffic")
        end = time.monotonic() + 6
        n = 0
        while time.monotonic() < end:
            clean(queue)
            queue("expire", "--keep-received=1ms", "--max-received=1")
            queue("status")
            queue("list")
            parse_metrics(queue("metrics").text)
            n += 1
        assert n > 3
    finally:
        traffic.end()
    clean(queue)
    # no message was lost between the folders
    waiting = len(store.entries("ris")) + len(traffic.delivered)
    assert waiting == len(traffic.sent) == len(store.names())
    left = ids(queue("list", "--destination=pacs"))
    assert len(left) == len(set(left)) == len(traffic.sent)


def test_expire_while_old_messages_are_sent_again(receive, convert_d, store, queue, take):
    """Each is answered as stored, and is stored once: as the old one or as a new one."""
    payloads = [message(f"ID{n}") for n in range(40)]
    take(*payloads)
    deliver_all(store)
    problems = []

    def send(order):
        connection = receive("--messages=0", f"--convert-templates={convert_d}")
        problems.extend(p for p in order if connection.peer.ask(p).code != "AA")
        if connection.finish() != 0:
            problems.append("exit status")

    for _ in range(4):
        deliver_all(store)
        age(store, 3 * DAY)
        threads = [threading.Thread(target=send, args=(order,))
                   for order in (payloads, payloads[::-1])]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            queue("expire", "--keep-received=1d")
            told = found(queue("check", "--deep"))
            assert not {"error", "warning"} & set(told), told
        for thread in threads:
            thread.join()
        queue("expire", "--keep-received=1d")
        clean(queue)
        assert sorted(store.messages()) == sorted(set(store.messages()))
    assert not problems


# --- many ---------------------------------------------------------------------------------------

def fill(store, n_received, n_waiting):
    """Files as the receiver makes them, without its syncs."""
    received = store.path / "received"
    waiting = store.path / "queue" / "ris"
    for folder in received, waiting:
        folder.mkdir(parents=True, mode=0o750)
    began = time.time() - 10 * DAY
    for n in range(n_received):
        stem = time.strftime("%Y%m%dT%H%M%S", time.gmtime(began + n)) + f".000000Z-{n + 1}-7"
        body = b"MSH|^~\\&|A|B|||2026||ORU^R01|N%d|P|2.5\r" % n
        path = received / (stem + ".hl7")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o640), "wb") as f:
            f.write(body)
        os.link(path, received / (".k" + hashlib.md5(body).hexdigest()))
        os.link(path, received / (".i" + hashlib.md5(body).hexdigest()))
        if n >= n_received - n_waiting:
            os.link(path, waiting / (stem + ".000.hl7"))


@pytest.fixture
def quick_store(store):
    """On a file system in memory, where there is one: it is the programs that are looked at."""
    shm = pathlib.Path("/dev/shm")
    if not os.access(shm, os.W_OK):
        yield store
        return
    with tempfile.TemporaryDirectory(dir=shm, prefix="hl7-test-") as folder:
        store.path = pathlib.Path(folder) / "store"
        yield store


def test_large(quick_store, queue):
    """A hundred thousand received, all of them waiting, then half; how long each command takes is told with -s."""
    fill(quick_store, 100000, 100000)
    for arguments in (["status"], ["list", "--limit=10"], ["list"], ["metrics"], ["check"], ["check", "--deep"],
                      ["trace", "N99999", "--no-journal"], ["why", "N99999"],
                      ["expire", "--keep-received=1d", "--dry-run"],
                      ["expire", "--keep-received=1d", "--max-received=1"]):
        began = time.monotonic()
        done = queue(*arguments, timeout=120, status=None)
        print(f"{' '.join(arguments)}: {time.monotonic() - began:.2f} s, {len(done.stdout)} bytes")
    assert removed(done)[0] == 0
    for name in quick_store.entries("ris")[:50000]:
        (quick_store.path / "queue" / "ris" / name).unlink()
    began = time.monotonic()
    assert removed(queue("expire", "--keep-received=1d", timeout=120))[:3] == (50000, 0, 0)
    print(f"expire of 50,000: {time.monotonic() - began:.2f} s")
    assert len(quick_store.names()) == len(quick_store.hidden("k")) == len(quick_store.hidden("i")) == 50000
