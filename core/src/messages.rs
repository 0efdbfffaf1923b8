//! Words for people, from message files: zh-CN first, English second.
