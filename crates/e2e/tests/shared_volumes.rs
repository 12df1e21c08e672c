//! Buckets and NFS directories, driven by the real gcloud: an array that reads and writes one bucket, what the machine's
//! user sees of it, what is mapped, and what is not.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink},
    path::Path,
};

use e2e::{
    Lab, images,
    lab::{self, Options},
};
use serde_json::Value;

const SMALL: [&str; 2] = ["--cpu=1", "--memory=512Mi"];

fn busybox(lab: &Lab, config: Value) -> String {
    format!("--image=oci:{}:latest", images::busybox_as(lab.dir(), config).display())
}

fn shell() -> Value {
    serde_json::json!({"Cmd": ["/bin/sh"], "Env": ["PATH=/bin"]})
}

/// Creates a job of one container that runs a script.
fn create(
    lab: &Lab,
    name: &str,
    image: &str,
    script: &str,
    further: &[&str],
) -> e2e::clients::Said {
    let script = format!("--args=^|^-ec|{script}");
    let mut line = vec!["run", "jobs", "create", name, image, "--command=sh", &script];
    line.extend(["--max-retries=0"]);
    line.extend(SMALL);
    line.extend(further);
    lab.gcloud(&line)
}

fn execute(lab: &Lab, name: &str) {
    let said = lab.gcloud(&["run", "jobs", "execute", name, "--wait"]).well();
    assert!(said.err.contains("has successfully completed."), "{}", said.err);
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn an_array_of_tasks_reads_and_writes_one_bucket() {
    let mut lab = Lab::start();
    let image = busybox(&lab, shell());
    let bucket = lab.data_dir().join("buckets/results");
    let script = "mkdir -p /out/squares; n=$CLOUD_RUN_TASK_INDEX; echo $((n * n)) >/out/squares/$n";
    let volume = [
        "--add-volume=name=b,type=cloud-storage,bucket=results",
        "--add-volume-mount=volume=b,mount-path=/out",
    ];
    create(&lab, "write", &image, script, &[&volume[..], &["--tasks=4"]].concat()).well();
    execute(&lab, "write");
    // The machine's user finds them, and puts something beside them.
    let squares = (0..4).map(|n| read(&bucket.join(format!("squares/{n}")))).collect::<String>();
    assert_eq!(squares, "0\n1\n4\n9\n");
    fs::write(bucket.join("squares/4"), "16\n").expect("the user may write");
    // It outlives the server, and another job's tasks read it.
    assert_eq!(lab.stop(), Some(0));
    lab.launch();
    let script = "s=0; for f in /in/squares/*; do s=$((s + $(cat $f))); done; echo $s >/in/sum-$CLOUD_RUN_TASK_INDEX";
    let mount = [
        "--add-volume=name=b,type=cloud-storage,bucket=results",
        "--add-volume-mount=volume=b,mount-path=/in",
    ];
    create(&lab, "sum", &image, script, &[&mount[..], &["--tasks=2"]].concat()).well();
    execute(&lab, "sum");
    for task in 0..2 {
        assert_eq!(read(&bucket.join(format!("sum-{task}"))), "30\n");
    }
    lab.finish();
}

#[test]
fn a_bucket_is_shown_as_its_options_say_and_what_cannot_be_shown_is_named() {
    let lab = Lab::start();
    let user = serde_json::json!({"Cmd": ["/bin/sh"], "Env": ["PATH=/bin"], "User": "1000:1000"});
    let image = busybox(&lab, user);
    let bucket = lab.data_dir().join("buckets/shown");
    let script = "id -u; echo of-a-user >/b/file; ls -n /b/file; if touch /r/file; then exit 9; fi; ls /o; echo x >/o/y";
    let volumes = |name: &str, options: &str| {
        [
            format!("--add-volume=name={name},type=cloud-storage,bucket=shown,{options}"),
            format!("--add-volume-mount=volume={name},mount-path=/{name}"),
        ]
    };
    let flags = [
        volumes("b", "readonly=false"),
        volumes("r", "readonly=true"),
        volumes("o", "mount-options=implicit-dirs;only-dir=a/b;uid=1000;gid=1000"),
    ]
    .concat();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let script_flag = format!("--args=^|^-ec|{script}");
    let mut line =
        vec!["beta", "run", "jobs", "create", "user", &image, "--command=sh", &script_flag];
    line.push("--max-retries=0");
    line.extend(&flags);
    lab.gcloud(&line).well();
    execute(&lab, "user");
    let executions =
        lab.gcloud(&["run", "jobs", "executions", "list", "--job=user", "--format=value(name)"]);
    let log = lab.log(executions.well().out.trim());
    assert!(log.contains("1000 ") && log.contains("Read-only file system"), "{log}");
    assert_eq!(read(&bucket.join("file")), "of-a-user\n");
    assert_eq!(read(&bucket.join("a/b/y")), "x\n");
    // Root's server: whoever wrote it in there, it is the directory's owner's here.
    assert_eq!(fs::metadata(bucket.join("file")).expect("it is there").uid(), 0);
    let described = lab.gcloud(&["run", "jobs", "describe", "user", "--format=json"]).well().json();
    let volume = &described["spec"]["template"]["spec"]["template"]["spec"]["volumes"][2]["csi"];
    assert_eq!(
        volume["volumeAttributes"]["mountOptions"],
        "implicit-dirs,only-dir=a/b,uid=1000,gid=1000"
    );

    let bad = "--add-volume=name=b,type=cloud-storage,bucket=shown,mount-options=temp-dir=/x";
    let mount = "--add-volume-mount=volume=b,mount-path=/b";
    let said = lab.gcloud(&["beta", "run", "jobs", "create", "bad", &image, bad, mount]).badly(1);
    assert!(said.err.contains("'temp-dir=/x' is not known here"), "{}", said.err);
    let said = lab.gcloud(&[
        "run",
        "jobs",
        "create",
        "bad-name",
        &image,
        "--add-volume=name=b,type=cloud-storage,bucket=..",
        mount,
    ]);
    assert!(said.badly(1).err.contains("'..' is no name of a bucket"));
    lab.finish();
}

#[test]
fn a_link_that_a_task_leaves_in_a_bucket_leads_no_later_task_outside() {
    let lab = Lab::start();
    let image = busybox(&lab, shell());
    let secret = lab.dir().join("secret");
    fs::create_dir(&secret).expect("made");
    fs::write(secret.join("file"), "of the machine\n").expect("written");
    let leave = format!(
        "ln -s {} /b/link; ln -s ../../.. /b/up; if mknod /b/null c 1 3 && echo x >/b/null; then exit 9; fi",
        secret.display()
    );
    let volume = "--add-volume=name=b,type=cloud-storage,bucket=hostile";
    let mount = "--add-volume-mount=volume=b,mount-path=/b";
    create(&lab, "leave", &image, &leave, &[volume, mount]).well();
    execute(&lab, "leave");
    assert!(lab.data_dir().join("buckets/hostile/link").is_symlink());
    create(
        &lab,
        "follow",
        &image,
        "if cat /b/link/file; then exit 9; fi; if ls /b/up/buckets; then exit 9; fi",
        &[volume, mount],
    )
    .well();
    execute(&lab, "follow");
    for (name, below) in [("through", "link"), ("up", "up/up")] {
        let volume = format!(
            "--add-volume=name=b,type=cloud-storage,bucket=hostile,mount-options=only-dir={below}"
        );
        let line = [
            "beta",
            "run",
            "jobs",
            "create",
            name,
            &image,
            "--max-retries=0",
            "--command=true",
            &volume,
            mount,
        ];
        lab.gcloud(&line).well();
        lab.gcloud(&["run", "jobs", "execute", name, "--wait"]).badly(1);
        let execution = lab
            .gcloud(&["run", "jobs", "executions", "list", "--job", name, "--format=json"])
            .well()
            .json();
        let message = lab::condition(&execution[0], "Completed")["message"].to_string();
        assert!(message.contains("open") && message.contains(below), "{message}");
    }
    lab.finish();
}

#[test]
fn buckets_and_nfs_directories_are_what_they_are_mapped_to() {
    let place = tempfile::tempdir().expect("a directory");
    let (share, mapped) = (place.path().join("share"), place.path().join("mapped"));
    for path in [&share, &mapped] {
        fs::create_dir(path).expect("made");
        chown(path, Some(4711), Some(4711)).expect("given");
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).expect("closed");
    }
    fs::write(share.join("in"), "from the share\n").expect("written");
    symlink("/etc/hostname", share.join("link")).expect("made");
    let flags = [
        format!("--nfs=10.0.0.1:/share={}", share.display()),
        format!("--bucket=mapped={}", mapped.display()),
        // Else it would depend on the kernel whether what is not mapped can be had.
        "--network=none".to_owned(),
    ];
    let lab = Lab::with(Options { flags: flags.into(), ..Options::default() });
    let image = busybox(&lab, shell());
    let flags = [
        "--add-volume=name=n,type=nfs,location=10.0.0.1:/share,readonly=true",
        "--add-volume-mount=volume=n,mount-path=/n",
        "--add-volume=name=b,type=cloud-storage,bucket=mapped",
        "--add-volume-mount=volume=b,mount-path=/b",
        "--add-volume=name=m,type=in-memory,size-limit=1Mi",
        "--add-volume-mount=volume=m,mount-path=/m",
    ];
    create(
        &lab,
        "copy",
        &image,
        "if touch /n/x; then exit 9; fi; cp /n/in /m/in; cp /m/in /b/out",
        &flags,
    )
    .well();
    execute(&lab, "copy");
    assert_eq!(read(&mapped.join("out")), "from the share\n");
    assert_eq!(fs::metadata(mapped.join("out")).expect("it is there").uid(), 4711);
    assert_eq!(fs::metadata(&mapped).expect("it is there").mode() & 0o777, 0o700, "as it was");

    let other = "--add-volume=name=n,type=nfs,location=10.0.0.1:/other";
    let mount = "--add-volume-mount=volume=n,mount-path=/n";
    let said = create(&lab, "unmapped", &image, "true", &[other, mount]).badly(1);
    assert!(said.err.contains("--nfs 10.0.0.1:/other=/a/directory"), "{}", said.err);
    let job = lab.gcloud(&["run", "jobs", "describe", "unmapped", "--format=json"]).well().json();
    let ready = lab::condition(&job, "Ready");
    assert_eq!((&ready["status"], &ready["reason"]), (&"False".into(), &"VolumeNotMapped".into()));
    lab.finish();
}

