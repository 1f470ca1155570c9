{{- /* Jobs whose pods are drivers of Spark, if engine is spark: a list of names. */ -}}
{{- define "streamflow.drivers" -}}
{{- $names := list -}}
{{- if eq .Values.engine "spark" -}}
{{-   $jobs := include "streamflow.jobs" . | fromYaml -}}
{{-   range list "materialize" "score" "train" }}{{ if hasKey $jobs . }}{{ $names = append $names . }}{{ end }}{{ end -}}
{{- end -}}
{{- toYaml $names -}}
{{- end -}}

{{- /* Adds the lake to the volumes of a job that opens it. Arguments: root, name, job. */ -}}
{{- define "streamflow.withLake" -}}
{{- $access := dict "ingest" "write" "erase" "write" "retention" "write" "materialize" "read" "score" "read" "train" "read" -}}
{{- if and (eq .root.Values.engine "spark") (hasKey $access .name) -}}
{{-   $_ := set .job "volumes" (merge (dict "lake" (get $access .name)) (.job.volumes | default dict)) -}}
{{- end -}}
{{- end -}}

{{- /* Port on which a driver talks to its executors, and that of blocks, which drivers and executors have. */ -}}
{{- define "streamflow.sparkPorts" -}}
{{- toYaml (dict "driver" 7078 "blocks" 7079) -}}
{{- end -}}

{{- /* Spark's properties of a driver, as JSON. Spark replaces ${env:NAME} by a variable of the pod. */ -}}
{{- define "streamflow.sparkConf" -}}
{{- $ports := include "streamflow.sparkPorts" . | fromYaml -}}
{{- $executors := .Values.spark.executors -}}
{{- $own := dict
      "spark.kubernetes.namespace" .Release.Namespace
      "spark.kubernetes.container.image" (include "streamflow.image" (dict "root" . "image" "spark"))
      "spark.kubernetes.container.image.pullPolicy" .Values.images.spark.pullPolicy
      "spark.kubernetes.driver.pod.name" "${env:HOSTNAME}"
      "spark.kubernetes.driver.service.deleteOnTermination" "false"
      "spark.kubernetes.driver.ownPersistentVolumeClaim" "false"
      "spark.kubernetes.executor.disableConfigMap" "true"
      "spark.kubernetes.executor.podTemplateFile" "/etc/spark/executor.yaml"
      "spark.kubernetes.executor.podTemplateContainerName" "executor"
      "spark.kubernetes.executor.request.cores" (toString $executors.cpu)
      "spark.executor.instances" (toString $executors.count)
      "spark.executor.cores" (toString $executors.cores)
      "spark.executor.memory" $executors.heap
      "spark.executor.memoryOverhead" $executors.overhead
      "spark.driver.bindAddress" "0.0.0.0"
      "spark.driver.host" "${env:SPARK_LOCAL_HOSTNAME}"
      "spark.driver.port" (toString $ports.driver)
      "spark.blockManager.port" (toString $ports.blocks) -}}
{{- merge $own .Values.spark.conf | toJson -}}
{{- end -}}

{{- /*
Makes a job's pod a driver: its image, token and variables, and the pod that its executors are made from. Changes the pod's context
and the job's `extraEnv`. Arguments: context (see _pod.tpl), job.
*/ -}}
{{- define "streamflow.withSpark" -}}
{{- $root := .context.root -}}
{{- $_ := set .context "image" "spark" -}}
{{- $_ := set .context.env "STREAMFLOW_SPARK__MASTER" "k8s://https://kubernetes.default.svc" -}}
{{- $_ := set .context.env "STREAMFLOW_SPARK__DRIVER_MEMORY" $root.Values.spark.driver.heap -}}
{{- $_ := set .context.env "STREAMFLOW_SPARK__CONF" (include "streamflow.sparkConf" $root) -}}
{{- $_ := set .context.env "STREAMFLOW_BUILD__IMAGE" (include "streamflow.image" (dict "root" $root "image" "spark")) -}}
{{- $address := dict "name" "SPARK_LOCAL_HOSTNAME" "valueFrom" (dict "fieldRef" (dict "fieldPath" "status.podIP")) -}}
{{- $_ := set .job "extraEnv" (append (.job.extraEnv | default $root.Values.pods.extraEnv) $address) -}}
{{- $_ := set .job "resources" $root.Values.spark.driver.resources -}}
{{- $_ := include "streamflow.withKubernetesToken" (dict "context" .context) -}}
{{- $name := include "streamflow.object" (dict "root" $root "component" "executor") -}}
{{- $_ := set .context.volumes "executor" (dict "configMap" (dict "name" $name)) -}}
{{- $_ := set .context.mounts "executor" "/etc/spark" -}}
{{- $_ := set .context "readOnly" (append .context.readOnly "executor") -}}
{{- end -}}
