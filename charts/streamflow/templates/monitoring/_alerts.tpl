{{- /*
Expression of an alert, limited to this release. The files in alerts/ match any namespace and release (namespace=~".*",
pod=~".*-predict-.*"); these matchers are replaced by the release's namespace, pods and volumes, so that no other raises it.
The limit of QualityBelow, the only 0.6, is replaced by minimumAuc.
Arguments: root, expr.
*/ -}}
{{- define "streamflow.alertExpr" -}}
{{- $name := include "streamflow.fullname" .root -}}
{{- $claims := include "streamflow.claimNames" .root | fromYamlArray | join "|" | replace "." "[.]" -}}
{{- $expr := .expr | replace "namespace=~\".*\"" (printf "namespace=%q" .root.Release.Namespace) -}}
{{- range $component := list "predict" "exporter" "registrar" "conductor" -}}
{{-   $expr = $expr | replace (printf "pod=~\".*-%s-.*\"" $component) (printf "pod=~\"%s-%s-.*\"" $name $component) -}}
{{- end -}}
{{- $expr = $expr | replace "< 0.6\n" (printf "< %v\n" .root.Values.metrics.prometheusRule.minimumAuc) -}}
{{- $expr | replace ".*-(postgresql|mlflow|drops|backups)" $claims -}}
{{- end -}}
