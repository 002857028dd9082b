# SPDX-License-Identifier: MIT
"""The broker stops, starts, is killed, has an alarm: what was confirmed is in the queue, always.

The sender does as a forwarder does: it sends a message until it is accepted, then the next. A message may come
twice where the confirm was lost, and nowhere else: these are counted.
"""
import threading
import time

import pytest

from hl7test import PATIENCE, message, wait_until

# What may be in the queue although its sender was told that it is not
UNCERTAIN = {"lost", "timeout"}

# Each message that meets an alarm waits so long; a confirm of a broker whose disk is busy is there by then
IN_AN_ALARM = "--confirm-timeout=2s"


class Sender:
    """Sends a stream of messages, each until it is accepted, and counts."""

    def __init__(self, peer):
        self.peer = peer
        self.accepted = []
        self.refusals = 0

    def send(self, payload):
        deadline = time.monotonic() + 3 * PATIENCE
        while True:
            answer = self.peer.ask(payload)
            if answer.code == "CA":
                self.accepted.append(payload)
                return
            assert answer.code == "CR"
            assert time.monotonic() < deadline, "it is refused for ever"
            self.refusals += 1
            time.sleep(0.05)


def wait_for_log(process, n):
    """An entry is written after its answer was sent."""
    wait_until(lambda: len(process.log) >= n, f"{n} entries in the log")
    return process.log


def uncertain(process):
    return sum(e.get("HL7_AMQP_RESULT") in UNCERTAIN for e in process.log)


def check_queue(process, sent, bodies, ids):
    """All that was sent, in order, each once but for those whose confirm was lost."""
    first = list(dict.fromkeys(bodies))
    assert first == sent
    assert len(bodies) - len(first) <= uncertain(process)
    assert len(set(ids)) == len(first), "a consumer cannot tell the copies by their ids"


def take(node, queue):
    taken = node.take_all(queue)
    return [body for _, body in taken], [properties.message_id for properties, _ in taken]


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_restart(amqp, node, queue, how):
    sent = [message(f"ID{i}") for i in range(200)]
    process = amqp("--confirm-timeout=5s")
    sender = Sender(process.peer)

    def restart():
        (node.stop if how == "stopped" else node.kill)()
        node.start()

    trouble = threading.Thread(target=restart)
    for i, payload in enumerate(sent):
        if i == 50:
            # RabbitMQ 3.10 does not bring back a queue that was made less than a second before the kill
            time.sleep(3)
            trouble.start()
        if 50 <= i < 100:
            time.sleep(0.02)  # so that some are on their way when it happens
        sender.send(payload)
    trouble.join()
    assert sender.refusals > 0, "it went by unnoticed"
    check_queue(process, sent, *take(node, queue))


def test_lost_behind_one_that_was_unroutable(amqp, node, queue):
    """The next connection knows nothing of it."""
    process = amqp("--declare=no")
    assert process.peer.ask(message("ID1")).code == "CR"
    connection = node.connect()
    connection.channel().queue_declare(queue, durable=True)
    connection.close()
    node.control("close_all_connections", "test")
    assert process.peer.ask(message("ID2")).code == "CA"
    assert [e["HL7_AMQP_RESULT"] for e in wait_for_log(process, 2)] == ["unroutable", "confirmed"]
    assert node.bodies(queue) == [message("ID2")]


@pytest.mark.parametrize("kind", ["disk", "memory"])
@pytest.mark.parametrize("connected", [True, False], ids=["connected", "new"])
def test_alarm(amqp, node, queue, kind, connected):
    """During an alarm nothing is accepted; afterwards all of it comes, and nothing twice."""
    process = amqp(IN_AN_ALARM)
    sender = Sender(process.peer)
    sent = [message(f"ID{i}") for i in range(10)]
    if connected:
        sender.send(sent[0])
    node.alarm(kind)
    for _ in range(3):
        assert process.peer.ask(sent[1]).code == "CR"
    for entry in wait_for_log(process, connected + 3)[connected:]:
        assert entry["HL7_AMQP_RESULT"] == "blocked"
        assert "low on" in entry["HL7_AMQP_REASON"]
    node.end_alarm(kind)
    for payload in sent[connected:]:
        sender.send(payload)
    bodies, ids = take(node, queue)
    check_queue(process, sent, bodies, ids)
    assert len(bodies) == len(sent), "the process knows what is still on its way"


