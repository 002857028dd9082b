# SPDX-License-Identifier: MIT
"""Boots clean Debian trees with systemd-nspawn and runs guest.py, or upgrade.py, in them.

A pristine tree of each suite is made once with debootstrap and cached. Every boot sees it through
an overlay whose upper layer is a tmpfs, in mount and process namespaces of its own: when the
process we started ends, however it ends, all others and the mounts are gone too. What is shared
with the host is one folder: the list of wanted checks, guest.py and upgrade.py, the results and the
journal.

    /usr/bin/python3 tests/machine/machine.py     makes the trees that are missing

Environment:
  HL7_BUILD_DIR        a finished build, configured with --prefix=/usr (default: ../../build)
  HL7_MACHINE_CACHE    where the trees are kept (default: /var/cache/hl7-inetd-tests); removing it
                       gives trees of today
  HL7_MACHINE_SECONDS  for one boot with all its checks, then it is killed (default: 900)
"""
import concurrent.futures
import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE.parent.parent
BUILD = pathlib.Path(os.environ.get("HL7_BUILD_DIR", SOURCE / "build"))
CACHE = pathlib.Path(os.environ.get("HL7_MACHINE_CACHE", "/var/cache/hl7-inetd-tests"))
SECONDS = int(os.environ.get("HL7_MACHINE_SECONDS", "900"))

SUITES = {"bookworm": 252, "trixie": 257}   # systemd's version, which the units depend on
SUITES_RELEASES = {"bookworm": 12, "trixie": 13}

# man-db, as "systemd-analyze verify" asks man for each page that a unit names
BOOTED = ["dbus", "haproxy", "libsystemd0", "man-db", "openssl", "procps", "python3", "stunnel4",
          "systemd", "systemd-sysv"]
BUILDER = ["gcc", "libc6-dev", "libsystemd-dev", "meson", "pkgconf"]

# For machines that build and install the packages themselves and have no network: what packaging/install and the first
# commands of README.md would fetch is there. Also what the packages are judged by; perl-openssl-defaults is what lintian
# depends on by another name, which debootstrap does not know
INSTALLER = [*BOOTED, "autopkgtest", "build-essential", "debhelper", "librabbitmq-dev", "libsystemd-dev", "lintian", "meson",
             "perl-openssl-defaults", "pkgconf", "po-debconf", "prometheus-node-exporter", "sudo"]
SYSTEMD_PC = {"bookworm": [], "trixie": ["systemd-dev"]}    # a package of its own only since Debian 13

TEST_UNIT = """\
[Unit]
Description=The checks, after a complete boot; the machine is switched off behind them
Requires=multi-user.target
After=multi-user.target
SuccessAction=exit
FailureAction=exit
[Service]
Type=oneshot
# the default, which systemd 257 forgets when it is told to read its units again
TimeoutStartSec=infinity
ExecStart=/usr/bin/python3 /run/machine/{program} /run/machine
"""

# $1 pristine tree, $2 mount point
OVERLAY = """\
tree=$1 top=$2
mount -t tmpfs -o mode=0755 machine "$top"
mkdir "$top/upper" "$top/work" "$top/root"
mount -t overlay -o lowerdir="$tree",upperdir="$top/upper",workdir="$top/work" overlay "$top/root"
"""

