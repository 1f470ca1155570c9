{{- /* Service of a component. Arguments: root, component, values; optionally metricsPort, if it has a port of its own. */ -}}
{{- define "streamflow.service" -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "streamflow.metadata" (merge (dict "annotations" .values.service.annotations "labels" .values.service.labels) .) | nindent 2 }}
spec:
  type: {{ .values.service.type }}
  {{- with .values.service.loadBalancerSourceRanges }}
  loadBalancerSourceRanges:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  ports:
    - {name: http, port: {{ .values.service.port }}, targetPort: http, appProtocol: http{{ with .values.service.nodePort }}, nodePort: {{ . }}{{ end }}}
    {{- if .metricsPort }}
    - {name: metrics, port: {{ .metricsPort }}, targetPort: metrics, appProtocol: http}
    {{- end }}
  selector:
    {{- include "streamflow.selector" . | nindent 4 }}
{{- end -}}
