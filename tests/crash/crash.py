# SPDX-License-Identifier: MIT
"""What the walks of tests/crash share: runs under strace, what a store must hold after them, and a
destination that counts what it gets.

The checks of a store here are written from its documented layout and not from the programs' source:
what hl7-queue check and the forwarder find good must be good here too.
"""
import concurrent.futures
import functools
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "integration"))

# pylint: disable=wrong-import-position,wrong-import-order
import hl7test
from hl7test import BUILD, FS, CR, RECEIVE, Connection, environment, frame, header, split_frames

FORWARD = BUILD / "src" / "forward" / "hl7-forward"
QUEUE = BUILD / "src" / "queue" / "hl7-queue"

# Runs at the same time: most of a run is waiting, for strace, for a disk, for a sanitizer of ours
WORKERS = int(os.environ.get("HL7_CRASH_WORKERS", "3"))

STEM = r"\d{8}T\d{6}\.\d{6}Z-\d+-\d+"


# --- messages -----------------------------------------------------------------------------------

class Message:
    """A message and what the templates of TEMPLATES make of it."""

    TEMPLATES = {
        "10-ris": "{when MSH-3 == \"LAB\"}\n{to ris}\n"
                  "MSH|^~\\&|BROKER||RIS||||{MSH-9}|{MSH-10}|P|2.5\nOBX|1|TX|||{OBX-5}\n",
        "20-both": "{when MSH-3 == \"LAB\"}\n{to ris archive}\n{message}\n",
    }

    def __init__(self, control_id, app="LAB", words="a short finding"):
        self.id = control_id
        self.app = app
        self.payload = CR.join([header(control_id, app=app, fac="", to_app="", to_fac=""),
                                b"OBR|1||A1|B2", b"OBX|1|TX|||" + words.encode(), b""])
        own = f"MSH|^~\\&|BROKER||RIS||||ORU^R01|{control_id}|P|2.5\rOBX|1|TX|||{words}\r".encode()
        # (destination, bytes) of each entry, in the order of their numbers
        self.entries = [("ris", own), ("ris", self.payload), ("archive", self.payload)]
        if app != "LAB":
            self.entries = []

    def __repr__(self):
        return self.id


def answers_of(data):
    """The whole answers in what a peer received: {control id: (code, bytes)}."""
    whole = data[:data.rfind(FS + CR) + 2] if FS + CR in data else b""
    found = {}
    for payload in split_frames(whole):
        ack = hl7test.Ack(payload)
        found[ack.control_id.decode()] = (ack.code, payload)
    return found


def accepted_of(data):
    return {control_id for control_id, (code, _) in answers_of(data).items()
            if code in ("AA", "CA")}


# --- strace -------------------------------------------------------------------------------------

class Call:
    """One line of a trace."""

    LINE = re.compile(r"(?:(?P<pid>\d+) +)?(?P<name>\w+)\((?P<args>.*?)(?:\) += (?P<result>[^ ]+)"
                      r"(?P<rest>.*)| <unfinished \.\.\.>)$", re.S)

    def __init__(self, match, nth):
        self.pid = int(match["pid"] or 0)
        self.name = match["name"]
        self.nth = nth          # among the calls of this name, as strace's when= counts
        self.line = match.string
        self.args = match["args"]
        result = (match["result"] or "?").partition("<")[0]
        self.result = None if result == "?" else int(result, 0)
        self.injected = "INJECTED" in (match["rest"] or "")

    def __repr__(self):
        return f"{self.name}#{self.nth}({self.args[:100]}) = {self.result}"

    @property
    def ok(self):
        return self.result is not None and self.result >= 0

    def fd(self, place=0):
        """The descriptor that is its first, second... argument."""
        argument = self.arguments()[place]
        return int(re.match(r"-?\d+", argument).group())

    def path(self, place=0):
        """The path of that descriptor."""
        found = re.match(r"(?:-?\d+|AT_FDCWD)<(.*?)>(?:\(deleted\))?$", self.arguments()[place])
        return found.group(1) if found else None

    def arguments(self):
        """Split at commas that are in no string and no bracket."""
        out, depth, start, quoted, i = [], 0, 0, False, 0
        while i < len(self.args):
            c = self.args[i]
            if quoted:
                i += c == "\\"
                quoted = c != '"' or i == len(self.args)
            elif c == '"':
                quoted = True
            elif c in "[{(<":
                depth += 1
            elif c in "]})>":
                depth -= 1
            elif c == "," and depth == 0:
                out.append(self.args[start:i].strip())
                start = i + 1
            i += 1
        return out + [self.args[start:].strip()]

    def string(self, place):
        """The bytes of a string argument; it must not have been cut."""
        argument = self.arguments()[place]
        assert argument[0] == '"' and argument[-1] == '"', argument[:80]
        return argument[1:-1].encode("latin-1").decode("unicode_escape").encode("latin-1")


