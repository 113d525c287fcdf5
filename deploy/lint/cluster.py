"""What the manifests say of each other: numbers, names and ports that no schema can compare."""

import ipaddress
import re

import yaml

PROCESS = "faultline"


def documents(deploy):
    """All manifests."""
    for path in sorted((deploy / "kubernetes").glob("*.yaml")):
        yield from (document for document in yaml.safe_load_all(path.read_text()) if document)


def config_map(deploy, name):
    """The files of a ConfigMap."""
    return next((d["data"] for d in documents(deploy) if d["kind"] == "ConfigMap" and d["metadata"]["name"] == name), {})


def problems(deploy):
    """What does not fit, a line each."""
    found = []

    def expect(holds, problem):
        if not holds:
            found.append(problem)

    by_kind = {}
    for document in documents(deploy):
        by_kind.setdefault(document["kind"], []).append(document)
    named = {(d["kind"], d["metadata"]["name"]): d for kind in by_kind.values() for d in kind}
    namespace = by_kind["Namespace"][0]["metadata"]["name"]
    for document in named.values():
        own = document["metadata"].get("namespace", namespace if document["kind"] == "Namespace" else None)
        expect(own == namespace, f"{document['kind']} {document['metadata']['name']} is not in namespace {namespace}")

    stateful = by_kind["StatefulSet"][0]
    name, spec = stateful["metadata"]["name"], stateful["spec"]
    pod = spec["template"]["spec"]
    containers = {container["name"]: container for container in pod["containers"]}
    process = containers[PROCESS]
    labels = spec["template"]["metadata"]["labels"].items()

    # The cluster: as many processes as pods, each where the hosts file has it.
    arguments = dict(a.lstrip("-").split("=", 1) for a in process["args"] if "=" in a)
    peers = next((p["containerPort"] for p in process["ports"] if p["name"] == "peers"), None)
    hosts = config_map(deploy, PROCESS).get("hosts", "").splitlines()
    headless = named.get(("Service", spec["serviceName"]), {"spec": {}})["spec"]
    expect(arguments.get("processes") == str(spec["replicas"]), "--processes is not the number of replicas")
    wanted = [f"{name}-{i}.{spec['serviceName']}.{namespace}.svc.cluster.local:{peers}" for i in range(spec["replicas"])]
    expect(hosts == wanted, f"the hosts file is not, line by line, {wanted}")
    expect(headless.get("clusterIP") == "None", f"Service {spec['serviceName']} is not headless")
    expect(headless.get("publishNotReadyAddresses") is True, "peers find each other only once they are ready")
    expect(spec.get("podManagementPolicy") == "Parallel", "pods start in turn, and wait for each other for good")
    expect(spec["updateStrategy"]["type"] == "OnDelete", "a rolling update mixes versions in one cluster")
    ordinal = {variable["name"]: variable for variable in process["env"]}.get(arguments["process"].strip("$()"), {})
    path = ordinal.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath")
    expect(path == "metadata.labels['apps.kubernetes.io/pod-index']", "--process is not the pod's ordinal")
    expect(pod["terminationGracePeriodSeconds"] >= 30, "too little time to end")

    # The configuration is that of deploy/msk, and is what the probes and the gateway take it to be.
    text = config_map(deploy, PROCESS).get("faultline.yaml")
    expect(text == (deploy / "msk/faultline.yaml").read_text(), "faultline.yaml differs from deploy/msk/faultline.yaml")
    mounts = {mount["name"]: mount["mountPath"] for mount in process["volumeMounts"]}
    data_dir = yaml.safe_load(text or "{}").get("data_dir")
    claims = {claim["metadata"]["name"] for claim in spec["volumeClaimTemplates"]}
    expect(data_dir in {mounts.get(claim) for claim in claims}, "data_dir is not on a volume that stays")
    processors = float(process["resources"]["requests"]["cpu"])
    expect(processors >= yaml.safe_load(text or "{}").get("workers", 1), "fewer processors than workers")

    # Every name of another object has one.
    for selector in [spec["selector"]["matchLabels"], *(s["spec"]["selector"] for s in by_kind["Service"])]:
        expect(selector.items() <= labels, f"no pod has {selector}")
    for kind, key in [("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector")]:
        for document in by_kind[kind]:
            expect(document["spec"][key]["matchLabels"].items() <= labels, f"the {kind} fits no pod")
    expect(("ServiceAccount", pod["serviceAccountName"]) in named, "no such ServiceAccount")
    sources = [source for volume in pod["volumes"] for source in volume.get("projected", {}).get("sources", [volume])]
    for reference in (source["configMap"]["name"] for source in sources if "configMap" in source):
        expect(("ConfigMap", reference) in named, f"no ConfigMap {reference}")
    volumes = claims | {volume["name"] for volume in pod["volumes"]}
    ports = {port["name"]: port["containerPort"] for c in containers.values() for port in c.get("ports", [])}
    for service in by_kind["Service"]:
        for port in service["spec"]["ports"]:
            expect(port["targetPort"] in ports, f"no container has port {port['targetPort']}")
    for policy in by_kind["NetworkPolicy"]:
        for rule in policy["spec"]["ingress"]:
            for port in rule["ports"]:
                expect(port["port"] in ports.values(), f"the NetworkPolicy opens {port['port']}, which nobody serves")
        for peer in (to for rule in policy["spec"]["egress"] for to in rule["to"] if "ipBlock" in to):
            for block in [peer["ipBlock"]["cidr"], *peer["ipBlock"].get("except", [])]:
                try:
                    ipaddress.ip_network(block)
                except ValueError as error:
                    found.append(f"the NetworkPolicy: {error}")

    # The same of the units' files.
    environment = (deploy / "systemd/environment").read_text().splitlines()
    machines = (deploy / "systemd/hosts").read_text().splitlines()
    expect(f"FAULTLINE_PROCESSES={len(machines)}" in environment, "FAULTLINE_PROCESSES is not the number of systemd/hosts")

    # Each container is shut in, and is the same one tomorrow.
    expect(pod["securityContext"].get("runAsNonRoot") is True, "pods may be root")
    expect(pod["securityContext"].get("seccompProfile", {}).get("type") == "RuntimeDefault", "no seccomp profile")
    for container in containers.values():
        own, security = container["name"], container.get("securityContext", {})
        expect(security.get("allowPrivilegeEscalation") is False, f"{own} may gain privileges")
        expect(security.get("readOnlyRootFilesystem") is True, f"{own} may write to its root")
        expect(security.get("capabilities", {}).get("drop") == ["ALL"], f"{own} keeps capabilities")
        expect("memory" in container["resources"].get("limits", {}), f"{own} has no memory limit")
        expect("livenessProbe" in container, f"{own} has no liveness probe")
        expect(pinned(container["image"]), f"{own}: image {container['image']} is not pinned")
        expect({m["name"] for m in container["volumeMounts"]} <= volumes, f"{own} mounts a volume that is not there")
    expect(any("readinessProbe" in c for c in containers.values()), "nobody says when a pod is ready")
    return found


def pinned(image):
    """Whether a name stands for one image: a digest, or a whole version."""
    return bool(re.search(r"@sha256:[0-9a-f]{64}$|:\d+\.\d+\.\d+$", image))
