{{- /* "yes" if the chart installs Prefect's server; empty without Prefect, or if prefect.apiUrl names an existing one. */ -}}
{{- define "streamflow.ownPrefect" -}}
{{- if and .Values.prefect.enabled (not .Values.prefect.apiUrl) }}yes{{ end -}}
{{- end -}}

{{- define "streamflow.prefectUrl" -}}
{{- $port := (include "streamflow.facts" . | fromYaml).prefect.port -}}
{{- .Values.prefect.apiUrl | default (printf "http://%s:%v/api" (include "streamflow.object" (dict "root" . "component" "prefect")) $port) -}}
{{- end -}}

{{- /* Address at which people open Prefect's pages: that of a port-forward, if no other is known. */ -}}
{{- define "streamflow.prefectPages" -}}
{{- $port := (include "streamflow.facts" . | fromYaml).prefect.port -}}
{{- $known := .Values.prefect.apiUrl | trimSuffix "/api" | default (printf "http://localhost:%v" $port) -}}
{{- .Values.prefect.uiUrl | default $known -}}
{{- end -}}

{{- /* Jobs of a month, as a list: those that come after another one, and those that they come after; none that is on demand. */ -}}
{{- define "streamflow.jobsOfMonth" -}}
{{- $jobs := list -}}
{{- range $path, $_ := .Files.Glob "jobs/*.yaml" -}}
{{-   $job := $.Files.Get $path | fromYaml -}}
{{-   if and $job.after (not $job.onDemand) }}{{ $jobs = concat $jobs (list (base $path | trimSuffix ".yaml")) $job.after }}{{ end -}}
{{- end -}}
{{- toYaml (uniq $jobs) -}}
{{- end -}}

{{- /* Those jobs, if Prefect conducts them instead of their CronJobs' schedules; else an empty list. */ -}}
{{- define "streamflow.conducted" -}}
{{- if and .Values.prefect.enabled (eq .Values.prefect.cronJobs "suspended") }}{{ include "streamflow.jobsOfMonth" . }}{{ else }}[]{{ end -}}
{{- end -}}

{{- /* Schedule of the flow; empty if the CronJobs have theirs, or if all schedules are suspended. */ -}}
{{- define "streamflow.prefectSchedule" -}}
{{- if and (eq .Values.prefect.cronJobs "suspended") (not .Values.jobDefaults.suspend) }}{{ .Values.prefect.schedule }}{{ end -}}
{{- end -}}

{{- /* Secret with the login; empty if Prefect asks for none. */ -}}
{{- define "streamflow.prefectSecret" -}}
{{- if not (include "streamflow.ownPrefect" .) -}}
{{- .Values.prefect.auth.existingSecret -}}
{{- else if .Values.prefect.auth.enabled -}}
{{- .Values.prefect.auth.existingSecret | default (include "streamflow.object" (dict "root" . "component" "prefect")) -}}
{{- end -}}
{{- end -}}

{{- /* Adds that login to a pod's context; does nothing without one. Arguments: context (see _pod.tpl). */ -}}
{{- define "streamflow.withPrefectLogin" -}}
{{- $context := .context -}}
{{- with include "streamflow.prefectSecret" $context.root -}}
{{- $items := list (dict "key" "auth-string" "path" "auth-string") -}}
{{- $volume := dict "secret" (dict "secretName" . "defaultMode" 0440 "items" $items) -}}
{{- $_ := set $context "env" (merge (dict "STREAMFLOW_PREFECT__AUTH_FILE" "/run/secrets/prefect/auth-string") ($context.env | default dict)) -}}
{{- $_ := set $context "mounts" (merge (dict "prefect" "/run/secrets/prefect") ($context.mounts | default dict)) -}}
{{- $_ := set $context "volumes" (merge (dict "prefect" $volume) ($context.volumes | default dict)) -}}
{{- $_ := set $context "readOnly" (append ($context.readOnly | default list) "prefect") -}}
{{- end -}}
{{- end -}}

{{- /* Environment variables of the server that depend on the install; streamflow.flows.server adds the others. */ -}}
{{- define "streamflow.prefectEnv" -}}
STREAMFLOW_DATABASE__NAME: {{ .Values.database.prefectName | quote }}
PREFECT_SERVER_DATABASE_SQLALCHEMY_POOL_SIZE: {{ .Values.prefect.server.poolSize | quote }}
PREFECT_SERVER_DATABASE_SQLALCHEMY_MAX_OVERFLOW: "0"
# Pages of other sites may not use the login of a browser.
PREFECT_SERVER_CORS_ALLOWED_ORIGINS: {{ include "streamflow.prefectPages" . | quote }}
STREAMFLOW_PREFECT__KEEP_DAYS: {{ .Values.prefect.keepDays | quote }}
{{- end -}}

{{- /* Adds the URL of the webhook to a pod's context; does nothing without one. Arguments: context (see _pod.tpl). */ -}}
{{- define "streamflow.withWebhook" -}}
{{- $context := .context -}}
{{- $webhook := $context.root.Values.prefect.webhook -}}
{{- with $webhook.existingSecret -}}
{{- $volume := dict "secret" (dict "secretName" . "defaultMode" 0440 "items" (list (dict "key" "url" "path" "url"))) -}}
{{- $env := dict "STREAMFLOW_PREFECT__WEBHOOK_FILE" "/run/secrets/webhook/url" "STREAMFLOW_PREFECT__OVERDUE_DAYS" (toString $webhook.overdueDays) -}}
{{- $_ := set $context "env" (merge $env $context.env) -}}
{{- $_ := set $context "mounts" (merge (dict "webhook" "/run/secrets/webhook") ($context.mounts | default dict)) -}}
{{- $_ := set $context "volumes" (merge (dict "webhook" $volume) ($context.volumes | default dict)) -}}
{{- $_ := set $context "readOnly" (append ($context.readOnly | default list) "webhook") -}}
{{- end -}}
{{- end -}}
