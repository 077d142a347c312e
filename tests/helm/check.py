"""Renders the chart with the real Helm engine and holds it to what it promises. Called by `run`; --bless writes golden files."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml
from helm_python import Chart, lint

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm/riskshare"
GOLDEN = ROOT / "tests/helm/golden"
BLESS = "--bless" in sys.argv

OPEN = {"config": {"allow_unauthenticated_network": True}}
OIDC = {"auth": {"mode": "oidc", "oidc": {"issuer": "https://issuer.example", "audience": "riskshare"}}}
SETS = {
    "embedded": OPEN,
    "postgres": {
        "replicaCount": 3,
        "config": OIDC,
        "database": {"existingSecret": "db", "caSecret": "db-ca"},
        "tls": {"existingSecret": "tls", "clientCaSecret": "clients"},
        "auth": {"principalsSecret": "principals"},
        "serviceMonitor": {"enabled": True},
        "prometheusRule": {"enabled": True},
        "networkPolicy": {"enabled": True, "metricsFrom": [{"namespaceSelector": {}}]},
    },
    "autoscaled": {
        "config": OIDC,
        "database": {"existingSecret": "db"},
        "autoscaling": {"enabled": True},
        "persistence": {"size": "1Gi"},
        "extraObjects": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-more"}}],
    },
}
REFUSED = {
    "several replicas of the embedded store": ({"replicaCount": 2, **OPEN}, "database.existingSecret"),
    "an embedded store that scales": ({"autoscaling": {"enabled": True}, **OPEN}, "database.existingSecret"),
    "strangers, unless somebody says so": ({}, "config.auth.mode"),
    "a value that nobody knows": ({"replicas": 2, **OPEN}, "replicas"),
    "a value of another type": ({"replicaCount": "two", **OPEN}, "replicaCount"),
}
# There is no schema of these among those of Kubernetes.
CUSTOM = {"ServiceMonitor", "PrometheusRule"}


def fail(why):
    sys.exit(f"FAILED: {why}")


def render(values):
    with Chart.load(str(CHART)) as chart:
        rendered = chart.render(values=values, name="rel", namespace="ns")
    texts = [text for path, text in sorted(rendered.items()) if path.endswith(".yaml")]
    return "".join(f"---\n{text.strip()}\n" for text in texts if text.strip())


def objects(text):
    return [one for one in yaml.safe_load_all(text) if one]


def by_kind(text, kind):
    return next(one for one in objects(text) if one["kind"] == kind)


def check_golden(name, text):
    path = GOLDEN / f"{name}.yaml"
    if BLESS:
        path.write_text(text)
    if not path.exists() or path.read_text() != text:
        fail(f"{path.relative_to(ROOT)} is not what is rendered: look at it, and run with --bless")


def check_schema(name, text):
    known = [one for one in objects(text) if one["kind"] not in CUSTOM]
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump_all(known, file)
        file.flush()
        validate = Path(sys.executable).with_name("kubernetes-validate")
        said = subprocess.run([validate, "-k", "1.37", "--strict", file.name], capture_output=True, text=True)
    if said.returncode:
        fail(f"{name}: {said.stdout}{said.stderr}")


def pods(text):
    return [one["spec"]["template"]["spec"] for one in objects(text) if one["kind"] in ("Deployment", "StatefulSet", "Job")]


def check_security(name, text):
    for pod in pods(text):
        inside = pod["containers"][0]["securityContext"]
        is_restricted = (
            pod["securityContext"]["runAsNonRoot"]
            and pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
            and inside["readOnlyRootFilesystem"]
            and not inside["allowPrivilegeEscalation"]
            and inside["capabilities"]["drop"] == ["ALL"]
            and pod["automountServiceAccountToken"] is False
        )
        if not is_restricted:
            fail(f"{name}: a pod is not restricted")


def check_custom(text):
    monitor, rule = by_kind(text, "ServiceMonitor"), by_kind(text, "PrometheusRule")
    headless = next(one for one in objects(text) if one["metadata"]["name"].endswith("-headless"))
    if monitor["spec"]["endpoints"][0]["port"] not in [port["name"] for port in headless["spec"]["ports"]]:
        fail("the service monitor names no port of a service")
    rules = yaml.safe_load((ROOT / "deploy/prometheus/riskshare.rules.yaml").read_text())
    if rule["spec"] != rules:
        fail("helm/riskshare/files/riskshare.rules.yaml is not deploy/prometheus/riskshare.rules.yaml: copy it")


def check_grace(text):
    with_config = tomllib_loads(by_kind(text, "ConfigMap")["data"]["riskshare.toml"])
    pod = next(one for one in objects(text) if one["kind"] in ("Deployment", "StatefulSet"))["spec"]["template"]["spec"]
    if pod["terminationGracePeriodSeconds"] <= with_config["drain_seconds"] + with_config["drain_pause_seconds"]:
        fail("a pod is killed before it has drained")


def tomllib_loads(text):
    import tomllib

    return tomllib.loads(text)


def check_refusals():
    for what, (values, word) in REFUSED.items():
        try:
            render(values)
        except Exception as refusal:  # The engine has one kind of error.
            if word not in str(refusal):
                fail(f"{what}: {refusal}")
        else:
            fail(f"rendered {what}")


def table():
    """Makes the table of values of values.yaml and the comments in it."""
    rows, comment, parents = [], [], []
    for line in (CHART / "values.yaml").read_text().splitlines():
        indent = len(line) - len(line.lstrip())
        key = re.match(r"\s*([A-Za-z_]+):\s*(.*)$", line)
        if line.lstrip().startswith("#"):
            comment.append(line.strip(" #"))
        elif key:
            parents = parents[: indent // 2] + [key[1]]
            name = ".".join(parents)
            if comment:
                default = key[2] or "see values.yaml"
                rows.append(f"| `{name}` | `{default}` | {' '.join(comment)} |")
            comment = []
        else:
            comment = []
    return "\n".join(["| Value | Default | Is |", "|---|---|---|", *rows])


def check_table():
    path = CHART / "README.md"
    before, rest = path.read_text().split("<!-- values -->\n", 1)
    _, after = rest.split("<!-- /values -->", 1)
    written = f"{before}<!-- values -->\n{table()}\n<!-- /values -->{after}"
    if BLESS:
        path.write_text(written)
    if path.read_text() != written:
        fail("the table in helm/riskshare/README.md is not that of values.yaml: run with --bless")


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def run_it(text):
    """Runs the container's command with the rendered settings, with its folders in a temporary one and ports of its own."""
    binary = os.environ.get("BINARY") or str(ROOT / "target/debug/riskshare")
    container = pods(text)[0]["containers"][0]
    with tempfile.TemporaryDirectory() as folder:
        ports = {port: free_port() for port in (50051, 50052, 9464)}
        config = by_kind(text, "ConfigMap")["data"]["riskshare.toml"].replace("/var/lib/riskshare", folder)
        for port, other in ports.items():
            config = config.replace(f"0.0.0.0:{port}", f"127.0.0.1:{other}")
        Path(folder, "riskshare.toml").write_text(config)
        arguments = [part.replace("/etc/riskshare/config", folder) for part in container["args"]]
        server = subprocess.Popen([binary, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                asked = container[probe]["grpc"]
                ask = [binary, "healthcheck", "--address", f"127.0.0.1:{ports[asked['port']]}", "--service", asked["service"]]
                for _ in range(100):
                    said = subprocess.run(ask, capture_output=True, text=True)
                    if said.returncode == 0:
                        break
                    time.sleep(0.2)
                else:
                    fail(f"{probe}: {said.stderr}")
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(timeout=60)
        if server.returncode != 0:
            fail("the server did not end well")


def main():
    errors = lint(str(CHART)).get("errors")
    if errors:
        fail(errors)
    for name, values in SETS.items():
        text = render(values)
        check_golden(name, text)
        check_schema(name, text)
        check_security(name, text)
        check_grace(text)
    check_custom(render(SETS["postgres"]))
    check_refusals()
    check_table()
    run_it(render(SETS["embedded"]))
    print(f"helm: {len(SETS)} renders are valid, {len(REFUSED)} sets of values are refused, and the command runs")


main()
