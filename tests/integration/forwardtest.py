# SPDX-License-Identifier: MIT
"""What the tests of hl7-forward share: a store filled by hand, and destinations that misbehave."""
import contextlib
import datetime
import fcntl
import os
import pathlib
import re

from hl7test import BUILD, answer_to, frame

FORWARD = BUILD / "src" / "forward" / "hl7-forward"
NAME = "ris"

EXIT_TEMPORARY = 75

# Pauses that a test can wait for
QUICK = ("--retry-min=50ms", "--retry-max=200ms", "--linger=0")

DELIVERED, FAILED, HELD = "message delivered", "message failed", "message held back"
DOWN, BACK = "destination down", "destination back"


class Queue:
    """A destination's queue as hl7-receive leaves it: queue.put(message) commits one."""

    def __init__(self, store, name=NAME):
        self.store = pathlib.Path(store)
        self.name = name
        self.time = datetime.datetime.now(datetime.timezone.utc)
        self.waiting = self.store / "queue" / name
        self.failed = self.store / "failed" / name
        self.received = self.store / "received"
        for folder in self.waiting, self.received:
            folder.mkdir(parents=True, exist_ok=True)

    def stem(self):
        self.time = max(datetime.datetime.now(datetime.timezone.utc),
                        self.time + datetime.timedelta(microseconds=1))
        return self.time.strftime("%Y%m%dT%H%M%S.%fZ-1-1")

    @contextlib.contextmanager
    def commit_in_the_middle(self):
        """What says so: the folder is locked, shared."""
        fd = os.open(self.waiting, os.O_RDONLY)
        fcntl.flock(fd, fcntl.LOCK_SH)
        try:
            yield
        finally:
            os.close(fd)

    def put(self, payload, stem=None, committed=True, number=0):
        """Returns the entry's name. As a commit does it: the entry first, then what it counts by."""
        stem = stem or self.stem()
        entry = self.waiting / f"{stem}.{number:03d}.hl7"
        with self.commit_in_the_middle():
            (self.store / "new").write_bytes(payload)
            os.rename(self.store / "new", entry)
            if committed:
                self.commit(entry.name)
        return entry.name

    def commit(self, name):
        (self.received / f"{name.rsplit('.', 2)[0]}.hl7").write_bytes(b"MSH|^~\\&|\r")

    def names(self):
        return sorted(n for n in os.listdir(self.waiting) if not n.startswith("."))

    def failed_names(self):
        return sorted(os.listdir(self.failed)) if self.failed.is_dir() else []

    def reason(self, name):
        """The facts that stand beside a failed message."""
        text = (self.failed / name.replace(".hl7", ".txt")).read_text("utf-8")
        return dict(re.findall(r"^([a-z]+): (.*)$", text, re.M))

    def state(self):
        """What the forwarder says it does; all of its figures are 0 before it was ever started."""
        path = self.store / "queue" / f".{self.name}"
        text = path.read_text("utf-8") if path.exists() else ""
        return {"state": "", "retries": "0"} | dict(re.findall(r"^([a-z-]+): (.*)$", text, re.M))


def ids(server):
    """Control ids in the order in which they came."""
    return [p.split(b"|")[9].decode() for p in server.received]


def by_id(answers, default="AA"):
    """A handler that answers as the control id says: {"ID1": "AE"}; a list is used up, one a try."""
    answers = {k: list(v) if isinstance(v, list) else v for k, v in answers.items()}

    def handler(server, peer, _number):
        while (payload := server.read(peer)) is not None:
            code = answers.get(payload.split(b"|")[9].decode(), default)
            if isinstance(code, list):
                code = code.pop(0) if code else default
            if code is not None:
                peer.send(frame(answer_to(payload, code)))
    return handler


def scripted(*steps):
    """A handler whose n-th connection does what the n-th step says; the last one goes on."""
    def handler(server, peer, number):
        steps[min(number, len(steps) - 1)](server, peer)
    return handler


def accept_all(server, peer):
    while (payload := server.read(peer)) is not None:
        peer.send(frame(answer_to(payload)))


def accept(n):
    """Answers so many, then closes."""
    def step(server, peer):
        for _ in range(n):
            payload = server.read(peer)
            if payload is None:
                return
            peer.send(frame(answer_to(payload)))
    return step


def answer_with(make):
    """Answers the first message with these bytes, and then only waits for the end."""
    def step(server, peer):
        payload = server.read(peer)
        if payload is not None:
            peer.send(make(payload) if callable(make) else make)
            peer.read_to_end()
    return step


def swallow(server, peer):
    """Reads one message, answers nothing, waits for the end."""
    server.read(peer)
    peer.read_to_end()


def read_and_close(server, peer):
    server.read(peer)


def cpu_seconds(pid):
    """What a process that runs has used."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

