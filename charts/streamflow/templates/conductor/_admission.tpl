{{- /* Name of the admission policy. The policy is cluster-scoped, so its name includes the namespace. */ -}}
{{- define "streamflow.conductorPolicy" -}}
{{- printf "%s.%s" (include "streamflow.object" (dict "root" . "component" "conductor")) .Release.Namespace -}}
{{- end -}}

{{- /* Jobs that the conductor may start, as a list: only installed ones, because each is compared with its CronJob. */ -}}
{{- define "streamflow.startable" -}}
{{- $known := concat (include "streamflow.jobsOfMonth" . | fromYamlArray) (include "streamflow.facts" . | fromYaml).conductor.mayStart -}}
{{- $jobs := list -}}
{{- range $name, $_ := include "streamflow.jobs" . | fromYaml -}}
{{-   if has $name $known }}{{ $jobs = append $jobs $name }}{{ end -}}
{{- end -}}
{{- toYaml $jobs -}}
{{- end -}}

{{- /*
Variables of the rules, as expressions in CEL. The rules are asked for each CronJob of the release (`params`) and must hold for all,
so they hold at once for a CronJob of another job (`other`). As `dyn`, objects are maps whose keys can be gone through: what a later
version of Kubernetes adds to them is compared too.
*/ -}}
{{- define "streamflow.conductorVariables" -}}
- name: labelled
  expression: has(object.metadata.labels) && 'streamflow.io/job' in object.metadata.labels
- name: other
  expression: >-
    !variables.labelled || object.metadata.labels['streamflow.io/job'] != params.metadata.labels['streamflow.io/job']
- {name: job, expression: dyn(object.spec)}
- {name: wanted, expression: dyn(params.spec.jobTemplate.spec)}
- {name: pod, expression: dyn(object.spec.template)}
- {name: wantedPod, expression: dyn(params.spec.jobTemplate.spec.template)}
- name: defaults
  expression: >-
    {'completions': dyn(1), 'parallelism': dyn(1), 'completionMode': dyn('NonIndexed'), 'suspend': dyn(false),
    'manualSelector': dyn(false)}
# The API server adds these to each Job and its pods, before it asks.
- {name: added, expression: "['selector', 'podReplacementPolicy']"}
- name: addedLabels
  expression: "['controller-uid', 'batch.kubernetes.io/controller-uid', 'job-name', 'batch.kubernetes.io/job-name']"
{{- end -}}

{{- /* The rules: each is a CEL expression, and the message for a request that breaks it. */ -}}
{{- define "streamflow.conductorRules" -}}
{{- $jobs := include "streamflow.startable" . | fromYamlArray -}}
- expression: variables.labelled && object.metadata.labels['streamflow.io/job'] in {{ toJson $jobs | replace "\"" "'" }}
  message: The conductor starts the jobs {{ join ", " $jobs }} alone, which the label streamflow.io/job names.
- expression: >-
    variables.other ||
    (object.metadata.labels == params.spec.jobTemplate.metadata.labels && !has(object.metadata.finalizers))
  message: A Job of the conductor has the labels of the CronJob's template, and no finalizers.
- expression: >-
    variables.other ||
    (variables.job.all(key, key == 'template' || key in variables.added || (key in variables.wanted
    ? variables.job[key] == variables.wanted[key]
    : key in variables.defaults && variables.job[key] == variables.defaults[key])) &&
    variables.wanted.all(key, key in variables.job))
  message: A Job of the conductor has the limits and retries of the CronJob's template.
- expression: >-
    variables.other ||
    (variables.pod.metadata.all(key, key in ['labels', 'creationTimestamp'] ||
    (key in variables.wantedPod.metadata && variables.pod.metadata[key] == variables.wantedPod.metadata[key])) &&
    variables.wantedPod.metadata.all(key, key == 'creationTimestamp' || key in variables.pod.metadata) &&
    variables.pod.metadata.labels.all(key, key in variables.addedLabels || (key in variables.wantedPod.metadata.labels &&
    variables.pod.metadata.labels[key] == variables.wantedPod.metadata.labels[key])) &&
    variables.wantedPod.metadata.labels.all(key, key in variables.pod.metadata.labels))
  message: Pods of the conductor's Jobs have the labels and annotations of the CronJob's template.
- expression: >-
    variables.other ||
    (variables.pod.spec.all(key, key == 'containers' ||
    (key in variables.wantedPod.spec && variables.pod.spec[key] == variables.wantedPod.spec[key])) &&
    variables.wantedPod.spec.all(key, key in variables.pod.spec))
  message: Pods of the conductor's Jobs have the volumes, account, and all else of the CronJob's template.
- expression: >-
    variables.other ||
    (size(variables.pod.spec.containers) == size(variables.wantedPod.spec.containers) &&
    variables.pod.spec.containers.all(container, variables.wantedPod.spec.containers.exists(wanted,
    wanted.name == container.name &&
    wanted.all(key, key == 'env' || key in container) &&
    container.all(key, key == 'env' || (key in wanted && container[key] == wanted[key])) &&
    (has(wanted.env) ? wanted.env : []) == (has(container.env) ? container.env : []).filter(item,
    container.name != 'job' || {{ include "streamflow.noParameter" . }}))))
  message: Containers of the conductor's Jobs are those of the CronJob's template, but for parameters.
- expression: >-
    variables.other ||
    variables.pod.spec.containers.all(container, !has(container.env) || container.env.all(item,
    {{ include "streamflow.noParameter" . }} ||
    (item.all(key, key in ['name', 'value']) && !(has(item.value) && item.value.contains('$(')))))
  message: The parameters of the conductor's Jobs are plain values, without references.
{{- end -}}

{{- /* CEL condition: the environment variable `item` is not a parameter of a job. */ -}}
{{- define "streamflow.noParameter" -}}
!(item.name == 'STREAMFLOW_INGEST__UNTIL' || item.name.startsWith('STREAMFLOW_REQUEST__'))
{{- end -}}
