//! How the program is linked.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Not position-independent, as kubectl and helm are not: otherwise the loader writes 130,000 addresses into two and a half
    // megabytes of tables at every start, and that is most of what a short command costs (docs/decisions/0010).
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux") {
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
}
