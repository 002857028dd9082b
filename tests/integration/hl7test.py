# SPDX-License-Identifier: MIT
"""Starts the built programs on real sockets and reads what they say.

Environment:
  HL7_BUILD_DIR   a finished build (default: ../../build)
  HL7_SAMPLES     a folder of public sample messages (default: ../shared/samples beside the project)
  HL7_STRICT      when set, a tool that is missing is a failure and not a skip
"""
import contextlib
import errno
import os
import pathlib
import random
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE.parent.parent
BUILD = pathlib.Path(os.environ.get("HL7_BUILD_DIR", SOURCE / "build"))
SAMPLES = pathlib.Path(os.environ.get("HL7_SAMPLES", SOURCE.parent / "shared" / "samples"))
TEMPLATES = SOURCE / "templates"

RECEIVE = BUILD / "src" / "receive" / "hl7-receive"
SEND = BUILD / "src" / "send" / "hl7-send"
SHOW = BUILD / "src" / "show" / "hl7-show"

VT, FS, CR, LF, NUL = b"\x0b", b"\x1c", b"\r", b"\n", b"\0"

# No wait in this suite is longer: what has not come by then never comes.
PATIENCE = 20

EXIT_USAGE, EXIT_DATA, EXIT_NO_INPUT = 64, 65, 66
EXIT_OS, EXIT_IO, EXIT_CONFIG = 71, 74, 78

# What no log may ever show: every message below is full of them.
CANARIES = ("CANARY", "19010203")

# Which descriptor 3 is the connection is said with LISTEN_PID, the process's own id: exec keeps it.
AS_SYSTEMD = ["/bin/sh", "-c", 'LISTEN_FDS=1 LISTEN_PID=$$ exec "$@" 3<&0 </dev/null', "sh"]

SANITIZER = re.compile(r"(AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error:)")


# --- messages ---------------------------------------------------------------------------------

def header(control_id="MSG00001", *, sep="|", chars="^~\\&", app="LAB", fac="CANARYFAC",
           to_app="RIS", to_fac="CANARYHOSP", kind="ORU^R01", mode="P", version="2.5",
           accept="", application="", charset=""):
    """An MSH segment; trailing empty fields are not written."""
    fields = ["MSH" + sep + chars, app, fac, to_app, to_fac, "20260102030405+0000", "", kind,
              control_id, mode, version, "", "", accept, application, "", charset]
    while not fields[-1]:
        fields.pop()
    return sep.join(fields).encode("utf-8", "surrogateescape")


def message(control_id="MSG00001", *, filler=0, end=CR, extra=(), **fields):
    """A small result of a patient who does not exist; `filler` bytes are added to OBX-5."""
    sep = fields.get("sep", "|")
    segments = [
        "PID|1||CANARYID^^^HOSP^MR||CANARYNAME^CANARYGIVEN||19010203|F|||CANARY STREET 1",
        "OBR|1||CANARYORDER|CANARYCODE",
        "OBX|1|TX|1^SCORE||CANARYFINDING" + "x" * filler,
        *extra,
    ]
    lines = [header(control_id, **fields)]
    lines += [s.replace("|", sep).encode("utf-8", "surrogateescape") for s in segments]
    return end.join(lines) + end


def message_of(n_bytes, control_id="MSG00001", **fields):
    """A message of exactly that many bytes."""
    return message(control_id, filler=n_bytes - len(message(control_id, **fields)), **fields)


def frame(payload):
    return VT + payload + FS + CR


# --- answers ----------------------------------------------------------------------------------

