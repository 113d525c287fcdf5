"""Breaks the files of a deployment, one at a time and in a copy, and fails where lint.py lets one through."""

import shutil
import sys
import tempfile
from pathlib import Path

import lint

# Which lint has to notice, the file, a text that is there once or more, and what it becomes.
BREAKS = [
    (lint.image, "Dockerfile", "ENTRYPOINT [", "ENTRYPOIN ["),
    (lint.image, "Dockerfile", " --no-install-recommends", ""),
    (lint.image, "Dockerfile", "cc-debian12:nonroot@sha256:", "cc-debian12:nonroot-"),
    (lint.image, "Dockerfile", "USER 65532:65532", "USER 0:0"),
    (lint.manifests, "kubernetes/stateful-set.yaml", "readOnlyRootFilesystem", "readOnlyRootFileSystem"),
    (lint.manifests, "kubernetes/stateful-set.yaml", "replicas: 3", "replicas: three"),
    (lint.manifests, "kubernetes/disruption-budget.yaml", "policy/v1", "policy/v0"),
    (lint.manifests, "kubernetes/services.yaml", "kind: Service", "kind: Servize"),
    (lint.references, "kubernetes/stateful-set.yaml", "replicas: 3", "replicas: 4"),
    (lint.references, "kubernetes/stateful-set.yaml", "--processes=3", "--processes=2"),
    (lint.references, "kubernetes/stateful-set.yaml", "type: OnDelete", "type: RollingUpdate"),
    (lint.references, "kubernetes/stateful-set.yaml", "haproxy:3.0.10", "haproxy:3"),
    (lint.references, "kubernetes/stateful-set.yaml", "mountPath: /var/lib/faultline", "mountPath: /var/lib/fault"),
    (lint.references, "kubernetes/stateful-set.yaml", "name: faultline-gateway", "name: faultline-gate"),
    (lint.references, "kubernetes/configuration.yaml", "faultline-1.faultline-peers", "faultline-1.faultline-peer"),
    (lint.references, "kubernetes/configuration.yaml", "workers: 2", "workers: 1"),
    (lint.references, "kubernetes/services.yaml", "publishNotReadyAddresses: true", "publishNotReadyAddresses: false"),
    (lint.references, "kubernetes/services.yaml", "targetPort: grpc", "targetPort: grpcs"),
    (lint.references, "kubernetes/network-policy.yaml", "port: 50443", "port: 50061"),
    (lint.references, "kubernetes/network-policy.yaml", "10.0.0.0/8", "10.0.0.0/80"),
    (lint.references, "msk/faultline.yaml", "workers: 2", "workers: 4"),
    (lint.references, "systemd/environment", "PROCESSES=3", "PROCESSES=2"),
    (lint.gateway, "kubernetes/gateway.yaml", "default_backend grpc", "default_backend grcp"),
    (lint.gateway, "kubernetes/gateway.yaml", "verify required", "verify maybe"),
    (lint.gateway, "kubernetes/gateway.yaml", "      timeout client 1m\n", ""),
    (lint.units, "systemd/faultline@.service", "RestartSec=2", "RestartSek=2"),
    (lint.units, "systemd/faultline@.service", "@privileged", "@privilegd"),
    (lint.units, "systemd/faultline@.service", "/usr/local/bin/faultline", "/usr/local/bin/faultlin"),
    (lint.units, "systemd/faultline@.service", "CapabilityBoundingSet=\n", ""),
    (lint.units, "systemd/faultline.target", "[Unit]", "[Unite]"),
    (lint.policy, "msk/iam-policy.json", "kafka-cluster:ReadData", "kafka-cluster:ReadDatum"),
    (lint.policy, "msk/iam-policy.json", ":group/NAME", ":topic/NAME"),
    (lint.policy, "msk/iam-policy.json", '"Effect": "Allow",', '"Effect": "Allow"'),
]


def main():
    deploy, unnoticed = Path(sys.argv[1]), []
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "deploy"
        shutil.copytree(deploy, copy)
        for notices, name, old, new in BREAKS:
            file, whole = copy / name, (deploy / name).read_text()
            if old not in whole:
                sys.exit(f"{name} no longer has {old!r}: break something else in broken.py")
            file.write_text(whole.replace(old, new))
            try:
                notices(copy)
            except lint.Problem:
                pass
            else:
                unnoticed.append(f"{notices.__name__} does not notice {new!r} instead of {old!r} in {name}")
            file.write_text(whole)
    print("\n".join(unnoticed) or f"{len(BREAKS)} broken files were each noticed")
    sys.exit(1 if unnoticed else 0)


if __name__ == "__main__":
    main()
