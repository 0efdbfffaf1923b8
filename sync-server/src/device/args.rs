//! The commands of the terminal client, as its help shows them.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser as _};
use clap::{Args, Subcommand};
use onsite_core::domain::{
    Channel, CheckResult, Dissatisfaction, ExpenseCategory, IncompleteReason, Kind, Outcome, PayMethod, Satisfaction,
};
use onsite_core::messages::{Language, label};
use std::path::PathBuf;

/// A word of a closed set: help and errors list them all.
macro_rules! word {
    ($set:ty) => {
        PossibleValuesParser::new(
            <$set>::ALL.iter().map(|w| PossibleValue::new(w.word()).help(label(Language::ZhCn, *w))),
        )
        .try_map(|w| w.parse::<$set>())
    };
}

fn kind() -> impl clap::builder::TypedValueParser<Value = Kind> {
    let names = Kind::ALL.map(|k| PossibleValue::new(k.name()).help(label(Language::ZhCn, k)));
    PossibleValuesParser::new(names)
        .try_map(|name| Kind::ALL.into_iter().find(|k| k.name() == name).ok_or("unknown kind"))
}

const JOB: &str = "The job: a line of the last list (1, 2 …), a number, or words that only it has";
const ITEM: &str = "What: a line of the last list (1, 2 …), a number, or words that only it has";

const AFTER: &str = "\
A day: `enrol` once; `sync` and `ready` before leaving; `today`, then with a job's line
`acknowledge 1`, `travel 1`, `arrive 1`, `inspect 1 model passed`, `start 1`, `part 1 密封圈 2`,
`text 1 resolution …`, `end 1`, `result 1 completed`, `accept 1`, `rate 1 satisfied`, `sign 1 吴厂长`,
`receipt 1 1200`, `print 1`; `sync` where there is a network, `status` before handing the phone in.

Exit codes: 0 done, 1 not done (one line says why, with a stable code), 2 wrong use.";

/// The technician's phone in a terminal.
#[derive(Args, Debug)]
#[command(after_help = AFTER)]
pub struct DeviceArgs {
    /// The phone's folder: its records and photos.
    #[arg(long, global = true, env = "ONSITE_DEVICE", default_value = "onsite-device")]
    pub(super) data: PathBuf,
    /// Language: zh-CN or en.
    #[arg(long, global = true, env = "ONSITE_LANG", default_value = "zh-CN")]
    pub(super) lang: Language,
    /// Answers in JSON.
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// Hides the server's own option of this name from the phone's help.
    #[arg(long = "config", id = "config", global = true, hide = true)]
    _config: Option<PathBuf>,
    #[command(subcommand)]
    pub(super) command: Do,
}

/// A job that a command is about.
#[derive(Args, Debug)]
pub(super) struct OnJob {
    #[arg(value_name = "JOB", help = JOB)]
    pub(super) job: String,
}

