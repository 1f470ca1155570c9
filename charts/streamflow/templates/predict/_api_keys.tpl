{{- /* Volume with one key of the API keys' Secret. Arguments: root, file (keys or client). */ -}}
{{- define "streamflow.apiKeysVolume" -}}
secret:
  secretName: {{ .root.Values.predict.apiKeys.existingSecret }}
  defaultMode: 0440
  items: [{key: {{ .file }}, path: {{ .file }}}]
{{- end -}}

{{- /*
Adds that volume to a pod's context, with the environment variable that names its file; does nothing without a Secret.
Arguments: context (see _pod.tpl), file, variable.
*/ -}}
{{- define "streamflow.withApiKeys" -}}
{{- $context := .context -}}
{{- if $context.root.Values.predict.apiKeys.existingSecret -}}
{{- $volume := include "streamflow.apiKeysVolume" (dict "root" $context.root "file" .file) | fromYaml -}}
{{- $_ := set $context "env" (merge (dict .variable (printf "/run/secrets/api-keys/%s" .file)) ($context.env | default dict)) -}}
{{- $_ := set $context "mounts" (merge (dict "api-keys" "/run/secrets/api-keys") ($context.mounts | default dict)) -}}
{{- $_ := set $context "volumes" (merge (dict "api-keys" $volume) ($context.volumes | default dict)) -}}
{{- $_ := set $context "readOnly" (append ($context.readOnly | default list) "api-keys") -}}
{{- end -}}
{{- end -}}
