{{/* Those of the kustomize manifests, which select and are selected by; the rest is Helm's own. */}}
{{- define "configbuild.labels" -}}
app.kubernetes.io/name: configbuild
app.kubernetes.io/component: operator
{{ include "configbuild.partLabels" . }}
{{- end -}}

{{/* Of what is not the operator's own: roles for people, volumes of workspaces. */}}
{{- define "configbuild.partLabels" -}}
app.kubernetes.io/part-of: configbuild
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "configbuild.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A value of a setting as text. YAML's numbers are floats, and %v writes large ones as 1e+09. */}}
{{- define "configbuild.text" -}}
{{- if and (kindIs "float64" .) (eq . (floor .)) -}}
{{ printf "%.0f" . }}
{{- else -}}
{{ toString . }}
{{- end -}}
{{- end -}}

{{/* What the operator may do, in its namespace or everywhere. manifests/base/role.yaml has the reasons. */}}
{{- define "configbuild.rules" -}}
- apiGroups: [ade.dev]
  resources: [configbuilds]
  verbs: [get, list, watch]
- apiGroups: [ade.dev]
  resources: [configbuilds/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [pods]
  verbs: [list]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, create, patch, delete]
{{- if .Values.rbac.secrets }}
- apiGroups: [""]
  resources: [secrets]
  verbs: [get]
{{- end }}
- apiGroups: [""]
  resources: [events]
  verbs: [create]
{{- end -}}

{{/* What values.schema.json cannot say: values that do not fit together. */}}
{{- define "configbuild.check" -}}
{{- with .Values.workspaces -}}
{{- if and .names (not $.Values.clusterWide) -}}
{{- fail "workspaces.names: for jobs of other namespaces, the operator has to serve them: set clusterWide to true" -}}
{{- end -}}
{{- if and .names (not (and .nfs.server .nfs.path)) -}}
{{- fail "workspaces.names: set workspaces.nfs.server and workspaces.nfs.path, the share that has their venvs" -}}
{{- end -}}
{{- if and .names $.Values.persistence.existingClaim -}}
{{- fail "workspaces.names: the operator's own claim is made then: leave persistence.existingClaim empty" -}}
{{- end -}}
{{- end -}}
{{- if .Values.valkey.enabled -}}
{{- range $name := list "ADE_LOG_STORE" "ADE_VALKEY_URL" "ADE_VALKEY_PASSWORD_FILE" -}}
{{- if hasKey $.Values.settings $name -}}
{{- fail (printf "settings.%s: valkey.enabled sets it" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if .Values.certManager.enabled -}}
{{- range $name := list "ADE_TLS_CERT_FILE" "ADE_TLS_KEY_FILE" -}}
{{- if hasKey $.Values.settings $name -}}
{{- fail (printf "settings.%s: certManager.enabled sets it" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