class Ack:
    """An answer, split as its own MSH says."""

    def __init__(self, raw):
        assert raw.startswith(b"MSH"), raw[:80]
        assert raw.endswith(CR), "the last segment is not ended with CR"
        assert LF not in raw and VT not in raw and FS not in raw
        self.raw = raw
        self.sep = raw[3:4]
        self.segments = [s.split(self.sep) for s in raw.split(CR)[:-1]]
        for s in self.segments:
            if s[0] == b"MSH":
                s.insert(1, self.sep)

    def segment(self, name):
        found = [s for s in self.segments if s[0] == name.encode()]
        return found[0] if found else []

    def count(self, name):
        return sum(s[0] == name.encode() for s in self.segments)

    def __getitem__(self, address):
        """ack["MSH-10"]: the field's bytes, empty where it is absent."""
        name, _, number = address.partition("-")
        s = self.segment(name)
        return s[int(number)] if int(number) < len(s) else b""

    code = property(lambda self: self["MSA-1"].decode())
    control_id = property(lambda self: self["MSA-2"])

    def error(self):
        """(ERR-2, number of ERR-3) of its only ERR segment, or None."""
        assert self.count("ERR") <= 1
        if not self.count("ERR"):
            return None
        return self["ERR-2"].decode(), self["ERR-3"].split(b"^")[0].decode()


def split_frames(data):
    """Exactly framed answers, nothing between, before or behind them."""
    payloads = []
    while data:
        assert data.startswith(VT), data[:80]
        end = data.index(FS + CR)
        payloads.append(data[1:end])
        data = data[end + 2:]
    return payloads


def acks(data):
    return [Ack(p) for p in split_frames(data)]


# --- the peer's end ---------------------------------------------------------------------------

class Peer:
    """One end of a connection; every wait ends by itself."""

    def __init__(self, sock):
        self.sock = sock
        self.sock.settimeout(PATIENCE)
        with contextlib.suppress(OSError):  # not a TCP socket
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.was_reset = False
        self.received = b""

    def send(self, data):
        self.sock.sendall(data)

    def send_apart(self, *chunks, pause=0.02):
        """Pieces that arrive one after another: none of the reads gets two of them."""
        for i, chunk in enumerate(chunks):
            if i:
                time.sleep(pause)
            self.send(chunk)

    def read_some(self):
        try:
            data = self.sock.recv(65536)
        except ConnectionResetError:
            self.was_reset = True
            return b""
        self.received += data
        return data

    def read_to_end(self):
        while self.read_some():
            pass
        return self.received

    def read_frames(self, n):
        while self.received.count(FS + CR) < n and self.read_some():
            pass
        return acks(self.received)

    def ask(self, payload):
        """Sends one framed message and returns its answer, the last of those received."""
        n = self.received.count(FS + CR)
        self.send(frame(payload))
        answers = self.read_frames(n + 1)
        assert len(answers) == n + 1, "the connection ended without an answer"
        return answers[-1]

    def half_close(self):
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError as e:
            if e.errno != errno.ENOTCONN:  # the other end was faster
                raise

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        self.sock.close()


def connect(port, host="127.0.0.1"):
    """Connects to a server that was just started."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return Peer(socket.create_connection((host, port), timeout=PATIENCE))
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def peer_from(port, source="127.0.0.1"):
    return Peer(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE, source_address=(source, 0)))


def ask_once(port, control_id, source="127.0.0.1"):
    """One connection, one message: its answer's code, None where the connection ended without one."""
    peer = peer_from(port, source)
    try:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            peer.send(frame(message(control_id)))
        answers = acks(peer.read_to_end())
        return answers[0].code if answers else None
    finally:
        peer.close()


