{{- /*
"yes" when the text is a cron schedule that Kubernetes takes (robfig/cron v3: Sunday is 0 and nothing else, and a range
does not run backwards). Argument: the text.
*/ -}}
{{- define "streamflow.isCron" -}}
{{- $fields := regexSplit "\\s+" (trim .) -1 -}}
{{- if has . (list "@yearly" "@annually" "@monthly" "@weekly" "@daily" "@midnight" "@hourly") -}}
yes
{{- else if regexMatch "^@every ([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$" . -}}
yes
{{- else if eq (len $fields) 5 -}}
{{- $values := list "[0-5]?[0-9]" "([01]?[0-9]|2[0-3])" "(0?[1-9]|[12][0-9]|3[01])"
      "(0?[1-9]|1[0-2]|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)" "([0-6]|sun|mon|tue|wed|thu|fri|sat)" -}}
{{- $good := true -}}
{{- range $i, $field := $fields -}}
{{-   $value := index $values $i -}}
{{-   $item := printf "^(\\*|\\?|%s(-%s)?)(/0*[1-9][0-9]*)?$" $value $value -}}
{{-   range $one := splitList "," (lower $field) -}}
{{-     if not (regexMatch $item $one) -}}
{{-       $good = false -}}
{{-     else if contains "-" $one -}}
{{-       $ends := splitList "-" (regexReplaceAll "/.*" $one "") -}}
{{-       if gt (include "streamflow.cronNumber" (first $ends) | atoi) (include "streamflow.cronNumber" (last $ends) | atoi) -}}
{{-         $good = false -}}
{{-       end -}}
{{-     end -}}
{{-   end -}}
{{- end -}}
{{- if $good }}yes{{ end -}}
{{- end -}}
{{- end -}}

{{- /* The number that a name of a month or a day stands for, or the number itself. Argument: the text, in small letters. */ -}}
{{- define "streamflow.cronNumber" -}}
{{- $names := dict "jan" 1 "feb" 2 "mar" 3 "apr" 4 "may" 5 "jun" 6 "jul" 7 "aug" 8 "sep" 9 "oct" 10 "nov" 11 "dec" 12
      "sun" 0 "mon" 1 "tue" 2 "wed" 3 "thu" 4 "fri" 5 "sat" 6 -}}
{{- if hasKey $names . }}{{ get $names . }}{{ else }}{{ . }}{{ end -}}
{{- end -}}

{{- /* "yes" when the text looks like a name of the time zone database. Argument: the text. */ -}}
{{- define "streamflow.isTimeZone" -}}
{{- $areas := "Africa|America|Antarctica|Arctic|Asia|Atlantic|Australia|Brazil|Canada|Chile|Etc|Europe|Indian|Mexico|Pacific|US" -}}
{{- $alone := "UTC|UCT|GMT|GMT[+-]?0|Greenwich|Universal|Zulu|CET|EET|MET|WET|EST|MST|HST|EST5EDT|CST6CDT|MST7MDT|PST8PDT|Cuba|Egypt|Eire|GB|GB-Eire|Hongkong|Iceland|Iran|Israel|Jamaica|Japan|Kwajalein|Libya|NZ|NZ-CHAT|Navajo|PRC|Poland|Portugal|ROC|ROK|Singapore|Turkey|W-SU" -}}
{{- if regexMatch (printf "^(%s|(%s)(/[A-Za-z0-9_+-]+)+)$" $alone $areas) . }}yes{{ end -}}
{{- end -}}
