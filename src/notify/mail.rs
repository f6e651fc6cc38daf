//! E-mail by the local program `sendmail`.

use jiff::Timestamp;
use std::env;
use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::base::escape;
use crate::notify::attempt::Attempt;
use crate::notify::message::Notification;
use crate::scenario::{SinkAddress, SinkKind, SinkLocation};

/// Where `sendmail` usually is.
const USUAL_PLACES: [&str; 3] = ["/usr/sbin/sendmail", "/usr/lib/sendmail", "/usr/bin/sendmail"];
/// The exit code of a failure that may pass (`EX_TEMPFAIL` of sysexits.h).
const TEMPORARY: i32 = 75;
/// The most bytes of what the program says that a reason can hold.
const MAX_SAID: u64 = 4_096;

/// Sends a notification to the recipients, `a@b.c,d@e.f`, within `limit`.
pub(super) fn send(recipients: &str, notification: &Notification, limit: Duration) -> Attempt {
    let program = match program() {
        Ok(program) => program,
        Err(why) => return Attempt::Failed(why),
    };
    let from = match sender() {
        Ok(from) => from,
        Err(why) => return Attempt::Failed(why),
    };
    let recipients: Vec<&str> = recipients.split(',').collect();
    let message = message(notification, from.as_deref(), &recipients, Timestamp::now());
    let mut command = Command::new(&program);
    // A line with a dot does not end the message.
    command.arg("-i");
    if let Some(from) = &from {
        command.args(["-f", from]);
    }
    command.args(&recipients);
    match run(command, message, limit) {
        Ok((status, _)) if status.success() => Attempt::Sent,
        Ok((status, said)) => {
            let code = status
                .code()
                .map_or_else(|| "a signal".to_owned(), |code| format!("code {code}"));
            let said = escape::value(said.trim());
            let separator = if said.is_empty() { "" } else { ": " };
            let why = format!("{} ended with {code}{separator}{said}", program.display());
            match status.code() {
                Some(TEMPORARY) => Attempt::Again(why, None),
                _ => Attempt::Failed(why),
            }
        }
        Err(why) => Attempt::Failed(format!("{}: {why}", program.display())),
    }
}

/// The program: that of `SLUICE_SENDMAIL`, or the first at the usual places.
fn program() -> Result<PathBuf, String> {
    if let Some(path) = env::var_os("SLUICE_SENDMAIL").filter(|path| !path.is_empty()) {
        return Ok(PathBuf::from(path));
    }
    USUAL_PLACES
        .iter()
        .map(Path::new)
        .find(|path| path.exists())
        .map(Path::to_owned)
        .ok_or_else(|| {
            format!(
                "expected the program sendmail at {}, found none: install a mail transfer agent such as postfix \
                 or msmtp-mta, or name the program in SLUICE_SENDMAIL",
                USUAL_PLACES.join(" or ")
            )
        })
}

/// The sender of `SLUICE_MAIL_FROM`. `None` leaves the sender to the program.
fn sender() -> Result<Option<String>, String> {
    let Some(from) = env::var("SLUICE_MAIL_FROM").ok().filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let address = SinkAddress {
        kind: SinkKind::Mail,
        location: SinkLocation::Literal(from.clone()),
    };
    match address.check(&from) {
        Ok(()) if !from.contains(',') => Ok(Some(from)),
        _ => Err("expected one address such as USER@HOST in SLUICE_MAIL_FROM, found other text".to_owned()),
    }
}

/// Runs a program without a shell, with `input` as its stdin. Returns its status and what it wrote
/// to stderr. It is ended at `limit`.
fn run(mut command: Command, input: String, limit: Duration) -> Result<(ExitStatus, String), String> {
    let end = Instant::now() + limit;
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("expected a program that runs, found: {error}"))?;
    // A program that does not read its input, or a child of it that keeps stderr open, must not
    // hold the night.
    if let Some(mut stdin) = child.stdin.take() {
        thread::spawn(move || {
            // A program that ended early says why with its exit code.
            let _ = stdin.write_all(input.as_bytes());
        });
    }
    let (sender, said) = mpsc::channel();
    if let Some(mut stderr) = child.stderr.take() {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = stderr.by_ref().take(MAX_SAID).read_to_end(&mut bytes);
            let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
            let _ = std::io::copy(&mut stderr, &mut std::io::sink());
        });
    }
    loop {
        match child.try_wait() {
            Ok(Some(status)) => {
                let said = said.recv_timeout(Duration::from_millis(200)).unwrap_or_default();
                return Ok((status, said));
            }
            Ok(None) if Instant::now() < end => thread::sleep(Duration::from_millis(5)),
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!(
                    "expected an end within {} s, found none",
                    limit.as_secs_f64()
                ));
            }
            Err(error) => return Err(format!("expected a status, found: {error}")),
        }
    }
}

