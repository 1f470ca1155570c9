{{- /* Name of the Secret with the key of the list of erasures. */ -}}
{{- define "streamflow.erasureSecret" -}}
{{- .Values.erasure.existingSecret | default (include "streamflow.object" (dict "root" . "component" "erasure")) -}}
{{- end -}}

{{- /*
Adds to a pod's context what a job needs to erase, or to keep erased people out. Arguments: context (see _pod.tpl), job.
An operator creates the Secret that names a person. It is optional and not part of the release, so Helm stores no person's key.
*/ -}}
{{- define "streamflow.withErasure" -}}
{{- $context := .context -}}
{{- $added := dict -}}
{{- if .job.erasureKey -}}
{{-   $items := list (dict "key" "erasure-key" "path" "key") -}}
{{-   $_ := set $added "erasure" (dict "secret" (dict "secretName" (include "streamflow.erasureSecret" $context.root) "defaultMode" 0440 "items" $items)) -}}
{{-   $_ := set $context "env" (merge (dict "STREAMFLOW_ERASURE__KEY_FILE" "/run/secrets/erasure/key") $context.env) -}}
{{- end -}}
{{- if .job.erasureRequest -}}
{{-   $name := printf "%s-request" (include "streamflow.object" (dict "root" $context.root "component" "erasure")) -}}
{{-   $_ := set $added "erasure-request" (dict "secret" (dict "secretName" $name "defaultMode" 0440 "optional" true)) -}}
{{-   $_ := set $context "env" (merge (dict "STREAMFLOW_ERASURE__REQUEST_FILE" "/run/secrets/erasure-request/request") $context.env) -}}
{{- end -}}
{{- range $name, $source := $added -}}
{{-   $_ := set $context "volumes" (merge (dict $name $source) $context.volumes) -}}
{{-   $_ := set $context "mounts" (merge (dict $name (printf "/run/secrets/%s" $name)) $context.mounts) -}}
{{-   $_ := set $context "readOnly" (append $context.readOnly $name) -}}
{{- end -}}
{{- end -}}
