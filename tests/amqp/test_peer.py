# SPDX-License-Identifier: MIT
"""The broker as one of the foreign programs of README.md: what tests/interoperability tries those behind hl7-forward
with. It is installed for these tests only, so its row is compared here, or written (HL7_INTEROPERABILITY_WRITE)."""
import os
import subprocess

import pytest

import peers
import table as tables
from conftest import FORWARD
from forwardtest import NAME, QUICK, Queue
from hl7test import Process, environment, wait_until
from messages import payloads
from test_amqp import command

RABBITMQ, = (p for p in peers.PEERS if p.name == "RabbitMQ")


@pytest.fixture(scope="module")
def table():
    return tables.Table()


@pytest.mark.parametrize("scenario", peers.SCENARIOS["behind"])
def test_forwarded(table, node, queue, logs, tmp_path, scenario):
    waiting, sent = Queue(tmp_path / "store"), payloads(scenario)
    for text in sent:
        waiting.put(text)
    with table.exchange(RABBITMQ, "behind", scenario) as exchange:
        if scenario == "down":
            node.stop()
        forwarder = Process([FORWARD, f"--store={waiting.store}", f"--destinations={tmp_path}/none", *QUICK,
                             f"--via={command(node, queue)}", NAME], logs.new("hl7-forward"), env=environment(),
                            stdin=subprocess.DEVNULL)
        try:
            if scenario == "down":
                wait_until(lambda: int(waiting.state()["retries"]) > 0, "a first try")
                node.start()
            assert forwarder.wait(60) == 0, forwarder.log_text
        finally:
            forwarder.stop()
        assert (waiting.names(), waiting.failed_names()) == ([], [])
        assert node.bodies(queue) == sent
        exchange.facts.append("through `hl7-amqp`")


@pytest.fixture
def row(table, node):
    if {e.scenario for e in table.exchanges} != set(peers.SCENARIOS["behind"]):
        pytest.skip("not all exchanges were run, so there is no row")
    made = table.row(RABBITMQ, node.control("version").strip())
    if os.environ.get("HL7_INTEROPERABILITY_WRITE"):
        tables.write_readme([made if other["peer"] == RABBITMQ.name else other
                             for other in tables.parsed(tables.in_readme())])
    return made


def test_row_of_readme(row):
    assert tables.without_versions([tables.row_in_readme(RABBITMQ.name)]) == tables.without_versions([row]), \
        "write it anew: HL7_INTEROPERABILITY_WRITE=1 packaging/test amqp"


def test_version_in_readme(row):
    other = tables.other_versions([row])
    if other:
        pytest.skip(f"not the version of README.md, which is that of Debian 12: {other[0]}")
