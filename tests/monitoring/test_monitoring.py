# SPDX-License-Identifier: MIT
"""The examples of units/monitoring, by the programs they are for, with the figures that hl7-queue prints.

    HL7_BUILD_DIR=build /usr/bin/python3 -m pytest tests/monitoring

Prometheus and node_exporter are started on loopback ports and scrape a store of this test; Icinga and Nagios read
their files. There is no Grafana in Debian: its dashboard is checked query by query, and against Grafana's own types
where its npm package is there (HL7_NODE_MODULES).
"""
import contextlib
import json
import os
import pathlib
import re
import shlex
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request

import pytest

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE.parent.parent
BUILD = pathlib.Path(os.environ.get("HL7_BUILD_DIR", SOURCE / "build"))
QUEUE = BUILD / "src" / "queue" / "hl7-queue"
EXAMPLES = SOURCE / "units" / "monitoring"
RULES = EXAMPLES / "hl7-inetd.rules.yml"
DASHBOARD = json.loads((EXAMPLES / "hl7-inetd.json").read_text(encoding="utf-8"))
ICINGA = EXAMPLES / "hl7-inetd.icinga2.conf"
NAGIOS = EXAMPLES / "hl7-inetd.nagios.cfg"
PATIENCE = 30

# Of node_exporter itself, beside ours
FOREIGN = {"node_textfile_mtime_seconds": {"file"}}
OF_EVERY_TARGET = {"instance", "job"}

STATE = """\
state: down
since: 1700000000000000
delivered: 12
failed: 3
retries: 7
last-delivery: 1700000001000000
last-error-at: 1700000002000000
last-error: no connection: Connection refused
"""


