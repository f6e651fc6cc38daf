//! Labels that are cut to a width.

/// Cuts a label to `most` letters. Wide letters count twice.
pub(super) fn short(label: &str, most: usize) -> String {
    let width = |ch: char| if u32::from(ch) < 0x1100 { 1 } else { 2 };
    if label.chars().map(width).sum::<usize>() <= most {
        return label.to_owned();
    }
    let mut free = most - 1;
    let kept: String = label
        .chars()
        .take_while(|ch| free.checked_sub(width(*ch)).map(|left| free = left).is_some())
        .collect();
    format!("{kept}…")
}

#[cfg(test)]
mod tests {
    #[test]
    fn long_labels_are_cut() {
        assert_eq!(
            crate::report::short::short("regular: task_completion_rate", 42),
            "regular: task_completion_rate"
        );
        assert_eq!(
            crate::report::short::short(&"x".repeat(60), 42).chars().count(),
            42
        );
        assert_eq!(
            crate::report::short::short(&"层".repeat(60), 42).chars().count(),
            21
        );
    }
}
