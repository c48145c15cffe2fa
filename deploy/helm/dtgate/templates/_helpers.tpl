{{- define "dtgate.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "dtgate.selector" -}}
app.kubernetes.io/name: dtgate
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "dtgate.labels" -}}
{{ include "dtgate.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "dtgate.image" -}}
{{- $tag := default .Chart.AppVersion .Values.image.tag }}
{{- if .Values.image.digest }}{{ .Values.image.repository }}@{{ .Values.image.digest }}{{ else }}{{ .Values.image.repository }}:{{ $tag }}{{ end }}
{{- end }}

{{- /* A name in a ConfigMap has no slash. */}}
{{- define "dtgate.key" -}}
{{ . | replace "/" "__" }}
{{- end }}

{{- /* The shipped policies, with those of the values added or in their place: path and text, as JSON. */}}
{{- define "dtgate.policies" -}}
{{- $files := dict }}
{{- range $path, $_ := .Files.Glob "files/policies/**" }}
{{- $name := trimPrefix "files/policies/" $path }}
{{- if not (or (hasSuffix ".md" $name) (hasPrefix "." $name)) }}
{{- $_ := set $files $name ($.Files.Get $path) }}
{{- end }}
{{- end }}
{{- range $name, $text := .Values.policies.files }}
{{- if kindIs "invalid" $text }}{{ $_ := unset $files $name }}{{ else }}{{ $_ := set $files $name $text }}{{ end }}
{{- end }}
{{- toJson $files }}
{{- end }}

{{- /* More keys of a section: what JSON is for a number, a text or a list is TOML, too. */}}
{{- define "dtgate.keys" -}}
{{- range $key, $value := index .root.Values.keys .section }}
{{ $key }} = {{ toJson $value }}
{{- end }}
{{- end }}
