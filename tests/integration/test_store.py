# SPDX-License-Identifier: MIT
"""What is on disk, when, and what the peer is told when it cannot be."""
import os
import re
import shutil
import stat

import pytest

from hl7test import (CR, EXIT_IO, EXIT_USAGE, RECEIVE, VT, Connection, acks,
                     environment, frame, message, need, visible)

M, N = message("ID1"), message("ID2")
NAME = re.compile(r"\d{8}T\d{6}\.\d{6}Z-\d+-\d+\.hl7\Z")


# --- files --------------------------------------------------------------------------------------

def test_byte_for_byte(receive):
    payload = M + bytes(b for b in range(256) if b not in (0x0b, 0x1c)) + CR
    connection = receive()
    assert connection.peer.ask(payload).code == "AA"
    assert connection.finish() == 0
    assert connection.store.messages() == [payload]


def test_names_and_modes(receive):
    """Names sort by time and hold nothing of the message; nobody else can read it."""
    connection = receive("--messages=0")
    payloads = [message(f"ID{n}") for n in range(20)]
    for payload in payloads:
        connection.peer.ask(payload)
    assert connection.finish() == 0
    names = connection.store.names()
    assert connection.store.messages() == payloads
    assert all(NAME.match(n) for n in names), names
    assert [e["HL7_STORE_NAME"] for e in connection.log] == names
    assert stat.S_IMODE((connection.store.path / "received" / names[0]).stat().st_mode) & 0o027 == 0
    assert stat.S_IMODE(connection.store.path.stat().st_mode) == 0o750


def test_nothing_else_is_left_in_the_store(receive):
    connection = receive("--messages=0")
    connection.peer.ask(M)
    connection.peer.ask(message(""))
    connection.peer.send(VT + N[:20])
    connection.finish()
    files = [str(p.relative_to(connection.store.path)) for p in connection.store.path.rglob("*")]
    refused = connection.log[1]["HL7_STORE_NAME"]
    assert sorted(f for f in files if "/." not in f) == [
        ".order", "received", f"received/{connection.store.names()[0]}",
        "rejected", f"rejected/{refused}", f"rejected/{refused[:-4]}.txt"]
    assert [len(connection.store.hidden(k)) for k in "kai"] == [1, 0, 1]
    reason = (connection.store.path / f"rejected/{refused[:-4]}.txt").read_text()
    assert "outcome: no-control-id\nanswer: AE\n" in reason


def test_many_processes_at_once(receive):
    connections = [receive() for _ in range(40)]
    for n, connection in enumerate(connections):
        connection.peer.send(frame(message(f"ID{n:02d}")))
    for connection in connections:
        assert connection.peer.read_frames(1)[0].code == "AA"
        assert connection.finish() == 0
    assert sorted(connections[0].store.messages()) == [message(f"ID{n:02d}") for n in range(40)]


def test_state_directory_of_systemd_is_the_default(receive, tmp_path):
    connection = receive(store_options=(), env={"STATE_DIRECTORY": str(tmp_path / "state")})
    assert connection.peer.ask(M).code == "AA"
    assert connection.finish() == 0
    assert len(visible(tmp_path / "state" / "received")) == 1


def test_no_store(receive):
    connection = receive("--no-store", store_options=())
    assert connection.peer.ask(M).code == "AA"
    assert connection.finish() == 0
    assert not connection.store.path.exists()
    assert "HL7_STORE_NAME" not in connection.log[0]


def test_no_store_overrules_the_state_directory(receive, tmp_path):
    connection = receive("--no-store", store_options=(),
                         env={"STATE_DIRECTORY": str(tmp_path / "state")})
    assert connection.peer.ask(M).code == "AA"
    assert connection.finish() == 0
    assert not (tmp_path / "state").exists()


def test_neither_store_nor_no_store(receive):
    """Acknowledging without storing must be asked for."""
    connection = receive(store_options=())
    assert connection.wait() == EXIT_USAGE
    assert connection.peer.read_to_end() == b""
    assert "--store" in connection.log_text and "--no-store" in connection.log_text


def test_a_missing_store_is_made(receive, tmp_path):
    connection = receive(f"--store={tmp_path}/new", store_options=())
    assert connection.peer.ask(M).code == "AA"
    assert connection.finish() == 0
    assert len(visible(tmp_path / "new" / "received")) == 1


