{{- /* Name of the Secret with one password per database role. */ -}}
{{- define "streamflow.databaseSecret" -}}
{{- .Values.database.existingSecret | default (include "streamflow.object" (dict "root" . "component" "database")) -}}
{{- end -}}

{{- /* Keys of that Secret. */ -}}
{{- define "streamflow.databaseRoles" -}}
[admin, owner, feast_apply, feast_serve, ingest, materialize, train, score, monitor, predict, mlflow, backup, exporter]
{{- end -}}

{{- /*
Whether there is a cluster to look things up in. Asked of the release's own namespace, because who installs may see no more;
a list of its Secrets, which Helm reads there as well, is an answer even when it is empty or the namespace is yet to be made.
*/ -}}
{{- define "streamflow.hasCluster" -}}
{{- if or (lookup "v1" "Secret" .Release.Namespace (include "streamflow.databaseSecret" .)) (lookup "v1" "Secret" .Release.Namespace "") }}yes{{ end -}}
{{- end -}}

{{- /* Values of that Secret: what the cluster holds, else made once. */ -}}
{{- define "streamflow.passwords" -}}
{{- $held := (lookup "v1" "Secret" .Release.Namespace (include "streamflow.databaseSecret" .)).data | default dict -}}
{{- range fromYamlArray (include "streamflow.databaseRoles" .) }}
{{- $key := printf "%s-password" . }}
{{ $key }}: {{ get $held $key | default (randAlphaNum 32 | b64enc) }}
{{- end }}
{{- end -}}
