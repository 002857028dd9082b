# SPDX-License-Identifier: MIT
"""hl7-send --via: a command in the place of the connection, up to TLS as people will use it."""
import os
import re
import signal
import subprocess
import time

import pytest

from hl7test import (CR, EXIT_NO_INPUT, FS, PATIENCE, SEND, VT, answer_to, answering, connect, frame,
                     free_port, message, need, wait_until)

M, N, O = message("ID1"), message("ID2"), message("ID3")

pytestmark = pytest.mark.skipif(not SEND.exists(), reason=f"{SEND} is not built")

ACCEPTED, ERROR, UNANSWERED = 0, 1, 3


@pytest.fixture
def send(run, tmp_path):
    """hl7-send via a command, files made of bytes: send("cat", M, N, options=["-q"])."""

    def send(command, *files, options=(), **more):
        names = []
        for i, data in enumerate(files):
            path = tmp_path / f"{i:03d}.hl7"
            path.write_bytes(data)
            names.append(path)
        return run([SEND, *options, "--via", command, *names], **more)

    return send


@pytest.fixture
def say(tmp_path):
    """A command that reads up to an FS, and says those bytes: say(frame(answer), then="exit 3")."""
    (tmp_path / "read").write_text(
        "import os, sys\n"
        "got = b''\n"
        "while b'\\x1c' not in got:\n"
        "    more = os.read(0, 65536)\n"
        "    if not more:\n"
        "        sys.exit(9)\n"
        "    got += more\n")

    def say(data, then="cat >/dev/null"):
        (tmp_path / "said").write_bytes(data)
        return f"/usr/bin/python3 {tmp_path}/read && cat {tmp_path}/said; {then}"

    return say


def ids(server):
    return [p.split(b"|")[9].decode() for p in server.received]


def socat(port):
    need("socat")
    return f"socat - TCP:127.0.0.1:{port}"


def is_running(pid):
    """Not one that is only waiting to be reaped."""
    try:
        with open(f"/proc/{pid}/stat", encoding="latin-1") as f:
            return f.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def numbers(path):
    return [int(n) for n in path.read_text().split()]


# --- a transport --------------------------------------------------------------------------------

def test_to_a_listener(send, serve):
    server = serve(answering("AE"))
    done = send(socat(server.port), M)
    assert (done.returncode, done.told) == (ERROR, "")
    assert done.stdout.splitlines()[1] == b"MSA|AE|ID1"
    assert server.received == [M]


def test_a_command_for_each_message(send, serve):
    server = serve(answering())
    assert send(socat(server.port), M, N, O).returncode == ACCEPTED
    assert (server.connections, ids(server)) == (3, ["ID1", "ID2", "ID3"])


def test_keep_open(send, serve):
    server = serve(answering())
    assert send(socat(server.port), M, N, O, options=["--keep-open"]).returncode == ACCEPTED
    assert (server.connections, ids(server)) == (1, ["ID1", "ID2", "ID3"])


def test_keep_open_with_a_listener_that_closes(send, serve):
    """The command ends with it, and another one is started."""
    server = serve(answering(messages=1))
    done = send(socat(server.port), M, N, O, options=["--keep-open"])
    assert (done.returncode, done.told) == (ACCEPTED, "")
    assert ids(server) == ["ID1", "ID2", "ID3"]


def test_connections(send, serve, tmp_path):
    """Each has a command of its own."""
    server = serve(answering())
    command = f"echo $$ >>{tmp_path}/pids; {socat(server.port)}"
    done = send(command, M, options=["--connections=4", "--keep-open", "--repeat=40", "--new-id"])
    assert done.returncode == ACCEPTED, done.told
    assert server.connections == 4
    assert len(set(ids(server))) == 40
    assert len(set(numbers(tmp_path / "pids"))) == 4


def test_a_large_message_and_answer(send, serve):
    payload = message(filler=5_000_000)

    def handler(server, peer, _number):
        server.read(peer)
        peer.send(frame(answer_to(payload) + b"NTE|1||" + b"x" * 900_000 + CR))

    server = serve(handler)
    assert send(socat(server.port), payload, options=["-q"]).returncode == ACCEPTED
    assert server.received == [payload]


def test_standard_input(run, serve):
    server = serve(answering())
    assert run([SEND, "--via", socat(server.port)], input=M + N).returncode == ACCEPTED
    assert server.received == [M, N]


def test_to_our_own_listener(send, listener, store):
    done = send(socat(listener("--messages=0")), M, N, options=["--keep-open"])
    assert (done.returncode, done.told) == (ACCEPTED, "")
    assert store.messages() == [M, N]


def test_our_own_listener_as_the_command(send, command, store):
    """hl7-receive as an inetd starts it."""
    line = " ".join(str(word) for word in command())
    done = send(f"exec {line}", M, N, options=["--keep-open"])
    assert done.returncode == ACCEPTED, done.told
    assert store.messages() == [M, N]