# --- what cannot be stored ----------------------------------------------------------------------

# --on-storage-error, MSH-15, answer
ANSWERS = [("reject", "", "AR"), ("reject", "AL", "CR"), ("error", "", "AE"), ("error", "AL", "CE"),
           ("close", "", None), ("close", "AL", None)]


def check_refused(connection, code, errno):
    """Refused with the code, or closed without an answer; told with its cause and exit status."""
    connection.peer.read_to_end()
    answers = acks(connection.peer.received)
    assert [a.code for a in answers] == ([code] if code else [])
    for answer in answers:
        assert answer.error() == ("", "207")
    assert connection.finish() == EXIT_IO
    assert connection.log[-1]["HL7_OUTCOME"] == "storage-failed"
    assert connection.log[-1]["ERRNO"] == str(errno)
    assert "HL7_STORE_NAME" not in connection.log[-1]


@pytest.mark.parametrize("how, accept, code", ANSWERS)
def test_the_store_cannot_be_made(receive, tmp_path, how, accept, code):
    (tmp_path / "file").write_text("in the way")
    connection = receive(f"--store={tmp_path}/file/store", f"--on-storage-error={how}",
                         store_options=())
    connection.peer.send(frame(message("ID1", accept=accept)))
    check_refused(connection, code, 20)


def test_the_store_cannot_be_made_in_a_folder_that_is_not_there(receive, tmp_path):
    connection = receive(f"--store={tmp_path}/no/store", store_options=())
    connection.peer.send(frame(M))
    check_refused(connection, "AR", 2)


def test_after_a_storage_error_without_an_answer_nothing_more_is_taken(receive, tmp_path):
    connection = receive(f"--store={tmp_path}/no/store", "--on-storage-error=close", "--messages=0",
                         store_options=())
    connection.peer.send(frame(M) + frame(N))
    connection.peer.read_to_end()
    assert connection.finish() == EXIT_IO
    assert [e["HL7_OUTCOME"] for e in connection.log if "HL7_OUTCOME" in e] == ["storage-failed"]


def test_after_a_rejection_the_next_is_tried(receive, tmp_path):
    connection = receive(f"--store={tmp_path}/no/store", "--messages=0", store_options=())
    connection.peer.send(frame(M) + frame(N))
    assert [a.code for a in connection.peer.read_frames(2)] == ["AR", "AR"]
    assert connection.finish() == EXIT_IO


def test_a_store_that_fails_is_no_reason_to_complain_about_a_scan(receive, tmp_path):
    """The fault is in the log all the same, but the status of an empty connection is 0."""
    connection = receive(f"--store={tmp_path}/no/store", store_options=())
    assert connection.finish() == 0


@pytest.fixture
def small_disk(namespace, world_path):
    """A tmpfs of 256 KiB in a namespace of its own, with a store in it."""
    namespace.run('mount -t tmpfs -o size=256k,nr_inodes=50,mode=0777 tmpfs "$1"', world_path)
    namespace.disk = world_path
    namespace.store_options = (f"--store={world_path}/store", "--min-free=0",
                               "--min-free-inodes=0")
    namespace.received = lambda: visible(
        namespace.path(world_path / "store" / "received"))
    return namespace


def fill(namespace):
    namespace.run('dd if=/dev/zero of="$1/filler" bs=4096 2>/dev/null || :', namespace.disk)


@pytest.mark.parametrize("how, accept, code", ANSWERS)
def test_full_disk(receive, small_disk, how, accept, code):
    connection = receive(wrapper=small_disk.enter, store_options=small_disk.store_options)
    assert connection.peer.ask(M).code == "AA"
    assert connection.finish() == 0
    fill(small_disk)
    connection = receive(f"--on-storage-error={how}", wrapper=small_disk.enter,
                         store_options=small_disk.store_options)
    connection.peer.send(frame(message("ID2", filler=8192, accept=accept)))
    check_refused(connection, code, 28)
    assert len(small_disk.received()) == 1


