use super::*;

#[test]
fn records_come_back_as_they_were() {
    let mut span = Span {
        group: "t".into(),
        trace: "t".into(),
        id: "s".into(),
        role: Role::Tool,
        flags: Flags(Flags::ERROR | Flags::STREAM),
        start: Some(1_779_926_400_000_000_000),
        end: Some(1_779_926_399_999_999_999),
        version: 5,
        usage: Usage {
            input: Some(900),
            reasoning: Some(-1),
            ..Usage::default()
        },
        cost: Some(207_000),
        response: u64::MAX,
        ..Span::default()
    };
    span.put(Field::User, 2, "second");
    span.put(Field::User, 1, "first");
    span.put(Field::User, 1, "later");
    span.put(Field::Named(3), NAMED, "用");
    span.put(Field::Tenant, 1, " ");
    let mut bytes = Vec::new();
    span.encode(&mut bytes);
    assert_eq!(Record::group_of(&bytes), Some("t"));
    assert_eq!(span.text(Field::User), Some("first"));
    assert_eq!(span.texts.len(), 2);
    for cut in 0..bytes.len() {
        assert_eq!(Record::decode(&bytes[..cut]), None, "{cut}");
    }
    assert_eq!(Record::decode(&bytes), Some(Record::Span(Box::new(span))));
    for target in [
        Target::Trace("t".into(), "s".into()),
        Target::Session("c".into()),
        Target::Response(7),
    ] {
        let score = Score {
            target,
            id: "i".into(),
            rule: 2,
            value: 0.5,
            at: Some(-3),
            version: i64::MIN,
        };
        bytes.clear();
        score.encode(&mut bytes);
        assert_eq!(Record::decode(&bytes), Some(Record::Score(score)));
    }
}
