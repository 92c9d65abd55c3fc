//! What a component may have: what it asks for, as far as it is granted, as far as every ceiling allows.

use super::file::{Ceiling, GrantsFile, PluginGrant};
use crate::contract::{Descriptor, Kind};
use crate::graph::Offer;
use crate::guard::{Bounds, Exemption, Images, Level, Limits, Policy, exemptable, shown};
use crate::names::{PluginDigest, StageName};
use crate::quantity::milli;
use crate::text::{escaped, quoted, shell_word};
use std::collections::{BTreeMap, BTreeSet};

/// What a grants file is called where it is looked for.
pub const GRANTS_FILE: &str = "grants.yaml";
const GRANT: &str = "its grant";
const CEILING: &str = "the ceiling";
/// A limit of what its claims hold, and not of what its pods take.
const STORAGE: &str = "storage";

/// All grants files that count, and what becomes of a component that none of them names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// The files. A component may be granted something by one of them; the ceilings of all hold.
    pub files: Vec<GrantsFile>,
    /// Where grants were looked for, for messages.
    pub looked: Vec<String>,
    /// Whether a component without a grant gets what it asks for, as far as the ceilings allow.
    pub allow_ungranted: bool,
    /// Components that lie in no folder of the operator's, and how they are named to `plugin grant`.
    pub addresses: BTreeMap<PluginDigest, Address>,
}

/// How a component of a registry is named on a command line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Address {
    /// Its reference, and the options under which it was let in, as words of a shell.
    pub words: String,
    /// The grants file that counts for it where none is named.
    pub grants: String,
}

/// What one stage may have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowance {
    /// The kinds that it may create.
    pub kinds: Vec<Kind>,
    /// ConfigMaps of the namespace that its pods may read besides those of the run.
    pub config_maps: BTreeSet<String>,
    /// What is added to the guard.
    pub bounds: Bounds,
    /// Whether the component has a grant; without one it was let through expressly.
    pub granted: bool,
}

/// What a stage asks for and may not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Withheld {
    /// The component has no grant.
    #[error("{} ({}) is granted nothing, so its {} may not run: {}", escaped(.file, 200), .digest.short(), stages_of(.stages), because(.looked, .other.as_ref()))]
    Ungranted {
        /// The stages that were asked for.
        stages: Vec<StageName>,
        /// The component's file.
        file: String,
        /// The component.
        digest: PluginDigest,
        /// Where a grant was looked for.
        looked: Vec<String>,
        /// A grant for another digest of the same file.
        other: Option<PluginDigest>,
        /// The command that proposes one.
        command: String,
    },
    /// A credential or a volume that the grant or a ceiling does not name.
    #[error("stage {stage} of {} ({}) asks for the {what} {}, which {whose} ({}) does not name", escaped(.file, 200), .digest.short(), quoted(.name, 60), escaped(.source_file, 200))]
    Word {
        /// The stage.
        stage: StageName,
        /// The component's file.
        file: String,
        /// The component.
        digest: PluginDigest,
        /// `credential` or `volume`.
        what: &'static str,
        /// Its logical name.
        name: String,
        /// `its grant` or `the ceiling`.
        whose: &'static str,
        /// The grants file.
        source_file: String,
        /// The command that proposes a larger grant.
        command: String,
    },
    /// Larger claims than are allowed.
    #[error("stage {stage} of {} ({}) asks for {takes} of storage, and {whose} ({}) allows {most}", escaped(.file, 200), .digest.short(), escaped(.source_file, 200))]
    Storage {
        /// The stage.
        stage: StageName,
        /// The component's file.
        file: String,
        /// The component.
        digest: PluginDigest,
        /// What it asks for.
        takes: String,
        /// What is allowed.
        most: String,
        /// `its grant` or `the ceiling`.
        whose: &'static str,
        /// The grants file.
        source_file: String,
        /// The command that proposes a larger grant.
        command: String,
    },
}

fn stages_of(stages: &[StageName]) -> String {
    let names: Vec<_> = stages.iter().map(StageName::as_str).collect();
    format!("{} {}", if names.len() == 1 { "stage" } else { "stages" }, names.join(", "))
}

fn because(looked: &[String], other: Option<&PluginDigest>) -> String {
    let looked = match looked {
        [] => "there is no grants.yaml beside it".to_owned(),
        files => format!("there is no grant for it in {}", escaped(&files.join(", "), 300)),
    };
    match other {
        Some(digest) => format!("{looked}, only one for {}, another build", digest.short()),
        None => looked,
    }
}

