//! Exit codes: part of the command line's stable interface.

/// Everything that was asked for happened.
pub const SUCCESS: u8 = 0;
/// A bug in ilab-host, or a failure that has no code of its own.
pub const FAILURE: u8 = 1;
/// The command line, a values file or a parameter is wrong. Nothing was created.
pub const USAGE: u8 = 2;
/// A stage component cannot be loaded, breaks the contract, or asks for what it may not have.
pub const PLUGIN: u8 = 3;
/// The cluster cannot be reached, refuses, or lacks something that the run needs.
pub const CLUSTER: u8 = 4;
/// A stage ran and failed.
pub const STAGE_FAILED: u8 = 5;
/// The object store, or an archive in it, cannot be used.
pub const OBJECTS: u8 = 6;
/// A run of this name is in the way: it is finished, held by another host, or not there.
pub const RUN_STATE: u8 = 7;
/// `plugin bench`: a stage became slower than its baseline.
pub const SLOWER: u8 = 8;
/// A registry cannot be reached, refuses, or does not have what it was asked for.
pub const REGISTRY: u8 = 9;
/// A plugin is not what was pinned, or nobody vouches for it whom the policy trusts.
pub const UNTRUSTED: u8 = 10;
/// Interrupted: the host has let go of the run, which goes on by itself.
pub const DETACHED: u8 = 130;

/// The table of `--help`: one line a code.
pub const HELP: &str = "\
Exit codes:
  0    everything that was asked for happened
  1    a bug in ilab-host, or a failure without a code of its own
  2    the command line, a values file or a parameter is wrong; nothing was created
  3    a stage component cannot be loaded, breaks the contract, or asks for what it may not have
  4    the cluster cannot be reached, refuses, or lacks something that the run needs
  5    a stage ran and failed
  6    the object store, or an archive in it, cannot be used
  7    a run of this name is in the way: finished, held by another host, or not there
  8    plugin bench: a stage became slower than its baseline
  9    a registry cannot be reached, refuses, or does not have what it was asked for
  10   a plugin is not what was pinned, or not signed by anybody whom the policy trusts
  130  interrupted: the host has let go of the run";
