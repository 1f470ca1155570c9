{{- /* Refusals about Spark; see _refuse.tpl. */ -}}
{{- define "streamflow.refuseSpark" -}}
{{- if eq .Values.engine "spark" -}}
{{- $score := .Values.jobs.score | default dict -}}
{{- if gt (int ($score.shards | default 1)) 1 }}
- "jobs.score.shards={{ $score.shards }} and engine=spark exclude each other, because executors share a scoring: remove it, and set spark.executors.count."
{{- end }}
{{- if and (not .Values.lake.url) (not .Values.lake.persistence.enabled) }}
- "engine=spark keeps the rows of drops in the lake, and lake.persistence.enabled=false would lose them with each pod: enable it, or set lake.url."
{{- end }}
{{- else if .Values.lake.url }}
- "lake.url is set, but engine is postgresql, so nothing would use it: set engine=spark, or remove the URL."
{{- end }}
{{- end -}}
