# SPDX-License-Identifier: MIT
"""The examples of the manual pages are run; manual.py has how a page says what runs one.

    HL7_BUILD_DIR=build /usr/bin/python3 -m pytest tests/documents

Each has a scratch folder of its own: the files that the pages speak of, a store in which a message waits, one failed and
one was refused, and a listener. Examples for a machine are run by tests/machine.
"""
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import subprocess
import time

import pytest

import manual
import shell
from shell import PATIENCE

SOURCE = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("HL7_BUILD_DIR", SOURCE / "build")).resolve()
PAGES = sorted((SOURCE / "src").glob("*/hl7-*.[1-8]"))
EXAMPLES = manual.all_examples(SOURCE / "src")
PROGRAMS = [path.parent.name for path in (SOURCE / "src").glob("*/main.c")]
SAMPLE = (SOURCE / "packaging/sample.hl7").read_text(encoding="utf-8")
STEM = r"20\d{6}T\d{6}\.\d{6}Z-\d+-\d+"


def of(*runners):
    found = [example for example in EXAMPLES if example.runner in runners]
    return pytest.mark.parametrize("example", found, ids=str)


def need(tool):
    """Where it is."""
    path = shutil.which(tool, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if not path:
        (pytest.fail if os.environ.get("HL7_STRICT") else pytest.skip)(f"{tool} is not installed")
    return path


def need_root(why):
    if os.geteuid() != 0:
        pytest.skip(f"{why} needs root")


def program(name):
    return BUILD / "src" / name / f"hl7-{name}"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def listens(port):
    tables = pathlib.Path("/proc/net/tcp").read_text(encoding="ascii")
    return f":{port:04X} 00000000:0000 0A" in tables


class Server:
    """A process that listens on a port; the end of the block is its end, and that of all that it started."""

    def __init__(self, command, port, folder, env=None):
        self.command, self.port, self.folder, self.env = command, port, folder, env

    def __enter__(self):
        self.log = open(self.folder / f"server-{self.port}.log", "w+", encoding="utf-8")
        self.process = subprocess.Popen(self.command, cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=self.log, start_new_session=True)
        deadline = time.monotonic() + PATIENCE
        while not listens(self.port):
            assert self.process.poll() is None and time.monotonic() < deadline, self.said()
            time.sleep(0.02)
        return self

    def __exit__(self, *_):
        os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait(PATIENCE)
        self.log.close()

    def said(self):
        return pathlib.Path(self.log.name).read_text(encoding="utf-8")


def message(control_id):
    return SAMPLE.replace("SAMPLE-0001", control_id)


class Place:
    """The scratch folder."""

    def __init__(self, top):
        self.top, self.store, self.etc = top, top / "store", top / "etc"
        for folder in ("etc/ack.d", "etc/convert.d", "etc/tables", "etc/destinations", "backup", "inbox", "outbox", "bin", "work"):
            (top / folder).mkdir(parents=True)
        self.env = {**os.environ, "LC_ALL": "C.UTF-8", "STATE_DIRECTORY": str(self.store), "HL7_AMQP_PASSWORD": "x",
                    "PATH": ":".join([str(top / "bin"), *(str(program(name).parent) for name in PROGRAMS), os.environ["PATH"]])}
        (self.etc / "convert.d/ris.hl7t").write_text("{to ris}\n{MSH}\nPID|1||{PID-3.1:required}\n", encoding="utf-8")
        (self.etc / "destinations/ris.conf").write_text("To=mllp://127.0.0.1:1\n", encoding="utf-8")
        for control_id, text in (("MSG00001", message("MSG00001")), ("MSG00002", message("MSG00002")),
                                 ("MSG00003", message("MSG00003").replace("100042", ""))):
            self.receive(text)
        waiting = sorted(path.stem for path in (self.store / "queue/ris").glob("*.hl7"))
        subprocess.run([program("queue"), "drop", f"ris/{waiting[1]}"], env=self.env, check=True, stdout=subprocess.DEVNULL)
        for name in ("order.hl7", "archive.hl7", "inbox/1.hl7", "outbox/1.hl7", "outbox/2.hl7"):
            (top / name).write_text(message("ORDER-" + name[-5:-4]), encoding="utf-8")
        (top / "mine.hl7t").write_text("{message}\n", encoding="utf-8")
        self.command("make-order", f"cat {top}/order.hl7")
        self.port, self.other_port, self.closed_port = free_port(), free_port(), free_port()

    def command(self, name, text):
        (self.top / "bin" / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        (self.top / "bin" / name).chmod(0o755)

    def receive(self, text, *options):
        """One message by hl7-receive, as from a pipe: what it answered."""
        framed = b"\x0b" + text.replace("\n", "\r").encode() + b"\x1c\r"
        return subprocess.run([program("receive"), f"--store={self.store}", f"--ack-templates={self.etc}/ack.d",
                               f"--convert-templates={self.etc}/convert.d", f"--tables={self.etc}/tables", "--log=stderr",
                               "--idle-timeout=1s", *options], input=framed, capture_output=True, check=False)

    def listener(self):
        """Who takes what the examples send; it keeps each connection as long as the sender does."""
        need("systemd-socket-activate")
        return Server(["systemd-socket-activate", "--accept", f"--listen=127.0.0.1:{self.port}", program("receive"),
                       f"--store={self.top}/sink", f"--ack-templates={self.etc}/ack.d", f"--convert-templates={self.top}/none",
                       f"--tables={self.etc}/tables", "--messages=0", "--log-level=warning"], self.port, self.top)

    def substitutions(self):
        """What stands in the pages, and what in its place here; in this order."""
        waiting = next((self.store / "queue/ris").glob("*.hl7")).stem
        failed = next((self.store / "failed/ris").glob("*.hl7")).stem
        return [
            (rf"(?<=drop ris/){STEM}\.\d+", waiting),
            (rf"(?<=ris/){STEM}\.\d+", waiting if "limit" in self.around else failed),
            (rf"\b{STEM}\b", waiting.rpartition(".")[0]),
            (r"(?<=received/)20\d{6}(T\d+)?\*|(?<=-name ')20\d{6}\*", "2*"),
            (r"/etc/hl7-inetd\b", str(self.etc)),
            (r"/var/lib/hl7-inetd\b", str(self.store)),
            (r"/backup\b", f"{self.top}/backup"),
            (r"/tmp/hl7\b", f"{self.top}/tmp"),
            (r"/usr/sbin/hl7-(\w+)", rf"{BUILD}/src/\1/hl7-\1"),
            (r"amqp://localhost\b", f"amqp://127.0.0.1:{self.closed_port}"),
            (r"127\.0\.0\.1:5123\b", f"127.0.0.1:{self.other_port}"),
            (r"^5123 stream tcp nowait hl7-inetd\b", f"127.0.0.1:{self.other_port} stream tcp nowait root"),
            (r"\b(ris|pacs)\.example(:2575)?(?![\w.])", f"127.0.0.1:{self.port}"),
            (r"(?<= )localhost\b", f"127.0.0.1:{self.port}"),
        ]

    def here(self, text, used=None):
        self.around = text
        for pattern, replacement in self.substitutions():
            text, n = re.subn(pattern, replacement, text, flags=re.M)
            if used is not None and n:
                used.add(pattern)
        return text


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def test_every_example_has_a_runner():
    for page in PAGES:
        assert manual.unmarked(page) == [], page.name
    for example in EXAMPLES:
        assert example.runner in manual.RUNNERS, str(example)
    assert len(EXAMPLES) > 50


def test_every_page_has_examples():
    """hl7-template(5) has marks of its own, and so have the pages of advice."""
    others = {"hl7-template.5", "hl7-operations.7", "hl7-migration.7"}
    assert {page.name for page in PAGES} - {example.page for example in EXAMPLES} <= others


def test_every_substitution_is_used(place):
    used = set()
    for example in EXAMPLES:
        place.here(example.text, used)
    assert used == {pattern for pattern, _ in place.substitutions()}


@of("shell")
def test_shell(place, example):
    with place.listener():
        done = shell.run("set -e -o pipefail\n" + place.here(example.text), place.top, place.env)
    assert done.returncode == example.status, done.stdout
    # what is told of a mistake in a command line
    assert not re.search(r"^(Try '|Usage:)|command not found", done.stdout, re.M), done.stdout


def variable(text, name):
    """The words of a variable, as systemd splits them."""
    assignment, = [line for line in text.splitlines() if line]
    found, _, value = assignment.partition("=")
    assert found == name
    return shlex.split(shlex.split(value)[0])


@of("receive.conf")
def test_options_of_the_receiver(place, example):
    options = variable(example.text, "HL7_RECEIVE_OPTIONS")
    done = place.receive(message("MSG00009"), *options)
    assert done.returncode == 0 and b"\rMSA|A" in done.stdout, done.stderr


@of("queue.conf")
def test_options_of_the_removal(place, example):
    options = variable(example.text, "HL7_QUEUE_EXPIRE_OPTIONS")
    done = subprocess.run([program("queue"), "expire", *options], env=place.env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@of("destination")
def test_destination(place, example):
    (place.etc / "destinations/ris.conf").write_text(place.here(example.text), encoding="utf-8")
    with place.listener():
        done = subprocess.run([program("forward"), f"--store={place.store}", f"--destinations={place.etc}/destinations", "--once",
                               "--linger=0", "--log=stderr", "ris"], env=place.env, capture_output=True, text=True, check=False)
    assert done.returncode == example.status, done.stderr
    assert bool(list((place.store / "queue/ris").glob("*.hl7"))) == (example.status != 0)


@of("listener")
def test_listener(place, example):
    need("systemd-socket-activate")
    command = place.here(example.text)
    with Server(["bash", "-c", f"exec {command}"], place.other_port, place.top, place.env):
        done = shell.run(f"hl7-send 127.0.0.1:{place.other_port} order.hl7", place.top, place.env)
    assert done.returncode == 0 and "MSA|AA" in done.stdout, done.stdout


@of("inetd")
def test_inetd(place, example):
    """A real one, with /run and so its pid file in a namespace of its own; as root, as that user is not made here."""
    need_root("an inetd")
    need("inetd")
    (place.top / "inetd.conf").write_text(place.here(example.text), encoding="utf-8")
    with Server(["unshare", "--mount", "--propagation", "private", "sh", "-c",
                 "mount -t tmpfs tmpfs /run && exec /usr/sbin/inetd -i inetd.conf"], place.other_port, place.top, place.env):
        done = shell.run(f"hl7-send 127.0.0.1:{place.other_port} order.hl7", place.top, place.env)
    # hl7-amqp has no broker here, and says so to the sender
    code = "CR" if example.page == "hl7-amqp.8" else "AA"
    assert f"\nMSA|{code}|" in done.stdout, done.stdout


def is_taken(folder, text, *command):
    """Whether a program that only looks at its configuration has nothing to say against it."""
    (folder / "conf").write_text(text, encoding="utf-8")
    done = subprocess.run([*command, folder / "conf"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.returncode == 0 and not re.search(r"warning|unknown|violation", done.stdout, re.I)


@of("haproxy")
def test_haproxy(tmp_path, example):
    command = [need("haproxy"), "-c", "-f"]
    assert is_taken(tmp_path, example.text, *command)
    assert not is_taken(tmp_path, example.text.replace("balance ", "balances "), *command)


@of("keepalived")
def test_keepalived(tmp_path, example):
    """In a network of its own, which has the interface; as root, who can make one."""
    need_root("a network interface")
    need("ip")
    command = ["unshare", "--net", "sh", "-c", 'ip link add eth0 type veth peer name eth1 && exec "$@"', "sh",
               need("keepalived"), "--config-test", "--use-file"]
    assert is_taken(tmp_path, example.text, *command)
    assert not is_taken(tmp_path, example.text.replace("nopreempt", "no_preempt"), *command)


def verified(folder, unit):
    """What systemd says of a unit and its drop-ins, but of the programs that are not installed here."""
    need("systemd-analyze")
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", folder / unit], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    return [line for line in done.stdout.splitlines() if str(folder) in line]


def with_drop_in(folder, unit, text):
    """The unit that the build made, and a drop-in: the unit's name to verify."""
    folder.mkdir()
    for path in (BUILD / "units").glob("hl7-*"):
        shutil.copy(path, folder)
    (folder / f"{unit}.d").mkdir()
    (folder / f"{unit}.d" / "site.conf").write_text(text, encoding="utf-8")
    return unit.replace("@.", "@ris.")


@of("drop-in")
def test_drop_in(tmp_path, example):
    assert verified(tmp_path / "good", with_drop_in(tmp_path / "good", example.argument, example.text)) == []
    mistyped = re.sub(r"^(\w+)=", r"\1x=", example.text, flags=re.M)
    assert verified(tmp_path / "bad", with_drop_in(tmp_path / "bad", example.argument, mistyped)) != []


@of("unit")
def test_unit(place, example):
    folder = place.top / "units"
    folder.mkdir()
    (folder / example.argument).write_text(place.here(example.text), encoding="utf-8")
    assert verified(folder, example.argument.replace("@.", "@1.")) == []
    (folder / example.argument).write_text(example.text.replace("ExecStart=", "ExecStarts="), encoding="utf-8")
    assert verified(folder, example.argument.replace("@.", "@1.")) != []
