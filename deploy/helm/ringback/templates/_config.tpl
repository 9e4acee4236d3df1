{{/* What the chart must know of the map `config`, which is rendered as it is. */}}

{{/* Makes whole numbers of a map whole again, in place: Helm reads every number of the values as a fraction. */}}
{{- define "ringback.wholeNumbers" -}}
{{- $map := . -}}
{{- range $key, $value := $map -}}
{{- if kindIs "map" $value -}}
{{- include "ringback.wholeNumbers" $value -}}
{{- else if kindIs "slice" $value -}}
{{- $items := list -}}
{{- range $value -}}
{{- $item := dict "item" . -}}
{{- include "ringback.wholeNumbers" $item -}}
{{- $items = append $items $item.item -}}
{{- end -}}
{{- $_ := set $map $key $items -}}
{{- else if kindIs "float64" $value -}}
{{- if or (ge $value 9007199254740992.0) (le $value -9007199254740992.0) -}}
{{- fail (printf "config: %s = %.0f is beyond 2^53, where Helm rounds numbers; write it as a text, such as \"8GiB\"" $key $value) -}}
{{- end -}}
{{- if eq $value (floor $value) -}}{{- $_ := set $map $key (int64 $value) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Without the indentation of `toToml`, in whose output no text spans lines. YAML's line breaks that are none in TOML are escaped. */}}
{{- define "ringback.toml" -}}
{{- $config := deepCopy .Values.config -}}
{{- include "ringback.wholeNumbers" $config -}}
{{- $toml := regexReplaceAll "(?m)^ +" (toToml $config) "" | trim -}}
{{- $toml = $toml | replace "\u0085" "\\u0085" | replace "\u2028" "\\u2028" | replace "\u2029" "\\u2029" -}}
{{- range regexFindAll "/etc/ringback-secrets/[^/\"]+" $toml -1 -}}
{{- $name := base . -}}
{{- if not (hasKey $.Values.secrets $name) -}}
{{- fail (printf "config names a file in %s, but secrets.%s is not set, so nothing is mounted there" . $name) -}}
{{- end -}}
{{- end -}}
{{ $toml }}
{{- end }}

{{/* Kept on disk? "true" or nothing. */}}
{{- define "ringback.hasJournal" -}}
{{- if eq (default "disk" .Values.config.ack) "kafka" -}}
{{- if .Values.config.journal -}}
{{- fail "config.ack is \"kafka\", which keeps nothing on disk: remove config.journal" -}}
{{- end -}}
{{- else -}}
true
{{- end -}}
{{- end }}

{{/* Does the webhook port speak TLS? "true" or nothing. */}}
{{- define "ringback.hasTls" -}}
{{- if (default dict .Values.config.listen).tls -}}true{{- end -}}
{{- end }}

{{- define "ringback.kind" -}}
{{ ternary "StatefulSet" "Deployment" (eq (include "ringback.hasJournal" .) "true") }}
{{- end }}

{{- define "ringback.journalPath" -}}
{{ (default dict .Values.config.journal).path | default "/var/lib/ringback" }}
{{- end }}

{{- define "ringback.webhookPort" -}}
{{ (default dict .Values.config.listen).address | default "0.0.0.0:8080" | regexFind "[0-9]+$" }}
{{- end }}

{{- define "ringback.adminPort" -}}
{{ (default dict .Values.config.admin).address | default "0.0.0.0:9464" | regexFind "[0-9]+$" }}
{{- end }}

{{/* The paths of all sources, as a JSON list. */}}
{{- define "ringback.paths" -}}
{{- $paths := list -}}
{{- range .Values.config.source -}}
{{- $paths = concat $paths (ternary (list .path) .path (kindIs "string" .path)) -}}
{{- end -}}
{{ toJson $paths }}
{{- end }}

{{/* The brokers' ports, as a JSON list. */}}
{{- define "ringback.kafkaPorts" -}}
{{- $ports := list -}}
{{- range splitList "," (dig "kafka" "client" "bootstrap.servers" "" .Values.config) -}}
{{- $ports = append $ports (regexFind "[0-9]+$" (trim .) | default "9092" | int) -}}
{{- end -}}
{{ toJson (default (uniq $ports) .Values.networkPolicy.kafkaPorts) }}
{{- end }}

{{/* A duration such as "1m 30s" in whole seconds, rounded up. */}}
{{- define "ringback.seconds" -}}
{{- $sum := 0.0 -}}
{{- range regexFindAll "[0-9]+\\s*[a-zA-Zµ]+" . -1 -}}
{{- $number := regexFind "^[0-9]+" . | float64 -}}
{{- $unit := regexFind "[a-zA-Zµ]+$" . -}}
{{- $seconds := 0.0 -}}
{{- if regexMatch "^(h|hr|hrs|hour|hours)$" $unit -}}{{- $seconds = 3600.0 -}}
{{- else if regexMatch "^(m|min|mins|minute|minutes)$" $unit -}}{{- $seconds = 60.0 -}}
{{- else if regexMatch "^(s|sec|secs|second|seconds)$" $unit -}}{{- $seconds = 1.0 -}}
{{- else if regexMatch "^(ms|msec|millis)$" $unit -}}{{- $seconds = 0.001 -}}
{{- else if regexMatch "^(us|usec|µs|ns|nsec|nanos)$" $unit -}}{{- $seconds = 0.000001 -}}
{{- else -}}{{- fail (printf "config.shutdown: cannot read %q; write a duration in hours, minutes and seconds, such as \"1m 30s\"" .) -}}
{{- end -}}
{{- $sum = addf $sum (mulf $number $seconds) -}}
{{- end -}}
{{ ceil $sum | int }}
{{- end }}

{{/* Both times of `[shutdown]`, and 15 s for the last requests and the final checkpoint. */}}
{{- define "ringback.gracePeriod" -}}
{{- $shutdown := default dict .Values.config.shutdown -}}
{{- $delay := include "ringback.seconds" ($shutdown.readiness_delay | default "5s") | int -}}
{{- $drain := include "ringback.seconds" ($shutdown.drain_deadline | default "20s") | int -}}
{{- $derived := add $delay $drain 15 | int -}}
{{- $given := .Values.terminationGracePeriodSeconds -}}
{{- if and (not (kindIs "invalid" $given)) (lt (int $given) $derived) -}}
{{- fail (printf "terminationGracePeriodSeconds is %d, but config.shutdown needs %d s: Kubernetes would kill ringback while it publishes" (int $given) $derived) -}}
{{- end -}}
{{ default $derived $given }}
{{- end }}