class Trace:
    """A trace that strace wrote."""

    def __init__(self, path):
        self.text = path.read_text("latin-1") if path.exists() else ""
        self.calls, counts = [], {}
        for line in self.text.splitlines():
            match = Call.LINE.match(line)
            if match and " resumed>" not in line:
                key = (match["pid"], match["name"])
                counts[key] = counts.get(key, 0) + 1
                self.calls.append(Call(match, counts[key]))

    @property
    def killed(self):
        return "+++ killed by SIGKILL +++" in self.text

    @property
    def crashed(self):
        return re.search(r"\+\+\+ killed by SIG(?!KILL|TERM)\w+", self.text)

    @property
    def injected(self):
        return "(INJECTED)" in self.text

    def behind(self, is_first):
        """The calls from the first one on for which that holds."""
        for i, call in enumerate(self.calls):
            if is_first(call):
                return self.calls[i:]
        raise AssertionError(f"no such call in:\n{self.text[-2000:]}")


def strace(log, *options):
    """The words in front of a command; -f for the process id on each line."""
    return ["strace", "-f", "-y", "-s", "4096", "-o", log, *options, "--"]


def kill_at(call, *also):
    """Right before the call: the kernel does not enter it any more. Calls that are not traced get
    no injections either: `also` are names that others are for."""
    return ["-e", "trace=" + ",".join([call.name, *also]),
            "-e", f"inject={call.name}:signal=KILL:when={call.nth}"]


def stop_behind(call):
    """Right behind the call; wait_for_stop() tells when."""
    return ["-e", f"trace={call.name}", "-e", f"inject={call.name}:signal=STOP:when={call.nth}"]


def wait_for_stop(log, process):
    """The id of the traced process once it has stopped, or None if it ended before that."""
    deadline = time.monotonic() + hl7test.PATIENCE
    while time.monotonic() < deadline:
        text = log.read_text("latin-1") if log.exists() else ""
        found = re.search(r"^(\d+) +--- stopped by SIGSTOP ---", text, re.M)
        if found:
            return int(found.group(1))
        if process.popen.poll() is not None:
            return None
        time.sleep(0.002)
    raise AssertionError(f"neither stopped nor ended:\n{text[-500:]}")


@functools.lru_cache
def why_not():
    """Why strace cannot inject here, or None."""
    if not shutil.which("strace"):
        return "strace is not installed"
    done = subprocess.run(["strace", "-o", "/dev/null", "-e", "inject=exit_group:signal=KILL",
                           "true"], capture_output=True, check=False)
    return None if done.returncode == -9 else "strace may not trace here: " + \
        done.stderr.decode("utf-8", "replace").strip()[-200:]


# --- a place for the stores of one test -----------------------------------------------------------

class Place:
    """A folder on the file system in question, with templates; folder() makes one for each run."""

    def __init__(self, base):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="hl7-crash-", dir=base))
        self.lock = threading.Lock()
        self.n = 0
        self.templates = self.path / "convert.d"
        self.templates.mkdir()
        for name, text in Message.TEMPLATES.items():
            (self.templates / f"{name}.hl7t").write_text(text)

    def folder(self):
        with self.lock:
            self.n += 1
            path = self.path / f"{self.n:05d}"
        path.mkdir()
        return path

    def remove(self):
        shutil.rmtree(self.path, ignore_errors=True)


