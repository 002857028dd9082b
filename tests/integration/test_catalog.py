# SPDX-License-Identifier: MIT
"""The journal's catalog: each kind of entry, made by the programs, has the fields that its text speaks of.

The check itself is in the fixture (conftest.py), so all tests that read the journal make it. Here one of
each kind is made that can be.
"""
import os
import re
import shutil
import signal
import socket

import pytest

from forwardtest import FORWARD, QUICK, Queue, by_id
from hl7test import BUILD, CATALOG, SOURCE, connect, frame, free_port, journal_file, message, need, wait_until

QUEUE = BUILD / "src" / "queue" / "hl7-queue"
M = message("ID1")

# Out of memory, and a thousand messages of different keys that a destination refuses
NOT_MADE = {"RESOURCES", "FULL"}


def ids():
    """{"ACCEPTED": MESSAGE_ID} of the sources"""
    found = {}
    for path in sorted((SOURCE / "src").rglob("*.[ch]")):
        found |= dict(re.findall(r'#define (?:REPORT_)?ID_(\w+)\s+"([0-9a-f]{32})"', path.read_text(encoding="utf-8")))
    return found


IDS = ids()


@pytest.fixture
def seen(journal):
    """Checks that the next entries are of these kinds, in any order, and adds them up."""
    def seen(*kinds):
        told = [e["MESSAGE_ID"] for e in journal.entries(len(kinds))]
        assert sorted(told) == sorted(IDS[kind] for kind in kinds)
        seen.kinds |= set(kinds)
    seen.kinds = set()
    return seen


@pytest.fixture
def receive_to(receive, journal):
    def receive_to(*options, data=b"", status=0, **more):
        connection = receive("--log=journal", "--messages=0", *options, wrapper=journal.enter, **more)
        connection.peer.send(data)
        connection.peer.sock.shutdown(socket.SHUT_WR)
        connection.peer.read_to_end()
        assert connection.finish() == status
    return receive_to


def receiver(receive, receive_to, seen, journal, tmp_path):
    receive_to(data=b"noise" + frame(M) * 2 + frame(message("")) + frame(b"hello"))
    seen("DATA_SKIPPED", "ACCEPTED", "DUPLICATE", "CONTENT_REFUSED", "FRAME_FAULT")
    idle = receive("--log=journal", "--idle-timeout=100ms", wrapper=journal.enter)
    idle.peer.read_to_end()
    idle.finish()
    seen("CONNECTION")
    receive_to(data=frame(M))
    assert journal.sandbox()["MESSAGE_ID"] == IDS["SANDBOX"]
    seen("DUPLICATE")
    seen.kinds.add("SANDBOX")
    (tmp_path / "broken.d").mkdir()
    (tmp_path / "broken.d" / "x.hl7t").write_text(
        "{to ris}\nMSH|^~\\&|B|H|||{MSH-7}||ORU^R01|{MSH-10}|P|2.5\nPID|{PDI-5}\n")
    receive_to(f"--convert-templates={tmp_path}/broken.d", data=frame(message("ID3")), status=78)
    seen("TEMPLATE", "TEMPLATE_FAILED")
    receive_to(data=frame(message("ID3")), status=74, store_options=(f"--store={tmp_path}/no/store",))
    seen("SYSTEM", "STORAGE_FAILED")
    receive_to("--proxy-protocol", data=frame(M))
    seen("PROXY")
    receive_to("--allow=10.0.0.0/8", data=frame(M))
    seen("REFUSED")


def supervisor(activate, seen, journal):
    activator = activate("--log=journal", wrapper=journal.enter)
    peer = connect(activator.port)
    wait_until(activator.children, "a child")
    os.kill(activator.children()[0], signal.SIGKILL)
    peer.read_to_end()
    seen("KILLED")


def forwarder(start, serve, run, store, seen, journal):
    queue = Queue(store.path)

    def forward(port, *options, wait=True):
        line = [*journal.enter, FORWARD, "--log=journal", f"--store={store.path}",
                f"--destinations={store.path}", *QUICK, f"--to=mllp://127.0.0.1:{port}", *options, "ris"]
        process = start(line)
        return process.wait() if wait else process

    def operate(*arguments):
        done = run([*journal.enter, QUEUE, f"--store={store.path}", *arguments])
        assert done.returncode == 0, done.told

    queue.put(message("ID4"), committed=False)
    forward(free_port())
    seen("SWEPT")
    queue.put(message("ID5"))
    assert forward(free_port(), "--once") == 75
    seen("DOWN")
    server = serve(by_id({"ID6": "AE"}))
    name = queue.put(message("ID6"))
    forward(server.port)
    seen("DELIVERED", "HELD_BACK", "FAILED")
    operate("retry", f"ris/{name}")
    operate("drop", f"ris/{name}")
    operate("drop", "--yes", f"ris/{name}")
    seen("RETRIED", "DROPPED", "DELETED")
    (queue.received / "20200101T000000.000000Z-1-1.hl7").write_bytes(M)
    operate("expire", "--keep-received=1d")
    seen("EXPIRED")
    queue.put(message("ID7"))
    process = forward(port := free_port(), wait=False)
    seen("DOWN")
    serve(by_id({}), port=port)
    process.wait()
    seen("UP", "DELIVERED")


def test_every_kind(receive, receive_to, activate, start, serve, run, store, seen, journal, tmp_path):
    receiver(receive, receive_to, seen, journal, tmp_path)
    supervisor(activate, seen, journal)
    forwarder(start, serve, run, store, seen, journal)
    assert set(IDS) - seen.kinds == NOT_MADE


def test_what_is_not_made_has_them_too():
    report = (SOURCE / "src/forward/report.c").read_text(encoding="utf-8")
    full = re.search(r"^report_full\(.*?^}", report, re.M | re.S)[0]
    assert set(re.findall(r"\bHL7_[A-Z_]+\b", CATALOG[IDS["FULL"]])) == {"HL7_HELD_BACK"} and '"HL7_HELD_BACK"' in full
    assert not re.findall(r"HL7_", CATALOG[IDS["RESOURCES"]])


def test_what_journalctl_prints(namespace, tmp_path, run):
    """Nothing is left between two @, and the unit is there; by the journalctl of this machine."""
    root = tmp_path / "root"
    (root / "usr/lib/systemd/catalog").mkdir(parents=True)
    (root / "var/lib/systemd/catalog").mkdir(parents=True)
    shutil.copy(SOURCE / "src/journal/hl7-inetd.catalog", root / "usr/lib/systemd/catalog")
    assert run([need("journalctl"), f"--root={root}", "--update-catalog"]).returncode == 0
    namespace.run("mkdir -p /var/lib/systemd/catalog; mount --bind $1 /var/lib/systemd/catalog",
                  root / "var/lib/systemd/catalog")
    path = journal_file(tmp_path, [
        {"MESSAGE": "what happened", "MESSAGE_ID": identifier, "PRIORITY": 4, "SYSLOG_IDENTIFIER": "hl7-forward",
         "_SYSTEMD_UNIT": "hl7-forward@ris.service"} for identifier in CATALOG])
    text = run([*namespace.enter, "journalctl", "-x", "--no-pager", f"--file={path}"]).stdout.decode()
    assert text.count("Defined-By: hl7-inetd") == len(CATALOG)
    assert "A destination is down (hl7-forward@ris.service)" in text
    assert "systemctl status 'hl7-forward@ris.service'" in text and 'Sandbox: what happened' in text
    assert not re.findall(r"@[A-Z_]+@", text)
