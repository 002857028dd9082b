# SPDX-License-Identifier: MIT
"""hl7-forward: the file of a destination, and the ways to it that are commands: Via= and To=exec:."""
import http.server
import os
import pathlib
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time

import pytest

from forwardtest import (BACK, DELIVERED, DOWN, EXIT_TEMPORARY, FAILED, FORWARD, HELD, NAME, QUICK, Queue,
                         accept, accept_all, answer_with, by_id, ids, read_and_close, scripted, swallow)
from hl7test import (SOURCE, EXIT_CONFIG, EXIT_USAGE, answer_to, answering, check_log, frame, free_port, message,
                     need, wait_until)

MANUAL = (SOURCE / "src" / "forward" / "hl7-forward.8").read_text(encoding="utf-8")

pytestmark = pytest.mark.skipif(not FORWARD.exists(), reason=f"{FORWARD} is not built")


@pytest.fixture
def queue(store):
    return Queue(store.path)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "destinations"
    path.mkdir()
    return path


@pytest.fixture
def configured(start, store, folder):
    """hl7-forward with destinations/ris.conf: configured("To=…"); what it says comes from that."""

    def configured(conf, *options, name=NAME, **more):
        if conf is not None:
            (folder / f"{name}.conf").write_text(conf, encoding="utf-8")
        return start([FORWARD, f"--store={store.path}", f"--destinations={folder}", *options, name], **more)

    return configured


def put_all(queue, n, first=1, **fields):
    return [queue.put(message(f"ID{i}", **fields)) for i in range(first, first + n)]


def names_of(n, first=1):
    return [f"ID{i}" for i in range(first, first + n)]


# --- the file -------------------------------------------------------------------------------------

def test_file(configured, queue, serve):
    server = serve(answering())
    put_all(queue, 4)
    assert configured(f"To=mllp://127.0.0.1:{server.port}\nLinger=0\nPerConnection=2\n").wait() == 0
    assert (ids(server), server.connections) == (names_of(4), 2)


def test_every_setting(configured, queue, serve):
    server = serve(answering())
    put_all(queue, 1)
    process = configured(f"""# a comment
; another

  To = "mllp://127.0.0.1:{server.port}"\x20\x20
Key=PID-3.1
OnError='fail:5'
OnReject=retry
ConnectTimeout=5s
AckTimeout=5000ms
RetryMin=1s\r
RetryMax=2m
GiveUpAfter=48h
Linger=0
MaxMessage=1M
MaxAck=64K
PerConnection=1
Log=stderr
Via=
""")
    assert process.wait() == 0, process.log_text
    assert ids(server) == ["ID1"]


@pytest.mark.parametrize("lines, number, text", [
    ("Too=mllp://h", 1, "unknown setting"),
    ("\n# x\nto=mllp://h", 3, "unknown setting"),
    ("ack-timeout=5s", 1, "unknown setting"),
    ("To=mllp://h\nStore=/x", 2, "unknown setting"),
    ("To=mllp://h\nOnce=1", 2, "unknown setting"),
    ("To=mllp://h\nHelp=1", 2, "unknown setting"),
    ("To=mllp://h\nAckTimeout=soon", 2, "not a valid value"),
    ("To=mllp://h\nRetryMin=0", 2, "not a valid value"),
    ("To=mllp://h\nKey=PID", 2, "not a valid value"),
    ("To=mllp://h\nKey=PID-3[*]", 2, "not a valid value"),
    ("To=mllp://h\nOnError=fail:0", 2, "not a valid value"),
    ("To=mllp://h\nOnReject=later", 2, "not a valid value"),
    ("To=tcp://h", 1, "not a valid value"),
    ("To=mllp://", 1, "not a valid value"),
    ("To=mllp://h:0", 1, "not a valid value"),
    ("To=mllp://h:65536", 1, "not a valid value"),
    ("To=mllp://h:5123/", 1, "not a valid value"),
    ("To=exec:", 1, "not a valid value"),
    ("To=", 1, "not a valid value"),
    ("To", 1, "a setting is NAME=VALUE"),
    ('To="mllp://h" x', 1, "not a valid value"),
])
def test_mistakes(configured, folder, lines, number, text):
    process = configured(lines + "\n")
    assert process.wait() == EXIT_CONFIG
    assert f"{folder}/{NAME}.conf:{number}: {text}" in process.log_text


