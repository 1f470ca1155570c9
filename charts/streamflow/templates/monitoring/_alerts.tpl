{{- /*
Expression of an alert, limited to this release. The files in alerts/ match any namespace and release (namespace=~".*",
pod=~".*-predict-.*"); these matchers are replaced by the release's namespace, pods and volumes, so that no other raises it.
Arguments: root, expr.
*/ -}}
{{- define "streamflow.alertExpr" -}}
{{- $name := include "streamflow.fullname" .root -}}
{{- $claims := include "streamflow.claimNames" .root | fromYamlArray | join "|" | replace "." "[.]" -}}
{{- $expr := .expr | replace "namespace=~\".*\"" (printf "namespace=%q" .root.Release.Namespace) -}}
{{- range $component := list "predict" "exporter" "registrar" "conductor" -}}
{{-   $expr = $expr | replace (printf "pod=~\".*-%s-.*\"" $component) (printf "pod=~\"%s-%s-.*\"" $name $component) -}}
{{- end -}}
{{- $expr | replace ".*-(postgresql|mlflow|drops|backups)" $claims -}}
{{- end -}}
