# SPDX-License-Identifier: MIT
"""What is in the packages: each file once, in the right one; programs that link what they should; versions that agree."""
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

import debs
import machine
from debs import BUILD, PACKAGES, SOURCE, output

PROGRAMS = {
    "hl7-inetd": {"/usr/sbin/hl7-forward", "/usr/sbin/hl7-queue", "/usr/sbin/hl7-receive"},
    "hl7-inetd-tools": {"/usr/bin/hl7-convert", "/usr/bin/hl7-send", "/usr/bin/hl7-show"},
    "hl7-amqp": {"/usr/sbin/hl7-amqp"},
}
BEYOND_LIBC = {"hl7-queue": {"libsystemd.so.0"}, "hl7-amqp": {"librabbitmq.so.4"}}
# What packages of a distribution have beside what is installed by the build
DEBIAN = re.compile(r"/usr/share/doc/[^/]+/(README\.md\.gz|changelog\.gz|copyright)|/usr/share/lintian/.*")
RPM = re.compile(r"/usr/share/(doc/[^/]+/README\.md|licenses/.*)|/usr/lib/\.build-id/.*")
SPEC = SOURCE / "packaging/rpm/hl7-inetd.spec"


# -- the build ------------------------------------------------------------------------------------

@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    """{path: file} of all that the build installs, for this machine's Debian."""
    folder = tmp_path_factory.mktemp("installed")
    output("meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", env={**os.environ, "DESTDIR": str(folder)})
    return debs.files(folder)


@pytest.fixture(scope="session")
def unpacked(built, tmp_path_factory):
    """unpacked(SUITE): {package: {path: file}}"""
    known = {}

    def of(suite):
        if suite not in known:
            known[suite] = {}
            for package in PACKAGES:
                deb, = built(suite).glob(f"{package}_*.deb")
                folder = tmp_path_factory.mktemp(f"{suite}-{package}")
                output("dpkg-deb", "--extract", deb, folder)
                known[suite][package] = debs.files(folder)
        return known[suite]
    return of


@pytest.fixture(scope="session")
def rpms(tmp_path_factory):
    """{package: file}, by Debian's rpm; not what is for a debugger, which from 4.20 on it makes as well."""
    if not shutil.which("rpmbuild"):
        pytest.fail("rpmbuild is not installed") if os.environ.get("HL7_STRICT") else pytest.skip("rpmbuild is not installed")
    top = tmp_path_factory.mktemp("rpm")
    (top / "SOURCES").mkdir()
    name = f"hl7-inetd-{version()}"
    output("tar", "--create", "--gzip", "--file", top / f"SOURCES/{name}.tar.gz", "--directory", SOURCE, "--exclude-vcs",
           "--exclude=./build*", "--exclude=__pycache__", "--exclude=node_modules", "--transform", rf"s,^\.,{name},", ".")
    output("rpmbuild", "-bb", "--nodeps", "--load", SOURCE / "tests/packages/systemd.macros",
           "--define", f"_topdir {top}", SPEC, timeout=300)
    return {output("rpm", "-qp", "--queryformat", "%{NAME}", path): path for path in top.rglob("*.rpm")
            if not re.search("-debug(info|source)-", path.name)}


def version():
    return re.search(r"^  version: '(.*)',$", (SOURCE / "meson.build").read_text(encoding="utf-8"), re.M)[1]


def in_one(lists):
    """All paths of the packages; fails on one that is in two of them."""
    seen = {}
    for package, paths in lists.items():
        for path in paths:
            assert path not in seen, f"{path} is in {seen[path]} and {package}"
            seen[path] = package
    return set(seen)


def programs(paths):
    return {path for path in paths if re.match("/usr/s?bin/", path)}


