{{/* Parts that the relay's pod shares with those of the drain Jobs and of the test. */}}

{{- define "ringback.podSecurityContext" -}}
runAsNonRoot: true
{{- with .Values.runAsUser }}
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
# Without this, every start would visit each file of the volume.
fsGroupChangePolicy: OnRootMismatch
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "ringback.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: ["ALL"]
{{- end }}

{{- define "ringback.podIdentity" -}}
serviceAccountName: {{ include "ringback.serviceAccount" . }}
automountServiceAccountToken: false
# Variables with the addresses of other Services have no use here.
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- include "ringback.podSecurityContext" . | nindent 2 }}
{{- end }}

{{- define "ringback.placement" -}}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{/* Image, variables, resources and security of a container that runs ringback. */}}
{{- define "ringback.container" -}}
image: {{ include "ringback.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- with .Values.extraEnv }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
resources:
  {{- toYaml .Values.resources | nindent 2 }}
securityContext:
  {{- include "ringback.containerSecurityContext" . | nindent 2 }}
{{- end }}

{{/* Configuration and secrets. As folders: Kubernetes never updates a file that is mounted by `subPath`. */}}
{{- define "ringback.mounts" -}}
- name: config
  mountPath: /etc/ringback
  readOnly: true
{{- range $name := keys .Values.secrets | sortAlpha }}
- name: secret-{{ $name }}
  mountPath: /etc/ringback-secrets/{{ $name }}
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "ringback.volumes" -}}
- name: config
  configMap:
    name: {{ include "ringback.fullname" . }}
{{- range $name := keys .Values.secrets | sortAlpha }}
- name: secret-{{ $name }}
  secret:
    secretName: {{ include "ringback.secret" (dict "root" $ "name" $name) }}
    defaultMode: 0440
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The relay's pod: labels, annotations and all. */}}
{{- define "ringback.podTemplate" -}}
metadata:
  labels:
    {{- $labels := printf "%s\napp.kubernetes.io/component: relay" (include "ringback.podLabels" .) }}
    {{- $labels | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- include "ringback.moreLabels" (dict "name" "podLabels" "labels" . "beside" $labels) | nindent 4 }}
    {{- end }}
  annotations:
    # A changed configuration restarts the pods. Changed secrets do not: ringback reads them again.
    checksum/config: {{ include "ringback.toml" . | sha256sum }}
    kubectl.kubernetes.io/default-container: ringback
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- include "ringback.podIdentity" . | nindent 2 }}
  {{- with include "ringback.placement" . }}
  {{- . | nindent 2 }}
  {{- end }}
  terminationGracePeriodSeconds: {{ include "ringback.gracePeriod" . }}
  {{- with .Values.topologySpread }}
  topologySpreadConstraints:
    {{- range . }}
    - {{ toYaml . | nindent 6 | trim }}
      labelSelector:
        matchLabels:
          {{- include "ringback.relaySelector" $ | nindent 10 }}
    {{- end }}
  {{- end }}
  {{- if .Values.doctor.enabled }}
  initContainers:
    - name: doctor
      {{- include "ringback.container" . | nindent 6 }}
      args: ["doctor", "--config", "/etc/ringback/ringback.toml"]
      volumeMounts:
        {{- if include "ringback.hasJournal" . }}
        - name: journal
          mountPath: {{ include "ringback.journalPath" . }}
        {{- end }}
        {{- include "ringback.mounts" . | nindent 8 }}
  {{- end }}
  containers:
    - name: ringback
      {{- include "ringback.container" . | nindent 6 }}
      args: ["serve", "--config", "/etc/ringback/ringback.toml"]
      ports:
        - name: http
          containerPort: {{ include "ringback.webhookPort" . }}
        - name: admin
          containerPort: {{ include "ringback.adminPort" . }}
      readinessProbe:
        httpGet:
          path: /readyz
          port: admin
        {{- toYaml .Values.probes.readiness | nindent 8 }}
      livenessProbe:
        httpGet:
          path: /livez
          port: admin
        {{- toYaml .Values.probes.liveness | nindent 8 }}
      volumeMounts:
        {{- if include "ringback.hasJournal" . }}
        - name: journal
          mountPath: {{ include "ringback.journalPath" . }}
        {{- end }}
        {{- include "ringback.mounts" . | nindent 8 }}
  volumes:
    {{- include "ringback.volumes" . | nindent 4 }}
{{- end }}
