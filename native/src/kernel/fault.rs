//! The one error type of the kernels.

use std::fmt;

/// What kind of trouble a fault is; its name is the error code that the TypeScript side knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// A caller broke the contract of a kernel (lengths, ranges).
    Internal,
    /// A file's bytes are not what its format asks for.
    Malformed,
    /// Numbers that cannot be worked with: NaN, infinity, not positive definite.
    Numeric,
    /// A file does not exist.
    NotFound,
    /// Reading failed, or memory ran out.
    Resource,
    /// The caller asked to stop.
    Interrupted,
}

impl FaultKind {
    pub fn name(self) -> &'static str {
        match self {
            FaultKind::Internal => "internal",
            FaultKind::Malformed => "malformed",
            FaultKind::Numeric => "numeric",
            FaultKind::NotFound => "not-found",
            FaultKind::Resource => "resource",
            FaultKind::Interrupted => "interrupted",
        }
    }
}

/// Why a kernel could not finish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub kind: FaultKind,
    pub message: String,
}

impl Fault {
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Fault { kind, message: message.into() }
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Fault::new(FaultKind::Internal, message)
    }

    pub fn numeric(message: impl Into<String>) -> Self {
        Fault::new(FaultKind::Numeric, message)
    }

    pub fn interrupted() -> Self {
        Fault::new(FaultKind::Interrupted, "stopped on request")
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "[{}] {}", self.kind.name(), self.message)
    }
}

impl std::error::Error for Fault {}

/// Checks a promise of the caller; a broken one is an internal fault with both numbers.
pub fn expect_length(what: &str, found: usize, expected: usize) -> Result<(), Fault> {
    if found == expected {
        return Ok(());
    }
    Err(Fault::internal(format!("{what} has {found} elements, expected {expected}")))
}