/// A message of RFC 5322 in ASCII. Lines end with a line feed, which sendmail expects.
fn message(notification: &Notification, from: Option<&str>, recipients: &[&str], now: Timestamp) -> String {
    let mut out = String::new();
    let date = jiff::fmt::rfc2822::to_string(&now.to_zoned(jiff::tz::TimeZone::UTC)).unwrap_or_default();
    let id = notification.id.trim_start_matches("sha256:");
    let mut header = |name: &str, value: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{name}: {value}");
    };
    header("Date", &date);
    if let Some(from) = from {
        header("From", &format!("sluice <{from}>"));
    }
    header("To", &recipients.join(",\n "));
    header("Subject", &encoded_words(&notification.title));
    header("Message-ID", &format!("<{id}@sluice.invalid>"));
    header("MIME-Version", "1.0");
    header("Content-Type", "text/plain; charset=utf-8");
    header("Content-Transfer-Encoding", "quoted-printable");
    header("Auto-Submitted", "auto-generated");
    header("X-Sluice-Event", notification.event.name());
    out.push('\n');
    quoted_printable(&mut out, notification.body());
    out
}

/// A header's text: ASCII as it is, other text as encoded words of RFC 2047. Line ends and controls
/// become visible escapes, so no text starts another header.
fn encoded_words(text: &str) -> String {
    let text = escape::line(text);
    if text.is_ascii() && !text.contains("=?") && text.len() <= 800 {
        return text.into_owned();
    }
    /// An encoded word has at most 75 characters, with `=?utf-8?Q?` and `?=`.
    const MAX_WORD: usize = 75 - 12;
    let mut words = vec![String::new()];
    for c in text.chars() {
        let mut encoded = String::new();
        match c {
            ' ' => encoded.push('_'),
            c if c.is_ascii_alphanumeric() => encoded.push(c),
            c => push_hex(&mut encoded, c),
        }
        // A character is never divided between two words.
        if words
            .last()
            .is_some_and(|word| word.len() + encoded.len() > MAX_WORD)
        {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.push_str(&encoded);
        }
    }
    let words: Vec<String> = words.iter().map(|word| format!("=?utf-8?Q?{word}?=")).collect();
    words.join("\n ")
}

fn push_hex(out: &mut String, c: char) {
    for byte in c.encode_utf8(&mut [0; 4]).bytes() {
        // Writing to a string cannot fail.
        let _ = write!(out, "={byte:02X}");
    }
}

/// Appends a text as quoted-printable lines of RFC 2045, of at most 76 characters.
fn quoted_printable(out: &mut String, text: &str) {
    const MAX_LINE: usize = 75;
    for line in text.split('\n') {
        let mut n_chars = 0;
        for c in line.chars() {
            let mut encoded = String::new();
            match c {
                // Servers may remove blanks at the end of a line, and change a lone dot.
                ' ' | '.' => push_hex(&mut encoded, c),
                c if c.is_ascii_graphic() && c != '=' => encoded.push(c),
                c => push_hex(&mut encoded, c),
            }
            if matches!(c, ' ' | '.') && n_chars > 0 && n_chars + 1 < MAX_LINE {
                encoded = c.to_string();
            }
            if n_chars + encoded.len() > MAX_LINE {
                out.push_str("=\n");
                n_chars = 0;
            }
            n_chars += encoded.len();
            out.push_str(&encoded);
        }
        // A blank at the end of a line is encoded.
        if out.ends_with(' ') {
            out.pop();
            out.push_str("=20");
        }
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_hold_any_text() {
        let check = |text: &str, expected: &str| {
            let found = encoded_words(text);
            assert_eq!(found, expected, "{text}");
            assert!(
                found.is_ascii()
                    && found
                        .lines()
                        .all(|line| line.trim_start().len() <= 75 || text.is_ascii())
            );
        };
        check("Rollback of a: layer b", "Rollback of a: layer b");
        check("a\r\nBcc: b@c", "a\\r\\nBcc: b@c");
        check("=?utf-8?Q?x?=", "=?utf-8?Q?=3D=3Futf=2D8=3FQ=3Fx=3F=3D?=");
        check("1% → 0", "=?utf-8?Q?1=25_=E2=86=92_0?=");
        check(
            &"回".repeat(8),
            &format!("=?utf-8?Q?{}?=\n =?utf-8?Q?=E5=9B=9E?=", "=E5=9B=9E".repeat(7)),
        );
    }

    #[test]
    fn bodies_are_quoted_printable() {
        let check = |text: &str, expected: &str| {
            let mut out = String::new();
            quoted_printable(&mut out, text);
            assert_eq!(out, expected, "{text}");
            assert!(out.lines().all(|line| line.len() <= 76));
        };
        check("a b.", "a b.\n");
        check("1% → 0%", "1% =E2=86=92 0%\n");
        check("a=b ", "a=3Db=20\n");
        check(".\n x", "=2E\n=20x\n");
        check(
            &"a".repeat(80),
            &format!("{}=\n{}\n", "a".repeat(75), "a".repeat(5)),
        );
        check(
            &format!("{} bc", "a".repeat(73)),
            &format!("{} b=\nc\n", "a".repeat(73)),
        );
        check(
            &format!("{} ", "a".repeat(73)),
            &format!("{}=20\n", "a".repeat(73)),
        );
        check(
            &format!("{} ", "a".repeat(74)),
            &format!("{}=\n=20\n", "a".repeat(74)),
        );
    }
}
