# SPDX-License-Identifier: MIT
"""What the programs give up before they read the first byte: that they do, that they say so, and what they do
where the kernel cannot. That each wall holds is tests/unit/test-sandbox.c."""
import os
import pathlib
import re
import socket
import subprocess

import pytest

from forwardtest import FORWARD, Queue, accept_all, answer_with, scripted
from hl7test import EXIT_CONFIG, EXIT_OS, EXIT_USAGE, RECEIVE, Connection, Peer, answer_to, environment, frame, message, need, wait_until

M = message("ID1")
LANDLOCK = "landlock_create_ruleset"

WALLS = ["files", "tcp", "scope", "calls", "privileges", "dumps", "limits"]

# Of the two without which the sandbox counts as open.
LACKS = pytest.mark.parametrize("lack, wall", [(f"{LANDLOCK}:error=ENOSYS", "files"),
                                               ("seccomp:error=ENOSYS", "calls")])


def kernel_without(lack):
    """A wrapper: this system call fails, as on a kernel that does not have it. What has a sanitizer in it and
    strace exclude each other but for the leaks."""
    # -D: strace is the grandchild, so that the process is the one that was started
    return [need("strace"), "-D", "-qq", "-o", "/dev/null", "-e", f"inject={lack}"]


NO_LEAKS = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}


