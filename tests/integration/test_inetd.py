# SPDX-License-Identifier: MIT
"""Started by systemd-socket-activate, socat, ncat, a real inetd; and in ways that are refused."""
import os
import pathlib
import socket
import subprocess
import time

import pytest

from hl7test import (AS_SYSTEMD, EXIT_USAGE, FS, PATIENCE, SANDBOX_ID, RECEIVE, VT, Peer, acks, check_log,
                     connect, entries, environment, frame, free_port, message, need, wait_until)

M, N = message("ID1"), message("ID2")


def converse(port, control_id="ID1"):
    """One connection, one message, its answer and nothing else."""
    peer = connect(port)
    peer.send(frame(message(control_id)))
    peer.read_to_end()
    answer, = acks(peer.received)
    peer.close()
    assert (answer.code, answer.control_id) == ("AA", control_id.encode())


def check_server(port, store):
    converse(port)
    connect(port).close()  # a scan
    converse(port, "ID3")
    two = [connect(port), connect(port)]  # at the same time
    for peer, payload in zip(two, (N, message("ID4"))):
        assert peer.ask(payload).code == "AA"
    for peer in two:
        peer.close()
    refused = connect(port)
    refused.send(frame(message("")))
    refused.read_to_end()
    assert [a.code for a in acks(refused.received)] == ["AE"]
    refused.close()
    assert sorted(store.messages()) == [message(f"ID{n}") for n in (1, 2, 3, 4)]


def test_systemd_socket_activate(start, command, store):
    port = free_port()
    process = start([need("systemd-socket-activate"), "-a", "-l", f"127.0.0.1:{port}", *command()],
                    env=environment(PATH=os.environ["PATH"]))
    check_server(port, store)
    assert "stored" in process.log_text


def test_systemd_socket_activate_ipv6(start, command, store):
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6) as s:
            port = s.getsockname()[1]
    except OSError as e:
        pytest.skip(f"no IPv6 loopback here: {e}")
    process = start([need("systemd-socket-activate"), "-a", "-l", f"[::1]:{port}", *command()])
    peer = connect(port, "::1")
    assert peer.ask(M).code == "AA"
    peer.close()
    wait_until(lambda: "HL7_PEER=::1" in process.log_text)


def test_socat(start, command, store):
    port = free_port()
    line = " ".join(map(str, command()))
    process = start([need("socat"), f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork",
                     f"EXEC:{line}"])
    check_server(port, store)
    assert "stored" in process.log_text


# A pipe has no half-close, and socat and ncat leave a second copy of it open: the peer sees the end
# of the answers only when the process ends.
SHORT_DRAIN = "--drain-timeout=100ms"


def test_socat_with_pipes(start, command, store):
    port = free_port()
    line = " ".join(map(str, command(SHORT_DRAIN)))
    start([need("socat"), f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork",
           f"EXEC:{line},pipes"])
    check_server(port, store)


@pytest.mark.parametrize("option", ["-e", "--sh-exec"])
def test_ncat(start, command, store, option):
    port = free_port()
    line = " ".join(map(str, command(SHORT_DRAIN)))
    start([need("ncat"), "--listen", "--keep-open", "127.0.0.1", str(port), option, line])
    check_server(port, store)


