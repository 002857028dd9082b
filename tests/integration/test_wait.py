# SPDX-License-Identifier: MIT
"""Wait mode: a listening socket is inherited, and each connection gets a process of its own."""
import os
import pathlib
import signal
import socket
import subprocess
import threading
import time

import pytest

from hl7test import (EXIT_USAGE, FS, PATIENCE, VT, Peer, acks, ask_once, connect,
                     frame, message, need, peer_from, wait_until)

KILLED = "the process of a connection was killed"


def test_each_connection_has_a_process(activate, store):
    activator = activate()
    first, second = connect(activator.port), connect(activator.port)
    wait_until(lambda: len(activator.children()) == 2, "two children")
    second.send(frame(message("ID2")))
    assert acks(second.read_to_end())[0].control_id == b"ID2"
    assert first.ask(message("ID1")).code == "AA"
    second.close()
    first.close()
    wait_until(lambda: not activator.children(), "the children's end")
    assert sorted(store.messages()) == [message("ID1"), message("ID2")]
    assert len(activator.started) == 1


def test_several_sockets(activate, tmp_path):
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(str(tmp_path / "socket"))
    unix.listen()
    tcp = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    activator = activate(sockets=[*tcp, unix])
    for s in tcp:
        assert ask_once(s.getsockname()[1], f"ID{s.fileno()}") == "AA"
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(tmp_path / "socket"))
        assert Peer(s).ask(message("ID9")).code == "AA"
    assert len(activator.started) == 1
    wait_until(lambda: len(activator.log) == 3, "the third entry, which is behind its answer")
    assert [e.get("HL7_PEER") for e in activator.log] == ["127.0.0.1", "127.0.0.1", None]


def test_inetd_wait(start, command):
    """The listening socket as descriptor 0."""
    with socket.create_server(("127.0.0.1", 0)) as s:
        process = start(command("--idle-exit=200ms"), stdin=s)
        assert ask_once(s.getsockname()[1], "ID1") == "AA"
        assert process.wait() == 0


def test_socket_activate_without_accept(start, command):
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]
    start([need("systemd-socket-activate"), "-l", f"127.0.0.1:{port}", *command()])
    connect(port).close()
    for i in range(3):
        assert ask_once(port, f"ID{i}") == "AA"


def test_a_listener_and_a_connection(start, command):
    ours, theirs = socket.socketpair()
    with ours, theirs, socket.create_server(("127.0.0.1", 0)) as s:
        process = start(["/bin/bash", "-c", f'LISTEN_FDS=2 LISTEN_PID=$$ exec "$@" 3<&0 4<&{s.fileno()}', "sh",
                         *command()], stdin=ours, pass_fds=[s.fileno()])
        assert process.wait() == EXIT_USAGE
    assert "more than one descriptor" in process.log_text


# --- limits ---------------------------------------------------------------------------------------

def is_refused(peer):
    try:
        peer.send(frame(message("IDX")))
    except (BrokenPipeError, ConnectionResetError):
        return True
    return peer.read_to_end() == b""


def test_connections_per_source(activate):
    activator = activate("--max-connections-per-source=2")
    held = [peer_from(activator.port, "127.0.0.2") for _ in range(2)]
    wait_until(lambda: len(activator.children()) == 2, "two children")
    assert is_refused(peer_from(activator.port, "127.0.0.2"))
    assert ask_once(activator.port, "ID1", "127.0.0.3") == "AA"
    held.pop().close()
    wait_until(lambda: len(activator.children()) == 1, "a child's end")
    assert ask_once(activator.port, "ID2", "127.0.0.2") == "AA"
    wait_until(lambda: "--max-connections-per-source is reached" in activator.log_text, "the entry")
    held.pop().close()


