{{- /*
Container of one step of the demo, with the database role of the job that it runs, and its account of MLflow, if any.
Arguments: context, role; optionally account.
*/ -}}
{{- define "streamflow.demoStep" -}}
{{- $env := dict
      "STREAMFLOW_DATABASE__USER" (include "streamflow.databaseRole" (dict "root" .context.root "role" .role))
      "STREAMFLOW_DATABASE__PASSWORD_FILE" "/run/secrets/streamflow/password" -}}
{{- $mounts := dict .role "/run/secrets/streamflow" -}}
{{- $context := dict "root" .context.root "env" $env "mounts" $mounts "readOnly" (list .role) -}}
{{- $_ := include "streamflow.withMlflowAccount" (dict "context" $context "account" .account) -}}
{{- include "streamflow.container" (merge $context .context) -}}
{{- end -}}

{{- /* `spec` of the demo's Job. It must depend only on what the demo does, because any change to it starts another demo. */ -}}
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
{{- $account := (.Files.Get "jobs/train.yaml" | fromYaml).mlflowAccount }}
{{- $login := dict "root" $ }}
{{- $_ := include "streamflow.withMlflowAccount" (dict "context" $login "account" $account) }}
{{- $volumes = merge $volumes ($login.volumes | default dict) }}
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
        {{- include "streamflow.demoStep" (dict "context" $common "role" "train" "account" $account) | nindent 8 }}
        command: [streamflow, jobs, exec, train]
      {{- include "streamflow.extraContainers" $common | trim | nindent 6 }}
{{- end -}}

{{- /*
Name of the demo's Job, with a digest of its spec. A Job's pod template is immutable, so a changed demo must be another Job;
an unchanged one keeps running, or stays finished, through any number of upgrades. A second demo skips the drops that the
ledger already lists.
*/ -}}
{{- define "streamflow.demoName" -}}
{{- printf "%s-%s" (include "streamflow.object" (dict "root" . "component" "demo")) (include "streamflow.demoSpec" . | sha256sum | trunc 8) -}}
{{- end -}}
