{{- /*
Refuses an install that cannot work, with all problems at once; each names a knob and what to do. Only combinations are
checked here: values.schema.json checks the knobs one by one.
*/ -}}
{{- define "streamflow.refuse" -}}
{{- $problems := list -}}
{{- range list "refuseDatabase" "refuseSecrets" "refusePredict" "refuseRegistrar" "refuseMlflow" "refusePrefect" "refuseFeast" "refuseServices" "refuseJobs" "refuseImages" "refuseSpark" -}}
{{-   $problems = concat $problems (fromYamlArray (include (printf "streamflow.%s" .) $)) -}}
{{- end -}}
{{- if $problems -}}
{{- fail (printf "\n\nThis install cannot work:\n  - %s\n" (join "\n  - " $problems)) -}}
{{- end -}}
{{- end -}}

{{- define "streamflow.refusePredict" -}}
{{- with .Values.predict -}}
{{- $autoscaled := or .autoscaling.enabled (kindIs "invalid" .replicaCount) -}}
{{- $fewest := ternary .autoscaling.minReplicas .replicaCount $autoscaled -}}
{{- if and $autoscaled (gt (int .autoscaling.minReplicas) (int .autoscaling.maxReplicas)) }}
- "predict.autoscaling.minReplicas={{ .autoscaling.minReplicas }} is greater than predict.autoscaling.maxReplicas={{ .autoscaling.maxReplicas }}: lower the first or raise the second."
{{- end }}
{{- if and .pdb.enabled (not (kindIs "invalid" .pdb.minAvailable)) (not (kindIs "invalid" .pdb.maxUnavailable)) }}
- "predict.pdb.minAvailable and predict.pdb.maxUnavailable exclude each other: set one of them to null."
{{- end }}
{{- if and .pdb.enabled (kindIs "invalid" .pdb.minAvailable) (kindIs "invalid" .pdb.maxUnavailable) }}
- "predict.pdb.minAvailable and predict.pdb.maxUnavailable are both null: set one of them, for example predict.pdb.maxUnavailable=1, or disable the budget with predict.pdb.enabled=false."
{{- end }}
{{- if and .pdb.enabled (not (kindIs "invalid" .pdb.minAvailable)) }}
{{- $stay := int .pdb.minAvailable -}}
{{- if kindIs "string" .pdb.minAvailable }}{{ $stay = divf (mulf (trimSuffix "%" .pdb.minAvailable | float64) $fewest) 100 | ceil | int }}{{ end }}
{{- if and (gt $stay 0) (ge $stay (int $fewest)) }}
- "predict.pdb.minAvailable={{ .pdb.minAvailable }} of {{ $fewest }} pods blocks every node drain: lower it, or use predict.pdb.maxUnavailable=1."
{{- end }}
{{- end }}
{{- if and .pdb.enabled (has (toString .pdb.maxUnavailable) (list "0" "0%")) }}
- "predict.pdb.maxUnavailable={{ .pdb.maxUnavailable }} blocks every node drain: raise it to at least 1, or set predict.pdb.enabled=false."
{{- end }}
{{- if and .ingress.enabled (not .ingress.hosts) }}
- "predict.ingress.enabled is true, but predict.ingress.hosts is empty: add at least one host name."
{{- end }}
{{- if and .httpRoute.enabled (not .httpRoute.parentRefs) }}
- "predict.httpRoute.enabled is true, but predict.httpRoute.parentRefs is empty: add at least one Gateway."
{{- end }}
{{- with $.Values.settings }}
{{- if lt (int .predict.logRetentionDays) (int .predict.logLeastDays) }}
- "settings.predict.logRetentionDays={{ .predict.logRetentionDays }} is less than settings.predict.logLeastDays={{ .predict.logLeastDays }}, so PostgreSQL would refuse to shorten the prediction log: raise the one, or lower the other."
{{- end }}
{{- if lt (int .jobs.historyDays) (int .jobs.historyLeastDays) }}
- "settings.jobs.historyDays={{ .jobs.historyDays }} is less than settings.jobs.historyLeastDays={{ .jobs.historyLeastDays }}, so PostgreSQL would refuse to forget old runs: raise the one, or lower the other."
{{- end }}
{{- end }}
{{- $needed := addf .preStopSeconds $.Values.settings.predict.drainSeconds -}}
{{- if ge $needed (float64 .terminationGracePeriodSeconds) }}
- "predict.terminationGracePeriodSeconds={{ .terminationGracePeriodSeconds }} is not longer than predict.preStopSeconds + settings.predict.drainSeconds = {{ $needed }}: pods would be killed while they drain. Raise it."
{{- end }}
{{- end }}
{{- end -}}

