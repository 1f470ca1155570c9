{{- /*
Login that prepares the database: `postgres` on the bundled server, the administrator of an external one, or the owner of
the tables if the roles already exist.
*/ -}}
{{- define "streamflow.adminSecret" -}}
{{- if .Values.postgresql.enabled -}}
secretName: {{ include "streamflow.databaseSecret" . }}
items: [{key: admin-password, path: password}]
{{- else if .Values.database.createRoles -}}
secretName: {{ .Values.externalDatabase.existingSecret }}
items: [{key: {{ .Values.externalDatabase.passwordKey }}, path: password}, {key: {{ .Values.externalDatabase.userKey }}, path: user}]
{{- else -}}
secretName: {{ include "streamflow.databaseSecret" . }}
items: [{key: owner-password, path: password}]
{{- end -}}
{{- end -}}

{{- define "streamflow.adminVolume" -}}
secret: {{ include "streamflow.adminSecret" . | fromYaml | merge (dict "defaultMode" 288) | toJson }}
{{- end -}}

{{- define "streamflow.adminEnv" -}}
STREAMFLOW_DATABASE__PASSWORD_FILE: /run/secrets/admin/password
{{- if .Values.postgresql.enabled }}
STREAMFLOW_DATABASE__USER: postgres
{{- else if not .Values.database.createRoles }}
STREAMFLOW_DATABASE__USER: {{ include "streamflow.databaseRole" (dict "root" . "role" "owner") }}
{{- end }}
{{- end -}}

{{- /* Makes a job log in as that administrator. Arguments: context and job; both are changed. */ -}}
{{- define "streamflow.withAdmin" -}}
{{- $root := .context.root -}}
{{- $_ := unset .context "role" -}}
{{- $_ := set .context "env" (merge (fromYaml (include "streamflow.adminEnv" $root)) .context.env) -}}
{{- $_ := set .context "volumes" (merge (dict "admin" (fromYaml (include "streamflow.adminVolume" $root))) .context.volumes) -}}
{{- $_ := set .context "mounts" (merge (dict "admin" "/run/secrets/admin") .context.mounts) -}}
{{- $_ := set .context "readOnly" (append .context.readOnly "admin") -}}
{{- range fromYamlArray (include "streamflow.prepareArgs" $root) -}}
{{-   if hasPrefix "--admin" . }}{{ $_ := set $.job "command" (append $.job.command .) }}{{ end -}}
{{- end -}}
{{- end -}}

{{- /* Arguments of `streamflow db prepare` and `db finish`. */ -}}
{{- define "streamflow.prepareArgs" -}}
- {{ ternary "--roles" "--no-roles" .Values.database.createRoles }}
{{- if and .Values.database.createRoles (not .Values.postgresql.enabled) }}
- --admin-user-file=/run/secrets/admin/user
{{- end }}
{{- end -}}
