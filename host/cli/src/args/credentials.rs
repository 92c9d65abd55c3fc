//! The options of the reference that carry credentials, and what becomes of them.

use crate::error::CliError;
use clap::Args;
use ilab_core::endpoint::endpoint_host;
use ilab_engine::{CredentialSource, SecretValue};
use ilab_objects::parse_bool;
use std::collections::BTreeMap;

/// Access to the object store and to the judge: either the name of a Secret, or the values themselves.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Credentials")]
pub struct CredentialArgs {
    /// Endpoint of the object store: a URL with its scheme
    #[arg(long, global = true, env = "SDG_OBJECT_STORE_ENDPOINT", value_name = "URL")]
    pub sdg_object_store_endpoint: Option<String>,
    /// Bucket that holds the SDG archive
    #[arg(long, global = true, env = "SDG_OBJECT_STORE_BUCKET", value_name = "NAME")]
    pub sdg_object_store_bucket: Option<String>,
    /// Access key of the object store
    #[arg(
        long,
        global = true,
        env = "SDG_OBJECT_STORE_ACCESS_KEY",
        hide_env_values = true,
        value_name = "KEY"
    )]
    pub sdg_object_store_access_key: Option<String>,
    /// Secret key of the object store
    #[arg(
        long,
        global = true,
        env = "SDG_OBJECT_STORE_SECRET_KEY",
        hide_env_values = true,
        value_name = "KEY"
    )]
    pub sdg_object_store_secret_key: Option<String>,
    /// Region of the object store
    #[arg(long, global = true, env = "SDG_OBJECT_STORE_REGION", value_name = "REGION")]
    pub sdg_object_store_region: Option<String>,
    /// Key of the SDG archive in the bucket
    #[arg(long, global = true, env = "SDG_OBJECT_STORE_DATA_KEY", value_name = "KEY")]
    pub sdg_object_store_data_key: Option<String>,
    /// Whether to check the object store's certificate [default: true]
    #[arg(long, global = true, env = "SDG_OBJECT_STORE_VERIFY_TLS", value_name = "BOOL")]
    pub sdg_object_store_verify_tls: Option<String>,
    /// Secret that holds bucket, access_key, secret_key, data_key and, when needed, endpoint, region, verify_tls, ca_cert
    #[arg(long, global = true, env = "SDG_OBJECT_STORE_SECRET", value_name = "SECRET")]
    pub sdg_object_store_secret: Option<String>,
    /// ConfigMap with the CA certificate of the object store
    #[arg(long, global = true, env = "SDG_OBJECT_STORE_CA_CERT", value_name = "CONFIGMAP")]
    pub sdg_object_store_ca_cert: Option<String>,
    /// Endpoint of the judge model: a URL with its scheme
    #[arg(long, global = true, value_name = "URL")]
    pub judge_serving_model_endpoint: Option<String>,
    /// Name of the judge model
    #[arg(long, global = true, value_name = "NAME")]
    pub judge_serving_model_name: Option<String>,
    /// API key of the judge model
    #[arg(
        long,
        global = true,
        env = "JUDGE_SERVING_MODEL_API_KEY",
        hide_env_values = true,
        value_name = "KEY"
    )]
    pub judge_serving_model_api_key: Option<String>,
    /// Secret that holds JUDGE_API_KEY, JUDGE_ENDPOINT and JUDGE_NAME
    #[arg(long, global = true, env = "JUDGE_SERVING_MODEL_SECRET", value_name = "SECRET")]
    pub judge_serving_model_secret: Option<String>,
    /// ConfigMap with the CA certificate of the judge model
    #[arg(long, global = true, env = "JUDGE_SERVING_MODEL_CA_CERT", value_name = "CONFIGMAP")]
    pub judge_serving_model_ca_cert: Option<String>,
    /// Secret for a credential that a stage of your own asks for
    #[arg(long = "credential", global = true, value_name = "NAME=SECRET")]
    pub others: Vec<String>,
}

/// Options of the reference's `run sdg`, which never worked there and is no part of this workflow.
#[derive(Debug, Clone, Default, Args)]
pub struct Retired {
    #[arg(long, global = true, hide = true)]
    taxonomy_repo_url: Option<String>,
    #[arg(long, global = true, hide = true)]
    taxonomy_repo_branch: Option<String>,
    #[arg(long, global = true, hide = true)]
    taxonomy_repo_pr: Option<String>,
    #[arg(long, global = true, hide = true)]
    serving_endpoint: Option<String>,
    #[arg(long, global = true, hide = true)]
    serving_model: Option<String>,
    #[arg(long, global = true, hide = true)]
    num_instructions_to_generate: Option<String>,
}

