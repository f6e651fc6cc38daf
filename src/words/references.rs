//! Why a reference of a record may lead to another content.

use crate::words::text::texts;

texts! {
    says_mutable(): "the record says it is mutable, and it has no digest", "记录声明其可变且没有摘要";
    alias_moves(): "an alias can be moved, and there is no digest", "别名可以改指且没有摘要";
    label_moves(name):
        "`{name}` is a label, which can be moved to another version, and there is no digest",
        "`{name}` 是标签，可以改指其他版本，且没有摘要";
    is_alias(name):
        "`{name}` is an alias, which can be moved to another version, and there is no digest",
        "`{name}` 是别名，可以改指其他版本，且没有摘要";
    is_range(version):
        "`{version}` is a range of versions, of which the newest is taken",
        "`{version}` 是版本范围，会取其中最新的版本";
    not_fixed(word):
        "`{word}` does not name a fixed version, and the reference has no digest",
        "`{word}` 不是固定版本，且引用没有摘要";
    is_route(name, router):
        "`{name}` is a route of {router}, which can lead to another model; `{router}:{name}=MODEL` says to \
         which",
        "`{name}` 是 {router} 的路由，可能指向其他模型；请写成 `{router}:{name}=MODEL`";
    is_deployment(name):
        "`{name}` is a deployment of Azure, which can get another model, and there is no digest",
        "`{name}` 是 Azure 部署，可能更换模型，且没有摘要";
    has_no_tag(name): "`{name}` has no tag, so `latest` is taken", "`{name}` 没有标签，会取 `latest`";
    tag_moves(name):
        "the tag `{name}` can be moved, and there is no digest",
        "标签 `{name}` 可以改指且没有摘要";
    is_branch(name):
        "`{name}` is a branch or a tag, which can be moved; a commit cannot",
        "`{name}` 是分支或标签，可以移动；请使用提交号";
    has_no_date(name):
        "`{name}` has no date, so the provider can move it to another version, and there is no digest",
        "`{name}` 没有日期，供应商可以改指其他版本，且没有摘要";
    has_no_version(): "it has no version and no digest", "没有版本号，也没有摘要";
}
