{{- /*
Full name of an image. global.imageRegistry has the project's own images, and PostgreSQL's comes from elsewhere. Arguments:
root, image.
*/ -}}
{{- define "streamflow.image" -}}
{{- $image := get .root.Values.images .image -}}
{{- $registry := $image.registry | default (ternary "" .root.Values.global.imageRegistry (eq .image "postgresql")) -}}
{{- with $registry }}{{ . }}/{{ end -}}
{{- $image.repository -}}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default .root.Chart.AppVersion }}{{ end -}}
{{- end -}}

{{- /*
A container without its name, command, ports and probes. Its limit of ephemeral storage includes the emptyDirs on the
node's disk, because the kubelet evicts a pod whose volumes and logs together exceed it. Argument: context (see _pod.tpl).
*/ -}}
{{- define "streamflow.container" -}}
{{- $pod := fromYaml (include "streamflow.pod" .) -}}
image: {{ include "streamflow.image" . }}
imagePullPolicy: {{ (get .root.Values.images .image).pullPolicy }}
securityContext:
  {{- toYaml $pod.securityContext | nindent 2 }}
{{- $limits := $pod.resources.limits | default dict }}
{{- with get $limits "ephemeral-storage" }}
{{- $sum := include "streamflow.mebibytes" (toString .) | int64 }}
{{- range $.onNode }}{{ $sum = add $sum (include "streamflow.mebibytes" .) }}{{ end }}
{{- if $.onNode }}{{ $_ := set $limits "ephemeral-storage" (printf "%dMi" $sum) }}{{ end }}
{{- end }}
resources:
  {{- toYaml $pod.resources | nindent 2 }}
{{- if or (ne .image "postgresql") $pod.extraEnvFrom }}
envFrom:
  {{- if ne .image "postgresql" }}
  - configMapRef: {name: {{ .settings | default (include "streamflow.settings" .root) }}}
  {{- end }}
  {{- with $pod.extraEnvFrom }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- with include "streamflow.env" (dict "context" . "extra" $pod.extraEnv) | trim }}
env:
  {{- . | nindent 2 }}
{{- end }}
volumeMounts:
  - {name: tmp, mountPath: /tmp}
  {{- if .role }}
  - {name: database, mountPath: /run/secrets/streamflow, readOnly: true}
  {{- end }}
  {{- if and (ne .image "postgresql") (include "streamflow.databaseAuthority" .root) }}
  - {name: database-authority, mountPath: /run/secrets/database-authority, readOnly: true}
  {{- end }}
  {{- range $name, $path := .mounts }}
  - {name: {{ $name }}, mountPath: {{ $path }}{{ if has $name ($.readOnly | default list) }}, readOnly: true{{ end }}}
  {{- end }}
  {{- with $pod.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- /*
Environment variables; the chart's own override extraEnv. Each name appears once, because server-side apply refuses
duplicates. Arguments: context (see _pod.tpl), extra.
*/ -}}
{{- define "streamflow.env" -}}
{{- $env := .context.env | default dict | deepCopy -}}
{{- with .context.role -}}
{{-   $_ := set $env "STREAMFLOW_DATABASE__USER" (include "streamflow.databaseRole" (dict "root" $.context.root "role" .)) -}}
{{-   $_ := set $env "STREAMFLOW_DATABASE__PASSWORD_FILE" "/run/secrets/streamflow/password" -}}
{{- end -}}
{{- range $name, $value := $env }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- range .extra }}
{{- if not (hasKey $env .name) }}
- {{ toYaml . | nindent 2 | trim }}
{{- end }}
{{- end }}
{{- end -}}

{{- /* Init container that waits for the database. Arguments: context, with `until` (login, migrated or applied). */ -}}
{{- define "streamflow.wait" -}}
- name: wait
  {{- include "streamflow.container" (merge (dict "values" (omit .values "extraVolumeMounts")) (omit . "values" "mounts")) | nindent 2 }}
  command: [streamflow, db, wait, --until, {{ .until }}]
{{- end -}}

{{- /* Init containers from the values. Argument: context (see _pod.tpl). */ -}}
{{- define "streamflow.initContainers" -}}
{{- with (fromYaml (include "streamflow.pod" .)).initContainers }}
{{- toYaml . }}
{{- end }}
{{- end -}}

{{- /* Sidecars from the values. Argument: context (see _pod.tpl). */ -}}
{{- define "streamflow.extraContainers" -}}
{{- with (fromYaml (include "streamflow.pod" .)).extraContainers }}
{{- toYaml . }}
{{- end }}
{{- end -}}

{{- /*
Startup, liveness and readiness probe, all with the check `probe`, unless `readiness` is another one for the last. `timings`
overrides the defaults of a probe, and the values override both. Arguments: values, probe; optionally readiness, timings.
*/ -}}
{{- define "streamflow.probes" -}}
{{- $timings := dict
      "startup" (dict "periodSeconds" 2 "timeoutSeconds" 5 "failureThreshold" 120)
      "liveness" (dict "periodSeconds" 15 "timeoutSeconds" 5 "failureThreshold" 8)
      "readiness" (dict "periodSeconds" 5 "timeoutSeconds" 5 "failureThreshold" 3) -}}
{{- range $kind, $timing := $timings }}
{{- $check := ternary ($.readiness | default $.probe) $.probe (eq $kind "readiness") }}
{{ $kind }}Probe:
  {{- toYaml (mergeOverwrite (deepCopy $check) $timing (get ($.timings | default dict) $kind | default dict) (get $.values.probes $kind)) | nindent 2 }}
{{- end }}
{{- end -}}