impl Retired {
    /// Answers an old option with where its work is done today, instead of taking and ignoring it.
    ///
    /// # Errors
    /// When any is given.
    pub fn check(&self) -> Result<(), CliError> {
        let given = [
            ("taxonomy-repo-url", &self.taxonomy_repo_url),
            ("taxonomy-repo-branch", &self.taxonomy_repo_branch),
            ("taxonomy-repo-pr", &self.taxonomy_repo_pr),
            ("serving-endpoint", &self.serving_endpoint),
            ("serving-model", &self.serving_model),
            ("num-instructions-to-generate", &self.num_instructions_to_generate),
        ];
        match given.into_iter().find(|(_, value)| value.is_some()) {
            Some((name, _)) => Err(CliError::usage(format!("--{name} belonged to `run sdg`, which generates data"))
                .hint("generate the data beforehand, upload it with `ilab-host data upload`, and leave the option out")),
            None => Ok(()),
        }
    }
}

/// One value of a credential: its option, its key in the Secret or ConfigMap, and where it goes.
struct Part<'a> {
    option: &'static str,
    key: &'static str,
    value: Option<&'a str>,
    required: bool,
    secret: bool,
}

impl Part<'_> {
    fn given(&self) -> bool {
        self.value.is_some_and(|v| !v.is_empty())
    }
}

impl CredentialArgs {
    /// What each credential that the selected stages need is to be taken from.
    ///
    /// # Errors
    /// Everything that is missing, at once; a named Secret together with explicit options; an endpoint without
    /// scheme or host.
    pub fn sources(&self, needed: &[String]) -> Result<BTreeMap<String, CredentialSource>, CliError> {
        let mut findings = Vec::new();
        let mut sources = BTreeMap::new();
        let others = self.others()?;
        let verify_tls = match self.sdg_object_store_verify_tls.as_deref().filter(|v| !v.is_empty()) {
            Some(text) => {
                Some(if parse_bool("--sdg-object-store-verify-tls", text)? { "true" } else { "false" })
            }
            None => None,
        };
        for name in needed {
            let (secret_option, secret, parts, secret_name, config_map) = match name.as_str() {
                "object-store" => (
                    "sdg-object-store-secret",
                    &self.sdg_object_store_secret,
                    self.object_store(verify_tls),
                    "sdg-object-store-credentials",
                    None,
                ),
                "judge" => (
                    "judge-serving-model-secret",
                    &self.judge_serving_model_secret,
                    self.judge(),
                    "judge-serving-details",
                    Some("judge-serving-details"),
                ),
                other => {
                    match others.get(other) {
                        Some(secret) => {
                            sources.insert(name.clone(), CredentialSource::Named { secret: secret.clone() });
                        }
                        None => findings
                            .push(format!("credential {other} is missing: give --credential {other}=SECRET")),
                    }
                    continue;
                }
            };
            match from_parts(
                secret_option,
                secret.as_deref().filter(|s| !s.is_empty()),
                &parts,
                secret_name,
                config_map,
            ) {
                Ok(source) => {
                    sources.insert(name.clone(), source);
                }
                Err(more) => findings.extend(more),
            }
        }
        if findings.is_empty() { Ok(sources) } else { Err(CliError::all(crate::exit::USAGE, findings)) }
    }

    /// The ConfigMaps with CA certificates, by credential and key.
    pub fn config_maps(&self) -> BTreeMap<String, BTreeMap<String, String>> {
        [
            ("object-store", "ca_cert", &self.sdg_object_store_ca_cert),
            ("judge", "JUDGE_CA_CERT", &self.judge_serving_model_ca_cert),
        ]
        .into_iter()
        .filter_map(|(credential, key, given)| {
            let name = given.clone().filter(|name| !name.is_empty())?;
            Some((credential.to_owned(), BTreeMap::from([(key.to_owned(), name)])))
        })
        .collect()
    }

    /// Whether any option speaks of this credential.
    pub fn mentions(&self, name: &str) -> bool {
        let given = |value: &Option<String>| value.as_ref().is_some_and(|v| !v.is_empty());
        match name {
            "object-store" => {
                given(&self.sdg_object_store_secret)
                    || self.object_store(self.sdg_object_store_verify_tls.as_deref()).iter().any(Part::given)
            }
            "judge" => given(&self.judge_serving_model_secret) || self.judge().iter().any(Part::given),
            other => self.others.iter().any(|text| text.split('=').next() == Some(other)),
        }
    }

