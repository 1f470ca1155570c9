{{- /* Refusals about Prefect; see _refuse.tpl. */ -}}
{{- define "streamflow.refusePrefect" -}}
{{- $own := include "streamflow.ownPrefect" . -}}
{{- if and .Values.prefect.apiUrl (not .Values.prefect.enabled) }}
- "prefect.apiUrl is set, but prefect.enabled is false, so nothing would use it: set prefect.enabled=true, or remove the URL."
{{- end }}
{{- $installed := keys (include "streamflow.jobs" . | fromYaml) -}}
{{- $left := list -}}
{{- range $name := include "streamflow.jobsOfMonth" . | fromYamlArray }}{{ if has $name $installed }}{{ $left = append $left $name }}{{ end }}{{ end -}}
{{- if and .Values.prefect.enabled (not $left) }}
- "prefect.enabled is true, but all jobs of a month are disabled, so Prefect has nothing to conduct: enable one of them, or set prefect.enabled=false."
{{- end }}
{{- if and $own (has .Values.database.prefectName (list .Values.database.name .Values.database.mlflowName)) }}
- "database.prefectName={{ .Values.database.prefectName }} is the name of another database of this install: choose another name."
{{- end }}
{{- range $name := include "streamflow.conducted" . | fromYamlArray }}
{{- $job := get $.Values.jobs $name | default dict }}
{{- if and (hasKey $job "suspend") (not $job.suspend) }}
- "jobs.{{ $name }}.suspend=false would start the job by its schedule too, while Prefect starts it: remove it, or let all CronJobs do the work with prefect.cronJobs=scheduled."
{{- end }}
{{- end }}
{{- end -}}