# $STAGE what "meson install" wrote, or the source tree, $SHARED the folder shared with the host, $CGROUPS one control
# group per hierarchy, $FILTERS options. The account is made as a package's postinst makes it
BOOT = OVERLAY + """\
for group in $CGROUPS; do echo $$ >"$group/cgroup.procs"; done
tar -C "$STAGE" -c . | tar -C "$top/root" -x --keep-directory-symlink --no-overwrite-dir
[ ! -e "$STAGE/usr/sbin/hl7-receive" ] || chroot "$top/root" systemd-sysusers
cp "$SHARED/machine-test.service" "$top/root/etc/systemd/system/"
mkdir -p "$top/root/var/log/journal" "$top/root/etc/systemd/journald.conf.d"
# checks ask for entries behind floods: none of them is to be dropped for their number
printf '[Journal]\\nRateLimitIntervalSec=0\\n' >"$top/root/etc/systemd/journald.conf.d/tests.conf"
export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1
# 133: it asked for a reboot
status=133
while [ "$status" = 133 ]; do
    status=0
    systemd-nspawn --quiet --boot --private-network --register=no --keep-unit --settings=no \\
        --console=read-only --link-journal=no --machine="$MACHINE" --directory="$top/root" \\
        --bind="$SHARED:/run/machine" --bind="$SHARED/journal:/var/log/journal" $FILTERS \\
        -- --unit=machine-test.service || status=$?
done
exit "$status"
"""

# For a host whose libc is newer than the tree's: build in a tree of the same suite
COMPILE = OVERLAY + """\
mkdir "$top/root/source" "$top/root/stage"
mount --bind -o ro "$SOURCE" "$top/root/source"
mount --bind "$STAGE" "$top/root/stage"
mount --bind /proc "$top/root/proc"
exec chroot "$top/root" sh -euc '
    meson setup --prefix=/usr -Dtests=false /tmp/build /source
    DESTDIR=/stage meson install -C /tmp/build'
"""


def why_not():
    """The reason why no machine can be booted here, or None."""
    if os.geteuid() != 0:
        return "booting a container needs root"
    for tool in "debootstrap", "systemd-nspawn", "meson", "unshare", "setpriv":
        if not shutil.which(tool):
            return f"{tool} is not installed"
    probe = subprocess.run([*ISOLATED, "true"], stderr=subprocess.PIPE, text=True)
    if probe.returncode != 0:
        return f"no namespaces: {probe.stderr.strip()}"
    return None


# Before a command: namespaces of its own. A container outlives a systemd-nspawn that is killed, but
# nothing outlives the first process of a process namespace: unshare kills that one when it ends,
# and setpriv makes unshare end when we do
ISOLATED = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private",
            "--pid", "--mount-proc", "--kill-child=KILL"]


def script(text, tree, top, **environment):
    """The command line that runs one of the scripts above."""
    variables = [f"{name}={value}" for name, value in environment.items()]
    return ["env", *variables, *ISOLATED, "sh", "-euc", text, "sh", str(tree), str(top)]


# Landlock, which systemd-nspawn keeps from its containers unless it is asked for
LANDLOCK = " ".join(f"--system-call-filter=landlock_{call}"
                    for call in ("create_ruleset", "add_rule", "restrict_self"))


def packet_filters():
    """Options of systemd-nspawn that let a machine have the packet filters of its units, as one that is
    no container has them; none where we may not load them ourselves."""
    bounding = re.search(r"^CapBnd:\s*(\w+)", pathlib.Path("/proc/self/status").read_text(), re.M)
    net_admin, perfmon, bpf = 1 << 12, 1 << 38, 1 << 39
    needed = net_admin | perfmon | bpf
    if int(bounding[1], 16) & needed != needed:
        return ""
    return "--capability=CAP_BPF,CAP_NET_ADMIN,CAP_PERFMON --system-call-filter=bpf"


# -- trees ------------------------------------------------------------------------------------

def mirror():
    """The Debian mirror apt is configured with; none, or one in a way of apt's own: debootstrap's default."""
    with contextlib.suppress(OSError):
        listed = subprocess.run(
            ["apt-get", "indextargets", "--format", "$(ORIGIN) $(LABEL) $(REPO_URI)",
             "Created-By: Packages"], stdout=subprocess.PIPE, text=True).stdout
        for line in listed.splitlines():
            if line.startswith("Debian Debian ") and line.split()[2].startswith(("http:", "https:", "file:")):
                return [line.split()[2]]
    return []


