//! The message of a panic, which is a fault of Sluice: the command, the input that was read, and how
//! to report it.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::base::progress::LogFormat;
use crate::base::{at_work, panics};
use crate::cli::terminal::print_event;

/// The largest number of characters of a panic's text. Some texts quote their input.
const MAX_TEXT: usize = 300;

/// Prints one message for a panic of any thread. The program then ends with code 101. `command` is
/// the name of the command.
pub(super) fn report_faults(command: &str, log: Option<LogFormat>) {
    let command = command.to_owned();
    let is_reported = AtomicBool::new(false);
    panics::report_by(move |text, location| {
        // A panic of one thread can end others, whose messages would say less.
        if is_reported.swap(true, Ordering::Relaxed) {
            return;
        }
        let input = at_work::last_input().map(|path| path.display().to_string());
        let mut message = message(&command, input.as_deref(), text, location);
        let trace = Backtrace::capture();
        if trace.status() == BacktraceStatus::Captured {
            message.push_str(&format!("\n{trace}"));
        }
        print_event(log == Some(LogFormat::Json), "error", &message);
    });
}

fn message(command: &str, input: Option<&str>, text: &str, location: &str) -> String {
    let input = input.map_or_else(
        || "no input was read before".to_owned(),
        |input| format!("the last input that it read: {}", without_credentials(input)),
    );
    let text: String = without_credentials(text).chars().take(MAX_TEXT).collect();
    format!(
        "sluice {command}: stopped by a fault of Sluice, not of your files; {input}\n\
         found at {location}: {text}\n\
         hint: report it to the maintainers with this message, the output of `sluice --version`, the \
         command line without passwords, and the input if you may share it; RUST_BACKTRACE=1 adds the \
         place in the program"
    )
}

/// Removes the user and password of each address in a text.
fn without_credentials(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        let end = after
            .find(|c: char| c.is_whitespace() || ['/', '?', '"', '\'', '`'].contains(&c))
            .unwrap_or(after.len());
        // A password may hold the signs that end an address, so the last @ of the word counts.
        let word = after.find(char::is_whitespace).unwrap_or(after.len());
        let start = after[..word].rfind('@').map_or(0, |at| at + 1);
        plain.push_str(before);
        plain.push_str(if start > 0 { "://***@" } else { "://" });
        let end = end.max(start);
        plain.push_str(&after[start..end]);
        rest = &after[end..];
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use std::process::Command;

    #[test]
    fn messages_hold_no_password() {
        let check = |text: &str, expected: &str| assert_eq!(without_credentials(text), expected);
        check("log.csv", "log.csv");
        check("redis://h:1/0", "redis://h:1/0");
        check("redis://u:pw@h:1/0", "redis://***@h:1/0");
        check("a redis://u:p/w@h and s3://b/k", "a redis://***@h and s3://b/k");
        check("://", "://");
    }

    /// Panics in the way that the variable says, in a process of its own.
    #[test]
    fn panics_when_asked() {
        let Ok(way) = std::env::var("SLUICE_TEST_PANIC") else {
            return;
        };
        let log = way.ends_with("json").then_some(LogFormat::Json);
        report_faults("layer", log);
        at_work::note(Path::new("users.parquet"));
        let fail = || panic!("no digit in redis://u:secret@h/0");
        // Panics that are converted to errors are not printed, before and after.
        assert_eq!(
            panics::catch(|| panic!("quiet")),
            Err::<(), _>("quiet".to_owned())
        );
        match way.split('_').next() {
            Some("rayon") => rayon::scope(|scope| scope.spawn(|_| fail())),
            Some("thread") => std::thread::scope(|scope| scope.spawn(fail).join().unwrap()),
            _ => fail(),
        }
    }

    #[test]
    fn a_panic_of_any_thread_is_one_message() {
        let check = |way: &str| {
            let output = Command::new(std::env::current_exe().unwrap())
                .args(["cli::fault::tests::panics_when_asked", "--exact", "--nocapture"])
                .env("SLUICE_TEST_PANIC", way)
                .env_remove("RUST_BACKTRACE")
                .output()
                .unwrap();
            assert_eq!(output.status.code(), Some(101), "{way}");
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert_eq!(stderr.matches("stopped by a fault").count(), 1, "{way}: {stderr}");
            for part in [
                "sluice layer",
                "users.parquet",
                "fault.rs:",
                "report it",
                "redis://***@h/0",
            ] {
                assert!(stderr.contains(part), "{way}: {part}: {stderr}");
            }
            for part in ["secret", "quiet", "RUST_BACKTRACE=full"] {
                assert!(!stderr.contains(part), "{way}: {part}: {stderr}");
            }
            let line = stderr.lines().find(|line| line.contains("stopped by")).unwrap();
            if way.ends_with("json") {
                let object: serde_json::Value = serde_json::from_str(line).unwrap();
                assert_eq!(object["event"], "error");
            } else {
                assert!(line.starts_with("error: sluice layer: "), "{line}");
            }
        };
        for way in ["main", "rayon", "thread", "main_json", "rayon_json"] {
            check(way);
        }
    }
}