def need(tool):
    path = shutil.which(tool, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not path:
        if os.environ.get("HL7_STRICT"):
            pytest.fail(f"{tool} is not installed")
        pytest.skip(f"{tool} is not installed")
    return path


def run(*command, **options):
    return subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=60, check=False, **options)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store in which each figure has a value: ris is down, with a message that waits and one that failed."""
    path = tmp_path_factory.mktemp("store")
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(time.time() - 1200))
    for folder in "received", "rejected", "queue/ris", "queue/pacs", "failed/ris":
        (path / folder).mkdir(parents=True)
    for number, names in enumerate((("received", "queue/ris"), ("received", "failed/ris"), ("rejected",))):
        stem = f"{stamp}.00000{number}Z-1-1"
        for folder in names:
            (path / folder / f"{stem}{'.000' if '/' in folder else ''}.hl7").write_bytes(b"MSH|^~\\&|\r")
        for folder in names[-1:]:
            if "queue" not in folder:
                name = f"{stem}.000.txt" if "/" in folder else f"{stem}.txt"
                (path / folder / name).write_text("reason: of this test\n")
    (path / "queue" / ".ris").write_text(STATE)
    return path


@pytest.fixture(scope="module")
def text(store):
    done = subprocess.run([QUEUE, f"--store={store}", "metrics"], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


@pytest.fixture(scope="module")
def figures(text):
    """{name of a figure: names of its labels}, of what is really printed"""
    found = {}
    for name, labels in re.findall(r"^(hl7_\w+)(?:\{(.*)\})? ", text, re.M):
        found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    return found


def test_each_figure_is_printed(text, figures):
    """The store of this test leaves none out: what follows is about all of them."""
    families = re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M)
    assert {name + ("_total" if kind == "counter" else "") for name, kind in families} == set(figures)
    assert len(figures) > 15


def test_what_promtool_says_of_the_figures(text):
    """That counters have no help: their names are OpenMetrics', where a family's has no _total. Nothing else."""
    counters = re.findall(r"^# TYPE (\S+) counter$", text, re.M)
    done = run(need("promtool"), "check", "metrics", input=text)
    assert counters and sorted(done.stdout.splitlines()) == sorted(f"{name}_total no help text" for name in counters)


# --- queries --------------------------------------------------------------------------------------

def dashboard_targets():
    return [(panel["title"], target) for panel in DASHBOARD["panels"] for target in panel["targets"]]


def dashboard_queries():
    """{title and number: expression}, with variables as Grafana fills them in"""
    return {f"{title} {target['refId']}": target["expr"].replace("$instance", ".+").replace("$destination", ".+")
            for title, target in dashboard_targets()}


def alerts():
    """{name: expression}; the file's form is promtool's business"""
    text = RULES.read_text(encoding="utf-8")
    return dict(re.findall(r"^ +- alert: (\w+)\n +expr: (.*)$", text, re.M))


def selectors(expression):
    """[(name, labels)] of the time series that an expression reads"""
    return [(name, set(re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"', labels or "")))
            for name, labels in re.findall(r"\b((?:hl7|node)_\w+)(?:\{([^}]*)\})?", expression)]


QUERIES = {**dashboard_queries(), **alerts()}


@pytest.mark.parametrize("name", QUERIES)
def test_names_and_labels(figures, name):
    known = {**figures, **FOREIGN}
    found = selectors(QUERIES[name])
    assert found, "it reads nothing"
    for series, labels in found:
        assert series in known
        assert labels <= known[series] | OF_EVERY_TARGET, series


def test_selectors_are_found():
    """What finds them finds what is wrong."""
    assert selectors('sum(hl7_a{x="1", y=~"2"}) / hl7_b + time()') == [("hl7_a", {"x", "y"}), ("hl7_b", set())]


def test_every_figure_is_shown(figures):
    shown = {series for expression in dashboard_queries().values() for series, _ in selectors(expression)}
    assert set(figures) - shown == set()


def test_legends_and_texts_name_labels_that_are_there(figures):
    for title, target in dashboard_targets():
        labels = set().union(*(figures.get(series, FOREIGN.get(series)) for series, _ in selectors(target["expr"])))
        assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= labels | OF_EVERY_TARGET, title
    text = RULES.read_text(encoding="utf-8")
    for name, block in re.findall(r"- alert: (\w+)\n(.*?)(?=\n\n|\Z)", text, re.S):
        labels = set().union(*(figures.get(series, FOREIGN.get(series)) for series, _ in selectors(alerts()[name])))
        assert set(re.findall(r"\$labels\.(\w+)", block)) <= labels | OF_EVERY_TARGET, name


# --- rules ----------------------------------------------------------------------------------------

def test_rules_are_valid():
    done = run(need("promtool"), "check", "rules", RULES)
    assert done.returncode == 0, done.stdout
    assert f"{len(alerts())} rules found" in done.stdout


def test_every_alert_comes_and_goes():
    done = run(need("promtool"), "test", "rules", HERE / "rules-test.yml")
    assert done.returncode == 0, done.stdout
    text = (HERE / "rules-test.yml").read_text(encoding="utf-8")
    silent = set(re.findall(r"alertname: (\w+), eval_time: \w+, exp_alerts: \[\]", text))
    loud = set(re.findall(r"alertname: (\w+)\n", text))
    assert silent == loud == set(alerts())


def test_commands_of_the_alerts():
    """What they say to type is there."""
    text = RULES.read_text(encoding="utf-8")
    options = (SOURCE / "src/queue/options.c").read_text(encoding="utf-8")
    for command in re.findall(r"hl7-queue (\w+)", text):
        assert f'= {{ "{command}"' in options or command == "says", command
    helped = "".join(path.read_text(encoding="utf-8") for path in (SOURCE / "src").rglob("options.c"))
    for option in re.findall(r"(--[a-z][a-z-]+)", text):
        assert option in helped + "--since", option
    for unit in re.findall(r"\b(hl7-[\w-]+\.(?:timer|service|socket))", text):
        assert list((SOURCE / "units").glob(f"{unit}*")), unit


# --- the dashboard --------------------------------------------------------------------------------

def test_panels():
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels}) == len(panels)
    taken = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                 for y in range(place["y"], place["y"] + place["h"])}
        assert place["x"] + place["w"] <= 24 and not taken & cells, panel["title"]
        taken |= cells
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])


def test_variables(figures):
    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps([DASHBOARD["panels"], DASHBOARD["templating"]])))
    assert used - {"__all"} == set(variables)
    for name in "instance", "destination":
        query = variables[name]["query"]["query"]
        series, label = re.fullmatch(r"label_values\((\w+)(?:\{.*\})?, (\w+)\)", query).groups()
        assert label == name and label in figures[series] | OF_EVERY_TARGET


# A file has the values of enumerations, not their names
TYPES = """\
import type { Dashboard } from '@grafana/schema';
import type * as stat from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen.d.ts';
import type * as timeseries
	from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen.d.ts';
