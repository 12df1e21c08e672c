//! The examples do what their pages say: each with its own `job.yaml` as it stands. Only the public images that they name
//! stand here for ones made of Debian's packages.

use std::{collections::BTreeSet, fs, path::PathBuf, process::Command};

use e2e::{
    clients::{self, Said},
    images,
};

fn example(name: &str) -> PathBuf {
    clients::root().join("examples").join(name)
}

/// `groundrun run` of an example, with images that stand for others: reference and layout.
fn run(name: &str, stand_ins: &[(&str, PathBuf)], flags: &[&str]) -> Said {
    let dir = tempfile::tempdir().expect("a directory");
    let config = dir.path().join("groundrun.toml");
    let alias =
        |(image, layout): &(&str, PathBuf)| format!("{image:?} = \"oci:{}\"\n", layout.display());
    let aliases: String = stand_ins.iter().map(alias).collect();
    fs::write(&config, format!("[images.aliases]\n{aliases}")).expect("written");
    let mut command = Command::new(clients::groundrun());
    command.arg("run").arg("--config").arg(config).arg(example(name).join("job.yaml")).args(flags);
    clients::run(&mut command)
}

#[test]
fn each_has_a_job_a_page_of_ten_lines_and_a_test() {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(clients::root().join("examples")).expect("they are there") {
        let folder = entry.expect("an entry").path();
        let page = fs::read_to_string(folder.join("README.md")).expect("a page");
        assert!(page.lines().count() <= 10, "{}: too long", folder.display());
        assert!(folder.join("job.yaml").is_file(), "{}", folder.display());
        let name = folder.file_name().expect("a name").to_string_lossy().into_owned();
        assert!(page.contains(&format!("examples/{name}/job.yaml")), "{name}: how to run it");
        names.insert(name);
    }
    // primes is the README's main job, which other tests run.
    let known = ["primes", "sidecar-proxy"].map(str::to_owned);
    assert_eq!(names, BTreeSet::from(known));
}

#[test]
fn a_proxy_stands_beside_the_program() {
    let dir = tempfile::tempdir().expect("a directory");
    let stand_ins = [
        ("docker.io/library/busybox:1.37", images::busybox(dir.path())),
        ("docker.io/library/nginx:1.29", images::nginx(dir.path())),
    ];
    let said = run("sidecar-proxy", &stand_ins, &["--project", "my-project"]).well();
    assert!(said.out.contains("main | my-project"), "{}\n{}", said.out, said.err);
}
