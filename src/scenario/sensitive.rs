//! Columns that hold a sensitive attribute of a person, which must not decide who gets a release:
//! sensitive personal information under China's Personal Information Protection Law (PIPL), see
//! also docs/REFERENCE_POLICY.md. The words are in `sensitive_words.rs`.

use serde::{Deserialize, Serialize};

use crate::base::error::Problem;
use crate::base::skeleton::{fold, is_han, words};
use crate::scenario::sensitive_words::{
    AMBIGUOUS, CHINESE, HARMLESS, HARMLESS_CHINESE, PERSON, SHAPE, STRICT,
};

/// A column that a rule may use although its name contains a sensitive attribute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowedColumn {
    /// Name of the column, as the scenario or the command line spells it.
    pub column: String,
    /// Reason for the exception, as its author wrote it.
    pub reason: String,
}

/// The rule that no layer, metric or cut depends on a sensitive attribute.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SensitiveRule {
    /// Words beside the built-in ones.
    pub words: Vec<String>,
    /// Exceptions, with their reasons.
    pub allowed: Vec<AllowedColumn>,
}

/// Names of the columns that say who and when. They divide no users into kinds.
const KEYS: [&str; 2] = ["user_id", "event_time"];

impl SensitiveRule {
    /// Checks the name of a column that enters a rule or a cut.
    ///
    /// # Errors
    /// The name contains a sensitive attribute, and the column is not allowed. The problem has no
    /// location.
    pub fn check(&self, column: &str) -> Result<(), Problem> {
        let is_allowed = self.allowed.iter().any(|allowed| allowed.column == column);
        let Some(word) = sensitive_word(column, &self.words).filter(|_| !is_allowed) else {
            return Ok(());
        };
        let message =
            format!("expected a column that is not a sensitive attribute, found \"{column}\" (\"{word}\")");
        Err(Problem::new("", message).hint(
            "a release must not depend on sensitive attributes; use a column about behavior, or allow this \
             one with a reason: [[allowed_column]] in a scenario, --allow-column COLUMN=REASON",
        ))
    }

    /// Checks the name of a column and the name that a source gives to it. The columns that say who
    /// and when, `user_id` and `event_time`, are not checked.
    ///
    /// # Errors
    /// As [`SensitiveRule::check`], for either name.
    pub fn check_named(&self, canonical: &str, column: &str) -> Result<(), Problem> {
        if KEYS.contains(&canonical) {
            return Ok(());
        }
        self.check(column)?;
        self.check(canonical)
    }
}

impl SensitiveRule {
    /// Checks the names in a SQL expression, and the name that a source gives to its values. The
    /// columns that say who and when are not checked. A filter has the name `where`.
    ///
    /// # Errors
    /// As [`SensitiveRule::check`], for any of the names.
    pub fn check_expression(&self, canonical: &str, text: &str) -> Result<(), Problem> {
        if KEYS.contains(&canonical) {
            return Ok(());
        }
        self.check(canonical)?;
        names_in(text).iter().try_for_each(|name| self.check(name))
    }
}

/// The names in a SQL expression: of columns, of fields and of functions. Texts in single quotes are
/// values, except behind an arrow.
fn names_in(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_alphanumeric() || c == '_' || c == '\'' || c == '"') {
        let (before, from) = rest.split_at(start);
        let is_name = |c: char| c.is_alphanumeric() || c == '_';
        let quote = from.chars().next().filter(|c| *c == '\'' || *c == '"');
        let end = match quote {
            Some(quote) => from[1..].find(quote).map_or(from.len(), |end| end + 2),
            None => from.find(|c: char| !is_name(c)).unwrap_or(from.len()),
        };
        let word = from[..end].trim_matches(['\'', '"']);
        let before = before.trim_end();
        if quote != Some('\'') || before.ends_with('>') || before.ends_with('[') {
            names.push(word.to_owned());
        }
        rest = &from[end..];
    }
    names
}

/// The largest number of words of a name that together make one word of the list, such as
/// `sexual_orientation` and `xing_qu_xiang`.
const MAX_JOINED: usize = 5;

/// The smallest length of a word of the list that may be written as several words.
const MIN_JOINED: usize = 5;

/// Returns the word of a sensitive attribute that a column's name contains. `None` if it contains
/// none. `more` adds words to the built-in list; they are looked for like `gender`.
///
/// The name is split into words, so that `page` does not contain `age`. A word is recognized in any
/// case, in the plural, with digits behind it, with invisible characters, and with letters of other
/// scripts that look like Latin letters. A word that also names other things, such as `age`, counts
/// only if all other words of the name describe a person or a column (`user_age_group`, not
/// `cache_age`). Chinese words count anywhere in the name.
pub fn sensitive_word(column: &str, more: &[String]) -> Option<String> {
    let parts: Vec<String> = words(column)
        .iter()
        .map(|word| fold(word))
        .filter(|word| !word.chars().all(char::is_numeric))
        .collect();
    chinese_word(&parts.concat(), more).or_else(|| latin_word(&parts, more))
}