def free_port(given=set()):  # pylint: disable=dangerous-default-value
    """One below those that the kernel gives to connections: nobody takes it until a listener is there, or again."""
    while True:
        port = random.randrange(20000, 32000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            if port not in given:
                given.add(port)
                return port


# --- logs -------------------------------------------------------------------------------------

class Entry(dict):
    """One line of a log: its text, and its fields by name."""

    FIELD = re.compile(r' (HL7_[A-Z_]+|ERRNO)=("[^"]*"|[^ ]*)')

    def __init__(self, line):
        super().__init__((name, value.strip('"')) for name, value in self.FIELD.findall(line))
        self.text = self.FIELD.split(line)[0]

    def __repr__(self):
        return f"{self.text!r} {dict(self)}"


def entries(text):
    return [Entry(line) for line in text.splitlines()]


def check_log(log, expected):
    """The log has exactly these entries, in this order. Each is a text or (text, fields): the
    entry's text begins with the text, and it has those fields; None: it has none of that name."""
    wanted = [(e, {}) if isinstance(e, str) else e for e in expected]
    assert len(log) == len(wanted), f"wanted {wanted}, got {log}"
    for entry, (text, fields) in zip(log, wanted):
        assert entry.text.startswith(text), f"wanted {text!r}, got {entry}"
        told = {k: v if v is None else str(v) for k, v in fields.items()}
        assert {k: entry.get(k) for k in fields} == told, entry


def wait_until(condition, what="it"):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {PATIENCE} s"
        time.sleep(0.01)


class Logs:
    """Everything that the processes of one test wrote to standard error."""

    def __init__(self, folder):
        self.folder = folder
        self.paths = []

    def new(self, name="stderr"):
        self.folder.mkdir(exist_ok=True)
        path = self.folder / f"{len(self.paths):03d}-{name}"
        self.paths.append(path)
        return path

    def check(self, canaries=CANARIES):
        for path in self.paths:
            if not path.exists():
                continue
            text = path.read_text("latin-1")
            assert not SANITIZER.search(text), f"a sanitizer's report:\n{text}"
            for canary in canaries:
                assert canary not in text, f"a patient's data in a log:\n{text}"
            assert all(c >= " " or c in "\n\t" for c in text), "control bytes in a log"


# What is told of the sandbox, at debug level.
SANDBOX_ID = "a216cf541cc0453881a5c8a71170b1a7"


def parse_entry(data):
    """NAME=value lines, or NAME, a length and that many bytes."""
    fields = {}
    while data:
        line, _, rest = data.partition(b"\n")
        name, equal, value = line.partition(b"=")
        if not equal:
            length = struct.unpack("<Q", rest[:8])[0]
            value, rest = rest[8:8 + length], rest[8 + length + 1:]
        fields[name.decode()] = value.decode("ascii")
        data = rest
    return fields


def catalog():
    """{MESSAGE_ID: its text} of the journal's catalog."""
    text = (SOURCE / "src/journal/hl7-inetd.catalog").read_text(encoding="utf-8")
    return {block[:32]: block[33:] for block in re.split(r"(?m)^-- (?=[0-9a-f]{32}$)", text)[1:]}


CATALOG = catalog()

# What its texts speak of, and only some of the entries have; and what the journal itself adds
SOMETIMES = {"HL7_STORE_NAME", "HL7_ERROR", "HL7_SANDBOX_MISSING", "HL7_PEER"}
OF_THE_JOURNAL = {"_SYSTEMD_UNIT"}
SETTINGS = {"HL7_QUEUE_EXPIRE_OPTIONS"}


def check_explained(entry):
    """What journalctl -x says of an entry speaks of fields that it has."""
    text = CATALOG[entry["MESSAGE_ID"]]
    used = set(re.findall(r"@(\w+)@", text)) - OF_THE_JOURNAL
    named = set(re.findall(r"\bHL7_[A-Z_]+\b", text)) - SOMETIMES - SETTINGS
    assert used | named <= set(entry), ((used | named) - set(entry), entry)
    return entry


# --- processes --------------------------------------------------------------------------------

class Process:
    """A process that this test started, and stops by its id."""

    def __init__(self, command, log, **options):
        self.log_path = log
        with open(log, "wb") as stderr:
            self.popen = subprocess.Popen([str(c) for c in command], stderr=stderr, **options)

    def wait(self, timeout=PATIENCE):
        return self.popen.wait(timeout)

    def stop(self, how=signal.SIGTERM):
        if self.popen.poll() is None:
            self.popen.send_signal(how)
            try:
                self.popen.wait(5)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()
        for stream in (self.popen.stdin, self.popen.stdout):
            if stream:
                stream.close()

    @property
    def log_text(self):
        return self.log_path.read_text("latin-1")

    @property
    def log(self):
        return entries(self.log_text)


def visible(folder):
    """The names in a folder that are not hidden; none where there is no folder."""
    return sorted(n for n in os.listdir(folder) if n[0] != ".") if folder.is_dir() else []


class Store:
    """A store's folder, seen from outside."""

    def __init__(self, path):
        self.path = pathlib.Path(path)

    def names(self):
        """The messages' files; hidden are those by which they are found again."""
        return visible(self.path / "received")

    def hidden(self, kind):
        """Names of .k (claims), .a (answers), .i (first of their control id) files."""
        received = self.path / "received"
        return sorted(n for n in os.listdir(received) if n.startswith("." + kind))

    def entries(self, destination):
        return visible(self.path / "queue" / destination)

    def messages(self):
        return [(self.path / "received" / n).read_bytes() for n in self.names()]


class Connection(Process):
    """hl7-receive with one connection, and the peer's end of it."""

    def __init__(self, command, log, store, before=None, buffers=None, **options):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            if buffers:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffers)
            sock = socket.socket()
            if buffers:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffers)
            sock.connect(listener.getsockname())
            ours, _ = listener.accept()
        self.peer = Peer(sock)
        self.store = Store(store)
        with ours:
            if before:
                before(self.peer)
            super().__init__(command, log, stdin=ours, stdout=subprocess.DEVNULL, **options)

    def finish(self):
        """Waits for the process; its exit status."""
        self.peer.close()
        return self.wait()


