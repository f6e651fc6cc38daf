//! The bucket hashes of other feature-flag systems, bit for bit.

use md5::Md5;
use serde_json::Value;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::bucket::murmur3::murmur3_x86_32;

/// The seed under which Unleash hashes variants.
const UNLEASH_VARIANTS: u32 = 86_028_157;
/// The largest number with fifteen hexadecimal digits.
const SIXTY_BITS: u64 = 0x0fff_ffff_ffff_ffff;

fn fnv1a(units: impl Iterator<Item = u32>) -> u32 {
    units.fold(0x811c_9dc5, |hash, unit| (hash ^ unit).wrapping_mul(0x0100_0193))
}

/// GrowthBook, hash version 1: a bucket of 0..=999. It hashes UTF-16 units, as GrowthBook's
/// JavaScript and Python clients do.
pub fn growthbook_v1(seed: &str, value: &str) -> u32 {
    fnv1a(value.encode_utf16().chain(seed.encode_utf16()).map(u32::from)) % 1_000
}

/// GrowthBook, hash version 2: a bucket of 0..=9999. It hashes UTF-16 units.
pub fn growthbook_v2(seed: &str, value: &str) -> u32 {
    let first = fnv1a(seed.encode_utf16().chain(value.encode_utf16()).map(u32::from));
    fnv1a(first.to_string().bytes().map(u32::from)) % 10_000
}

/// GrowthBook, hash version 2, as its Go client computes it over UTF-8 bytes: a bucket of 0..=9999.
pub fn growthbook_v2_utf8(seed: &str, value: &str) -> u32 {
    let first = fnv1a(seed.bytes().chain(value.bytes()).map(u32::from));
    fnv1a(first.to_string().bytes().map(u32::from)) % 10_000
}

/// Unleash: a number of 1..=total, as in its clients that hash UTF-8 bytes.
pub fn unleash(group_id: &str, stickiness: &str, total: u32, is_variant: bool) -> u32 {
    let seed = if is_variant { UNLEASH_VARIANTS } else { 0 };
    murmur3_x86_32(format!("{group_id}:{stickiness}").as_bytes(), seed) % total + 1
}

/// Unleash, as its Node client computes it: a number of 1..=total. The client hashes the low byte
/// of each UTF-16 unit, so the result can differ from [`unleash`] for text outside of ASCII.
pub fn unleash_node(group_id: &str, stickiness: &str, total: u32, is_variant: bool) -> u32 {
    let seed = if is_variant { UNLEASH_VARIANTS } else { 0 };
    let bytes: Vec<u8> = format!("{group_id}:{stickiness}")
        .encode_utf16()
        .map(|unit| unit as u8)
        .collect();
    murmur3_x86_32(&bytes, seed) % total + 1
}

fn sha1_sixty_bits(text: &str) -> u64 {
    first_u64(&Sha1::digest(text.as_bytes())) >> 4
}