def test_disk_that_fills_up_in_mid_message(receive, small_disk):
    """Nothing of it stays, so that the next one, which is smaller, finds its room."""
    connection = receive("--messages=0", wrapper=small_disk.enter,
                         store_options=small_disk.store_options)
    assert connection.peer.ask(M).code == "AA"
    assert connection.peer.ask(message("BIG", filler=400_000)).code == "AR"
    assert connection.peer.ask(N).code == "AA"
    assert connection.finish() == EXIT_IO
    assert len(small_disk.received()) == 2


def test_disk_without_inodes(receive, small_disk):
    connection = receive("--messages=0", wrapper=small_disk.enter,
                         store_options=small_disk.store_options)
    assert connection.peer.ask(M).code == "AA"
    small_disk.run('i=0; while touch "$1/$i"; do i=$((i + 1)); done 2>/dev/null',
                   small_disk.disk)
    connection.peer.send(frame(N))
    connection.peer.half_close()
    connection.peer.read_to_end()
    assert [a.code for a in acks(connection.peer.received)] == ["AA", "AR"]
    assert connection.finish() == EXIT_IO
    assert len(small_disk.received()) == 1


@pytest.mark.parametrize("how, accept, code", ANSWERS)
def test_read_only_store(receive, small_disk, how, accept, code):
    small_disk.run('mkdir -p "$1/store/received"; mount -o remount,ro "$1"', small_disk.disk)
    connection = receive(f"--on-storage-error={how}", wrapper=small_disk.enter,
                         store_options=small_disk.store_options)
    connection.peer.send(frame(message("ID1", accept=accept)))
    check_refused(connection, code, 30)
    assert small_disk.received() == []


def test_read_only_disk_without_a_store(receive, small_disk):
    small_disk.run('mount -o remount,ro "$1"', small_disk.disk)
    connection = receive(wrapper=small_disk.enter, store_options=small_disk.store_options)
    connection.peer.send(frame(M))
    connection.peer.read_to_end()
    assert [a.code for a in acks(connection.peer.received)] == ["AR"]
    assert connection.finish() == EXIT_IO


@pytest.mark.parametrize("mode", [0o500, 0o700], ids=["not writable", "not readable"])
def test_store_of_another_user(receive, world_path, mode):
    """As a user who may not write there."""
    if os.geteuid() != 0:
        pytest.skip("root is needed to become another user")
    need("setpriv")
    shutil.copy2(RECEIVE, world_path / "hl7-receive")  # also where the build is not public
    received = world_path / "store" / "received"
    received.mkdir(parents=True)
    if mode == 0o500:
        os.chown(received, 65534, 65534)
    received.chmod(mode)
    user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
    connection = receive(f"--ack-templates={world_path}/ack.d", wrapper=user,
                         store_options=(f"--store={world_path}/store",))
    connection.peer.send(frame(M))
    check_refused(connection, "AR", 13)
    assert visible(received) == []


# --- in which order -----------------------------------------------------------------------------

