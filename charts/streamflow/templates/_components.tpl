{{- /* Every component that is installed -> its values. */ -}}
{{- define "streamflow.components" -}}
{{- $all := dict "migrate" .Values.migrate "mlflow" .Values.mlflow "predict" .Values.predict "test" .Values.test -}}
{{- range $name := list "postgresql" "feast" "exporter" "demo" -}}
{{-   $values := get $.Values $name -}}
{{-   if $values.enabled }}{{ $_ := set $all $name $values }}{{ end -}}
{{- end -}}
{{- range $name, $job := fromYaml (include "streamflow.jobs" .) -}}
{{-   $_ := set $all $name $job -}}
{{- end -}}
{{- toYaml $all -}}
{{- end -}}

{{- /*
Every job that is installed -> what it is: jobDefaults, under k8s-jobs/NAME.yaml, under jobs.NAME.
*/ -}}
{{- define "streamflow.jobs" -}}
{{- $jobs := dict -}}
{{- range $path, $_ := .Files.Glob "jobs/*.yaml" -}}
{{-   $name := base $path | trimSuffix ".yaml" -}}
{{-   $spec := $.Files.Get $path | fromYaml -}}
{{-   $own := get $.Values.jobs $name | default dict -}}
{{-   $job := mergeOverwrite (deepCopy $.Values.jobDefaults) $spec $own -}}
{{-   if or $.Values.jobDefaults.suspend $job.onDemand }}{{ $_ := set $job "suspend" true }}{{ end -}}
{{-   if $job.enabled | default (not (hasKey $job "enabled")) }}{{ $_ := set $jobs $name $job }}{{ end -}}
{{- end -}}
{{- toYaml $jobs -}}
{{- end -}}

{{- /* Who talks to whom: component -> what it connects to. The network policies and docs follow from it. */ -}}
{{- define "streamflow.talks" -}}
predict: [postgresql, mlflow]
mlflow: [postgresql{{ if .Values.mlflow.artifactsUrl }}, objectStore{{ end }}]
migrate: [postgresql]
test: [postgresql, predict]
{{- if .Values.postgresql.enabled }}
postgresql: []
{{- end }}
{{- if .Values.feast.enabled }}
feast: [postgresql]
{{- end }}
{{- if .Values.exporter.enabled }}
exporter: [postgresql]
{{- end }}
{{- if .Values.demo.enabled }}
demo: [postgresql, mlflow]
{{- end }}
{{- range $name, $job := fromYaml (include "streamflow.jobs" .) }}
{{- $targets := $job.talksTo }}
{{- if and $.Values.drops.url (hasKey ($job.volumes | default dict) "drops") }}
{{- $targets = append $targets "objectStore" }}
{{- end }}
{{ $name }}: {{ toJson $targets }}
{{- end }}
{{- end -}}

{{- /* Port that each server's pods listen on. */ -}}
{{- define "streamflow.ports" -}}
postgresql: 5432
mlflow: 5000
feast: 6566
predict: 8000
{{- end -}}

{{- /* Port of each component's metrics. */ -}}
{{- define "streamflow.metricsPorts" -}}
mlflow: 5000
{{- if .Values.feast.enabled }}
feast: 8000
{{- end }}
predict: 8000
{{- if .Values.exporter.enabled }}
exporter: 9100
{{- end }}
{{- end -}}

{{- /* Connections that all pools together may hold, as a map component -> number. */ -}}
{{- define "streamflow.connections" -}}
{{- $predict := .Values.predict.replicaCount -}}
{{- if .Values.predict.autoscaling.enabled }}{{ $predict = .Values.predict.autoscaling.maxReplicas }}{{ end -}}
{{- /* While predict rolls there is one pod more. */ -}}
predict: {{ mul (add1 $predict) .Values.settings.predict.poolSize }}
{{- /* A tracking store and a registry store per worker, each with a pool. */}}
mlflow: {{ mul .Values.mlflow.replicaCount .Values.mlflow.workers .Values.mlflow.poolSize 2 }}
{{- if .Values.feast.enabled }}
{{- /* Six of the online store, six of the registry. */}}
feast: {{ mul (add1 .Values.feast.replicaCount) .Values.feast.workers 12 }}
{{- end }}
exporter: 2
{{- /* A job holds its lock, and up to six connections; not all run at once. */}}
jobs: 21
{{- end -}}
