# SPDX-License-Identifier: MIT
"""Two builds of the same source are the same, bit for bit: wherever, whenever and by whomever they are made.

The second is made in a deeper folder, 400 days later by its clock, in another time zone and language, with another
umask, another home, and with the folders of its source listed in another order.
"""
import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import subprocess

import pytest

from supply import PACKAGES, SOURCE, missing, need, run

# What is compared is what is installed: programs with what a debugger wants to know, pages, units, SBOM
SETUP = ["--prefix=/usr", "-Dtests=false", "-Damqp=enabled"]

# The clock alone. Were the times of files shifted too, copies that keep them would be shifted twice, and lie in the
# future, where ninja never comes to an end
LONG_AGO = 1500000000
LATER = ("env", "NO_FAKE_STAT=1", "faketime", "-f", "+400d")


def copy_source(to):
    """What git knows of, as it is in the work tree."""
    names = run("git", "-C", SOURCE, "ls-files", "-z").split("\0")[:-1]
    for name in names:
        if (SOURCE / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(SOURCE / name, to / name)


def build(source, folder, wrapper=(), umask=0o022, **env):
    """Builds and installs; {path: (mode, hash)} of all that was installed."""
    env = {k: v for k, v in os.environ.items() if k not in ("SOURCE_DATE_EPOCH", "CFLAGS", "LDFLAGS")} | env
    options = {"env": env, "umask": umask}
    run(*wrapper, "meson", "setup", *SETUP, folder, source, **options)
    run(*wrapper, "meson", "compile", "-C", folder, **options)
    out = folder.parent / "installed"
    run(*wrapper, "meson", "install", "-C", folder, "--no-rebuild", **options | {"env": {**env, "DESTDIR": str(out)}})
    return {p.relative_to(out).as_posix(): (oct(p.stat().st_mode), hashlib.sha256(p.read_bytes()).hexdigest())
            for p in out.rglob("*") if p.is_file()}


@contextlib.contextmanager
def shuffled(folder, at):
    """The folder, listed in the opposite order."""
    at.mkdir(parents=True)
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        missing("/dev/fuse cannot be opened: no folder can be listed in another order")
    run(need("disorderfs"), "--shuffle-dirents=no", "--reverse-dirents=yes", "--sort-dirents=yes", folder, at)
    try:
        assert os.listdir(at) == sorted(os.listdir(folder), reverse=True)
        yield at
    finally:
        run(shutil.which("fusermount3") or need("fusermount"), "-u", "-z", at)


def explain(a, b, names):
    """What diffoscope says of the first that differ, if it is there."""
    if not shutil.which("diffoscope"):
        return f"they differ: {names}; diffoscope would say how"
    return "\n".join(subprocess.run(["diffoscope", "--text=-", a / n, b / n], capture_output=True, text=True,
                                    check=False).stdout[:4000] for n in names[:3])


@pytest.fixture(scope="module")
def builds(tmp_path_factory):
    """(what the first installed, the second's, where, where)"""
    for tool in ("git", "meson", "gcc", "faketime"):
        need(tool)
    first = tmp_path_factory.mktemp("first")
    second = tmp_path_factory.mktemp("second") / "deeper" / "and with spaces"
    copy_source(first / "source")
    copy_source(second / "source")
    a = build(first / "source", first / "build", LC_ALL="C.UTF-8", TZ="UTC")
    home = second / "home"
    home.mkdir()
    with shuffled(second / "source", second / "shuffled") as source:
        b = build(source, second / "build-elsewhere", wrapper=LATER, umask=0o077,
                  LC_ALL="C", LANG="tr_TR.UTF-8", TZ="Asia/Kathmandu", HOME=str(home), USER="somebody",
                  LOGNAME="somebody", HOSTNAME="elsewhere")
    return a, b, first / "installed", second / "installed"


def test_the_same_is_installed(builds):
    a, b, first, second = builds
    assert sorted(a) == sorted(b)
    differ = sorted(n for n in a if a[n] != b[n])
    assert differ == [], explain(first, second, differ)


def test_it_is_all_there(builds):
    """What is compared has programs, pages, units, templates and the SBOM in it."""
    installed = builds[0]
    for name in ("sbin/hl7-receive", "sbin/hl7-amqp", "bin/hl7-send", "share/man/man8/hl7-receive.8",
                 "share/hl7-inetd/templates/ack.hl7t", "share/doc/hl7-inetd/hl7-inetd.cdx.json"):
        assert any(n.endswith(name) for n in installed), name
    assert any(n.endswith("/hl7-receive.socket") for n in installed)


def test_no_folder_of_the_build_is_in_it(builds):
    _, _, first, second = builds
    for where in (first, second):
        for path in pathlib.Path(where).rglob("*"):
            if path.is_file():
                text = path.read_bytes()
                assert str(first.parent).encode() not in text and str(second.parent).encode() not in text, path


def test_another_source_is_another_build(builds, tmp_path):
    """The comparison would see a single character."""
    first = builds[2].parent
    copy_source(tmp_path / "source")
    file = tmp_path / "source/src/show/names.c"
    file.write_text(file.read_text(encoding="utf-8").replace("Sending Application", "Sending application"))
    run("meson", "setup", *SETUP, tmp_path / "build", tmp_path / "source")
    run("ninja", "-C", tmp_path / "build", "src/show/hl7-show", "src/send/hl7-send")
    for name, same in (("send", True), ("show", False)):
        a, b = (folder / f"build/src/{name}/hl7-{name}" for folder in (first, tmp_path))
        assert (a.read_bytes() == b.read_bytes()) == same, name


# --- Debian packages ------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """Two folders of Debian packages, of two trees, 400 days apart; the second of files that are old."""
    if not shutil.which("apt-get"):
        missing("no Debian: its packages are not built here")
    need("faketime")
    made = []
    for name, wrapper, options in (("here", (), {}), ("elsewhere and later", LATER, {
            "umask": 0o027, "env": os.environ | {"TZ": "Asia/Kathmandu", "LANG": "tr_TR.UTF-8", "USER": "somebody"}})):
        tree = tmp_path_factory.mktemp("tree") / name
        copy_source(tree)
        if wrapper:
            for path in tree.rglob("*"):
                os.utime(path, (LONG_AGO, LONG_AGO), follow_symlinks=False)
        made.append(tree.with_name(f"{name} packages"))
        run(*wrapper, tree / "packaging/install", "--build-only", f"--output={made[-1]}", **options)
    return made


def test_the_same_packages(packages):
    first, second = packages
    names = sorted(p.name for p in first.glob("*.deb"))
    assert {n.partition("_")[0] for n in names} >= set(PACKAGES)
    assert names == sorted(p.name for p in second.glob("*.deb"))
    differ = [n for n in names if (first / n).read_bytes() != (second / n).read_bytes()]
    assert differ == [], explain(first, second, differ)


@pytest.mark.parametrize("package", PACKAGES)
def test_the_sbom_of_a_package(packages, package, tmp_path):
    """It has the programs as they are installed, without their symbols, and is no compressed file."""
    run("dpkg-deb", "-x", next(packages[0].glob(f"{package}_*.deb")), tmp_path)
    documents = tmp_path / "usr/share/doc" / package
    bom = json.loads((documents / f"{package}.cdx.json").read_text(encoding="utf-8"))
    listed = {c["name"]: c["hashes"][0]["content"] for c in bom["components"] if c["type"] == "application"}
    there = {p.name: hashlib.sha256(p.read_bytes()).hexdigest()
             for p in tmp_path.glob("usr/*bin/hl7-*") if p.read_bytes().startswith(b"\x7fELF")}
    assert listed == there
    assert bom["metadata"]["timestamp"]
    assert not [c for c in bom["components"] if any(p["name"].endswith("static-parts") for p in c["properties"])]
    vex = json.loads((documents / f"{package}.vex.cdx.json").read_text(encoding="utf-8"))
    assert bom["serialNumber"].removeprefix("urn:uuid:") in vex["vulnerabilities"][0]["affects"][0]["ref"]
