{{- /* Name of the Secret with one password per database role. */ -}}
{{- define "streamflow.databaseSecret" -}}
{{- .Values.database.existingSecret | default (include "streamflow.object" (dict "root" . "component" "database")) -}}
{{- end -}}

{{- /* Keys of that Secret. */ -}}
{{- define "streamflow.databaseRoles" -}}
[admin, owner, feast_apply, feast_serve, ingest, materialize, train, score, monitor, predict, mlflow, backup, exporter]
{{- end -}}

{{- /* Whether there is a cluster to look things up in; every cluster has the namespace `default`. */ -}}
{{- define "streamflow.hasCluster" -}}
{{- if lookup "v1" "Namespace" "" "default" }}yes{{ end -}}
{{- end -}}

{{- /* Values of that Secret: what the cluster holds, else made once. */ -}}
{{- define "streamflow.passwords" -}}
{{- $held := (lookup "v1" "Secret" .Release.Namespace (include "streamflow.databaseSecret" .)).data | default dict -}}
{{- range fromYamlArray (include "streamflow.databaseRoles" .) }}
{{- $key := printf "%s-password" . }}
{{ $key }}: {{ get $held $key | default (randAlphaNum 32 | b64enc) }}
{{- end }}
{{- end -}}
