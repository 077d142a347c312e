{{- define "riskshare.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Names of pods are longer by 17 characters, and postgres.replica holds 48. */}}
{{- define "riskshare.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 30 | trimSuffix "-" -}}
{{- else if contains (include "riskshare.name" .) .Release.Name -}}
{{- .Release.Name | trunc 30 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "riskshare.name" .) | trunc 30 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "riskshare.selector" -}}
app.kubernetes.io/name: {{ include "riskshare.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "riskshare.labels" -}}
{{ include "riskshare.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "riskshare.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "riskshare.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "riskshare.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* Refuses what cannot work. */}}
{{- define "riskshare.check" -}}
{{- if not .Values.database.existingSecret -}}
{{- if gt (int .Values.replicaCount) 1 -}}
{{- fail "replicaCount: the embedded store is of one replica; several need database.existingSecret" -}}
{{- end -}}
{{- if .Values.autoscaling.enabled -}}
{{- fail "autoscaling.enabled: the embedded store is of one replica; several need database.existingSecret" -}}
{{- end -}}
{{- end -}}
{{- $mode := dig "auth" "mode" "none" .Values.config -}}
{{- if and (eq $mode "none") (not .Values.config.allow_unauthenticated_network) -}}
{{- fail "config.auth.mode: say how callers are known, or set config.allow_unauthenticated_network for trying out" -}}
{{- end -}}
{{- end -}}

{{/* The settings: those of the values, and those that the chart alone knows. */}}
{{- define "riskshare.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- $_ := set $config "listen" "0.0.0.0:50051" -}}
{{- $_ := set $config "health" (dict "listen" "0.0.0.0:50052") -}}
{{- if .Values.metrics.enabled -}}
{{- $_ := set $config "metrics" (dict "listen" (printf "0.0.0.0:%d" (int .Values.metrics.port))) -}}
{{- end -}}
{{- if .Values.database.existingSecret -}}
{{- $postgres := merge (dict "url_file" "/etc/riskshare/database/url") (default (dict) $config.postgres) -}}
{{- if .Values.database.caSecret -}}{{- $_ := set $postgres "ca" "/etc/riskshare/database-ca/ca.crt" -}}{{- end -}}
{{- $_ := set $config "postgres" $postgres -}}
{{- else -}}
{{- $_ := set $config "data_dir" "/var/lib/riskshare/data" -}}
{{- end -}}
{{- if .Values.tls.existingSecret -}}
{{- $tls := merge (dict "certificate" "/etc/riskshare/tls/tls.crt" "private_key" "/etc/riskshare/tls/tls.key") (default (dict) $config.tls) -}}
{{- if .Values.tls.clientCaSecret -}}{{- $_ := set $tls "client_ca" "/etc/riskshare/client-ca/ca.crt" -}}{{- end -}}
{{- $_ := set $config "tls" $tls -}}
{{- end -}}
{{- if .Values.auth.principalsSecret -}}
{{- $_ := set $config "auth" (merge (dict "principals_file" "/etc/riskshare/principals/principals.toml") (default (dict) $config.auth)) -}}
{{- end -}}
{{- /* Values are read as floating-point numbers; settings are whole ones. */ -}}
{{- regexReplaceAll "(?m)^(\\s*[a-z_]+ = -?[0-9]+)\\.0$" (toToml $config) "${1}" -}}
{{- end -}}

{{- define "riskshare.mounts" -}}
- {name: config, mountPath: /etc/riskshare/config, readOnly: true}
{{- if .Values.database.existingSecret }}
- {name: database, mountPath: /etc/riskshare/database, readOnly: true}
{{- if .Values.database.caSecret }}
- {name: database-ca, mountPath: /etc/riskshare/database-ca, readOnly: true}
{{- end }}
{{- else }}
- {name: data, mountPath: /var/lib/riskshare}
{{- end }}
{{- if .Values.tls.existingSecret }}
- {name: tls, mountPath: /etc/riskshare/tls, readOnly: true}
{{- if .Values.tls.clientCaSecret }}
- {name: client-ca, mountPath: /etc/riskshare/client-ca, readOnly: true}
{{- end }}
{{- end }}
{{- if .Values.auth.principalsSecret }}
- {name: principals, mountPath: /etc/riskshare/principals, readOnly: true}
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "riskshare.volumes" -}}
- {name: config, configMap: {name: {{ include "riskshare.fullname" . }}}}
{{- if .Values.database.existingSecret }}
- {name: database, secret: {secretName: {{ .Values.database.existingSecret }}, items: [{key: {{ .Values.database.urlKey }}, path: url}]}}
{{- if .Values.database.caSecret }}
- {name: database-ca, secret: {secretName: {{ .Values.database.caSecret }}}}
{{- end }}
{{- else if .Values.persistence.existingClaim }}
- {name: data, persistentVolumeClaim: {claimName: {{ .Values.persistence.existingClaim }}}}
{{- end }}
{{- if .Values.tls.existingSecret }}
- {name: tls, secret: {secretName: {{ .Values.tls.existingSecret }}}}
{{- if .Values.tls.clientCaSecret }}
- {name: client-ca, secret: {secretName: {{ .Values.tls.clientCaSecret }}}}
{{- end }}
{{- end }}
{{- if .Values.auth.principalsSecret }}
- {name: principals, secret: {secretName: {{ .Values.auth.principalsSecret }}}}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* What Deployment and StatefulSet have in common. */}}
{{- define "riskshare.pod" -}}
metadata:
  labels:
    {{- include "riskshare.selector" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    checksum/config: {{ include "riskshare.config" . | sha256sum }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "riskshare.serviceAccountName" . }}
  automountServiceAccountToken: false
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    {{- toYaml .Values.podSecurityContext | nindent 4 }}
  # Longer than calls and streams may take when the pod stops.
  terminationGracePeriodSeconds: {{ add (int .Values.config.drain_pause_seconds) (int .Values.config.drain_seconds) 15 }}
  containers:
    - name: riskshare
      image: {{ include "riskshare.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      command: [/riskshare]
      args: [serve, --config, /etc/riskshare/config/riskshare.toml]
      {{- if or .Values.extraEnv .Values.database.existingSecret }}
      env:
        {{- if .Values.database.existingSecret }}
        - {name: RISKSHARE_POSTGRES__REPLICA, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
        {{- end }}
        {{- with .Values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- end }}
      {{- with .Values.extraEnvFrom }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        - {name: grpc, containerPort: 50051}
        - {name: health, containerPort: 50052}
        {{- if .Values.metrics.enabled }}
        - {name: metrics, containerPort: {{ .Values.metrics.port }}}
        {{- end }}
      # It lives as long as it is there: a database that is away is no reason to begin anew.
      startupProbe:
        grpc: {port: 50052, service: live}
        periodSeconds: 5
        failureThreshold: {{ max 1 (div (int .Values.startSeconds) 5) }}
      livenessProbe:
        grpc: {port: 50052, service: live}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      # It is asked when all of its services can answer.
      readinessProbe:
        grpc: {port: 50052, service: ""}
        periodSeconds: 5
        timeoutSeconds: 3
        failureThreshold: 2
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      securityContext:
        {{- toYaml .Values.securityContext | nindent 8 }}
      volumeMounts:
        {{- include "riskshare.mounts" . | nindent 8 }}
  volumes:
    {{- include "riskshare.volumes" . | nindent 4 }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if .Values.database.existingSecret }}
  topologySpreadConstraints:
    {{- if .Values.topologySpreadConstraints }}
    {{- toYaml .Values.topologySpreadConstraints | nindent 4 }}
    {{- else }}
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "riskshare.selector" . | nindent 10 }}
    {{- end }}
  {{- end }}
{{- end -}}