# --- what a command may do ----------------------------------------------------------------------

# reads what comes first, and no more
READ = "/usr/bin/python3 -c 'import os; os.read(0, 65536)'"

ENDS = [
    # name, command, what is told
    ("at once", "exit 3", "ended without an answer (exit status 3)"),
    ("at once, with success", "true", "ended without an answer (exit status 0)"),
    ("not there", "/nonexistent/command", "ended without an answer (exit status 127)"),
    ("after some of the message", "head -c 5 >/dev/null; exit 4",
     "ended without an answer (exit status 4)"),
    ("after all of it", f"{READ}; exit 5", "ended without an answer (exit status 5)"),
    ("killed", "kill -KILL $$", "ended without an answer (killed by SIGKILL)"),
    ("closes its end", "exec <&- >&-; sleep 300", "closed its output without an answer"),
]


@pytest.mark.parametrize("name, command, told", ENDS, ids=[e[0] for e in ENDS])
@pytest.mark.parametrize("options", [(), ("--keep-open",)], ids=["each", "kept"])
def test_ends_without_an_answer(send, name, command, told, options):
    done = send(command, M, N, options=["--timeout=10s", *options])
    assert done.returncode == UNANSWERED
    assert done.told.count(f"message 1: the command {told}\n") == 2, done.told
    assert done.stdout == b""


@pytest.mark.parametrize("then", ["exit 6", "cat >/dev/null"], ids=["and ends", "and stays"])
def test_answers(send, say, then):
    done = send(say(frame(answer_to(M, "AE")), then), M)
    assert (done.returncode, done.told) == (ERROR, "")


def test_ends_in_the_middle_of_its_answer(send, say):
    done = send(say(frame(answer_to(M))[:20], "exit 6"), M)
    assert done.returncode == UNANSWERED
    assert "ended in the middle of its answer (exit status 6)" in done.told


def test_ends_behind_an_answer_without_its_last_byte(send, say):
    """Also where it left bytes of ours unread, which the system tells as a reset."""
    assert send(say(VT + answer_to(M) + FS, "exit 0"), M).returncode == ACCEPTED
    big = message("ID1", filler=1_000_000)
    command = say(VT + answer_to(big) + FS, "exit 0").partition("&& ")[2]
    assert send(f"head -c 5 >/dev/null; {command}", big).returncode == ACCEPTED


@pytest.mark.parametrize("command", ["cat", "yes", "echo junk; cat >/dev/null",
                                     "head -c 3000000 /dev/zero; cat >/dev/null"])
def test_junk(send, command):
    """An echo of the message, and what is no answer at all."""
    done = send(command, M, options=["--timeout=1s", "-q"])
    assert done.returncode == UNANSWERED
    assert "message 1: " in done.told


@pytest.mark.parametrize("command", [
    "echo $$ >>{pids}; exec sleep 300", "echo $$ >>{pids}; sleep 300 & echo $! >>{pids}; sleep 300",
    "trap '' TERM; echo $$ >>{pids}; sleep 300 & echo $! >>{pids}; while :; do sleep 300; done",
    "echo $$ >>{pids}; kill -STOP $$",
], ids=["hangs", "hangs with children", "ignores SIGTERM", "is stopped"])
def test_hangs(send, tmp_path, command):
    """It costs its time, and nothing of it is left."""
    begin = time.monotonic()
    done = send(command.format(pids=tmp_path / "pids"), M, N, options=["--timeout=300ms"])
    assert done.returncode == UNANSWERED
    assert done.told.count("no whole answer within --timeout") == 2
    assert time.monotonic() - begin < 5
    pids = numbers(tmp_path / "pids")
    assert len(pids) >= 2
    wait_until(lambda: not any(map(is_running, pids)), "the end of all of it")


def test_does_not_read(send):
    done = send("sleep 300", message(filler=30_000_000), options=["--timeout=500ms"])
    assert done.returncode == UNANSWERED


def test_nothing_is_left_of_a_command_that_was_done_with(send, say, tmp_path):
    command = f"sleep 300 & echo $! >>{tmp_path}/pids; {say(frame(answer_to(M)))}"
    assert send(command, M, options=["--repeat=2"]).returncode == ACCEPTED
    pids = numbers(tmp_path / "pids")
    assert len(pids) == 2
    wait_until(lambda: not any(map(is_running, pids)), "the end of all of it")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_command_dies_with_the_sender(start, tmp_path, how):
    (tmp_path / "m.hl7").write_bytes(M)
    pids = tmp_path / "pids"
    process = start([SEND, "--via", f"echo $$ >{pids}; exec sleep 300", tmp_path / "m.hl7"])
    wait_until(lambda: pids.exists() and pids.read_text().endswith("\n"), "the command's start")
    process.popen.send_signal(how)
    process.wait()
    pid, = numbers(pids)
    wait_until(lambda: not is_running(pid), "the command's end")