import type * as state_timeline
	from '@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen.d.ts';
type Plain<T> = T extends string ? `${T}` : T extends (infer U)[] ? Plain<U>[]
	: T extends object ? { [K in keyof T]: Plain<T[K]> } : T;
"""


def as_typescript(text):
    """A dashboard's JSON, and its panels' options by themselves: the dashboard's type takes any of these."""
    lines = [f"export const dashboard: Plain<Dashboard> = {text};"]
    for number, panel in enumerate(json.loads(text)["panels"]):
        lines.append(f"export const options{number}: Plain<{panel['type'].replace('-', '_')}.Options> = "
                     f"{json.dumps(panel['options'])};")
    return TYPES + "\n".join(lines) + "\n"


def test_grafanas_types(tmp_path):
    """The dashboard is what @grafana/schema says one is, and its panels' options what their panels take."""
    modules = pathlib.Path(os.environ.get("HL7_NODE_MODULES", "/nonexistent"))
    if not (modules / "@grafana" / "schema").is_dir():
        if os.environ.get("HL7_STRICT"):
            pytest.fail("@grafana/schema is not installed (npm)")
        pytest.skip("@grafana/schema is not installed (npm); HL7_NODE_MODULES")
    folder = tmp_path / "node_modules"
    folder.symlink_to(modules)
    (tmp_path / "check.ts").write_text(as_typescript(json.dumps(DASHBOARD)))
    compiler = [need("node"), modules / "typescript" / "bin" / "tsc", "--noEmit", "--strict", "--skipLibCheck",
                "--module", "nodenext", "--moduleResolution", "nodenext", "check.ts"]
    done = run(*compiler, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    for right, wrong in (('"palette-classic"', '"palette"'), ('"colorMode"', '"colourMode"')):
        (tmp_path / "check.ts").write_text(as_typescript(json.dumps(DASHBOARD).replace(right, wrong)))
        assert run(*compiler, cwd=tmp_path).returncode != 0, f"{wrong} is not found"


# --- the real programs ----------------------------------------------------------------------------

def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def fetch(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


def wait_for(url, log):
    deadline = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(OSError):
            return fetch(url)
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


@contextlib.contextmanager
def running(log, *command, **options):
    with open(log, "wb") as out:
        process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                   **options)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def exporter(store, tmp_path_factory):
    """Its address. The figures lie elsewhere, and a link to them in its folder, as hl7-queue(8) says."""
    tool = need("prometheus-node-exporter")
    folder = tmp_path_factory.mktemp("textfile")
    elsewhere = tmp_path_factory.mktemp("run")
    for path in (elsewhere, *elsewhere.parents[:1]):
        path.chmod(0o755)
    subprocess.run([QUEUE, f"--store={store}", "metrics", f"--output={elsewhere}/hl7-inetd.prom"], check=True)
    (folder / "hl7-inetd.prom").symlink_to(elsewhere / "hl7-inetd.prom")
    address = f"127.0.0.1:{free_port()}"
    log = tmp_path_factory.mktemp("log") / "exporter"
    with running(log, tool, "--collector.disable-defaults", "--collector.textfile",
                 f"--collector.textfile.directory={folder}", f"--web.listen-address={address}"):
        wait_for(f"http://{address}/metrics", log)
        yield address


def test_node_exporter_has_the_figures(exporter, text):
    """All of them, with their values."""
    told = fetch(f"http://{exporter}/metrics")
    assert "node_textfile_scrape_error 0\n" in told

    def values(of):
        return {name: float(value) for name, value in re.findall(r"^(hl7_\S+) (\S+)$", of, re.M)
                if not re.match(r"hl7_(queue_oldest|store_free)", name)}
    assert len(values(told)) > 12 and values(told) == values(text)
    names = re.compile(r"^(hl7_(?:queue_oldest|store_free)\S+) ", re.M)
    assert names.findall(told) and set(names.findall(told)) == set(names.findall(text))
    assert re.search(r'^node_textfile_mtime_seconds\{file="\S*hl7-inetd\.prom"\} ', told, re.M)


@pytest.fixture(scope="module")
def prometheus(exporter, tmp_path_factory):
    tool = need("prometheus")
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "prometheus.yml").write_text(f"""\
global: {{scrape_interval: 500ms, evaluation_interval: 500ms}}
rule_files: ["{RULES}"]
scrape_configs:
  - job_name: node
    static_configs: [{{targets: ["{exporter}"]}}]
""")
    address = f"127.0.0.1:{free_port()}"
    with running(folder / "log", tool, f"--config.file={folder}/prometheus.yml", f"--web.listen-address={address}",
                 f"--storage.tsdb.path={folder}/data", cwd=folder):
        wait_for(f"http://{address}/-/ready", folder / "log")
        deadline = time.monotonic() + PATIENCE
        # rate() needs two samples
        while not query(address, "count_over_time(hl7_build_info[1m]) > 2"):
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.1)
        yield address


