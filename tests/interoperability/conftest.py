# SPDX-License-Identifier: MIT
"""These tests use the fixtures of tests/integration: a store, processes that are stopped at the end."""
import importlib.util
import pathlib
import sys

import pytest

INTEGRATION = pathlib.Path(__file__).resolve().parent.parent / "integration"
sys.path.insert(0, str(INTEGRATION))

# pylint: disable=wrong-import-position,unused-import
from forwardtest import FORWARD
from hl7test import RECEIVE, SEND
from table import Table
from test_foreign import node
from test_forward_ways import archive, configured, database, folder, web_service
from test_tls import authority, by_stunnel, certificates, start_proxy
from wire import Wire

# under another name, as this file is "conftest" here
_spec = importlib.util.spec_from_file_location("integration_fixtures", INTEGRATION / "conftest.py")
_fixtures = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_fixtures)
logs, store, ack_d, start, command, run = (_fixtures.logs, _fixtures.store, _fixtures.ack_d, _fixtures.start,
                                           _fixtures.command, _fixtures.run)


def pytest_configure():
    for program in RECEIVE, SEND, FORWARD:
        if not program.exists():
            raise pytest.UsageError(f"{program} is missing: build first, or set HL7_BUILD_DIR")


@pytest.fixture(scope="session")
def wire(node, tmp_path_factory):  # pylint: disable=redefined-outer-name
    """The packages are there before: from in there nothing can be fetched."""
    made = Wire(tmp_path_factory.mktemp("wire"))
    yield made
    made.stop()


@pytest.fixture(scope="session")
def table():
    return Table()
