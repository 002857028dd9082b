# SPDX-License-Identifier: MIT
"""Foreign clients against hl7-receive, foreign servers against hl7-send.

Of python3-hl7 and of three npm packages, whose versions are in package.json. These are the ones that run with the
sanitizers too; tests/interoperability has more of them, and what they are tried with.

  HL7_NODE     the node to run (default: node)
  HL7_NPM_DIR  where the npm packages of package.json are, or are installed to (default: a folder in
               ~/.cache/hl7-inetd-tests that is named by package.json's content)
"""
import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from hl7test import (CR, HERE, SEND, acks, environment, frame, free_port, message, missing)

PAYLOADS = [message(f"ID{n}", version="2.5.1", charset="UNICODE UTF-8",
                    extra=["NTE|1||\u00c4\u00d6\u00dc"]) for n in range(5)]


# --- npm ----------------------------------------------------------------------------------------

def npm_folder():
    content = (HERE / "package.json").read_bytes()
    default = pathlib.Path.home() / ".cache" / "hl7-inetd-tests" / \
        f"npm-{hashlib.sha256(content).hexdigest()[:12]}"
    return pathlib.Path(os.environ.get("HL7_NPM_DIR", default))


def install(folder):
    npm = shutil.which("npm")
    if not npm:
        missing("npm is not installed (Debian: npm)")
    try:
        shutil.copy(HERE / "package.json", folder)
        line = [npm, "install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund"]
        subprocess.run(line, cwd=folder, timeout=240, check=True, text=True, capture_output=True,
                       stdin=subprocess.DEVNULL)
        (folder / "node_modules" / "complete").touch()
    except subprocess.CalledProcessError as e:
        missing(f"npm could not install the packages: {e.stderr[-500:]}")
    except (OSError, subprocess.TimeoutExpired) as e:
        missing(f"the npm packages cannot be installed: {e}")


def npm_packages():
    """The folder that they are in. Several stages at a time may want them, and one installs them."""
    folder = npm_folder()
    complete = folder / "node_modules" / "complete"
    if not complete.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / "lock", "wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not complete.exists():
                install(folder)
    return folder


@pytest.fixture(scope="session")
def node():
    """Runs a script with the npm packages, which are installed first where they are not there."""
    program = os.environ.get("HL7_NODE") or shutil.which("node") or shutil.which("nodejs")
    if not program:
        missing("node is not installed (Debian: nodejs)")
    folder = npm_packages()

    def line(script, *arguments):
        return [program, HERE / "foreign" / script, *arguments]

    line.program = program
    line.env = environment(NODE_PATH=str(folder / "node_modules"))
    return line


@pytest.mark.parametrize("package", ["simple-hl7", "node-hl7-client"])
def test_npm_client(run, node, listener, store, package):
    """Five messages over one connection; the package understands each answer."""
    port = listener("--messages=0")
    done = run(node("client.js", package, port), input=b"".join(map(frame, PAYLOADS)), env=node.env)
    assert done.returncode == 0, done.told
    assert done.stdout.decode().splitlines() == [f"AA ID{n}" for n in range(5)]
    stored = store.messages()
    assert [m.split(b"|")[9] for m in stored] == [f"ID{n}".encode() for n in range(5)]
    for m in stored:
        assert b"CANARYNAME^CANARYGIVEN" in m and "\u00c4\u00d6\u00dc".encode() in m


@pytest.mark.parametrize("package", ["simple-hl7", "node-hl7-client"])
def test_npm_client_one_message_a_connection(run, node, listener, store, package):
    """The way we are shipped: we close behind the answer, and the client still has it."""
    done = run(node("client.js", package, listener()), input=frame(PAYLOADS[0]), env=node.env)
    assert done.returncode == 0, done.told
    assert done.stdout == b"AA ID0\n"
    assert len(store.messages()) == 1


@pytest.mark.parametrize("package", ["simple-hl7", "node-hl7-client"])
def test_npm_client_gets_a_refusal(run, node, listener, store, package):
    done = run(node("client.js", package, listener("--max-message=1K")), env=node.env,
               input=frame(message("ID0", filler=1000)))
    assert done.stdout == b"AR ID0\n"
    assert store.messages() == []


@pytest.fixture
def foreign_server(start):
    """Starts a foreign listener and waits until it is ready; its port."""
    def foreign_server(line, **options):
        port = free_port()
        process = start([*line, port], stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options)
        assert process.popen.stdout.readline() == b"ready\n", process.log_text
        process.port = port
        return process
    return foreign_server


def send_to(run, port, tmp_path, *options):
    for n, payload in enumerate(PAYLOADS):
        (tmp_path / f"{n}.hl7").write_bytes(payload)
    files = [tmp_path / f"{n}.hl7" for n in range(len(PAYLOADS))]
    return run([SEND, "--timeout=5s", *options, f"127.0.0.1:{port}", *files])


