# SPDX-License-Identifier: MIT
"""Floods use the fixtures of tests/integration: a store, processes that are stopped at the end."""
import importlib.util
import pathlib
import sys

import pytest

INTEGRATION = pathlib.Path(__file__).resolve().parent.parent / "integration"
sys.path.insert(0, str(INTEGRATION))

# pylint: disable=wrong-import-position
import flood
from hl7test import BUILD, RECEIVE, connect, free_port, need

# under another name, as this file is "conftest" here
_spec = importlib.util.spec_from_file_location("integration_fixtures", INTEGRATION / "conftest.py")
_fixtures = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_fixtures)
logs, store, ack_d, start, command, receive, activate = (
    _fixtures.logs, _fixtures.store, _fixtures.ack_d, _fixtures.start, _fixtures.command,
    _fixtures.receive, _fixtures.activate)


def pytest_configure():
    for program in RECEIVE, flood.QUEUE:
        if not program.exists():
            raise pytest.UsageError(f"{program} is missing in {BUILD}: build first, or set HL7_BUILD_DIR")


@pytest.fixture
def waiting(activate, store):
    """waiting("--messages=0"): wait mode before a flood; afterwards it must be as it was before."""
    made = []

    def waiting(*options, **more):
        made.append(flood.Waiting(activate(*options, **more), store))
        return made[-1]

    yield waiting
    for target in made:
        target.must_be_as_before()


@pytest.fixture
def accepting(start, command, store):
    """accepting("--messages=0"): a process for each connection, as Accept=yes starts them; without its limits."""
    made = []

    def accepting(*options):
        port = free_port()
        process = start([need("systemd-socket-activate"), "-a", "-l", f"127.0.0.1:{port}", *command(*options)])
        connect(port).close()
        made.append(flood.Accepting(port, process, store))
        return made[-1]

    yield accepting
    for target in made:
        target.must_be_as_before()


@pytest.fixture
def figures():
    """figures("a line for the report"): what was measured."""
    return flood.FIGURES.append


def pytest_terminal_summary(terminalreporter):
    for line in flood.FIGURES:
        terminalreporter.write_line(line)
