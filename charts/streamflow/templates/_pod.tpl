{{- /*
Parts that all pods share. Unless their comment lists other arguments, the templates here and in _container.tpl take a
pod's context, a dict of
  root        the chart's context            component   name of the component
  values      the component's values         image       predict, platform, prefect or postgresql
  role        database role, if any          env         environment variables, name -> value
  volumes     name -> volume source          mounts      volume name -> path in the main container
  readOnly    volumes mounted read-only      metrics     metrics port, if any
  onNode      sizes of large volumes on the node's disk, without /tmp
  once        true for a Job that a changed setting must not start again
  settings    name of the ConfigMap with the settings, if not the release's
*/ -}}

{{- /* Pod values of a component: its own override `pods`. Maps are merged, other values replaced. */ -}}
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

{{- /* Labels and annotations of a pod. The checksum restarts pods when a setting changes: they read them only at start. */ -}}
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

{{- /* `spec` of a pod, without its containers. */ -}}
{{- define "streamflow.podSpec" -}}
{{- $pod := fromYaml (include "streamflow.pod" .) -}}
serviceAccountName: {{ include "streamflow.serviceAccount" . }}
automountServiceAccountToken: {{ $pod.serviceAccount.automount }}
{{- /* Kubernetes would add variables such as STREAMFLOW_PREDICT_PORT=tcp://…, which look like settings. */}}
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
  {{- if ne .image "postgresql" }}
  {{- with include "streamflow.databaseAuthority" .root }}
  - name: database-authority
    secret: {secretName: {{ . }}, defaultMode: 0440, items: [{key: ca.crt, path: ca.crt}]}
  {{- end }}
  {{- end }}
  {{- range $name, $source := .volumes }}
  - name: {{ $name }}
    {{- toYaml $source | nindent 4 }}
  {{- end }}
  {{- with $pod.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- /*
Adds a token of its ServiceAccount to a pod's context, where clients of the Kubernetes API look for it; only the main container
gets it. Arguments: context.
*/ -}}
{{- define "streamflow.withKubernetesToken" -}}
{{- $context := .context -}}
{{- $token := dict "projected" (dict "defaultMode" 0440 "sources" (list
      (dict "serviceAccountToken" (dict "path" "token" "expirationSeconds" 3600))
      (dict "configMap" (dict "name" "kube-root-ca.crt" "items" (list (dict "key" "ca.crt" "path" "ca.crt"))))
      (dict "downwardAPI" (dict "items" (list (dict "path" "namespace" "fieldRef" (dict "apiVersion" "v1" "fieldPath" "metadata.namespace"))))))) -}}
{{- $_ := set $context "mounts" (merge (dict "kubernetes" "/var/run/secrets/kubernetes.io/serviceaccount") ($context.mounts | default dict)) -}}
{{- $_ := set $context "volumes" (merge (dict "kubernetes" $token) ($context.volumes | default dict)) -}}
{{- $_ := set $context "readOnly" (append ($context.readOnly | default list) "kubernetes") -}}
{{- end -}}