def test_what_the_command_gets(send, say, tmp_path):
    """Its standard error is ours, its descriptors are the three, signals are as they are by default."""
    look = f"ls /proc/$$/fd >{tmp_path}/fds; grep ^Sig /proc/self/status >{tmp_path}/signals; echo seen >&2"
    read, write = os.pipe()
    done = send(f"{look}; {say(frame(answer_to(M)))}", M, pass_fds=[write],
                preexec_fn=lambda: signal.signal(signal.SIGPIPE, signal.SIG_IGN))
    os.close(read)
    os.close(write)
    assert (done.returncode, done.told) == (ACCEPTED, "seen\n")
    assert set((tmp_path / "fds").read_text().split()) <= {"0", "1", "2", "10"}  # 10: dash's own
    signals = (tmp_path / "signals").read_text()
    assert re.search(r"SigIgn:\s+0+$", signals, re.M) and re.search(r"SigBlk:\s+0+$", signals, re.M)


def test_where_children_are_ignored(send):
    """Whoever starts us may have SIGCHLD ignored, and then no status would be known."""
    done = send("exit 3", M, preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
    assert "(exit status 3)" in done.told


def test_a_host_as_well(run, tmp_path):
    (tmp_path / "m.hl7").write_bytes(M)
    done = run([SEND, "--via=cat", "localhost", "m.hl7"], cwd=tmp_path)
    assert done.returncode == EXIT_NO_INPUT
    assert "localhost: " in done.told and "HOST" in done.told


# --- TLS ----------------------------------------------------------------------------------------

class Tls:
    """A listener behind TLS, with a certificate made for it."""

    def __init__(self, folder, port):
        self.folder = folder
        self.port = port

    def openssl(self, authority="server", host="localhost"):
        return (f"openssl s_client -quiet -verify_return_error -verify_hostname {host} "
                f"-CAfile {self.folder}/{authority}.pem -connect localhost:{self.port}")

    def socat(self, authority="server", host="localhost"):
        return (f"socat - OPENSSL:localhost:{self.port},pf=ip4,cafile={self.folder}/{authority}.pem,"
                f"commonname={host}")


def make_certificate(folder, name):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost", "-keyout", folder / f"{name}.key",
                    "-out", folder / f"{name}.pem"], check=True, capture_output=True, timeout=PATIENCE)


@pytest.fixture
def tls(start, listener, tmp_path):
    """hl7-receive with further options behind socat: tls("--messages=0").openssl() is a command."""
    need("openssl")
    need("socat")
    for name in "server", "other":
        make_certificate(tmp_path, name)

    def tls(*options):
        port = free_port()
        start(["socat", f"OPENSSL-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork,verify=0,"
               f"cert={tmp_path}/server.pem,key={tmp_path}/server.key",
               f"TCP:127.0.0.1:{listener(*options)}"])
        connect(port).close()
        return Tls(tmp_path, port)

    return tls


WAYS = pytest.mark.parametrize("way", ["openssl", "socat"])


@WAYS
@pytest.mark.parametrize("options", [("--messages=1",), ("--messages=0",)], ids=["one", "kept"])
def test_tls(send, tls, store, way, options):
    command = getattr(tls(*options), way)()
    done = send(command, M, N, O, options=["--keep-open"] if options == ("--messages=0",) else [])
    assert done.returncode == ACCEPTED, done.told
    assert store.messages() == [M, N, O]


@WAYS
def test_tls_with_a_listener_that_keeps_connections(send, tls, store, way):
    """A command for each message, none of which would end by itself."""
    done = send(getattr(tls("--messages=0"), way)(), M, N)
    assert done.returncode == ACCEPTED, done.told
    assert store.messages() == [M, N]


@WAYS
def test_tls_bytes_are_not_taken_for_orders(send, tls, store, way):
    """Whatever a piece of the message begins with: it is so large that there are many."""
    payload = message(extra=["NTE|1||" + "QRKB\n" * 400_000 + "end"])
    done = send(getattr(tls(), way)(), payload, options=["-q"])
    assert done.returncode == ACCEPTED, done.told
    assert store.messages() == [payload]


@WAYS
@pytest.mark.parametrize("wrong", [{"authority": "other"}, {"host": "ris.example"}],
                         ids=["authority", "host"])
def test_tls_with_the_wrong_peer(send, tls, store, way, wrong):
    """Nothing is sent."""
    done = send(getattr(tls(), way)(**wrong), M, options=["--timeout=10s"])
    assert done.returncode == UNANSWERED
    assert re.search(r"the command ended without an answer \(exit status (1|255)\)", done.told), done.told
    assert store.messages() == []