# -- Debian ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("suite", machine.SUITES)
def test_each_file_is_in_one_package(unpacked, installed, suite):
    lists = {package: {path for path in files if not DEBIAN.fullmatch(path)}
             for package, files in unpacked(suite).items()}
    assert {package: programs(paths) for package, paths in lists.items()} == PROGRAMS
    assert in_one(lists) == set(installed)
    for package in PACKAGES[1:]:
        of_systemd = [path for path in lists[package] if re.search("systemd|sysusers|tmpfiles", path)]
        assert not of_systemd, f"{package}: {of_systemd}"
    for package, paths in PROGRAMS.items():
        for path in paths:
            page = f"/{path.rpartition('/')[2]}.{1 if '/bin/' in path else 8}"
            assert any(name.endswith(page) for name in lists[package]), f"{package} has no {page}"
    # what bears a program's name (pages, units, completions) is where the program is
    home = {path.rpartition("/")[2]: package for package, paths in PROGRAMS.items() for path in paths}
    for package, paths in lists.items():
        for path in paths:
            if found := re.match(r"_?(hl7-[a-z]+)\b", path.rpartition("/")[2]):
                assert home.get(found[1], package) == package, f"{path} is in {package}"


@pytest.mark.parametrize("suite", machine.SUITES)
def test_programs_link_what_they_should(unpacked, suite):
    for package, paths in PROGRAMS.items():
        for path in sorted(paths):
            said = output("readelf", "--dynamic", "--wide", unpacked(suite)[package][path])
            needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", said))
            name = path.rpartition("/")[2]
            assert needed == {"libc.so.6"} | BEYOND_LIBC.get(name, set()), f"{name}: {needed}"


def hardened(path):
    """As hardening-check says; the rest by what is in the file.

    Not its check of control flow: it looks for the linker's note, which Debian's own start files keep from all programs.
    Nor that of the stack clash, which finds something only in programs that have large variables on the stack, or that
    of branches, which other processors have: it is about all of them that it exits.
    """
    said = subprocess.run(["hardening-check", path], stdout=subprocess.PIPE, text=True, check=False).stdout
    for what in "Position Independent Executable", "Stack protected", "Fortify Source functions", "Read-only relocations", \
            "Immediate binding":
        assert re.search(rf"^ {what}: yes", said, re.M), f"{what}:\n{said}"
    headers = output("readelf", "--program-headers", "--wide", path)
    assert re.search(r"GNU_STACK .* RW +0x", headers), f"{path}: the stack is executable:\n{headers}"
    if "X86-64" in output("readelf", "--file-header", path):
        count = output("objdump", "--disassemble", "--no-show-raw-insn", path).count("endbr64")
        assert count > 50, f"{path}: {count} places where a jump may land"


@pytest.mark.parametrize("suite", machine.SUITES)
def test_hardening(unpacked, suite):
    for package, paths in PROGRAMS.items():
        for path in paths:
            hardened(unpacked(suite)[package][path])


@pytest.mark.parametrize("suite", machine.SUITES)
def test_what_the_packages_say_of_themselves(built, suite):
    fields = {}
    for package in PACKAGES:
        deb, = built(suite).glob(f"{package}_*.deb")
        fields[package] = {name: output("dpkg-deb", "--field", deb, name).strip() for name in ("Version", "Depends")}
    made = f"{version()}~deb{machine.SUITES_RELEASES[suite]}"
    assert {entry["Version"] for entry in fields.values()} == {made}
    libraries = {package: set(re.findall(r"\b(lib[a-z0-9.-]+)", entry["Depends"])) for package, entry in fields.items()}
    assert libraries["hl7-inetd-tools"] == {"libc6"}
    assert libraries["hl7-inetd"] == {"libc6", "libsystemd0"}
    assert {re.sub(r"\d+$", "", name) for name in libraries["hl7-amqp"]} == {"libc", "librabbitmq"}
    assert f"hl7-inetd-tools (= {made})" in fields["hl7-inetd"]["Depends"]
    assert "hl7-inetd " not in fields["hl7-inetd-tools"]["Depends"] and "systemd" not in fields["hl7-inetd-tools"]["Depends"]


