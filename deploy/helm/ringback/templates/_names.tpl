{{- define "ringback.name" -}}
{{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* At most 52 characters: a StatefulSet's name, a hyphen and a number must fit into a label beside it. */}}
{{- define "ringback.fullname" -}}
{{- $name := include "ringback.name" . -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains $name .Release.Name -}}
{{ .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" }}
{{- end -}}
{{- end }}

{{- define "ringback.selector" -}}
app.kubernetes.io/name: {{ include "ringback.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* The replicas, but neither a drain Job's pod nor the test's. */}}
{{- define "ringback.relaySelector" -}}
{{ include "ringback.selector" . }}
app.kubernetes.io/component: relay
{{- end }}

{{- define "ringback.labels" -}}
{{ include "ringback.podLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_") }}
{{- end }}

{{/* Without versions: another version of the chart alone must not restart pods. */}}
{{- define "ringback.podLabels" -}}
{{- $own := include "ringback.selector" . -}}
{{ $own }}
{{- with .Values.commonLabels }}
{{- $others := list "app.kubernetes.io/component" "app.kubernetes.io/version" "app.kubernetes.io/managed-by" "helm.sh/chart" }}
{{ include "ringback.moreLabels" (dict "name" "commonLabels" "labels" . "beside" (printf "%s\n%s:" $own (join ":\n" $others))) }}
{{- end }}
{{- end }}

{{/* Labels from the values. A key that stands twice would win over the one that selectors look for. Arguments: the values' name,
the labels, and those beside which they stand. */}}
{{- define "ringback.moreLabels" -}}
{{- $beside := fromYaml .beside -}}
{{- range $key := keys (default dict .labels) | sortAlpha -}}
{{- if hasKey $beside $key -}}
{{- fail (printf "%s has %s, which the chart or commonLabels sets already: remove it" $.name $key) -}}
{{- end -}}
{{- end -}}
{{- with .labels }}{{ toYaml . }}{{ end -}}
{{- end }}

{{/* Labels of monitors and rules. */}}
{{- define "ringback.monitoringLabels" -}}
{{- $labels := include "ringback.labels" . -}}
{{ $labels }}
{{- with .Values.monitoring.labels }}
{{ include "ringback.moreLabels" (dict "name" "monitoring.labels" "labels" . "beside" $labels) }}
{{- end }}
{{- end }}

{{- define "ringback.serviceAccount" -}}
{{- $own := ternary (include "ringback.fullname" .) "default" .Values.serviceAccount.create -}}
{{ default $own .Values.serviceAccount.name }}
{{- end }}

{{- define "ringback.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ default $.Chart.AppVersion .tag }}
{{- end -}}
{{- end -}}
{{- end }}

{{/* The Secret of an entry of `secrets`. Arguments: root, name. */}}
{{- define "ringback.secret" -}}
{{- $own := printf "%s-%s" (include "ringback.fullname" .root) .name -}}
{{ default $own (index .root.Values.secrets .name | default dict).existingSecret }}
{{- end }}