#[test]
fn a_bucket_may_be_mounted_by_the_users_program_and_outlives_a_killed_server() {
    let place = tempfile::tempdir().expect("a directory");
    let (program, bucket) = (place.path().join("gcsfuse"), place.path().join("real"));
    fs::create_dir(&bucket).expect("made");
    let script = format!(
        "#!/bin/sh\nfor last; do bucket=$place; place=$last; done\n\
         exec bindfs -f -o allow_other -p a+rwX {}/$bucket \"$place\"\n",
        place.path().display()
    );
    fs::write(&program, script).expect("written");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("set");
    let config = place.path().join("groundrun.toml");
    let text = format!("[buckets.real]\ngcsfuse = {:?}\n", program.display().to_string());
    fs::write(&config, text).expect("written");
    let flags = ["--config".to_owned(), config.display().to_string()];
    let mut lab = Lab::with(Options { flags: flags.into(), ..Options::default() });
    let image = busybox(&lab, shell());
    let script = "echo one >/b/one; until test -e /b/go; do sleep 0.1; done; echo two >/b/two";
    let volume = [
        "--add-volume=name=b,type=cloud-storage,bucket=real",
        "--add-volume-mount=volume=b,mount-path=/b",
    ];
    create(&lab, "slow", &image, script, &volume).well();
    let execution = lab.run("slow", &serde_json::json!({}));
    e2e::wait::until("the task writes", || bucket.join("one").exists().then_some(()));
    lab.kill();
    lab.launch();
    fs::write(bucket.join("go"), "").expect("written");
    let done = lab.completed(&execution);
    assert_eq!(lab::status_of(&done, "Completed"), "True", "{}", done["status"]);
    assert_eq!(read(&bucket.join("two")), "two\n");
    lab.finish();
}
