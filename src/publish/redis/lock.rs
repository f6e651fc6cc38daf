//! One publication at a time: a key that goes by itself when its holder is killed.

use rand::{TryRng, rngs::SysRng};
use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{
    ask,
    link::{Link, Pool},
};
use crate::error::{Error, Result};

/// How long a lock outlives its holder.
const LIFE: Duration = Duration::from_secs(10);

/// Whoever holds it may write.
pub(super) struct Lock<'a> {
    pool: &'a Pool,
    key: String,
    token: String,
    renewed: Mutex<Instant>,
}

impl<'a> Lock<'a> {
    /// Takes the lock, waiting for one whose holder may have been killed. A rollback does not wait: it takes the lock away, and whoever
    /// had it stops at its next step.
    pub(super) fn take(pool: &'a Pool, key: String, by_force: bool) -> Result<Self> {
        let mut random = [0_u8; 16];
        SysRng
            .try_fill_bytes(&mut random)
            .map_err(|error| Error::target(pool.place(), format!("expected random bytes, found: {error}")))?;
        let token: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let since = Instant::now();
        loop {
            let mut command = redis::cmd("SET");
            command.arg(&key).arg(&token);
            if !by_force {
                command.arg("NX");
            }
            command.arg("PX").arg(LIFE.as_millis() as u64);
            if ask(pool, |link| link.ask::<Option<String>>(&command))?.is_some() {
                return Ok(Self { pool, key, token, renewed: Mutex::new(Instant::now()) });
            }
            if since.elapsed() > LIFE + Duration::from_secs(2) {
                return Err(Error::target(pool.place(), "expected to publish alone, found another publication under way")
                    .hint("wait for it, or take the candidate back with --rollback, which does not wait"));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Makes the lock live on. To be called between steps.
    pub(super) fn renew(&self, link: &mut Link) -> Result<()> {
        let mut renewed = self.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        if renewed.elapsed() < LIFE / 4 {
            return Ok(());
        }
        let script = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) else return 0 end";
        let mut command = redis::cmd("EVAL");
        command.arg(script).arg(1).arg(&self.key).arg(&self.token).arg(LIFE.as_millis() as u64);
        if link.ask::<i64>(&command)? == 0 {
            return Err(self.is_lost());
        }
        *renewed = Instant::now();
        Ok(())
    }

    /// Runs a script that changes keys only if the lock is still held: its first lines check that. `KEYS[1]` is the lock's key and `ARGV[1]` its token.
    pub(super) fn guarded(&self, body: &str, keys: &[&str], args: &[&[u8]]) -> Result<()> {
        let mut command = redis::cmd("EVAL");
        command.arg(format!("if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end\n{body}\nreturn 1"));
        command.arg(keys.len() + 1).arg(&self.key);
        keys.iter().for_each(|key| {
            command.arg(*key);
        });
        command.arg(&self.token);
        args.iter().for_each(|arg| {
            command.arg(*arg);
        });
        if ask(self.pool, |link| link.ask::<i64>(&command))? == 0 { Err(self.is_lost()) } else { Ok(()) }
    }

    fn is_lost(&self) -> Error {
        Error::target(self.pool.place(), "expected to publish alone, found that another publication or a rollback has taken over")
            .hint("what it published is in force; run it again if this one is still wanted")
    }
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        // A lock that stays goes by itself.
        let mut command = redis::cmd("EVAL");
        command.arg("if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) else return 0 end");
        command.arg(1).arg(&self.key).arg(&self.token);
        let _ = ask(self.pool, |link| link.ask::<i64>(&command));
    }
}
