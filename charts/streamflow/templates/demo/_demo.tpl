{{- /* A step of the demo's chain: the container of a job, with that job's role. Arguments: context, role. */ -}}
{{- define "streamflow.demoStep" -}}
{{- $env := dict
      "STREAMFLOW_DATABASE__USER" (include "streamflow.databaseRole" (dict "root" .context.root "role" .role))
      "STREAMFLOW_DATABASE__PASSWORD_FILE" "/run/secrets/streamflow/password" -}}
{{- $mounts := dict .role "/run/secrets/streamflow" -}}
{{- include "streamflow.container" (merge (dict "env" $env "mounts" $mounts "readOnly" (list .role)) .context) -}}
{{- end -}}

{{- /* Its Job's `spec`. Nothing of it may depend on more than what the demo does: a change starts it anew. */ -}}
{{- define "streamflow.demoSpec" -}}
{{- $values := .Values.demo }}
{{- $common := dict "root" $ "component" "demo" "values" $values "image" "platform" "until" "applied" "once" true
      "env" (dict "STREAMFLOW_INGEST__INBOX" "/drops"
        "STREAMFLOW_BUILD__IMAGE" (include "streamflow.image" (dict "root" . "image" "platform")))
      "mounts" (dict "drops" "/drops") }}
{{- $volumes := dict "drops" (dict "emptyDir" (dict "sizeLimit" "1Gi")) }}
{{- range $role := list "ingest" "materialize" "train" }}
{{- $source := dict "secretName" (include "streamflow.databaseSecret" $) "defaultMode" 0440
      "items" (list (dict "key" (printf "%s-password" $role) "path" "password")) }}
{{- $_ := set $volumes $role (dict "secret" $source) }}
{{- end }}
backoffLimit: 4
activeDeadlineSeconds: 1800
ttlSecondsAfterFinished: 86400
template:
  metadata:
    {{- include "streamflow.podMetadata" $common | nindent 4 }}
  spec:
    {{- include "streamflow.podSpec" (merge (dict "volumes" $volumes) $common) | nindent 4 }}
    restartPolicy: Never
    initContainers:
      {{- include "streamflow.initContainers" $common | trim | nindent 6 }}
      - name: simulate
        {{- include "streamflow.container" $common | nindent 8 }}
        command: [streamflow, simulate, /drops, --users, {{ $values.users | toString | quote }}, --months, {{ $values.months | toString | quote }}, --seed, {{ $values.seed | toString | quote }}]
      {{- $wait := include "streamflow.demoStep" (dict "context" $common "role" "ingest") | fromYaml }}
      - name: wait
        {{- toYaml $wait | nindent 8 }}
        command: [streamflow, db, wait, --until, applied]
      {{- range $role := list "ingest" "materialize" }}
      - name: {{ $role }}
        {{- include "streamflow.demoStep" (dict "context" $common "role" $role) | nindent 8 }}
        command: [streamflow, jobs, exec, {{ $role }}]
      {{- end }}
    containers:
      - name: job
        {{- include "streamflow.demoStep" (dict "context" $common "role" "train") | nindent 8 }}
        command: [streamflow, jobs, exec, train]
      {{- include "streamflow.extraContainers" $common | trim | nindent 6 }}
{{- end -}}

{{- /*
Name of its Job. What pods a Job makes cannot be changed, so a changed demo is another Job; one that is the same goes on, or
stays ended, however often the release is upgraded. A second one finds its drops in the ledger and changes nothing.
*/ -}}
{{- define "streamflow.demoName" -}}
{{- printf "%s-%s" (include "streamflow.object" (dict "root" . "component" "demo")) (include "streamflow.demoSpec" . | sha256sum | trunc 8) -}}
{{- end -}}
