{{- /* Name of the Secret with one password per database role. */ -}}
{{- define "streamflow.databaseSecret" -}}
{{- .Values.database.existingSecret | default (include "streamflow.object" (dict "root" . "component" "database")) -}}
{{- end -}}

{{- /* Roles with a password in it: the administrator, the owner of the tables, and the role of every component and job. */ -}}
{{- define "streamflow.databaseRoles" -}}
{{- $roles := list "admin" "owner" -}}
{{- range include "streamflow.facts" . | fromYaml }}{{ $roles = append $roles .databaseRole }}{{ end -}}
{{- range $path, $_ := .Files.Glob "jobs/*.yaml" }}{{ $roles = append $roles ($.Files.Get $path | fromYaml).databaseRole }}{{ end -}}
{{- compact $roles | uniq | toYaml -}}
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
