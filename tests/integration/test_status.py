# SPDX-License-Identifier: MIT
"""The line "Status:" of systemctl status: what the services tell the service manager, and how often."""
import contextlib
import os
import re
import socket
import time

import pytest

from forwardtest import FORWARD, NAME, Queue, accept_all, scripted
from hl7test import ask_once, connect, environment, free_port, message, wait_until

STAMP = r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d"


class Manager:
    """The service manager's socket; status() is what was told last."""

    def __init__(self, name):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(name.replace("@", "\0"))
        self.socket.setblocking(False)
        self.name = name
        self.told = []

    def status(self):
        with contextlib.suppress(BlockingIOError):
            while True:
                told = self.socket.recv(65536).decode("ascii")
                assert told.startswith("STATUS=") and "\n" not in told, told
                assert "CANARY" not in told and "ID" not in told
                self.told.append(told.removeprefix("STATUS="))
        return self.told[-1] if self.told else ""

    def wait(self, pattern):
        wait_until(lambda: re.fullmatch(pattern, self.status()), f"{pattern}: {self.told}")


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    made = Manager(str(tmp_path / "notify") if request.param == "path" else f"@hl7-test-{tmp_path}")
    yield made
    made.socket.close()


def test_wait_mode(activate, manager, tmp_path):
    """The supervisor's figures; a child can say nothing."""
    activator = activate("--max-connections=2", wrapper=["env", f"NOTIFY_SOCKET={manager.name}"])
    first = connect(activator.port)
    manager.wait("connections: 1 open, 1 since the start, the last " + STAMP + ", 0 refused")
    child, = activator.children()
    notify = {n for n in sockets(activator.supervisor().popen.pid) if n not in sockets(child)}
    assert notify, "the child has the supervisor's socket"
    second = connect(activator.port)
    wait_until(lambda: len(activator.children()) == 2, "two children")
    assert connect(activator.port).read_to_end() == b""
    manager.wait("connections: 2 open, 2 since the start, the last " + STAMP + ", 1 refused")
    assert first.ask(message("ID1")).code == "AA"
    first.close()
    second.close()
    manager.wait("connections: 0 open, 2 since the start, the last " + STAMP + ", 1 refused")


def sockets(pid):
    """The Unix sockets that a process has."""
    found = set()
    with open(f"/proc/{pid}/net/unix", encoding="ascii") as table:
        unix = {line.split()[6] for line in list(table)[1:]}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            target = os.readlink(f"/proc/{pid}/fd/{fd}")
            if target.startswith("socket:[") and target[8:-1] in unix:
                found.add(target)
    return found


def test_wait_mode_is_not_talkative(activate, manager):
    activator = activate(wrapper=["env", f"NOTIFY_SOCKET={manager.name}"])
    began = time.monotonic()
    for n in range(60):
        assert ask_once(activator.port, f"ID{n}") == "AA"
    manager.wait("connections: 0 open, 60 since the start, the last " + STAMP + ", 0 refused")
    assert len(manager.told) <= 3 + (time.monotonic() - began), manager.told


@pytest.fixture
def forward(start, store, tmp_path, manager):
    def forward(port, *options):
        return start([FORWARD, f"--store={store.path}", f"--destinations={tmp_path}", "--retry-min=50ms",
                      "--retry-max=200ms", f"--to=mllp://127.0.0.1:{port}", *options, NAME],
                     env=environment(NOTIFY_SOCKET=manager.name))
    return forward


def test_forwarder(forward, store, serve, manager):
    """Down since when and why, then delivered, then idle; a hundred messages are no hundred lines."""
    queue = Queue(store.path)
    for n in range(100):
        queue.put(message(f"ID{n}"))
    port = free_port()
    process = forward(port, "--linger=0")
    manager.wait(r"ris: 100 waiting, destination down since " + STAMP
                 + r" \(no connection: Connection refused\); 0 delivered in all, the last never; 0 failed")
    serve(scripted(accept_all), port=port)
    assert process.wait() == 0
    manager.wait("ris: nothing waits; 100 delivered in all, the last " + STAMP + "; 0 failed")
    assert any(re.match(r"ris: \d+ waiting, delivering; \d+ delivered", told) for told in manager.told)
    assert len(manager.told) < 30, manager.told


def test_a_command_is_not_told_of_it(start, store, tmp_path, manager):
    Queue(store.path).put(message("ID1"))
    out = tmp_path / "out"
    process = start([FORWARD, f"--store={store.path}", f"--destinations={tmp_path}", "--linger=0",
                     f"--to=exec:echo \"[$NOTIFY_SOCKET]\" >{out}", NAME], env=environment(NOTIFY_SOCKET=manager.name))
    assert process.wait() == 0
    assert out.read_text() == "[]\n"


@pytest.mark.parametrize("name", ["", "x", "/", "@", "/no/such/socket", "/" + "x" * 200, "vsock:2:1"])
def test_nobody_listens(start, store, tmp_path, serve, name):
    Queue(store.path).put(message("ID1"))
    server = serve(scripted(accept_all))
    process = start([FORWARD, f"--store={store.path}", f"--destinations={tmp_path}", "--linger=0",
                     f"--to=mllp://127.0.0.1:{server.port}", NAME], env=environment(NOTIFY_SOCKET=name))
    assert process.wait() == 0


def test_a_manager_that_does_not_read(forward, store, serve, manager):
    """Its socket is full: nobody waits for it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filler, contextlib.suppress(BlockingIOError):
        filler.setblocking(False)
        while True:
            filler.sendto(b"STATUS=x", manager.name.replace("@", "\0"))
    Queue(store.path).put(message("ID1"))
    assert forward(serve(scripted(accept_all)).port, "--linger=0").wait() == 0
