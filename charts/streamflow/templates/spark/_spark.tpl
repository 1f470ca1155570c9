{{- /* Jobs that use Spark, if engine is spark: a list of names. */ -}}
{{- define "streamflow.sparkJobs" -}}
{{- $names := list -}}
{{- if eq .Values.engine "spark" -}}
{{-   $jobs := include "streamflow.jobs" . | fromYaml -}}
{{-   range list "materialize" "score" "train" }}{{ if hasKey $jobs . }}{{ $names = append $names . }}{{ end }}{{ end -}}
{{- end -}}
{{- toYaml $names -}}
{{- end -}}

{{- /* Those of them that start executors: the drivers. */ -}}
{{- define "streamflow.drivers" -}}
{{- toYaml (ternary (include "streamflow.sparkJobs" . | fromYamlArray) list (hasPrefix "k8s://" .Values.settings.spark.master)) -}}
{{- end -}}

{{- /* Port on which a driver talks to its executors, and that of blocks, which drivers and executors have. */ -}}
{{- define "streamflow.sparkPorts" -}}
{{- toYaml (dict "driver" 7078 "blocks" 7079) -}}
{{- end -}}

{{- /*
Spark's properties of a driver, as JSON. Spark replaces ${env:NAME} by a variable of the pod. Executors of Spark 4.3 connect to the
address that their driver binds to, so 0.0.0.0 would be themselves.
*/ -}}
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
      "spark.driver.bindAddress" "${env:SPARK_LOCAL_HOSTNAME}"
      "spark.driver.host" "${env:SPARK_LOCAL_HOSTNAME}"
      "spark.driver.port" (toString $ports.driver)
      "spark.blockManager.port" (toString $ports.blocks) -}}
{{- merge $own .Values.spark.conf | toJson -}}
{{- end -}}

{{- /*
Gives a job that uses Spark its image and resources; a driver also gets a token, its address, and the pod that its executors are made
from. Changes the pod's context and the job. Arguments: context (see _pod.tpl), name, job.
*/ -}}
{{- define "streamflow.withSpark" -}}
{{- $root := .context.root -}}
{{- if has .name (include "streamflow.sparkJobs" $root | fromYamlArray) -}}
{{-   $_ := set .context "image" "spark" -}}
{{-   $_ := set .context.env "STREAMFLOW_BUILD__IMAGE" (include "streamflow.image" (dict "root" $root "image" "spark")) -}}
{{-   $_ := set .context.env "STREAMFLOW_SPARK__CONF" (toJson $root.Values.spark.conf) -}}
{{-   $_ := set .job "resources" $root.Values.spark.driverResources -}}
{{- end -}}
{{- if has .name (include "streamflow.drivers" $root | fromYamlArray) -}}
{{-   $_ := set .context.env "STREAMFLOW_SPARK__CONF" (include "streamflow.sparkConf" $root) -}}
{{-   $address := dict "name" "SPARK_LOCAL_HOSTNAME" "valueFrom" (dict "fieldRef" (dict "fieldPath" "status.podIP")) -}}
{{-   $_ := set .job "extraEnv" (append (.job.extraEnv | default $root.Values.pods.extraEnv) $address) -}}
{{-   $_ := include "streamflow.withKubernetesToken" (dict "context" .context) -}}
{{-   $name := include "streamflow.object" (dict "root" $root "component" "executor") -}}
{{-   $_ := set .context.volumes "executor" (dict "configMap" (dict "name" $name)) -}}
{{-   $_ := set .context.mounts "executor" "/etc/spark" -}}
{{-   $_ := set .context "readOnly" (append .context.readOnly "executor") -}}
{{- end -}}
{{- end -}}
