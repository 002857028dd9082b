# SPDX-License-Identifier: MIT
"""The fixtures: a temporary store, hl7-receive on one connection, processes stopped at the end."""
import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile

import pytest

import hl7test
from hl7test import (AS_SYSTEMD, RECEIVE, Activator, Connection, Logs, Process, Store,
                     environment)


def pytest_configure():
    if not RECEIVE.exists():
        raise pytest.UsageError(f"{RECEIVE} is missing: build first, or set HL7_BUILD_DIR")


@pytest.fixture
def logs(tmp_path):
    """The standard errors of this test; no patient and no sanitizer's report may be in any."""
    logs = Logs(tmp_path / "logs")
    yield logs
    logs.check()


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def ack_d(tmp_path):
    """Writes templates: ack_d("name", "text")."""
    folder = tmp_path / "ack.d"

    def write(name, text):
        folder.mkdir(exist_ok=True)
        path = folder / f"{name}.hl7t"
        path.write_text(text, encoding="utf-8")
        return path

    write.path = folder
    return write


@pytest.fixture
def start(logs):
    """Starts a process: start([command], **Popen's options); it is stopped at the end."""
    started = []

    def start(command, name=None, **options):
        options.setdefault("env", environment())
        options.setdefault("stdin", subprocess.DEVNULL)
        log = logs.new(name or pathlib.Path(str(command[0])).name)
        started.append(Process(command, log, **options))
        return started[-1]

    yield start
    for process in reversed(started):
        process.stop()


@pytest.fixture
def command(store, ack_d):
    """hl7-receive's command line with this test's store and templates: command("--messages=0")."""

    def command(*options, store_options=None):
        if store_options is None:
            store_options = [f"--store={store.path}"]
        return [RECEIVE, *store_options, f"--ack-templates={ack_d.path}", *options]

    return command


@pytest.fixture
def receive(command, logs, store):
    """hl7-receive on a connection of its own: receive("--messages=0").peer.ask(message()).

    before  called with the peer's end before the process starts: what it sends is there at once
    way     "systemd" (descriptor 3) or "inetd" (descriptor 0)
    wrapper words in front of the command, which must end in exec()
    buffers SO_SNDBUF of our end and SO_RCVBUF of the peer's, in bytes
    """
    started = []

    def receive(*options, way="systemd", wrapper=(), before=None, buffers=None, env=None,
                **more):
        line = [*wrapper, *(AS_SYSTEMD if way == "systemd" else ()), *command(*options, **more)]
        started.append(Connection(line, logs.new("hl7-receive"), store.path, before=before,
                                  buffers=buffers, env=environment(**(env or {}))))
        return started[-1]

    yield receive
    for connection in started:
        connection.peer.close()
        connection.stop()


@pytest.fixture
def listener(start, command):
    """hl7-receive under systemd-socket-activate: listener("--messages=0") is its port."""

    def listener(*options):
        port = hl7test.free_port()
        start([hl7test.need("systemd-socket-activate"), "-a", "-l", f"127.0.0.1:{port}",
               *command(*options)])
        hl7test.connect(port).close()
        return port

    return listener


@pytest.fixture
def activate(start, command):
    """activate("--messages=0").port; the processes and the socket are gone at the end.

    wrapper words in front of the command, which must end in exec()
    """
    made = []

    def activate(*options, sockets=None, wrapper=(), **more):
        sockets = sockets or [socket.create_server(("127.0.0.1", 0), backlog=4096)]
        made.append(Activator(start, [*wrapper, *command(*options, **more)], sockets))
        return made[-1]

    yield activate
    for activator in made:
        activator.end()


@pytest.fixture
def serve():
    """A listener of our own: serve(answering("AA")).port; it is stopped at the end."""
    started = []

    def serve(handler, **more):
        started.append(hl7test.Server(handler, **more))
        return started[-1]

    yield serve
    for server in started:
        server.stop()


@pytest.fixture
def run(logs):
    """Runs a program to its end: run([command], input=bytes); returns it with text outputs."""

    def run(command, **options):
        options.setdefault("env", environment())
        options.setdefault("timeout", hl7test.PATIENCE)
        if "input" not in options:
            options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("stdout", subprocess.PIPE)
        done = subprocess.run([str(c) for c in command], stderr=subprocess.PIPE, check=False,
                              **options)
        logs.new(pathlib.Path(str(command[0])).name).write_bytes(done.stderr)
        done.told = done.stderr.decode("latin-1")
        return done

    return run


class Namespace:
    """A mount namespace: what is mounted in it is gone with it, however this test ends."""

    def __init__(self, process):
        self.process = process
        self.enter = ["nsenter", "-t", str(process.popen.pid), "-m", "--"]

    def path(self, inside):
        """A path in there, as seen from here."""
        return pathlib.Path(f"/proc/{self.process.popen.pid}/root{inside}")

    def run(self, script, *arguments):
        subprocess.run([*self.enter, "sh", "-ec", script, "sh", *map(str, arguments)],
                       check=True, timeout=hl7test.PATIENCE)


@pytest.fixture
def namespace(start):
    hl7test.need("unshare")
    hl7test.need("nsenter")
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        if os.geteuid() != 0:
            pytest.skip("no mount namespace can be made here (root is needed)")
        hl7test.missing("no mount namespace can be made here, though by root")
    # it ends when its standard input does: with this process at the latest
    process = start(["unshare", "-m", "--propagation", "private", "sh", "-c",
                     "echo ready; read line || :"],
                    name="namespace", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.popen.stdout.readline() == b"ready\n"
    return Namespace(process)


@pytest.fixture
def journal(namespace):
    """A journal's socket in a namespace of its own: journal.entries(n) waits for so many, but for
    what is told of the sandbox, which journal.sandbox() waits for. The catalog has each of them."""
    namespace.run("mount -t tmpfs tmpfs /run; mkdir -p /run/systemd/journal")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(str(namespace.path("/run/systemd/journal/socket")))
        s.settimeout(hl7test.PATIENCE)

        def read():
            entry = hl7test.check_explained(hl7test.parse_entry(s.recv(65536)))
            return entry if entry["MESSAGE_ID"] != hl7test.SANDBOX_ID else read()

        def entries(n):
            return [read() for _ in range(n)]

        def no_more():
            s.setblocking(False)
            with pytest.raises(BlockingIOError):
                read()

        def sandbox():
            entry = hl7test.check_explained(hl7test.parse_entry(s.recv(65536)))
            return entry if entry["MESSAGE_ID"] == hl7test.SANDBOX_ID else sandbox()

        namespace.entries, namespace.no_more, namespace.sandbox = entries, no_more, sandbox
        yield namespace


@pytest.fixture
def world_path():
    """A folder that other users can enter, which pytest's own is not."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="hl7-test-"))
    path.chmod(0o755)
    yield path
    with contextlib.suppress(OSError):
        shutil.rmtree(path)