fn first_u64(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .take(8)
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// LaunchDarkly: a share of 0..=1. If there is a seed, it replaces the flag key and the salt.
pub fn launchdarkly(flag_key: &str, salt: &str, seed: Option<i64>, context_key: &str) -> f64 {
    let prefix = seed.map_or_else(|| format!("{flag_key}.{salt}"), |seed| seed.to_string());
    sha1_sixty_bits(&format!("{prefix}.{context_key}")) as f64 / SIXTY_BITS as f64
}

/// flagd, fractional version 1: a percentage of 0..=100.
pub fn flagd_v1(bucket_by: &str) -> f64 {
    let hash = murmur3_x86_32(bucket_by.as_bytes(), 0) as i32;
    f64::from(hash).abs() / f64::from(i32::MAX) * 100.0
}

/// flagd, fractional version 2: a bucket of 0..total.
pub fn flagd_v2(bucket_by: &str, total: u64) -> u64 {
    scaled(murmur3_x86_32(bucket_by.as_bytes(), 0), total)
}

/// flagd, fractional version 2, as its JavaScript core computes it: a bucket of 0..total.
pub fn flagd_v2_js(bucket_by: &str, total: u64) -> u64 {
    scaled(imurmurhash(bucket_by), total)
}

/// flagd, fractional version 3: a bucket of 0..total. It hashes the deterministic CBOR encoding of
/// the value.
pub fn flagd_v3(bucket_by: &Value, total: u64) -> u64 {
    let mut bytes = Vec::new();
    cbor(bucket_by, &mut bytes);
    scaled(murmur3_x86_32(&bytes, 0), total)
}

fn scaled(hash: u32, total: u64) -> u64 {
    ((u128::from(hash) * u128::from(total)) >> 32) as u64
}

/// Computes the hash of imurmurhash 0.1.4. It takes UTF-16 units where the algorithm expects bytes,
/// so neighboring units overlap. It skips the last partial word if the word, as a signed integer,
/// is not positive.
fn imurmurhash(text: &str) -> u32 {
    let units: Vec<u32> = text.encode_utf16().map(u32::from).collect();
    let word = |units: &[u32]| {
        let lane = |idx: usize| units.get(idx).copied().unwrap_or(0);
        lane(0) ^ lane(1) << 8 ^ lane(2) << 16 ^ (lane(3) & 0xff) << 24 ^ (lane(3) & 0xff00) >> 8
    };
    let scramble = |k: u32| {
        k.wrapping_mul(0xcc9e_2d51)
            .rotate_left(15)
            .wrapping_mul(0x1b87_3593)
    };
    let (words, rest) = units.as_chunks::<4>();
    let mut hash = words.iter().fold(0_u32, |hash, units| {
        (hash ^ scramble(word(units)))
            .rotate_left(13)
            .wrapping_mul(5)
            .wrapping_add(0xe654_6b64)
    });
    let rest = word(rest);
    if rest as i32 > 0 {
        hash ^= scramble(rest);
    }
    hash ^= units.len() as u32;
    hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    hash ^ hash >> 16
}

/// Writes deterministic CBOR (RFC 8949, section 4.2.1): shortest forms, and keys of maps in the
/// order of their encoded bytes. Floats without a fraction are written as integers.
fn cbor(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(0xf6),
        Value::Bool(flag) => out.push(if *flag { 0xf5 } else { 0xf4 }),
        Value::String(text) => {
            head(3, text.len() as u64, out);
            out.extend_from_slice(text.as_bytes());
        }
        Value::Array(items) => {
            head(4, items.len() as u64, out);
            items.iter().for_each(|item| cbor(item, out));
        }
        Value::Object(fields) => {
            head(5, fields.len() as u64, out);
            let mut pairs: Vec<(Vec<u8>, &Value)> = fields
                .iter()
                .map(|(key, value)| {
                    let mut bytes = Vec::new();
                    head(3, key.len() as u64, &mut bytes);
                    bytes.extend_from_slice(key.as_bytes());
                    (bytes, value)
                })
                .collect();
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
            for (key, value) in pairs {
                out.extend_from_slice(&key);
                cbor(value, out);
            }
        }
        Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
            (Some(n), _, _) => head(0, n, out),
            (_, Some(n), _) => head(1, (-1 - n) as u64, out),
            (_, _, Some(x)) if x.fract() == 0.0 && (0.0..18_446_744_073_709_551_616.0).contains(&x) => {
                head(0, x as u64, out)
            }
            (_, _, Some(x)) if x.fract() == 0.0 && (-9_223_372_036_854_775_808.0..0.0).contains(&x) => {
                head(1, (-1 - x as i64) as u64, out)
            }
            (_, _, x) => float(x.unwrap_or(0.0), out),
        },
    }
}

fn head(major: u8, n: u64, out: &mut Vec<u8>) {
    let major = major << 5;
    match n {
        0..24 => out.push(major | n as u8),
        24..0x100 => out.extend_from_slice(&[major | 24, n as u8]),
        0x100..0x1_0000 => {
            out.push(major | 25);
            out.extend_from_slice(&(n as u16).to_be_bytes());
        }
        0x1_0000..0x1_0000_0000 => {
            out.push(major | 26);
            out.extend_from_slice(&(n as u32).to_be_bytes());
        }
        _ => {
            out.push(major | 27);
            out.extend_from_slice(&n.to_be_bytes());
        }
    }
}

