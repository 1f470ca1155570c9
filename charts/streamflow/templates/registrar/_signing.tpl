{{- /* Secret with the key that signs the audit trail. */ -}}
{{- define "streamflow.signingSecret" -}}
{{- .Values.registrar.signing.existingSecret | default (include "streamflow.object" (dict "root" . "component" "registrar")) -}}
{{- end -}}

{{- /* ConfigMap with the copy of the newest signed row. */ -}}
{{- define "streamflow.headConfigMap" -}}
{{- include "streamflow.object" (dict "root" . "component" "registrar") }}-head
{{- end -}}

{{- /*
Adds to a pod's context the key, and what the registrar needs to write that ConfigMap: a token of its ServiceAccount, in this
container only. Does nothing if signing is off. Arguments: context (see _pod.tpl).
*/ -}}
{{- define "streamflow.withSigning" -}}
{{- $context := .context -}}
{{- $root := $context.root -}}
{{- if $root.Values.registrar.signing.enabled -}}
{{- $key := dict "secret" (dict "secretName" (include "streamflow.signingSecret" $root) "defaultMode" 0440
      "items" (list (dict "key" "signing-key" "path" "signing-key.pem"))) -}}
{{- $env := dict "STREAMFLOW_PROMOTION__SIGNING_KEY_FILE" "/run/secrets/signing/signing-key.pem"
      "STREAMFLOW_PROMOTION__HEAD_CONFIG_MAP" (include "streamflow.headConfigMap" $root) -}}
{{- $_ := set $context "env" (merge $env ($context.env | default dict)) -}}
{{- $_ := set $context "mounts" (merge (dict "signing" "/run/secrets/signing") ($context.mounts | default dict)) -}}
{{- $_ := set $context "volumes" (merge (dict "signing" $key) ($context.volumes | default dict)) -}}
{{- $_ := set $context "readOnly" (append ($context.readOnly | default list) "signing") -}}
{{- $_ := include "streamflow.withKubernetesToken" (dict "context" $context) -}}
{{- end -}}
{{- end -}}
