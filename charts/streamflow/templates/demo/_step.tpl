{{- /* A step of the demo's chain: the container of a job, with that job's role. Arguments: context, role. */ -}}
{{- define "streamflow.demoStep" -}}
{{- $env := dict
      "STREAMFLOW_DATABASE__USER" (include "streamflow.databaseRole" (dict "root" .context.root "role" .role))
      "STREAMFLOW_DATABASE__PASSWORD_FILE" "/run/secrets/streamflow/password" -}}
{{- $mounts := dict .role "/run/secrets/streamflow" -}}
{{- include "streamflow.container" (merge (dict "env" $env "mounts" $mounts "readOnly" (list .role)) .context) -}}
{{- end -}}
