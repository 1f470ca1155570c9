# Sourced: lets uv use what pip is configured with, since uv reads neither pip.conf nor PIP_*.
# Nothing is printed: an address may hold a password.

configured=$("$VENV/bin/python" -m pip config list 2>/dev/null) || configured=

# as_pip UV_VARIABLE pip-option separator: exports pip's value, the environment's first, unless uv has one already.
as_pip() {
    [ -z "$(printenv "$1")" ] || return 0
    for scope in :env: install global; do
        value=$(printf '%s\n' "$configured" | sed -n "s/^$scope\.$2='\(.*\)'\$/\1/p" | sed 's/\\n/ /g; s/^ *//; s/ *$//')
        if [ -n "$value" ]; then
            export "$1=$(printf '%s' "$value" | tr -s ' ' "$3")"
            return 0
        fi
    done
}

as_pip UV_DEFAULT_INDEX index-url ' '
as_pip UV_INDEX extra-index-url ' '
as_pip UV_FIND_LINKS find-links ','
as_pip UV_INSECURE_HOST trusted-host ' '
as_pip SSL_CERT_FILE cert ' '
