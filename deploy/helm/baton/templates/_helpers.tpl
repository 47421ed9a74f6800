{{- define "baton.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "baton.selector" -}}
app.kubernetes.io/name: baton
app.kubernetes.io/component: controller
{{- end }}

{{- define "baton.labels" -}}
{{ include "baton.selector" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{- /* How engines and sidecars are asked for metrics: as the values say, else as the settings of this release do. */}}
{{- define "baton.engineScheme" -}}
{{- $ingress := dict }}
{{- if .Values.settings.create }}
{{- $ingress = fromJson (.Values.settings.data.ingress | default "{}") }}
{{- end }}
{{- .Values.serviceMonitor.engineScheme | default (ternary "https" "http" (eq (toString $ingress.enableLLMInferenceServiceTLS) "true")) }}
{{- end }}
