{{- /* Facts of all components, from components.yaml: name -> facts. */ -}}
{{- define "streamflow.facts" -}}
{{- toYaml (.Files.Get "components.yaml" | fromYaml).components -}}
{{- end -}}

{{- /* Facts of one component. Arguments: root, component. */ -}}
{{- define "streamflow.factsOf" -}}
{{- toYaml (get (include "streamflow.facts" .root | fromYaml) .component) -}}
{{- end -}}

{{- /* Names of the installed components, without the jobs. */ -}}
{{- define "streamflow.installed" -}}
{{- $names := list -}}
{{- $elsewhere := list -}}
{{- if not (include "streamflow.ownMlflow" .) }}{{ $elsewhere = append $elsewhere "mlflow" }}{{ end -}}
{{- if .Values.prefect.apiUrl }}{{ $elsewhere = append $elsewhere "prefect" }}{{ end -}}
{{- range $name, $facts := include "streamflow.facts" . | fromYaml -}}
{{-   $enabled := "true" -}}
{{-   if $facts.optional -}}
{{-     $enabled = include "streamflow.knob" (dict "root" $ "path" ($facts.enabledBy | default (printf "%s.enabled" $name))) -}}
{{-   end -}}
{{-   if and (eq $enabled "true") (not (has $name $elsewhere)) }}{{ $names = append $names $name }}{{ end -}}
{{- end -}}
{{- toYaml $names -}}
{{- end -}}

{{- /* Values of all installed components and jobs: name -> values. */ -}}
{{- define "streamflow.components" -}}
{{- $all := fromYaml (include "streamflow.jobs" .) -}}
{{- range $name := include "streamflow.installed" . | fromYamlArray -}}
{{-   $_ := set $all $name (include "streamflow.valuesOf" (dict "root" $ "component" $name) | fromYaml) -}}
{{- end -}}
{{- toYaml $all -}}
{{- end -}}

{{- /* Values of a component. Arguments: root, component. */ -}}
{{- define "streamflow.valuesOf" -}}
{{- $value := .root.Values -}}
{{- range splitList "." ((include "streamflow.factsOf" . | fromYaml).values | default .component) }}{{ $value = get $value . }}{{ end -}}
{{- toYaml $value -}}
{{- end -}}

{{- /*
All installed jobs: name -> jobDefaults, overridden by jobs/NAME.yaml, then by the values in jobs.NAME. `conducted` is set for those
that Prefect starts by its schedule.
*/ -}}
{{- define "streamflow.jobs" -}}
{{- $jobs := dict -}}
{{- $conducted := include "streamflow.conducted" . | fromYamlArray -}}
{{- range $path, $_ := .Files.Glob "jobs/*.yaml" -}}
{{-   $name := base $path | trimSuffix ".yaml" -}}
{{-   $spec := $.Files.Get $path | fromYaml -}}
{{-   $own := get $.Values.jobs $name | default dict -}}
{{-   $job := mergeOverwrite (deepCopy $.Values.jobDefaults) $spec $own -}}
{{-   $ours := has $name $conducted -}}
{{-   if or $.Values.jobDefaults.suspend $job.onDemand $ours }}{{ $_ := set $job "suspend" true }}{{ end -}}
{{-   if and $ours $.Values.prefect.schedule }}{{ $_ := set $job "conducted" true }}{{ end -}}
{{-   if $job.enabled | default (not (hasKey $job "enabled")) }}{{ $_ := set $jobs $name $job }}{{ end -}}
{{- end -}}
{{- toYaml $jobs -}}
{{- end -}}

{{- /* Allowed connections: installed component or job -> the components, `objectStore`, `webhook`, `collector` or `kubernetes`, that it may connect to. */ -}}
{{- define "streamflow.talks" -}}
{{- $facts := include "streamflow.facts" . | fromYaml -}}
{{- $talks := dict -}}
{{- range $name := include "streamflow.installed" . | fromYamlArray -}}
{{-   $own := get $facts $name -}}
{{-   $store := and $own.objectStore (include "streamflow.knob" (dict "root" $ "path" $own.objectStore)) -}}
{{-   $targets := ternary (append $own.talksTo "objectStore") $own.talksTo (not (empty $store)) -}}
{{-   if and $own.webhook (include "streamflow.knob" (dict "root" $ "path" $own.webhook)) }}{{ $targets = append $targets "webhook" }}{{ end -}}
{{-   if and $own.collector (include "streamflow.knob" (dict "root" $ "path" $own.collector)) }}{{ $targets = append $targets "collector" }}{{ end -}}
{{-   $api := and $own.kubernetes (eq (include "streamflow.knob" (dict "root" $ "path" $own.kubernetes)) "true") -}}
{{-   $_ := set $talks $name (ternary (append $targets "kubernetes") $targets (not (empty $api))) -}}
{{- end -}}
{{- $drivers := include "streamflow.drivers" . | fromYamlArray -}}
{{- range $name, $job := include "streamflow.jobs" . | fromYaml -}}
{{-   $volumes := $job.volumes | default dict -}}
{{-   if has $name $drivers }}{{ $_ := set $job "talksTo" (append $job.talksTo "kubernetes") }}{{ end -}}
{{-   $store := or (and $.Values.drops.url (hasKey $volumes "drops")) (and $.Values.backups.url (hasKey $volumes "backups")) (and $.Values.lake.url (hasKey $volumes "lake")) -}}
{{-   $_ := set $talks $name (ternary (append $job.talksTo "objectStore") $job.talksTo (not (empty $store))) -}}
{{- end -}}
{{- toYaml $talks -}}
{{- end -}}

{{- /* Value of a knob, as text. Arguments: root, path (for example mlflow.poolSize). */ -}}
{{- define "streamflow.knob" -}}
{{- $value := .root.Values -}}
{{- range splitList "." .path }}{{ $value = get $value . }}{{ end -}}
{{- $value -}}
{{- end -}}

{{- /* Largest number of PostgreSQL connections in the pools of each installed component, and of all jobs together. */ -}}
{{- define "streamflow.connections" -}}
{{- $facts := include "streamflow.facts" . | fromYaml -}}
{{- range $name := include "streamflow.installed" . | fromYamlArray }}
{{- $values := include "streamflow.valuesOf" (dict "root" $ "component" $name) | fromYaml }}
{{- with (get $facts $name).connections }}
{{- $pods := $values.replicaCount | default 1 }}
{{- if and $values.autoscaling (or $values.autoscaling.enabled (kindIs "invalid" $values.replicaCount)) }}{{ $pods = $values.autoscaling.maxReplicas }}{{ end }}
{{- $size := .poolSize }}
{{- if kindIs "string" $size }}{{ $size = include "streamflow.knob" (dict "root" $ "path" $size) }}{{ end }}
{{ $name }}: {{ mul (add $pods .surge) ($values.workers | default 1) (add (mul .pools $size) (.besides | default 0)) }}
{{- end }}
{{- end }}
jobs: {{ (.Files.Get "components.yaml" | fromYaml).jobs.connections }}
{{- end -}}
