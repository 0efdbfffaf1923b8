//! Typed ids. Parsed at the edge, so that inside no string means something.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use uuid::Uuid;

macro_rules! id_type {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// The id's 16 bytes.
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(s: &str) -> Result<Self, Self::Err> {
                Ok(Self(Uuid::parse_str(s)?))
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }
    )+};
}

macro_rules! doc_id_type {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        id_type!($($(#[$doc])* $name),+);
        $(
            impl From<$name> for DocId {
                fn from(id: $name) -> Self {
                    Self(id.0)
                }
            }
            impl From<DocId> for $name {
                fn from(id: DocId) -> Self {
                    Self(id.0)
                }
            }
        )+
    };
}

id_type! {
    /// A company on a server.
    TenantId,
    /// A phone (or the office server itself, per epoch) that authors changes.
    DeviceId,
    /// Any document, whatever its kind.
    DocId,
    /// An item inside a document: a contact, a part, a photo, an event.
    ItemId,
}

doc_id_type! {
    /// A member of staff; also the document that describes them.
    StaffId,
    /// A customer file.
    CustomerId,
    /// A repair request 报修服务单.
    RequestId,
    /// A work order with its dispatch order 派遣单.
    WorkOrderId,
    /// A visit: the on-site record 现场安装(维修)记录.
    VisitId,
    /// A follow-up call 回访.
    FollowUpId,
    /// A complaint 投诉.
    ComplaintId,
    /// A technician's statement about a complaint or a proposal.
    StatementId,
    /// A suggestion for improvement.
    SuggestionId,
    /// A decision on a proposed penalty or reward.
    AppraisalId,
}

/// The one settings document of a company has the same id everywhere.
pub const SETTINGS: DocId = DocId(Uuid::from_u128(0x0e51_7e00_0000_7000_8000_0000_0000_0001));

/// Namespace of derived visit ids.
const VISITS: Uuid = Uuid::from_u128(0x0e51_7e00_0000_7000_8000_0000_0000_0002);

impl VisitId {
    /// The visit of one dispatch of a work order: two phones that open it
    /// offline open the same document.
    pub fn of_dispatch(order: WorkOrderId, round: u32) -> Self {
        let mut name = order.as_bytes().to_vec();
        name.extend_from_slice(&round.to_be_bytes());
        Self(Uuid::new_v5(&VISITS, &name))
    }

    /// The unplanned visit that a request's author makes before the office
    /// has opened a work order.
    pub fn of_request(request: RequestId) -> Self {
        Self(Uuid::new_v5(&VISITS, request.as_bytes()))
    }
}

/// What a document is about; decides who may write it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Kind {
    /// A member of staff.
    Staff,
    /// The company's settings.
    Settings,
    /// A customer file.
    Customer,
    /// A repair request.
    Request,
    /// A work order.
    WorkOrder,
    /// A visit.
    Visit,
    /// A follow-up call.
    FollowUp,
    /// A complaint.
    Complaint,
    /// A technician's statement.
    Statement,
    /// A suggestion.
    Suggestion,
    /// A decision on a proposal.
    Appraisal,
}

impl Kind {
    /// Every kind, in the order of its number.
    pub const ALL: [Kind; 11] = [
        Kind::Staff,
        Kind::Settings,
        Kind::Customer,
        Kind::Request,
        Kind::WorkOrder,
        Kind::Visit,
        Kind::FollowUp,
        Kind::Complaint,
        Kind::Statement,
        Kind::Suggestion,
        Kind::Appraisal,
    ];

    /// The kind's stable number, as stored and sent.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The kind with that number.
    pub fn from_number(n: u8) -> Option<Self> {
        Self::ALL.get(usize::from(n)).copied()
    }

    /// The kind's stable name, as in serde.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Staff => "staff",
            Kind::Settings => "settings",
            Kind::Customer => "customer",
            Kind::Request => "request",
            Kind::WorkOrder => "work_order",
            Kind::Visit => "visit",
            Kind::FollowUp => "follow_up",
            Kind::Complaint => "complaint",
            Kind::Statement => "statement",
            Kind::Suggestion => "suggestion",
            Kind::Appraisal => "appraisal",
        }
    }
}

/// A document named by kind and id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct DocRef {
    /// Its kind.
    pub kind: Kind,
    /// Its id.
    pub id: DocId,
}

impl DocRef {
    /// A reference to a document.
    pub fn new(kind: Kind, id: impl Into<DocId>) -> Self {
        Self { kind, id: id.into() }
    }
}