def ids_read_by(process, n):
    return [process.popen.stdout.readline().decode().split(" ")[0].strip() for _ in range(n)]


@pytest.mark.skipif(not SEND.exists(), reason=f"{SEND} is not built")
@pytest.mark.parametrize("package, options", [
    ("simple-hl7", ()), ("simple-hl7", ("--keep-open",)),
    # of several messages on a connection it answers earlier ones again: it never clears its buffer
    ("node-hl7-server", ()),
])
def test_npm_server(run, node, foreign_server, tmp_path, package, options):
    server = foreign_server(node("server.js", package), env=node.env)
    done = send_to(run, server.port, tmp_path, *options)
    assert done.returncode == 0, done.told
    assert [line for line in done.stdout.decode().splitlines() if line.startswith("MSA")] \
        == [f"MSA|AA|ID{n}" for n in range(5)]
    assert ids_read_by(server, 5) == [f"ID{n}" for n in range(5)]


@pytest.mark.skipif(not SEND.exists(), reason=f"{SEND} is not built")
def test_npm_server_that_answers_earlier_messages_again(run, node, foreign_server, tmp_path):
    """No answer is taken for another message's, and no message is lost."""
    server = foreign_server(node("server.js", "node-hl7-server"), env=node.env)
    done = send_to(run, server.port, tmp_path, "--keep-open")
    answered = done.stdout.decode().count("MSA|AA|")
    assert done.returncode in (0, 3)
    assert answered >= 5 if done.returncode == 0 else answered >= 1


# --- python3-hl7 --------------------------------------------------------------------------------

@pytest.fixture
def hl7_library():
    try:
        import hl7
        import hl7.client
    except ImportError:
        missing("python3-hl7 is not installed")
    return hl7


@pytest.mark.parametrize("options, n", [((), 1), (("--messages=0",), 5)], ids=["one", "kept"])
def test_python_hl7_client(hl7_library, listener, store, options, n):
    """It reads an answer with one recv()."""
    with hl7_library.client.MLLPClient("127.0.0.1", listener(*options)) as client:
        for i in range(n):
            answer, = acks(client.send_message(PAYLOADS[i]))
            assert (answer.code, answer.control_id) == ("AA", f"ID{i}".encode())
            parsed = hl7_library.parse(answer.raw.decode())
            assert str(parsed.segment("MSA")[2]) == f"ID{i}"
            assert str(parsed["MSH.F12"]) == "2.5.1"
    assert store.messages() == PAYLOADS[:n]


def test_python_hl7_client_sends_a_message_object(hl7_library, listener, store):
    with hl7_library.client.MLLPClient("127.0.0.1", listener()) as client:
        answer, = acks(client.send_message(hl7_library.parse(PAYLOADS[0].decode())))
    assert answer.control_id == b"ID0"
    assert store.messages() in ([PAYLOADS[0]], [PAYLOADS[0][:-1]])


@pytest.mark.parametrize("options", [[], ["--loose"]], ids=["framed", "loose"])
def test_mllp_send(run, hl7_library, listener, store, tmp_path, options):
    """The command line tool of python3-hl7."""
    data = b"".join(map(frame, PAYLOADS))
    if options:
        data = b"\n".join(PAYLOADS).replace(CR, b"\r\n")
    (tmp_path / "m").write_bytes(data)
    port = listener("--messages=0")
    done = run([sys.executable, "-c", "import hl7.client; hl7.client.mllp_send()", "-p", port, "-f",
                tmp_path / "m", *options, "127.0.0.1"])
    assert done.returncode == 0, done.told
    answers = [a for line in done.stdout.split(b"\x1c\r\n") if line for a in acks(line + b"\x1c\r")]
    assert [(a.code, a.control_id) for a in answers] \
        == [("AA", f"ID{n}".encode()) for n in range(5)]
    assert [m.rstrip() for m in store.messages()] == [p.rstrip() for p in PAYLOADS]


@pytest.mark.skipif(not SEND.exists(), reason=f"{SEND} is not built")
@pytest.mark.parametrize("options", [(), ("--keep-open",), ("--connections=3", "--repeat=4")],
                         ids=" ".join)
def test_python_hl7_server(run, hl7_library, foreign_server, tmp_path, options):
    server = foreign_server([sys.executable, HERE / "foreign" / "server.py"])
    done = send_to(run, server.port, tmp_path, *options)
    assert (done.returncode, done.told) == (0, "")
    n = 20 if "--repeat=4" in options else 5
    read = ids_read_by(server, n)
    assert read == [f"ID{i}" for i in range(5)] if n == 5 else len(read) == n
