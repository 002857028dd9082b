# SPDX-License-Identifier: MIT
"""The commands of hl7-operations(7): those that need systemd are run here, in the trouble they are for.

commands() reads the page. Each command is either in SYSTEM, with what it must print, or is run by
tests/documents/test_operations.py, which also sees that none is left out; so this file is read on
the host as well, and knows nothing of guest.py until add() is called.
"""
import re
import time

# Words that only a booted system understands
NEED_SYSTEMD = ("systemctl", "journalctl", "openssl s_client", "install -m 0640 -g hl7-inetd-proxy",
                "mkdir -p /etc/systemd", "printf '[Socket]", "hl7-send --via=")

DOWN, REFUSED, AWAY = ("4039871389bc45b5baf6d25b7a5424e1", "79eaa9f12c994ade8edd3378c5813106",
                       "191f600564834636b520660e559642c1")


def commands(page):
    """[(title of its section, command, the lines that the page shows of its output)]"""
    found, title, literal = [], "", False
    for line in page.splitlines():
        if line.startswith((".Sh ", ".Ss ")):
            title = line[4:]
        elif line.startswith((".Bd", ".Ed")):
            literal = line.startswith(".Bd")
        elif literal and line.startswith("# "):
            found.append((title, plain(line[2:]), []))
        elif literal and found:
            found[-1][2].append(plain(line))
    return found


def plain(line):
    """What is printed of a line of the page's source."""
    return line.replace(r"\e", "\\")


def needs_systemd(command):
    return command.startswith(NEED_SYSTEMD)


# {title: [(command, a pattern that is in its output; None: whatever it prints)]}, in the page's order
SYSTEM = {
    "DESCRIPTION": [
        ("hl7-send --via='runuser -u hl7-inetd -- hl7-receive --store=/var/lib/hl7-inetd --log=journal' order.hl7",
         r"^MSA\|AA\|NO-PORT\|")],
    "WHERE TO LOOK FIRST": [
        ("journalctl -x -t hl7-receive -t hl7-forward -p warning --since today", "value-refused"),
        ("systemctl list-units --all 'hl7-*.socket' 'hl7-*.path' 'hl7-*.timer'", r"hl7-receive\.socket")],
    "Where message X is": [
        ("journalctl -o verbose HL7_CONTROL_ID=MSG00001", "HL7_OUTCOME=stored")],
    "A destination is down": [
        (f"journalctl -o verbose -n 1 MESSAGE_ID={DOWN} HL7_DESTINATION=ris",
         "HL7_ERROR=no connection: Connection refused"),
        ("systemctl restart hl7-forward@ris.service", "^$")],
    "A queue grows": [
        ("systemctl status hl7-forward@ris.path", r"Active: active \(running\)"),
        ("journalctl -u hl7-forward@ris.service -n 20", "destination down"),
        ("systemctl enable --now hl7-forward@ris.path", None),
        ("systemctl stop hl7-forward@ris.path hl7-forward@ris.service", "^$"),
        ("systemctl start hl7-forward@ris.path", "^$"),
        ("journalctl -t hl7-forward -n 20 -o cat --output-fields=HL7_DURATION_USEC", r"^\d+$")],
    "A destination gets messages twice": [
        ("journalctl -t hl7-forward -o verbose HL7_CONTROL_ID=MSG00001", "HL7_TRIES=")],
    "A message was refused": [
        ("journalctl -t hl7-receive -p warning -o verbose HL7_CONTROL_ID=MSG00001", "HL7_TEMPLATE=ris.hl7t")],
    "A sender gets no answer, or sends again": [
        ("journalctl --since -1h -t hl7-receive HL7_PEER=10.20.1.5", "No entries"),
        ("journalctl --since -1h -t hl7-receive HL7_ACK_DELIVERED=no", None)],
    "Nobody can connect": [
        ("systemctl status hl7-receive.socket", "Failed to listen on"),
        ("systemctl list-sockets 'hl7-*'", None),
        ("journalctl -u hl7-receive.socket -n 20", "Failed to listen on"),
        ("systemctl enable --now hl7-receive.socket", "^$"),
        ("systemctl show hl7-receive.socket -p IPAddressAllow -p IPAddressDeny", "IPAddressAllow="),
        (f"journalctl MESSAGE_ID={AWAY} --since -1h", "hl7-receive"),
        ("journalctl -t hl7-receive -n 20", "--no-such-option")],
    "Too many connections": [
        ("systemctl show hl7-receive.socket -p NConnections -p NRefused -p NAccepted", "NConnections=1\n"),
        ("systemctl list-units 'hl7-receive@*.service'", r"127\.0\.0\.1"),
        ("mkdir -p /etc/systemd/system/hl7-receive.socket.d", "^$"),
        ("printf '[Socket]\\nMaxConnectionsPerSource=256\\n' "
         ">/etc/systemd/system/hl7-receive.socket.d/limits.conf", "^$"),
        ("systemctl daemon-reload", "^$"),
        ("systemctl restart hl7-receive.socket", "^$")],
    "The disk is full": [
        ("journalctl --disk-usage", "take up"),
        ("journalctl --vacuum-size=1G", "")],
    "A certificate expires": [
        ("install -m 0640 -g hl7-inetd-proxy server.pem clients.pem /etc/hl7-inetd/tls/", "^$"),
        ("systemctl reload haproxy", "^$"),
        ("systemctl reload stunnel@hl7", "^$"),
        ("journalctl -u haproxy -u stunnel@hl7 --since -1h", "stunnel"),
        ("openssl s_client -connect 127.0.0.1:2575 </dev/null 2>/dev/null | openssl x509 -noout -enddate",
         "notAfter=")],
    "Upgrade, and back": [
        ("systemctl try-restart hl7-receive-wait.service", "^$")],
    "Restore": [
        ("systemctl stop 'hl7-receive*' 'hl7-forward@*'", "^$"),
        ("systemctl start hl7-receive.socket hl7-forward@ris.path", "^$")],
    "Another machine": [
        ("systemctl disable --now hl7-receive.socket", None),
        ("systemctl stop 'hl7-receive*'", "^$"),
        ("systemctl enable --now hl7-receive.socket", None)],
    "Each day": [
        ("systemctl enable --now hl7-queue-metrics.timer", None)],
    "Each week": [
        ("systemctl list-timers 'hl7-*'", r"hl7-queue-metrics\.timer")],
    "Retention": [
        ("systemctl enable --now hl7-queue-expire.timer", None),
        ("systemctl start hl7-queue-expire.service", "^$"),
        ("journalctl -u hl7-queue-expire.service -n 5", "removed 0 received")],
    "SUPPORT": [
        ("systemctl --version", r"^systemd \d+"),
        ("journalctl --since -2h -t hl7-receive -t hl7-forward -o verbose >hl7-inetd.log", "^$"),
        ("systemctl cat 'hl7-*' >hl7-inetd.units", "^$")],
}