def test_connections_in_all(activate):
    activator = activate("--max-connections=3", "--max-connections-per-source=0")
    held = [peer_from(activator.port) for _ in range(3)]
    wait_until(lambda: len(activator.children()) == 3, "three children")
    assert all(is_refused(peer_from(activator.port, f"127.0.1.{i}")) for i in range(1, 20))
    for peer in held:
        assert peer.ask(message("ID1")).code == "AA"
        peer.close()
    wait_until(lambda: not activator.children(), "the children's end")
    assert ask_once(activator.port, "ID2") == "AA"
    time.sleep(1.1)  # what came within a second of the first entry is told with the second
    told = [int(e["HL7_CONNECTIONS"]) for e in activator.log if e.text.endswith("--max-connections is reached")]
    assert sum(told) == 19 and len(told) <= 3


def test_nothing_is_left_behind(activate):
    activator = activate()
    assert ask_once(activator.port, "ID0") == "AA"
    pid = activator.supervisor().popen.pid
    wait_until(lambda: not activator.children(), "the child's end")
    before = sorted(os.listdir(f"/proc/{pid}/fd"))
    for i in range(300):
        peer = connect(activator.port)
        if i % 3 == 0:
            peer.reset()
        elif i % 3 == 1:
            peer.close()
        else:
            assert peer.ask(message(f"ID{i}")).code == "AA"
            peer.close()
    wait_until(lambda: not activator.children(), "the children's end")
    assert sorted(os.listdir(f"/proc/{pid}/fd")) == before
    assert activator.started == [activator.process]


def test_no_descriptor_is_left(start, command):
    """The supervisor's table is full: connections wait, or are told of, and it goes on."""
    with socket.create_server(("127.0.0.1", 0)) as s:
        script = 'LISTEN_FDS=1 LISTEN_PID=$$; export LISTEN_FDS LISTEN_PID; ulimit -n 16; exec "$@" 3<&0 </dev/null'
        process = start(["/bin/sh", "-c", script, "sh", *command("--idle-exit=1s", "--max-connections=100")],
                        stdin=s)
        for i in range(30):
            assert ask_once(s.getsockname()[1], f"ID{i}") == "AA"
        assert process.wait() == 0


# --- templates ------------------------------------------------------------------------------------

def test_a_saved_template_is_used_by_the_next_connection(activate, ack_d):
    def said(control_id):
        peer = connect(activator.port)
        peer.send(frame(message(control_id)))
        peer.read_to_end()
        peer.close()
        answer, = acks(peer.received)
        return answer.code, answer["MSA-3"]

    activator = activate()
    assert said("ID1") == ("AA", b"")
    path = ack_d("site", "MSH|^~\\&|{MSH-5}\nMSA|{ack.code}|{MSH-10}|one\n")
    assert said("ID2") == ("AA", b"one")
    path.write_text(path.read_text().replace("one", "two"))  # of the same size, at once
    assert said("ID3") == ("AA", b"two")
    path.write_text("{")
    assert said("ID4")[0] == "AR"
    path.unlink()
    assert said("ID5") == ("AA", b"")
    assert len(activator.started) == 1


def test_a_template_that_was_saved_long_ago_is_not_read_again(activate, ack_d, tmp_path, run):
    """Its folder's stamp is compared only: strace sees no read of the file."""
    path = ack_d("site", "MSH|^~\\&|{MSH-5}\nMSA|{ack.code}|{MSH-10}|old\n")
    activator = activate()
    assert ask_once(activator.port, "ID1") == "AA"
    time.sleep(3.2)  # until a change would have another time for certain
    assert ask_once(activator.port, "ID2") == "AA"
    trace = tmp_path / "trace"
    pid = str(activator.supervisor().popen.pid)
    with subprocess.Popen([need("strace"), "-q", "-e", "trace=openat,accept4", "-o", trace, "-p", pid],
                          stderr=subprocess.PIPE) as strace:
        wait_until(lambda: "TracerPid:\t0" not in pathlib.Path(f"/proc/{pid}/status").read_text(), "strace")
        assert ask_once(activator.port, "ID3") == "AA"
        strace.terminate()
    text = trace.read_text()
    assert "accept4(" in text and str(path.parent) in text
    assert path.name not in text


