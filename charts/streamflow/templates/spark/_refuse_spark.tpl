{{- /* Refusals about Spark; see _refuse.tpl. */ -}}
{{- define "streamflow.refuseSpark" -}}
{{- $score := .Values.jobs.score | default dict -}}
{{- if and (eq .Values.engine "spark") (gt (int ($score.shards | default 1)) 1) }}
- "jobs.score.shards={{ $score.shards }} and engine=spark exclude each other, because Spark shares a scoring among its executors: remove it, and set spark.executors.count."
{{- end }}
{{- end -}}
