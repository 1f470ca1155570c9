{{- /* Volume source: a claim, or an emptyDir without persistence. Arguments: root, component, persistence. */ -}}
{{- define "streamflow.claimVolume" -}}
{{- if .persistence.enabled -}}
persistentVolumeClaim:
  claimName: {{ .persistence.existingClaim | default (include "streamflow.object" .) }}
{{- else -}}
emptyDir: {sizeLimit: {{ .persistence.size }}}
{{- end -}}
{{- end -}}

{{- /* Volume source of a lake in a folder; empty without one. */ -}}
{{- define "streamflow.lakeVolume" -}}
{{- if and (eq .Values.engine "spark") .Values.lake.existingClaim -}}
persistentVolumeClaim:
  claimName: {{ .Values.lake.existingClaim }}
{{- end -}}
{{- end -}}

{{- /* Adds to a pod's context what reading the lake takes. Arguments: context (see _pod.tpl). */ -}}
{{- define "streamflow.withLake" -}}
{{- $context := .context -}}
{{- with include "streamflow.lakeVolume" $context.root | fromYaml -}}
{{-   $_ := set $context "mounts" (merge (dict "lake" "/lake") ($context.mounts | default dict)) -}}
{{-   $_ := set $context "volumes" (merge (dict "lake" .) ($context.volumes | default dict)) -}}
{{-   $_ := set $context "readOnly" (append ($context.readOnly | default list) "lake") -}}
{{- end -}}
{{- with $context.root.Values.lake.existingSecret -}}
{{-   $values := deepCopy $context.values -}}
{{-   $secret := dict "secretRef" (dict "name" .) -}}
{{-   $_ := set $values "extraEnvFrom" (append ($values.extraEnvFrom | default $context.root.Values.pods.extraEnvFrom) $secret) -}}
{{-   $_ := set $context "values" $values -}}
{{- end -}}
{{- end -}}

{{- /* A Kubernetes quantity (8Gi, 500M) in mebibytes, rounded up. Argument: the quantity, as text. */ -}}
{{- define "streamflow.mebibytes" -}}
{{- $units := dict "" 1 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "E" 1e18
      "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "Pi" 1125899906842624 "Ei" 1152921504606846976 -}}
{{- $unit := regexFind "[A-Za-z]*$" . -}}
{{- divf (mulf (trimSuffix $unit . | float64) (get $units $unit)) 1048576 | ceil | int64 -}}
{{- end -}}

{{- /*
Adds the size of a volume without a claim to `onNode` of a pod's context, because it counts against the container's limit
of ephemeral storage. Arguments: context (see _pod.tpl), persistence.
*/ -}}
{{- define "streamflow.countVolume" -}}
{{- if not .persistence.enabled -}}
{{- $_ := set .context "onNode" (append (.context.onNode | default list) .persistence.size) -}}
{{- end -}}
{{- end -}}

{{- /* Names of all volume claims that the release's pods use, as a list. */ -}}
{{- define "streamflow.claimNames" -}}
{{- $volumes := dict "backups" .Values.backups.persistence -}}
{{- if .Values.postgresql.enabled }}{{ $_ := set $volumes "postgresql" .Values.postgresql.persistence }}{{ end -}}
{{- if not .Values.mlflow.artifactsUrl }}{{ $_ := set $volumes "mlflow" .Values.mlflow.persistence }}{{ end -}}
{{- if not .Values.drops.url }}{{ $_ := set $volumes "drops" .Values.drops.persistence }}{{ end -}}
{{- $names := list -}}
{{- range $component, $persistence := $volumes -}}
{{-   $source := include "streamflow.claimVolume" (dict "root" $ "component" $component "persistence" $persistence) | fromYaml -}}
{{-   with $source.persistentVolumeClaim }}{{ $names = append $names .claimName }}{{ end -}}
{{- end -}}
{{- toYaml $names -}}
{{- end -}}

{{- /* Volume claim, unless the values disable it or name an existing one. Arguments: root, component, persistence. */ -}}
{{- define "streamflow.claim" -}}
{{- if and .persistence.enabled (not .persistence.existingClaim) -}}
{{- $keep := ternary (dict "helm.sh/resource-policy" "keep") dict .persistence.retain -}}
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  {{- include "streamflow.metadata" (dict "root" .root "component" .component
      "annotations" (merge $keep .persistence.annotations)) | nindent 2 }}
spec:
  accessModes:
    {{- toYaml .persistence.accessModes | nindent 4 }}
  resources:
    requests: {storage: {{ .persistence.size }}}
  {{- with .persistence.storageClass | default .root.Values.global.storageClass }}
  storageClassName: {{ . }}
  {{- end }}
{{- end -}}
{{- end -}}