@pytest.mark.parametrize("lines, text", [
    ("", "To= is missing"),
    ("To=mllp://h\nVia=x\n", "exclude each other"),
    ("To=mllp://h\nRetryMin=2m\n", "RetryMax= is less than RetryMin="),
    ("To=mllp://h\0\nVia=x\n", "Invalid or incomplete"),
    ("#" * 70_000, "too large"),
])
def test_mistakes_of_the_whole(configured, lines, text):
    process = configured(lines)
    assert process.wait() == EXIT_CONFIG
    assert text in process.log_text and f"{NAME}.conf: " in process.log_text


def test_no_file(configured, queue, serve):
    process = configured(None)
    assert process.wait() == EXIT_CONFIG
    assert "To= is missing" in process.log_text
    assert configured(None, f"--to=mllp://127.0.0.1:{serve(answering()).port}", "--linger=0").wait() == 0


def test_command_line_over_file(configured, queue, serve):
    """Its way takes the place of the file's, be it To= or Via=."""
    server = serve(answering())
    put_all(queue, 2)
    assert configured("To=mllp://127.0.0.1:1\nPerConnection=2\nLinger=0\n",
                      f"--to=mllp://127.0.0.1:{server.port}", "--per-connection=1").wait() == 0
    assert server.connections == 2
    put_all(queue, 1)
    assert configured("Via=false\nLinger=0\n", f"--to=mllp://127.0.0.1:{server.port}").wait() == 0
    put_all(queue, 1)
    assert configured("To=mllp://127.0.0.1:1\nLinger=0\n",
                      f"--via={need('socat')} - TCP:127.0.0.1:{server.port}").wait() == 0
    assert len(server.received) == 4


@pytest.mark.parametrize("line", [
    [], ["a", "b"], ["../x"], ["a.b"], [""], ["a" * 65], ["--nonsense", "a"], ["--to=x", "a"],
    ["--linger=x", "a"], ["--max-ack=1", "a"], ["--once=1", "a"],
], ids=" ".join)
def test_usage(run, store, line):
    done = run([FORWARD, f"--store={store.path}", *line])
    assert done.returncode == EXIT_USAGE
    assert "--help" in done.told


def test_no_store(run, folder):
    done = run([FORWARD, f"--destinations={folder}", "--to=mllp://h", "x"])
    assert done.returncode == EXIT_USAGE and "--store=DIR is needed" in done.told


def test_help_and_version(run):
    said = run([FORWARD, "--help"]).stdout.decode()
    assert said.startswith("Usage: hl7-forward ")
    assert all(len(line) <= 100 for line in said.splitlines())
    assert run([FORWARD, "--version"]).stdout.startswith(b"hl7-forward (hl7-inetd) ")


# --- a command as transport -----------------------------------------------------------------------

def test_via_socat(configured, queue, serve):
    server = serve(answering())
    put_all(queue, 5)
    process = configured(f"Via=socat - TCP:127.0.0.1:{server.port}\nLinger=0\n")
    assert process.wait() == 0
    assert (ids(server), server.connections) == (names_of(5), 1)
    check_log(process.log, [DELIVERED] * 5)