def traced(start_connection, logs, tmp_path, *options):
    """Runs the program under strace with one connection; the lines of its trace."""
    need("strace")
    trace = tmp_path / "trace"
    calls = "trace=openat,write,pwrite64,fsync,fdatasync,linkat,sendto,sendmsg,recvfrom,shutdown"
    line = ["strace", "-y", "-s", "64", "-e", calls, "-o", trace, *options]
    # as an inetd would: LISTEN_PID would name strace. It and the leak sanitizer exclude each other
    env = environment(ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0")
    connection = Connection(line, logs.new("strace"), tmp_path / "store", env=env)
    start_connection(connection)
    return trace.read_text(encoding="latin-1").splitlines()


def places(lines, *patterns):
    """Where each pattern first matches behind the one before it."""
    found, at = [], 0
    for pattern in patterns:
        at = next((i for i in range(at, len(lines)) if re.search(pattern, lines[i])), None)
        assert at is not None, f"no {pattern} behind line {found[-1:]} of:\n" + "\n".join(lines)
        found.append(at)
        at += 1
    return found


def test_on_disk_before_the_answer(logs, tmp_path, command):
    """write, sync the file, link it, sync the folder; only then is anything sent."""
    def converse(connection):
        assert connection.peer.ask(M).code == "AA"
        assert connection.finish() == 0

    lines = traced(converse, logs, tmp_path, *command())
    order = places(lines, r"recvfrom\(", r"openat\(.*O_TMPFILE", r"write\(\d+<.*store.*= \d+",
                   r"fsync\(\d+<.*store.*\) += 0", r"linkat\(.* = 0",
                   r"fsync\(\d+<.*/store/received>\) += 0", r"sendto\(.*MSH", r"shutdown\(")
    sends = [i for i, line in enumerate(lines) if line.startswith("sendto(")]
    assert sends == [order[6]], "the whole answer in one call, and nothing else is sent"
    assert re.search(r"= \d+$", lines[order[2]]).group() == f"= {len(M)}"


def test_every_message_is_synced_on_its_own(logs, tmp_path, command):
    def converse(connection):
        connection.peer.send(frame(M) + frame(N))
        assert len(connection.peer.read_frames(2)) == 2
        assert connection.finish() == 0

    lines = traced(converse, logs, tmp_path, *command("--messages=0"))
    one = (r"O_TMPFILE", r"write\(", r"fsync\(\d+<.*\) += 0", r"linkat\(.* = 0",
           r"fsync\(\d+<.*/received>\) += 0", r"sendto\(")
    places(lines, *one, *one)


def test_a_store_just_made_is_synced_into_its_folder(logs, tmp_path, command):
    """Else a power cut could take the whole store away with its messages."""
    def converse(connection):
        assert connection.peer.ask(M).code == "AA"
        assert connection.finish() == 0

    lines = traced(converse, logs, tmp_path, *command())
    places(lines, rf"fsync\(\d+<{re.escape(str(tmp_path))}>\) += 0",
           rf"fsync\(\d+<{re.escape(str(tmp_path))}/store>\) += 0", r"sendto\(")


@pytest.mark.parametrize("call, when", [("fsync", 3), ("fsync", 4), ("linkat", 1), ("write", 1),
                                        ("openat", None)])
def test_a_failing_step_is_never_answered_positively(logs, tmp_path, command, call, when):
    """Each step fails in turn, by strace's fault injection."""
    need("strace")
    (tmp_path / "store" / "received").mkdir(parents=True)
    os.utime(tmp_path / "store", (0, 0))  # long ago: the folders themselves need no sync
    os.utime(tmp_path, (0, 0))
    if call == "fsync":
        when -= 2
    inject = f"inject={call}:error=EIO:when={when}"
    path = ()
    if call == "openat":
        inject, path = "inject=openat:error=EMFILE:when=2", ("-P", tmp_path / "store" / "received")
    env = environment(ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0")
    line = ["strace", "-o", tmp_path / "trace", "-e", inject, *path, *command()]
    connection = Connection(line, logs.new("strace"), tmp_path / "store", env=env)
    connection.peer.send(frame(M))
    connection.peer.read_to_end()
    trace = (tmp_path / "trace").read_text(encoding="latin-1")
    assert "(INJECTED)" in trace, trace
    assert [a.code for a in acks(connection.peer.received)] == ["AR"], trace
    assert connection.finish() == EXIT_IO
    assert connection.log[-1]["HL7_OUTCOME"] == "storage-failed"
    assert connection.store.messages() == []


def test_a_limit_on_file_sizes_is_an_error_of_the_store(logs, tmp_path, command):
    """Its signal, SIGXFSZ, would end the process without an answer."""
    line = ["prlimit", "--fsize=1024", "--", *command()]
    connection = Connection(line, logs.new("prlimit"), tmp_path / "store", env=environment())
    connection.peer.send(frame(M + b"OBX|1|TX|||" + b"x" * 4000 + b"\r"))
    connection.peer.read_to_end()
    assert [a.code for a in acks(connection.peer.received)] == ["AR"]
    assert connection.finish() == EXIT_IO
    assert connection.store.messages() == []


def test_killed_before_the_answer(logs, tmp_path, command):
    """SIGKILL at the link: nothing half written is to be seen, and no answer was sent."""
    need("strace")
    line = ["strace", "-o", tmp_path / "trace", "-e", "inject=linkat:signal=KILL", *command()]
    connection = Connection(line, logs.new("strace"), tmp_path / "store", env=environment())
    connection.peer.send(frame(M))
    connection.peer.read_to_end()
    assert connection.peer.received == b""
    assert connection.finish() != 0
    for stored in connection.store.messages():
        assert stored == M
