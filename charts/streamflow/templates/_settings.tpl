{{- /* A value as text. Helm parses numbers as floats, and prints a million as 1e+06, which no integer setting accepts. */ -}}
{{- define "streamflow.plain" -}}
{{- if kindIs "slice" . }}{{ toJson . }}
{{- else if not (kindIs "float64" .) }}{{ toString . }}
{{- else if eq . (floor .) }}{{ int64 . }}
{{- else }}{{ toString . }}
{{- end -}}
{{- end -}}

{{- /*
Environment variables of all processes. The name follows from the key (settings.predict.poolSize becomes
STREAMFLOW_PREDICT__POOL_SIZE), so a new setting needs a line in values.yaml and none here. No
variable is set for a value of null, so the setting's default applies.
*/ -}}
{{- define "streamflow.settingsData" -}}
{{- range $section, $settings := .Values.settings }}
{{- range $key, $value := $settings }}
{{- if not (kindIs "invalid" $value) }}
STREAMFLOW_{{ upper $section }}__{{ snakecase $key | upper }}: {{ include "streamflow.plain" $value | quote }}
{{- end }}
{{- end }}
{{- end }}
STREAMFLOW_ENGINE: {{ .Values.engine | quote }}
{{- if eq .Values.engine "spark" }}
STREAMFLOW_LAKE__URL: {{ .Values.lake.url | default "/lake" | quote }}
{{- end }}
STREAMFLOW_DATABASE__HOST: {{ include "streamflow.databaseHost" . | quote }}
STREAMFLOW_DATABASE__PORT: {{ include "streamflow.databasePort" . | quote }}
STREAMFLOW_DATABASE__NAME: {{ .Values.database.name | quote }}
STREAMFLOW_DATABASE__MLFLOW_NAME: {{ .Values.database.mlflowName | quote }}
STREAMFLOW_DATABASE__ROLE_PREFIX: {{ .Values.database.rolePrefix | quote }}
STREAMFLOW_DATABASE__INSTALL: {{ .Values.database.install | default (printf "%s/%s" .Release.Namespace .Release.Name) | quote }}
STREAMFLOW_DATABASE__SSLMODE: {{ ternary (ternary "verify-full" "disable" .Values.postgresql.tls.enabled) .Values.externalDatabase.sslmode .Values.postgresql.enabled }}
{{- if include "streamflow.databaseAuthority" . }}
PGSSLROOTCERT: /run/secrets/database-authority/ca.crt
{{- end }}
STREAMFLOW_MLFLOW__TRACKING_URI: {{ include "streamflow.mlflowUrl" . | quote }}
STREAMFLOW_MLFLOW__NAMES_MOVES: {{ ternary .Values.mlflow.auth.enabled .Values.mlflow.external.namesMoves (eq (include "streamflow.ownMlflow" .) "yes") | quote }}
STREAMFLOW_FEAST__SERVER_URL: "http://{{ include "streamflow.object" (dict "root" . "component" "feast") }}:{{ .Values.feast.service.port }}"
STREAMFLOW_PARITY__URL: {{ include "streamflow.predictUrl" . | quote }}
STREAMFLOW_PREDICT__HOST: "0.0.0.0"
STREAMFLOW_PREDICT__PORT: {{ (include "streamflow.facts" . | fromYaml).predict.port | quote }}
{{- end -}}
