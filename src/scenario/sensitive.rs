//! Attributes that must not decide who gets a release: sensitive personal information under China's
//! Personal Information Protection Law (PIPL), see also docs/REFERENCE_POLICY.md.

/// Words that name a sensitive attribute, in lower case, English and Chinese.
const WORDS: &[&str] = &[
    "race",
    "racial",
    "ethnic",
    "ethnicity",
    "nationality",
    "gender",
    "sex",
    "religion",
    "religious",
    "faith",
    "health",
    "medical",
    "disease",
    "diagnosis",
    "disability",
    "political",
    "politics",
    "party_member",
    "sexual",
    "orientation",
    "biometric",
    "genetic",
    "union_member",
    "种族",
    "民族",
    "国籍",
    "性别",
    "宗教",
    "信仰",
    "健康",
    "疾病",
    "病史",
    "医疗",
    "残疾",
    "政治",
    "党派",
    "性取向",
    "生物识别",
    "基因",
];

/// Returns the sensitive word that a column's name contains. `None` if it contains none. `more`
/// adds words to the built-in list. ASCII words match whole parts of the name (`gender_code`, not
/// `sextant`). Chinese words match anywhere in the name.
pub fn sensitive_word(column: &str, more: &[String]) -> Option<String> {
    let lower = column.to_lowercase();
    let parts: Vec<&str> = lower
        .split(|c: char| !c.is_alphanumeric())
        .filter(|p| !p.is_empty())
        .collect();
    let hit = |word: &str| {
        if word.is_ascii() {
            parts.contains(&word) || lower == word
        } else {
            lower.contains(word)
        }
    };
    WORDS
        .iter()
        .copied()
        .chain(more.iter().map(String::as_str))
        .find(|word| hit(&word.to_lowercase()))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use crate::scenario::sensitive::sensitive_word;

    #[test]
    fn finds_sensitive_columns() {
        let check = |column: &str, expected: Option<&str>| {
            assert_eq!(sensitive_word(column, &["caste".into()]).as_deref(), expected)
        };
        check("gender", Some("gender"));
        check("user_Gender", Some("gender"));
        check("用户性别", Some("性别"));
        check("Caste", Some("caste"));
        check("sextant", None);
        check("user_value", None);
    }
}
