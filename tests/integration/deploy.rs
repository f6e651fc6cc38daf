//! Tests of the timers and rules of alerts in `deploy/nightly`: each file is read by the tool of its
//! system, and its command is run with a program in the place of `sluice`.

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::{root, text};

/// The text of a file of `deploy/nightly`.
fn file(name: &str) -> String {
    fs::read_to_string(root().join("deploy/nightly").join(name)).unwrap()
}

/// The Python of the tools that `scripts/test` installs.
fn python(args: &[&str]) -> Output {
    let folder = env::var("SLUICE_TIMERS").expect("scripts/test sets SLUICE_TIMERS");
    Command::new(format!("{folder}/python"))
        .args(args)
        .output()
        .unwrap()
}

/// Asserts that a tool takes a text, and refuses it with `from` replaced by `to`. `run` gets the
/// folder of the file.
fn check_with_tool(name: &str, content: &str, (from, to): (&str, &str), run: impl Fn(&Path) -> Output) {
    let try_text = |content: &str| {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(name), content).unwrap();
        run(dir.path())
    };
    let all = |output: &Output| {
        let stderr = String::from_utf8_lossy(&output.stderr);
        format!("{}{stderr}", String::from_utf8_lossy(&output.stdout))
    };
    let found = try_text(content);
    assert!(found.status.success(), "{name}: {}", all(&found));
    let wrong = content.replacen(from, to, 1);
    assert_ne!(wrong, content);
    let found = try_text(&wrong);
    assert!(!found.status.success(), "{name} with {to}: {}", all(&found));
}

#[test]
fn cron_takes_the_crontab() {
    check_with_tool(
        "crontab",
        &file("crontab"),
        ("30 2 * * *", "30 25 * * *"),
        |dir| {
            let run = |option: &str| {
                Command::new("crontab")
                    .arg(option)
                    .arg(dir.join("crontab"))
                    .output()
                    .unwrap()
            };
            // The check is -T in cronie and -n in Debian's cron, which does not know -T.
            let output = run("-T");
            match String::from_utf8_lossy(&output.stderr).contains("invalid option") {
                true => run("-n"),
                false => output,
            }
        },
    );
}

#[test]
fn systemd_takes_service_and_timer() {
    // The program must exist where the service says.
    let service = file("sluice-night.service").replace("/usr/local/bin/sluice", env!("CARGO_BIN_EXE_sluice"));
    let verify = |dir: &Path| {
        let output = Command::new("systemd-analyze")
            .args(["verify", "--man=no", "sluice-night.service", "sluice-night.timer"])
            .current_dir(dir)
            .env("SYSTEMD_LOG_LEVEL", "warning")
            .output()
            .unwrap();
        // Keys that systemd does not know are warnings.
        let is_quiet = output.stderr.is_empty();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let code = if is_quiet { "true" } else { "false" };
        let judged = Command::new(code).output().unwrap();
        Output {
            stderr: stderr.into_bytes(),
            ..judged
        }
    };
    check_with_tool(
        "sluice-night.service",
        &service,
        ("Type=oneshot", "Typ=oneshot"),
        |dir| {
            fs::write(dir.join("sluice-night.timer"), file("sluice-night.timer")).unwrap();
            verify(dir)
        },
    );
    check_with_tool(
        "sluice-night.timer",
        &file("sluice-night.timer"),
        ("*-*-* 02:30:00 UTC", "*-*-* 26:30:00 UTC"),
        |dir| {
            fs::write(dir.join("sluice-night.service"), &service).unwrap();
            verify(dir)
        },
    );
    assert!(service.contains("\nSuccessExitStatus=10 11\n"));
}

#[test]
fn kubernetes_takes_the_cron_job() {
    for wrong in [
        ("backoffLimit", "backofLimit"),
        ("Forbid", "3"),
        ("timeZone", "time_zone"),
    ] {
        check_with_tool("cronjob.yaml", &file("cronjob.yaml"), wrong, |dir| {
            python(&[
                "-m",
                "kubernetes_validate",
                "--strict",
                text(&dir.join("cronjob.yaml")),
            ])
        });
    }
}

#[test]
fn prometheus_takes_the_rules() {
    let promtool = |dir: &Path, args: &[&str]| {
        Command::new("promtool")
            .args(args)
            .current_dir(dir)
            .output()
            .unwrap()
    };
    check_with_tool(
        "alerts.yml",
        &file("alerts.yml"),
        ("time() -", "time( -"),
        |dir| promtool(dir, &["check", "rules", "alerts.yml"]),
    );
    check_with_tool(
        "alerts.yml",
        &file("alerts.yml"),
        ("28 * 3600", "20 * 3600"),
        |dir| {
            let cases = root().join("tests/deploy/alerts_test.yml");
            fs::copy(cases, dir.join("alerts_test.yml")).unwrap();
            promtool(dir, &["test", "rules", "alerts_test.yml"])
        },
    );
}

/// Names of the metrics of nights in a text.
fn metrics_in(text: &str) -> BTreeSet<&str> {
    let is_part = |c: char| c.is_ascii_lowercase() || c == '_';
    text.match_indices("sluice_night_")
        .map(|(at, _)| {
            let rest = &text[at..];
            &rest[..rest.find(|c| !is_part(c)).unwrap_or(rest.len())]
        })
        .collect()
}

