"""A pod that runs a Python script in the predict image, under the restricted Pod Security Standard."""


def script_pod(name, script, arguments, *, cpu, memory, labels=None, env=None, node=None):
    """The pod's manifest.

    Args:
        name: Name of the pod.
        script: Text of the script, which may import the standard library only.
        arguments: Its arguments.
        cpu: CPU that the pod requests, such as `20m`.
        memory: Memory that it requests, such as `32Mi`.
        labels: Labels of the pod.
        env: Environment variables.
        node: Name of the node to run on; by default any.
    """
    container = {
        "name": "script",
        "image": "streamflow/predict:0.1.0",
        "command": ["python", "-I", "-c", script, *arguments],
        "env": [{"name": key, "value": value} for key, value in (env or {}).items()],
        "resources": {"requests": {"cpu": cpu, "memory": memory}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    user = {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "securityContext": user,
            "containers": [container],
            **({"nodeName": node} if node else {}),
        },
    }
