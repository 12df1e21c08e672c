//! What a container runs: the image's configuration with the spec's laid over it.
//!
//! Nothing here is expanded or looked up: no `$(VAR)`, no `PATH`, no passwd file. That is for the side that starts it,
//! inside the container's own root.

use crate::port::ContainerSpec;

/// Docker's `PATH` for an image that names none.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The part of an OCI image configuration (`config`) that says what to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageConfig {
    /// `Entrypoint`.
    pub entrypoint: Vec<String>,
    /// `Cmd`.
    pub cmd: Vec<String>,
    /// `Env`: names and values.
    pub env: Vec<(String, String)>,
    /// `User`: `name`, `uid`, `name:group` or `uid:gid`; empty means root.
    pub user: String,
    /// `WorkingDir`; empty means `/`.
    pub working_dir: String,
}

/// What a container runs, with nothing left to decide but the look-ups inside its root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Program and arguments; never empty. A program without `/` is looked up along the `PATH` of `env`.
    pub argv: Vec<String>,
    /// Every name once.
    pub env: Vec<(String, String)>,
    /// Absolute.
    pub cwd: String,
    /// As in [`ImageConfig::user`].
    pub user: String,
}

/// Why there is nothing that can be run. All of it is the image's or the spec's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProcessFault {
    /// Neither the image nor the spec names a program.
    #[error(
        "no command: the image has neither ENTRYPOINT nor CMD, and the container names no command or args"
    )]
    NoCommand,
    /// The first word is empty.
    #[error("the command's first word is empty")]
    EmptyProgram,
    /// The kernel cannot be told a string with a NUL in it.
    #[error("{0} contains a NUL byte")]
    Nul(&'static str),
    /// A name that cannot be a variable's.
    #[error("{0:?} cannot be the name of an environment variable")]
    EnvName(String),
}

impl Process {
    /// Lays `spec`, with its environment `env` resolved, over `image`, by Cloud Run's rules: a command replaces the entrypoint and drops the image's cmd,
    /// args alone replace the cmd, the environment is laid by name with the later one winning.
    ///
    /// # Errors
    /// When the result could not be executed whatever the root holds.
    pub fn new(
        image: &ImageConfig,
        spec: &ContainerSpec,
        env: &[(String, String)],
    ) -> Result<Self, ProcessFault> {
        let process = Self {
            argv: argv(image, spec),
            env: environment(image, env),
            cwd: working_dir(image, spec),
            user: image.user.clone(),
        };
        process.check()?;
        Ok(process)
    }

    fn check(&self) -> Result<(), ProcessFault> {
        match self.argv.first() {
            None => return Err(ProcessFault::NoCommand),
            Some(program) if program.is_empty() => return Err(ProcessFault::EmptyProgram),
            Some(_) => {}
        }
        let nul = |text: &String| text.contains('\0');
        if self.argv.iter().any(nul) {
            return Err(ProcessFault::Nul("the command"));
        }
        if self.env.iter().any(|(_, value)| nul(value)) {
            return Err(ProcessFault::Nul("the environment"));
        }
        if nul(&self.cwd) {
            return Err(ProcessFault::Nul("the working directory"));
        }
        if nul(&self.user) {
            return Err(ProcessFault::Nul("the user"));
        }
        match self.env.iter().find(|(name, _)| name.is_empty() || name.contains(['=', '\0'])) {
            Some((name, _)) => Err(ProcessFault::EnvName(name.clone())),
            None => Ok(()),
        }
    }
}

fn argv(image: &ImageConfig, spec: &ContainerSpec) -> Vec<String> {
    let (program, arguments) = match (spec.command.is_empty(), spec.args.is_empty()) {
        (true, true) => (&image.entrypoint, &image.cmd),
        (true, false) => (&image.entrypoint, &spec.args),
        (false, _) => (&spec.command, &spec.args),
    };
    program.iter().chain(arguments).cloned().collect()
}

/// The spec's environment ends with the system's variables, so "later wins" also keeps those from being overridden.
fn environment(image: &ImageConfig, env: &[(String, String)]) -> Vec<(String, String)> {
    let mut laid: Vec<(String, String)> = Vec::with_capacity(image.env.len() + env.len() + 1);
    for (name, value) in image.env.iter().chain(env) {
        match laid.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => old.clone_from(value),
            None => laid.push((name.clone(), value.clone())),
        }
    }
    if !laid.iter().any(|(name, _)| name == "PATH") {
        laid.push(("PATH".to_owned(), DEFAULT_PATH.to_owned()));
    }
    laid
}

