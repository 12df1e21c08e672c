//! What becomes of every field that a client can send. Admission refuses by this table, and `docs/compatibility.md` is
//! checked against it.
//!
//! A path begins with the message of the body; `[]` is each item of a list, `["key"]` one entry of a map. `Refused` and
//! `Ignored` cover everything below their path; the other two are said of leaves.

use super::rule::rule;
pub use super::rule::{FieldRule, Standing};

use Standing::{Honoured, Ignored, Refused, Stored};

const ON_TEMPLATE: &str =
    "is not supported in a template: it belongs to executions, which the server names and dates.";
const KUBERNETES: &str = "is not supported by Cloud Run.";
const VOLUME: &str = "Filestore volumes are not supported: use an nfs volume with the address and the path of the instance's share.";
const IN_FULL: &str = "should not be used directly: use `name`.";
const READ_ONLY: &str = "Nothing can be written there.";
const SERVER: &str = "Set by the server.";
const RUN_TOKEN: &str = "A new one makes its execution; the job is Ready when that has succeeded.";
const START_TOKEN: &str = "A new one makes its execution; the job is Ready when that has started.";
const DELAY: &str = "Begins when no regular one waits, within 12 hours; is over 12 hours later.";

/// Every field of the bodies of `jobs.create`, `jobs.replaceJob` and `jobs.run`.
pub const FIELDS: &[FieldRule] = &[
    rule("Job.apiVersion", Honoured, "Absent or `run.googleapis.com/v1`."),
    rule("Job.kind", Honoured, "Absent or `Job`."),
    rule("Job.metadata.annotations", Stored, "Other keys of Google's own namespaces are refused."),
    rule(
        r#"Job.metadata.annotations["run.googleapis.com/binary-authorization"]"#,
        Honoured,
        "Names one of `[binary_authorization.POLICY]`: which images may run, by the beginnings of their references or by digests, checked when the job is created or replaced. No attestation is checked.",
    ),
    rule(
        r#"Job.metadata.annotations["run.googleapis.com/binary-authorization-breakglass"]"#,
        Honoured,
        "The policy is not heeded, and the reason that is given goes into the server's log.",
    ),
    rule(
        r#"Job.metadata.annotations["run.googleapis.com/client-name"]"#,
        Stored,
        "As in Cloud Run.",
    ),
    rule(
        r#"Job.metadata.annotations["run.googleapis.com/client-version"]"#,
        Stored,
        "As in Cloud Run.",
    ),
    rule(r#"Job.metadata.annotations["run.googleapis.com/creator"]"#, Ignored, SERVER),
    rule(r#"Job.metadata.annotations["run.googleapis.com/lastModifier"]"#, Ignored, SERVER),
    rule(
        r#"Job.metadata.annotations["run.googleapis.com/launch-stage"]"#,
        Stored,
        "`ALPHA`, `BETA` or `GA`.",
    ),
    rule(r#"Job.metadata.annotations["run.googleapis.com/operation-id"]"#, Ignored, SERVER),
    rule("Job.metadata.clusterName", Refused, KUBERNETES),
    rule("Job.metadata.creationTimestamp", Ignored, SERVER),
    rule("Job.metadata.deletionGracePeriodSeconds", Refused, KUBERNETES),
    rule("Job.metadata.deletionTimestamp", Ignored, SERVER),
    rule("Job.metadata.finalizers", Refused, KUBERNETES),
    rule(
        "Job.metadata.generateName",
        Honoured,
        "At create, where there is no name; not shown afterwards.",
    ),
    rule("Job.metadata.generation", Ignored, SERVER),
    rule(
        "Job.metadata.labels",
        Stored,
        "Selectors select by them; keys of Google's own namespaces are refused.",
    ),
    rule(r#"Job.metadata.labels["cloud.googleapis.com/location"]"#, Ignored, SERVER),
    rule(r#"Job.metadata.labels["run.googleapis.com/lastUpdatedTime"]"#, Ignored, SERVER),
    rule("Job.metadata.name", Honoured, "Generated where absent."),
    rule(
        "Job.metadata.namespace",
        Honoured,
        "The project's id or number; replies have the number.",
    ),
    rule("Job.metadata.ownerReferences", Refused, KUBERNETES),
    rule(
        "Job.metadata.resourceVersion",
        Honoured,
        "Checked at replace where given; set by the server.",
    ),
    rule("Job.metadata.selfLink", Ignored, SERVER),
    rule("Job.metadata.uid", Ignored, SERVER),
    rule("Job.spec.runExecutionToken", Honoured, RUN_TOKEN),
    rule("Job.spec.startExecutionToken", Honoured, START_TOKEN),
    rule(
        "Job.spec.template.metadata.annotations",
        Stored,
        "Copied to executions; other keys of Google's own namespaces are refused.",
    ),
    rule(
        r#"Job.spec.template.metadata.annotations["run.googleapis.com/binary-authorization"]"#,
        Honoured,
        "Names one of `[binary_authorization.POLICY]`: which images may run, by the beginnings of their references or by digests, checked when the job is created or replaced. No attestation is checked.",
    ),
    rule(
        r#"Job.spec.template.metadata.annotations["run.googleapis.com/client-name"]"#,
        Stored,
        "As in Cloud Run.",
    ),
    rule(
        r#"Job.spec.template.metadata.annotations["run.googleapis.com/client-version"]"#,
        Stored,
        "As in Cloud Run.",
    ),
    rule(
        r#"Job.spec.template.metadata.annotations["run.googleapis.com/cloudsql-instances"]"#,
        Honoured,
        "`project:region:instance`, between commas: their sockets are in `/cloudsql` of every container, relayed to what the \
         settings map each to.",
    ),
    rule(
        r#"Job.spec.template.metadata.annotations["run.googleapis.com/container-dependencies"]"#,
        Honoured,
        "A JSON map from a container's name to those that have started, by their startup probes, before it begins.",
    ),
    rule(
        r#"Job.spec.template.metadata.annotations["run.googleapis.com/encryption-key"]"#,
        Refused,
        "customer-managed encryption keys are not supported: no key of Cloud KMS is here to encrypt anything with. Encrypt the disk under the data directory, and remove the annotation.",
    ),
    rule(
        r#"Job.spec.template.metadata.annotations["run.googleapis.com/execution-environment"]"#,
        Honoured,
        "`gen2`, also where absent.",
    ),
    rule(
        r#"Job.spec.template.metadata.annotations["run.googleapis.com/gpu-zonal-redundancy-disabled"]"#,
        Refused,
        "GPUs are not supported yet.",
    ),
    rule(
        r#"Job.spec.template.metadata.annotations["run.googleapis.com/network-interfaces"]"#,
        Honoured,
        "A JSON list with one `{network, subnetwork, tags}`: mapped by `[networks.NAME]` to a network of this machine, where each task gets a second interface. Tags have no effect.",
    ),
    rule(
        r#"Job.spec.template.metadata.annotations["run.googleapis.com/secrets"]"#,
        Honoured,
        "Names for secrets of other projects: `alias:projects/P/secrets/S`, with commas between them.",
    ),
    rule(
        r#"Job.spec.template.metadata.annotations["run.googleapis.com/vpc-access-connector"]"#,
        Honoured,
        "Short or in full: mapped by `[networks.NAME]` to a network of this machine, where each task gets a second interface.",
    ),
    rule(
        r#"Job.spec.template.metadata.annotations["run.googleapis.com/vpc-access-egress"]"#,
        Honoured,
        "`private-ranges-only`, also where absent: private ranges through that network; `all-traffic`, `all`: everything.",
    ),
    rule("Job.spec.template.metadata.clusterName", Refused, KUBERNETES),
    rule("Job.spec.template.metadata.creationTimestamp", Refused, ON_TEMPLATE),
    rule("Job.spec.template.metadata.deletionGracePeriodSeconds", Refused, KUBERNETES),
    rule("Job.spec.template.metadata.deletionTimestamp", Refused, ON_TEMPLATE),
    rule("Job.spec.template.metadata.finalizers", Refused, KUBERNETES),
    rule("Job.spec.template.metadata.generateName", Refused, ON_TEMPLATE),
    rule("Job.spec.template.metadata.generation", Refused, ON_TEMPLATE),
    rule(
        "Job.spec.template.metadata.labels",
        Stored,
        "Copied to executions; keys of Google's own namespaces are refused.",
    ),
    rule("Job.spec.template.metadata.name", Refused, "Template name must be unspecified."),
    rule("Job.spec.template.metadata.namespace", Refused, ON_TEMPLATE),
    rule("Job.spec.template.metadata.ownerReferences", Refused, KUBERNETES),
    rule("Job.spec.template.metadata.resourceVersion", Refused, ON_TEMPLATE),
    rule("Job.spec.template.metadata.selfLink", Refused, ON_TEMPLATE),
    rule("Job.spec.template.metadata.uid", Refused, ON_TEMPLATE),
    rule("Job.spec.template.spec.delayExecution", Honoured, DELAY),
    rule(
        "Job.spec.template.spec.parallelism",
        Honoured,
        "0 or absent: as many as capacity allows; executions show it clamped to the task count.",
    ),
    rule("Job.spec.template.spec.taskCount", Honoured, "1 to 10000; 0 or absent is 1."),
    rule(
        "Job.spec.template.spec.template.spec.containers[].args",
        Honoured,
        "Replace the image's CMD.",
    ),
    rule(
        "Job.spec.template.spec.template.spec.containers[].command",
        Honoured,
        "Replaces the image's ENTRYPOINT and drops its CMD.",
    ),
    rule(
        "Job.spec.template.spec.template.spec.containers[].env[].name",
        Honoured,
        "The last of equal names wins.",
    ),
    rule(
        "Job.spec.template.spec.template.spec.containers[].env[].value",
        Honoured,
        "At most 32768 bytes.",
    ),
    rule(
        "Job.spec.template.spec.template.spec.containers[].env[].valueFrom.configMapKeyRef",
        Refused,
        KUBERNETES,
    ),
    rule(
        "Job.spec.template.spec.template.spec.containers[].env[].valueFrom.secretKeyRef.key",
        Honoured,
        "A number, `latest` or an alias, looked up when the attempt starts.",
    ),
    rule(
        "Job.spec.template.spec.template.spec.containers[].env[].valueFrom.secretKeyRef.localObjectReference",
        Refused,
        IN_FULL,
    ),
    rule(
        "Job.spec.template.spec.template.spec.containers[].env[].valueFrom.secretKeyRef.name",
        Honoured,
        "A secret of the job's project, or a name of annotation `run.googleapis.com/secrets`.",
    ),
    rule(
        "Job.spec.template.spec.template.spec.containers[].env[].valueFrom.secretKeyRef.optional",
        Honoured,
        "Where it is true, a secret or version that is not there leaves the variable unset.",
    ),
    rule("Job.spec.template.spec.template.spec.containers[].envFrom", Refused, KUBERNETES),
    rule(
        "Job.spec.template.spec.template.spec.containers[].image",
        Honoured,
        "Kept as given; its tag is resolved to a digest once per execution.",
    ),
    rule(
        "Job.spec.template.spec.template.spec.containers[].imagePullPolicy",
        Stored,
        "No effect, as in Cloud Run.",
    ),
    rule(
        "Job.spec.template.spec.template.spec.containers[].livenessProbe",
        Refused,
        "Cloud Run job does not support liveness probe.",
    ),
    rule(
        "Job.spec.template.spec.template.spec.containers[].name",
        Honoured,
        "Dependencies, overrides and log labels name it; of several, those without a name are called by their position.",
    ),
    rule(
        "Job.spec.template.spec.template.spec.containers[].ports[].containerPort",
        Honoured,
        "Where probes look that name no port; a job serves none.",
    ),
    rule(
        "Job.spec.template.spec.template.spec.containers[].ports[].name",
        Stored,
        "No effect: a job serves no port.",
    ),
    rule(
        "Job.spec.template.spec.template.spec.containers[].ports[].protocol",
        Stored,
        "No effect: a job serves no port.",
    ),
    rule(
        "Job.spec.template.spec.template.spec.containers[].readinessProbe",
        Refused,
        "Cloud Run job does not support readiness probe.",
    ),
    rule(
        "Job.spec.template.spec.template.spec.containers[].resources.limits",
        Honoured,
        "`cpu` (1000m where absent) and `memory` (512Mi where absent).",
    ),
    rule(
        r#"Job.spec.template.spec.template.spec.containers[].resources.limits["nvidia.com/gpu"]"#,
        Refused,
        "GPUs are not supported yet.",
    ),
    rule(
        "Job.spec.template.spec.template.spec.containers[].resources.requests",
        Honoured,
        "At most the limits, which are what is reserved.",
    ),
    rule(
        "Job.spec.template.spec.template.spec.containers[].sandboxLauncher",
        Refused,
        "sandboxes are not supported.",
    ),
    rule(
        "Job.spec.template.spec.template.spec.containers[].securityContext",
        Refused,
        "is not supported by Cloud Run: set the user in the image.",
    ),
    rule(
        "Job.spec.template.spec.template.spec.containers[].startupProbe.exec",
        Refused,
        KUBERNETES,
    ),
    rule(
        "Job.spec.template.spec.template.spec.containers[].startupProbe.failureThreshold",
        Honoured,
        "Failures in a row after which the attempt fails; 3 where 0 or absent.",
    ),
    rule(
        "Job.spec.template.spec.template.spec.containers[].startupProbe.grpc.port",
        Honoured,
        "The container's port where 0 or absent, and 8080 where it has none.",
    ),
    rule(
        "Job.spec.template.spec.template.spec.containers[].startupProbe.grpc.service",
        Honoured,
        "What the health check asks about.",
    ),
    rule(
        "Job.spec.template.spec.template.spec.containers[].startupProbe.httpGet.host",
        Refused,
        KUBERNETES,
    ),
    rule(
        "Job.spec.template.spec.template.spec.containers[].startupProbe.httpGet.httpHeaders[].name",
        Honoured,
        "Sent with the request.",
    ),
    rule(
        "Job.spec.template.spec.template.spec.containers[].startupProbe.httpGet.httpHeaders[].value",
        Honoured,
        "Sent with the request.",
    ),
    rule(
        "Job.spec.template.spec.template.spec.containers[].startupProbe.httpGet.path",
        Honoured,
        "`/` where absent; any answer from 200 to 399 is success.",
    ),
    rule(
        "Job.spec.template.spec.template.spec.containers[].startupProbe.httpGet.port",
        Honoured,
        "The container's port where 0 or absent, and 8080 where it has none.",
    ),
    rule(
        "Job.spec.template.spec.template.spec.containers[].startupProbe.httpGet.scheme",
        Refused,
        KUBERNETES,
    ),
    rule(
        "Job.spec.template.spec.template.spec.containers[].startupProbe.initialDelaySeconds",
        Honoured,
        "0 to 240.",
    ),
    rule(
        "Job.spec.template.spec.template.spec.containers[].startupProbe.periodSeconds",
        Honoured,
        "1 to 240; 10 where 0 or absent.",
    ),
    rule(
        "Job.spec.template.spec.template.spec.containers[].startupProbe.successThreshold",
        Stored,
        "1, or absent.",
    ),
    rule(
        "Job.spec.template.spec.template.spec.containers[].startupProbe.tcpSocket.host",
        Refused,
        KUBERNETES,
    ),
    rule(
        "Job.spec.template.spec.template.spec.containers[].startupProbe.tcpSocket.port",
        Honoured,
        "The container's port where 0 or absent, and 8080 where it has none.",
    ),
    rule(
        "Job.spec.template.spec.template.spec.containers[].startupProbe.timeoutSeconds",
        Honoured,
        "1 to 240 and at most the period; 1 where 0 or absent.",
    ),
    rule(
        "Job.spec.template.spec.template.spec.containers[].terminationMessagePath",
        Honoured,
        "Only `/dev/termination-log` for now.",
    ),
    rule(
        "Job.spec.template.spec.template.spec.containers[].terminationMessagePolicy",
        Honoured,
        "Only `File` for now.",
    ),
    rule(
        "Job.spec.template.spec.template.spec.containers[].volumeMounts[].mountPath",
        Honoured,
        "Absolute, outside of `/dev`, `/proc` and `/sys`, once in a container; made where the image lacks it.",
    ),
    rule(
        "Job.spec.template.spec.template.spec.containers[].volumeMounts[].name",
        Honoured,
        "Of a volume of the task.",
    ),
    rule(
        "Job.spec.template.spec.template.spec.containers[].volumeMounts[].readOnly",
        Stored,
        "No effect, as in Cloud Run: `readOnly` of the volume is for all mounts.",
    ),
    rule(
        "Job.spec.template.spec.template.spec.containers[].volumeMounts[].subPath",
        Refused,
        "cannot have sub_path set.",
    ),
    rule(
        "Job.spec.template.spec.template.spec.containers[].workingDir",
        Honoured,
        "The image's where absent.",
    ),
    rule("Job.spec.template.spec.template.spec.maxRetries", Honoured, "0 to 10; 3 where absent."),
    rule(
        "Job.spec.template.spec.template.spec.nodeSelector",
        Refused,
        "accelerators are not supported yet: there is one machine, and nothing to select on it.",
    ),
    rule("Job.spec.template.spec.template.spec.sandboxes", Refused, "sandboxes are not supported."),
    rule(
        "Job.spec.template.spec.template.spec.serviceAccountName",
        Stored,
        "The default compute account where absent; a bare id is expanded. Tasks are given no credentials yet.",
    ),
    rule(
        "Job.spec.template.spec.template.spec.timeoutSeconds",
        Honoured,
        "Per attempt, at most 604800; 600 where 0 or absent.",
    ),
    rule("Job.spec.template.spec.template.spec.volumes[].configMap", Refused, KUBERNETES),
    rule(
        "Job.spec.template.spec.template.spec.volumes[].csi.driver",
        Honoured,
        "`gcsfuse.run.googleapis.com` alone.",
    ),
    rule("Job.spec.template.spec.template.spec.volumes[].csi.readOnly", Honoured, READ_ONLY),
    rule(
        "Job.spec.template.spec.template.spec.volumes[].csi.volumeAttributes",
        Honoured,
        "`bucketName` and `mountOptions` below; others are refused.",
    ),
    rule(
        r#"Job.spec.template.spec.template.spec.volumes[].csi.volumeAttributes["bucketName"]"#,
        Honoured,
        "A directory below the data directory's `buckets`, or what `[buckets.NAME]` or `--bucket` maps it to.",
    ),
    rule(
        r#"Job.spec.template.spec.template.spec.volumes[].csi.volumeAttributes["mountOptions"]"#,
        Honoured,
        "For a directory `uid`, `gid`, `only-dir` and `ro`; modes that let every user of a container in, and flags about \
         caches and the way to Cloud Storage change nothing there; with others of gcsfuse's the job is not Ready, \
         `VolumeNotMapped`. All go to a gcsfuse that the bucket is mapped to; what neither knows is refused.",
    ),
    rule(
        "Job.spec.template.spec.template.spec.volumes[].emptyDir.medium",
        Honoured,
        "`Memory` or empty: in memory, counted against the containers that write; `Disk`: on the disk of the data directory.",
    ),
    rule(
        "Job.spec.template.spec.template.spec.volumes[].emptyDir.sizeLimit",
        Honoured,
        "In memory half of the task's memory where absent, and at most all of it; on disk none where absent.",
    ),
    rule("Job.spec.template.spec.template.spec.volumes[].filestore", Refused, VOLUME),
    rule(
        "Job.spec.template.spec.template.spec.volumes[].name",
        Honoured,
        "A label of RFC 1123, once in a task.",
    ),
    rule(
        "Job.spec.template.spec.template.spec.volumes[].nfs.path",
        Honoured,
        "Absolute; with the server what `[nfs.\"SERVER:/PATH\"]` or `--nfs` maps it to, else mounted by the kernel; where that \
         cannot be, the job is not Ready, `VolumeNotMapped`.",
    ),
    rule("Job.spec.template.spec.template.spec.volumes[].nfs.readOnly", Honoured, READ_ONLY),
    rule(
        "Job.spec.template.spec.template.spec.volumes[].nfs.server",
        Honoured,
        "A host name or an IP address.",
    ),
    rule(
        "Job.spec.template.spec.template.spec.volumes[].secret.defaultMode",
        Honoured,
        "0444 where 0 or absent; write bits are taken away.",
    ),
    rule(
        "Job.spec.template.spec.template.spec.volumes[].secret.items[].key",
        Honoured,
        "A number, `latest` or an alias, looked up when the attempt starts.",
    ),
    rule(
        "Job.spec.template.spec.template.spec.volumes[].secret.items[].mode",
        Honoured,
        "The volume's where 0 or absent; write bits are taken away.",
    ),
    rule(
        "Job.spec.template.spec.template.spec.volumes[].secret.items[].path",
        Honoured,
        "Below the mount; without items there is one file, called as the secret, with the latest version.",
    ),
    rule("Job.spec.template.spec.template.spec.volumes[].secret.optional", Refused, KUBERNETES),
    rule(
        "Job.spec.template.spec.template.spec.volumes[].secret.secretName",
        Honoured,
        "A secret of the job's project, or a name of annotation `run.googleapis.com/secrets`.",
    ),
    rule("Job.status", Ignored, SERVER),
    rule("RunJobRequest.overrides.containerOverrides[].args", Honoured, "Replace all of them."),
    rule(
        "RunJobRequest.overrides.containerOverrides[].clearArgs",
        Honoured,
        "Then args must be empty.",
    ),
    rule(
        "RunJobRequest.overrides.containerOverrides[].env[].name",
        Honoured,
        "Laid over the job's by name.",
    ),
    rule(
        "RunJobRequest.overrides.containerOverrides[].env[].value",
        Honoured,
        "At most 32768 bytes.",
    ),
    rule(
        "RunJobRequest.overrides.containerOverrides[].env[].valueFrom.configMapKeyRef",
        Refused,
        KUBERNETES,
    ),
    rule(
        "RunJobRequest.overrides.containerOverrides[].env[].valueFrom.secretKeyRef.key",
        Honoured,
        "As in the job.",
    ),
    rule(
        "RunJobRequest.overrides.containerOverrides[].env[].valueFrom.secretKeyRef.localObjectReference",
        Refused,
        IN_FULL,
    ),
    rule(
        "RunJobRequest.overrides.containerOverrides[].env[].valueFrom.secretKeyRef.name",
        Honoured,
        "As in the job; that it is there is seen when the attempt starts.",
    ),
    rule(
        "RunJobRequest.overrides.containerOverrides[].env[].valueFrom.secretKeyRef.optional",
        Honoured,
        "As in the job.",
    ),
    rule(
        "RunJobRequest.overrides.containerOverrides[].name",
        Honoured,
        "Any name means the container of a job that has one.",
    ),
    rule(
        "RunJobRequest.overrides.delayExecution",
        Honoured,
        "Makes a delayed execution of a regular job, or with `false` the reverse.",
    ),
    rule(
        "RunJobRequest.overrides.taskCount",
        Honoured,
        "1 to 10000; 0 or absent leaves the job's.",
    ),
    rule(
        "RunJobRequest.overrides.timeoutSeconds",
        Honoured,
        "Per attempt, at most 604800; 0 or absent leaves the job's.",
    ),
];
