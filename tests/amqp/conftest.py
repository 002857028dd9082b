# SPDX-License-Identifier: MIT
"""hl7-amqp before a real RabbitMQ.

    HL7_BUILD_DIR=build-amqp /usr/bin/python3 -m pytest tests/amqp

The build must have been set up with -Damqp=enabled; Debian's rabbitmq-server and python3-pika are needed.
"""
import pathlib
import subprocess
import sys
import tempfile

import pytest

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS / "integration"))
sys.path.append(str(TESTS / "interoperability"))

# pylint: disable=wrong-import-position
from hl7test import AS_SYSTEMD, BUILD, Connection, Logs, environment
from rabbit import Home

AMQP = BUILD / "src" / "amqp" / "hl7-amqp"
FORWARD = BUILD / "src" / "forward" / "hl7-forward"


def pytest_configure():
    if not AMQP.exists():
        raise pytest.UsageError(f"{AMQP} is missing: build with -Damqp=enabled, or set HL7_BUILD_DIR")


@pytest.fixture
def logs(tmp_path):
    """The standard errors of this test; no patient and no sanitizer's report may be in any."""
    logs = Logs(tmp_path / "logs")
    yield logs
    logs.check()


@pytest.fixture(scope="session")
def home():
    with tempfile.TemporaryDirectory(prefix="hl7-amqp-") as folder:
        home = Home(pathlib.Path(folder) / "home")
        yield home
        home.stop()


@pytest.fixture(scope="session")
def started(home):
    node = home.add("one")
    node.start()
    return node


@pytest.fixture
def node(started):
    """A broker that runs and has no alarm; whatever a test does to it is made good afterwards."""
    yield started
    if started.popen.poll() is not None:
        started.start()
    alarms = started.alarms()
    for kind in "disk", "memory":
        if kind in alarms:
            started.end_alarm(kind)


@pytest.fixture
def queue(request):
    """A name of its own for each test."""
    return "".join(c if c.isalnum() else "-" for c in request.node.name)


@pytest.fixture
def amqp(logs, node, queue):
    """hl7-amqp on a connection of its own: amqp("--messages=1").peer.ask(message())."""
    begun = []

    def amqp(*options, way="inetd", target=None, env=None):
        target = target if target is not None else (node.url, f"--queue={queue}")
        line = [*(AS_SYSTEMD if way == "systemd" else ()), AMQP, *target, *options]
        begun.append(Connection(line, logs.new("hl7-amqp"), "", env=environment(**(env or {}))))
        return begun[-1]

    yield amqp
    for connection in begun:
        connection.peer.close()
        connection.stop()


@pytest.fixture
def run(logs):
    """Runs it to its end with pipes: run(options, input=bytes)."""

    def run(*options, **more):
        done = subprocess.run([AMQP, *options], check=False, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, env=environment(), timeout=60, **more)
        logs.new("hl7-amqp").write_bytes(done.stderr)
        done.told = done.stderr.decode("latin-1")
        return done

    return run
