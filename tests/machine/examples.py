# SPDX-License-Identifier: MIT
"""The examples of the installed manual pages that need a booted systemd: those marked "machine" and "drop-in".

Each page is followed from its beginning to its end, as somebody would who reads it; what that changed is taken back behind
it. tests/documents/manual.py, which reads the pages, is taken along into the machine; on the host only add() is called.
"""
import contextlib
import os
import pathlib
import re
import shutil

MANUALS = pathlib.Path("/usr/share/man")
WORK = pathlib.Path("/run/examples")
ADMINISTRATOR = pathlib.Path("/etc/systemd/system")
CONFIGURATION = pathlib.Path("/etc/hl7-inetd")
STEM = r"20\d{6}T\d{6}\.\d{6}Z-\d+-\d+"
PROXIES = ("stunnel@hl7.service", "haproxy.service")


def add(guest):
    """Adds the check to those of guest.py, whose names are used as they are there."""
    def examples_of_the_manual_pages():
        return Reader(guest).check()
    guest.CHECKS[examples_of_the_manual_pages.__name__] = examples_of_the_manual_pages


class Reader:
    def __init__(self, guest):
        self.g = guest
        self.n = 0

    def check(self):
        import manual
        pages = [path for path in sorted(MANUALS.glob("man*/hl7-*.[1-8]"))]
        assert len(pages) > 10, pages
        # hl7-inetd(7) says how to begin
        for page in sorted(pages, key=lambda path: path.stem != "hl7-inetd"):
            found = [it for it in manual.examples(page) if it.runner in ("machine", "drop-in")]
            if found:
                self.follow(page, found)
        assert self.n > 25, self.n
        return f"{self.n} examples"

    def follow(self, page, examples):
        with contextlib.ExitStack() as stack:
            stack.callback(self.take_back, {path for path in ADMINISTRATOR.rglob("*")})
            self.prepare()
            if page.stem != "hl7-inetd":    # which says how to add it
                (CONFIGURATION / "destinations/ris.conf").write_text("To=mllp://ris.example:2575\n", encoding="utf-8")
                (CONFIGURATION / "convert.d/ris.hl7t").write_text("{to ris}\n{message}\n", encoding="utf-8")
                self.run("hl7-send --quiet --new-id localhost order.hl7")
            # the port of the proxies is that of the destination in the other pages
            if page.name != "hl7-receive.8":
                sink = self.g.Sink(2575)
                stack.callback(sink.stop)
            for example in examples:
                try:
                    self.try_out(example)
                except AssertionError as error:
                    raise AssertionError(f"{example}: {error}") from error
                self.n += 1

    def try_out(self, example):
        if example.runner == "drop-in":
            self.apply(example.argument, example.text)
            return
        if "ris/20" in example.text:
            self.make_one_fail()
        if "haproxy" in example.text:
            self.g.output("systemctl", "disable", "--now", PROXIES[0])
        printed = self.run(self.here(example.text))
        # what the page says of it
        assert "RequiresMountsFor" not in example.text or str(self.g.STORE) in printed, printed
        if "examples/tls" in example.text:
            self.g.until(lambda: any(port == self.g.TLS_PORT and state == "0A" for port, _, state, _, _ in self.g.tcp_rows()),
                         "the proxy listens")
            self.g.exchange_tls(f"EXAMPLE-{example.line}")

    def run(self, command):
        done = self.g.run("bash", "-c", "set -e -o pipefail\n" + command, cwd=WORK,
                          env={**os.environ, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"})
        # a newer journalctl has a status for it
        nothing = command.startswith("journalctl") and "No entries" in done.stdout
        assert done.returncode == 0 or nothing, f"exit status {done.returncode}\n{command}\n{done.stdout}"
        return done.stdout

    def here(self, text):
        """The names of messages are those that are in this store."""
        pattern = rf"(?<=ris/){STEM}\.\d+"
        if re.search(pattern, text):
            text = re.sub(pattern, min((self.g.STORE / "failed/ris").glob("20*.hl7")).stem, text)
        return text

    def apply(self, unit, text):
        """As "systemctl edit" does; a socket is started anew with it."""
        path = ADMINISTRATOR / f"{unit}.d" / "override.conf"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        self.g.output("systemctl", "daemon-reload")
        if unit.endswith(".socket"):
            self.run(f"systemctl restart {unit}\nsystemctl is-active {unit}")
        shown = self.g.output("systemctl", "show", "--property=DropInPaths", unit.replace("@.", "@ris."))
        assert str(path) in shown, shown

    # -- what the examples speak of --------------------------------------------------------------------

    def prepare(self):
        """A message in a file, one that was refused, a destination's name, certificates."""
        for folder in "ack.d", "convert.d", "tables", "destinations":
            (CONFIGURATION / folder).mkdir(parents=True, exist_ok=True)
        WORK.mkdir(exist_ok=True)
        (WORK / "order.hl7").write_bytes(self.g.message("MSG00001").replace(b"\r", b"\n"))
        hosts = pathlib.Path("/etc/hosts")
        if "ris.example" not in (known := hosts.read_text(encoding="utf-8") if hosts.exists() else ""):
            hosts.write_text(known + "\n127.0.0.1 localhost ris.example\n", encoding="utf-8")
        refused = self.g.exchange(self.g.message("MSG00001") + self.g.message("MSG00002"))
        assert b"\rMSA|AE|MSG00001|" in refused, f"two messages in a frame: {refused!r}"
        self.g.until(lambda: list((self.g.STORE / "rejected").glob("20*.hl7")), "a refused message")
        self.g.make_certificates()
        for name in "server.pem", "clients.pem":
            shutil.copy(self.g.TLS / name, WORK)

    def make_one_fail(self):
        """Of a message for the destination, by the hand of an operator."""
        self.run("""systemctl stop hl7-forward@ris.path hl7-forward@ris.service
            hl7-send --quiet --new-id localhost order.hl7
            hl7-queue drop --all --destination=ris
            systemctl start hl7-forward@ris.path""")

    def take_back(self, before):
        """All that a page made in the folders of an administrator, and what it enabled."""
        run = self.g.run
        run("systemctl", "disable", "--now", "hl7-receive-proxied.socket", "hl7-queue-expire.timer", *PROXIES)
        self.g.stop_forwarding()
        for path in sorted(set(ADMINISTRATOR.rglob("*")) - before, reverse=True):
            if path.parent.name.endswith(".d") or path.name.endswith(".d"):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        for path in CONFIGURATION / "ack.d/mine.hl7t", pathlib.Path("/etc/stunnel/hl7.conf"):
            path.unlink(missing_ok=True)
        shutil.rmtree(WORK)
        run("systemctl", "daemon-reload")
        run("systemctl", "disable", "--now", self.g.WAIT_SOCKET)
        run("systemctl", "enable", self.g.SOCKET)
        self.g.output("systemctl", "restart", self.g.SOCKET)
