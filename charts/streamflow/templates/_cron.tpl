{{- /* "yes" when the text is a cron schedule that Kubernetes takes. Argument: the text. */ -}}
{{- define "streamflow.isCron" -}}
{{- $fields := splitList " " (trim .) | compact -}}
{{- if has . (list "@yearly" "@annually" "@monthly" "@weekly" "@daily" "@midnight" "@hourly") -}}
yes
{{- else if eq (len $fields) 5 -}}
{{- $names := list "[0-5]?[0-9]" "([01]?[0-9]|2[0-3])" "(0?[1-9]|[12][0-9]|3[01])"
      "(0?[1-9]|1[0-2]|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)" "([0-7]|sun|mon|tue|wed|thu|fri|sat)" -}}
{{- $good := true -}}
{{- range $i, $field := splitList " " (trim .) -}}
{{-   $value := index $names $i -}}
{{-   $item := printf "(\\*|\\?|%s(-%s)?)(/[1-9][0-9]?)?" $value $value -}}
{{-   if not (regexMatch (printf "^(?i:%s(,%s)*)$" $item $item) $field) }}{{ $good = false }}{{ end -}}
{{- end -}}
{{- if $good }}yes{{ end -}}
{{- end -}}
{{- end -}}