def copy_store(source, target):
    """With its hard links, symbolic links, attributes and times."""
    done = {}
    for folder, _, names in os.walk(source):
        to = os.path.join(target, os.path.relpath(folder, source))
        os.makedirs(to, exist_ok=True)
        for name in names:
            a, b = os.path.join(folder, name), os.path.join(to, name)
            st = os.lstat(a)
            if st.st_ino in done:
                os.link(done[st.st_ino], b, follow_symlinks=False)
            else:
                shutil.copy2(a, b, follow_symlinks=False)
                done[st.st_ino] = b


# --- the receiver ---------------------------------------------------------------------------------

def receiver(place, store, *options):
    # the room that is free here is not what is tested
    return [RECEIVE, f"--store={store}", f"--convert-templates={place.templates}",
            f"--ack-templates={place.path}/none", f"--tables={place.path}/none", "--log=stderr",
            "--min-free=0", "--min-free-inodes=0", *options]


class Reception:
    """hl7-receive on a connection with messages that are there when it starts, and then its end."""

    def __init__(self, place, folder, messages, *options, wrapper=(), name="receive", env=None):
        self.folder = folder
        self.trace_path = folder / f"{name}.trace"
        payloads = b"".join(frame(m.payload) for m in messages)

        def before(peer):
            peer.send(payloads)
            peer.half_close()

        self.connection = Connection([*wrapper, *receiver(place, folder / "store", *options)],
                                     folder / f"{name}.log", folder / "store", before=before,
                                     env=env or environment())

    def finish(self):
        self.received = self.connection.peer.read_to_end()
        self.status = self.connection.finish()
        self.answers = answers_of(self.received)
        self.accepted = accepted_of(self.received)
        return self

    @functools.cached_property
    def trace(self):
        return Trace(self.trace_path)


def receive(place, folder, messages, *options, inject=(), trace=True, name="receive", env=None):
    """One to its end; `inject` are options of strace."""
    wrapper = strace(folder / f"{name}.trace", *inject) if inject or trace else ()
    return Reception(place, folder, messages, *options, wrapper=wrapper, name=name,
                     env=env).finish()


def resend(place, folder, messages, name="resend"):
    """Each on a connection of its own, without a fault: {control id: (code, answer)}."""
    answers = {}
    for i, message in enumerate(messages):
        done = receive(place, folder, [message], trace=False, name=f"{name}-{i}")
        answers.update(done.answers)
    return answers


# --- what a store holds ---------------------------------------------------------------------------

class Snapshot:
    """The files of a store by what their names say; `problems` has those that say nothing."""

    RECEIVED = re.compile(rf"({STEM})\.hl7\Z")
    ENTRY = re.compile(rf"({STEM})\.(\d{{3}})\.hl7\Z")
    REASON = re.compile(rf"({STEM})\.(\d{{3}})\.txt\Z")
    HIDDEN = re.compile(r"\.([kai])[0-9a-f]{32}(\.\d)?\Z")

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.problems = []
        self.received, self.hidden = {}, {"k": {}, "a": {}, "i": {}}
        self.waiting, self.failed, self.reasons = {}, {}, {}  # {(destination, stem, number): bytes}
        for name in self.names("."):
            if name not in ("received", "queue", "failed", ".order", ".moves"):
                self.problems.append(f"{name} in the store")
        for name in self.names("received"):
            self.read_received(name)
        for kind, found in (("queue", self.waiting), ("failed", self.failed)):
            for destination in self.names(kind):
                if not destination.startswith("."):
                    self.read_entries(f"{kind}/{destination}", destination, found)

    def names(self, folder):
        path = self.path / folder
        return sorted(os.listdir(path)) if path.is_dir() else []

    def read_received(self, name):
        path = self.path / "received" / name
        hidden, message = self.HIDDEN.match(name), self.RECEIVED.match(name)
        if message:
            self.received[message[1]] = path.read_bytes()
        elif hidden:
            kind = self.hidden[hidden[1]]
            kind[name] = path.read_bytes()
        else:
            self.problems.append(f"received/{name}")

    def read_entries(self, folder, destination, found):
        for name in self.names(folder):
            entry, reason = self.ENTRY.match(name), self.REASON.match(name)
            data = (self.path / folder / name).read_bytes()
            if entry:
                found[destination, entry[1], int(entry[2])] = data
            elif reason and folder.startswith("failed/"):
                self.reasons[destination, reason[1], int(reason[2])] = data
            else:
                self.problems.append(f"{folder}/{name}")

    def stems_of(self, message):
        return sorted(s for s, data in self.received.items() if data == message.payload)

    def orphans(self):
        """Entries that do not count."""
        return [key for key in self.waiting if key[1] not in self.received]


