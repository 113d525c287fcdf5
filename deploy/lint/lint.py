"""Checks the files of a deployment with real tools; `make deploy-lint` runs it, and then `broken.py` on it.

Nothing is fetched and nothing is asked but programs on this machine. A tool that is missing is an error.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import cluster
import yaml

# The oldest Kubernetes that knows all of it (the label `pod-index`), and the newest that the package has.
KUBERNETES = ["1.28", "1.37"]
# Of 100, less is better. What is left: it may use the network, and its root is the machine's.
MOST_EXPOSED = 15
# Debian has haproxy where only root looks.
ENVIRONMENT = os.environ | {"PATH": f"{os.environ['PATH']}:/usr/sbin"}


class Problem(Exception):
    """A file that is not as it should be."""


def tool(command, stdin=subprocess.DEVNULL):
    """Runs a program to its end; its output, if it fails, is the problem."""
    try:
        ended = subprocess.run(command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=ENVIRONMENT)
    except FileNotFoundError as error:
        sys.exit(f"{command[0]} is missing ({error}): run `make machine`")
    if ended.returncode != 0:
        raise Problem(f"{' '.join(map(str, command))}:\n{ended.stdout.decode(errors='replace')}")
    return ended.stdout


def beside_python(name):
    """A program of this virtual environment."""
    return Path(sys.executable).parent / name


def image(deploy):
    """The Dockerfile parses, follows hadolint's rules, starts from images by digest and is nobody's root."""
    dockerfile = deploy / "Dockerfile"
    tool([beside_python("hadolint"), "--failure-threshold", "style", dockerfile])
    text, stages = dockerfile.read_text(), set()
    for base, stage in re.findall(r"^FROM (\S+)(?: AS (\S+))?", text, re.MULTILINE):
        if base not in stages and not re.search(r"@sha256:[0-9a-f]{64}$", base):
            raise Problem(f"{dockerfile}: {base} is not named by its digest")
        stages.add(stage)
    last = text[text.rindex("\nFROM ") :]
    if not re.search(r"^USER [1-9]\d*:[1-9]\d*$", last, re.MULTILINE):
        raise Problem(f"{dockerfile}: the final image has no user in numbers, or is root's")


def manifests(deploy):
    """Each manifest fits Kubernetes' schema of its kind, without unknown fields."""
    files = sorted((deploy / "kubernetes").glob("*.yaml"))
    if not files:
        raise Problem("no manifests")
    for version in KUBERNETES:
        printed = tool([beside_python("kubernetes-validate"), "--strict", "--quiet", "-k", version, *files])
        # A kind that Kubernetes does not have is no more than a warning to it.
        if printed:
            raise Problem(printed.decode())


def references(deploy):
    """What the manifests and the example configuration say of each other holds."""
    problems = cluster.problems(deploy)
    if problems:
        raise Problem("\n".join(problems))


def gateway(deploy):
    """HAProxy takes the gateway's configuration."""
    config = cluster.config_map(deploy, "faultline-gateway").get("haproxy.cfg")
    if config is None:
        raise Problem("gateway.yaml has no haproxy.cfg")
    with tempfile.TemporaryDirectory() as scratch:
        tls = Path(scratch) / "tls"
        tls.mkdir()
        # Any certificate will do; it is its own authority.
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", tls / "tls.crt.key"]
        tool(["openssl", "req", "-x509", *key, "-out", tls / "tls.crt", "-days", "1", "-subj", "/CN=faultline"])
        (tls / "ca.crt").write_bytes((tls / "tls.crt").read_bytes())
        here = Path(scratch) / "haproxy.cfg"
        here.write_text(config.replace("/etc/gateway", scratch))
        # -dW: a warning is an error.
        tool(["haproxy", "-c", "-dW", "-f", here])


def units(deploy):
    """systemd understands each line of the units, and finds the service well shut in."""
    with tempfile.TemporaryDirectory() as root:
        system = Path(root) / "etc/systemd/system"
        system.mkdir(parents=True)
        program = Path(root) / "usr/local/bin/faultline"
        program.parent.mkdir(parents=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        for unit in ["faultline@.service", "faultline.target"]:
            (system / unit).write_text((deploy / "systemd" / unit).read_text())
        at = [f"--root={root}", "--no-pager"]
        units = ["faultline@0.service", "faultline.target"]
        tool(["systemd-analyze", "verify", *at, "--man=no", "--recursive-errors=no", *units])
        tool(["systemd-analyze", "security", *at, "--offline=yes", f"--threshold={MOST_EXPOSED}", units[0]])


def policy(deploy):
    """IAM has these actions, and they take these resources."""
    text = (deploy / "msk/iam-policy.json").read_text().replace("REGION", "eu-central-1")
    with tempfile.TemporaryFile() as filled:
        filled.write(text.replace("ACCOUNT", "123456789012").encode())
        filled.seek(0)
        tool([beside_python("parliament"), "--minimum_severity", "LOW"], stdin=filled)


LINTS = [image, manifests, references, gateway, units, policy]


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("deploy", type=Path, help="the folder deploy/")
    deploy = arguments.parse_args().deploy
    failed = 0
    for lint in LINTS:
        try:
            lint(deploy)
        except Problem as problem:
            failed += 1
            print(f"{lint.__name__}: FAILED\n{problem}", file=sys.stderr)
        except (OSError, yaml.YAMLError) as error:
            failed += 1
            print(f"{lint.__name__}: FAILED\n{error}", file=sys.stderr)
        else:
            print(f"{lint.__name__}: ok. {lint.__doc__}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