def pristine(suite, kind, packages):
    """The cached tree of a suite with these packages, made now if there is none of this kind."""
    CACHE.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(" ".join(packages).encode()).hexdigest()[:12]
    tree = CACHE / f"{suite}-{kind}-{digest}"
    if tree.exists():       # whole, and not to be waited for while another one is made
        return tree
    with open(CACHE / f"lock-{suite}-{kind}", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if tree.exists():
            return tree
        for old in CACHE.glob(f"{suite}-{kind}-*"):     # another list, or cut off half way
            shutil.rmtree(old)
        partial = tree.with_name(tree.name + ".partial")
        subprocess.run([*ISOLATED, "debootstrap", "--variant=minbase",
                        f"--include={','.join(packages)}", suite, partial, *mirror()],
                       check=True, timeout=900, stdout=subprocess.DEVNULL)
        for package in (partial / "var/cache/apt/archives").glob("*.deb"):
            package.unlink()
        partial.rename(tree)
    return tree


def libc_version(command=()):
    text = subprocess.run([*command, "getconf", "GNU_LIBC_VERSION"], check=True,
                          stdout=subprocess.PIPE, text=True).stdout
    return [int(number) for number in re.findall(r"\d+", text)]


def install(suite, tree, work):
    """The files of the product, made for this tree, in a folder of their own."""
    stage = work / "stage"
    stage.mkdir()
    log = work / "install.log"
    here = libc_version() <= libc_version(["chroot", tree])
    if here:
        command = ["env", f"DESTDIR={stage}", "meson", "install", "-C", BUILD, "--no-rebuild"]
    else:
        (work / "compile").mkdir()
        command = script(COMPILE, pristine(suite, "build", BUILDER), work / "compile",
                         SOURCE=SOURCE, STAGE=stage)
    with open(log, "w") as out:
        done = subprocess.run(command, stdout=out, stderr=out, timeout=300)
    if done.returncode != 0 or not (stage / "usr/sbin/hl7-receive").exists():
        raise RuntimeError(f"installing for {suite} failed (is the build complete, and "
                           f"configured with --prefix=/usr?):\n{log.read_text()[-3000:]}")
    if here:
        install_units(suite, stage, work / "units")
    return stage


def copy_source(work):
    """The source tree without what was built in it, in a folder that stands for a machine's root."""
    stage = work / "stage"
    shutil.copytree(SOURCE, stage / "root/hl7-inetd", ignore=lambda folder, names: [
        name for name in names if name in (".git", "node_modules", "__pycache__")
        or (pathlib.Path(folder) == SOURCE and name.startswith("build"))])
    return stage


def install_units(suite, stage, build):
    """The units as this suite's own build would make them, over those for the host's systemd."""
    subprocess.run(["meson", "setup", "--prefix=/usr", "-Dtests=false",
                    f"-Dsystemd_version={SUITES[suite]}", build, SOURCE],
                   check=True, stdout=subprocess.DEVNULL, timeout=300)
    for unit in (build / "units").glob("hl7-*"):
        # units only: what is for tmpfiles.d has the name of what is for sysusers.d
        for installed in stage.rglob(f"system/{unit.name}"):
            shutil.copy(unit, installed)


# -- control groups ---------------------------------------------------------------------------

@contextlib.contextmanager
def control_groups(name):
    """One new group in every mounted hierarchy (v1, v2 or both).

    Two containers started from one group share it, and then delete each other's sub-groups.
    """
    groups = []
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        fields, kind = line.split(" - ")[0].split(), line.split(" - ")[1].split()[0]
        if kind in ("cgroup", "cgroup2"):
            groups.append(pathlib.Path(fields[4]) / name)
    try:
        for group in groups:
            group.mkdir()
            for limit in "cpuset.cpus", "cpuset.mems":      # v1: empty, and then nobody may join
                if (group / limit).exists() and (group.parent / limit).exists():
                    (group / limit).write_text((group.parent / limit).read_text())
        yield groups
    finally:
        for group in groups:
            remove_group(group)


def remove_group(group):
    deadline = time.monotonic() + 10
    while group.exists():
        for folder, _, _ in os.walk(group, topdown=False):
            with contextlib.suppress(OSError):              # a process in it is still ending
                os.rmdir(folder)
        if time.monotonic() > deadline:
            return
        time.sleep(0.05)


# -- machines ---------------------------------------------------------------------------------

class Machine:
    """One boot of one suite with its checks; a context manager that leaves nothing behind."""

    program = "guest.py"

    def make(self):
        """(tree, what is put into it)"""
        tree = pristine(self.suite, "boot", BOOTED)
        return tree, install(self.suite, tree, self.work)

    def __init__(self, suite, checks):
        self.suite, self.checks = suite, checks
        self.process = None
        self.ended = "it was not started"

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            folder = tempfile.mkdtemp(prefix=f"hl7-machine-{self.suite}-")
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            self.work = pathlib.Path(folder)
            self.shared = self.work / "shared"
            (self.shared / "journal").mkdir(parents=True)
            (self.work / "top").mkdir()
            for program in {"guest.py", "operations.py", "examples.py", "../documents/manual.py", self.program}:
                shutil.copy(HERE / program, self.shared)
            (self.shared / "wanted.json").write_text(json.dumps(self.checks))
            unit = TEST_UNIT.format(program=self.program)
            (self.shared / "machine-test.service").write_text(unit)
            self.tree, self.stage = self.make()
            name = f"hl7-machine-{self.suite}-{os.getpid()}"
            groups = stack.enter_context(control_groups(name))
            stack.callback(self.kill)
            self.command = script(
                BOOT, self.tree, self.work / "top", STAGE=self.stage, SHARED=self.shared,
                MACHINE=name, CGROUPS=" ".join(map(str, groups)), FILTERS=f"{LANDLOCK} {packet_filters()}")
            self.cleanup = stack.pop_all()
        return self

    def __exit__(self, *_):
        self.cleanup.close()

    def start(self):
        with open(self.work / "console", "wb") as console:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL,
                                            stdout=console, stderr=console)
        self.began = time.monotonic()

    def finished(self):
        """True once it has ended; ends it when its time is over."""
        seconds = time.monotonic() - self.began
        if self.process.poll() is not None:
            self.ended = f"it ended after {seconds:.0f} s (exit {self.process.returncode})"
            return True
        if seconds > SECONDS:
            self.kill()
            self.ended = f"it was killed after {seconds:.0f} s"
            return True
        return False

    def kill(self):
        """All that runs in its namespaces ends with it."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def results(self):
        with contextlib.suppress(FileNotFoundError):
            return json.loads((self.shared / "results.json").read_text())
        return {}

    def log_tail(self):
        """The end of its journal, or of its console if it did not come that far."""
        journal = subprocess.run(
            ["journalctl", "--no-pager", "-q", "-o", "short-precise", "-n", "60", "-D",
             self.shared / "journal"], stdout=subprocess.PIPE, text=True).stdout
        console = (self.work / "console").read_text(errors="replace")
        return journal or re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", console)[-4000:]


class Installer(Machine):
    """A machine with the source tree, which builds, installs and upgrades its packages."""

    program = "upgrade.py"

    def make(self):
        packages = INSTALLER + SYSTEMD_PC[self.suite]
        return pristine(self.suite, "install", packages), copy_source(self.work)


def run(machines):
    """Runs all of them side by side until each has ended."""
    for machine in machines:
        machine.start()
    running = machines
    while running:
        time.sleep(0.2)
        running = [machine for machine in running if not machine.finished()]


def main():
    """Makes the trees that are missing, those of both suites at the same time, before somebody waits for them."""
    with concurrent.futures.ThreadPoolExecutor(len(SUITES)) as pool:
        for kind in (lambda suite: pristine(suite, "boot", BOOTED),
                     lambda suite: pristine(suite, "install", INSTALLER + SYSTEMD_PC[suite])):
            list(pool.map(kind, SUITES))


if __name__ == "__main__":
    main()
