//! Names of the versioned keys, and the encoding of a user's assignments.
//!
//! | key | value |
//! |---|---|
//! | `sluice:{PLAN}:current` | the version in force: the pointer |
//! | `sluice:{PLAN}:version:VERSION` | hash: `generation`, `since`, `salt`, `profile`, `ratio:TENANT:LAYER` ... |
//! | `sluice:salts` | hash: the assignment profile and salt of every plan |
//! | `sluice:PLAN:user:TENANT:USER` | `GENERATION:LAYER:ELIGIBLE`, newest first, separated by a bar |
//!
//! The braces keep the keys of a plan on one server of a cluster. Keys of users spread over all
//! servers.

/// The hash of every plan's assignment profile and salt, by plan id.
pub(super) const SALTS: &str = "sluice:salts";

/// The names of a plan's keys.
#[derive(Debug, Clone)]
pub(super) struct PlanKeys {
    plan: String,
}

impl PlanKeys {
    pub(super) fn new(plan_id: &str) -> Self {
        Self {
            plan: plan_id.to_owned(),
        }
    }

    pub(super) fn current(&self) -> String {
        format!("sluice:{{{}}}:current", self.plan)
    }

    pub(super) fn version(&self, version: &str) -> String {
        format!("sluice:{{{}}}:version:{version}", self.plan)
    }

    /// The key of the layer table that is being written, with its generation.
    pub(super) fn writing(&self) -> String {
        format!("sluice:{{{}}}:writing", self.plan)
    }

    /// The key of the lock that only the publishing run holds.
    pub(super) fn lock(&self) -> String {
        format!("sluice:{{{}}}:lock", self.plan)
    }

    /// The key of Sluice's own record of the keys of profile `harness-v1`.
    pub(super) fn harness(&self) -> String {
        format!("sluice:{{{}}}:harness-v1", self.plan)
    }

    /// The prefix of all users' keys.
    pub(super) fn user_prefix(&self) -> String {
        format!("sluice:{}:user:", self.plan)
    }

    /// The prefix of the users' keys of a tenant.
    pub(super) fn tenant_prefix(&self, tenant: &str) -> String {
        format!("{}{}:", self.user_prefix(), escaped(tenant))
    }

    /// The hash field of a layer's ratio.
    pub(super) fn ratio_field(tenant: &str, layer: &str) -> String {
        format!("ratio:{}:{layer}", escaped(tenant))
    }
}

/// Escapes `%` and `:` in a tenant, so that two tenants never share a key.
fn escaped(tenant: &str) -> String {
    tenant.replace('%', "%25").replace(':', "%3A")
}

/// Escapes the characters that have a meaning in a pattern of `SCAN`.
pub(super) fn glob_escaped(text: &str) -> String {
    text.chars()
        .flat_map(|c| [Some('\\').filter(|_| "*?[]\\^-".contains(c)), Some(c)])
        .flatten()
        .collect()
}

/// A user's assignment in a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Assignment<'a> {
    /// The layer; empty for a tombstone.
    pub(super) layer: &'a str,
    pub(super) is_eligible: bool,
}

impl Assignment<'_> {
    /// A tombstone: the user is no longer in the table.
    pub(super) const GONE: Self = Assignment {
        layer: "",
        is_eligible: false,
    };
}

/// The assignment that is valid in a generation. It is the newest entry at or below `generation`,
/// if that entry is not below `since`. `None` without such an entry, and for a tombstone.
pub(super) fn assignment_at(value: &str, generation: u64, since: u64) -> Option<Assignment<'_>> {
    let entry = value.split('|').find_map(|entry| {
        let (own, rest) = entry.split_once(':')?;
        let own: u64 = own.parse().ok()?;
        (own <= generation).then_some((own, rest))
    });
    let (own, rest) = entry?;
    let (layer, is_eligible) = rest.split_once(':')?;
    (own >= since && !layer.is_empty()).then_some(Assignment {
        layer,
        is_eligible: is_eligible == "1",
    })
}

/// Writes the value of a user's key: the new assignment, then the one valid until the pointer
/// switches.
pub(super) fn write_value(
    out: &mut Vec<u8>,
    generation: u64,
    new: Assignment<'_>,
    until_then: Option<(u64, Assignment<'_>)>,
) {
    out.clear();
    let mut entry = |generation: u64, assignment: Assignment<'_>| {
        if !out.is_empty() {
            out.push(b'|');
        }
        out.extend_from_slice(itoa::Buffer::new().format(generation).as_bytes());
        out.push(b':');
        out.extend_from_slice(assignment.layer.as_bytes());
        out.extend_from_slice(if assignment.is_eligible { b":1" } else { b":0" });
    };
    entry(generation, new);
    if let Some((generation, assignment)) = until_then {
        entry(generation, assignment);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_where_the_generation_says() {
        let early = Assignment {
            layer: "early",
            is_eligible: true,
        };
        let vip = Assignment {
            layer: "vip",
            is_eligible: false,
        };
        let mut value = Vec::new();
        write_value(&mut value, 8, vip, Some((7, early)));
        let value = String::from_utf8(value).unwrap();
        assert_eq!(value, "8:vip:0|7:early:1");
        assert_eq!(assignment_at(&value, 7, 1), Some(early));
        assert_eq!(assignment_at(&value, 8, 1), Some(vip));
        assert_eq!(assignment_at(&value, 9, 1), Some(vip));
        assert_eq!(assignment_at(&value, 6, 1), None);
        // A full table makes older entries void.
        assert_eq!(assignment_at(&value, 9, 9), None);
        let mut gone = Vec::new();
        write_value(&mut gone, 9, Assignment::GONE, Some((8, vip)));
        assert_eq!(assignment_at(std::str::from_utf8(&gone).unwrap(), 9, 1), None);
        assert!(
            ["", "x", "1", ":", "a:b:c", "1:x", "99999999999999999999:a:1"]
                .iter()
                .all(|text| assignment_at(text, 5, 0).is_none())
        );
    }

    #[test]
    fn patterns_mean_the_text_itself() {
        assert_eq!(glob_escaped("sluice:cs-agent:user:"), "sluice:cs\\-agent:user:");
        assert_eq!(glob_escaped("a*b?[c]^\\层"), "a\\*b\\?\\[c\\]\\^\\\\层");
    }

    #[test]
    fn tenants_do_not_share_keys() {
        let keys = PlanKeys::new("p");
        assert_ne!(
            format!("{}b:c", keys.tenant_prefix("a")),
            format!("{}c", keys.tenant_prefix("a:b"))
        );
        assert_ne!(keys.tenant_prefix("a%3A"), keys.tenant_prefix("a:"));
    }
}
