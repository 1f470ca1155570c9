{{- /* Refusals about the database and the Secrets; see _refuse.tpl. */ -}}
{{- define "streamflow.refuseDatabase" -}}
{{- $external := .Values.externalDatabase -}}
{{- if and .Values.postgresql.enabled $external.host }}
- "externalDatabase.host is set, but postgresql.enabled is true: set postgresql.enabled=false, or remove the host."
{{- else if not (or .Values.postgresql.enabled $external.host) }}
- "postgresql.enabled is false and externalDatabase.host is empty: set externalDatabase.host, or postgresql.enabled=true."
{{- end }}
{{- if and .Values.postgresql.enabled (not .Values.database.createRoles) }}
- "database.createRoles is false, but the bundled PostgreSQL (postgresql.enabled=true) starts without roles: set database.createRoles=true."
{{- end }}
{{- with .Values.postgresql.tls }}
{{- if and .enabled (not .existingSecret) (not .issuerRef.name) }}
- "postgresql.tls.enabled is true without a certificate: name a Secret in postgresql.tls.existingSecret, or an issuer of cert-manager in postgresql.tls.issuerRef."
{{- else if and .existingSecret .issuerRef.name }}
- "postgresql.tls.existingSecret and postgresql.tls.issuerRef exclude each other: set one of them."
{{- end }}
{{- end }}
{{- if and (not .Values.postgresql.enabled) .Values.database.createRoles (not $external.existingSecret) }}
- "externalDatabase.existingSecret is empty, but database.createRoles is true: name a Secret with the login of a role that may create roles, or create the roles yourself and set database.createRoles=false."
{{- end }}
{{- $named := false }}{{ range .Values.pods.extraEnv }}{{ if eq .name "PGSSLROOTCERT" }}{{ $named = true }}{{ end }}{{ end -}}
{{- if and (not .Values.postgresql.enabled) (hasPrefix "verify-" $external.sslmode) (not $external.caSecret) (not $named) }}
- "externalDatabase.sslmode={{ $external.sslmode }} checks the server's certificate, but no authority is named: put its certificate as ca.crt into a Secret, and name that in externalDatabase.caSecret."
{{- end }}
{{- if and .Values.upgrade.hook.enabled (not .Values.database.createRoles) }}
- "upgrade.hook.enabled is true, but database.createRoles is false, so the Job has no administrator's login to create the databases of the copy with: set upgrade.hook.enabled=false, and run `streamflow upgrade` yourself as the server's administrator."
{{- end }}
{{- if and .Values.upgrade.hook.enabled (not .Values.backups.persistence.enabled) (not .Values.backups.url) }}
- "upgrade.hook.enabled is true, but its backup would be lost with its pod: set backups.persistence.enabled=true or backups.url."
{{- end }}
{{- $sum := 0 }}{{ $parts := list -}}
{{- range $component, $count := fromYaml (include "streamflow.connections" .) -}}
{{-   $sum = add $sum $count }}{{ $parts = append $parts (printf "%s %v" $component $count) -}}
{{- end -}}
{{- $knob := ternary "postgresql.maxConnections" "externalDatabase.maxConnections" .Values.postgresql.enabled -}}
{{- $limit := int (ternary .Values.postgresql.maxConnections $external.maxConnections .Values.postgresql.enabled) -}}
{{- if and $limit (gt (mul $sum 100) (mul $limit 80)) }}
- "The pools can use {{ $sum }} connections ({{ join ", " $parts }}), more than 80 % of {{ $knob }}={{ $limit }}: raise {{ $knob }}, or lower predict.autoscaling.maxReplicas or settings.predict.poolSize."
{{- end }}
{{- end -}}

{{- define "streamflow.refuseSecrets" -}}
{{- if not .Values.database.existingSecret -}}
{{- if eq .Values.secrets.generate "never" }}
- "secrets.generate is never and database.existingSecret is empty: name a Secret in database.existingSecret, with a key ROLE-password for each database role."
{{- else if and (eq .Values.secrets.generate "auto") (not (include "streamflow.hasCluster" .)) }}
- "The chart is rendered without a cluster, so each render would generate new passwords: name a Secret in database.existingSecret (or set secrets.generate=always if you apply the result only once)."
{{- end }}
{{- end }}
{{- if not .Values.erasure.existingSecret -}}
{{- if eq .Values.secrets.generate "never" }}
- "secrets.generate is never and erasure.existingSecret is empty: name a Secret in erasure.existingSecret, with the key erasure-key."
{{- else if and (eq .Values.secrets.generate "auto") (not (include "streamflow.hasCluster" .)) }}
- "The chart is rendered without a cluster, so each render would generate a new key of the list of erasures: name a Secret in erasure.existingSecret."
{{- end }}
{{- end }}
{{- if and (include "streamflow.ownMlflow" .) .Values.mlflow.auth.enabled (not .Values.mlflow.auth.existingSecret) }}
{{- if eq .Values.secrets.generate "never" }}
- "secrets.generate is never and mlflow.auth.existingSecret is empty: name a Secret in mlflow.auth.existingSecret, with the keys {{ range fromYamlArray (include "streamflow.mlflowAccounts" .) }}{{ . }}-password {{ end }}."
{{- else if and (eq .Values.secrets.generate "auto") (not (include "streamflow.hasCluster" .)) }}
- "The chart is rendered without a cluster, so each render would generate new passwords of MLflow: name a Secret in mlflow.auth.existingSecret, or set mlflow.auth.enabled=false."
{{- end }}
{{- end }}
{{- if and (include "streamflow.ownPrefect" .) .Values.prefect.auth.enabled (not .Values.prefect.auth.existingSecret) }}
{{- if eq .Values.secrets.generate "never" }}
- "secrets.generate is never and prefect.auth.existingSecret is empty: name a Secret in prefect.auth.existingSecret, with `user:password` under auth-string."
{{- else if and (eq .Values.secrets.generate "auto") (not (include "streamflow.hasCluster" .)) }}
- "The chart is rendered without a cluster, so each render would generate a new login of Prefect: name a Secret in prefect.auth.existingSecret, or set prefect.auth.enabled=false."
{{- end }}
{{- end }}
{{- if and .Values.registrar.signing.enabled (not .Values.registrar.signing.existingSecret) }}
{{- if eq .Values.secrets.generate "never" }}
- "secrets.generate is never and registrar.signing.existingSecret is empty: name a Secret in registrar.signing.existingSecret, with a private Ed25519 key (PEM) under `signing-key`, or set registrar.signing.enabled=false."
{{- else if and (eq .Values.secrets.generate "auto") (not (include "streamflow.hasCluster" .)) }}
- "The chart is rendered without a cluster, so each render would generate a new key of the audit trail: name a Secret in registrar.signing.existingSecret, or set registrar.signing.enabled=false."
{{- end }}
{{- end }}
{{- end -}}
