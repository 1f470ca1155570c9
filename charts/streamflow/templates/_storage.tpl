{{- /* Volume source of a claim, or an emptyDir. Arguments: root, component, persistence. */ -}}
{{- define "streamflow.claimVolume" -}}
{{- if .persistence.enabled -}}
persistentVolumeClaim:
  claimName: {{ .persistence.existingClaim | default (include "streamflow.object" .) }}
{{- else -}}
emptyDir: {sizeLimit: {{ .persistence.size }}}
{{- end -}}
{{- end -}}

{{- /* Names of all claims that the release's pods use, as a list. */ -}}
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

{{- /* The claim itself, unless it exists or none is wanted. Arguments: root, component, persistence. */ -}}
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
