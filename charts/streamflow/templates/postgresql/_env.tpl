{{- /* PGDATA is a subfolder: a volume's root may contain lost+found and belong to root, which initdb refuses. */ -}}
{{- define "streamflow.postgresqlEnv" -}}
PGDATA: /var/lib/postgresql/data/pgdata
POSTGRES_USER: postgres
POSTGRES_PASSWORD_FILE: /run/secrets/streamflow/password
POSTGRES_INITDB_ARGS: "--encoding=UTF8 --locale=C.UTF-8 --data-checksums"
{{- end -}}