def test_end_of_a_pipe_is_told_behind_the_last_answer(start, command):
    process = start(command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    began = time.monotonic()
    process.popen.stdin.write(frame(M))
    process.popen.stdin.flush()
    assert [a.code for a in acks(process.popen.stdout.read())] == ["AA"]
    assert time.monotonic() - began < 1.5, "only when the drain timeout ended it"
    process.popen.stdin.close()
    assert process.wait() == 0


def test_pipes(command, logs, store):
    """As in a shell's pipeline; there is no peer's address."""
    process = subprocess.run([str(c) for c in command("--messages=0")], input=frame(M) + frame(N),
                             capture_output=True, timeout=PATIENCE, env=environment(), check=True)
    logs.new().write_bytes(process.stderr)
    assert [a.code for a in acks(process.stdout)] == ["AA", "AA"]
    assert store.messages() == [M, N]
    assert all("HL7_PEER" not in e for e in entries(process.stderr.decode()))


def test_reader_of_the_pipe_is_gone(command, logs, store, start):
    r, w = os.pipe()
    process = start(command(), stdin=subprocess.PIPE, stdout=w)
    os.close(w)
    os.close(r)
    process.popen.stdin.write(frame(M))
    process.popen.stdin.close()
    process.popen.stdin = None
    assert process.wait() == 0
    assert store.messages() == [M]
    check_log(process.log, [("message stored: AA not taken", {"ERRNO": 32})])


def test_reader_of_the_pipe_never_reads(command, ack_d, start, store):
    ack_d("big", "MSH|^~\\&|A||||{now}||ACK|{id}|P|2.5\nMSA|AA|{MSH-10}\nNTE|1||" + "x" * 900_000)
    r, w = os.pipe()
    process = start(command("--write-timeout=500ms", "--drain-timeout=100ms"),
                    stdin=subprocess.PIPE, stdout=w)
    os.close(w)
    process.popen.stdin.write(frame(M))
    process.popen.stdin.flush()
    try:
        assert process.wait() == 0
    finally:
        os.close(r)
    check_log(process.log, [("message stored: AA not taken", {"ERRNO": 110})])


# --- the connection as descriptors 0, 1 and 2 -----------------------------------------------------

def all_three(command, converse_with, env=None):
    """As an inetd starts it; returns the exit status."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours:
        process = subprocess.Popen([str(c) for c in command], stdin=ours, stdout=ours, stderr=ours,
                                   env=env or environment())
    peer = Peer(theirs)
    try:
        converse_with(peer)
        peer.close()
        return process.wait(PATIENCE)
    finally:
        peer.close()
        if process.poll() is None:
            process.kill()
            process.wait()


CONVERSATIONS = [
    ("a message", frame(M), "AA"),
    ("noise and a message", b"noise" + frame(M), "AA"),
    ("an empty frame", frame(b""), ""),
    ("no header", frame(b"hello"), ""),
    ("half a frame", VT + M[:50], ""),
    ("FS inside", VT + M[:80] + FS + M[80:] + FS, "AE"),
    ("no control id", frame(message("")), "AE"),
    ("nothing", b"", ""),
]


@pytest.mark.parametrize("name, sent, codes", CONVERSATIONS, ids=[c[0] for c in CONVERSATIONS])
def test_nothing_but_answers_reaches_the_peer(command, name, sent, codes):
    def converse_with(peer):
        peer.send(sent)
        peer.half_close()
        peer.read_to_end()
        assert " ".join(a.code for a in acks(peer.received)) == codes

    assert all_three(command(), converse_with) == 0


@pytest.mark.parametrize("trouble", ["broken template", "no store", "--log=stderr"])
def test_no_log_line_reaches_the_peer(command, ack_d, tmp_path, trouble):
    options = ()
    if trouble == "broken template":
        ack_d("broken", "{")
    if trouble == "no store":
        options = (f"--store={tmp_path}/not/there",)
    if trouble == "--log=stderr":
        options = ("--log=stderr",)

    def converse_with(peer):
        peer.send(frame(M))
        peer.read_to_end()
        assert [a.code for a in acks(peer.received)] == [
            "AA" if trouble == "--log=stderr" else "AR"]

    all_three(command(*options), converse_with)


@pytest.mark.parametrize("option", ["--nonsense", "--messages=many", "argument", "--help",
                                    "--version"])
def test_not_even_a_usage_error_reaches_the_peer(command, option):
    """An administrator's slip in inetd.conf: what the peer would get is no answer."""
    def converse_with(peer):
        assert peer.read_to_end() == b""

    all_three(command(option), converse_with)


# --- a real inetd ---------------------------------------------------------------------------------

@pytest.fixture
def inetd(namespace, start, command, tmp_path):
    """openbsd-inetd on a loopback port, with /run and so its pid file in a namespace of its own."""
    program = need("inetd")
    port = free_port()
    conf = tmp_path / "inetd.conf"

    def run(*options):
        line = [str(c) for c in command(*options)]
        conf.write_text(f"127.0.0.1:{port} stream tcp nowait root {line[0]} {' '.join(line)}\n")
        namespace.run("mount -t tmpfs tmpfs /run; mkdir -p /run/systemd/journal")
        process = start([*namespace.enter, program, "-i", conf])
        wait_until(lambda: process.popen.poll() is not None or is_listening(port), "listening")
        assert process.popen.poll() is None, process.log_text
        process.namespace = namespace
        process.port = port
        return process

    return run


def is_listening(port):
    tables = pathlib.Path("/proc/net/tcp").read_text(encoding="ascii")
    return f":{port:04X} 00000000:0000 0A" in tables


def test_inetd(inetd, store):
    process = inetd()
    check_server(process.port, store)
    assert process.log_text == "", "inetd's own standard error is not the connection's log"


def test_inetd_peer_sees_nothing_but_answers(inetd, ack_d):
    ack_d("broken", "{")
    process = inetd()
    peer = connect(process.port)
    peer.send(frame(M))
    peer.read_to_end()
    assert [a.code for a in acks(peer.received)] == ["AR"]
    peer.close()


def test_inetd_logs_to_the_journal(inetd, store):
    """Where standard error is the peer, the entries go to the journal if there is one."""
    process = inetd()
    path = process.namespace.path("/run/systemd/journal/socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(str(path))
        journal.settimeout(PATIENCE)
        converse(process.port)
        entry = journal.recv(65536).decode()
        if SANDBOX_ID in entry:
            entry = journal.recv(65536).decode()
    assert "HL7_CONTROL_ID=ID1\n" in entry
    assert "HL7_OUTCOME=stored\n" in entry


# --- all other ways -------------------------------------------------------------------------------

def check_refused_start(status, told):
    assert status == EXIT_USAGE
    assert "systemctl enable --now" in told
    assert "inetd" in told
    assert "systemd-socket-activate" in told


@pytest.mark.parametrize("stdin", ["/dev/null", "file"])
def test_no_connection(start, command, tmp_path, stdin):
    path = tmp_path / "file"
    path.write_bytes(frame(M))
    with open(path if stdin == "file" else stdin, "rb") as f:
        process = start(command(), stdin=f, stdout=subprocess.DEVNULL)
        check_refused_start(process.wait(), process.log_text)


def test_from_a_terminal(command, logs):
    controller, terminal = os.openpty()
    log = logs.new()
    with open(log, "wb") as stderr:
        status = subprocess.run([str(c) for c in command()], stdin=terminal, stdout=terminal,
                                stderr=stderr, timeout=PATIENCE, env=environment(),
                                check=False).returncode
    os.close(terminal)
    os.close(controller)
    check_refused_start(status, log.read_text())


def test_without_descriptors(start, command):
    process = start(["/bin/sh", "-c", 'exec "$@" <&- >&-', "sh", *command()])
    assert process.wait() == EXIT_USAGE


def test_nothing_is_printed_into_the_store(start, command, store):
    """Descriptors 0 to 2 are closed: what is opened next must not take their place."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = start(["/bin/sh", "-c", 'LISTEN_FDS=1 LISTEN_PID=$$ exec "$@" 3<&0 0<&- 1>&- 2>&-', "sh",
                         *command("--log=stderr")], stdin=ours)
        peer = Peer(theirs)
        assert peer.ask(M).code == "AA"
        peer.close()
        assert process.wait() == 0
    assert store.messages() == [M]
    assert (store.path / ".order").read_bytes() == b""


def test_standard_input_is_a_pipe_but_output_is_a_file(start, command):
    process = start(command(), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    check_refused_start(process.wait(), process.log_text)


@pytest.mark.parametrize("way", ["systemd", "inetd"])
def test_socket_of_another_kind(start, command, way):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        process = start([*(AS_SYSTEMD if way == "systemd" else ()), *command()], stdin=s)
        check_refused_start(process.wait(), process.log_text)
    assert "not a stream" in process.log_text


def test_more_than_one_descriptor(start, command):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = start(["/bin/sh", "-c", 'LISTEN_FDS=2 LISTEN_PID=$$ exec "$@" 3<&0 4<&0', "sh",
                         *command()], stdin=ours)
        check_refused_start(process.wait(), process.log_text)


def test_descriptors_for_another_process(start, command):
    """LISTEN_PID of a parent that forgot to clear it."""
    process = start(command(), env=environment(LISTEN_FDS="1", LISTEN_PID="1"))
    check_refused_start(process.wait(), process.log_text)


def test_descriptor_3_is_no_socket(start, command):
    with open("/dev/null", "rb") as null:
        process = start(["/bin/sh", "-c", 'LISTEN_FDS=1 LISTEN_PID=$$ exec "$@" 3<&0', "sh",
                         *command()], stdin=null)
        assert process.wait() == EXIT_USAGE


# --- options --------------------------------------------------------------------------------------

@pytest.mark.parametrize("option", [
    "--nonsense", "--messages=-1", "--messages=x", "--messages=", "--max-message=1", "--store=",
    "--max-message=5G", "--max-message=32Q", "--idle-timeout=x", "--idle-timeout=5w",
    "--frame-timeout=-1", "--write-timeout=1.5s", "--ack-mode=loud", "--on-storage-error=pray",
    "--log=printer", "surplus", "--store",
])
def test_bad_option(start, option, command):
    process = start(command(option))
    assert process.wait() == EXIT_USAGE
    assert "--help" in process.log_text


def test_help_and_version():
    said = subprocess.run([RECEIVE, "--help"], capture_output=True, text=True, timeout=PATIENCE,
                          check=True)
    assert said.stdout.startswith("Usage: hl7-receive ") and not said.stderr
    assert all(len(line) <= 100 for line in said.stdout.splitlines())
    said = subprocess.run([RECEIVE, "--version"], capture_output=True, text=True, timeout=PATIENCE,
                          check=True)
    assert said.stdout.startswith("hl7-receive (hl7-inetd) ")
