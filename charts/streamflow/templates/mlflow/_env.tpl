{{- /*
Environment variables of MLflow that depend on the install. `streamflow serve mlflow` sets the security switches itself
(servers.py). MLflow refuses other Host headers against DNS rebinding; the private addresses are those of probes and scrapes.
*/ -}}
{{- define "streamflow.mlflowEnv" -}}
{{- $name := include "streamflow.object" (dict "root" . "component" "mlflow") -}}
{{- $namespace := .Release.Namespace -}}
{{- $hosts := list "localhost" "localhost:*" "127.0.0.1" "127.0.0.1:*" "10.*" "192.168.*" -}}
{{- range untilStep 16 32 1 }}{{ $hosts = append $hosts (printf "172.%d.*" .) }}{{ end -}}
{{- range list $name (printf "%s.%s" $name $namespace) (printf "%s.%s.svc" $name $namespace) (printf "%s.%s.svc.*" $name $namespace) -}}
{{-   $hosts = concat $hosts (list . (printf "%s:*" .)) -}}
{{- end -}}
STREAMFLOW_DATABASE__NAME: {{ .Values.database.mlflowName | quote }}
MLFLOW_SERVER_ALLOWED_HOSTS: {{ concat $hosts .Values.mlflow.allowedHosts | join "," | quote }}
{{- with .Values.mlflow.corsAllowedOrigins }}
MLFLOW_SERVER_CORS_ALLOWED_ORIGINS: {{ join "," . | quote }}
{{- end }}
MLFLOW_SQLALCHEMYSTORE_POOL_SIZE: {{ .Values.mlflow.poolSize | quote }}
MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW: "0"
PROMETHEUS_MULTIPROC_DIR: /tmp/prometheus
{{- end -}}