# --- ends -----------------------------------------------------------------------------------------

def test_idle_exit(activate):
    activator = activate("--idle-exit=300ms")
    peer = connect(activator.port)
    supervisor = activator.supervisor()
    time.sleep(0.6)  # a connection is no idleness
    assert peer.ask(message("ID1")).code == "AA"
    peer.close()
    assert supervisor.wait() == 0
    assert ask_once(activator.port, "ID2") == "AA"
    assert len(activator.started) == 2


def test_sigterm_finishes_the_frame_in_hand(activate, store):
    activator = activate("--stop-timeout=10s")
    peer = connect(activator.port)
    peer.send(VT + message("ID1"))
    supervisor = activator.supervisor()
    wait_until(activator.children, "the child")
    supervisor.popen.send_signal(signal.SIGTERM)
    time.sleep(1.5)  # also behind the signal that the child gets
    assert supervisor.popen.poll() is None
    peer.send(FS + b"\r")
    assert acks(peer.read_to_end())[0].code == "AA"
    assert supervisor.wait() == 0
    assert store.messages() == [message("ID1")]


def test_sigterm_and_an_idle_connection(activate):
    """A sender that keeps its connection is told to make another; nobody waits for it."""
    activator = activate("--messages=0", "--stop-timeout=10s")
    peer = connect(activator.port)
    assert peer.ask(message("ID1")).code == "AA"
    supervisor, before = activator.supervisor(), time.monotonic()
    supervisor.popen.send_signal(signal.SIGTERM)
    assert len(acks(peer.read_to_end())) == 1
    assert supervisor.wait() == 0
    assert time.monotonic() - before < 8
    peer.close()


def test_stop_timeout_leaves_who_is_not_done(activate, store):
    """The supervisor does not wait longer; the child goes on, and the next supervisor is not in its way."""
    activator = activate("--stop-timeout=200ms")
    peer = connect(activator.port)
    peer.send(VT + message("ID1"))
    supervisor = activator.supervisor()
    wait_until(activator.children, "the child")
    supervisor.popen.send_signal(signal.SIGTERM)
    assert supervisor.wait() == 0
    assert ask_once(activator.port, "ID2") == "AA"
    peer.send(FS + b"\r")
    assert acks(peer.read_to_end())[0].code == "AA"
    assert sorted(store.messages()) == [message("ID1"), message("ID2")]


def test_no_connection_is_refused_while_it_is_restarted(activate, store):
    """Ten times, with eight senders that make a connection for each message."""
    activator = activate()
    said, problems, go_on = [], [], threading.Event()
    go_on.set()

    def send(sender):
        i = 0
        try:
            while go_on.is_set():
                said.append((sender, i, ask_once(activator.port, f"S{sender}N{i}")))
                i += 1
        except OSError as e:
            problems.append(e)

    senders = [threading.Thread(target=send, args=(i,)) for i in range(8)]
    for thread in senders:
        thread.start()
    for _ in range(10):
        time.sleep(0.2)
        supervisor = activator.supervisor()
        supervisor.popen.send_signal(signal.SIGTERM)
        assert supervisor.wait() == 0
    go_on.clear()
    for thread in senders:
        thread.join(PATIENCE)
    assert not problems
    assert len(said) > 100 and {code for *_, code in said} == {"AA"}
    assert len(store.messages()) == len(said)
    assert len(activator.started) >= 10


