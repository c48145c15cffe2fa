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

{{- /* Seconds of a time such as "1m 30s", rounded up. */}}
{{- define "dtgate.seconds" -}}
{{- $thousandths := 0 }}
{{- range regexFindAll "[0-9]+(ms|s|m|h)" . -1 }}
{{- $unit := regexFind "[a-z]+" . }}
{{- $thousandths = regexFind "[0-9]+" . | int64 | mul (get (dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000) $unit) | add $thousandths }}
{{- end }}
{{- div (add $thousandths 999) 1000 }}
{{- end }}

{{- /* The drain of requests, that of the journal, and what comes before both. */}}
{{- define "dtgate.grace" -}}
{{- $drain := include "dtgate.seconds" .Values.drainTimeout | int64 }}
{{- $needed := add (mul 2 $drain) .Values.preStopSeconds }}
{{- $given := int64 .Values.terminationGracePeriodSeconds }}
{{- if not $given }}{{ add $needed 15 }}
{{- else if gt $given $needed }}{{ $given }}
{{- else }}{{ fail (printf "terminationGracePeriodSeconds: %d would end the gate while it drains. More than %d: twice drainTimeout (%s), and preStopSeconds (%d). With 0 it is computed" $given $needed .Values.drainTimeout (int64 .Values.preStopSeconds)) }}
{{- end }}
{{- end }}

{{- /* A rule of a NetworkPolicy. One without peers would be for everywhere: without peers there is no rule. */}}
{{- define "dtgate.dns" -}}
{{- with .Values.networkPolicy.dns }}
{{- if or .namespaces .ipBlocks }}
- to:
    {{- range .namespaces }}
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: {{ . }}
    {{- end }}
    {{- range .ipBlocks }}
    - ipBlock: {cidr: {{ . | quote }}}
    {{- end }}
  ports:
    {{- range .ports }}
    - {port: {{ . }}, protocol: UDP}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- /* The port of the proxy, or of Dynatrace, is one that the gate may reach. */}}
{{- define "dtgate.reachable" -}}
{{- $url := get .Values.keys.upstream "proxy" | default .Values.upstream.url }}
{{- if and $url (not .Values.networkPolicy.extraEgress) }}
{{- $parsed := urlParse $url }}
{{- $port := regexFind ":[0-9]+$" $parsed.host | trimPrefix ":" | default (ternary "80" "443" (eq $parsed.scheme "http")) }}
{{- $known := list }}
{{- range .Values.networkPolicy.upstreamPorts }}{{ $known = append $known (toString .) }}{{ end }}
{{- if not (has $port $known) }}
{{- fail (printf "networkPolicy.upstreamPorts: without %s the gate does not reach %s" $port $url) }}
{{- end }}
{{- end }}
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

{{- /* How the admin listener is asked. */}}
{{- define "dtgate.scheme" -}}
{{- if .Values.admin.tls.secretName }}HTTPS{{ else }}{{ .Values.probes.scheme }}{{ end }}
{{- end }}

{{- /* What the console needs is there. */}}
{{- define "dtgate.console" -}}
{{- $logins := kindIs "slice" .Values.console.login | ternary .Values.console.login (list .Values.console.login) }}
{{- if not (or .Values.admin.tls.secretName (contains "[admin.tls" .Values.config)) }}
{{- fail "admin.tls.secretName: without TLS passwords and sessions of the console would cross the network readable" }}
{{- end }}
{{- if and (has "password" $logins) (not .Values.console.secretName) }}
{{- fail "console.secretName: a Secret whose key `users` has the lines of those who may log in, as `dtgate new console-user` makes them" }}
{{- end }}
{{- if and (has "certificate" $logins) (not (or .Values.admin.tls.clientsCa (contains "[admin.tls.clients]" .Values.config))) }}
{{- fail "admin.tls.clientsCa: who may issue the certificates of those who look on" }}
{{- end }}
{{- if and (has "oidc" $logins) (not .Values.console.publicUrl) }}
{{- fail "console.publicUrl: an issuer leads people back to it" }}
{{- end }}
{{- range $login, $section := dict "certificate" "[console.certificates]" "oidc" "[console.oidc]" }}
{{- if and (has $login $logins) (not (contains $section $.Values.config)) }}
{{- fail (printf "config: console.login has %s, so that a section %s is needed there" $login $section) }}
{{- end }}
{{- end }}
[console]
login = {{ toJson .Values.console.login }}
{{- if has "password" $logins }}
passwords = "/etc/dtgate/console/users"
{{- end }}
{{- with .Values.console.publicUrl }}
public_url = {{ . | quote }}
{{- end }}
{{- range $key, $value := .Values.console.keys }}
{{ $key }} = {{ toJson $value }}
{{- end }}
{{- end }}
