//! The reasons for unknown numbers.

use crate::stats::Reason;
use crate::words::lang::Lang;
use crate::words::text::Say;

impl Say for Reason {
    fn say(&self, lang: Lang) -> String {
        match lang {
            Lang::En => self.to_string(),
            Lang::Zh => zh(*self).to_owned(),
        }
    }
}

fn zh(reason: Reason) -> &'static str {
    match reason {
        Reason::NoData => "没有数据",
        Reason::NoColumn => "日志缺少所需的列",
        Reason::TooFewClusters => "某一组的分桶组少于 20 个",
        Reason::NoConcurrentControl => "没有同期对照",
        Reason::DominatingCluster => "几乎全部数据来自同一分桶组",
        Reason::NotAdditive => "该量无法求和",
        Reason::TooFewRows => "行数过少",
        Reason::NoVariance => "数值完全相同，无法估计误差",
        Reason::ControlNearZero => "对照的区间包含 0",
        Reason::NoOverlap => "两种策略重叠过少",
        Reason::OneSided => "单侧区间，此侧无界",
        Reason::OutOfRange => "超出双精度数的范围",
        Reason::TooLarge => "规模过大，无法精确计算",
        Reason::NoSolution => "没有满足条件的值",
        Reason::Aliased => "各原因总是同时出现，无法区分",
        Reason::UselessJudge => "灵敏度与特异度之和不大于 1",
        Reason::Incomplete => "部分行缺少该值",
        Reason::AboveOne => "比例大于 1：事件数多于试验数",
        Reason::Clustered => "同一聚类的行不独立",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_have_both_languages() {
        assert_eq!(Reason::NoData.say(Lang::En), "no data");
        assert_eq!(Reason::NoData.say(Lang::Zh), "没有数据");
    }
}
