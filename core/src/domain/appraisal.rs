//! 处罚规则 / 奖励规则: evidence gathered, proposals derived. The service manager decides.
