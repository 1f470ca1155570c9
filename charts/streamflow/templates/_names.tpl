{{- /* Names and labels; nothing else builds one. */ -}}

{{- define "streamflow.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- /* Prefix of every object: the release's name, with the chart's unless it holds it already. */ -}}
{{- define "streamflow.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "streamflow.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "streamflow.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- /* Name of a component's objects. Arguments: root, component. */ -}}
{{- define "streamflow.object" -}}
{{- printf "%s-%s" (include "streamflow.fullname" .root) .component -}}
{{- end -}}

{{- /* Labels that select a component's pods; they never change. Arguments: root, component. */ -}}
{{- define "streamflow.selector" -}}
app.kubernetes.io/name: {{ include "streamflow.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- /*
Labels of every object, each key once: `more` wins over commonLabels, and what selects or owns the object over both.
Arguments: root, component, more.
*/ -}}
{{- define "streamflow.labels" -}}
{{- $chart := printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" -}}
{{- $labels := dict "app.kubernetes.io/part-of" "streamflow" "app.kubernetes.io/version" .root.Chart.AppVersion "helm.sh/chart" $chart -}}
{{- $own := merge (dict "app.kubernetes.io/managed-by" .root.Release.Service) (include "streamflow.selector" . | fromYaml) -}}
{{- toYaml (mergeOverwrite $labels .root.Values.commonLabels (.more | default dict) $own) -}}
{{- end -}}

{{- /* `metadata` of a component's object. Arguments: root, component, suffix, annotations; `name` to have another one. */ -}}
{{- define "streamflow.metadata" -}}
name: {{ .name | default (include "streamflow.object" .) }}{{ with .suffix }}-{{ . }}{{ end }}
namespace: {{ .namespace | default .root.Release.Namespace }}
labels:
  {{- include "streamflow.labels" (merge (dict "more" .labels) .) | nindent 2 }}
{{- with .annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* Service account of a component. Arguments: root, component, values. */ -}}
{{- define "streamflow.serviceAccount" -}}
{{- $account := (fromYaml (include "streamflow.pod" .)).serviceAccount -}}
{{- if $account.create -}}
{{- $account.name | default (include "streamflow.object" .) -}}
{{- else -}}
{{- $account.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- /* Name of the ConfigMap of settings. */ -}}
{{- define "streamflow.settings" -}}
{{- include "streamflow.object" (dict "root" . "component" "settings") -}}
{{- end -}}

{{- /* Name of the database role of a component. Arguments: root, role. */ -}}
{{- define "streamflow.databaseRole" -}}
{{- printf "%s%s" .root.Values.database.rolePrefix .role -}}
{{- end -}}

{{- define "streamflow.databaseHost" -}}
{{- if .Values.postgresql.enabled -}}
{{- include "streamflow.object" (dict "root" . "component" "postgresql") -}}
{{- else -}}
{{- .Values.externalDatabase.host -}}
{{- end -}}
{{- end -}}

{{- define "streamflow.databasePort" -}}
{{- if .Values.postgresql.enabled -}}
{{- (include "streamflow.facts" . | fromYaml).postgresql.port -}}
{{- else -}}
{{- .Values.externalDatabase.port -}}
{{- end -}}
{{- end -}}

{{- define "streamflow.mlflowUrl" -}}
http://{{ include "streamflow.object" (dict "root" . "component" "mlflow") }}:{{ .Values.mlflow.service.port }}
{{- end -}}

{{- define "streamflow.predictUrl" -}}
http://{{ include "streamflow.object" (dict "root" . "component" "predict") }}:{{ .Values.predict.service.port }}
{{- end -}}