    /// Every option that takes a value of a credential, without dashes: none of them may be shown or passed on.
    pub fn value_options() -> Vec<&'static str> {
        let none = Self::default();
        none.object_store(None).iter().chain(&none.judge()).map(|part| part.option).collect()
    }

    /// The options with values of this credential that were given.
    pub fn values_given(&self, name: &str) -> Vec<String> {
        let parts = match name {
            "object-store" => self.object_store(self.sdg_object_store_verify_tls.as_deref()),
            "judge" => self.judge(),
            _ => Vec::new(),
        };
        parts.iter().filter(|part| part.given()).map(|part| format!("--{}", part.option)).collect()
    }

    /// The option that names the Secret of a credential.
    pub fn secret_option(name: &str) -> String {
        match name {
            "object-store" => "--sdg-object-store-secret".to_owned(),
            "judge" => "--judge-serving-model-secret".to_owned(),
            other => format!("--credential {other}=SECRET"),
        }
    }

    fn others(&self) -> Result<BTreeMap<String, String>, CliError> {
        self.others
            .iter()
            .map(|text| match text.split_once('=') {
                Some((name, secret)) if !name.is_empty() && !secret.is_empty() => {
                    Ok((name.to_owned(), secret.to_owned()))
                }
                _ => Err(CliError::usage(format!("--credential {text:?} is not NAME=SECRET"))),
            })
            .collect()
    }

    fn object_store<'a>(&'a self, verify_tls: Option<&'a str>) -> Vec<Part<'a>> {
        let part = |option, key, value: &'a Option<String>, required| Part {
            option,
            key,
            value: value.as_deref(),
            required,
            secret: true,
        };
        vec![
            part("sdg-object-store-bucket", "bucket", &self.sdg_object_store_bucket, true),
            part("sdg-object-store-access-key", "access_key", &self.sdg_object_store_access_key, true),
            part("sdg-object-store-secret-key", "secret_key", &self.sdg_object_store_secret_key, true),
            part("sdg-object-store-data-key", "data_key", &self.sdg_object_store_data_key, true),
            part("sdg-object-store-endpoint", "endpoint", &self.sdg_object_store_endpoint, false),
            part("sdg-object-store-region", "region", &self.sdg_object_store_region, false),
            Part {
                option: "sdg-object-store-verify-tls",
                key: "verify_tls",
                value: verify_tls,
                required: false,
                secret: true,
            },
        ]
    }

    fn judge(&self) -> Vec<Part<'_>> {
        let part = |option, key, value, secret| Part { option, key, value, required: true, secret };
        vec![
            part(
                "judge-serving-model-endpoint",
                "JUDGE_ENDPOINT",
                self.judge_serving_model_endpoint.as_deref(),
                false,
            ),
            part("judge-serving-model-name", "JUDGE_NAME", self.judge_serving_model_name.as_deref(), false),
            part(
                "judge-serving-model-api-key",
                "JUDGE_API_KEY",
                self.judge_serving_model_api_key.as_deref(),
                true,
            ),
        ]
    }
}

fn from_parts(
    secret_option: &str,
    secret: Option<&str>,
    parts: &[Part<'_>],
    secret_name: &str,
    config_map: Option<&str>,
) -> Result<CredentialSource, Vec<String>> {
    let value = |part: &Part<'_>| part.value.filter(|v| !v.is_empty()).map(str::to_owned);
    let given: Vec<_> =
        parts.iter().filter(|p| value(p).is_some()).map(|p| format!("--{}", p.option)).collect();
    if let Some(secret) = secret {
        if !given.is_empty() {
            return Err(vec![format!(
                "--{secret_option} {secret} and {} exclude each other: give the Secret, or the values",
                given.join(", ")
            )]);
        }
        return Ok(CredentialSource::Named { secret: secret.to_owned() });
    }
    let missing: Vec<_> = parts.iter().filter(|p| p.required && value(p).is_none()).collect();
    if !missing.is_empty() {
        let names: Vec<_> = missing.iter().map(|p| format!("--{}", p.option)).collect();
        return Err(vec![format!(
            "missing {}; or give --{secret_option} with the name of a Secret",
            names.join(", ")
        )]);
    }
    let (mut secret_keys, mut config_map_keys) = (BTreeMap::new(), BTreeMap::new());
    for part in parts {
        let Some(text) = value(part) else { continue };
        if part.key.to_ascii_lowercase().ends_with("endpoint") {
            endpoint_host(&text).map_err(|problem| vec![format!("--{} {text:?} {problem}", part.option)])?;
        }
        if part.secret {
            secret_keys.insert(part.key.to_owned(), SecretValue::new(text));
        } else {
            config_map_keys.insert(part.key.to_owned(), text);
        }
    }
    Ok(CredentialSource::Literal {
        secret_name: secret_name.to_owned(),
        secret_keys,
        config_map_name: config_map.map(str::to_owned),
        config_map_keys,
    })
}
