{{- /* `spec` of a job's Jobs. Arguments: context (see _pod.tpl), job. */ -}}
{{- define "streamflow.jobSpec" -}}
{{- with include "streamflow.shards" .job | int -}}
# Each pod scores the shard of its index; one that fails is repeated alone.
completionMode: Indexed
completions: {{ . }}
parallelism: {{ . }}
backoffLimitPerIndex: {{ $.job.retries }}
# Without one of its shards the scoring is never complete.
maxFailedIndexes: 0
backoffLimit: {{ mul . $.job.retries }}
{{- else -}}
backoffLimit: {{ .job.retries }}
{{- end }}
activeDeadlineSeconds: {{ .job.deadlineSeconds }}
# Also deletes Jobs that were started by hand.
ttlSecondsAfterFinished: {{ .job.ttlSecondsAfterFinished }}
podFailurePolicy:
  rules:
    # A drained node is not a failure of the job, so it does not count as a retry.
    - action: Ignore
      onPodConditions: [{type: DisruptionTarget, status: "True"}]
    # Retrying cannot help after wrong usage or refused data (exit codes in errors.py).
    - action: FailJob
      onExitCodes: {containerName: job, operator: In, values: [2, 3]}
template:
  metadata:
    {{- include "streamflow.podMetadata" .context | nindent 4 }}
  spec:
    {{- include "streamflow.podSpec" .context | nindent 4 }}
    restartPolicy: Never
    {{- with include "streamflow.initContainers" .context }}
    initContainers:
      {{- . | nindent 6 }}
    {{- end }}
    containers:
      - name: job
        {{- include "streamflow.container" .context | nindent 8 }}
        command: {{ toJson .job.command }}
      {{- include "streamflow.extraContainers" .context | nindent 6 }}
{{- end -}}

{{- /* Number of pods that share a run of a job; 0 for a single one. Argument: a job. */ -}}
{{- define "streamflow.shards" -}}
{{- ternary (int .shards) 0 (gt (int (.shards | default 1)) 1) -}}
{{- end -}}

{{- /*
Adds to a job's `extraEnv` which shard a pod scores, and of which run: its Job's, whose uid no other Job has. Arguments: root, job.
*/ -}}
{{- define "streamflow.withShards" -}}
{{- $fields := dict
      "STREAMFLOW_SCORING__SHARD" "metadata.annotations['batch.kubernetes.io/job-completion-index']"
      "STREAMFLOW_SCORING__RUN" "metadata.labels['batch.kubernetes.io/controller-uid']" -}}
{{- $variables := list -}}
{{- range $name, $path := $fields -}}
{{-   $variables = append $variables (dict "name" $name "valueFrom" (dict "fieldRef" (dict "fieldPath" $path))) -}}
{{- end -}}
{{- $given := list -}}
{{- range .job.extraEnv | default .root.Values.pods.extraEnv }}{{ if not (hasKey $fields .name) }}{{ $given = append $given . }}{{ end }}{{ end -}}
{{- $_ := set .job "extraEnv" (concat $given $variables) -}}
{{- end -}}

{{- /* Volumes of a job, as the keys sources, mounts, readOnly and onNode of a pod's context. Arguments: root, job. */ -}}
{{- define "streamflow.jobVolumes" -}}
{{- $known := dict "drops" .root.Values.drops "backups" .root.Values.backups -}}
{{- $sources := dict }}{{ $mounts := dict }}{{ $readOnly := list }}{{ $counted := dict "onNode" list -}}
{{- range $name, $access := omit (.job.volumes | default dict) "lake" -}}
{{-   $values := get $known $name -}}
{{- /* A backup is made on the volume and then copied, and a restore copies it back. */ -}}
{{-   if or (eq $name "backups") (not $values.url) -}}
{{-     $_ := set $mounts $name (printf "/%s" $name) -}}
{{-     $claim := dict "root" $.root "component" $name "persistence" $values.persistence -}}
{{-     $_ := set $sources $name (fromYaml (include "streamflow.claimVolume" $claim)) -}}
{{-     include "streamflow.countVolume" (dict "context" $counted "persistence" $values.persistence) -}}
{{-     if and (eq $access "read") (not $values.url) }}{{ $readOnly = append $readOnly $name }}{{ end -}}
{{-   end -}}
{{- end -}}
{{- with include "streamflow.lakeVolume" .root | fromYaml -}}
{{-   if hasKey ($.job.volumes | default dict) "lake" -}}
{{-     $_ := set $sources "lake" . }}{{ $_ := set $mounts "lake" "/lake" -}}
{{-     if eq $.job.volumes.lake "read" }}{{ $readOnly = append $readOnly "lake" }}{{ end -}}
{{-   end -}}
{{- end -}}
{{- toYaml (dict "sources" $sources "mounts" $mounts "readOnly" $readOnly "onNode" $counted.onNode) -}}
{{- end -}}

{{- /* Environment variables of all jobs. */ -}}
{{- define "streamflow.jobEnv" -}}
STREAMFLOW_INGEST__INBOX: {{ .Values.drops.url | default "/drops" | quote }}
STREAMFLOW_BACKUP__FOLDER: /backups
STREAMFLOW_BACKUP__KEEP: {{ .Values.backups.keep | quote }}
STREAMFLOW_BACKUP__ARTIFACTS: {{ .Values.backups.artifacts | quote }}
STREAMFLOW_BACKUP__URL: {{ .Values.backups.url | quote }}
STREAMFLOW_BUILD__IMAGE: {{ include "streamflow.image" (dict "root" . "image" "platform") | quote }}
{{- end -}}

{{- /* Names of the installed jobs before one: in place of a disabled job those before it. Arguments: root, jobs, after. */ -}}
{{- define "streamflow.jobsBefore" -}}
{{- $names := list -}}
{{- range .after -}}
{{-   if hasKey $.jobs . -}}
{{-     $names = append $names . -}}
{{-   else -}}
{{-     $spec := printf "jobs/%s.yaml" . | $.root.Files.Get | fromYaml -}}
{{-     $names = concat $names (include "streamflow.jobsBefore" (dict "root" $.root "jobs" $.jobs "after" $spec.after) | fromYamlArray) -}}
{{-   end -}}
{{- end -}}
{{- toYaml (uniq $names) -}}
{{- end -}}