#[derive(Subcommand, Debug)]
pub(super) enum Do {
    /// 绑定: enrols this phone by a one-time code from the office
    Enrol {
        /// The server's address, such as https://onsite.example
        server: String,
        /// The code, long or short
        code: String,
        /// What the office calls this phone
        #[arg(long, default_value = "terminal")]
        name: String,
    },
    /// 同步: sends what waits and fetches what is new
    Sync,
    /// 保持同步: stays in sync until Ctrl-C, and says what changes
    Watch,
    /// 今日工作: the day's jobs, and own requests still open
    Today,
    /// 列表: everything of a kind on this phone
    List {
        /// The kind
        #[arg(default_value = "work_order", value_parser = kind())]
        kind: Kind,
        /// Only this stage or state, such as on_site
        #[arg(long)]
        status: Option<String>,
    },
    /// 查看: everything about one thing, and what merges did to it
    Show {
        #[arg(value_name = "ITEM", help = ITEM)]
        job: String,
    },
    /// 历史: who changed what, when
    History {
        #[arg(value_name = "ITEM", help = ITEM)]
        job: String,
    },
    /// 搜索: numbers, names, phones, texts; finds single Chinese characters too
    Search {
        /// All of these
        #[arg(required = true)]
        words: Vec<String>,
    },
    /// 出发前检查: whether everything for the day is on this phone
    Ready,
    /// 接单: takes note of a job
    Acknowledge(OnJob),
    /// 出发: on the way
    Travel(OnJob),
    /// 到达现场: arrived
    Arrive(OnJob),
    /// 开始作业: work begins
    Start(OnJob),
    /// 暂停: work is interrupted
    Pause(OnJob),
    /// 继续: work goes on
    Resume(OnJob),
    /// 作业结束: work ends
    End(OnJob),
    /// 设备恢复运行: the machine runs again
    Restored(OnJob),
    /// 离开现场: leaves the site
    Depart(OnJob),
    /// 货物检查: inspects one line of the checklist
    Inspect {
        #[arg(value_name = "JOB", help = JOB)]
        job: String,
        /// The line: model, quantity, label, packaging, or one of the company's own
        check: String,
        /// How it came out
        #[arg(value_parser = word!(CheckResult))]
        result: CheckResult,
        /// What was seen
        #[arg(default_value = "")]
        note: String,
    },
    /// 记事: a note in the order of the day
    Note {
        #[arg(value_name = "JOB", help = JOB)]
        job: String,
        /// The note; `-` reads standard input
        text: String,
    },
    /// 与客户沟通: logs a contact with the customer
    Contact {
        #[arg(value_name = "JOB", help = JOB)]
        job: String,
        /// How
        #[arg(value_parser = word!(Channel))]
        channel: Channel,
        /// With whom
        with: String,
        /// What was said
        summary: String,
    },
    /// 零部件: parts used on site
    Part {
        #[arg(value_name = "JOB", help = JOB)]
        job: String,
        /// A required item by its name or part number, or something new
        name: String,
        /// How many; negative corrects
        #[arg(allow_negative_numbers = true)]
        used: i64,
        /// How many were taken back unused
        #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
        taken_back: i64,
        /// Part number
        #[arg(long, default_value = "")]
        part_no: String,
        /// Unit of count
        #[arg(long, default_value = "个")]
        unit: String,
    },
    /// 照片: takes a photo into a job or a request
    Photo {
        #[arg(value_name = "ITEM", help = ITEM)]
        job: String,
        /// A JPEG, PNG, WebP or HEIC file
        file: PathBuf,
        /// What it shows
        #[arg(default_value = "")]
        caption: String,
        /// The checklist line it proves
        #[arg(long)]
        check: Option<String>,
    },
    /// 填写: a text of the record; what others write at the same time stays
    Text {
        #[arg(value_name = "JOB", help = JOB)]
        job: String,
        /// Which
        #[arg(value_parser = ["service", "diagnosis", "resolution", "remarks", "comment"])]
        field: String,
        /// The text; `-` reads standard input
        text: String,
    },
    /// 处理结果: completed, or incomplete with a reason
    Result {
        #[arg(value_name = "JOB", help = JOB)]
        job: String,
        /// How it ended
        #[arg(value_parser = word!(Outcome))]
        outcome: Outcome,
        /// Why it is incomplete
        #[arg(long, value_parser = word!(IncompleteReason))]
        reason: Option<IncompleteReason>,
        /// Added to the remarks; needed for the reason `other`
        #[arg(long, default_value = "")]
        remarks: String,
    },
    /// 验收: the customer confirms that the machine works, or with --no that it does not
    Accept {
        #[arg(value_name = "JOB", help = JOB)]
        job: String,
        /// The customer does not confirm it
        #[arg(long)]
        no: bool,
        /// The customer's words
        #[arg(default_value = "")]
        remark: String,
    },
    /// 满意度: entered by the customer
    Rate {
        #[arg(value_name = "JOB", help = JOB)]
        job: String,
        /// How satisfied
        #[arg(value_parser = word!(Satisfaction))]
        satisfaction: Satisfaction,
        /// Why dissatisfied; may be given several times
        #[arg(long, value_parser = word!(Dissatisfaction))]
        reason: Vec<Dissatisfaction>,
        /// The customer's comment
        #[arg(default_value = "")]
        comment: String,
    },
    /// 客户签字: the customer signs what `show` shows
    Sign {
        #[arg(value_name = "JOB", help = JOB)]
        job: String,
        /// Who signs
        name: String,
        /// A file of pen strokes `x,y x,y;x,y …` in a box of 1000 × 400; a doodle stands in without
        #[arg(long)]
        strokes: Option<PathBuf>,
    },
    /// 客户未签字: the customer would not sign
    RefuseSignature {
        #[arg(value_name = "JOB", help = JOB)]
        job: String,
        /// Why
        reason: String,
    },
    /// 收款: money taken from the customer
    Receipt {
        #[arg(value_name = "JOB", help = JOB)]
        job: String,
        /// Yuan, such as 1200 or 99.50; negative corrects
        #[arg(allow_negative_numbers = true)]
        yuan: String,
        /// How
        #[arg(long, default_value = "cash", value_parser = word!(PayMethod))]
        method: PayMethod,
        /// Number of the paper receipt
        #[arg(default_value = "")]
        reference: String,
    },
    /// 费用: money spent of the advance
    Expense {
        #[arg(value_name = "JOB", help = JOB)]
        job: String,
        /// Yuan, such as 35.50; negative corrects
        #[arg(allow_negative_numbers = true)]
        yuan: String,
        /// On what
        #[arg(value_parser = word!(ExpenseCategory))]
        category: ExpenseCategory,
        /// A word about it
        #[arg(default_value = "")]
        note: String,
    },
    /// 报修: writes a repair request
    Report {
        /// The customer: a name, or a line, number or word of a customer on this phone
        customer: String,
        /// What is wrong
        problem: String,
        /// Whom to speak to
        #[arg(long, default_value = "")]
        contact: String,
        /// Their telephone
        #[arg(long, default_value = "")]
        phone: String,
        /// Where the machine stands
        #[arg(long, default_value = "")]
        address: String,
    },
    /// 撤回报修: takes one's own request back
    Withdraw {
        /// The request: a line of the last list, or its number
        request: String,
        /// Why
        reason: String,
    },
    /// 计划外现场服务: opens a visit for one's own request, before the office has dispatched
    Unplanned {
        /// The request: a line of the last list, or its number
        request: String,
    },
    /// 改进建议: writes an improvement idea
    Suggest {
        /// In a line
        title: String,
        /// The idea; `-` reads standard input
        text: String,
        /// The job it arose from
        #[arg(long)]
        job: Option<String>,
    },
    /// 说明: replies to a complaint, or to a proposal by its key
    Statement {
        /// The reply; `-` reads standard input
        text: String,
        /// The complaint: a line of the last list
        #[arg(long, conflicts_with = "proposal", required_unless_present = "proposal")]
        complaint: Option<String>,
        /// The proposal's key
        #[arg(long)]
        proposal: Option<String>,
    },
    /// 下达: gives any command as JSON, as the office's API takes it (`{"do": …}`)
    Give {
        /// The command; `-` reads standard input
        command: String,
    },
    /// 打印: writes both paper forms as HTML files
    Print {
        #[arg(value_name = "JOB", help = JOB)]
        job: String,
        /// Folder for the files
        #[arg(long, default_value = ".")]
        to: PathBuf,
    },
    /// 状态: what waits, and whether this phone may be handed in
    Status,
    /// 冲突: values that several people set at once
    Clashes,
    /// 选定: chooses one of several values
    Choose {
        #[arg(value_name = "ITEM", help = ITEM)]
        job: String,
        /// Which clash of it, as `clashes` numbers them
        clash: usize,
        /// Which value of that clash
        value: usize,
    },
    /// 被退回的修改: edits that the server refused, with the reason
    Refused,
    /// 重新发送: sends a refused edit again, once its cause is removed
    Resend {
        /// Its number in `refused`
        id: i64,
    },
    /// 放下: lets a refused edit rest; it stays on the phone
    Dismiss {
        /// Its number in `refused`
        id: i64,
    },
    /// 救援文件: exports or imports unsent work
    #[command(subcommand)]
    Rescue(Rescue),
    /// 退出: wipes this phone's records; refused while anything is unsent
    SignOut,
}

#[derive(Subcommand, Debug)]
pub(super) enum Rescue {
    /// Writes everything unsent to a sealed file (passphrase from ONSITE_PASSPHRASE, or asked)
    Export {
        /// The file to write
        file: PathBuf,
    },
    /// Takes a sealed file's edits over as one's own
    Import {
        /// The file
        file: PathBuf,
    },
}