def query(address, expression):
    answer = json.loads(fetch(f"http://{address}/api/v1/query?" + urllib.parse.urlencode({"query": expression})))
    assert answer["status"] == "success", answer
    return answer["data"]["result"]


@pytest.mark.parametrize("name", dashboard_queries())
def test_prometheus_answers_the_dashboard(prometheus, name):
    """Each query has a result, so no panel stays empty."""
    assert query(prometheus, dashboard_queries()[name])


def test_values_in_prometheus(prometheus):
    queries = dashboard_queries()
    for name, value in (("Waiting A", 1), ("Failed A", 1), ("Destinations down A", 1)):
        assert float(query(prometheus, queries[name])[0]["value"][1]) == value, name
    assert 1100 < float(query(prometheus, queries["Oldest waits A"])[0]["value"][1]) < 1500


def test_prometheus_evaluates_the_alerts(prometheus):
    """The store of this test has a message that failed: that alert waits for nothing."""
    deadline = time.monotonic() + PATIENCE
    while True:
        groups = json.loads(fetch(f"http://{prometheus}/api/v1/rules"))["data"]["groups"]
        rules = {rule["name"]: rule for group in groups for rule in group["rules"]}
        assert set(rules) == set(alerts())
        if all(rule["health"] == "ok" for rule in rules.values()) and rules["HL7MessagesFailed"]["state"] == "firing":
            break
        assert time.monotonic() < deadline, rules
        time.sleep(0.1)
    states = {name: rule["state"] for name, rule in rules.items()}
    for name in "HL7DestinationDown", "HL7ForwarderStopped", "HL7MessagesWait":
        assert states[name] != "inactive", name     # pending, or on a slow machine already firing
    assert states["HL7NothingReceived"] == states["HL7FiguresOld"] == states["HL7FiguresMissing"] == "inactive"


# --- Icinga and Nagios ----------------------------------------------------------------------------

PREFIX = ["/usr/bin/sudo", "-n", "-u", "hl7-inetd", "/usr/sbin/hl7-queue"]


