//! What a grant and the ceiling add to the guard for one component: images, resources, exemptions.

use crate::text::{escaped, quoted};
use serde::Serialize;
use std::collections::BTreeMap;

/// Everything is allowed, as far as this list is concerned.
pub const ANY_IMAGE: &str = "*";

/// Capabilities beyond the standard's that an exemption may name. None of them gives a pod the node.
pub const EXEMPT_CAPABILITIES: [&str; 5] = ["IPC_LOCK", "NET_RAW", "SYS_NICE", "SYS_PTRACE", "SYS_RESOURCE"];
/// Sysctls beyond the standard's that an exemption may name: those that the kernel keeps apart for each pod.
pub const EXEMPT_SYSCTLS: [&str; 4] = ["kernel.shm", "kernel.msg", "fs.mqueue.", "net."];

/// What narrows, and by exemptions widens, the guard for one component. The default adds nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bounds {
    /// An image must be on each of these lists.
    pub images: Vec<Images>,
    /// What the stage takes must be within each of these.
    pub limits: Vec<Limits>,
    /// Rules that are lifted for one value.
    pub exemptions: Vec<Exemption>,
}

/// A list of images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// Whose, for people: `its grant`, `the ceiling`.
    pub whose: &'static str,
    /// Registries, or registry and path; [`ANY_IMAGE`] for all.
    pub allowed: Vec<String>,
}

/// What a stage may take of the cluster, all its pods together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Whose, for people.
    pub whose: &'static str,
    /// Whether an extended resource (`nvidia.com/gpu`) that is not named is refused.
    pub closed: bool,
    /// Thousandths by resource name; `pods` counts pods.
    pub most: BTreeMap<String, u128>,
}

/// A rule that a grant lifts for one value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Exemption {
    /// The rule, as violations name it.
    pub rule: &'static str,
    /// For what, for example `IPC_LOCK`.
    pub value: String,
    /// Why, in the words of whoever granted it.
    pub reason: String,
}

/// An exemption that a manifest made use of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Exempted {
    /// Where.
    pub path: String,
    /// What was lifted.
    #[serde(flatten)]
    pub exemption: Exemption,
}

impl std::fmt::Display for Exempted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Exemption { rule, value, reason } = &self.exemption;
        write!(f, "{}: {} by an exemption: {} [{rule}]", self.path, quoted(value, 80), escaped(reason, 200))
    }
}

/// The rules that can be lifted, with what may be named for each.
///
/// ```
/// use ilab_core::guard::exemptable;
/// assert!(exemptable("capabilities", "IPC_LOCK").is_ok());
/// assert!(exemptable("capabilities", "SYS_ADMIN").unwrap_err().contains("IPC_LOCK"));
/// assert!(exemptable("privileged", "true").unwrap_err().contains("capabilities, sysctls"));
/// ```
///
/// # Errors
/// The valid words, as the end of a sentence.
pub fn exemptable(rule: &str, value: &str) -> Result<&'static str, String> {
    let dotted = |prefix: &&str| value.starts_with(*prefix) && value.len() > prefix.len();
    let plain = !value.is_empty() && value.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    match rule {
        "capabilities" if EXEMPT_CAPABILITIES.contains(&value) => Ok("capabilities"),
        "capabilities" => Err(format!(
            "{} is no capability that can be exempted; valid: {}",
            quoted(value, 40),
            EXEMPT_CAPABILITIES.join(", ")
        )),
        "sysctls" if plain && (EXEMPT_SYSCTLS.iter().any(dotted) || value == "kernel.sem") => Ok("sysctls"),
        "sysctls" => Err(format!(
            "{} is no sysctl that can be exempted; valid: kernel.sem, and what begins with {}",
            quoted(value, 80),
            EXEMPT_SYSCTLS.join(", ")
        )),
        other => {
            Err(format!("no exemption can be made from {}; valid: capabilities, sysctls", quoted(other, 40)))
        }
    }
}