def check_received(snapshot, messages, accepted, problems):
    known = {m.payload for m in messages}
    for stem, data in snapshot.received.items():
        if data not in known:
            problems.append(f"received/{stem}.hl7 is none of the messages: {data[:60]!r}")
    for m in messages:
        n = len(snapshot.stems_of(m))
        if n > 1:
            problems.append(f"{m} is stored {n} times")
        if n == 0 and m.id in accepted:
            problems.append(f"{m} was acknowledged, and is not stored")


def check_entries(snapshot, messages, problems):
    """Each stored message has exactly its entries; those of no stored message are whole ones."""
    by_stem = {s: m for m in messages for s in snapshot.stems_of(m)}
    wanted = {(destination, stem, i): data for stem, m in by_stem.items()
              for i, (destination, data) in enumerate(m.entries)}
    whole = {e for m in messages for e in m.entries}
    for key, data in wanted.items():
        if snapshot.waiting.get(key) != data:
            problems.append(f"entry {key} of {by_stem[key[1]]} is not there as it should be: "
                            f"{snapshot.waiting.get(key)!r}")
    for key, data in snapshot.waiting.items():
        if key[1] in by_stem and key not in wanted:
            problems.append(f"entry {key} is one too many")
        if (key[0], data) not in whole:
            problems.append(f"entry {key} is not whole: {data[:60]!r}")


def check_known(snapshot, messages, complete, problems):
    """Only the beginnings of a commit may stay besides; after all were resent, nothing of them."""
    known = {m.payload for m in messages}
    for name, data in snapshot.hidden["k"].items():
        if data not in known:
            problems.append(f"received/{name} is none of the messages")
    for name, data in snapshot.hidden["a"].items():
        own, _, answer = data.partition(b"\n")
        if not Snapshot.RECEIVED.match(own.decode("latin-1")) or not answer.startswith(b"MSH"):
            problems.append(f"received/{name} is no receipt: {data[:80]!r}")
    for name, data in snapshot.hidden["i"].items():
        if data not in known:
            problems.append(f"received/{name} is none of the messages")
        elif complete and data not in snapshot.received.values():
            problems.append(f"received/{name} is of a message that is not there")
    if complete and len(snapshot.hidden["k"]) != len(messages):
        problems.append(f"{len(snapshot.hidden['k'])} keys of {len(messages)} messages")


def check_links(snapshot, problems):
    """A key and its message are one file."""
    inodes = {}
    for stem in snapshot.received:
        inodes[os.lstat(snapshot.path / "received" / f"{stem}.hl7").st_ino] = stem
    for name in [*snapshot.hidden["k"], *snapshot.hidden["i"]]:
        if os.lstat(snapshot.path / "received" / name).st_ino not in inodes:
            problems.append(f"received/{name} is another file than its message")


def check_store(path, messages, accepted, complete=False, ask=True):
    """What is wrong with a store in which some of the messages may be, and the accepted ones must
    be, whole. `complete`: all of them must be. `ask`: hl7-queue too."""
    snapshot = Snapshot(path)
    problems = list(snapshot.problems)
    check_received(snapshot, messages, {m.id for m in messages} if complete else accepted, problems)
    check_entries(snapshot, messages, problems)
    check_known(snapshot, messages, complete, problems)
    if complete:
        check_links(snapshot, problems)
    return problems + (ask_queue_check(path) if ask else [])


def ask_queue_check(path):
    """What hl7-queue says of it, where the build has it."""
    if not QUEUE.exists() or not path.exists():
        return []
    done = subprocess.run([QUEUE, f"--store={path}", "check", "--deep"], capture_output=True,
                          env=environment(), timeout=hl7test.PATIENCE, check=False)
    if done.returncode == 0:
        return []
    return [f"hl7-queue check: {done.returncode}: {(done.stdout + done.stderr).decode()[-400:]}"]