def status_of(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def is_confined(pid):
    return status_of(pid)["Seccomp"].strip() == "2"


def limits_of(pid):
    lines = pathlib.Path(f"/proc/{pid}/limits").read_text(encoding="ascii").splitlines()[1:]
    return {line[:26].strip(): line[26:].split()[:2] for line in lines}


def is_sanitized(pid):
    return "libasan" in pathlib.Path(f"/proc/{pid}/maps").read_text(encoding="utf-8") or \
        "__asan" in os.environ.get("ASAN_OPTIONS", "")


def check_confined(pid):
    status = status_of(pid)
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    assert limits_of(pid)["Max core file size"] == ["0", "0"]
    # what is not dumpable belongs to root, whoever runs it; root reads it all the same
    assert os.stat(f"/proc/{pid}/mem").st_uid == 0


def test_closed_before_the_first_byte(receive):
    connection = receive("--messages=0")
    wait_until(lambda: is_confined(connection.popen.pid), "a filter")
    check_confined(connection.popen.pid)
    assert connection.peer.ask(M).code == "AA"
    assert connection.finish() == 0
    assert connection.log_text.count("\n") == 1, "a whole sandbox is nothing that a terminal is told"


def test_limits(receive):
    connection = receive("--messages=0", "--max-message=1M", "--max-result=2M")
    wait_until(lambda: is_confined(connection.popen.pid), "a filter")
    limits = limits_of(connection.popen.pid)
    assert int(limits["Max open files"][1]) <= 64
    if not is_sanitized(connection.popen.pid) and limits["Max processes"][0] == "0":
        assert 80 << 20 <= int(limits["Max data size"][1]) <= 90 << 20
    assert connection.peer.ask(M).code == "AA"


def test_large_messages_have_their_room(receive, ack_d):
    """As large as a message may be, and a little larger, in a row: no limit is in the way."""
    connection = receive("--messages=0", "--max-message=8M", "--reused-id=accept")
    for n in range(3):
        assert connection.peer.ask(message(f"ID{n}", filler=(8 << 20) - 1000)).code == "AA"
    assert connection.peer.ask(message("LARGE", filler=9 << 20)).code == "AR"
    assert connection.peer.ask(M).code == "AA"
    assert connection.finish() == 0


def test_told_to_the_journal(receive, journal):
    connection = receive("--log=journal", wrapper=journal.enter)
    connection.peer.ask(M)
    entry = journal.sandbox()
    assert connection.finish() == 0
    assert entry["MESSAGE"] in ("the sandbox is closed", "the sandbox is open: this system lacks walls")
    assert entry["PRIORITY"] == ("7" if entry["MESSAGE"] == "the sandbox is closed" else "6")
    assert set(entry["HL7_SANDBOX"].split()) >= {"calls", "privileges", "dumps", "limits"}
    missing = [w.split(":")[0] for w in entry.get("HL7_SANDBOX_MISSING", "").split(", ") if w]
    assert sorted(entry["HL7_SANDBOX"].split() + missing) == sorted(WALLS)
    assert entry["HL7_LANDLOCK_ABI"].isdigit()
    assert entry["HL7_PEER"] == "127.0.0.1"


def test_a_scan_is_not_told(receive, journal):
    connection = receive("--log=journal", wrapper=journal.enter)
    connection.peer.half_close()
    connection.peer.read_to_end()
    assert connection.finish() == 0
    journal.no_more()


def test_off(receive):
    connection = receive("--sandbox=off", "--messages=0")
    assert connection.peer.ask(M).code == "AA"
    status = status_of(connection.popen.pid)
    assert (status["NoNewPrivs"], status["Seccomp"]) == (status_of("self")["NoNewPrivs"],
                                                         status_of("self")["Seccomp"])
    assert connection.finish() == 0


def test_require_with_all_walls(receive):
    connection = receive("--sandbox=require")
    assert connection.peer.ask(M).code == "AA"
    assert connection.finish() == 0


@LACKS
def test_without_a_wall_it_goes_on_and_says_so(receive, lack, wall):
    connection = receive("--messages=0", way="inetd", wrapper=kernel_without(lack), env=NO_LEAKS)
    assert connection.peer.ask(M).code == "AA"
    assert connection.peer.ask(message("ID2")).code == "AA"
    assert connection.finish() == 0
    told, *messages = connection.log
    assert told.text == "the sandbox is open: this system lacks walls"
    assert f"{wall}: Function not implemented" in told["HL7_SANDBOX_MISSING"]
    assert wall not in told["HL7_SANDBOX"].split()
    assert [e["HL7_ACK"] for e in messages] == ["AA", "AA"], "told once"


@pytest.mark.parametrize("abi", range(1, 7))
def test_an_older_kernel(receive, journal, abi):
    """Of each version of Landlock what it has; only the question for the version is answered falsely."""
    older = kernel_without(f"{LANDLOCK}:retval={abi}:when=1")
    connection = receive("--log=journal", "--messages=0", way="inetd", wrapper=[*journal.enter, *older], env=NO_LEAKS)
    assert connection.peer.ask(M).code == "AA"
    assert connection.peer.ask(M).code == "AA", "sent again"
    for _ in range(2):
        assert connection.peer.ask(message("")).code == "AE", "refused, and kept"
    assert connection.finish() == 0
    entry = journal.sandbox()
    if entry["HL7_LANDLOCK_ABI"] == "0":
        pytest.skip("this kernel has no Landlock")
    assert entry["HL7_LANDLOCK_ABI"] == str(abi)
    standing = entry["HL7_SANDBOX"].split()
    assert [("files" in standing), ("tcp" in standing), ("scope" in standing)] == [True, abi >= 4, abi >= 6]
    assert len(os.listdir(connection.store.path / "rejected")) == 4


@LACKS
def test_require_refuses(receive, lack, wall):
    connection = receive("--sandbox=require", way="inetd", wrapper=kernel_without(lack), env=NO_LEAKS,
                         before=lambda peer: peer.send(frame(M)))
    connection.peer.read_to_end()
    assert connection.peer.received == b"", "nothing is answered"
    assert connection.wait() == EXIT_OS
    assert connection.store.names() == []
    entry, = connection.log
    assert entry.text == "--sandbox=require: the sandbox cannot be closed, so nothing is done"
    assert wall in entry["HL7_SANDBOX_MISSING"]


@pytest.mark.parametrize("value", ["", "on", "AUTO"])
def test_unknown_value(run, command, value):
    done = run(command(f"--sandbox={value}"))
    assert done.returncode == EXIT_USAGE
    assert "--sandbox" in done.told


def test_character_sets(receive, tmp_path):
    """Their modules are loaded before: a template that converts works, and from any set."""
    convert_d = tmp_path / "convert.d"
    convert_d.mkdir()
    (convert_d / "ris.hl7t").write_text("{to ris}\n{charset 8859/1}\nMSH|^~\\&|A|B|C|D|{now}||ORU^R01|{MSH-10}"
                                        "|P|2.5||||||8859/1\nOBX|1|TX|1||{PID-5.1}\n", encoding="utf-8")
    connection = receive("--messages=0", f"--convert-templates={convert_d}")
    for n, (name, codec) in enumerate([("UNICODE UTF-8", "utf-8"), ("8859/15", "iso8859-15"),
                                       ("8859/1", "iso8859-1"), ("UNICODE UTF-8", "utf-8")]):
        payload = (f"MSH|^~\\&|LAB|F|RIS|H|20260102||ORU^R01|ID{n}|P|2.5||||||{name}\r"
                   "PID|1||1||\u00e4\u00f6\r").encode(codec)
        assert connection.peer.ask(payload).code == "AA", name
    assert connection.finish() == 0
    folder = connection.store.path / "queue" / "ris"
    texts = [(folder / n).read_bytes() for n in sorted(os.listdir(folder))]
    assert [b"\xe4\xf6" in t for t in texts] == [True] * 4


def test_another_user(world_path, logs):
    """/proc/self/fd, through which files get their names, belongs to root then."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    path = world_path / "store"
    path.mkdir()
    os.chown(path, 65534, 65534)
    line = [need("setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups", RECEIVE, "--messages=0",
            f"--store={path}", f"--ack-templates={world_path}"]
    if subprocess.run([*line[:4], RECEIVE, "--version"], capture_output=True, check=False).returncode != 0:
        pytest.skip("the build cannot be run by another user")
    connection = Connection(line, logs.new("hl7-receive"), path, env=environment())
    try:
        assert connection.peer.ask(M).code == "AA"
        assert connection.peer.ask(M).code == "AA"
        assert connection.finish() == 0
        assert len(connection.store.names()) == 1
        assert [e["HL7_OUTCOME"] for e in connection.log] == ["stored", "duplicate"]
    finally:
        connection.stop()


# --- wait mode ------------------------------------------------------------------------------------

def children_of(pid):
    return [int(n) for n in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]


def test_supervisor_and_children(start, command):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        script = 'LISTEN_FDS=1 LISTEN_PID=$$ exec "$@" 3<&0 </dev/null'
        process = start(["/bin/sh", "-c", script, "sh", *command("--messages=0")], stdin=listener)
        peers = [Peer(socket.create_connection(listener.getsockname())) for _ in range(2)]
        for n, peer in enumerate(peers):
            assert peer.ask(message(f"ID{n}")).code == "AA"
        check_confined(process.popen.pid)
        children = children_of(process.popen.pid)
        assert len(children) == 2
        for child in children:
            check_confined(child)
            assert int(status_of(child)["Seccomp_filters"]) == int(status_of(process.popen.pid)["Seccomp_filters"]) + 1
        for peer in peers:
            peer.sock.close()


def test_supervisor_that_is_required_and_cannot(start, command):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        script = 'exec "$@"'
        line = [*kernel_without(f"{LANDLOCK}:error=ENOSYS"), *command("--sandbox=require")]
        process = start(["/bin/sh", "-c", script, "sh", *line], stdin=listener, env=environment(**NO_LEAKS))
        assert process.wait() == EXIT_OS
        assert "--sandbox=require" in process.log_text


# --- hl7-forward ----------------------------------------------------------------------------------

@pytest.fixture
def forward(start, store, tmp_path):
    (store.path / "queue").mkdir(parents=True, exist_ok=True)

    def forward(*options, wrapper=(), **env):
        return start([*wrapper, FORWARD, f"--store={store.path}", f"--destinations={tmp_path}", *options, "ris"],
                     env=environment(**env))

    return forward


def test_forwarder(forward, serve):
    server = serve(accept_all)
    process = forward(f"--to=mllp://localhost:{server.port}", "--sandbox=require", "--linger=10s")
    wait_until(lambda: is_confined(process.popen.pid), "a filter")
    check_confined(process.popen.pid)


def test_forwarder_without_a_wall(forward, serve):
    server = serve(accept_all)
    lacking = kernel_without(f"{LANDLOCK}:error=ENOSYS")
    process = forward(f"--to=mllp://127.0.0.1:{server.port}", "--linger=0", wrapper=lacking, **NO_LEAKS)
    assert process.wait() == 0
    assert "the sandbox is open" in process.log_text
    process = forward(f"--to=mllp://127.0.0.1:{server.port}", "--sandbox=require", wrapper=lacking, **NO_LEAKS)
    assert process.wait() == EXIT_OS
    assert "--sandbox=require" in process.log_text


@pytest.mark.parametrize("abi", [1, 2, 4])
def test_forwarder_on_an_older_kernel(forward, serve, store, abi):
    """A message that failed goes to another folder, which the first version of Landlock refuses to everybody."""
    Queue(store.path).put(M)
    server = serve(scripted(answer_with(lambda payload: frame(answer_to(payload, "AE")))))
    process = forward(f"--to=mllp://127.0.0.1:{server.port}", "--linger=0", "--on-error=fail:1",
                      wrapper=kernel_without(f"{LANDLOCK}:retval={abi}:when=1"), **NO_LEAKS)
    assert process.wait() == 0
    assert ("the sandbox is open" in process.log_text) == (abi == 1), process.log_text
    assert len(os.listdir(store.path / "failed" / "ris")) == 2, "the message and why"


def test_forwarder_with_a_command(forward):
    """What a command needs is not known: there is no sandbox, and who requires one is told."""
    process = forward("--to=exec:true", "--sandbox=require")
    assert process.wait() == EXIT_CONFIG
    assert "--sandbox=require" in process.log_text
    process = forward("--to=exec:true", "--linger=0")
    assert process.wait() == 0


# --- which folders ----------------------------------------------------------------------------------

ADDS = {"WRITE_FILE", "READ_DIR", "REMOVE_FILE", "MAKE_REG"}


def rules(trace):
    """{folder: what Landlock allows beneath it}, by what the process asked the kernel for."""
    found = {}
    for rights, path in re.findall(r"allowed_access=([\w|]+), parent_fd=\d+<([^>]+)>", trace.read_text(encoding="utf-8")):
        found[pathlib.Path(path)] = {right.removeprefix("LANDLOCK_ACCESS_FS_") for right in rights.split("|")}
    return found


@pytest.mark.parametrize("rejected", [False, True])
def test_what_a_connection_may_do_in_the_store(receive, store, tmp_path, rejected):
    """Its own list, as tests/unit/test-sandbox.c has another: results and refused messages are never read."""
    folder = tmp_path / "convert.d"
    folder.mkdir()
    (folder / "ris.hl7t").write_text("{to ris}\n{message}\n", encoding="utf-8")
    if rejected:
        (store.path / "rejected").mkdir(parents=True)
    trace = tmp_path / "trace"
    connection = receive(f"--convert-templates={folder}", env=NO_LEAKS,
                         wrapper=[need("strace"), "-D", "-qq", "-y", "-o", trace, "-e", "trace=landlock_add_rule"])
    assert connection.peer.ask(M).code == "AA"
    connection.finish()
    expected = {
        store.path: {"READ_DIR", "MAKE_DIR"} | (set() if rejected else ADDS),
        store.path / "received": ADDS | {"READ_FILE"},
        store.path / "queue" / "ris": ADDS,
    }
    if rejected:
        expected[store.path / "rejected"] = ADDS
    found = rules(trace)
    if b"__asan_init" in RECEIVE.read_bytes():
        # a sanitizer reads files where it wants: what is read is no right that is given
        found = {path: found[path] for path in expected}
        expected = {path: {right for right in rights if not right.startswith("READ")} for path, rights in expected.items()}
    assert found == expected


def test_forwarder_with_a_queue_that_is_elsewhere(forward, serve, store, tmp_path):
    """A link in the place of queue/: what was delivered there can be removed there."""
    queue = Queue(store.path)
    (store.path / "queue").rename(tmp_path / "elsewhere")
    (store.path / "queue").symlink_to(tmp_path / "elsewhere")
    queue.put(M)
    server = serve(scripted(accept_all))
    process = forward(f"--to=mllp://127.0.0.1:{server.port}", "--once")
    assert process.wait() == 0
    assert server.received == [M]
    assert not queue.names()