def check_plugin(command, store):
    """The command line of an example does what a plugin does, of this test's store; without its sudo."""
    assert command[:5] == PREFIX
    done = subprocess.run([QUEUE, f"--store={store}", *command[5:]], stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert re.match(r"HL7 WARNING - ris: 1 waiting, oldest 2\dm \d+s, 1 failed, stopped \|", done.stdout), done.stdout


def sudo_allows(path, command):
    """The line of sudoers in the file's comment is for this command."""
    allowed = re.search(r"NOPASSWD: (.*?) \*$", path.read_text(encoding="utf-8"), re.M)[1]
    return shlex.join(command).split("hl7-inetd ", 1)[1].startswith(allowed)


def test_icinga(store, tmp_path):
    """icinga2 reads it; the command that its checker would run is taken from what it made of the file."""
    for folder in "cache", "data", "log", "run":
        (tmp_path / folder).mkdir()
    site = tmp_path / "icinga2.conf"
    site.write_text(f"""\
include <itl>
object Endpoint "x" {{ }}
object Zone "x" {{ endpoints = [ "x" ] }}
object Host "integration" {{
  check_command = "dummy"
  vars.hl7_inetd = true
}}
object Host "other" {{ check_command = "dummy" }}
object CheckerComponent "checker" {{ }}
object FileLogger "debug" {{
  severity = "debug"
  path = "{tmp_path}/log/debug"
}}
include "{tmp_path}/hl7-inetd.conf"
""")
    # where there is no such user and no sudo: a program that writes down what it was called with
    called = tmp_path / "called"
    fake = tmp_path / "fake"
    fake.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >{called}.new && mv {called}.new {called}\n')
    fake.chmod(0o755)
    (tmp_path / "hl7-inetd.conf").write_text(
        ICINGA.read_text(encoding="utf-8").replace('"/usr/bin/sudo"', f'"{fake}"').replace("= 1m", "= 1s"))
    user = subprocess.run(["id", "-un"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    group = subprocess.run(["id", "-gn"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    environment = {**os.environ, "ICINGA2_USER": user, "ICINGA2_GROUP": group}
    line = [need("icinga2"), "daemon", "-c", site, "-DNodeName=x", f"-DDataDir={tmp_path}/data",
            f"-DLogDir={tmp_path}/log", f"-DCacheDir={tmp_path}/cache", f"-DInitRunDir={tmp_path}/run"]
    done = run(*line, "-C", env=environment)
    assert done.returncode == 0 and "warning" not in done.stdout, done.stdout
    assert "Instantiated 1 Service." in done.stdout
    with running(tmp_path / "daemon", *line, env=environment):
        deadline = time.monotonic() + PATIENCE
        while not called.exists():
            assert time.monotonic() < deadline, (tmp_path / "daemon").read_text()
            time.sleep(0.1)
    command = ["/usr/bin/sudo", *called.read_text().splitlines()]
    assert sudo_allows(ICINGA, command)
    check_plugin(command, store)


def test_nagios(store, tmp_path):
    tmp_path.chmod(0o777)
    site = tmp_path / "site.cfg"
    site.write_text("""\
define command {
	command_name true
	command_line /bin/true
}
define timeperiod {
	timeperiod_name 24x7
	alias always
}
define contact {
	contact_name operator
	host_notification_period 24x7
	service_notification_period 24x7
	host_notification_commands true
	service_notification_commands true
}
define host {
	host_name localhost
	address 127.0.0.1
	check_command true
	max_check_attempts 3
	contacts operator
	check_period 24x7
	notification_period 24x7
}
define service {
	name generic-service
	register 0
	contacts operator
	check_period 24x7
	notification_period 24x7
}
""")
    user = subprocess.run(["id", "-un"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    group = subprocess.run(["id", "-gn"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    main = tmp_path / "nagios.cfg"
    main.write_text("".join(f"{key}={value}\n" for key, value in (
        ("log_file", tmp_path / "log"), ("check_result_path", tmp_path), ("temp_path", tmp_path),
        ("temp_file", tmp_path / "temp"), ("lock_file", tmp_path / "lock"), ("command_file", tmp_path / "command"),
        ("status_file", tmp_path / "status"), ("object_cache_file", tmp_path / "objects"),
        ("state_retention_file", tmp_path / "retention"), ("nagios_user", user), ("nagios_group", group),
        ("illegal_macro_output_chars", "`~$&|'\"<>"), ("cfg_file", site), ("cfg_file", NAGIOS))))
    done = run(need("nagios4"), "-v", main)
    assert done.returncode == 0, done.stdout
    assert re.search(r"Total Warnings: 0\nTotal Errors:   0\n", done.stdout), done.stdout
    text = NAGIOS.read_text(encoding="utf-8")
    line = re.search(r"^\s+command_line\s+(.*)$", text, re.M)[1]
    name, *arguments = re.search(r"^\s+check_command\s+(.*)$", text, re.M)[1].split("!")
    assert f"command_name\t{name}\n" in text
    for number, argument in enumerate(arguments, 1):
        line = line.replace(f"$ARG{number}$", argument)
    assert "$" not in line
    assert sudo_allows(NAGIOS, shlex.split(line))
    check_plugin(shlex.split(line), store)


def test_installed():
    done = subprocess.run(["meson", "introspect", "--installed", BUILD], stdout=subprocess.PIPE, text=True, check=True)
    assert '"/usr/share/doc/hl7-inetd/examples/monitoring"' in done.stdout
