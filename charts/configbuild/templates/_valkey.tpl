{{/* The sidecar; manifests/valkey/sidecar.yaml has the reasons. */}}
{{- define "configbuild.valkey" -}}
- name: valkey
  image: {{ .Values.valkey.image }}
  imagePullPolicy: IfNotPresent
  restartPolicy: Always
  command: [sh, -euc]
  args:
    - |
      umask 077
      {
        printf 'requirepass "%s"\n' "$(cat /etc/valkey/password)"
        printf '%s\n' 'bind 127.0.0.1' 'port 6379' 'save ""' 'appendonly no' 'dir /run/valkey' \
          'maxmemory 256mb' 'maxmemory-policy volatile-lru'
      } > /run/valkey/valkey.conf
      exec valkey-server /run/valkey/valkey.conf
  startupProbe:
    exec:
      command:
        - sh
        - -c
        - REDISCLI_AUTH="$(cat /etc/valkey/password)" valkey-cli ping | grep -q PONG
    periodSeconds: 1
    timeoutSeconds: 5
    failureThreshold: 30
  livenessProbe:
    exec:
      command:
        - sh
        - -c
        - REDISCLI_AUTH="$(cat /etc/valkey/password)" valkey-cli ping | grep -q PONG
    periodSeconds: 30
    timeoutSeconds: 10
    failureThreshold: 4
  resources:
    requests:
      cpu: 50m
      memory: 64Mi
    # maxmemory is of data; buffers and fragments come on top.
    limits:
      memory: 384Mi
  securityContext:
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities:
      drop: [ALL]
  volumeMounts:
    - name: valkey-password
      mountPath: /etc/valkey
      readOnly: true
    - name: valkey-run
      mountPath: /run/valkey
{{- end -}}