impl Withheld {
    /// What to try.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Ungranted { command, .. } => format!(
                "`{command}` shows the least that it needs, --write grants it; --allow-ungranted does without, this once"
            ),
            Self::Word { whose: CEILING, .. } | Self::Storage { whose: CEILING, .. } => {
                "whoever keeps the ceiling decides".to_owned()
            }
            Self::Word { command, .. } | Self::Storage { command, .. } => {
                format!("`{command}` shows what it asks for as a diff of what it is granted")
            }
        }
    }
}

impl Grants {
    /// Everything that a component asks for, without a ceiling: for tests, and for tools that touch no cluster.
    #[must_use]
    pub fn everything() -> Self {
        Self { allow_ungranted: true, ..Self::default() }
    }

    /// The policy, made as strict as the strictest ceiling.
    #[must_use]
    pub fn policy(&self, policy: &Policy) -> Policy {
        let mut policy = policy.clone();
        for ceiling in self.ceilings().map(|(_, ceiling)| ceiling) {
            policy.level = policy.level.max(ceiling.pod_security.unwrap_or(Level::Baseline));
            policy.require_digests |= ceiling.require_digests;
        }
        policy
    }

    /// What a stage may have.
    ///
    /// # Errors
    /// Everything that it cannot run without and may not have.
    pub fn allow(&self, offer: &Offer) -> Result<Allowance, Vec<Withheld>> {
        let Offer { descriptor, file, digest } = offer;
        let found = self.grant(digest);
        if found.is_none() && !self.allow_ungranted {
            return Err(vec![Withheld::Ungranted {
                stages: vec![descriptor.name.clone()],
                file: file.clone(),
                digest: digest.clone(),
                looked: self.looked.clone(),
                other: self.other(file),
                command: self.command(offer, self.looked.first().map(String::as_str)),
            }]);
        }
        let mut allowance = Allowance { kinds: descriptor.creates.clone(), ..Allowance::default() };
        let mut withheld = Vec::new();
        if let Some((source, grant)) = found {
            allowance.granted = true;
            allowance.of_grant(grant);
            let words = Words { grants: self, offer, whose: GRANT, source };
            withheld.extend(words.outside("credential", credentials(descriptor), &grant.credentials));
            withheld.extend(words.outside("volume", volumes(descriptor), &grant.volumes));
            withheld.extend(words.storage(grant.limits.as_ref()));
        }
        for (source, ceiling) in self.ceilings() {
            allowance.of_ceiling(ceiling);
            let words = Words { grants: self, offer, whose: CEILING, source };
            if let Some(known) = &ceiling.credentials {
                withheld.extend(words.outside("credential", credentials(descriptor), known));
            }
            if let Some(known) = &ceiling.volumes {
                withheld.extend(words.outside("volume", volumes(descriptor), known));
            }
            withheld.extend(words.storage(ceiling.limits.as_ref()));
        }
        if withheld.is_empty() { Ok(allowance) } else { Err(withheld) }
    }

    fn grant(&self, digest: &PluginDigest) -> Option<(&str, &PluginGrant)> {
        let grants = |file: &'_ GrantsFile| file.grants.iter().position(|grant| grant.digest == *digest);
        self.files.iter().find_map(|file| Some((file.name.as_str(), &file.grants[grants(file)?])))
    }

    /// The command that proposes a grant for a component, into the file that counts for it.
    fn command(&self, offer: &Offer, source: Option<&str>) -> String {
        let address = self.addresses.get(&offer.digest);
        // Where `plugin grant` writes when nobody says.
        let default = match (address, offer.file.rsplit_once('/')) {
            (None, Some((folder, _))) => format!("{folder}/{GRANTS_FILE}"),
            _ => GRANTS_FILE.to_owned(),
        };
        let words = address.map_or_else(|| shell_word(&offer.file), |address| address.words.clone());
        let wanted = source.or(address.map(|address| address.grants.as_str()));
        match wanted.filter(|wanted| *wanted != default) {
            Some(wanted) => format!("ilab-host plugin grant {words} --grants {}", shell_word(wanted)),
            None => format!("ilab-host plugin grant {words}"),
        }
    }