@pytest.mark.parametrize("suite", machine.SUITES)
def test_maintainer_scripts_let_the_sockets_alone(built, tmp_path, suite):
    """No socket and no timer is enabled, started, restarted or stopped, but by a removal."""
    deb, = built(suite).glob("hl7-inetd_*.deb")
    output("dpkg-deb", "--control", deb, tmp_path / "control")
    scripts = {name: (tmp_path / "control" / name).read_text(encoding="utf-8") for name in ("postinst", "prerm", "postrm")}
    postinst = re.sub(r"<<END\n.*?\nEND\n", "", scripts["postinst"], flags=re.S)
    invoked = re.findall(r"^\s*(?:deb-systemd-invoke|systemctl)\s(?!.*daemon-reload)(.*)$", postinst, re.M)
    assert invoked and not [words for words in invoked if re.search(r"\.(socket|timer|path)\b", words)], invoked
    for script in scripts.values():
        for words in re.findall(r"deb-systemd-helper enable '(.*?)'", script):
            assert re.search(rf"was-enabled '{re.escape(words)}'", script), words
    assert not (tmp_path / "control/preinst").exists(), "something is stopped before it is unpacked"


# Of a source package no override can say it: there is no public address, and nobody has translated the question
OF_THE_SOURCE = "bogus-mail-host,no-complete-debconf-translation"
# Lintian of Debian 12 knows 4.6.2, that of Debian 13 wants 4.7.2
OF_THE_SOURCE_IN = {"bookworm": "newer-standards-version", "trixie": ""}


@pytest.mark.parametrize("suite", machine.SUITES)
def test_lintian(built, tmp_path, suite):
    """By the lintian of that Debian, with all that it has to say; the source package as well."""
    made, source = tmp_path / "made", tmp_path / f"hl7-inetd-{version()}"
    shutil.copytree(built(suite), made)
    shutil.copytree(SOURCE, source, ignore=lambda path, names: [
        name for name in names if name in (".git", "__pycache__", "node_modules", ".pytest_cache")
        or (pathlib.Path(path) == SOURCE and name.startswith("build"))])
    shutil.copytree(SOURCE / "packaging/debian", source / "debian")
    output("dpkg-source", "--build", source.name, cwd=tmp_path)
    for path in [*tmp_path.glob("*.dsc"), *tmp_path.glob("*.tar.*")]:
        path.rename(made / path.name)
    for names, options in ((["*.deb"], []), (["*.dsc"], [f"--suppress-tags={OF_THE_SOURCE},{OF_THE_SOURCE_IN[suite]}"])):
        said = debs.in_a_tree(suite, made, "lintian", "--display-info", "--pedantic", "--allow-root",
                              "--fail-on=error,warning,info,pedantic", *options,
                              *(path.name for name in names for path in sorted(made.glob(name))))
        assert not re.findall(r".*unused-override.*", said), said


@pytest.mark.parametrize("suite", machine.SUITES)
def test_unit_tests_are_run_if_asked_for(built, suite):
    log = (built(suite) / "build.log").read_text(encoding="utf-8")
    assert bool(re.search(r"^Ok: +[1-9]\d", log, re.M)) == (suite == debs.this_suite()), log[-2000:]


def test_next_step_is_that_of_the_readme():
    section = (SOURCE / "README.md").read_text(encoding="utf-8").split("\n## Install it\n")[1]
    command = re.search(r"^```sh\nsudo (.*)\n```$", section, re.M)[1]
    for name in "packaging/debian/hl7-inetd.postinst", "packaging/install", "packaging/rpm/hl7-inetd.spec":
        said = re.findall(r"systemctl enable [^\"\n]*", (SOURCE / name).read_text(encoding="utf-8"))
        assert said == [command], f"{name}: {said}"


# -- RPM ------------------------------------------------------------------------------------------

def rpm_files(path):
    return {debs.usual(name) for name, mode in
            (line.split("\t") for line in output("rpm", "-qp", "--queryformat",
                                                 "[%{FILENAMES}\t%{FILEMODES:perms}\n]", path).splitlines())
            if not mode.startswith("d")}