# Which check runs the commands of which section
CHECKS = {
    "operations_of_queues": ["DESCRIPTION", "WHERE TO LOOK FIRST", "Where message X is", "A destination is down", "A queue grows",
                             "A destination gets messages twice", "A message was refused", "Restore"],
    "operations_of_the_listener": ["A sender gets no answer, or sends again", "Nobody can connect",
                                   "Too many connections", "Another machine"],
    "operations_of_certificates": ["A certificate expires"],
    "operations_of_the_machine": ["The disk is full", "Upgrade, and back", "Each day", "Each week", "Retention",
                                  "SUPPORT"],
}

# Those that say by their exit status what they found
STATUSES = {"systemctl status hl7-receive.socket": 3}


def add(guest):
    """Adds the checks to those of guest.py, whose names are used as they are there."""
    for name in CHECKS:
        guest.CHECKS[name] = Walk(guest, name).check


class Walk:
    """One section after another: its trouble is made, and its commands are run in it."""

    def __init__(self, guest, name):
        self.g, self.name = guest, name
        self.done = []
        self.began = 0

    def check(self):
        self.began = time.time()
        getattr(self, self.name)()
        wanted = [command for title in CHECKS[self.name] for command, _ in SYSTEM[title]]
        assert sorted(self.done) == sorted(wanted), f"not run: {set(wanted) - set(self.done)}"
        return f"{len(wanted)} commands"

    def run(self, title, folder="/run", first=0, last=None):
        """The commands of a section, all or some of them."""
        for command, pattern in SYSTEM[title][first:last]:
            done = self.g.run("bash", "-c", command, cwd=folder,
                              env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"})
            wanted = STATUSES.get(command, 0)
            if pattern != "No entries":     # for which some versions have another status
                assert done.returncode == wanted, f"{command}: exit {done.returncode}: {done.stdout}"
            assert pattern is None or re.search(pattern, done.stdout, re.M), f"{command}:\n{done.stdout}"
            self.done.append(command)

    def told(self, *arguments):
        """Of this trouble: the checks before had some of the same."""
        command = ["journalctl", "-q", f"--since=@{self.began:.6f}", *arguments]
        self.g.until(lambda: self.g.run(*command).stdout, f"the journal has {arguments}")

    def operations_of_queues(self):
        """A destination that is down, and a value that a template refuses."""
        g, port = self.g, self.g.free_port()
        with g.destination(port):
            g.replace_file(g.CONVERT_TEMPLATES / "ris.hl7t", b"{to ris}\n{MSH}\nPID|1||{PID-3.1:required}\n")
            g.send_good("MSG00001")
            self.told(f"MESSAGE_ID={DOWN}")
            self.run("Where message X is")
            self.run("A destination is down")
            self.run("A queue grows", last=-1)
            sink = g.Sink(port)
            g.until(lambda: sink.got, "the message at its destination")
            g.until(lambda: g.forwarder_is("inactive"), "the forwarder ends when nothing waits")
            self.run("A queue grows", first=-1)
            self.run("A destination gets messages twice")
            refused = g.message("MSG00001").replace(b"4711", b"")
            assert b"|AE|" in g.exchange(refused), "the template takes it"
            self.told(f"MESSAGE_ID={REFUSED}")
            self.run("A message was refused")
            self.run("WHERE TO LOOK FIRST")
            self.run("Restore")
            sink.stop()
            self.without_a_port()

    def without_a_port(self):
        """A message goes the same way, and leaves the same entry."""
        g = self.g
        g.output("systemctl", "stop", g.SOCKET)
        g.pathlib.Path("/run/order.hl7").write_bytes(g.message("NO-PORT"))
        self.run("DESCRIPTION")
        g.assert_stored(["NO-PORT"])
        self.told("HL7_CONTROL_ID=NO-PORT", "HL7_OUTCOME=stored")
        g.output("systemctl", "start", g.SOCKET)

    def operations_of_the_listener(self):
        """Somebody else has the port, an address that is not allowed, a wrong option, a peer that stays."""
        g = self.g
        g.output("systemctl", "stop", g.SOCKET)
        with g.socket.create_server(("0.0.0.0", g.PORT)):
            g.run("systemctl", "start", g.SOCKET)
            self.told("-u", g.SOCKET, "--grep=Failed to listen on sockets")
            self.run("Nobody can connect", last=3)
        g.run("systemctl", "reset-failed")
        self.run("Nobody can connect", first=3, last=5)
        for options, trouble in (("--allow=192.0.2.1", ("MESSAGE_ID=" + AWAY,)),
                                 ("--no-such-option", ("-t", "hl7-receive", "--grep=no-such-option"))):
            with g.receive_options(options):
                with g.contextlib.suppress(OSError):
                    g.exchange(g.message("NOT-TAKEN"))
                self.told(*trouble)
        g.run("systemctl", "reset-failed")
        self.run("Nobody can connect", first=5)
        self.run("A sender gets no answer, or sends again")
        with g.connect() as connection:
            connection.sendall(g.frame(g.message("STAYS-1"))[:20])
            g.in_hand(connection)
            self.run("Too many connections")
            connection.sendall(g.frame(g.message("STAYS-1"))[20:])
            g.assert_accepted(g.answer(connection), "STAYS-1")
        limit = g.show(g.SOCKET, "MaxConnectionsPerSource")
        g.shutil.rmtree("/etc/systemd/system/hl7-receive.socket.d")
        g.output("systemctl", "daemon-reload")
        assert limit == {"MaxConnectionsPerSource": "256"}, limit
        with g.connect() as connection:
            g.in_hand(connection)
            self.run("Another machine", last=2)
            assert not g.answer(connection), "who was connected is still served"
        self.run("Another machine", first=2)
        g.send_good("LISTENER-1")

    def operations_of_certificates(self):
        g = self.g
        title, work = "A certificate expires", "/run/machine-authority"
        with g.proxy("haproxy"):
            self.run(title, work, last=2)
        with g.proxy("stunnel"):
            self.run(title, work, first=2)
        g.proxied_settle()

    def operations_of_the_machine(self):
        g = self.g
        self.run("The disk is full")
        with g.wait_mode():
            g.send_good("MACHINE-1")
            self.run("Upgrade, and back")
            g.send_good("MACHINE-2")
        self.run("Each day")
        self.run("Each week")
        self.run("Retention")
        g.output("systemctl", "disable", "--now", "hl7-queue-metrics.timer", "hl7-queue-expire.timer")
        self.run("SUPPORT")
        log = g.pathlib.Path("/run/hl7-inetd.log").read_text(encoding="utf-8")
        assert "HL7_OUTCOME" in log and g.CANARY not in log, "the log for support"