/// Writes a number in the shortest of 16, 32 and 64 bits that represents it exactly.
fn float(x: f64, out: &mut Vec<u8>) {
    let single = x as f32;
    if f64::from(single) != x {
        out.push(0xfb);
        out.extend_from_slice(&x.to_be_bytes());
        return;
    }
    match half(single) {
        Some(bits) => {
            out.push(0xf9);
            out.extend_from_slice(&bits.to_be_bytes());
        }
        None => {
            out.push(0xfa);
            out.extend_from_slice(&single.to_be_bytes());
        }
    }
}

/// The 16-bit float with the same value; `None` if there is none.
fn half(x: f32) -> Option<u16> {
    let bits = x.to_bits();
    let (sign, exponent, mantissa) = (
        (bits >> 16 & 0x8000) as u16,
        (bits >> 23 & 0xff) as i32 - 127,
        bits & 0x007f_ffff,
    );
    if x == 0.0 {
        return Some(sign);
    }
    if (-14..=15).contains(&exponent) && mantissa & 0x1fff == 0 {
        return Some(sign | ((exponent + 15) as u16) << 10 | (mantissa >> 13) as u16);
    }
    // Subnormal 16-bit floats have no implicit bit, so it is written out.
    let shift = 13 + (-14 - exponent);
    let whole = mantissa | 0x0080_0000;
    let fits = (-24..-14).contains(&exponent) && whole & ((1 << shift) - 1) == 0;
    fits.then(|| sign | (whole >> shift) as u16)
}

/// Optimizely: a bucket of 0..=9999.
pub fn optimizely(bucketing_id: &str, parent_id: &str) -> u64 {
    scaled(
        murmur3_x86_32(format!("{bucketing_id}{parent_id}").as_bytes(), 1),
        10_000,
    )
}

/// PlanOut's hash of experiment, parameter and unit: 60 bits. `None` for text that is not ASCII,
/// for which PlanOut raises an exception.
pub fn planout(experiment_salt: &str, salt: &str, unit: &str) -> Option<u64> {
    let text = format!("{experiment_salt}.{salt}.{unit}");
    text.is_ascii().then(|| sha1_sixty_bits(&text))
}

/// PlanOut's hash as a share of 0..=1.
pub fn planout_share(hash: u64) -> f64 {
    hash as f64 / SIXTY_BITS as f64
}

/// Statsig: a bucket of 0..=9999.
pub fn statsig(config_salt: &str, rule_salt: &str, unit_id: &str) -> u64 {
    first_u64(&Sha256::digest(
        format!("{config_salt}.{rule_salt}.{unit_id}").as_bytes(),
    )) % 10_000
}

/// Eppo: a shard of 0..total.
pub fn eppo(salt: &str, subject_key: &str, total: u64) -> u64 {
    (first_u64(&Md5::digest(format!("{salt}-{subject_key}").as_bytes())) >> 32) % total
}

/// Flagsmith: a percentage from 0 to below 100. A hash that gives exactly 100 is computed again
/// from a longer text.
pub fn flagsmith(object_ids: &[&str]) -> f64 {
    let mut text = object_ids.join(",");
    loop {
        let digest = Md5::digest(text.as_bytes());
        let remainder = digest
            .iter()
            .fold(0_u64, |rest, byte| (rest << 8 | u64::from(*byte)) % 9_999);
        if remainder < 9_998 {
            return remainder as f64 / 9_998.0 * 100.0;
        }
        text = format!("{text},{}", object_ids.join(","));
    }
}

/// PostHog: a share of 0..=1. For variants the salt is "variant".
pub fn posthog(key: &str, bucketing_value: &str, salt: &str) -> f64 {
    sha1_sixty_bits(&format!("{key}.{bucketing_value}{salt}")) as f64 / SIXTY_BITS as f64
}

/// Split: a number of 1..=100.
pub fn split(key: &str, seed: u32) -> u32 {
    murmur3_x86_32(key.as_bytes(), seed) % 100 + 1
}