def test_rpms_have_the_same_files(rpms, unpacked):
    suite = debs.this_suite() if debs.this_suite() in machine.SUITES else list(machine.SUITES)[-1]
    ours = {package: {path for path in files if not DEBIAN.fullmatch(path)} for package, files in unpacked(suite).items()}
    assert set(rpms) == set(PACKAGES)
    theirs = {package: {path for path in rpm_files(file) if not RPM.fullmatch(path)} for package, file in rpms.items()}
    assert theirs == ours


def test_rpms_require_the_same(rpms):
    for package, beyond in {"hl7-inetd": "libsystemd", "hl7-inetd-tools": "", "hl7-amqp": "librabbitmq"}.items():
        requires = output("rpm", "-qp", "--requires", rpms[package])
        libraries = set(re.findall(r"^(lib[a-z]+)\.so", requires, re.M))
        assert libraries == {"libc"} | ({beyond} - {""}), requires
    said = output("rpm", "-qp", "--requires", rpms["hl7-inetd"])
    assert re.search(rf"^hl7-inetd-tools.* = {re.escape(version())}-", said, re.M) and "systemd >= 252" in said, said
    assert "systemd" not in output("rpm", "-qp", "--requires", rpms["hl7-inetd-tools"])


def test_rpms_touch_no_socket_in_an_upgrade(rpms):
    said = output("rpm", "-qp", "--scripts", rpms["hl7-inetd"])
    scripts = dict(re.findall(r"^(\w+) scriptlet.*?:\n(.*?)(?=^\w+ scriptlet|\Z)", said, re.M | re.S))
    assert set(scripts) == {"postinstall", "preuninstall", "postuninstall"}, said
    for name, text in scripts.items():
        assert "%" not in text, f"{name}: a macro that is not known: {text}"
        output("sh", "-n", "-c", text)
    assert "systemctl enable --now hl7-receive.socket" in scripts["postinstall"]
    assert not re.search(r"\.(socket|path|timer)", scripts["postuninstall"]), scripts["postuninstall"]
    assert "mark-restart-system-units hl7-receive-wait.service" in scripts["postuninstall"]
    # a template has no state of its own: only its instances are stopped
    for words in re.findall(r"systemd-update-helper (.*)", said):
        assert "@" not in words, words


SOCKETS_AND_TIMERS = "hl7-receive.socket hl7-receive-proxied.socket hl7-receive-wait.socket hl7-queue-expire.timer " \
                     "hl7-queue-metrics.timer"

# By script and what rpm tells it, how many of the package there will be: what is asked of systemd
ASKED = {
    ("postinstall", 1): [f"helper install-system-units {SOCKETS_AND_TIMERS}"],
    ("postinstall", 2): [],
    ("preuninstall", 1): [],
    ("preuninstall", 0): [
        f"helper remove-system-units {SOCKETS_AND_TIMERS}", "systemctl --quiet stop hl7-forward@*.path",
        "systemctl --quiet stop hl7-receive-wait.service hl7-receive@*.service hl7-receive-proxied@*.service "
        "hl7-forward@*.service"],
    ("postuninstall", 1): ["helper mark-restart-system-units hl7-receive-wait.service", "systemctl --quiet daemon-reload",
                           "systemctl --quiet --no-block try-restart hl7-forward@*.service"],
    ("postuninstall", 0): [],
}


