# SPDX-License-Identifier: MIT
"""src/manual/message-way.svg: its texts stay in their boxes, nothing crosses them, and what they name is there.

    /usr/bin/python3 -m pytest tests/documents/test_picture.py

A text's data-in is the id of the box it is for. Where it really is, librsvg says, with the font that is first in
the picture's list.
"""
import itertools
import os
import pathlib
import re
import shutil
import subprocess
import xml.etree.ElementTree as etree

import pytest

SOURCE = pathlib.Path(__file__).resolve().parent.parent.parent
PICTURE = SOURCE / "src/manual/message-way.svg"
SVG = "{http://www.w3.org/2000/svg}"
MARGIN = 2      # pixels between a text and the edge of its box


def missing(what):
    (pytest.fail if os.environ.get("HL7_STRICT") else pytest.skip)(what)


@pytest.fixture(scope="module")
def tree():
    return etree.parse(PICTURE).getroot()


def texts(tree):
    return [element for element in tree.iter(f"{SVG}text")]


@pytest.fixture(scope="module")
def measured(tree):
    """{text: its rectangle as (left, top, right, bottom)}, as librsvg draws it."""
    try:
        import gi
        gi.require_version("Rsvg", "2.0")
        from gi.repository import Rsvg
    except (ImportError, ValueError):
        missing("python3-gi and gir1.2-rsvg-2.0 are not installed")
    if "DejaVu Sans" not in subprocess.run(["fc-list"], stdout=subprocess.PIPE, text=True, check=True).stdout:
        missing("the font DejaVu Sans is not installed")
    for number, element in enumerate(texts(tree)):
        element.set("id", f"text-{number}")
    handle = Rsvg.Handle.new_from_data(etree.tostring(tree))
    page = Rsvg.Rectangle()
    page.x, page.y, page.width, page.height = 0, 0, int(tree.get("width")), int(tree.get("height"))
    found = {}
    for element in texts(tree):
        done, ink, _ = handle.get_geometry_for_layer("#" + element.get("id"), page)
        assert done and ink.width > 0, element.text
        found[element] = (ink.x, ink.y, ink.x + ink.width, ink.y + ink.height)
    return found


def rectangle(element):
    x, y, width, height = (float(element.get(name)) for name in ("x", "y", "width", "height"))
    return x, y, x + width, y + height


def boxes(tree):
    return {element.get("id"): rectangle(element) for element in tree.iter(f"{SVG}rect")}


def segments(tree):
    """The pieces of all lines, as (left, top, right, bottom); paths of M, H, V and h only."""
    for element in tree.iter(f"{SVG}path"):
        if element.get("fill"):     # the heads of arrows
            continue
        x = y = None
        for letter, numbers in re.findall(r"([A-Za-z])([-\d. ]*)", element.get("d")):
            values = [float(number) for number in numbers.split()]
            before = x, y
            if letter == "M":
                x, y = values
                continue
            assert letter in "HVh", f"{letter}: this test cannot follow it"
            x, y = (values[0], y) if letter == "H" else (x, values[0]) if letter == "V" else (x + values[0], y)
            yield min(before[0], x), min(before[1], y), max(before[0], x), max(before[1], y)


def apart(a, b):
    return a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def inside(a, b, margin):
    return a[0] >= b[0] + margin and a[1] >= b[1] + margin and a[2] <= b[2] - margin and a[3] <= b[3] - margin


def test_well_formed():
    if not shutil.which("xmllint"):
        missing("xmllint is not installed")
    done = subprocess.run(["xmllint", "--noout", "--nonet", PICTURE], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and not done.stderr, done.stderr


def test_small_and_self_contained(tree):
    text = PICTURE.read_text(encoding="utf-8")
    assert len(text.encode()) <= 12 * 1024
    assert not re.search(r"<(script|image|style|foreignObject|use)\b|\bhref=|url\((?!#)|@import", text)
    assert int(tree.get("width")) == 700


def test_said_in_words(tree):
    """A title and a description, which the picture refers to."""
    ids = {element.get("id") for name in ("title", "desc") for element in tree.iter(SVG + name)
           if len(element.text.split()) > 4}
    assert tree.get("role") == "img" and set(tree.get("aria-labelledby").split()) == ids == {"title", "desc"}


def test_renders(tmp_path):
    if not shutil.which("rsvg-convert"):
        missing("rsvg-convert is not installed")
    done = subprocess.run(["rsvg-convert", "-o", tmp_path / "way.png", PICTURE], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0 and not done.stderr, done.stderr
    head = (tmp_path / "way.png").read_bytes()[:24]
    assert (int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:], "big")) == (700, 412)


def test_texts_are_in_their_boxes(tree, measured):
    assert len(measured) > 25
    for element, place in measured.items():
        assert inside(place, boxes(tree)[element.get("data-in")], MARGIN), (element.text, place)


def test_texts_do_not_touch(measured):
    for (one, a), (other, b) in itertools.combinations(measured.items(), 2):
        assert apart(a, b), (one.text, other.text)


def test_no_line_crosses_a_text(tree, measured):
    lines = list(segments(tree))
    assert len(lines) > 20
    for element, place in measured.items():
        for line in lines:
            assert apart(place, line), (element.text, line)


def test_labels_on_the_page_touch_no_box(tree, measured):
    for element, place in measured.items():
        if element.get("data-in") == "page":
            for name, box in boxes(tree).items():
                assert name == "page" or apart(place, box), (element.text, name)


def test_boxes_are_apart_or_inside(tree):
    for (one, a), (other, b) in itertools.combinations(boxes(tree).items(), 2):
        assert apart(a, b) or inside(a, b, 0) or inside(b, a, 0), (one, other)


# --- what it names ----------------------------------------------------------------------------

def test_names(tree):
    said = [element.text for element in texts(tree)]
    store = (SOURCE / "src/store/hl7-store.5").read_text(encoding="utf-8")
    programs = [text for text in said if text.startswith("hl7-")]
    assert sorted(programs) == ["hl7-forward", "hl7-queue", "hl7-receive"]
    for program in programs:
        assert (SOURCE / "src" / program.removeprefix("hl7-") / "main.c").exists()
    folders = [text for text in said if text.endswith("/")]
    assert len(folders) == 4
    for folder in folders:
        assert f"{folder.replace('ris', 'NAME')}" in store, folder
    assert "/var/lib/hl7-inetd" in said and "/var/lib/hl7-inetd" in store
    receive = (SOURCE / "src/receive/hl7-receive.8").read_text(encoding="utf-8")
    for folder in "convert.d", "ack.d", "tables":
        assert folder in said and f"/etc/hl7-inetd/{folder}" in receive
    forward = (SOURCE / "src/forward/hl7-forward.8").read_text(encoding="utf-8")
    assert "destinations/ris.conf" in said and "destinations/ris.conf" in forward
    port = re.search(r"^ListenStream=(\d+)", (SOURCE / "units/hl7-receive.socket.in").read_text(), re.M)[1]
    assert any(f"port {port}" in text for text in said)


def test_commands(tree):
    options = (SOURCE / "src/queue/options.c").read_text(encoding="utf-8")
    commands, = (element.text for element in texts(tree) if element.text.startswith("status"))
    for command in commands.split(", "):
        assert f'{{ "{command}"' in options, command


def test_readme_shows_it():
    text = (SOURCE / "README.md").read_text(encoding="utf-8")
    assert re.search(r"^!\[[^]]{20,}\]\(src/manual/message-way\.svg\)$", text, re.M)
