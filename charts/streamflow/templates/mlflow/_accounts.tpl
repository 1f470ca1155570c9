{{- /* "yes" if the chart installs MLflow; empty if mlflow.external.url names an existing one. */ -}}
{{- define "streamflow.ownMlflow" -}}
{{- if not .Values.mlflow.external.url }}yes{{ end -}}
{{- end -}}

{{- /* Passwords of MLflow's accounts: the administrator's, and one for each role. */ -}}
{{- define "streamflow.mlflowAccounts" -}}
{{- toYaml (prepend (include "streamflow.facts" . | fromYaml).mlflow.accounts "admin") -}}
{{- end -}}

{{- /* Name of the Secret with a password per account, `ROLE-password`; empty if MLflow asks for no login. */ -}}
{{- define "streamflow.mlflowSecret" -}}
{{- if not (include "streamflow.ownMlflow" .) -}}
{{- .Values.mlflow.external.existingSecret -}}
{{- else if .Values.mlflow.auth.enabled -}}
{{- .Values.mlflow.auth.existingSecret | default (include "streamflow.object" (dict "root" . "component" "mlflow")) -}}
{{- end -}}
{{- end -}}

{{- /*
Adds a login to a pod's context: that of the account with a role, or the single account of an existing MLflow.
Arguments: context (see _pod.tpl), account.
*/ -}}
{{- define "streamflow.withMlflowAccount" -}}
{{- $context := .context -}}
{{- $secret := include "streamflow.mlflowSecret" $context.root -}}
{{- if and .account $secret -}}
{{- $items := list (dict "key" (printf "%s-password" .account) "path" "password") -}}
{{- $env := dict "STREAMFLOW_MLFLOW__USERNAME" (printf "streamflow-%s" .account) -}}
{{- if not (include "streamflow.ownMlflow" $context.root) -}}
{{-   $items = list (dict "key" "password" "path" "password") -}}
{{-   $env = dict "STREAMFLOW_MLFLOW__USERNAME" $context.root.Values.mlflow.external.username -}}
{{- end -}}
{{- $_ := set $env "STREAMFLOW_MLFLOW__PASSWORD_FILE" "/run/secrets/mlflow/password" -}}
{{- $_ := set $context "env" (merge $env ($context.env | default dict)) -}}
{{- $_ := set $context "mounts" (merge (dict "mlflow" "/run/secrets/mlflow") ($context.mounts | default dict)) -}}
{{- $_ := set $context "volumes" (merge (dict "mlflow" (dict "secret" (dict "secretName" $secret "defaultMode" 0440 "items" $items))) ($context.volumes | default dict)) -}}
{{- $_ := set $context "readOnly" (append ($context.readOnly | default list) "mlflow") -}}
{{- end -}}
{{- end -}}

{{- /* Adds the passwords of all accounts to a pod's context, for a restore, which sets them. Arguments: context. */ -}}
{{- define "streamflow.withAllMlflowAccounts" -}}
{{- $context := .context -}}
{{- $secret := include "streamflow.mlflowSecret" $context.root -}}
{{- if and $secret (include "streamflow.ownMlflow" $context.root) -}}
{{- $folder := "/run/secrets/mlflow-accounts" -}}
{{- $_ := set $context "env" (merge (dict "STREAMFLOW_MLFLOW__ACCOUNTS_FOLDER" $folder) $context.env) -}}
{{- $_ := set $context "mounts" (merge (dict "accounts" $folder) $context.mounts) -}}
{{- $_ := set $context "volumes" (merge (dict "accounts" (dict "secret" (dict "secretName" $secret "defaultMode" 0440))) $context.volumes) -}}
{{- $_ := set $context "readOnly" (append $context.readOnly "accounts") -}}
{{- end -}}
{{- end -}}