@pytest.mark.parametrize("script, count", ASKED)
def test_rpms_scripts_run(rpms, tmp_path, script, count):
    """In the place of systemd stands what writes down what it was asked."""
    said = output("rpm", "-qp", "--scripts", rpms["hl7-inetd"])
    text, = re.findall(rf"^{script} scriptlet.*?:\n(.*?)(?=^\w+ scriptlet|\Z)", said, re.M | re.S)
    for name in "helper", "systemctl":
        (tmp_path / name).write_text(f'#!/bin/sh\necho "{name} $*" >>{tmp_path}/asked\n', encoding="ascii")
        (tmp_path / name).chmod(0o755)
    text = text.replace("/usr/lib/systemd/systemd-update-helper", str(tmp_path / "helper")).replace(
        "/run/systemd/system", str(tmp_path))
    told = output("sh", "-ec", text, "sh", count, env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"})
    asked = (tmp_path / "asked").read_text().splitlines() if (tmp_path / "asked").exists() else []
    assert asked == ASKED[script, count]
    assert ("systemctl enable --now hl7-receive.socket" in told) == ((script, count) == ("postinstall", 1))


@pytest.fixture(scope="session")
def extracted(rpms, tmp_path_factory):
    """{package: the folder that stands for the root}"""
    folders = {}
    for package, path in rpms.items():
        folders[package] = tmp_path_factory.mktemp(f"rpm-{package}")
        with subprocess.Popen(["rpm2cpio", path], stdout=subprocess.PIPE) as archive:
            done = subprocess.run(["cpio", "--extract", "--make-directories", "--quiet"], cwd=folders[package],
                                  stdin=archive.stdout, check=False)
        assert done.returncode == 0 and archive.returncode == 0
    return folders


def test_rpms_hardening(extracted):
    for package, paths in PROGRAMS.items():
        for path in paths:
            hardened(extracted[package] / path.lstrip("/"))


@pytest.mark.parametrize("package", PACKAGES)
def test_rpms_sbom(extracted, package):
    """It has the programs as they are in the package: their hashes, and the build ids that they print."""
    bom = json.loads((extracted[package] / f"usr/share/doc/{package}/{package}.cdx.json").read_text(encoding="utf-8"))
    listed = {c["name"]: c for c in bom["components"] if c["type"] == "application"}
    assert {f"/{path.relative_to(extracted[package])}" for name in listed
            for path in extracted[package].glob(f"usr/*bin/{name}")} == PROGRAMS[package]
    for name, c in listed.items():
        path, = extracted[package].glob(f"usr/*bin/{name}")
        assert c["hashes"][0]["content"] == hashlib.sha256(path.read_bytes()).hexdigest(), name
        build_id, = [p["value"] for p in c["properties"] if p["name"] == "hl7-inetd:build-id"]
        assert build_id in output(path, "--version"), name


def test_rpms_modes_and_owners(rpms):
    """Nothing is anybody's but root's, nothing can be written by others, and what may be changed is kept."""
    for package, path in rpms.items():
        for line in output("rpm", "-qp", "--queryformat", "[%{FILENAMES}\t%{FILEMODES:perms}\t%{FILEUSERNAME}:"
                           "%{FILEGROUPNAME}\t%{FILEFLAGS:fflags}\n]", path).splitlines():
            name, mode, owner, flags = line.split("\t")
            assert owner == "root:root" and "s" not in mode[1:].lower(), (package, line)
            assert mode[0] == "l" or "w" not in (mode[5], mode[8]), (package, line)
            assert name.startswith("/etc/") == ("c" in flags), (package, line)


def test_rpmlint(rpms):
    output("rpmlint", "--strict", "--config", SOURCE / "tests/packages/rpmlint.toml", *rpms.values(), SPEC)


# -- the version ----------------------------------------------------------------------------------

def test_versions_agree():
    changelog = (SOURCE / "packaging/debian/changelog").read_text(encoding="utf-8")
    assert re.match(r"hl7-inetd \((.*?)\) ", changelog)[1] == version()
    spec = SPEC.read_text(encoding="utf-8")
    assert re.search(r"^Version:\s*(.*)$", spec, re.M)[1] == version()
    newest = spec.partition("%changelog\n")[2].splitlines()[0]
    assert newest.endswith(f" - {version()}-1"), newest
    for paths in PROGRAMS.values():
        for path in sorted(paths):
            name = path.rpartition("/")[2]
            said = output(BUILD / "src" / name.removeprefix("hl7-") / name, "--version").splitlines()[0]
            assert re.fullmatch(rf"{name} (\(.*\) )?{re.escape(version())}", said), said