#[test]
fn rules_name_metrics_that_a_night_writes() {
    let written = fs::read_to_string(root().join("src/night/metrics.rs")).unwrap();
    let rules = file("alerts.yml");
    let (written, used) = (metrics_in(&written), metrics_in(&rules));
    let unknown: Vec<_> = used.difference(&written).collect();
    assert!(!used.is_empty() && unknown.is_empty(), "{unknown:?}");
}

/// What Airflow finds in the file.
fn dag() -> Value {
    let program = root().join("tests/deploy/dag.py");
    let output = python(&[
        text(&program),
        text(&root().join("deploy/nightly/airflow_dag.py")),
    ]);
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // Airflow logs to stdout, too.
    serde_json::from_str(stdout.lines().last().unwrap()).unwrap()
}

/// The script of the container of the CronJob.
fn script_of_the_cron_job() -> String {
    let program = "import json, sys, yaml\n\
        job = yaml.safe_load(open(sys.argv[1]))['spec']['jobTemplate']['spec']['template']['spec']\n\
        container = job['containers'][0]\n\
        assert container['command'] == ['/bin/sh', '-c'] and len(container['args']) == 1\n\
        print(json.dumps(container['args'][0]))";
    let output = python(&["-c", program, text(&root().join("deploy/nightly/cronjob.yaml"))]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn commands_run_a_night_and_take_verdicts_as_success() {
    let found = dag();
    assert_eq!(found["errors"], json!({}));
    let dag = &found["dags"]["sluice_night"];
    assert_eq!(
        (&dag["schedule"], &dag["catchup"], &dag["max_active_runs"]),
        (&json!("30 2 * * *"), &json!(false), &json!(1))
    );
    let task = &dag["tasks"][0];
    assert_eq!(
        (&task["folder"], &task["has_own_env"]),
        (&json!("/etc/sluice"), &json!(true))
    );
    let env = task["env"].as_object().unwrap();
    assert!(
        env.values()
            .all(|value| value.as_str().unwrap().starts_with("{{ conn.")),
        "{env:?}"
    );

    let crontab = file("crontab");
    let line = crontab.lines().last().unwrap();
    let of_cron = line.splitn(6, ' ').last().unwrap().to_owned();
    // Cron ends a command at a percent sign.
    assert!(!of_cron.contains('%'));
    let service = file("sluice-night.service");
    let start = service
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/"))
        .unwrap();
    assert!(
        !start.contains(['$', '%', '"', '\'']),
        "systemd would expand or unquote it"
    );
    let of_airflow = task["command"].as_str().unwrap().to_owned();
    let commands = [
        ("sh", of_cron, true),
        ("sh", script_of_the_cron_job(), true),
        ("bash", of_airflow, true),
        ("sh", start.to_owned(), false),
    ];
    for (shell, command, takes_verdicts) in commands {
        for code in [0, 1, 2, 3, 4, 10, 11, 101] {
            let dir = tempfile::tempdir().unwrap();
            let (ended, args) = run_night(dir.path(), shell, &command, code);
            let is_verdict = takes_verdicts && matches!(code, 10 | 11);
            assert_eq!(ended, if is_verdict { 0 } else { code }, "{command}");
            let line = ["sluice".to_owned()].into_iter().chain(args.clone());
            let is_right = sluice::cli::parse(line.map(Into::into)).is_ok();
            assert!(is_right && args[0] == "night", "{args:?}");
            for option in ["--dir", "--to", "--metrics"] {
                assert!(args.iter().any(|arg| arg == option), "{option}: {args:?}");
            }
        }
    }
}

/// Runs a command with a program in the place of `sluice` that ends with a code, in a folder in the
/// place of `/etc/sluice`. Returns the command's exit code and the program's arguments.
fn run_night(dir: &Path, shell: &str, command: &str, code: i32) -> (i32, Vec<String>) {
    let program = dir.join("sluice");
    let script = format!(
        "#!/bin/sh\nprintf '%s\\n' \"$@\" > '{}'\nexit {code}\n",
        text(&dir.join("args"))
    );
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(dir.join("credentials"), "REDIS_PASSWORD=x\n").unwrap();
    let status = Command::new(shell)
        .arg("-c")
        .arg(command.replace("/etc/sluice", text(dir)))
        .env("PATH", format!("{}:/usr/bin:/bin", dir.display()))
        .status()
        .unwrap();
    let args = fs::read_to_string(dir.join("args")).unwrap();
    (status.code().unwrap(), args.lines().map(str::to_owned).collect())
}

#[test]
fn the_page_quotes_the_files() {
    let page = fs::read_to_string(root().join("docs/NIGHTLY.md")).unwrap();
    let mut n_files = 0;
    for entry in fs::read_dir(root().join("deploy/nightly")).unwrap() {
        let path = entry.unwrap().path();
        let quote = format!("\n{}```\n", fs::read_to_string(&path).unwrap());
        assert!(
            page.contains(&quote),
            "docs/NIGHTLY.md: expected {} as it is",
            path.display()
        );
        n_files += 1;
    }
    assert!(n_files >= 6);
}
