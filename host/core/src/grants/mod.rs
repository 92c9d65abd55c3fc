//! Grants: what a component may use, by its digest, and the ceiling that nobody is granted more than.
//!
//! What a stage may have is what it asks for, as far as its component's grant names it, as far as every ceiling allows
//! it. A component without a grant has nothing. The file is kept in git and read by people, so that an unknown word in it is
//! an error and not a grant that means less, or more, than it says.

mod allow;
mod file;
mod propose;
mod text;

pub use allow::{Address, Allowance, GRANTS_FILE, Grants, Withheld};
pub use file::{
    API_VERSION, Ceiling, GrantedExemption, GrantedKind, GrantsError, GrantsFile, MAX_GRANTS_BYTES,
    PluginGrant, parse_grants,
};
pub use propose::{Proposal, Rendered, propose};
pub use text::{document, splice};