# SIGSYS is a crash that the sanitizers do not take for theirs
@pytest.mark.parametrize("how", [signal.SIGSYS, signal.SIGKILL])
def test_a_child_is_killed(activate, how):
    """It is told; its siblings go on. After a crash the supervisor makes room for one with other addresses."""
    activator = activate()
    victim = connect(activator.port)
    wait_until(activator.children, "the first child")
    child, = activator.children()
    sibling = connect(activator.port)
    wait_until(lambda: len(activator.children()) == 2, "the second child")
    supervisor = activator.supervisor()
    os.kill(child, how)
    assert victim.read_to_end() == b""
    wait_until(lambda: KILLED in supervisor.log_text, "the entry")
    killed, = [e for e in supervisor.log if e.text.endswith(KILLED)]
    assert killed["HL7_SIGNAL"] == how.name.removeprefix("SIG")
    assert killed["HL7_PEER"] == "127.0.0.1" and killed["HL7_PEER_PORT"]
    assert ask_once(activator.port, "ID2") == "AA"
    assert sibling.ask(message("ID1")).code == "AA"
    sibling.close()
    assert (supervisor.popen.poll() == 0) == (how == signal.SIGSYS)
    assert len(activator.started) == (2 if how == signal.SIGSYS else 1)


def test_the_store_is_opened_by_each_connection(activate, store):
    """A store that cannot be used now may be used later."""
    store.path.write_bytes(b"a file")
    activator = activate()
    assert ask_once(activator.port, "ID1") == "AR"
    store.path.unlink()
    assert ask_once(activator.port, "ID1") == "AA"


def test_same_message_on_many_connections_at_once(activate, store):
    activator = activate("--max-connections-per-source=0")
    said = []
    senders = [threading.Thread(target=lambda: said.append(ask_once(activator.port, "ID1"))) for _ in range(20)]
    for thread in senders:
        thread.start()
    for thread in senders:
        thread.join(PATIENCE)
    assert said == ["AA"] * 20
    assert store.messages() == [message("ID1")]


# --- who may connect ------------------------------------------------------------------------------

def test_allow(activate):
    activator = activate("--allow=127.0.1.0/24", "--allow=127.0.0.9")
    assert ask_once(activator.port, "ID1", "127.0.1.7") == "AA"
    assert ask_once(activator.port, "ID2", "127.0.0.9") == "AA"
    assert all(is_refused(peer_from(activator.port, "127.0.0.1")) for _ in range(5))
    wait_until(lambda: "not in --allow" in activator.log_text, "the entry")
    assert ask_once(activator.port, "ID3", "127.0.0.9") == "AA"


def test_allow_for_one_connection(start, command):
    """The same where each connection has a process from the start."""
    port = socket.create_server(("127.0.0.1", 0))
    number = port.getsockname()[1]
    port.close()
    process = start([need("systemd-socket-activate"), "-a", "-l", f"127.0.0.1:{number}",
                     *command("--allow=127.0.0.9")])
    connect(number).close()
    assert ask_once(number, "ID1", "127.0.0.9") == "AA"
    assert ask_once(number, "ID1", "127.0.0.8") is None
    wait_until(lambda: "not in --allow" in process.log_text, "the entry")


@pytest.mark.parametrize("wrong", ["", "host.example", "10.0.0.0/33", "10.0.0.1/8", "127.0.0.1,"])
def test_allow_is_wrong(run, command, wrong):
    done = run(command(f"--allow={wrong}"))
    assert done.returncode == EXIT_USAGE and "--allow" in done.told


def test_refused_addresses_are_told(activate):
    activator = activate("--allow=127.0.0.9")
    assert ask_once(activator.port, "ID1", "127.0.0.9") == "AA"
    assert is_refused(peer_from(activator.port, "127.0.0.77"))
    wait_until(lambda: "not in --allow" in activator.log_text, "the entry")
    told, = [e for e in activator.log if "not in --allow" in e.text]
    assert told["HL7_PEER"] == "127.0.0.77"


def test_children_are_counted_also_where_their_end_was_to_be_ignored(start, command):
    """SIGCHLD is ignored by whoever starts it."""
    with socket.create_server(("127.0.0.1", 0)) as s:
        process = start(command("--max-connections=2", "--idle-exit=300ms"), stdin=s,
                        preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
        for i in range(6):
            assert ask_once(s.getsockname()[1], f"ID{i}") == "AA"
            wait_until(lambda: not pathlib.Path(f"/proc/{process.popen.pid}/task/{process.popen.pid}/children")
                       .read_text(), "the child's end")
        assert process.wait() == 0
