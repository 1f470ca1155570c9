{{- /* PGDATA is a subfolder: a volume's root may contain lost+found and belong to root, which initdb refuses. */ -}}
{{- define "streamflow.postgresqlEnv" -}}
PGDATA: /var/lib/postgresql/data/pgdata
POSTGRES_USER: postgres
POSTGRES_PASSWORD_FILE: /run/secrets/streamflow/password
POSTGRES_INITDB_ARGS: "--encoding=UTF8 --locale=C.UTF-8 --data-checksums"
{{- end -}}

{{- /* Parameters for TLS; access.yaml says who may log in. */ -}}
{{- define "streamflow.postgresqlTls" -}}
ssl: "on"
ssl_cert_file: /run/secrets/tls/tls.crt
ssl_key_file: /run/secrets/tls/tls.key
hba_file: /etc/postgresql/pg_hba.conf
{{- end -}}

{{- /* Probe that also makes the server load a renewed certificate, which it does not do by itself. Argument: the question. */ -}}
{{- define "streamflow.postgresqlProbe" -}}
{{ . }} && { cd /var/run/postgresql && [ /run/secrets/tls/tls.crt -ot tls-loaded ] || { touch tls-loading &&
psql --host=/var/run/postgresql --username=postgres --quiet --tuples-only --command="SELECT pg_reload_conf()" &&
mv tls-loading tls-loaded; }; }
{{- end -}}
