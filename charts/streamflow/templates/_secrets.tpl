{{- /* Name of the Secret with one password per database role. */ -}}
{{- define "streamflow.databaseSecret" -}}
{{- .Values.database.existingSecret | default (include "streamflow.object" (dict "root" . "component" "database")) -}}
{{- end -}}

{{- /* Roles with a password in that Secret: administrator, owner of the tables, and the roles of components and jobs. */ -}}
{{- define "streamflow.databaseRoles" -}}
{{- $roles := list "admin" "owner" -}}
{{- range $name, $facts := include "streamflow.facts" . | fromYaml -}}
{{-   if or (ne $name "prefect") (include "streamflow.ownPrefect" $) }}{{ $roles = append $roles $facts.databaseRole }}{{ end -}}
{{- end -}}
{{- range $path, $_ := .Files.Glob "jobs/*.yaml" }}{{ $roles = append $roles ($.Files.Get $path | fromYaml).databaseRole }}{{ end -}}
{{- compact $roles | uniq | toYaml -}}
{{- end -}}

{{- /*
"yes" if Helm can read Secrets from a cluster; under `helm template`, `lookup` returns nothing. Only the release's namespace is
searched, because the user may have no rights in others, while Helm itself lists Secrets in this one. A cluster returns a list
even if it is empty or the namespace does not exist yet.
*/ -}}
{{- define "streamflow.hasCluster" -}}
{{- if or (lookup "v1" "Secret" .Release.Namespace (include "streamflow.databaseSecret" .)) (lookup "v1" "Secret" .Release.Namespace "") }}yes{{ end -}}
{{- end -}}

{{- /* `data` of a Secret with generated passwords. Existing ones are kept, because they are in use. Arguments: root, secret, names. */ -}}
{{- define "streamflow.passwords" -}}
{{- $held := (lookup "v1" "Secret" .root.Release.Namespace .secret).data | default dict -}}
{{- range .names }}
{{- $key := printf "%s-password" . }}
{{ $key }}: {{ get $held $key | default (randAlphaNum 32 | b64enc) }}
{{- end }}
{{- end -}}

{{- /* Secret with the certificate of the authority that the database server's is checked against; empty if it is not checked. */ -}}
{{- define "streamflow.databaseAuthority" -}}
{{- if not .Values.postgresql.enabled -}}
{{- .Values.externalDatabase.caSecret -}}
{{- else if .Values.postgresql.tls.enabled -}}
{{- .Values.postgresql.tls.existingSecret | default (printf "%s-tls" (include "streamflow.object" (dict "root" . "component" "postgresql"))) -}}
{{- end -}}
{{- end -}}
