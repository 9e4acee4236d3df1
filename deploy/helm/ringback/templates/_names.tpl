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
{{ include "ringback.selector" . }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
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