def test_alarm_for_others(amqp, node, queue):
    """A message that met the alarm, and is given up by its sender, comes into the queue once at most."""
    process = amqp(IN_AN_ALARM)
    assert process.peer.ask(message("ID1")).code == "CA"
    node.alarm("disk")
    for i in range(2, 5):
        assert process.peer.ask(message(f"ID{i}")).code == "CR"
    node.end_alarm("disk")
    assert process.peer.ask(message("ID5")).code == "CA"
    assert node.bodies(queue) == [message("ID1"), message("ID2"), message("ID5")]


def test_alarm_passes(amqp, node, queue):
    """A short one only takes time."""
    process = amqp("--confirm-timeout=15s")
    assert process.peer.ask(message("ID1")).code == "CA"
    node.alarm("memory")
    ending = threading.Timer(1, node.end_alarm, ["memory"])
    ending.start()
    assert process.peer.ask(message("ID2")).code == "CA"
    ending.join()
    assert node.bodies(queue) == [message("ID1"), message("ID2")]


def test_alarm_and_a_large_message(amqp, node, queue):
    """The broker does not read on, and nobody waits for ever: also when there is no room to write into."""
    process = amqp(IN_AN_ALARM)
    assert process.peer.ask(message("ID1")).code == "CA"
    node.alarm("disk")
    began = time.monotonic()
    assert process.peer.ask(message("ID2", filler=20_000_000)).code == "CR"
    assert time.monotonic() - began < 8
    assert wait_for_log(process, 2)[-1]["HL7_AMQP_RESULT"] == "blocked"
    node.end_alarm("disk")
    assert process.peer.ask(message("ID3")).code == "CA"
    assert node.bodies(queue) == [message("ID1"), message("ID3")]


# --- three nodes ----------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def cluster(home):
    nodes = [home.add(name) for name in ("red", "green", "blue")]
    for node in nodes:
        node.begin()
    for node in nodes:
        node.await_ready()
    for node in nodes[1:]:
        for command in (["stop_app"], ["join_cluster", nodes[0].name], ["start_app"]):
            node.control(*command)
        node.await_ready()
    assert nodes[0].control("eval", "length(rabbit_nodes:all_running()).").strip() == "3"
    yield nodes
    for node in nodes:
        node.kill()


def test_cluster_loses_a_node(amqp, cluster, queue):
    sent = [message(f"ID{i}") for i in range(300)]
    process = amqp("--confirm-timeout=10s", target=(*(n.url for n in cluster), f"--queue={queue}"))
    sender = Sender(process.peer)
    for payload in sent[:100]:
        sender.send(payload)
    members = cluster[0].control("list_queues", "--no-table-headers", "name", "type", "members")
    line, = (line for line in members.splitlines() if line.startswith(queue + "\t"))
    assert "quorum" in line and all(n.name in line for n in cluster)
    # the one in use, and the queue's leader, while messages are on their way
    trouble = threading.Timer(0.1, cluster[0].kill)
    trouble.start()
    for payload in sent[100:]:
        sender.send(payload)
        time.sleep(0.002)
    trouble.join()
    assert cluster[0].popen.poll() is not None
    brokers = {e["HL7_AMQP_BROKER"] for e in process.log if e["HL7_AMQP_RESULT"] == "confirmed"}
    assert len(brokers) > 1, "it went on with the broker it had"
    check_queue(process, sent, *take(cluster[2], queue))