/// Returns the Chinese word that a name without separators contains.
fn chinese_word(name: &str, more: &[String]) -> Option<String> {
    if !name.chars().any(is_han) {
        return None;
    }
    let mut rest = name.to_owned();
    for harmless in HARMLESS_CHINESE {
        rest = rest.replace(harmless, " ");
    }
    let own = CHINESE.iter().copied().map(str::to_owned);
    let more = more.iter().filter(|word| word.chars().any(is_han));
    own.chain(more.map(|word| joined(word)))
        .find(|word| rest.contains(word.as_str()))
}

/// Returns the word of the Latin alphabet, or of another alphabet of `more`, that a name contains.
fn latin_word(parts: &[String], more: &[String]) -> Option<String> {
    let more: Vec<String> = more.iter().map(|word| joined(word)).collect();
    let is_strict = |word: &str| STRICT.contains(&word) || more.iter().any(|other| other == word);
    let parts = without_harmless(parts);
    for start in 0..parts.len() {
        for end in start + 1..=parts.len().min(start + MAX_JOINED) {
            let text = parts[start..end].concat();
            let is_long = end == start + 1 || text.len() >= MIN_JOINED;
            if let Some(word) = singular(&text).find(|word| is_long && is_strict(word)) {
                return Some(word);
            }
        }
    }
    for (idx, part) in parts.iter().enumerate() {
        if let Some(word) = inner_word(part, &is_strict) {
            return Some(word);
        }
        let others = || parts[..idx].iter().chain(&parts[idx + 1..]);
        let is_about_people =
            idx > 0 && PERSON.contains(&parts[idx - 1].as_str()) || others().all(|other| is_neutral(other));
        if is_about_people && let Some(word) = singular(part).find(|word| is_ambiguous(word)) {
            return Some(word);
        }
    }
    joined_ambiguous(&parts)
}

/// Returns the ambiguous word that neighboring words make together, such as `guo_ji`, if all other
/// words of the name are neutral.
fn joined_ambiguous(parts: &[String]) -> Option<String> {
    for start in 0..parts.len() {
        for end in start + 2..=parts.len().min(start + MAX_JOINED) {
            let text = parts[start..end].concat();
            let mut others = parts[..start].iter().chain(&parts[end..]);
            if text.len() >= MIN_JOINED && is_ambiguous(&text) && others.all(|other| is_neutral(other)) {
                return Some(text);
            }
        }
    }
    None
}

/// Returns the words without those of harmless names, such as `race_condition`.
fn without_harmless(parts: &[String]) -> Vec<String> {
    let mut rest = Vec::new();
    let mut idx = 0;
    while idx < parts.len() {
        let text = |len: usize| {
            parts[idx..]
                .iter()
                .take(len)
                .map(String::as_str)
                .collect::<String>()
        };
        let harmless =
            (1..=2).find(|len| singular(&text(*len)).any(|word| HARMLESS.contains(&word.as_str())));
        match harmless {
            // The place of a harmless name stays, so that words around it do not become neighbors.
            Some(len) => {
                rest.push("-".to_owned());
                idx += len;
            }
            None => {
                rest.push(parts[idx].clone());
                idx += 1;
            }
        }
    }
    rest
}

/// Returns the sensitive word inside of a word without separators: `usergender`, `gendercode`.
fn inner_word(part: &str, is_strict: &dyn Fn(&str) -> bool) -> Option<String> {
    let befores = PERSON.iter().chain(&["is", "has"]).copied().chain([""]);
    for before in befores {
        let Some(rest) = part.strip_prefix(before) else {
            continue;
        };
        // Short endings would find words where none are: `genesis` is not `genes` and `is`.
        let shapes = SHAPE
            .iter()
            .copied()
            .filter(|shape| shape.len() > 2 || *shape == "id");
        for behind in shapes.chain([""]) {
            let Some(word) = rest.strip_suffix(behind) else {
                continue;
            };
            if word == part {
                continue;
            }
            if let Some(word) = singular(word).find(|word| is_strict(word) || is_ambiguous(word)) {
                return Some(word);
            }
        }
    }
    None
}

fn is_ambiguous(word: &str) -> bool {
    AMBIGUOUS.contains(&word)
}

/// Whether a word says nothing about what a column holds.
fn is_neutral(word: &str) -> bool {
    word.len() == 1 || PERSON.contains(&word) || SHAPE.contains(&word)
}

