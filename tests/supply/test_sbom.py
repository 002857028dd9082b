# SPDX-License-Identifier: MIT
"""The SBOM lists what is linked, by what the loader, the linker and the package manager say, and nothing else."""
import hashlib
import itertools
import json
import os
import re
import shutil

import pytest

import supply
from supply import BUILD, HERE, PACKAGES, SOURCE, document, loaded, need, program, properties, reached, run


@pytest.fixture(params=PACKAGES)
def package(request):
    return request.param


@pytest.fixture(params=[(p, n) for p in PACKAGES for n in PACKAGES[p]], ids=lambda pair: pair[1])
def listed(request):
    """(a program, its component, the SBOM)"""
    bom = document(request.param[0])
    path = program(request.param[1])
    return path, next(c for c in bom["components"] if c["name"] == path.name), bom


def validate(*files):
    folder = os.environ.get("HL7_NODE_MODULES")
    if not folder or not os.path.isdir(f"{folder}/@cyclonedx"):
        supply.missing(f"no CycloneDX schema: npm install what {HERE / 'package.json'} names")
    return run(need("node"), HERE / "validate.js", *files)


def test_valid_by_the_schema(tmp_path):
    """All documents by one call, as the schema takes a while to load."""
    for package, kind in itertools.product(PACKAGES, ("cdx", "vex.cdx")):
        document(package, kind)
    validate(*(BUILD / "packaging" / f"{p}.{kind}.json" for p in PACKAGES for kind in ("cdx", "vex.cdx")))
    broken = tmp_path / "broken.json"
    broken.write_text(json.dumps(document("hl7-inetd") | {"bomFormat": "SPDX"}))
    with pytest.raises(AssertionError, match="bomFormat"):
        validate(broken)


def test_programs(package):
    bom = document(package)
    names = [c["name"] for c in bom["components"] if c["type"] == "application"]
    assert sorted(names) == sorted(f"hl7-{n}" for n in PACKAGES[package])
    assert bom["metadata"]["component"]["name"] == package
    assert {c["name"] for c in reached(bom, bom["metadata"]["component"]["bom-ref"])} == {c["name"] for c in bom["components"]}


def test_every_program_is_in_a_package():
    rooms = {path.parent.name for path in (SOURCE / "src").glob("*/main.c")}
    assert rooms == set(itertools.chain(*PACKAGES.values()))


def test_identity(listed):
    path, component, _ = listed
    assert component["hashes"] == [{"alg": "SHA-256", "content": hashlib.sha256(path.read_bytes()).hexdigest()}]
    assert properties(component, "build-id") == [supply.build_id(path)]


def test_what_is_loaded(listed):
    """By the packages, as the loader resolves it."""
    path, component, bom = listed
    required = [c for c in reached(bom, component["bom-ref"]) if properties(c, "soname")]
    found = {s for c in required for s in properties(c, "soname")}
    assert set(loaded(path)) <= found
    for c in required:
        assert set(properties(c, "soname")) & set(loaded(path)), f"{path} loads nothing of {c['name']}"


def test_nothing_else_is_listed(package):
    """Each library, and none that no program loads."""
    found = [s for c in document(package)["components"] for s in properties(c, "soname")]
    assert sorted(found) == sorted(set().union(*(loaded(program(n)) for n in PACKAGES[package])))


def test_what_is_asked_for(listed):
    path, component, bom = listed
    needs = next(d["dependsOn"] for d in bom["dependencies"] if d["ref"] == component["bom-ref"])
    direct = [set(properties(c, "soname")) for c in bom["components"] if c["bom-ref"] in needs]
    # the loader itself is of the C library
    asked = set(re.findall(r"\(NEEDED\).*\[(.*)\]", run("readelf", "-d", path)))
    assert asked <= set().union(*direct)
    assert all(sonames & asked for sonames in direct if sonames)


