{{- /*
What all pods share. Every helper takes one context:
  root        the chart's context          component   name of the component
  values      its block of values.yaml     image       predict, platform or postgresql
  role        its database role, or none   env         environment variables, name -> value
  volumes     name -> volume source        mounts      volume -> path in the main container
  readOnly    volumes mounted read-only    metrics     port of its metrics, or none
  onNode      sizes of its volumes that lie on the node, besides /tmp and what is small
  once        a Job that a changed setting does not start anew
*/ -}}

{{- /* `pods` of values.yaml under the component's own keys: maps are merged, the rest is replaced. */ -}}
{{- define "streamflow.pod" -}}
{{- $own := .values | default dict -}}
{{- $pod := dict -}}
{{- range $key, $common := .root.Values.pods -}}
{{-   if not (hasKey $own $key) -}}
{{-     $_ := set $pod $key $common -}}
{{-   else if kindIs "map" $common -}}
{{-     $_ := set $pod $key (mergeOverwrite (deepCopy $common) (get $own $key)) -}}
{{-   else -}}
{{-     $_ := set $pod $key (get $own $key) -}}
{{-   end -}}
{{- end -}}
{{- toYaml $pod -}}
{{- end -}}

{{- define "streamflow.image" -}}
{{- $image := get .root.Values.images .image -}}
{{- $registry := $image.registry | default .root.Values.global.imageRegistry -}}
{{- with $registry }}{{ . }}/{{ end -}}
{{- $image.repository -}}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default .root.Chart.AppVersion }}{{ end -}}
{{- end -}}

{{- /* Labels and annotations of the pods. */ -}}
{{- define "streamflow.podMetadata" -}}
{{- $pod := fromYaml (include "streamflow.pod" .) -}}
labels:
  {{- include "streamflow.labels" (merge (dict "more" $pod.podLabels) .) | nindent 2 }}
{{- $annotations := dict -}}
{{- if not (or .once (eq .image "postgresql")) -}}
{{-   $_ := set $annotations "checksum/settings" (include "streamflow.settingsData" .root | sha256sum) -}}
{{- end -}}
{{- if and .metrics .root.Values.metrics.annotations -}}
{{-   $_ := set $annotations "prometheus.io/scrape" "true" -}}
{{-   $_ := set $annotations "prometheus.io/port" (toString .metrics) -}}
{{-   $_ := set $annotations "prometheus.io/path" "/metrics" -}}
{{- end -}}
{{- $annotations = mergeOverwrite $annotations $pod.podAnnotations }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* What stands in a pod's `spec` besides its containers. */ -}}
{{- define "streamflow.podSpec" -}}
{{- $pod := fromYaml (include "streamflow.pod" .) -}}
serviceAccountName: {{ include "streamflow.serviceAccount" . }}
automountServiceAccountToken: {{ $pod.serviceAccount.automount }}
{{- /* Variables like STREAMFLOW_PREDICT_PORT=tcp://… would read like settings. */}}
enableServiceLinks: false
{{- with .root.Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ if kindIs "string" . }}{{ . }}{{ else }}{{ .name }}{{ end }}
  {{- end }}
{{- end }}
securityContext:
  {{- toYaml $pod.podSecurityContext | nindent 2 }}
{{- range $key := list "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" "priorityClassName" }}
{{- with get $pod $key }}
{{ $key }}: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}
volumes:
  - name: tmp
    emptyDir: {sizeLimit: {{ $pod.tmpSize }}}
  {{- with .role }}
  - name: database
    secret:
      secretName: {{ include "streamflow.databaseSecret" $.root }}
      defaultMode: 0440
      items: [{key: {{ . }}-password, path: password}]
  {{- end }}
  {{- range $name, $source := .volumes }}
  - name: {{ $name }}
    {{- toYaml $source | nindent 4 }}
  {{- end }}
  {{- with $pod.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- /* What stands in a container besides its name, command, ports and probes. `bare`: none of the component's extras. */ -}}
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
  - configMapRef: {name: {{ include "streamflow.settings" .root }}}
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
  {{- range $name, $path := .mounts }}
  - {name: {{ $name }}, mountPath: {{ $path }}{{ if has $name ($.readOnly | default list) }}, readOnly: true{{ end }}}
  {{- end }}
  {{- with $pod.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- /* Each name once, as server-side apply demands: the chart's own variables win over extraEnv. */ -}}
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

{{- /* Init container that waits for the database: `until` is login, migrated or applied. */ -}}
{{- define "streamflow.wait" -}}
- name: wait
  {{- include "streamflow.container" (merge (dict "values" (omit .values "extraVolumeMounts")) (omit . "values" "mounts")) | nindent 2 }}
  command: [streamflow, db, wait, --until, {{ .until }}]
{{- end -}}

{{- define "streamflow.initContainers" -}}
{{- with (fromYaml (include "streamflow.pod" .)).initContainers }}
{{- toYaml . }}
{{- end }}
{{- end -}}

{{- define "streamflow.extraContainers" -}}
{{- with (fromYaml (include "streamflow.pod" .)).extraContainers }}
{{- toYaml . }}
{{- end }}
{{- end -}}

{{- /* The three probes of a server that one question answers. Arguments: values, probe. */ -}}
{{- define "streamflow.probes" -}}
{{- $timings := dict
      "startup" (dict "periodSeconds" 2 "timeoutSeconds" 5 "failureThreshold" 120)
      "liveness" (dict "periodSeconds" 15 "timeoutSeconds" 5 "failureThreshold" 8)
      "readiness" (dict "periodSeconds" 5 "timeoutSeconds" 5 "failureThreshold" 3) -}}
{{- range $kind, $timing := $timings }}
{{ $kind }}Probe:
  {{- toYaml (mergeOverwrite (deepCopy $.probe) $timing (get ($.timings | default dict) $kind | default dict) (get $.values.probes $kind)) | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* A Service before a component's pods. Arguments: root, component, values, target. */ -}}
{{- define "streamflow.service" -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "streamflow.metadata" (merge (dict "annotations" .values.service.annotations "labels" .values.service.labels) .) | nindent 2 }}
spec:
  type: {{ .values.service.type }}
  {{- with .values.service.loadBalancerSourceRanges }}
  loadBalancerSourceRanges:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  ports:
    - {name: http, port: {{ .values.service.port }}, targetPort: http, appProtocol: http{{ with .values.service.nodePort }}, nodePort: {{ . }}{{ end }}}
    {{- if .metricsPort }}
    - {name: metrics, port: {{ .metricsPort }}, targetPort: metrics, appProtocol: http}
    {{- end }}
  selector:
    {{- include "streamflow.selector" . | nindent 4 }}
{{- end -}}
