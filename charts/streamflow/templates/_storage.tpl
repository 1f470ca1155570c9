{{- /* Volume source of a claim, or an emptyDir. Arguments: root, component, persistence. */ -}}
{{- define "streamflow.claimVolume" -}}
{{- if .persistence.enabled -}}
persistentVolumeClaim:
  claimName: {{ .persistence.existingClaim | default (include "streamflow.object" .) }}
{{- else -}}
emptyDir: {sizeLimit: {{ .persistence.size }}}
{{- end -}}
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
