{{- /* PGDATA is a folder below the volume: a volume's own root may hold lost+found, and belong to root. */ -}}
{{- define "streamflow.postgresqlEnv" -}}
PGDATA: /var/lib/postgresql/data/pgdata
POSTGRES_USER: postgres
POSTGRES_PASSWORD_FILE: /run/secrets/streamflow/password
POSTGRES_INITDB_ARGS: "--encoding=UTF8 --locale=C.UTF-8 --data-checksums"
{{- end -}}
