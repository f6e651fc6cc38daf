//! The lock of a plan: a key that expires when its holder is killed.

use rand::TryRng;
use rand::rngs::SysRng;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::base::error::{Error, Result};
use crate::base::lock::lock;
use crate::publish::redis::context::ask;
use crate::publish::redis::link::{Link, Pool};

/// The time to live of the lock without renewal.
const LIFE: Duration = Duration::from_secs(10);

/// The lock of a plan. Only its holder may write.
pub(super) struct Lock<'a> {
    pool: &'a Pool,
    key: String,
    token: String,
    by_force: bool,
    renewed: Mutex<Instant>,
}

impl<'a> Lock<'a> {
    /// Takes the lock, waiting up to 12 seconds for another holder. A rollback takes it by force,
    /// and the previous holder stops at its next step.
    pub(super) fn take(pool: &'a Pool, key: String, by_force: bool) -> Result<Self> {
        let mut random = [0_u8; 16];
        SysRng.try_fill_bytes(&mut random).map_err(|error| {
            Error::target(pool.address(), format!("expected random bytes, found: {error}"))
        })?;
        let token: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let since = Instant::now();
        loop {
            if by_force {
                let lock = Self {
                    pool,
                    key,
                    token,
                    by_force,
                    renewed: Mutex::new(Instant::now()),
                };
                lock.run(
                    "redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])\nreturn 1",
                    &[],
                    &[LIFE.as_millis().to_string().as_bytes()],
                )?;
                lock.cut_off_others();
                return Ok(lock);
            }
            let mut command = redis::cmd("SET");
            command
                .arg(&key)
                .arg(&token)
                .arg("NX")
                .arg("PX")
                .arg(LIFE.as_millis() as u64);
            if ask(pool, |link| link.ask::<Option<String>>(&command))?.is_some() {
                let lock = Self {
                    pool,
                    key,
                    token,
                    by_force,
                    renewed: Mutex::new(Instant::now()),
                };
                lock.cut_off_others();
                return Ok(lock);
            }
            if since.elapsed() > LIFE + Duration::from_secs(2) {
                return Err(Error::target(
                    pool.address(),
                    "expected to publish alone, found another publication under way",
                )
                .hint("wait for it, or roll the candidate back with --rollback, which does not wait"));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Closes the connections of earlier holders of the lock. An earlier holder that was suspended
    /// may not know that its lock has expired. In a cluster, or if the server refuses these
    /// commands, only `renew` stops it.
    fn cut_off_others(&self) {
        let clients: String =
            ask(self.pool, |link| link.ask(redis::cmd("CLIENT").arg("LIST"))).unwrap_or_default();
        for id in other_holders(&clients, &self.key, &self.token, self.pool.db()) {
            let _ = ask(self.pool, |link| {
                link.ask::<i64>(redis::cmd("CLIENT").arg("KILL").arg("ID").arg(id))
            });
        }
    }

    /// Names a connection after this lock, so that the next holder can close it. Call this before
    /// the connection writes users.
    pub(super) fn sign(&self, link: &mut Link) -> Result<()> {
        let name = format!("{}:{}", self.key, self.token);
        // Some servers do not allow connection names.
        let _ = link.ask::<()>(redis::cmd("CLIENT").arg("SETNAME").arg(name));
        self.prove(link)
    }

    /// Extends the time to live of the lock. Call this before every step.
    pub(super) fn renew(&self, link: &mut Link) -> Result<()> {
        let is_fresh = lock(&self.renewed).elapsed() < LIFE / 10;
        if is_fresh { Ok(()) } else { self.prove(link) }
    }

    fn prove(&self, link: &mut Link) -> Result<()> {
        let script = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) else return 0 end";
        let mut command = redis::cmd("EVAL");
        command
            .arg(script)
            .arg(1)
            .arg(&self.key)
            .arg(&self.token)
            .arg(LIFE.as_millis() as u64);
        if link.ask::<i64>(&command)? == 0 {
            return Err(self.is_lost());
        }
        *lock(&self.renewed) = Instant::now();
        Ok(())
    }

    /// Runs a script that changes keys only if the lock is still held. `KEYS[1]` is the key of the
    /// lock, `ARGV[1]` its token.
    pub(super) fn guarded(&self, body: &str, keys: &[&str], args: &[&[u8]]) -> Result<()> {
        let script = format!("if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end\n{body}\nreturn 1");
        if self.run(&script, keys, args)? == 0 {
            Err(self.is_lost())
        } else {
            Ok(())
        }
    }

    fn run(&self, script: &str, keys: &[&str], args: &[&[u8]]) -> Result<i64> {
        // A rollback must run even when the server's memory is full. Servers before version 7
        // refuse the flag, so the script then runs without it.
        if self.by_force
            && let Ok(answer) = self.eval(&format!("#!lua flags=allow-oom\n{script}"), keys, args)
        {
            return Ok(answer);
        }
        self.eval(script, keys, args)
    }

    fn eval(&self, script: &str, keys: &[&str], args: &[&[u8]]) -> Result<i64> {
        let mut command = redis::cmd("EVAL");
        command.arg(script);
        command.arg(keys.len() + 1).arg(&self.key);
        keys.iter().for_each(|key| {
            command.arg(*key);
        });
        command.arg(&self.token);
        args.iter().for_each(|arg| {
            command.arg(*arg);
        });
        ask(self.pool, |link| link.ask::<i64>(&command))
    }

    fn is_lost(&self) -> Error {
        Error::target(
            self.pool.address(),
            "expected to publish alone, found that the lock had expired, or that another publication or a rollback had taken it",
        )
        .hint("run it again, if this one is still wanted")
    }
}

/// The ids of the connections in an answer to `CLIENT LIST` that are named after the lock `key` with
/// another token, in the same database: each database has a lock of its own.
pub(super) fn other_holders<'a>(clients: &'a str, key: &str, token: &str, db: i64) -> Vec<&'a str> {
    let other = |client: &'a str| {
        let field = |name: &str| {
            client
                .split(' ')
                .find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
        };
        let (id, name) = (field("id")?, field("name")?);
        if field("db").is_some_and(|found| found != db.to_string()) {
            return None;
        }
        let holder = name.strip_prefix(key)?.strip_prefix(':')?;
        (holder != token).then_some(id)
    };
    clients.lines().filter_map(other).collect()
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        // If this command fails, the lock expires.
        let mut command = redis::cmd("EVAL");
        command.arg("if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) else return 0 end");
        command.arg(1).arg(&self.key).arg(&self.token);
        let _ = ask(self.pool, |link| link.ask::<i64>(&command));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_other_holders_of_the_lock_are_closed() {
        let check = |clients: &str, expected: &[&str]| {
            assert_eq!(
                other_holders(clients, "sluice:{p}:lock", "mine", 0),
                expected,
                "{clients}"
            );
        };
        check("id=3 addr=h:1 name=sluice:{p}:lock:theirs db=0", &["3"]);
        check(
            "id=3 name=sluice:{p}:lock:mine\nid=4 name=sluice:{p}:lock:x",
            &["4"],
        );
        check("id=3 name=sluice:{p}:lock:theirs db=1", &[]);
        check("id=3 name=sluice:{q}:lock:theirs\nid=4 name=\nid=5", &[]);
        check("name=sluice:{p}:lock:theirs", &[]);
        check("", &[]);
    }
}