/// Iterates over a word and its possible singulars.
fn singular(word: &str) -> impl Iterator<Item = String> {
    let cut = |ending: &str, instead: &str| {
        let stem = word.strip_suffix(ending).filter(|stem| stem.len() > 2);
        stem.map(|stem| format!("{stem}{instead}"))
    };
    let forms = [
        Some(word.to_owned()),
        cut("s", ""),
        cut("es", ""),
        cut("ies", "y"),
    ];
    forms.into_iter().flatten()
}

/// Returns a word of a list as it is compared: its skeleton without separators.
fn joined(word: &str) -> String {
    words(word).iter().map(|word| fold(word)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(column: &str, expected: Option<&str>) {
        let more = ["postcode".to_owned(), "星座".to_owned()];
        assert_eq!(sensitive_word(column, &more).as_deref(), expected, "{column}");
    }

    #[test]
    fn sensitive_columns_are_found() {
        let refused = |columns: &str| {
            for column in columns.split_whitespace() {
                assert!(sensitive_word(column, &[]).is_some(), "{column}");
            }
        };
        check("gender", Some("gender"));
        check("Postcode", Some("postcode"));
        check("user_post_code2", Some("postcode"));
        check("用户星座", Some("星座"));
        refused(
            "age sex gender race ethnicity ethnic nationality citizenship religion religious caste \
             disability",
        );
        refused(
            "marital_status married pregnant pregnancy passport ssn id_card national_id union_member \
             politics",
        );
        refused(
            "political_affiliation party_member sexual_orientation orientation health medical_history \
             disease",
        );
        refused(
            "genetic_data dna biometric faith birth_date dob age_group user_age health_status mental_health",
        );
        // Case, plurals, digits, abbreviations.
        refused(
            "userGender isDisabled user_Gender GENDER UserRaceCode hasDisability maritalStatus isPregnant",
        );
        refused(
            "genders disabled races religions nationalities disabilities ages diseases sexes ethnicities",
        );
        refused(
            "gender1 gender_2 age3 sex01 usergender gendercode userage isdisabled agegroup gndr ethn relig",
        );
        // Pinyin, together and apart.
        refused(
            "xingbie minzu guoji zongjiao nianling shenfenzheng hunyin huaiyun canji xing_bie xingBie minZu",
        );
        refused("zhengzhimianmao zheng_zhi_mian_mao xingquxiang user_xingbie guo_ji sfz gonghui jiankang");
        // Chinese in both scripts.
        refused(
            "性别 性別 种族 種族 国籍 國籍 民族 年龄 年齡 身份证 身份證号 怀孕 懷孕 婚姻 宗教信仰 残疾 殘疾 工会 工會",
        );
        refused("政治面貌 党员 黨員 性取向 健康 疾病 病史 醫療 基因 生物識別 种姓 護照 用户_性_别");
        // Other characters.
        refused(
            "ｇｅｎｄｅｒ gen\u{200b}der \u{feff}gender gen\u{ad}der \u{202e}gender\u{202c} génder ge\u{301}nder",
        );
        refused("gеnder GЕNDER аge ѕex rаce gεnder ɢender 𝗀𝖾𝗇𝖽𝖾𝗋 性\u{200b}别");
    }

    #[test]
    fn columns_of_logs_are_not_refused() {
        let allowed = "orientation_map page stage usage package message image average language race_condition trace \
            sexagesimal health_check service_health political_map user_id event_time release_id tenant_id \
            trace_id latency_ms cost_usd tokens_in tokens_out task_completed escalated refused complaint \
            csat feature segment cache_age account_age_days max_age_seconds session_age_ms message_age \
            percentage coverage storage user_agent agent_id agents user_usage user_message user_language \
            user_page third_party party_size union_id unionid openid map_orientation device_orientation \
            screenOrientation page_orientation race_ms disabled_tools feature_disabled account_disabled \
            tool_disabled system_fingerprint prompt_fingerprint error_diagnosis root_cause_diagnosis \
            genetic_algorithm_seed data_race endpoint_health customer_health customer_health_score essex \
            sextant middlesex malware human_in_loop man_page gene_ration genesis nativeType tribe_id \
            denomination general agenda generation agency engage manager mileage leverage garbage dosage \
            visage bandage homepage nps_mean tier use_count user_value accept_score is_allow_gray \
            last_use_time channel region city plan_type pregel turn_count retrieved_docs guardrail_hits 客服分组 \
            健康检查 服务健康度 账号年龄 设备指纹 渠道 城市 会员等级";
        for column in allowed.split_whitespace() {
            check(column, None);
        }
    }
}