{{- define "streamflow.refuseRegistrar" -}}
{{- with .Values.registrar.api -}}
{{- if and .enabled (not .apiKeys.existingSecret) }}
- "registrar.api.enabled is true, but registrar.api.apiKeys.existingSecret is empty, so nobody could ask: name a Secret with API keys of scope promote."
{{- end }}
{{- end }}
{{- end -}}

{{- define "streamflow.refuseMlflow" -}}
{{- with .Values.mlflow -}}
{{- if and (gt (int .replicaCount) 1) (not .artifactsUrl) (not (has "ReadWriteMany" .persistence.accessModes)) }}
- "mlflow.replicaCount={{ .replicaCount }} needs artifacts that all pods can reach: set mlflow.artifactsUrl, or mlflow.persistence.accessModes=[ReadWriteMany]."
{{- end }}
{{- if and .external.existingSecret (not .external.username) }}
- "mlflow.external.existingSecret has the password of an account that is not named: set mlflow.external.username."
{{- end }}
{{- end }}
{{- end -}}

{{- define "streamflow.refuseFeast" -}}
{{- $metrics := (include "streamflow.facts" . | fromYaml).feast.metricsPort -}}
{{- if and .Values.feast.enabled (eq (int .Values.feast.service.port) (int $metrics)) }}
- "feast.service.port={{ $metrics }} is the metrics port of the same Service: choose another port, for example 80."
{{- end }}
{{- end -}}

{{- define "streamflow.refuseServices" -}}
{{- range $component := list "predict" "mlflow" "feast" }}
{{- with (get $.Values $component).service }}
{{- if and .nodePort (eq .type "ClusterIP") }}
- "{{ $component }}.service.nodePort={{ .nodePort }} has no effect on a Service of type ClusterIP: set {{ $component }}.service.type=NodePort, or nodePort=null."
{{- end }}
{{- if and .loadBalancerSourceRanges (ne .type "LoadBalancer") }}
- "{{ $component }}.service.loadBalancerSourceRanges has no effect with {{ $component }}.service.type={{ .type }}: set LoadBalancer, or remove the ranges."
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "streamflow.refuseJobs" -}}
{{- $known := list -}}
{{- range $path, $_ := .Files.Glob "jobs/*.yaml" }}{{ $known = append $known (base $path | trimSuffix ".yaml") }}{{ end -}}
{{- if not $known }}
- "The chart has no file jobs/*.yaml, so no job would be installed: drops would not be ingested, and nothing would be backed up. Something left them out when it copied the chart: install the packaged chart, or run `make chart-docs` in the source tree, which writes them."
{{- end }}
{{- range $name, $own := .Values.jobs }}
{{- if and $known (not (has $name $known)) }}
- "jobs.{{ $name }}: no such job. The jobs are {{ join ", " $known }}."
{{- end }}
{{- if and (hasKey ($own | default dict) "shards") (ne $name "score") }}
- "jobs.{{ $name }}.shards: pods cannot share a run of the job {{ $name }}, only one of the job score: remove it."
{{- end }}
{{- end }}
{{- if and .Values.drops.url .Values.drops.persistence.existingClaim }}
- "drops.url and drops.persistence.existingClaim exclude each other, because drops arrive in one place: set only one of them."
{{- end }}
{{- if and .Values.lake.url .Values.lake.existingClaim }}
- "lake.url and lake.existingClaim exclude each other, because the rows are in one place: set only one of them."
{{- end }}
{{- if ne (eq .Values.engine "spark") (or .Values.lake.url .Values.lake.existingClaim | empty | not) }}
- "engine={{ .Values.engine }} {{ ternary "needs a lake for the rows of drops: set lake.url or lake.existingClaim" "leaves the lake unused: set engine=spark, or remove lake.url and lake.existingClaim" (eq .Values.engine "spark") }}."
{{- end }}
{{- end -}}

{{- define "streamflow.refuseImages" -}}
{{- range $name, $image := .Values.images }}
{{- if and (eq $image.tag "latest") (not $image.digest) }}
- "images.{{ $name }}.tag=latest does not identify a version, so a rollback could not restore the image: set a version, or images.{{ $name }}.digest."
{{- end }}
{{- end }}
{{- end -}}