fn working_dir(image: &ImageConfig, spec: &ContainerSpec) -> String {
    let given = spec.working_dir.as_deref().filter(|dir| !dir.is_empty());
    let dir = given.unwrap_or(&image.working_dir);
    if dir.starts_with('/') { dir.to_owned() } else { format!("/{dir}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::EnvValue;

    fn process(image: &ImageConfig, spec: &ContainerSpec) -> Result<Process, ProcessFault> {
        let literal = |(name, value): &(String, EnvValue)| match value {
            EnvValue::Literal(value) => (name.clone(), value.clone()),
            value => panic!("nothing to resolve {value:?} with"),
        };
        let env: Vec<_> = spec.env.iter().map(literal).collect();
        Process::new(image, spec, &env)
    }

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn image() -> ImageConfig {
        ImageConfig {
            entrypoint: words("/entry -e"),
            cmd: words("cmd -c"),
            env: vec![("PATH".into(), "/bin".into()), ("COLOR".into(), "red".into())],
            user: "app:staff".into(),
            working_dir: "/srv".into(),
        }
    }

    fn spec(command: &str, args: &str) -> ContainerSpec {
        ContainerSpec {
            name: "main".into(),
            image: "sha256:0".into(),
            command: words(command),
            args: words(args),
            ..ContainerSpec::default()
        }
    }

    #[track_caller]
    fn check_argv(command: &str, args: &str, expected: &str) {
        let process = process(&image(), &spec(command, args)).expect("it can be run");
        assert_eq!(process.argv, words(expected));
    }

    #[test]
    fn an_empty_spec_runs_what_the_image_says() {
        check_argv("", "", "/entry -e cmd -c");
    }

    #[test]
    fn args_alone_replace_the_cmd() {
        check_argv("", "one two", "/entry -e one two");
    }

    #[test]
    fn a_command_replaces_the_entrypoint_and_drops_the_cmd() {
        check_argv("/mine", "", "/mine");
        check_argv("/mine", "one", "/mine one");
    }

    #[test]
    fn nothing_is_expanded() {
        check_argv("/mine $(COLOR)", "$COLOR", "/mine $(COLOR) $COLOR");
    }

    #[test]
    fn environment_is_laid_by_name_and_the_later_one_wins() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let given = |name: &str, value: &str| (name.to_owned(), value.into());
        let mut spec = spec("", "");
        spec.env = vec![
            given("COLOR", "blue"),
            given("CLOUD_RUN_TASK_INDEX", "spec"),
            given("EMPTY", ""),
            given("CLOUD_RUN_TASK_INDEX", "3"),
        ];
        let process = process(&image(), &spec).expect("it can be run");
        let expected = vec![
            pair("PATH", "/bin"),
            pair("COLOR", "blue"),
            pair("CLOUD_RUN_TASK_INDEX", "3"),
            pair("EMPTY", ""),
        ];
        assert_eq!(process.env, expected);
    }

    #[test]
    fn a_path_is_added_only_where_nobody_names_one() {
        let bare = ImageConfig { entrypoint: words("true"), ..ImageConfig::default() };
        let process = process(&bare, &spec("", "")).expect("it can be run");
        assert_eq!(process.env, [("PATH".to_owned(), DEFAULT_PATH.to_owned())]);
    }

    #[test]
    fn the_working_directory_is_the_specs_then_the_images_then_the_root() {
        let cwd = |image_dir: &str, spec_dir: Option<&str>| {
            let image = ImageConfig { working_dir: image_dir.into(), ..image() };
            let spec = ContainerSpec { working_dir: spec_dir.map(str::to_owned), ..spec("", "") };
            process(&image, &spec).expect("it can be run").cwd
        };
        assert_eq!(cwd("/srv", Some("/mine")), "/mine");
        assert_eq!(cwd("/srv", Some("")), "/srv");
        assert_eq!(cwd("/srv", None), "/srv");
        assert_eq!(cwd("srv", None), "/srv");
        assert_eq!(cwd("", None), "/");
    }

    #[test]
    fn what_cannot_be_run_is_refused_with_its_reason() {
        let nothing = ImageConfig::default();
        let fault = |spec: &ContainerSpec| process(&nothing, spec).expect_err("refused");
        assert_eq!(fault(&spec("", "")), ProcessFault::NoCommand);
        assert_eq!(fault(&spec("a\0b", "")), ProcessFault::Nul("the command"));
        let empty = ContainerSpec { command: vec![String::new()], ..spec("", "") };
        assert_eq!(fault(&empty), ProcessFault::EmptyProgram);
        let named = ContainerSpec { env: vec![("A=B".into(), "x".into())], ..spec("a", "") };
        assert_eq!(fault(&named), ProcessFault::EnvName("A=B".into()));
    }

    #[test]
    fn the_user_is_the_images() {
        assert_eq!(process(&image(), &spec("", "")).expect("runs").user, "app:staff");
    }
}
