{{- /*
The expression of an alert for this release. Its file holds for any: namespace=~".*", pod=~".*-predict-.*" and so on; here
they become this namespace, the pods of this release, and its volumes, so that nobody else's raise it.
Arguments: root, expr.
*/ -}}
{{- define "streamflow.alertExpr" -}}
{{- $name := include "streamflow.fullname" .root -}}
{{- $claims := include "streamflow.claimNames" .root | fromYamlArray | join "|" | replace "." "[.]" -}}
{{- $expr := .expr | replace "namespace=~\".*\"" (printf "namespace=%q" .root.Release.Namespace) -}}
{{- range $component := list "predict" "exporter" -}}
{{-   $expr = $expr | replace (printf "pod=~\".*-%s-.*\"" $component) (printf "pod=~\"%s-%s-.*\"" $name $component) -}}
{{- end -}}
{{- $expr | replace ".*-(postgresql|mlflow|drops|backups)" $claims -}}
{{- end -}}
