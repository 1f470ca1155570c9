{{- /* Peer that matches the pods of some components. Arguments: root, components. */ -}}
{{- define "streamflow.peers" -}}
- podSelector:
    matchLabels:
      app.kubernetes.io/name: {{ include "streamflow.name" .root }}
      app.kubernetes.io/instance: {{ .root.Release.Name }}
    matchExpressions:
      - {key: app.kubernetes.io/component, operator: In, values: {{ toJson .components }}}
{{- end -}}

{{- /*
Ingress rules of a component: the components that call it may connect to its port (or that of its API, if it is enabled),
Prometheus to its metrics port. For a
component without a port, the rule names no port and allows all. Arguments: root, component, talks (component -> targets), policy (values of its networkPolicy).
*/ -}}
{{- define "streamflow.ingressRules" -}}
{{- $facts := include "streamflow.factsOf" . | fromYaml -}}
{{- $metrics := $facts.metricsPort -}}
{{- $port := $facts.port | default $metrics -}}
{{- if and $facts.apiPort (get .root.Values .component).api.enabled }}{{ $port = $facts.apiPort }}{{ end -}}
{{- $callers := list -}}
{{- range $caller, $targets := .talks -}}
{{-   if has $.component $targets }}{{ $callers = append $callers $caller }}{{ end -}}
{{- end -}}
{{- if .policy.allowExternal }}
- {{ with $port }}ports: [{port: {{ . }}}]{{ else }}{}{{ end }}
{{- else if or $callers .policy.extraIngress }}
- from:
    {{- with $callers }}
    {{- include "streamflow.peers" (dict "root" $.root "components" .) | nindent 4 }}
    {{- end }}
    {{- with .policy.extraIngress }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $port }}
  ports: [{port: {{ . }}}]
  {{- end }}
{{- end }}
{{- with .root.Values.networkPolicy.monitoringPeers }}
{{- if $metrics }}
- from:
    {{- toYaml . | nindent 4 }}
  ports: [{port: {{ $metrics }}}]
{{- end }}
{{- end }}
{{- end -}}

{{- /* Egress rules of a component. Arguments: root, targets, policy (values of its networkPolicy). */ -}}
{{- define "streamflow.egressRules" -}}
{{- $facts := include "streamflow.facts" .root | fromYaml -}}
{{- with .targets }}
- ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
  {{- with $.root.Values.networkPolicy.dnsPeers }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- range .targets }}
{{- if has . (list "objectStore" "webhook") }}
- ports: [{port: 443}]
{{- else if eq . "collector" }}
- ports: [{port: {{ include "streamflow.urlPort" $.root.Values.settings.tracing.endpoint }}}]
  {{- with $.root.Values.networkPolicy.collectorPeers }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- else if eq . "kubernetes" }}
- ports: [{port: 443}, {port: 6443}]
  {{- with $.root.Values.networkPolicy.kubernetesPeers }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- else if and (eq . "postgresql") (not $.root.Values.postgresql.enabled) }}
- ports: [{port: {{ $.root.Values.externalDatabase.port }}}]
  {{- with $.root.Values.externalDatabase.cidrs }}
  to:
    {{- range . }}
    - ipBlock: {cidr: {{ . }}}
    {{- end }}
  {{- end }}
{{- else if and (eq . "mlflow") (not (include "streamflow.ownMlflow" $.root)) }}
{{- include "streamflow.egressElsewhere" $.root.Values.mlflow.external }}
{{- else if and (eq . "prefect") (not (include "streamflow.ownPrefect" $.root)) }}
{{- include "streamflow.egressElsewhere" (dict "url" $.root.Values.prefect.apiUrl "cidrs" $.root.Values.prefect.cidrs) }}
{{- else }}
- ports: [{port: {{ (get $facts .).port }}}]
  to:
    {{- include "streamflow.peers" (dict "root" $.root "components" (list .)) | nindent 4 }}
{{- end }}
{{- end }}
{{- with .policy.extraEgress }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* Port of an HTTP URL. */ -}}
{{- define "streamflow.urlPort" -}}
{{- $url := urlParse . -}}
{{- regexFind "[0-9]+$" (regexFind ":[0-9]+$" $url.host) | default (ternary "443" "80" (eq $url.scheme "https")) -}}
{{- end -}}

{{- /* Egress rule to a server that the chart does not install. Arguments: url, cidrs. */ -}}
{{- define "streamflow.egressElsewhere" }}
- ports: [{port: {{ include "streamflow.urlPort" .url }}}]
  {{- with .cidrs }}
  to:
    {{- range . }}
    - ipBlock: {cidr: {{ . }}}
    {{- end }}
  {{- end }}
{{- end -}}