def test_start_up_files(listed):
    """What gcc links into every program is there, and comes from the packages that it is said to."""
    path, component, bom = listed
    symbols = set(re.findall(r" (\w+)$", run("nm", path), re.M))
    assert {"_start", "__do_global_dtors_aux"} <= symbols
    parts = [s for c in reached(bom, component["bom-ref"]) for s in properties(c, "static")]
    assert {"Scrt1.o", "crtbeginS.o"} <= {s.partition(" ")[0] for s in parts}


def test_packages(package):
    """Each library is of the package, in the version, that this machine has installed."""
    need("dpkg-query")
    for c in document(package)["components"]:
        if c["type"] == "application":
            continue
        version, arch = run("dpkg-query", "-W", "-f", "${Version} ${Architecture}", c["name"]).split()
        assert c["version"] == version
        assert f"/{c['name']}@" in c["purl"] and f"arch={arch}" in c["purl"] and "distro=" in c["purl"]
        assert c["licenses"], c["name"]
        for place in c["evidence"]["occurrences"]:
            assert os.path.exists(place["location"])


def test_what_it_was_built_with(package):
    """The packages of the compiler and the linker: not among what is linked, and enough to have them again."""
    need("dpkg-query")
    listed = document(package)["metadata"]["tools"]["components"]
    paths = [os.path.realpath(shutil.which(tool)) for tool in ("gcc", "ld")]
    assert [c["name"] for c in listed] == [run("dpkg-query", "--search", path).partition(":")[0] for path in paths]
    for c in listed:
        assert c["version"] == run("dpkg-query", "-W", "-f", "${Version}", c["name"])
        assert f"/{c['name']}@" in c["purl"]


def list_program(tmp_path, source, *options, env=None):
    """The SBOM of a program of our own."""
    (tmp_path / "x.c").write_text(source)
    made, out = tmp_path / "x", tmp_path / "x.json"
    run(need("gcc"), "-O0", "-c", "x.c", cwd=tmp_path)
    run(need("gcc"), "-o", "x", "x.o", "-Wl,-Map=x.map", *options, cwd=tmp_path)
    run(SOURCE / "packaging/sbom", "--name", "x", "--version", "1", "--compiler", "gcc", "--output", out, made,
        env={**os.environ, **(env or {})})
    return json.loads(out.read_text(encoding="utf-8"))


def test_another_library_is_seen(tmp_path):
    bom = list_program(tmp_path, "#include <math.h>\nint main(int n, char **v) { return (int)sin(n); }", "-lm")
    assert "libm.so.6" in [s for c in bom["components"] for s in properties(c, "soname")]


def test_what_comes_from_an_archive_is_seen(tmp_path):
    source = "int main(int n, char **v) { return (int)((__int128)n / (n + 1)); }"
    bom = list_program(tmp_path, source)
    assert [s for c in bom["components"] for s in properties(c, "static") if s.startswith("libgcc.a (_")]


def test_without_a_map_it_says_so(tmp_path):
    bom = list_program(tmp_path, "int main(void) { return 0; }", "-Wl,-Map=/dev/null")
    assert properties(bom["components"][-1], "static-parts") == ["unknown: the linker wrote no map"]


def test_same_bytes_again(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    source = "int main(void) { return 0; }"
    boms = [list_program(tmp_path / n, source, env=env) for n, env in (
        ("a", {"TZ": "Asia/Tokyo"}), ("b", {"LC_ALL": "C"}), ("a", {"SOURCE_DATE_EPOCH": "86400"}))]
    assert boms[0] == boms[1]
    assert boms[2]["metadata"]["timestamp"] == "1970-01-02T00:00:00Z"
    assert boms[2]["serialNumber"] != boms[0]["serialNumber"]


def test_serial_numbers_differ():
    numbers = [document(p, kind)["serialNumber"] for p in PACKAGES for kind in ("cdx", "vex.cdx")]
    assert len(set(numbers)) == len(numbers)
