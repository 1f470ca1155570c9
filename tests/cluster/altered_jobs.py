"""Jobs that differ from the template of their CronJob, each in one way, of which the conductor may create none."""


def container(job):
    return job["spec"]["template"]["spec"]["containers"][0]


def pod(job):
    return job["spec"]["template"]["spec"]


SECRET = {"name": "all", "secret": {"secretName": "streamflow-database"}}
FURTHER = {"name": "further", "image": "streamflow/platform:0.1.0"}
CHANGES = {
    "another image": lambda job: container(job).update(image="streamflow/predict:0.1.0"),
    "another command": lambda job: container(job).update(command=["sh", "-c", "cat /run/secrets/*/*"]),
    "arguments": lambda job: container(job).update(args=["--help"]),
    "a working directory": lambda job: container(job).update(workingDir="/tmp"),
    "a further volume": lambda job: pod(job)["volumes"].append(SECRET),
    "another Secret in a volume": lambda job: pod(job)["volumes"][1].update(SECRET, name="database"),
    "a further mount": lambda job: container(job)["volumeMounts"].append(
        {"name": "database", "mountPath": "/x"}
    ),
    "another account": lambda job: pod(job).update(serviceAccountName="streamflow-registrar"),
    "a token": lambda job: pod(job).update(automountServiceAccountToken=True),
    "a further container": lambda job: pod(job)["containers"].append({**container(job), **FURTHER}),
    "a first container": lambda job: pod(job).update(initContainers=[{**container(job), **FURTHER}]),
    "a node": lambda job: pod(job).update(nodeName="any"),
    "another user": lambda job: pod(job)["securityContext"].update(runAsUser=999),
    "more memory": lambda job: container(job)["resources"]["limits"].update(memory="64Gi"),
    "a further variable": lambda job: container(job)["env"].append({"name": "X", "value": "y"}),
    "a changed variable": lambda job: container(job)["env"][0].update(value="y"),
    "a variable less": lambda job: container(job)["env"].pop(),
    "a variable set twice": lambda job: container(job)["env"].append(
        {"name": "STREAMFLOW_DATABASE__USER", "value": "postgres"}
    ),
    "variables of a Secret": lambda job: container(job)["envFrom"].append(
        {"secretRef": {"name": "streamflow-database"}}
    ),
    "a parameter from a Secret": lambda job: container(job)["env"].append(
        {
            "name": "STREAMFLOW_REQUEST__WHY",
            "valueFrom": {"secretKeyRef": {"name": "streamflow-database", "key": "admin-password"}},
        }
    ),
    "a parameter with a reference": lambda job: container(job)["env"].append(
        {"name": "STREAMFLOW_REQUEST__WHY", "value": "$(STREAMFLOW_DATABASE__USER)"}
    ),
    "more retries": lambda job: job["spec"].update(backoffLimit=99),
    "no deadline": lambda job: job["spec"].pop("activeDeadlineSeconds"),
    "many pods": lambda job: job["spec"].update(parallelism=9, completions=9),
    "another grace period": lambda job: pod(job).update(terminationGracePeriodSeconds=3600),
    "the name of another job": lambda job: job["metadata"]["labels"].update({"streamflow.io/job": "score"}),
    "a job of no month": lambda job: job["metadata"]["labels"].update({"streamflow.io/job": "restore"}),
    "a job that there is not": lambda job: job["metadata"]["labels"].update({"streamflow.io/job": "none"}),
    "no name of a job": lambda job: job["metadata"]["labels"].pop("streamflow.io/job"),
    "no labels": lambda job: job["metadata"].pop("labels"),
    "another release": lambda job: job["metadata"]["labels"].update({"app.kubernetes.io/instance": "other"}),
    "pods of another component": lambda job: job["spec"]["template"]["metadata"]["labels"].update(
        {"app.kubernetes.io/component": "migrate"}
    ),
    "a further label of the pods": lambda job: job["spec"]["template"]["metadata"]["labels"].update(
        {"a": "b"}
    ),
    "a further annotation of the pods": lambda job: job["spec"]["template"]["metadata"]["annotations"].update(
        {"a": "b"}
    ),
    "a finalizer": lambda job: job["metadata"].update(finalizers=["example.com/never"]),
}
