"""Hurt what runs on the cluster's nodes, which are containers of Docker: signals, the firewall, a node that stops."""

import contextlib
import json
import time

from kubernetes_cli import run


def names():
    """Names of the nodes, the control plane first."""
    found = json.loads(run("kubectl", "get", "nodes", "--output=json"))["items"]
    control = "node-role.kubernetes.io/control-plane"
    ordered = sorted(found, key=lambda node: control not in node["metadata"]["labels"])
    return [node["metadata"]["name"] for node in ordered]


def on(node, *command, check=True, stdin=None):
    """Run a command on a node; return its output, or with `check=False` the finished process."""
    interactive = ["-i"] if stdin is not None else []
    return run("docker", "exec", *interactive, node, *command, check=check, stdin=stdin)


def processes(node, pattern):
    """Numbers of the processes on a node whose command line matches."""
    return [int(line) for line in on(node, "pgrep", "-f", pattern, check=False).stdout.split()]


@contextlib.contextmanager
def dropping(node, rule):
    """Let the node's firewall apply a rule to forwarded packets for the duration of a `with` block."""
    table = "streamflow_faults"
    chain = f"chain forward {{\ntype filter hook forward priority -10\n{rule}\n}}"
    on(node, "nft", "-f", "-", stdin=f"table inet {table} {{\n{chain}\n}}\n")
    try:
        yield
    finally:
        on(node, "nft", "delete", "table", "inet", table)


@contextlib.contextmanager
def stopped(node):
    """Stop every process of a node for the duration of a `with` block; to the others it is lost."""
    run("docker", "pause", node)
    try:
        yield
    finally:
        run("docker", "unpause", node)


@contextlib.contextmanager
def redirected(node, process, port, to):
    """Redirect TCP connections to a port of a process's network to another port there, for a `with` block."""
    table = "streamflow_slow"
    rule = f"iifname != lo tcp dport {port} redirect to :{to}"
    chain = f"chain prerouting {{\ntype nat hook prerouting priority -100\n{rule}\n}}"
    inside = ["nsenter", "--target", str(process), "--net", "nft"]
    on(node, *inside, "-f", "-", stdin=f"table ip {table} {{\n{chain}\n}}\n")
    try:
        yield
    finally:
        on(node, *inside, "delete", "table", "ip", table)


def pause_until(moment):
    """Sleep until a time in seconds since 1970."""
    time.sleep(max(0.0, moment - time.time()))
