{{- /* Names and labels of all objects. No other template builds one, so that a name cannot differ between two places. */ -}}

{{- define "streamflow.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- /*
Prefix of all object names: the release's name, then the chart's name unless the release's contains it. It has at most 40
characters, because Kubernetes limits a CronJob's name to 52. A longer one ends with a hash of all of it instead, so that
two releases whose names differ at the end only have different objects.
*/ -}}
{{- define "streamflow.fullname" -}}
{{- $name := .Values.fullnameOverride -}}
{{- if not $name -}}
{{-   $own := include "streamflow.name" . -}}
{{-   $name = ternary .Release.Name (printf "%s-%s" .Release.Name $own) (contains $own .Release.Name) -}}
{{- end -}}
{{- if gt (len $name) 40 -}}
{{-   $name = printf "%s-%s" (trunc 31 $name | trimSuffix "-") (sha256sum $name | trunc 8) -}}
{{- end -}}
{{- trimSuffix "-" $name -}}
{{- end -}}

{{- /* Name of a component's objects. Arguments: root, component. */ -}}
{{- define "streamflow.object" -}}
{{- printf "%s-%s" (include "streamflow.fullname" .root) .component -}}
{{- end -}}

{{- /*
Labels that select a component's pods. They must never change, because the selector of a Deployment or StatefulSet is
immutable. Arguments: root, component.
*/ -}}
{{- define "streamflow.selector" -}}
app.kubernetes.io/name: {{ include "streamflow.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- /*
Labels of an object. `more` overrides commonLabels, and the labels that selectors and Helm rely on override both.
Arguments: root, component, more.
*/ -}}
{{- define "streamflow.labels" -}}
{{- $chart := printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" -}}
{{- $labels := dict "app.kubernetes.io/part-of" "streamflow" "app.kubernetes.io/version" .root.Chart.AppVersion "helm.sh/chart" $chart -}}
{{- $own := merge (dict "app.kubernetes.io/managed-by" .root.Release.Service) (include "streamflow.selector" . | fromYaml) -}}
{{- toYaml (mergeOverwrite $labels .root.Values.commonLabels (.more | default dict) $own) -}}
{{- end -}}

{{- /*
`metadata` of a component's object. Arguments: root, component; optionally suffix, annotations, labels, namespace, and
name, which replaces the component's.
*/ -}}
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

{{- /* Name of a component's service account. Arguments: root, component, values. */ -}}
{{- define "streamflow.serviceAccount" -}}
{{- $account := (fromYaml (include "streamflow.pod" .)).serviceAccount -}}
{{- if $account.create -}}
{{- $account.name | default (include "streamflow.object" .) -}}
{{- else -}}
{{- $account.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- /* Name of the ConfigMap with the settings. */ -}}
{{- define "streamflow.settings" -}}
{{- include "streamflow.object" (dict "root" . "component" "settings") -}}
{{- end -}}

{{- /* Full name of a database role. Arguments: root, role. */ -}}
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
{{- with .Values.mlflow.external.url }}{{ trimSuffix "/" . }}{{ else }}http://{{ include "streamflow.object" (dict "root" . "component" "mlflow") }}:{{ .Values.mlflow.service.port }}{{ end -}}
{{- end -}}

{{- define "streamflow.predictUrl" -}}
http://{{ include "streamflow.object" (dict "root" . "component" "predict") }}:{{ .Values.predict.service.port }}
{{- end -}}
