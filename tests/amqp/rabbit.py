# SPDX-License-Identifier: MIT
"""RabbitMQ nodes of our own: on loopback, in a folder of the test's, gone with it.

Ports, cookies, the port mapper (epmd) and all files are private, so a broker that this machine may have is
neither used nor disturbed.
"""
import contextlib
import logging
import os
import pathlib
import signal
import subprocess
import time

import pika

from hl7test import environment, free_port, missing, need, wait_until

# A node that is not there is what is asked about here
logging.getLogger("pika").setLevel(logging.CRITICAL)

# Not those of /usr/sbin: these switch to the system broker's user
PROGRAMS = pathlib.Path("/usr/lib/rabbitmq/bin")

# A node that starts, or a cluster that comes together, on a busy machine
PATIENCE = 90


class Home:
    """What the nodes of one cluster share: the port mapper and the cookie."""

    def __init__(self, folder):
        if not (PROGRAMS / "rabbitmq-server").exists():
            missing("rabbitmq-server is not installed")
        self.folder = pathlib.Path(folder)
        self.folder.mkdir()
        self.port = free_port()
        self.epmd = subprocess.Popen([need("epmd"), "-port", str(self.port), "-address", "127.0.0.1"],
                                     stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                     stderr=subprocess.DEVNULL)
        self.nodes = []

    def environment(self, **changes):
        return environment(HOME=str(self.folder), ERL_EPMD_PORT=str(self.port),
                           ERL_EPMD_ADDRESS="127.0.0.1",
                           RABBITMQ_CONF_ENV_FILE=str(self.folder / "none"), **changes)

    def add(self, name, config=""):
        self.nodes.append(Node(self, name, config))
        return self.nodes[-1]

    def stop(self):
        for node in self.nodes:
            node.kill()
        self.epmd.terminate()
        self.epmd.wait()


class Node:
    def __init__(self, home, name, config):
        self.home = home
        self.name = f"{name}@localhost"
        self.port, self.distribution_port = free_port(), free_port()
        self.folder = home.folder / name
        self.folder.mkdir()
        (self.folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            "disk_free_limit.absolute = 1MB\n"
            "max_message_size = 134217728\n"   # as before RabbitMQ 4.0
            "log.file.level = info\n" + config)
        (self.folder / "plugins").write_text("[].\n")
        self.popen = None

    def begin(self):
        path = str(self.folder)
        with open(self.folder / "said", "ab") as said:
            self.popen = subprocess.Popen(
                [PROGRAMS / "rabbitmq-server"], stdin=subprocess.DEVNULL, stdout=said, stderr=said,
                start_new_session=True,
                env=self.home.environment(
                    RABBITMQ_NODENAME=self.name,
                    RABBITMQ_DIST_PORT=str(self.distribution_port),
                    RABBITMQ_CONFIG_FILE=path + "/rabbitmq",
                    RABBITMQ_MNESIA_BASE=path + "/data",
                    RABBITMQ_LOG_BASE=path + "/log",
                    RABBITMQ_GENERATED_CONFIG_DIR=path + "/generated",
                    RABBITMQ_ENABLED_PLUGINS_FILE=path + "/plugins",
                    RABBITMQ_PID_FILE=path + "/pid",
                    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1}",
                    RUNNING_UNDER_SYSTEMD="1",  # the script becomes the node: its id is the node's
                    NOTIFY_SOCKET=""))

    def await_ready(self):
        deadline = time.monotonic() + PATIENCE
        while True:
            assert self.popen.poll() is None, (self.folder / "said").read_text()
            with contextlib.suppress(pika.exceptions.AMQPError):
                self.connect().close()
                return
            assert time.monotonic() < deadline, (self.folder / "said").read_text()
            time.sleep(0.1)

    def start(self):
        self.begin()
        self.await_ready()

    def stop(self):
        self.popen.send_signal(signal.SIGTERM)
        self.popen.wait(PATIENCE)

    def kill(self):
        if self.popen and self.popen.poll() is None:
            os.killpg(self.popen.pid, signal.SIGKILL)
            self.popen.wait()

    def control(self, *arguments):
        done = subprocess.run([PROGRAMS / "rabbitmqctl", "-q", "-n", self.name, *arguments],
                              env=self.home.environment(), stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        assert done.returncode == 0, done.stdout
        return done.stdout

    @property
    def url(self):
        return f"--url=amqp://localhost:{self.port}"

    def connect(self):
        return pika.BlockingConnection(pika.ConnectionParameters(
            "127.0.0.1", self.port, connection_attempts=1, socket_timeout=5))

    def take_all(self, queue):
        """What is in the queue, taken out of it: [(properties, body)]."""
        connection = self.connect()
        channel = connection.channel()
        taken = []
        while True:
            method, properties, body = channel.basic_get(queue, auto_ack=True)
            if method is None:
                connection.close()
                return taken
            taken.append((properties, body))

    def bodies(self, queue):
        return [body for _, body in self.take_all(queue)]

    def queues(self):
        """{name: (type, durable)}"""
        lines = self.control("list_queues", "--no-table-headers", "name", "type", "durable").splitlines()
        return {name: (kind, durable) for name, kind, durable in (line.split("\t") for line in lines)}

    # --- alarms -------------------------------------------------------------------------------

    def alarm(self, kind):
        self.control(*{"disk": ("set_disk_free_limit", "1000000GB"),
                       "memory": ("set_vm_memory_high_watermark", "0.0000001")}[kind])
        wait_until(lambda: kind in self.alarms(), f"the {kind} alarm")

    def end_alarm(self, kind):
        self.control(*{"disk": ("set_disk_free_limit", "1MB"),
                       "memory": ("set_vm_memory_high_watermark", "0.4")}[kind])
        wait_until(lambda: kind not in self.alarms(), f"the end of the {kind} alarm")

    def alarms(self):
        return self.control("eval", "rabbit_alarm:get_alarms().")
