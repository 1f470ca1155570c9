{{- /*
Annotations of an object of the hook. Helm creates it before an upgrade, in the order of weights, and deletes it once the hook has
succeeded; after a failure it stays until the next upgrade, with its log. Arguments: weight.
*/ -}}
{{- define "streamflow.hookAnnotations" -}}
helm.sh/hook: pre-upgrade
helm.sh/hook-weight: {{ .weight | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{- /*
The same for what the hook's Job needs, if a component is the hook; nothing for the others, whose objects belong to the release. An
object of the release would come too late: after the hooks. Arguments: root, component.
*/ -}}
{{- define "streamflow.hookOf" -}}
{{- if (get (include "streamflow.facts" .root | fromYaml) .component | default dict).hook -}}
{{- include "streamflow.hookAnnotations" (dict "weight" "-5") -}}
{{- end -}}
{{- end -}}

{{- /* Name of the hook's own ConfigMap with the settings: that of the release still has those from before the upgrade. */ -}}
{{- define "streamflow.hookSettings" -}}
{{- include "streamflow.object" (dict "root" . "component" "upgrade-settings") -}}
{{- end -}}
