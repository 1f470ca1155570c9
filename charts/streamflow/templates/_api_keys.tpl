{{- /* Volume with one key of a Secret of API keys. Arguments: secret, file (keys or client). */ -}}
{{- define "streamflow.apiKeysVolume" -}}
secret:
  secretName: {{ .secret }}
  defaultMode: 0440
  items: [{key: {{ .file }}, path: {{ .file }}}]
{{- end -}}

{{- /*
Adds that volume to a pod's context, with the environment variable that names its file; does nothing without a Secret.
Arguments: context (see _pod.tpl), secret (its name; empty: none), file, variable.
*/ -}}
{{- define "streamflow.withApiKeys" -}}
{{- $context := .context -}}
{{- if .secret -}}
{{- $volume := include "streamflow.apiKeysVolume" (dict "secret" .secret "file" .file) | fromYaml -}}
{{- $_ := set $context "env" (merge (dict .variable (printf "/run/secrets/api-keys/%s" .file)) ($context.env | default dict)) -}}
{{- $_ := set $context "mounts" (merge (dict "api-keys" "/run/secrets/api-keys") ($context.mounts | default dict)) -}}
{{- $_ := set $context "volumes" (merge (dict "api-keys" $volume) ($context.volumes | default dict)) -}}
{{- $_ := set $context "readOnly" (append ($context.readOnly | default list) "api-keys") -}}
{{- end -}}
{{- end -}}