    /// The digest that a file of this name was granted under.
    fn other(&self, file: &str) -> Option<PluginDigest> {
        // A reference is what it says before its digest; of a file, the folder says nothing.
        let name = |path: &str| match path.split_once("://") {
            Some(_) => path.split('@').next().unwrap_or("").to_owned(),
            None => path.rsplit('/').next().unwrap_or("").to_owned(),
        };
        let wanted = name(file);
        let mut grants = self.files.iter().flat_map(|file| &file.grants);
        grants
            .find(|grant| !wanted.is_empty() && name(&grant.plugin) == wanted)
            .map(|grant| grant.digest.clone())
    }

    fn ceilings(&self) -> impl Iterator<Item = (&str, &Ceiling)> {
        self.files.iter().filter_map(|file| Some((file.name.as_str(), file.ceiling.as_ref()?)))
    }
}

fn credentials(descriptor: &Descriptor) -> Vec<&String> {
    descriptor.credentials.iter().map(|credential| &credential.name).collect()
}

fn volumes(descriptor: &Descriptor) -> Vec<&String> {
    descriptor.volumes.iter().map(|volume| &volume.name).collect()
}

impl Allowance {
    fn of_grant(&mut self, grant: &PluginGrant) {
        self.kinds.retain(|kind| grant.kinds.iter().any(|known| known.is(kind)));
        self.config_maps.clone_from(&grant.config_maps);
        self.bounds.images.push(Images { whose: GRANT, allowed: grant.images.clone() });
        self.bounds.limits.extend(limits(GRANT, true, grant.limits.as_ref()));
        let exemption = |granted: &super::GrantedExemption| {
            let rule = exemptable(&granted.rule, &granted.value).ok()?;
            Some(Exemption { rule, value: granted.value.clone(), reason: granted.reason.clone() })
        };
        self.bounds.exemptions = grant.exemptions.iter().filter_map(exemption).collect();
    }

    fn of_ceiling(&mut self, ceiling: &Ceiling) {
        if let Some(kinds) = &ceiling.kinds {
            self.kinds.retain(|kind| kinds.iter().any(|known| known.is(kind)));
        }
        if let Some(known) = &ceiling.config_maps {
            self.config_maps.retain(|name| known.contains(name));
        }
        if let Some(allowed) = &ceiling.images {
            self.bounds.images.push(Images { whose: CEILING, allowed: allowed.clone() });
        }
        self.bounds.limits.extend(limits(CEILING, false, ceiling.limits.as_ref()));
        if let Some(known) = &ceiling.exemptions {
            self.bounds
                .exemptions
                .retain(|granted| known.iter().any(|k| k.rule == granted.rule && k.value == granted.value));
        }
    }
}

fn limits(whose: &'static str, closed: bool, given: Option<&BTreeMap<String, String>>) -> Option<Limits> {
    // Files are checked when they are read: every quantity is one.
    let most = given?
        .iter()
        .filter(|(name, _)| name.as_str() != STORAGE)
        .map(|(name, quantity)| (name.clone(), milli(quantity).unwrap_or(0)))
        .collect();
    Some(Limits { whose, closed, most })
}

struct Words<'a> {
    grants: &'a Grants,
    offer: &'a Offer,
    whose: &'static str,
    source: &'a str,
}

impl Words<'_> {
    fn outside(&self, what: &'static str, asked: Vec<&String>, known: &BTreeSet<String>) -> Vec<Withheld> {
        let missing = asked.into_iter().filter(|name| !known.contains(*name));
        missing
            .map(|name| Withheld::Word {
                stage: self.offer.name().clone(),
                file: self.offer.file.clone(),
                digest: self.offer.digest.clone(),
                what,
                name: name.clone(),
                whose: self.whose,
                source_file: self.source.to_owned(),
                command: self.grants.command(self.offer, Some(self.source)),
            })
            .collect()
    }

    fn storage(&self, limits: Option<&BTreeMap<String, String>>) -> Option<Withheld> {
        let most = milli(limits?.get(STORAGE)?).unwrap_or(0);
        let takes = storage(&self.offer.descriptor);
        (takes > most).then(|| Withheld::Storage {
            stage: self.offer.name().clone(),
            file: self.offer.file.clone(),
            digest: self.offer.digest.clone(),
            takes: shown(takes),
            most: shown(most),
            whose: self.whose,
            source_file: self.source.to_owned(),
            command: self.grants.command(self.offer, Some(self.source)),
        })
    }
}

/// Thousandths of bytes of all volumes of a stage; what is no size is more than any limit.
pub(super) fn storage(descriptor: &Descriptor) -> u128 {
    let sizes = descriptor.volumes.iter().map(|volume| milli(&volume.size).unwrap_or(u128::MAX));
    sizes.fold(0, u128::saturating_add)
}