# --- a destination --------------------------------------------------------------------------------

class Sink:
    """Takes messages; `codes` has the answers to a control id, the last of them for ever after."""

    def __init__(self, codes=None):
        self.codes = codes or {}
        self.tries = []       # (control id, payload, code), in the order in which they came
        self.server = hl7test.Server(self.handle)
        self.port = self.server.port

    def handle(self, server, peer, _number):
        while True:
            payload = server.read(peer)
            if payload is None:
                return
            control_id = payload.split(b"|")[9].decode()
            codes = self.codes.get(control_id, ["AA"])
            n = sum(t[0] == control_id for t in self.tries)
            code = codes[min(n, len(codes) - 1)]
            self.tries.append((control_id, payload, code))
            peer.send(frame(hl7test.answer_to(payload, code)))

    @property
    def accepted(self):
        return [t[0] for t in self.tries if t[2] == "AA"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.server.stop()


def forwarder(store, destination, port, *options):
    return [FORWARD, f"--store={store}", f"--to=mllp://127.0.0.1:{port}", "--linger=0",
            "--retry-min=1ms", "--retry-max=5ms", "--ack-timeout=5s", "--log=stderr",
            f"--destinations={store}/none", *options, destination]


def forward(folder, destination, port, *options, inject=(), name="forward", wrapper=()):
    """hl7-forward to its end: (exit status, trace)."""
    trace = folder / f"{name}.trace"
    line = [*(strace(trace, *inject) if inject else ()), *wrapper,
            *forwarder(folder / "store", destination, port, *options)]
    with open(folder / f"{name}.log", "wb") as log:
        popen = subprocess.Popen([str(c) for c in line], stdin=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL, stderr=log, env=environment())
        try:
            popen.wait(hl7test.PATIENCE)
        finally:
            if popen.poll() is None:
                popen.kill()
                popen.wait()
    return popen.returncode, Trace(trace)


def deliver_all(folder, messages):
    """Drains the queues of a store that holds all of the messages. Each destination must get each
    entry once, and the queues are empty then."""
    problems = []
    for destination in sorted({d for m in messages for d, _ in m.entries}):
        with Sink() as sink:
            status, _ = forward(folder, destination, sink.port, name=f"deliver-{destination}")
            got = [payload for _, payload, _ in sink.tries]
        wanted = [data for m in messages for d, data in m.entries if d == destination]
        if status != 0:
            problems.append(f"hl7-forward {destination} ended with {status}")
        if sorted(got) != sorted(wanted):
            problems.append(f"{destination} got {[g[:40] for g in got]}")
    left = Snapshot(folder / "store").waiting
    if left:
        problems.append(f"left in the queues: {sorted(left)}")
    return problems


# --- a walk ---------------------------------------------------------------------------------------

class Walk:
    """Many runs, a few at a time; each returns what is wrong, and all are told at the end."""

    totals = []  # (name, runs, seconds), for the summary

    def __init__(self, name):
        self.name = name
        self.runs = 0
        self.failures = []
        self.notes = {}
        self.began = time.monotonic()

    def note(self, what, n=1):
        self.notes[what] = self.notes.get(what, 0) + n

    def run(self, points, one):
        """one(point) for each; what it returns are problems."""
        with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
            for point, problems in zip(points, pool.map(functools.partial(self.guard, one),
                                                        points)):
                self.runs += 1
                if problems:
                    self.failures.append((point, problems))

    @staticmethod
    def guard(one, point):
        try:
            return one(point)
        except Exception as e:  # pylint: disable=broad-except
            return [f"{type(e).__name__}: {str(e)[:1000]}"]

    def finish(self, at_least):
        Walk.totals.append((self.name, self.runs, time.monotonic() - self.began, self.notes))
        text = "\n".join("; ".join(problems)[:1000] + f" ({str(point)[:500]})"
                         for point, problems in self.failures[:20])
        assert not self.failures, f"{len(self.failures)} of {self.runs} runs:\n{text}"
        assert self.runs >= at_least, f"only {self.runs} runs"