class Activator:
    """Has the listening socket and starts the program when a connection waits, as systemd does."""

    def __init__(self, start, line, sockets):
        self.start, self.line, self.sockets = start, line, sockets
        self.process = None
        self.started = []
        self.ended = False
        self.lock = threading.Lock()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    port = property(lambda self: self.sockets[0].getsockname()[1])
    log_text = property(lambda self: "".join(p.log_text for p in self.started))
    log = property(lambda self: [e for p in self.started for e in p.log])

    def run(self):
        while not self.ended:
            if not select.select(self.sockets, [], [], 0.02)[0]:
                continue
            fds = [s.fileno() for s in self.sockets]
            # descriptors may be anywhere: they are moved away, then to 3 and behind
            moves = " ".join(f"{100 + i}<&{fd}" for i, fd in enumerate(fds))
            moves += " " + " ".join(f"{3 + i}<&{100 + i}" for i in range(len(fds)))
            script = f'LISTEN_FDS={len(fds)} LISTEN_PID=$$ exec "$@" {moves}'
            process = self.start(["/bin/bash", "-c", script, "sh", *self.line], pass_fds=fds)
            with self.lock:
                self.started.append(process)
                self.process = process
            while process.popen.poll() is None and not self.ended:
                time.sleep(0.002)

    def supervisor(self):
        """The process that accepts; a connection must have been made."""
        wait_until(lambda: self.process and self.process.popen.poll() is None
                   and pathlib.Path(f"/proc/{self.process.popen.pid}/comm").read_text() == "hl7-receive\n",
                   "a supervisor")
        return self.process

    def children(self):
        pid = self.supervisor().popen.pid
        return [int(n) for n in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def end(self):
        self.ended = True
        self.thread.join(PATIENCE)
        for s in self.sockets:
            s.close()


def environment(**changes):
    """The caller's, without what would tell the programs where a log or a connection is."""
    env = {k: v for k, v in os.environ.items()
           if k not in ("JOURNAL_STREAM", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES",
                        "STATE_DIRECTORY", "NOTIFY_SOCKET")}
    env.update(LC_ALL="C.UTF-8")
    # a finding ends the process also where its standard error is not to be seen
    env.setdefault("UBSAN_OPTIONS", "halt_on_error=1:print_stacktrace=1")
    env.update(changes)
    return env


def need(tool):
    """The path of a program that these tests need beside ours."""
    path = shutil.which(tool, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not path:
        missing(f"{tool} is not installed")
    return path


def missing(reason):
    """Skips the test and says why; a failure where HL7_STRICT is set."""
    if os.environ.get("HL7_STRICT"):
        pytest.fail(reason)
    pytest.skip(reason)


def no_samples(reason="there are no sample messages (HL7_SAMPLES)"):
    """Not every clone has them beside it; where the folder is, they are to be in it."""
    if SAMPLES.is_dir():
        missing(reason)
    pytest.skip(reason)


def journal_file(tmp_path, entries):
    """A journal file with these entries."""
    tool = pathlib.Path("/lib/systemd/systemd-journal-remote")
    if not tool.exists():
        missing("systemd-journal-remote is not installed")
    text = "".join(
        "".join(f"{k}={v}\n" for k, v in {
            "__REALTIME_TIMESTAMP": 1700000000000000 + n, "__MONOTONIC_TIMESTAMP": 1000 + n,
            "_BOOT_ID": "0123456789abcdef0123456789abcdef", **entry}.items()) + "\n"
        for n, entry in enumerate(entries))
    (tmp_path / "export").write_text(text)
    path = tmp_path / "test.journal"
    subprocess.run([tool, "-o", path, tmp_path / "export"], check=True, capture_output=True,
                   timeout=PATIENCE)
    return path


# --- a listener of our own ------------------------------------------------------------------------

def answer_to(payload, code="AA", control_id=None, end=CR):
    """The smallest acknowledgement of a message."""
    fields = re.split(rb"[\r\n]", payload)[0].split(payload[3:4])
    msa2 = control_id if control_id is not None else fields[9] if len(fields) > 9 else b""
    return b"MSH|^~\\&|S||||20260102030405||ACK|A1|P|2.5" + end + b"MSA|" + code.encode() + b"|" \
        + msa2 + end


class Server:
    """Runs handler(server, peer, number of the connection) for each connection, in a thread."""

    def __init__(self, handler, host="127.0.0.1", port=0):
        self.handler = handler
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.listener = socket.create_server((host, port), backlog=64, family=family)
        self.port = self.listener.getsockname()[1]
        self.lock = threading.Lock()
        self.received = []     # payloads, in the order in which they came
        self.connections = 0
        self.problems = []
        self.peers = []
        self.threads = [threading.Thread(target=self.accept, daemon=True)]
        self.threads[0].start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            peer = Peer(sock)
            self.peers.append(peer)
            thread = threading.Thread(target=self.serve, args=(peer, self.connections), daemon=True)
            self.connections += 1
            self.threads.append(thread)
            thread.start()

    def serve(self, peer, number):
        try:
            self.handler(self, peer, number)
        except (ConnectionResetError, BrokenPipeError):
            pass
        except Exception as e:  # pylint: disable=broad-except
            self.problems.append(e)
        finally:
            peer.close()

    def read(self, peer):
        """The next message of a connection, or None."""
        data = getattr(peer, "rest", b"")
        while FS + CR not in data:
            more = peer.read_some()
            if not more:
                peer.rest = data
                return None
            data += more
        payload, _, peer.rest = data.partition(FS + CR)
        assert payload[:1] == VT, payload[:40]
        with self.lock:
            self.received.append(payload[1:])
        return payload[1:]

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for peer in self.peers:
            with contextlib.suppress(OSError):
                peer.sock.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join(PATIENCE)
        assert not self.problems, self.problems


def answering(code="AA", messages=None):
    """A handler that answers all messages, or the first of each connection."""
    def handler(server, peer, _number):
        n = 0
        while messages is None or n < messages:
            payload = server.read(peer)
            if payload is None:
                return
            peer.send(frame(answer_to(payload, code)))
            n += 1
    return handler