@pytest.fixture
def tls_server(start, tmp_path, serve):
    """TLS in front of a server of ours: (its port, the certificate, the server)."""

    def tls_server(handler):
        server = serve(handler)
        certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
        subprocess.run([need("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                        "-subj", "/CN=ris.example", "-addext", "subjectAltName=DNS:ris.example",
                        "-keyout", key, "-out", certificate], check=True, capture_output=True)
        port = free_port()
        start([need("socat"), f"OPENSSL-LISTEN:{port},bind=127.0.0.1,cert={certificate},key={key},verify=0,"
               "reuseaddr,fork", f"TCP:127.0.0.1:{server.port}"], name="tls")
        wait_until(lambda: subprocess.run(
            ["bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{port}"], capture_output=True,
            check=False).returncode == 0)
        server.connections = 0
        return port, certificate, server

    return tls_server


S_CLIENT = "openssl s_client -quiet -no_ign_eof -nocommands -verify_return_error " \
    "-verify_hostname ris.example -CAfile {certificate} -connect 127.0.0.1:{port} 2>/dev/null"
SOCAT = "socat - OPENSSL:127.0.0.1:{port},cafile={certificate},commonname=ris.example"


@pytest.mark.parametrize("command", [S_CLIENT, SOCAT], ids=["openssl", "socat"])
def test_via_tls(configured, queue, tls_server, command):
    """Also with pieces that begin with the letters that s_client takes for commands on a terminal."""
    port, certificate, server = tls_server(answering())
    big = message("ID1", extra=["NTE|1||" + "QRkKB" * 60_000, *("Q" * 8191, "R" * 16_383, "B" * 16_384) * 3])
    queue.put(big)
    put_all(queue, 3, first=2)
    process = configured("Via=" + command.format(port=port, certificate=certificate) + "\nLinger=0\n")
    begin = time.monotonic()
    assert process.wait() == 0
    assert time.monotonic() - begin < 5
    assert server.received[0] == big and ids(server) == names_of(4)
    # socat 1.8 warns on each connection
    check_log([entry for entry in process.log if "does not check CRLs" not in entry.text], [DELIVERED] * 4)


@pytest.mark.parametrize("command", [S_CLIENT, SOCAT], ids=["openssl", "socat"])
def test_via_tls_that_is_not_who_it_should_be(configured, queue, tls_server, command):
    port, certificate, server = tls_server(answering())
    put_all(queue, 1)
    process = configured("Via=" + command.replace("ris.example", "other.example").format(
        port=port, certificate=certificate) + "\n", "--once")
    assert process.wait() == EXIT_TEMPORARY
    assert server.received == []


@pytest.mark.parametrize("command, error", [
    ("exit 1", "the command of Via= ended: exit status 1"),
    ("no-such-program", "the command of Via= ended: exit status 127"),
    ("socat - TCP:127.0.0.1:1", "the command of Via= ended: exit status 1"),
    ("kill -SEGV $$", "the command of Via= ended: killed by SIGSEGV"),
])
def test_via_command_that_does_not_connect(configured, queue, command, error):
    """As a connection that is refused: one entry, and pauses."""
    put_all(queue, 3)
    process = configured(f"Via={command}\n", *QUICK, "--key=MSH-10")
    wait_until(lambda: process.log and int(queue.state()["retries"]) >= 3)
    process.popen.send_signal(signal.SIGTERM)
    assert process.wait() == 0
    check_log([e for e in process.log if e], [(DOWN, {"HL7_ERROR": error})])
    assert len(queue.names()) == 3


def test_via_command_that_says_goodbye(configured, queue, tmp_path):
    put_all(queue, 1)
    process = configured("Via=exit 0\n", "--once")
    assert process.wait() == EXIT_TEMPORARY
    check_log(process.log, [(HELD, {"HL7_ERROR": "the destination closed the connection without an answer"})])


def test_via_command_that_hangs(configured, queue, tmp_path):
    """It is ended, and all that it started."""
    put_all(queue, 1)
    pids = tmp_path / "pids"
    process = configured(f"Via=trap '' TERM; sleep 100 & echo $$ $! >{pids}; wait; sleep 100\n",
                         "--once", "--ack-timeout=300ms")
    assert process.wait() == EXIT_TEMPORARY
    check_log(process.log, [(HELD, {"HL7_ERROR": "no whole answer within the time for it"})])
    assert all(is_gone(pid) for pid in pids.read_text().split())


def is_gone(pid):
    """Or not reaped yet, which is another's business."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="latin-1")
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"


def test_via_command_that_dies_between(configured, queue, serve, tmp_path):
    """Between two messages: the next one starts it anew, at once."""
    server = serve(scripted(accept(1), accept_all))
    put_all(queue, 1)
    process = configured(f"Via=socat - TCP:127.0.0.1:{server.port}\nLinger=3s\n", "--retry-min=30s")
    wait_until(lambda: queue.names() == [])
    time.sleep(0.3)
    put_all(queue, 1, first=2)
    wait_until(lambda: queue.names() == [])
    process.stop()
    assert ids(server) == names_of(2)
    check_log(process.log, [DELIVERED] * 2)


# --- exec: ------------------------------------------------------------------------------------------

def test_exec(configured, queue, tmp_path):
    """The message on standard input; its queue's name and the destination's in the environment."""
    out = tmp_path / "out"
    names = put_all(queue, 3)
    process = configured(f'To=exec:echo "$HL7_DESTINATION $HL7_QUEUE_NAME" >>{out}; cat >>{out}\nLinger=0\n')
    assert process.wait() == 0
    assert out.read_bytes() == b"".join(
        f"{NAME} {n}\n".encode() + message(f"ID{i}") for i, n in enumerate(names, 1))
    check_log(process.log, [DELIVERED] * 3)


@pytest.mark.parametrize("status, error", [(1, "exit status 1"), (2, "exit status 2"), (74, "exit status 74"),
                                           (255, "exit status 255")])
def test_exec_failure(configured, queue, status, error):
    """Never again: failed/, with the status as reason."""
    name, = put_all(queue, 1)
    process = configured(f"To=exec:exit {status}\n", *QUICK)
    assert process.wait() == 0
    assert queue.reason(name)["reason"] == f"the command: {error}"
    check_log(process.log, [(FAILED, {"HL7_TRIES": 1})])


def test_exec_later(configured, queue, tmp_path):
    count = tmp_path / "count"
    put_all(queue, 2)
    process = configured(f"To=exec:echo x >>{count}; test $(wc -l <{count}) -ge 4 || exit 75\n", *QUICK)
    assert process.wait() == 0
    check_log(process.log, [(HELD, {"HL7_ERROR": "the command: exit status 75"}),
                            (DELIVERED, {"HL7_TRIES": 4}), DELIVERED])


@pytest.mark.parametrize("command", ["no-such-program", "/etc/passwd"])
def test_exec_that_is_not_there(configured, queue, command):
    """A mistake in the file: nothing is lost to failed/."""
    put_all(queue, 2)
    process = configured(f"To=exec:{command}\n", "--once")
    assert process.wait() == EXIT_TEMPORARY
    assert len(queue.names()) == 2
    assert DOWN in process.log_text


def test_exec_that_crashes(configured, queue):
    name, = put_all(queue, 1)
    process = configured("To=exec:kill -SEGV $$\n", *QUICK)
    assert process.wait() == 0
    assert queue.reason(name)["reason"] == "the command: killed by SIGSEGV"
    assert queue.reason(name)["tries"] == "3"


def test_exec_that_hangs(configured, queue, tmp_path):
    put_all(queue, 1)
    pids = tmp_path / "pids"
    process = configured(f"To=exec:sleep 100 & echo $! >{pids}; sleep 100\n", "--once",
                         "--ack-timeout=300ms")
    assert process.wait() == EXIT_TEMPORARY
    check_log(process.log, [(HELD, {"HL7_ERROR": "the command did not end in time"})])
    assert is_gone(pids.read_text().strip())


def test_exec_that_does_not_read(configured, queue):
    put_all(queue, 1, filler=10_000_000)
    assert configured("To=exec:true\n", *QUICK).wait() == 0
    assert queue.names() == []


def test_exec_of_a_huge_message(configured, queue, tmp_path):
    payload = message("ID1", filler=40_000_000)
    queue.put(payload)
    assert configured(f"To=exec:cat >{tmp_path}/out\n", *QUICK).wait() == 0
    assert (tmp_path / "out").read_bytes() == payload


def test_exec_without_control_id(configured, queue, tmp_path):
    """No answer has to be told from others."""
    queue.put(message(""))
    assert configured(f"To=exec:cat >{tmp_path}/out\n", *QUICK).wait() == 0
    assert (tmp_path / "out").read_bytes() == message("")


def test_sigterm_in_the_middle_of_exec(configured, queue, tmp_path):
    """It is brought to its end."""
    put_all(queue, 2)
    begun = tmp_path / "begun"
    process = configured(f"To=exec:touch {begun}; sleep 1\n", *QUICK)
    wait_until(begun.exists)
    process.popen.send_signal(signal.SIGTERM)
    assert process.wait() == 0
    assert len(queue.names()) == 1
    check_log(process.log, [DELIVERED])


# --- the manual's examples ------------------------------------------------------------------------

def shown(begin):
    """The block of the manual that begins so, as a reader sees it."""
    found, = (b for b in re.findall(r"^\.Bd -literal[^\n]*\n(.*?)^\.Ed$", MANUAL, re.M | re.S)
              if b.startswith(begin))
    return found.replace("\\e", "\\")


@pytest.fixture(scope="module")
def database():
    """A PostgreSQL of our own on a Unix socket. Its folder is none of pytest's, which each pytest that starts closes to
    other users."""
    initdb = next(iter(sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"))), None)
    need("psql")
    if not initdb:
        need("initdb")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="hl7-test-"))
    folder.chmod(0o755)
    as_user = []
    if os.getuid() == 0:  # which the server refuses to be
        user = pwd.getpwnam("postgres")
        os.chown(folder, user.pw_uid, user.pw_gid)
        as_user = [need("setpriv"), "--reuid=postgres", "--regid=postgres", "--clear-groups"]

    def run(*command, **more):
        return subprocess.run([*as_user, *map(str, command)], check=True, capture_output=True, text=True,
                              cwd=folder, **more).stdout

    run(initdb, "-D", folder / "data", "-A", "trust", "-N", "-U", "postgres")
    control = initdb.with_name("pg_ctl")
    options = f"-k {folder} -c listen_addresses='' -c unix_socket_permissions=0777"

    class Database:
        socket = folder

        @staticmethod
        def start():
            run(control, "-D", folder / "data", "-w", "-l", folder / "log", "-o", options, "start")

        @staticmethod
        def stop():
            run(control, "-D", folder / "data", "-w", "-m", "fast", "stop")

        @staticmethod
        def ask(sql, name="archive"):
            return run("psql", "-qtAX", "-h", folder, "-U", "postgres", "-c", sql, name)

    Database.start()
    Database.ask("CREATE DATABASE archive", "postgres")
    for statement in shown("CREATE TABLE message").split(";\n"):
        if statement.strip():
            Database.ask(statement)
    yield Database
    Database.stop()
    shutil.rmtree(folder)


@pytest.fixture
def archive(configured, database, folder):
    """hl7-forward as the manual shows it for PostgreSQL, with an empty table."""
    (folder / "archive.sql").write_text(shown("\\eset ON_ERROR_STOP"), encoding="utf-8")
    database.ask("TRUNCATE message")
    env = {**os.environ, "PGHOST": str(database.socket), "PGUSER": "hl7-inetd"}
    conf = shown("To=exec:psql").replace("/etc/hl7-inetd/", f"{folder}/")
    return lambda *options: configured(conf, *QUICK, *options, env=env)


def test_postgresql(archive, database, queue):
    """Byte for byte, in order."""
    payloads = [message("ID1"), message("ID2", extra=["NTE|1||it's \\ $1 :name \udcff\0"]),
                message("ID3", filler=3_000_000)]
    names = [queue.put(p) for p in payloads]
    process = archive()
    assert process.wait() == 0, process.log_text
    check_log(process.log, [DELIVERED] * 3)
    rows = [line.split("|") for line in database.ask(
        "SELECT name, encode(content, 'hex') FROM message ORDER BY stored").splitlines()]
    assert rows == [[n, p.hex()] for n, p in zip(names, payloads)]


def test_postgresql_once_more(archive, database, queue):
    """A message that is delivered again is not stored again, and not an error."""
    name, = put_all(queue, 1)
    assert archive().wait() == 0
    queue.put(message("ID1"), stem=name.rsplit(".", 2)[0])
    process = archive()
    assert process.wait() == 0
    check_log(process.log, [DELIVERED])
    assert database.ask("SELECT count(*) FROM message") == "1\n"


def test_postgresql_that_is_down(archive, database, queue):
    put_all(queue, 2)
    database.stop()
    try:
        process = archive()
        wait_until(lambda: int(queue.state()["retries"]) >= 2)
    finally:
        database.start()
    assert process.wait() == 0
    assert database.ask("SELECT count(*) FROM message") == "2\n"
    assert queue.failed_names() == []


def test_postgresql_never_takes_an_empty_message(archive, database, queue, tmp_path):
    """As when base64 is not there: nothing is stored, nothing lost, and no row is in the log."""
    queue.put(b"")
    process = archive("--once")
    assert process.wait() == EXIT_TEMPORARY
    assert database.ask("SELECT count(*) FROM message") == "0\n"
    assert "violates check constraint" in process.log_text
    assert "Failing row" not in process.log_text


class Web(http.server.ThreadingHTTPServer):
    """A web service that answers with the given statuses, the last one again and again."""

    def __init__(self, *statuses):
        self.statuses, self.requests = list(statuses), []
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):  # pylint: disable=invalid-name
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append((self.path, self.headers["Content-Type"],
                                     self.headers["Idempotency-Key"], body))
        statuses = self.server.statuses
        self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
        self.end_headers()
        self.wfile.write(b"CANARY")

    def log_message(self, *_):
        pass


@pytest.fixture
def web_service(configured, folder):
    """hl7-forward as the manual shows it for a web service."""
    need("curl")
    servers = []

    def web_service(*statuses, options=()):
        servers.append(Web(*statuses))
        script = shown("status=$(curl")
        assert "https://ehr.example/hl7" in script
        (folder / "ehr.sh").write_text(script.replace(
            "https://ehr.example", f"http://127.0.0.1:{servers[-1].server_port}"), encoding="utf-8")
        conf = shown("To=exec:sh").replace("/etc/hl7-inetd/", f"{folder}/")
        return configured(conf, *QUICK, *options), servers[-1]

    yield web_service
    for server in servers:
        server.shutdown()
        server.server_close()


def test_web_service(web_service, queue):
    payloads = [message("ID1"), message("ID2", extra=["NTE|1||\r\n@x"]), message("ID3", filler=2_000_000)]
    names = [queue.put(p) for p in payloads]
    process, server = web_service(201)
    assert process.wait() == 0, process.log_text
    assert server.requests == [("/hl7", "application/hl7-v2", n, p) for n, p in zip(names, payloads)]
    check_log(process.log, [DELIVERED] * 3)


def test_web_service_that_is_overloaded(web_service, queue):
    name, other = put_all(queue, 2)
    process, server = web_service(503, 429, 500, 302, 200)
    assert process.wait() == 0
    assert [key for _, _, key, _ in server.requests] == [name] * 5 + [other]
    check_log(process.log, [HELD, (DELIVERED, {"HL7_TRIES": 5}), DELIVERED])


def test_web_service_that_refuses_the_content(web_service, queue):
    name, _ = put_all(queue, 2)
    process, server = web_service(422, 200)
    assert process.wait() == 0
    assert len(server.requests) == 2
    assert queue.reason(name)["reason"] == "the command: exit status 1"
    check_log(process.log, [FAILED, DELIVERED])


def test_web_service_that_is_not_there(configured, folder, queue):
    script = shown("status=$(curl").replace("https://ehr.example", f"http://127.0.0.1:{free_port()}")
    (folder / "ehr.sh").write_text(script, encoding="utf-8")
    put_all(queue, 1)
    process = configured(f"To=exec:sh {folder}/ehr.sh\n", "--once")
    assert process.wait() == EXIT_TEMPORARY
    assert "Failed to connect" in process.log_text and HELD in process.log_text


def test_tls_as_shown(queue):
    """The commands that the tests above run are those of the manual."""
    via = shown("Via=openssl").replace("\\\n", "").strip()
    assert via == "Via=" + S_CLIENT.replace("-CAfile {certificate} ", "").replace(
        "127.0.0.1:{port}", "ris.example:2575")
    assert shown("Via=socat").strip() == "Via=" + SOCAT.partition(",")[0].replace(
        "127.0.0.1:{port}", "ris.example:2575")
